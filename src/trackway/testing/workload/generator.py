"""The workload: a stream of events of a web shop whose every number is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from trackway.errors import SettingError
from trackway.testing.workload.arrivals import Arrivals, arrivals_of
from trackway.testing.workload.counting import Count
from trackway.testing.workload.events import day_of
from trackway.testing.workload.pages import Pages
from trackway.testing.workload.parameters import Parameters
from trackway.testing.workload.parquet import write_parquet
from trackway.testing.workload.payloads import Payload, Payloads
from trackway.testing.workload.population import Population, returning
from trackway.testing.workload.truth import Truth
from trackway.testing.workload.visits import MEAN_DEPTH, VISITS_A_DAY
from trackway.wires.snowplow import PAYLOAD_SCHEMA


class Workload(Parameters):
    """A web shop's events, the same each time for the same parameters (see Parameters).

    One stream has several forms: ``payloads``, ``bodies`` and ``parquet``; ``truth`` says what
    reports over it must show. The stream is made a day at a time, so memory is bounded by the
    busiest day and by one bit for each pair of page and person where the truth is counted.

    Send the stream in its order, over one connection: the first of two events with one id is the
    one that counts, and the first user named on a device owns its past. The planned times travel
    as true times (``ttm``), so a year is replayed as fast as it can be sent.
    """

    @classmethod
    def small(cls, **changes: Any) -> Self:
        """About 5,000 events of two weeks, for tests."""
        sizes: dict[str, Any] = {"events": 5_000, "days": 14}
        return cls(**sizes | changes)

    @classmethod
    def year(
        cls, *, events: int = 10_000_000, end: date = date(2026, 7, 1), **changes: Any
    ) -> Self:
        """About so many events in the 365 days before ``end``, for benchmarks."""
        start = end - timedelta(days=365)
        sizes: dict[str, Any] = {"events": events, "days": 365, "start": start, "growth": 1.5}
        return cls(**sizes | changes)

    @property
    def end(self) -> date:
        """The day after the last."""
        return self.start + timedelta(days=self.days)

    @cached_property
    def population(self) -> Population:
        """The people; their number follows from ``events`` if ``people`` is not given."""
        if self.people is not None:
            return Population(self, self.people)
        people = wanted = 10_000 if self.events is None else self.events
        # How many return depends, by its rounding, on how many there are; this settles quickly.
        for _ in range(4):
            people = max(1, round(wanted / self._events_per_person(people)))
        return Population(self, people)

    @cached_property
    def catalogue(self) -> Pages:
        """The pages of the shop."""
        return Pages.of(self.pages)

    def arrivals(self) -> Iterator[Arrivals]:
        """Everything that arrives, in order, as arrays."""
        days = (day_of(self.population, self.catalogue, n) for n in range(self.days))
        return arrivals_of(self.population, days)

    def payloads(self) -> Iterator[Payload]:
        """Every event that is sent, in order of arrival, as a tp2 payload of text values."""
        payloads = Payloads(self.population, self.catalogue)
        for arrivals in self.arrivals():
            yield from payloads.of(arrivals)

    def bodies(self, *, batch: int = 100) -> Iterator[bytes]:
        """The payloads as bodies of POST requests (``payload_data`` 1-0-4), ``batch`` in each."""
        encode = msgspec.json.encode
        opening = b'{"schema":"%b","data":' % PAYLOAD_SCHEMA.encode()
        payloads = self.payloads()
        while part := list(islice(payloads, batch)):
            yield opening + encode(part) + b"}"

    def parquet(self, path: str | Path) -> Path:
        """Write the events as a warehouse stores them, each once and no broken ones.

        Columns are named as in the warehouse's table ``events``; see ``parquet.write_parquet``.
        """
        return write_parquet(Path(path), self.population, self.catalogue, self.arrivals())

    def truth(
        self, start: date | None = None, end: date | None = None, time_zone: str | None = None
    ) -> Truth:
        """The numbers of the period from ``start`` to the day before ``end``.

        Without arguments: of the whole workload, in its own time zone. Counted anew at each call.
        """
        start, end = start or self.start, end or self.end
        if start >= end:
            raise SettingError(f"the period from {start} ends before {end}: expected a later end")
        zone = ZoneInfo(time_zone or self.time_zone)
        count = Count(self.population, self.catalogue, start, end, zone)
        for day in count.plan_days():
            count.add(day_of(self.population, self.catalogue, day))
        return count.truth()

    def _events_per_person(self, people: int) -> float:
        """How many events there are for each of so many people, on the average."""
        sizes = np.diff(Population(self, people).starts)
        returns = sum(int(returning(sizes[:day], self, day).sum()) for day in range(self.days))
        further = float(np.dot(VISITS_A_DAY, range(len(VISITS_A_DAY))))
        silent = further * self.silent_visits
        viewing = 1 + further - silent
        views = self.bounces + (1 - self.bounces) * (2 + 1 / math.expm1(1 / MEAN_DEPTH))
        active_day = viewing * (views + self.leading_events) + silent * 2
        active_day += (1 + further) * self.bots * 3
        reached = np.cumprod(self.funnel)
        script = float(reached.sum() + reached[0] * self.repeated_steps + 2 * reached[-1])
        return active_day * (1 + returns / people) + script + self.stray_steps
