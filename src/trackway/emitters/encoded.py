"""The sink between a tracker and its emitters: encodes each event once, for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

import msgspec

from trackway.event import ENCODED_NAMES, Event, Kind, plain
from trackway.logs import logger
from trackway.wires.snowplow import encode_facts, facts_of, without_own_schemas


class CustomEmitter(Protocol):
    """Anything that takes one payload, as the Snowplow tracker's documents define it."""

    def input(self, payload: dict[str, str], /) -> Any:
        """Take the tp2 payload of one event."""


class Encoded:
    """Encodes events to the Snowplow wire and hands them to emitters.

    Ours get JSON bytes (``put``); anybody else's, and subclasses of ours that replace ``input``,
    get the payload as a dictionary, each its own copy. ``base64``: how the JSON inside a payload
    is written. ``own_schemas``: whether the collector knows the schemas of Trackway; without them
    the request's facts are left out, and ``track("name")`` travels as a structured event.
    """

    def __init__(
        self, emitters: Sequence[Any], *, base64: bool = True, own_schemas: bool = True
    ) -> None:
        self.emitters: list[Any] = []
        self.base64 = base64
        self.own_schemas = own_schemas
        self.stats: Counter[str] = Counter()
        self._puts: tuple[tuple[Any, Any], ...] = ()
        self._inputs: tuple[Any, ...] = ()
        self._encode = msgspec.json.Encoder().encode
        self._logged: set[int] = set()
        for emitter in emitters:
            self.add(emitter)

    def add(self, emitter: Any) -> None:
        """Send to one emitter more."""
        self.emitters.append(emitter)
        if hasattr(emitter, "put") and _has_ours(emitter, "input"):
            self._puts += ((emitter.put, emitter),)
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
                    if (value := getattr(event, field)) is not None
                    and field not in ("kind", "name")
                }
            self.send_facts(event.kind, facts)

    def send_facts(self, kind: Kind, facts: dict[str, Any]) -> None:
        """Send the event of these facts (by the names of its fields in JSON) without making it."""
        try:
            if not self.own_schemas:
                kind, facts = without_own_schemas(kind, facts)
            payload = encode_facts(kind, facts, base64=self.base64)
            encoded = self._encode(payload)
        except Exception as error:
            payload = self._repair(kind, facts, error)
            encoded = self._encode(payload)
        for put, emitter in self._puts:
            try:
                put(encoded)
            except Exception:
                self._failed(emitter)
        for emitter in self._inputs:
            try:
                emitter.input(dict(payload))
            except Exception:
                self._failed(emitter)

    def _repair(self, kind: Kind, facts: dict[str, Any], error: Exception) -> dict[str, str]:
        """The payload of an event in which something has no form on the wire: the rest of it is
        worth sending."""
        surrogates = isinstance(error, UnicodeEncodeError)
        self.stats["replaced_surrogates" if surrogates else "repaired_data"] += 1
        facts = {plain(name): plain(value) for name, value in facts.items()}
        if not self.own_schemas:
            kind, facts = without_own_schemas(kind, facts)
        return encode_facts(kind, facts, base64=self.base64)

    def _failed(self, emitter: object) -> None:
        """An emitter, most likely somebody else's code, must not keep the event from the next."""
        name = type(emitter).__name__
        self.stats[f"failed:emitter:{name}"] += 1
        if id(emitter) not in self._logged:
            self._logged.add(id(emitter))
            logger().warning(
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
        for number, emitter in enumerate(self.emitters):
            try:
                if _takes_seconds(emitter, method):
                    rest = None if end is None else max(0.0, end - monotonic())
                    if rest is not None:  # a dead collector must leave time to the others
                        rest /= len(self.emitters) - number
                    left += getattr(emitter, method)(rest) or 0
                elif hasattr(emitter, "flush"):
                    emitter.flush()
            except Exception:
                self._failed(emitter)
        return left


def _has_ours(emitter: object, method: str) -> bool:
    """Whether the method is one of ours, or of somebody who knows ``put`` as well; where somebody
    has written or replaced it by the Snowplow tracker's documents, it is called as these say."""
    for kind in type(emitter).__mro__:
        if method in vars(kind):
            return kind.__module__.partition(".")[0] == "trackway" or "put" in vars(kind)
    return False


def _takes_seconds(emitter: object, method: str) -> bool:
    """Whether a method takes a time-out, as ours do."""
    if _has_ours(emitter, method):
        return True
    if not any(kind.__module__.startswith("trackway.") for kind in type(emitter).__mro__):
        return False
    from inspect import signature  # who overrides nothing need not pay for it

    try:
        signature(getattr(emitter, method)).bind(1.0)
    except TypeError:
        return False
    return True
