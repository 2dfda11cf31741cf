"""The sink between a tracker and its emitters: encodes each event once, for all of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

import msgspec

from trackway.event import ENCODED_NAMES, Event, Kind, plain
from trackway.wires.snowplow import encode_facts, facts_of, without_own_schemas

logger = logging.getLogger("trackway")


class CustomEmitter(Protocol):
    """Anything that takes one payload, as the Snowplow tracker's documents define it."""

    def input(self, payload: dict[str, str], /) -> Any:
        """Take the tp2 payload of one event."""


class Encoded:
    """Encodes events to the Snowplow wire and hands them to emitters.

    Ours get JSON bytes (``put``); anybody else's get the payload as a dictionary (``input``), each
    its own copy. ``base64``: how the JSON inside a payload is written. ``own_schemas``: whether
    the collector knows the schemas of Trackway; without them the request's facts are left out,
    and ``track("name")`` travels as a structured event.
    """

    def __init__(
        self, emitters: Sequence[Any], *, base64: bool = True, own_schemas: bool = True
    ) -> None:
        self.emitters: list[Any] = []
        self.base64 = base64
        self.own_schemas = own_schemas
        self.stats: Counter[str] = Counter()
        self._puts: tuple[Any, ...] = ()
        self._inputs: tuple[Any, ...] = ()
        self._encode = msgspec.json.Encoder().encode
        self._logged: set[int] = set()
        for emitter in emitters:
            self.add(emitter)

    def add(self, emitter: Any) -> None:
        """Send to one emitter more."""
        self.emitters.append(emitter)
        if hasattr(emitter, "put"):
            self._puts += (emitter.put,)
        else:
            self._inputs += (emitter,)

    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                facts = facts_of(event)
            except Exception:  # cyclic, or of a type that has no JSON form
                facts = {
                    name: plain(value)
                    for field, name in ENCODED_NAMES.items()
                    if (value := getattr(event, field)) and field not in ("kind", "name")
                }
            self.send_facts(event.kind, facts)

    def send_facts(self, kind: Kind, facts: dict[str, Any]) -> None:
        """Send the event of these facts (by the names of its fields in JSON) without making it."""
        if not self.own_schemas:
            kind, facts = without_own_schemas(kind, facts)
        try:
            payload = encode_facts(kind, facts, base64=self.base64)
            encoded = self._encode(payload)
        except Exception as error:
            # Something in it has no form on the wire; the rest of the event is worth sending.
            surrogates = isinstance(error, UnicodeEncodeError)
            self.stats["replaced_surrogates" if surrogates else "repaired_data"] += 1
            facts = {plain(name): plain(value) for name, value in facts.items()}
            payload = encode_facts(kind, facts, base64=self.base64)
            encoded = self._encode(payload)
        for put in self._puts:
            put(encoded)
        for emitter in self._inputs:
            self._input(emitter, dict(payload))

    def _input(self, emitter: CustomEmitter, payload: dict[str, str]) -> None:
        """Hand a payload to somebody else's code, which must not keep it from the next one."""
        try:
            emitter.input(payload)
        except Exception:
            name = type(emitter).__name__
            self.stats[f"failed:emitter:{name}"] += 1
            if id(emitter) not in self._logged:
                self._logged.add(id(emitter))
                logger.warning(
                    "the emitter %s failed; logged once, counted from now on", name, exc_info=True
                )

    def flush(self, timeout: float | None = None) -> int:
        return self._settle("flush", timeout)

    def close(self, timeout: float | None = None) -> int:
        return self._settle("close", timeout)

    def _settle(self, method: str, timeout: float | None) -> int:
        """Foreign emitters have no time-out and may answer anything; ours say what is left."""
        end = None if timeout is None else monotonic() + timeout
        left = 0
        for emitter in self.emitters:
            try:
                if hasattr(emitter, "put"):
                    rest = None if end is None else max(0.0, end - monotonic())
                    left += getattr(emitter, method)(rest)
                elif hasattr(emitter, "flush"):
                    emitter.flush()
            except Exception:
                self.stats[f"failed:emitter:{type(emitter).__name__}"] += 1
                logger.warning("the emitter %r failed in %s", emitter, method, exc_info=True)
        return left
