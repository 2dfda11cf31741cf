"""Planted events in a small DuckDB, and the plain-Python oracle that knows every right answer."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from trackway.periods import Period
from trackway.reports.question import Question
from trackway.reports.traffic import Totals
from trackway.sinks import Table
from trackway.warehouse.schema import DUCKDB_TABLES, SESSION_ENTRY, SESSION_GAP_MS

SITE = "shop"
MINUTE = 60_000
VIEWS = {"page_view", "screen_view"}


def at(text: str, zone: str = "UTC") -> int:
    """A local time like ``2025-10-26 02:30`` as milliseconds UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@dataclass(frozen=True)
class Planted:
    """An event as the tests plant it."""

    time: int
    visitor: int
    page: str | None = "/"
    name: str = "page_view"
    site: str = SITE
    channel: str | None = "Direct"
    source: str | None = None
    campaign: str | None = None
    device: str | None = "desktop"
    browser: str | None = "Firefox"
    os: str | None = "Linux"
    is_bot: bool = False

    def column(self, name: str) -> Any:
        """The value of a column of ``events``."""
        fields = {
            "page_urlpath": "page",
            "mkt_campaign": "campaign",
            "br_name": "browser",
            "os_name": "os",
            "dvce_type": "device",
        }
        return getattr(self, fields.get(name, name), None)


@dataclass(frozen=True)
class Visit:
    """A session as the oracle derives it, with its events in order."""

    site: str
    person: int
    events: tuple[Planted, ...]

    @property
    def views(self) -> list[Planted]:
        return [event for event in self.events if event.name in VIEWS]

    @property
    def started(self) -> int:
        return self.events[0].time

    @property
    def ended(self) -> int:
        return self.events[-1].time

    @property
    def first(self) -> Planted:
        return (self.views or self.events)[0]

    @property
    def exit_page(self) -> str | None:
        return (self.views or self.events)[-1].page

    def value(self, key: str) -> str | None:
        """The value of a dimension of visits."""
        if key == "exit":
            return self.exit_page
        found: str | None = getattr(self.first, "page" if key == "entry" else key)
        return found


