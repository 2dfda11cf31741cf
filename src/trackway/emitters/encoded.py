"""The sink between a tracker and its emitters: encodes each event once, for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

import msgspec

from trackway.event import Event, without_surrogates
from trackway.wires.snowplow import encode


class CustomEmitter(Protocol):
    """Anything that takes one payload, as the Snowplow tracker's documents define it."""

    def input(self, payload: dict[str, str], /) -> Any:
        """Take the tp2 payload of one event."""


class Encoded:
    """Encodes events to the Snowplow wire and hands them to emitters.

    Ours get JSON bytes (``put``); anybody else's get the payload as a dictionary (``input``), each
    its own copy. ``base64``: how the JSON inside a payload is written.
    """

    def __init__(self, emitters: Sequence[Any], *, base64: bool = True) -> None:
        self.emitters = list(emitters)
        self.base64 = base64
        self._puts = [e.put for e in self.emitters if hasattr(e, "put")]
        self._inputs = [e.input for e in self.emitters if not hasattr(e, "put")]
        self.stats: Counter[str] = Counter()
        self._encode = msgspec.json.Encoder().encode

    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                payload = encode(event, base64=self.base64)
                encoded = self._encode(payload)
            except UnicodeEncodeError:
                self.stats["replaced_surrogates"] += 1
                payload = encode(without_surrogates(event), base64=self.base64)
                encoded = self._encode(payload)
            for put in self._puts:
                put(encoded)
            for take in self._inputs:
                take(dict(payload))

    def flush(self, timeout: float | None = None) -> int:
        return self._settle("flush", timeout)

    def close(self, timeout: float | None = None) -> int:
        return self._settle("close", timeout)

    def _settle(self, method: str, timeout: float | None) -> int:
        """Foreign emitters have no time-out and may answer anything; ours say what is left."""
        end = None if timeout is None else monotonic() + timeout
        left = 0
        for emitter in self.emitters:
            if hasattr(emitter, "put"):
                rest = None if end is None else max(0.0, end - monotonic())
                left += getattr(emitter, method)(rest)
            elif hasattr(emitter, "flush"):
                emitter.flush()
        return left
