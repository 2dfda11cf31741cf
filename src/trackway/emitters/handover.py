"""Hands payloads to an emitter and finds out what has become of each of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, NamedTuple

from trackway.delivery.retry import Backoff
from trackway.emitters.callbacks import Callbacks
from trackway.wires.snowplow_payload import payload_json

#: Reasons of emitters to drop an event which do not lie in the event: it is tried again.
_AGAIN = frozenset({"queue_full", "expired", "exit", "closed"})
#: So many failures in a row are an outage, and the other events are spared the wait.
_OUTAGE = 3
#: An event that failed so often while others got through is to blame itself.
_BLAMED = 5
#: An event that failed for so long is given up, whether others got through or not (seconds).
_FAILING_FOR = 12 * 3600.0
#: How long one flush may take (seconds); between flushes it is seen that the worker shall end.
_FLUSH_SECONDS = 2.0
#: How long a request may still be under way after an emitter was closed (seconds).
_UNDER_WAY = 15.0
#: How long an emitter may take to tell of what it has counted as dropped (seconds).
_TELLING = 2.0


class Outcome(NamedTuple):
    """What is settled; all other elements are still to be delivered."""

    delivered: Sequence[bytes] = ()
    rejected: Sequence[bytes] = ()
    unreadable: Sequence[bytes] = ()


class _Failing:
    """An element that an emitter raised an error for."""

    def __init__(self) -> None:
        self.since = monotonic()
        self.tries = 0
        self.blamed = 0

    @property
    def is_hopeless(self) -> bool:
        return self.blamed >= _BLAMED or monotonic() - self.since > _FAILING_FOR


class Handover:
    """Delivers elements (JSON texts of payloads) through an emitter, ours or anybody's.

    Ours say how many events are left and which they drop. Of another emitter, what ``input``
    took without raising is delivered once its ``flush``, if it has one, has come back; an int
    above 0 that this returns means that events are left.

    ``stopping``: whether the worker shall end. ``ending``: whether the process ends with it.
    ``grace``: seconds that the last flush may take then.
    """

    def __init__(
        self,
        emitter: Any,
        *,
        stopping: Callable[[], bool],
        ending: Callable[[], bool],
        grace: float,
        logger: logging.Logger,
    ) -> None:
        self.emitter = emitter
        self.stopping = stopping
        self.ending = ending
        self.grace = grace
        self.logger = logger
        self._is_ours = hasattr(emitter, "put")
        self._failing: dict[bytes, _Failing] = {}
        self._expected: dict[str | bytes, list[bytes]] = {}
        self._dropped: list[tuple[bytes | None, str]] = []
        self._told = 0
        callbacks = getattr(emitter, "callbacks", None)
        self._callbacks = callbacks if isinstance(callbacks, Callbacks) else None
        if self._callbacks:
            self._told_from = self._drops()
            self._told_before = self._callbacks.on_drop
            self._callbacks.on_drop = self._on_drop

    def end(self) -> None:
        """Let go of the emitter."""
        if self._callbacks and self._callbacks.on_drop == self._on_drop:
            self._callbacks.on_drop = self._told_before

    def deliver(self, elements: Sequence[bytes]) -> Outcome:
        """Try to deliver the elements; what is settled. Raises nothing."""
        payloads = {element: payload(element) for element in elements}
        unreadable = [element for element in elements if payloads[element] is None]
        readable = [(e, p) for e in elements if (p := payloads[e]) is not None]
        self._failing = {e: f for e, f in self._failing.items() if e in payloads}
        self._expected, self._dropped = {}, []
        given, failed = self._give(readable)
        arrived, rejected = self._follow(given)
        for element in failed if arrived else ():
            self._failing[element].blamed += 1
        rejected += [element for element in failed if self._failing[element].is_hopeless]
        return Outcome(arrived, rejected, unreadable)

    def _give(
        self, readable: list[tuple[bytes, dict[str, Any]]]
    ) -> tuple[list[bytes], list[bytes]]:
        """Hand over payloads, those that failed before last; what was taken and what failed."""
        given: list[bytes] = []
        failed: list[bytes] = []
        in_a_row = 0
        known = self._failing
        readable.sort(key=lambda pair: known[pair[0]].tries if pair[0] in known else 0)
        for element, facts in readable:
            if in_a_row >= _OUTAGE or self.stopping():
                break
            self._expected.setdefault(_mark(facts), []).append(element)
            try:
                self.emitter.input(facts)
            except Exception as error:
                in_a_row += 1
                failed.append(element)
                failing = self._failing.setdefault(element, _Failing())
                failing.tries += 1
                if failing.tries == 1:
                    self.logger.warning("the emitter cannot take an event: %r", error)
            else:
                in_a_row = 0
                given.append(element)
        return given, failed

    def _follow(self, given: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Wait until nothing is left; which elements arrived and which never will."""
        is_over = not given or self._is_settled()
        if not is_over and self.ending():
            is_over = self._close()
        is_over = self._is_all_told() and is_over
        fates = dict(dropped for dropped in self._dropped if dropped[0] is not None)
        rejected = [e for e in given if e in fates and fates[e] not in _AGAIN]
        # Where it is not known which event was dropped, none is known to have arrived.
        if not is_over or any(e is None and why in _AGAIN for e, why in self._dropped):
            return [], rejected
        return [element for element in given if element not in fates], rejected

    def _is_settled(self) -> bool:
        """Flush until nothing is left; False if the worker shall end before."""
        backoff = Backoff()
        try:
            while self._flush(_FLUSH_SECONDS):
                if self.stopping():
                    return self._flush(self.grace) == 0
                self._wait(backoff.failed(), lambda: self.stopping() or not self._queued())
        except Exception:
            self.logger.exception("the emitter's flush failed; its events are tried again")
            return False
        return True

    def _flush(self, timeout: float) -> int:
        flush = getattr(self.emitter, "flush", None)
        if flush is None:
            return 0
        left = flush(timeout) if self._is_ours else flush()
        return left if type(left) is int else 0

    def _close(self) -> bool:
        """Make the emitter forget what it has not delivered, so that the end of the process does
        not deliver what the next worker will; whether it is clear what became of everything.

        An emitter with a spool keeps them on disk for its next start: they are in safe hands.
        """
        if not self._callbacks or self._queued() > sum(map(len, self._expected.values())):
            return False  # somebody else's events are in there as well
        with suppress(Exception):
            self.emitter.close(0.0)
            counts = self.emitter.stats()
            if "spooled_bytes" in counts and not counts.get("unspooled"):
                return True
            self._wait(_UNDER_WAY, lambda: not self._queued())
            return not self._queued()
        return False

    def _is_all_told(self) -> bool:
        """Whether we were told of every event that the emitter counts as dropped. It counts first
        and tells then, so a flush may come back in between."""
        if not self._callbacks:
            return True
        expected = self._drops() - self._told_from
        self._wait(_TELLING, lambda: self._told >= expected)
        if self._told < expected:
            self._told_from += expected - self._told
            return False
        return True

    def _drops(self) -> int:
        return sum(n for name, n in self.emitter.stats().items() if name.startswith("dropped:"))

    def _queued(self) -> int:
        """How many events our emitter holds; 1 if nobody can tell."""
        return int(self.emitter.stats().get("queued", 0)) if self._is_ours else 1

    def _wait(self, seconds: float, until: Callable[[], bool]) -> None:
        end = monotonic() + seconds
        while not until() and (rest := end - monotonic()) > 0:
            sleep(min(0.1, rest))

    def _on_drop(self, facts: dict[str, Any], reason: str) -> None:
        """The emitter gives an event up, one of ours or one that it had from somebody else."""
        mark = _mark(facts)
        elements = self._expected.get(mark)
        if elements:
            self._dropped.append((elements.pop(), reason))
        elif isinstance(mark, bytes):  # it may be one of ours that was changed on the way
            self._dropped.append((None, reason))
        self._told += 1
        if elements is not None and reason in _AGAIN:
            return  # not lost: it is still in Redis
        if self._told_before:
            self._told_before(facts, reason)


def payload(element: bytes) -> dict[str, Any] | None:
    """The payload that an element holds, numbers and unknown keys as they are; None if none."""
    try:
        facts = json.loads(element)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts else None


def _mark(facts: Mapping[str, Any]) -> str | bytes:
    """What an event is known by after it went through an emitter."""
    return str(facts["eid"]) if facts.get("eid") else payload_json(facts)
