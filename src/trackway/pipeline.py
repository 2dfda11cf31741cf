"""The one way of every event: through the steps, then to the sinks, and never back at the host."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic

from trackway.event import Event
from trackway.sinks import Sink

logger = logging.getLogger("trackway")

Step = Callable[[Event], Event | None]
"""A step returns the event, a changed copy, or None to drop it (counted as ``dropped:<name>``)."""


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

    def capture(self, event: Event) -> bool:
        """Take an event; whether it went to the sinks. Raises nothing."""
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
        events = (event,)
        for sink in self.sinks:
            try:
                sink.send(events)
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
            logger.warning(
                "the %s %s failed; logged once, counted from now on",
                role,
                _name(part),
                exc_info=error,
            )


def _name(part: object) -> str:
    return getattr(part, "__qualname__", None) or type(part).__name__
