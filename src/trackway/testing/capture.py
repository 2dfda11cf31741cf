"""Events of an application under test: taken in memory instead of being sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from threading import Condition
from time import monotonic
from typing import Any, NoReturn, Protocol

import msgspec

from trackway import pipeline as pipelines
from trackway.event import Event, SelfDescribingJson
from trackway.pipeline import Pipeline
from trackway.testing.expected import Expected, listing

#: How long ``wait_for`` waits unless told otherwise (seconds).
PATIENCE = 5.0


class HasPipeline(Protocol):
    """What ``capture`` needs of a tracker, and all that this room may know of one."""

    pipeline: Pipeline


@contextmanager
def capture(tracker: HasPipeline | None = None) -> Iterator[Captured]:
    """Take the events that are tracked inside the block instead of sending them.

    Every event of every tracker of this process, in whatever thread or task; with ``tracker``,
    those of this one only. Its steps run first. Blocks may stand inside each other: the innermost
    one that wants an event takes it.
    """
    only = None if tracker is None else tracker.pipeline
    captured = Captured()

    def watch(pipeline: Pipeline, event: Event) -> bool:
        return (only is None or pipeline is only) and captured._take(event)

    pipelines.watchers.append(watch)
    try:
        yield captured
    finally:
        pipelines.watchers.remove(watch)
        captured._close()


class Captured:
    """The events that ``capture`` has taken, and what a test may claim about them.

    Names and fields of an event are matched as described in the guide "Testing"; a field that
    Event does not have is a TypeError. Claims that do not hold raise AssertionError.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._is_open = True
        # Its lock is re-entrant: a signal handler may track while its thread is inside.
        self._came = Condition()

    def __repr__(self) -> str:
        return f"<Captured {self.names}>"

    @property
    def events(self) -> list[Event]:
        """The events in the order in which they were tracked; a copy."""
        with self._came:
            return self._events.copy()

    @property
    def names(self) -> list[str]:
        """The names of the events, in that order."""
        return [event.name for event in self.events]

    @property
    def last(self) -> Event:
        """The last event; AssertionError if there is none."""
        __tracebackhide__ = True
        if not (events := self.events):
            raise AssertionError("nothing was tracked")
        return events[-1]

    def clear(self) -> None:
        """Forget the events so far."""
        with self._came:
            self._events = []

    def find(self, name: str | None = None, **fields: Any) -> list[Event]:
        """The events of that name and with these fields, first tracked first."""
        return Expected(name, fields).among(self.events)

    def assert_tracked(self, name: str, *, count: int | None = None, **fields: Any) -> Event:
        """At least one event matches, or exactly ``count`` (1 or more); the last one that does."""
        __tracebackhide__ = True
        if count is not None and count < 1:
            raise ValueError(f"count is {count}: use assert_not_tracked")
        expected, events = Expected(name, fields), self.events
        found = expected.among(events)
        if not found:
            _fail(f"no event {expected} was tracked", events, expected)
        if count is not None and len(found) != count:
            claim = f"expected {count} events {expected}, tracked {len(found)}"
            _fail(claim, *((found,) if len(found) > count else (events, expected)))
        return found[-1]

    def assert_not_tracked(self, name: str, **fields: Any) -> None:
        """No event matches."""
        __tracebackhide__ = True
        expected = Expected(name, fields)
        if found := expected.among(self.events):
            _fail(f"an event {expected} was tracked", found)

    def assert_nothing_tracked(self) -> None:
        """There is no event at all."""
        __tracebackhide__ = True
        if events := self.events:
            _fail("something was tracked", events)

    def wait_for(self, name: str, *, timeout: float = PATIENCE, **fields: Any) -> Event:
        """Wait until an event matches, which another thread may track; the first that does.

        Waits at most ``timeout`` seconds, then raises AssertionError. Blocks the calling thread,
        so from a coroutine call it with ``asyncio.to_thread``.
        """
        __tracebackhide__ = True
        expected = Expected(name, fields)
        found = self._wait(expected, monotonic() + timeout)
        if not found:
            _fail(f"no event {expected} was tracked within {timeout:g} s", self.events, expected)
        return found[0]

    def _wait(self, expected: Expected, until: float) -> list[Event]:
        """Look at each event once, since its thread waits for our lock meanwhile."""
        events, seen = self._events, 0
        with self._came:
            while True:
                if events is not self._events:  # cleared
                    events, seen = self._events, 0
                found = expected.among(events[seen:])
                seen = len(events)
                rest = until - monotonic()
                if found or rest <= 0:
                    return found
                self._came.wait(rest)

    def _take(self, event: Event) -> bool:
        event = _as_it_is_now(event)
        with self._came:
            if self._is_open:
                self._events.append(event)
                self._came.notify_all()
            return self._is_open

    def _close(self) -> None:
        # An event that another thread is tracking just now is then sent: it must neither get
        # lost nor appear after the block.
        with self._came:
            self._is_open = False


def _fail(claim: str, events: list[Event], expected: Expected | None = None) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(f"{claim}\n{listing(events, expected)}")


def _as_it_is_now(event: Event) -> Event:
    """The event with copies of what the application may still change.

    Where the event is sent, it is encoded at once, so a list that is emptied later was sent full.
    """
    properties = None if event.properties is None else _copied(event.properties)
    contexts = tuple(map(_copied, event.contexts))
    return msgspec.structs.replace(event, properties=properties, contexts=contexts)


def _copied(json: SelfDescribingJson) -> SelfDescribingJson:
    try:
        return SelfDescribingJson(json.schema, deepcopy(json.data))
    except Exception:  # a value that cannot be copied, such as an open file, is kept as it is
        return json