class World:
    """Events and who their visitors turned out to be, with the answers found by brute force."""

    def __init__(self, events: Iterable[Planted], persons: dict[int, int] | None = None) -> None:
        self.events = sorted(events, key=lambda event: event.time)
        self.persons = persons or {}
        self.visits = self._visits()

    def person(self, event: Planted) -> int:
        return self.persons.get(event.visitor, event.visitor)

    def _visits(self) -> list[Visit]:
        trails: dict[tuple[str, int], list[Planted]] = defaultdict(list)
        for event in self.events:
            trails[event.site, self.person(event)].append(event)
        found = []
        for (site, person), trail in trails.items():
            begin = 0
            for i in range(1, len(trail) + 1):
                if i == len(trail) or trail[i].time - trail[i - 1].time > SESSION_GAP_MS:
                    found.append(Visit(site, person, tuple(trail[begin:i])))
                    begin = i
        return found

    # Answers ----------------------------------------------------------------------------------

    def visits_of(self, question: Question, start: int, end: int) -> list[Visit]:
        """The visits that a question counts."""
        page = question.filters.get("page")
        return [
            visit
            for visit in self.visits
            if visit.site == question.site
            and start <= visit.started < end
            and visit.views
            and self._wanted(question, visit)
            and (page is None or any((view.page or "") == page for view in visit.views))
        ]

    def views_of(self, question: Question, start: int, end: int) -> list[tuple[int, Planted]]:
        """The views that a question counts, with the person."""
        page = question.filters.get("page")
        return [
            (visit.person, view)
            for visit in self.visits
            if visit.site == question.site and self._wanted(question, visit)
            for view in visit.views
            if start <= view.time < end and (page is None or (view.page or "") == page)
        ]

    def _wanted(self, question: Question, visit: Visit) -> bool:
        if visit.first.is_bot and not question.bots:
            return False
        filters = {key: value for key, value in question.filters.items() if key != "page"}
        return all((visit.value(key) or "") == value for key, value in filters.items())

    def totals(self, question: Question, start: int, end: int) -> Totals:
        """The six numbers between two moments."""
        views, visits = self.views_of(question, start, end), self.visits_of(question, start, end)
        return Totals(
            visitors=len({person for person, _ in views}),
            page_views=len(views),
            visits=len(visits),
            bounces=sum(len(visit.events) == 1 for visit in visits),
            duration_ms=sum(visit.ended - visit.started for visit in visits),
        )

    def previous_totals(self, question: Question) -> Totals:
        """The six numbers of the time before, up to the same local time if the period runs."""
        period, zone = question.period, ZoneInfo(question.period.time_zone)
        start, end = _midnight(period.start, zone), _midnight(period.end + timedelta(1), zone)
        before = _midnight(period.start - timedelta(period.days), zone)
        until = start
        if start <= question.now < end:
            local = datetime.fromtimestamp(question.now / 1000, zone).replace(tzinfo=None)
            there = (local - timedelta(period.days)).replace(tzinfo=zone)
            until = min(start, int(there.timestamp() * 1000))
        return self.totals(question, before, until)

    def series(self, question: Question, *, previous: bool = False) -> list[Totals]:
        """The six numbers per bucket, each event put into its bucket by the wall clock."""
        period = question.period
        shift = timedelta(period.days) if previous else timedelta(0)
        keys, key_of = _buckets(period, shift)
        zone = ZoneInfo(period.time_zone)
        start = _midnight(period.start - shift, zone)
        end = _midnight(period.end + timedelta(1) - shift, zone)
        views, people = Counter[Hashable](), defaultdict[Hashable, set[int]](set)
        for person, view in self.views_of(question, start, end):
            views[key_of(view.time)] += 1
            people[key_of(view.time)].add(person)
        visits: dict[Hashable, list[Visit]] = defaultdict(list)
        for visit in self.visits_of(question, start, end):
            visits[key_of(visit.started)].append(visit)
        return [
            Totals(
                visitors=len(people[key]),
                page_views=views[key],
                visits=len(visits[key]),
                bounces=sum(len(visit.events) == 1 for visit in visits[key]),
                duration_ms=sum(visit.ended - visit.started for visit in visits[key]),
            )
            for key in keys
        ]

    def top(self, question: Question, key: str) -> list[tuple[str, int, int]]:
        """All rows of a list in order: value, visitors, views or visits."""
        zone = ZoneInfo(question.period.time_zone)
        start = _midnight(question.period.start, zone)
        end = _midnight(question.period.end + timedelta(1), zone)
        if key == "page":
            rows = [(view.page or "", p) for p, view in self.views_of(question, start, end)]
        else:
            visits = self.visits_of(question, start, end)
            rows = [(visit.value(key) or "", visit.person) for visit in visits]
        if key == "campaign":
            rows = [row for row in rows if row[0]]
        times, people = Counter(value for value, _ in rows), defaultdict(set)
        for value, person in rows:
            people[value].add(person)
        found = [(value, len(people[value]), times[value]) for value in times]
        return sorted(found, key=lambda row: (-row[1], -row[2], row[0].encode()))

    def live(self, now: int) -> int:
        """Who did anything in the last five minutes."""
        since = now - 5 * MINUTE
        return len(
            {
                self.person(e)
                for e in self.events
                if e.site == SITE and since < e.time <= now and not e.is_bot
            }
        )

    # Into a warehouse -------------------------------------------------------------------------

    def warehouse(self) -> SmallWarehouse:
        """A warehouse that holds this world."""
        house = SmallWarehouse()
        self.fill(house)
        return house

    def fill(self, house: SmallWarehouse) -> None:
        """Put this world into a warehouse."""
        columns = [
            *("page_urlpath", "channel", "source", "mkt_campaign"),
            *("dvce_type", "br_name", "os_name", "is_bot"),
        ]
        names = ["site", "derived_tstamp", "event_name", "visitor", *columns]
        house.insert(
            "events",
            names,
            [
                (e.site, _utc(e.time), e.name, e.visitor, *(e.column(name) for name in columns))
                for e in self.events
            ],
        )
        house.insert(
            "people",
            ["visitor", "site", "visitor_id", "person"],
            [
                (visitor, site, f"a:{visitor}", self.persons.get(visitor, visitor))
                for site, visitor in sorted({(e.site, e.visitor) for e in self.events})
            ],
        )
        house.insert(
            "sessions",
            ["site", "started", "ended", "person", "events", "views", "exit_page", "is_bot"]
            + [name for name, _ in SESSION_ENTRY],
            [
                (
                    *(v.site, _utc(v.started), _utc(v.ended), v.person, len(v.events)),
                    *(len(v.views), v.exit_page, v.first.is_bot),
                    *(v.first.column(source) for _, source in SESSION_ENTRY),
                )
                for v in sorted(self.visits, key=lambda v: v.started)
            ],
        )


