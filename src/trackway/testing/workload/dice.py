"""Random numbers that are a pure function of a seed and a place, so that nothing has to be kept."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

#: Steps and multipliers of SplitMix64 (Steele, Lea, Flood 2014), a generator that can be asked
#: for its n-th number directly.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Dice:
    """Numbers drawn by purpose and index: the same question always has the same answer.

    ``purpose`` is a word that says what the draw decides; ``index`` says for whom or what, as an
    array of whole numbers. The numbers do not depend on the version of NumPy.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, np.uint64] = {}

    def words(self, purpose: str, index: NDArray[np.int64] | NDArray[np.uint64]) -> Words:
        """64 random bits for each index."""
        z = index.astype(np.uint64) * _STEP
        z += self._key(purpose)
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        z ^= z >> np.uint64(31)
        return z

    def uniform(self, purpose: str, index: Ints) -> Floats:
        """Evenly spread numbers, 0 <= x < 1."""
        return (self.words(purpose, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def chance(self, purpose: str, index: Ints, share: float) -> Flags:
        """True for about this share of the indexes; for none if the share is 0, all if it is 1."""
        return self.uniform(purpose, index) < share

    def below(self, purpose: str, index: Ints, limit: int | Ints) -> Ints:
        """Whole numbers, 0 <= n < limit."""
        return (self.uniform(purpose, index) * limit).astype(np.int64)

    def exponential(self, purpose: str, index: Ints, mean: float) -> Floats:
        """Waiting times with this mean."""
        return -np.log1p(-self.uniform(purpose, index)) * mean

    def choice(self, purpose: str, index: Ints, weights: Floats) -> Ints:
        """Places in ``weights``, each as often as its weight says."""
        steps = np.cumsum(weights)
        chance = self.uniform(purpose, index) * steps[-1]
        # Rounding may put a chance on the last step itself.
        places: Ints = np.searchsorted(steps[:-1], chance, side="right").astype(np.int64)
        return places

    def _key(self, purpose: str) -> np.uint64:
        key = self._keys.get(purpose)
        if key is None:
            digest = hashlib.blake2b(f"{self._seed} {purpose}".encode(), digest_size=8).digest()
            key = self._keys[purpose] = np.uint64(int.from_bytes(digest, "little"))
        return key
