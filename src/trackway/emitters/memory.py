"""The emitter that keeps payloads in a list: for tests, and as the smallest example of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec


class MemoryEmitter:
    """Keeps the payload of every event in ``payloads``, in order, for as long as it lives.

    ``put(bytes)`` takes the JSON of a payload, as trackers hand it to our emitters; ``input(dict)``
    takes a payload as it is, unknown keys and numbers included, and keeps a copy.
    """

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []
        self._cleared = 0

    def put(self, payload: bytes) -> bool:
        self.input(msgspec.json.decode(payload))
        return True

    def input(self, payload: Mapping[str, Any]) -> None:
        self.payloads.append(dict(payload))

    def clear(self) -> None:
        """Forget the payloads so far."""
        self._cleared += len(self.payloads)
        self.payloads.clear()

    def flush(self, timeout: float | None = None) -> int:
        """Nothing is ever left: 0."""
        return 0

    def close(self, timeout: float | None = None) -> int:
        return 0

    async def aflush(self, timeout: float | None = None) -> int:
        return 0

    def stats(self) -> dict[str, int]:
        """Counters: accepted and sent, which are the same here, and queued, which is 0."""
        taken = self._cleared + len(self.payloads)
        return {"accepted": taken, "sent": taken, "queued": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to be let go of."""