class SmallWarehouse:
    """The least that is a Warehouse: DuckDB in memory, a cursor for each question."""

    def __init__(self) -> None:
        self._root = duckdb.connect(config={"threads": 2})
        self._root.execute(DUCKDB_TABLES)
        self.asked: list[str] = []

    def query(self, sql: str, params: Sequence[Any] = ()) -> Table:
        self.asked.append(sql)
        with self._root.cursor() as cursor:
            cursor.execute(sql, list(params))
            return Table([column[0] for column in cursor.description or ()], cursor.fetchall())

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        if rows:
            self._root.execute("BEGIN")
            self._root.executemany(statement, [list(row) for row in rows])
            self._root.execute("COMMIT")


def crowd(seed: int, moments: Sequence[int], people: int = 60) -> World:
    """A seeded crowd whose events gather around some moments, where reports go wrong.

    Some people have several visitors, some are bots, some visits cross a moment, some have no
    view at all, and gaps of 29, 30 and 31 minutes stand beside each other.
    """
    dice = random.Random(seed)
    persons = {2 * person + 1: 2 * person for person in range(1, people, 3)}
    pages = ["/", "/pricing", "/docs", "/docs/a b", "/ü", None]
    events = []
    for _ in range(people * 8):
        person = 2 * dice.randrange(1, people)
        visitor = person + 1 if person + 1 in persons and dice.random() < 0.5 else person
        ways = random.Random(person)
        one = Planted(
            time=0,
            visitor=visitor,
            site=SITE if person % 7 else "elsewhere",
            device=ways.choice(["desktop", "phone", "tablet", None]),
            browser=ways.choice(["Firefox", "Chrome", "Safari"]),
            os=ways.choice(["Linux", "Android", None]),
            is_bot=person % 11 == 0,
        )
        channel, source = dice.choice(
            [("Direct", None), ("Organic search", "Google"), ("Social", "O'Reilly; --"), (None, "")]
        )
        one = replace(
            one,
            channel=channel,
            source=source,
            campaign=dice.choice([None, None, "", "autumn", "spring"]),
        )
        span = dice.choice([2, 90, 3 * 24 * 60]) * MINUTE
        time = dice.choice(moments) + dice.randrange(-span, span)
        for _ in range(dice.choice([1, 1, 2, 3, 6])):
            name = dice.choice(["page_view"] * 6 + ["screen_view", "page_ping", "Bought"])
            events.append(replace(one, time=time, name=name, page=dice.choice(pages)))
            time += dice.choice([0, 1, 7_001, 29 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1])
    return World(events, persons)


def _buckets(period: Period, shift: timedelta) -> tuple[list[Hashable], Callable[[int], Hashable]]:
    """The keys of all buckets in order, and the key of a moment; by calendar, not by edges."""
    zone = ZoneInfo(period.time_zone)
    start, end = _midnight(period.start - shift, zone), _midnight(period.end - shift, zone)
    if period.unit == "hour":
        hours = -(
            -(_midnight(period.end + timedelta(1), zone) - _midnight(period.start, zone))
            // 3_600_000
        )
        return list(range(hours)), lambda ms: (ms - start) // 3_600_000

    def key(day: date) -> Hashable:
        if period.unit == "day":
            return day
        return day.isocalendar()[:2] if period.unit == "week" else (day.year, day.month)

    def key_of(ms: int) -> Hashable:
        return key(datetime.fromtimestamp(ms / 1000, zone).date() + shift)

    assert end >= start
    days = [period.start + timedelta(n) for n in range(period.days)]
    return list(dict.fromkeys(key(day) for day in days)), key_of


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, ZoneInfo("UTC")).strftime("%Y-%m-%d %H:%M:%S.") + (
        f"{ms % 1000:03d}"
    )
