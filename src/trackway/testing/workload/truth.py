"""The numbers that every report over the workload must show, counted on the plan itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class DayCount:
    """A local day. ``visits`` began on it."""

    day: date
    visitors: int
    visits: int
    page_views: int


@dataclass(frozen=True)
class PageCount:
    """A page: how often it was viewed, by how many people."""

    path: str
    views: int
    visitors: int


@dataclass(frozen=True)
class Share:
    """Visits by something they have in common, and the people who made them."""

    name: str | None  # None: a direct visit has no source
    visits: int
    visitors: int


@dataclass(frozen=True)
class Cohort:
    """The people first seen on a local day; ``returned[k]`` of them had an event k days later.

    ``returned[0]`` is the size of the cohort; the last item is that of the period's last day.
    """

    day: date
    returned: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """A step of the funnel: how many people got at least so far."""

    name: str
    people: int


@dataclass(frozen=True)
class Truth:
    """What is true of a period, ``start`` to the day before ``end`` in local time.

    Bots are left out except where they are named. A visit belongs to the period in which it
    starts; page views, people and funnel steps to that in which they happen.
    """

    start: date
    end: date
    time_zone: str

    visitors: int  # different people with a page view
    visits: int  # sessions with a page view
    page_views: int
    visit_views: int  # page views of the visits, which may reach over the end
    bounces: int  # visits of exactly one event
    visit_ms: int  # from the first to the last event of the visits, summed up, milliseconds

    days: tuple[DayCount, ...]
    pages: tuple[PageCount, ...]  # most viewed first
    entry_pages: tuple[Share, ...]  # the visits' first page views
    sources: tuple[Share, ...]  # most visits first, as are the next two
    channels: tuple[Share, ...]
    devices: tuple[Share, ...]
    funnel: tuple[Step, ...]
    retention: tuple[Cohort, ...]

    stored: int  # events, those of bots included
    bots: int  # events of bots
    duplicates: int  # further arrivals of events of this period
    bad_rows: int  # broken events, counted in the period of the good one that they resemble

    @property
    def views_per_visit(self) -> float:
        """Page views for each visit; 0 without visits."""
        return self.page_views / self.visits if self.visits else 0.0

    @property
    def bounce_rate(self) -> float:
        """Share of visits that are bounces; 0 without visits."""
        return self.bounces / self.visits if self.visits else 0.0

    @property
    def visit_seconds(self) -> float:
        """How long a visit is, on the average; 0 without visits."""
        return self.visit_ms / self.visits / 1000 if self.visits else 0.0
