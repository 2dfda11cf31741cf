"""The old tracker's RedisEmitter: list elements as it wrote them, there before the call returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trackway.compat.snowplow_tracker.compatibility import Compatibility, chosen
from trackway.compat.snowplow_tracker.emitting import Emitting
from trackway.compat.snowplow_tracker.logs import logger
from trackway.emitters import redis as native
from trackway.wires.snowplow_keys import KEYS, integer, milliseconds, number
from trackway.wires.snowplow_payload import payload_json

#: Keys whose values were numbers in the elements of 0.4 to 0.15; all others were texts.
NUMBER_KEYS = frozenset(
    {key for key, meaning in KEYS.items() if meaning.read in (integer, milliseconds, number)}
    | {"cd", "tid"}
)


class RedisEmitter(Emitting, native.RedisEmitter):
    """Appends each event to the Redis list ``key`` as JSON text.

    ``rdb``: an instance of ``redis.Redis`` or ``StrictRedis``, or None for the server on this
    machine. ``options``: those of ``trackway.emitters.redis.RedisEmitter``; unless they say
    ``background=True``, an event is in the list when the call that tracks it returns.
    """

    def __init__(self, rdb: Any = None, key: str = "snowplow", **options: Any) -> None:
        self.compatibility: Compatibility = chosen(options.pop("compatibility", None))
        super().__init__(rdb, key, **{"background": False, "logger": logger, **options})
        self.put: Any = self._put_numbers

    def input(self, payload: Mapping[str, Any]) -> None:
        """Take one payload as it is, keys that we do not know included."""
        if encoded := payload_json(payload):
            self._put_numbers(encoded)

    def _put_numbers(self, payload: bytes) -> bool:
        facts = msgspec.json.decode(payload)
        for key in NUMBER_KEYS.intersection(facts):
            facts[key] = _number(facts[key])
        return self.delivery.put(msgspec.json.encode(facts))


def _number(text: str) -> Any:
    """The number that a text says; a text that says none stays what it is."""
    try:
        return number(text)
    except ValueError:
        return text
