"""The one way of every event: through the steps, then to the sinks, and never back at the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from trackway.event import Event, Kind
from trackway.logs import logger
from trackway.sinks import Sink
from trackway.wires.snowplow import event_name

Step = Callable[[Event], Event | None]
"""A step returns the event, a changed copy, or None to drop it (counted as ``dropped:<name>``)."""

Watcher = Callable[["Pipeline", Event], bool]

#: Who watches all pipelines of the process, such as ``trackway.testing.capture``: empty but in
#: tests. The last one is asked first; one that returns True has taken the event from the sinks.
watchers: list[Watcher] = []


class Pipeline:
    """Sends events through ``steps`` to ``sinks``.

    This is the one place with the guard "analytics never hurts the host application": what a
    step or a sink raises is counted in ``stats``, logged once, and never reaches the caller.
    A step that fails is passed over; the event goes on without what the step would have added.
    """

    def __init__(self, steps: Iterable[Step] = (), sinks: Iterable[Sink] = ()) -> None:
        self.steps = tuple(steps)
        self.sinks = tuple(sinks)
        self.stats: Counter[str] = Counter()
        self._logged: set[str] = set()

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Where the events go."""
        return self._sinks

    @sinks.setter
    def sinks(self, sinks: tuple[Sink, ...]) -> None:
        self._sinks = sinks
        ways = [getattr(sink, "send_facts", None) for sink in sinks]
        self._ways = tuple(zip(sinks, ways, strict=True))
        # Where the only sink needs no Event, nobody looks at one, and none has to be made.
        self._send_facts = ways[0] if len(ways) == 1 and not self.steps else None

    def capture_facts(self, kind: Kind, facts: dict[str, Any]) -> bool:
        """Take the facts of an event, by the names of its fields in JSON; the dictionary is the
        pipeline's from now on. Raises nothing."""
        if self._send_facts is None or watchers:
            try:
                event = msgspec.convert(facts, Event)
            except Exception as error:
                self.failed("facts", kind, error)
                return False
            # Nobody has seen it yet; and the facts are not to hold what is no fact of the wire.
            force_setattr(event, "kind", kind)
            force_setattr(event, "name", event_name(kind, event.properties))
            return self._pass(event, facts)
        try:
            self._send_facts(kind, facts)
        except Exception as error:
            self.failed("sink", self.sinks[0], error)
        self.stats["captured"] += 1
        return True

    def capture(self, event: Event) -> bool:
        """Take an event; whether it went to the sinks. Raises nothing."""
        return self._pass(event, None)

    def _pass(self, original: Event, facts: dict[str, Any] | None) -> bool:
        """Through the steps and to the sinks. ``facts``: what the event was made of, for sinks
        that need no Event if no step has changed it."""
        event = original
        for step in self.steps:
            try:
                changed = step(event)
            except Exception as error:
                self.failed("step", step, error)
                continue
            if changed is None:
                self.stats[f"dropped:{_name(step)}"] += 1
                return False
            event = changed
        self.stats["captured"] += 1
        if watchers and any(watcher(self, event) for watcher in reversed(watchers.copy())):
            return True
        changed_by_nobody = event is original and facts is not None
        for sink, send_facts in self._ways:
            try:
                if changed_by_nobody and send_facts is not None:
                    send_facts(event.kind, dict(facts or ()))
                else:
                    sink.send((event,))
            except Exception as error:
                self.failed("sink", sink, error)
        return True

    def flush(self, timeout: float | None = None) -> int:
        """Flush the sinks within ``timeout`` seconds in all; how many events are left."""
        return self._settle("flush", timeout)

    def close(self, timeout: float | None = None) -> int:
        """Close the sinks within ``timeout`` seconds in all; how many events are left."""
        return self._settle("close", timeout)

    def _settle(self, method: str, timeout: float | None) -> int:
        end = None if timeout is None else monotonic() + timeout
        left = 0
        for sink in self.sinks:
            rest = None if end is None else max(0.0, end - monotonic())
            try:
                left += getattr(sink, method)(rest)
            except Exception as error:
                self.failed("sink", sink, error)
        return left

    def failed(self, role: str, part: object, error: Exception) -> None:
        """Count ``failed:<role>:<name of the part>`` and log the first such error."""
        key = f"failed:{role}:{_name(part)}"
        self.stats[key] += 1
        if key not in self._logged:
            self._logged.add(key)
            logger().warning(
                "the %s %s failed; logged once, counted from now on",
                role,
                _name(part),
                exc_info=error,
            )


def _name(part: object) -> str:
    if isinstance(part, str):
        return part
    return getattr(part, "__qualname__", None) or type(part).__name__
