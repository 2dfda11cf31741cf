"""Counts the truth of a period on the plan, a day at a time, without any code of the reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from trackway.testing.workload.arrivals import is_duplicated, is_followed_by_broken
from trackway.testing.workload.devices import ALL_AGENTS, Devices
from trackway.testing.workload.dice import Flags, Ints
from trackway.testing.workload.events import STEP, VIEW, Day
from trackway.testing.workload.pages import Pages
from trackway.testing.workload.parameters import STEPS
from trackway.testing.workload.population import Population
from trackway.testing.workload.sources import SOURCES
from trackway.testing.workload.truth import Cohort, DayCount, PageCount, Share, Step, Truth


class DistinctPeople:
    """How many different people there are in each of a few groups: one bit for each pair."""

    def __init__(self, groups: int, people: int) -> None:
        self._bits = np.zeros((groups, people // 8 + 1), dtype=np.uint8)

    def add(self, group: Ints, person: Ints) -> None:
        """Each person has been seen in the group beside it."""
        bit = (1 << (person & 7)).astype(np.uint8)
        np.bitwise_or.at(self._bits, (group, person >> 3), bit)

    def counts(self) -> Ints:
        """The number of different people of each group."""
        counts: Ints = np.bitwise_count(self._bits).sum(axis=1, dtype=np.int64)
        return counts


class Tally:
    """Visits and the different people who made them, by name."""

    def __init__(self, names: Sequence[str | None], people: int) -> None:
        self._names = sorted(set(names), key=str)
        self._group = np.array([self._names.index(name) for name in names])
        self._visits = np.zeros(len(self._names), dtype=np.int64)
        self._people = DistinctPeople(len(self._names), people)

    def add(self, place: Ints, person: Ints) -> None:
        """Visits, each by the place of its name in the list given at first."""
        group = self._group[place]
        self._visits += np.bincount(group, minlength=len(self._names))
        self._people.add(group, person)

    def shares(self) -> tuple[Share, ...]:
        """The names that occur, most visits first."""
        rows = zip(self._names, self._visits.tolist(), self._people.counts().tolist(), strict=True)
        shares = [Share(*row) for row in rows if row[1]]
        return tuple(sorted(shares, key=lambda share: (-share.visits, str(share.name))))


class Count:
    """The truth of one period, built up from the days of the plan that it touches."""

    def __init__(
        self, population: Population, pages: Pages, start: date, end: date, zone: ZoneInfo
    ) -> None:
        self._population, self._pages = population, pages
        self._start, self._end, self._zone = start, end, zone
        self._dates = [start + timedelta(days=n) for n in range((end - start).days)]
        instants = [datetime.combine(day, time(), zone) for day in (*self._dates, end)]
        #: The first instant of each local day and of the first one after the period.
        self._edges = np.array([round(i.timestamp() * 1000) for i in instants], dtype=np.int64)

        people = population.people
        self._viewers = DistinctPeople(1, people)
        self._views = np.zeros(len(pages.paths), dtype=np.int64)
        self._page_viewers = DistinctPeople(len(pages.paths), people)
        self._entries = Tally(pages.paths, people)
        self._sources = Tally([source.source for source in SOURCES], people)
        self._channels = Tally([source.channel for source in SOURCES], people)
        self._devices = Tally([agent.device for agent in ALL_AGENTS], people)
        self._steps = np.zeros(len(STEPS), dtype=np.int64)
        self._totals: dict[str, int] = defaultdict(int)
        self._day_views = np.zeros(len(self._dates), dtype=np.int64)
        self._day_visits = np.zeros(len(self._dates), dtype=np.int64)
        # By local day; a local day may get people from two days of the plan.
        self._day_viewers: dict[int, list[Ints]] = defaultdict(list)
        self._day_people: dict[int, list[Ints]] = defaultdict(list)
        #: The local day on which each person was first seen; -1: before the period.
        self._first_seen = np.full(people, -1, dtype=np.int32)

    def plan_days(self) -> list[int]:
        """The days of the plan that reach into the period."""
        midnights = self._population.midnights
        inside = (midnights[:-1] < self._edges[-1]) & (midnights[1:] > self._edges[0])
        return [int(day) for day in np.flatnonzero(inside)]

    def add(self, day: Day) -> None:
        """Count one of the plan's days; each of ``plan_days`` once."""
        events, visits = day.events, day.visits
        local = np.searchsorted(self._edges, events.time, side="right") - 1
        inside = (local >= 0) & (local < len(self._dates))
        self._add_arrivals(day, inside)

        by_people = inside & ~events.is_bot
        views = by_people & (events.kind == VIEW)
        page, viewer = events.page[views], events.person[views]
        self._views += np.bincount(page, minlength=len(self._views))
        self._page_viewers.add(page, viewer)
        self._viewers.add(np.zeros_like(viewer), viewer)
        self._day_views += np.bincount(local[views], minlength=len(self._dates))
        _collect(self._day_viewers, local[views], viewer)
        _collect(self._day_people, local[by_people], events.person[by_people])

        new = visits.is_new & (visits.number == 0)
        self._first_seen[visits.person[new]] = local[visits.first[new]]
        self._add_visits(day, local[visits.first])
        self._add_steps(events.person[by_people], events.kind[by_people] - STEP)

    def _add_arrivals(self, day: Day, inside: Flags) -> None:
        dice, wishes = self._population.dice, self._population.parameters
        key = day.events.key[inside]
        self._totals["stored"] += len(key)
        self._totals["bots"] += int(day.events.is_bot[inside].sum())
        self._totals["duplicates"] += int(is_duplicated(dice, wishes, key).sum())
        self._totals["bad_rows"] += int(is_followed_by_broken(dice, wishes, key).sum())

    def _add_visits(self, day: Day, local: Ints) -> None:
        """Visits whose first event lies in the period; ``local``: the local day of that event."""
        events, visits = day.events, day.visits
        inside = (local >= 0) & (local < len(self._dates)) & ~visits.is_bot & ~visits.is_silent
        first = visits.first[inside]
        last = first + visits.size[inside] - 1
        person, source = visits.person[inside], visits.source[inside]
        is_view = events.kind == VIEW
        self._totals["visits"] += len(first)
        self._totals["bounces"] += int((first == last).sum())
        self._totals["visit_ms"] += int((events.time[last] - events.time[first]).sum())
        self._totals["visit_views"] += int(is_view[inside[events.visit]].sum())
        self._day_visits += np.bincount(local[inside], minlength=len(self._dates))
        entry = first + visits.leading[inside]
        self._entries.add(events.page[entry], person)
        self._sources.add(source, person)
        self._channels.add(source, person)
        device = Devices.of(self._population.dice, events.device[entry])
        self._devices.add(device.agent, person)

    def _add_steps(self, person: Ints, step: Ints) -> None:
        """Walk everybody's steps in order of time: each one counts if the one before was done."""
        is_step = (step >= 0) & (step < len(STEPS))
        person, step = person[is_step], step[is_step]
        begins = np.append(True, person[1:] != person[:-1])[: len(person)]
        walker = np.cumsum(begins) - 1
        turn = np.arange(len(person)) - np.flatnonzero(begins)[walker]
        done = np.zeros(int(begins.sum()), dtype=np.int64)
        for n in range(int(turn.max(initial=-1)) + 1):
            now = turn == n
            done[walker[now]] += step[now] == done[walker[now]]
        for n in range(len(STEPS)):
            self._steps[n] += int((done > n).sum())

    def truth(self) -> Truth:
        """The numbers of the period, once all of ``plan_days`` are counted."""
        day_viewers = [_different(self._day_viewers[n]) for n in range(len(self._dates))]
        return Truth(
            start=self._start,
            end=self._end,
            time_zone=self._zone.key,
            visitors=int(self._viewers.counts()[0]),
            visits=self._totals["visits"],
            page_views=int(self._views.sum()),
            visit_views=self._totals["visit_views"],
            bounces=self._totals["bounces"],
            visit_ms=self._totals["visit_ms"],
            days=tuple(
                DayCount(day, len(viewers), visits, views)
                for day, viewers, visits, views in zip(
                    self._dates,
                    day_viewers,
                    self._day_visits.tolist(),
                    self._day_views.tolist(),
                    strict=True,
                )
            ),
            pages=self._page_counts(),
            entry_pages=self._entries.shares(),
            sources=self._sources.shares(),
            channels=self._channels.shares(),
            devices=self._devices.shares(),
            funnel=tuple(Step(*row) for row in zip(STEPS, self._steps.tolist(), strict=True)),
            retention=self._cohorts(),
            stored=self._totals["stored"],
            bots=self._totals["bots"],
            duplicates=self._totals["duplicates"],
            bad_rows=self._totals["bad_rows"],
        )

    def _page_counts(self) -> tuple[PageCount, ...]:
        viewers = self._page_viewers.counts().tolist()
        rows = zip(self._pages.paths, self._views.tolist(), viewers, strict=True)
        counts = [PageCount(*row) for row in rows if row[1]]
        return tuple(sorted(counts, key=lambda count: (-count.views, count.path)))

    def _cohorts(self) -> tuple[Cohort, ...]:
        grid = np.zeros((len(self._dates), len(self._dates)), dtype=np.int64)
        for n in range(len(self._dates)):
            first = self._first_seen[_different(self._day_people[n])]
            grid[:, n] = np.bincount(first[first >= 0], minlength=len(self._dates))
        return tuple(
            Cohort(day, tuple(row[n:].tolist()))
            for n, (day, row) in enumerate(zip(self._dates, grid, strict=True))
        )


def _collect(days: dict[int, list[Ints]], local: Ints, person: Ints) -> None:
    """Add the people to the local day beside each, once for each of the plan's days."""
    for day in np.unique(local).tolist():
        days[day].append(np.unique(person[local == day]))


def _different(parts: list[Ints]) -> NDArray[np.int64]:
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)
