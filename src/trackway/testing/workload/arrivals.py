"""In which order the events reach a collector: late ones, ones sent twice, and broken ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from trackway.testing.workload.dice import Dice, Flags, Ints
from trackway.testing.workload.events import MINUTE, Day, Events
from trackway.testing.workload.parameters import Parameters
from trackway.testing.workload.population import Population

HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
#: The ways in which an event can be broken (see ``payloads.FLAWS``); 0 is a good event.
FLAW_COUNT = 7
#: Marks the ids of broken events: they are events of their own, not duplicates.
_BROKEN_KEY = 1 << 62


@dataclass(frozen=True)
class Arrivals:
    """Events as they arrive, one item in each array."""

    events: Events
    arrival: Ints  # milliseconds UTC
    is_copy: Flags  # a duplicate: the id has arrived before
    flaw: Ints  # 0: none

    def __len__(self) -> int:
        return len(self.arrival)

    def take(self, which: Ints) -> Self:
        """Some of the arrivals, in the order asked for."""
        return type(self)(
            self.events.take(which), self.arrival[which], self.is_copy[which], self.flaw[which]
        )


def arrivals_of(population: Population, days: Iterable[Day]) -> Iterator[Arrivals]:
    """Everything that arrives, in the order of arrival, a day at a time.

    A duplicate arrives after what it repeats. Whatever arrives after the last day comes at the
    end, in one piece.
    """
    pending: list[Arrivals] = []
    for day in days:
        pending.append(_sent(population, day.events))
        waiting = _joined(pending)
        due = waiting.arrival < population.midnights[day.number + 1]
        pending = [waiting.take(np.flatnonzero(~due))]
        yield _in_order(waiting.take(np.flatnonzero(due)))
    yield _in_order(_joined(pending))


def is_duplicated(dice: Dice, parameters: Parameters, key: Ints) -> Flags:
    """Which events are sent twice."""
    return dice.chance("duplicate", key, parameters.duplicates)


def is_followed_by_broken(dice: Dice, parameters: Parameters, key: Ints) -> Flags:
    """Which events have a broken likeness beside them."""
    return dice.chance("broken", key, parameters.malformed)


def _sent(population: Population, events: Events) -> Arrivals:
    """The events of a day, with the copies and the broken ones that belong to them."""
    dice, wishes = population.dice, population.parameters
    # The event by which a device gets its owner must not come after that of another user.
    late = dice.chance("late", events.key, wishes.late) & ~events.is_prompt
    delay = 10 * MINUTE + dice.below("delay", events.key, 3 * DAY - 10 * MINUTE)
    arrival = events.time + np.where(late, delay, 0)
    good = _arrivals(events, arrival)

    twice = np.flatnonzero(is_duplicated(dice, wishes, events.key))
    later = HOUR + dice.below("resent", events.key[twice], 6 * DAY - HOUR)
    again = arrival[twice] + later
    copies = _arrivals(replace(events.take(twice), time=again), again, is_copy=True)

    spoilt = np.flatnonzero(is_followed_by_broken(dice, wishes, events.key))
    flaw = 1 + dice.below("flaw", events.key[spoilt], FLAW_COUNT)
    alike = events.take(spoilt)
    broken = _arrivals(replace(alike, key=alike.key | _BROKEN_KEY), arrival[spoilt], flaw=flaw)
    return _joined([good, copies, broken])


def _arrivals(
    events: Events, arrival: Ints, *, is_copy: bool = False, flaw: Ints | None = None
) -> Arrivals:
    if flaw is None:
        flaw = np.zeros(len(events), dtype=np.int64)
    return Arrivals(events, arrival, np.full(len(events), is_copy), flaw)


def _joined(parts: list[Arrivals]) -> Arrivals:
    events = Events(
        **{
            f.name: np.concatenate([getattr(part.events, f.name) for part in parts])
            for f in fields(Events)
        }
    )
    return Arrivals(
        events,
        np.concatenate([part.arrival for part in parts]),
        np.concatenate([part.is_copy for part in parts]),
        np.concatenate([part.flaw for part in parts]),
    )


def _in_order(arrivals: Arrivals) -> Arrivals:
    # A stable sort, so that events of the same millisecond keep the order of the plan.
    return arrivals.take(np.argsort(arrivals.arrival, kind="stable"))
