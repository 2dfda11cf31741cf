"""A period is a span of whole local days; it knows its bounds in UTC and its buckets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from trackway.errors import SettingError

Unit = Literal["hour", "day", "week", "month"]

#: What ``period=`` in a URL may say, and how people read it.
PRESETS: dict[str, str] = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "Last 7 days",
    "28d": "Last 28 days",
    "30d": "Last 30 days",
    "month": "This month",
    "last-month": "Last month",
    "12mo": "Last 12 months",
    "year": "This year",
}
DEFAULT_PRESET = "30d"

_HOUR_MS = 60 * 60 * 1000
_FIRST, _LAST = date(1970, 1, 1), date(2100, 12, 31)
#: So that nobody asks for a million buckets.
_LONGEST_DAYS = 3660
#: English on purpose: the standard library's names follow the locale of the machine.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DASH = "\N{EN DASH}"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Run(NamedTuple):
    """Buckets of equal length that follow each other: the first starts at ``start`` (ms UTC), each
    is ``step`` ms long, and the first of them has the number ``index``."""

    start: int
    step: int
    number: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """One point of a chart: from ``start`` up to but without ``end`` (milliseconds UTC).

    ``partial`` is true if it covers less than its unit, because the period or the present cuts it;
    ``future`` if nothing of it has happened yet.
    """

    start: int
    end: int
    first: date
    last: date
    label: str
    title: str
    partial: bool
    future: bool


@dataclass(frozen=True, slots=True)
class Period:
    """The local days from ``start`` to ``end``, both included, in an IANA time zone."""

    start: date
    end: date
    time_zone: str = "UTC"
    preset: str = "custom"

    def __post_init__(self) -> None:
        zone_of(self.time_zone)
        if self.end < self.start:
            raise SettingError(f"the period ends on {self.end}, before it starts on {self.start}")
        if self.days > _LONGEST_DAYS:
            raise SettingError(f"a period has at most {_LONGEST_DAYS} days, this one {self.days}")

    @classmethod
    def parse(
        cls, query: Mapping[str, str], *, now: int, time_zone: str = "UTC", default: str = ""
    ) -> Period:
        """Read ``period``, ``from``, ``to`` and ``tz`` as they stand in a URL.

        ``now`` is in milliseconds UTC. Periods of "last N days" include today. Raises SettingError
        with one sentence that says what was expected.
        """
        zone = query.get("tz") or time_zone
        today = local_date(now, zone)
        preset = query.get("period") or default or DEFAULT_PRESET
        if preset == "custom":
            return cls(_date(query, "from"), _date(query, "to"), zone)
        if preset not in PRESETS:
            known = ", ".join((*PRESETS, "custom"))
            raise SettingError(f"period={preset!r} is not known; use one of {known}")
        start, end = _span(preset, today)
        return cls(start, end, zone, preset)

    @property
    def days(self) -> int:
        """How many local days."""
        return (self.end - self.start).days + 1

    @property
    def unit(self) -> Unit:
        """The length of a bucket: what gives between some dozen and a hundred points."""
        if self.days <= 2:
            return "hour"
        if self.days <= 92:
            return "day"
        return "week" if self.days <= 200 else "month"

    def bounds(self) -> tuple[int, int]:
        """The first millisecond of the period and the first one after it, in UTC."""
        return midnight(self.start, self.time_zone), midnight(_next(self.end), self.time_zone)

    def running(self, now: int) -> bool:
        """Whether the present (ms UTC) lies inside."""
        start, end = self.bounds()
        return start <= now < end

    def previous(self) -> Period:
        """The same number of days, directly before."""
        length = timedelta(days=self.days)
        return Period(self.start - length, self.end - length, self.time_zone)

    def earlier(self) -> Period:
        """One step back in time: a whole month for whole months, else the same number of days."""
        return self._stepped(-1)

    def later(self) -> Period:
        """One step forward in time."""
        return self._stepped(1)

    def query(self) -> dict[str, str]:
        """The parameters of a URL that mean this period (without the time zone)."""
        if self.preset != "custom":
            return {"period": self.preset}
        return {"period": "custom", "from": str(self.start), "to": str(self.end)}

    def edges(self) -> tuple[int, ...]:
        """Where the buckets meet, in ms UTC: one number more than there are buckets.

        Hours are counted in elapsed time from local midnight, so that a day has 23 or 25 of them
        where the clocks change; days, weeks (from Monday) and months are those of the calendar.
        """
        if self.unit == "hour":
            start, end = self.bounds()
            return (*range(start, end, _HOUR_MS), end)
        return tuple(midnight(day, self.time_zone) for day in self._edge_days())

    def previous_edges(self) -> tuple[int, ...]:
        """The buckets of ``previous()``, each as many days long as its partner in this period."""
        before = self.previous()
        if self.unit == "hour":
            return before.edges()
        length = timedelta(days=self.days)
        return tuple(midnight(day - length, self.time_zone) for day in self._edge_days())

    def comparable_until(self, now: int) -> int:
        """Up to when (ms UTC) the previous period is compared: its end, or while this period is
        still running the same local time the same number of days ago."""
        if not self.running(now):
            return self.bounds()[0]
        zone = zone_of(self.time_zone)
        # Wall-clock arithmetic: a clock change between the two must not move the time of day.
        there = datetime.fromtimestamp(now / 1000, zone) - timedelta(days=self.days)
        return min(int(there.timestamp() * 1000), self.bounds()[0])

    def buckets(self, now: int) -> list[Bucket]:
        """The points of the chart; ``now`` (ms UTC) tells which are unfinished or still to come."""
        edges = self.edges()
        if self.unit == "hour":
            return [self._hour(a, b, now) for a, b in pairwise(edges)]
        days = self._edge_days()
        return [
            self._calendar(first, upto, a, b, now)
            for (first, upto), (a, b) in zip(pairwise(days), pairwise(edges), strict=True)
        ]

    def _stepped(self, direction: int) -> Period:
        whole = self.start.day == 1 and _next(self.end).day == 1
        if whole and self.days <= 31:
            start = _month(self.start, direction)
            return Period(start, _month(start, 1) - timedelta(days=1), self.time_zone)
        length = timedelta(days=self.days * direction)
        return Period(self.start + length, self.end + length, self.time_zone)

    def _edge_days(self) -> list[date]:
        end = _next(self.end)
        day, days = self.start, []
        while day < end:
            days.append(day)
            day = _step(day, self.unit)
        return [*days, end]

    def _hour(self, start: int, end: int, now: int) -> Bucket:
        local = datetime.fromtimestamp(start / 1000, zone_of(self.time_zone))
        label = f"{local:%H:%M}"
        title = f"{weekday_date(local.date())}, {label}"
        partial = end - start < _HOUR_MS or start <= now < end
        return Bucket(start, end, local.date(), local.date(), label, title, partial, start > now)

    def _calendar(self, first: date, upto: date, start: int, end: int, now: int) -> Bucket:
        last = upto - timedelta(days=1)
        whole = upto == _step(first, self.unit)
        if self.unit == "month":
            whole = whole and first.day == 1
            month = _MONTHS[first.month - 1]
            label = f"{month} {first.year}" if first.month == 1 else month
            title = f"{month} {first.year}" if whole else span_of(first, last)
        else:
            whole = whole and (self.unit == "day" or first.weekday() == 0)
            label = short_date(first)
            title = weekday_date(first) if self.unit == "day" else span_of(first, last)
        partial = not whole or start <= now < end
        return Bucket(start, end, first, last, label, title, partial, start > now)


def runs(edges: Sequence[int]) -> list[Run]:
    """The edges as stretches of equal steps, so that an engine that knows no time zones finds the
    bucket of a moment with one division; a stretch ends where clocks change or months differ."""
    found: list[Run] = []
    for index, (start, end) in enumerate(pairwise(edges)):
        if not found or found[-1].step != end - start:
            found.append(Run(start, end - start, index))
    return found


def zone_of(name: str) -> ZoneInfo:
    """The zone with this IANA name; SettingError if there is none."""
    try:
        # ZoneInfo would also read "localtime" or a directory of the machine's own.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+)*", name):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        hint = "use a name like Europe/Berlin or UTC"
        raise SettingError(f"time zone {name!r} is not known; {hint}") from error


def local_date(now: int, time_zone: str) -> date:
    """The date that a wall calendar in the zone shows at this moment (ms UTC)."""
    return datetime.fromtimestamp(now / 1000, UTC).astimezone(zone_of(time_zone)).date()


def midnight(day: date, time_zone: str) -> int:
    """When the day begins in the zone, ms UTC; where clocks skip midnight, when they skip it."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone_of(time_zone))
    return int(local.timestamp()) * 1000


def short_date(day: date) -> str:
    """Like ``20 Nov``."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def weekday_date(day: date) -> str:
    """Like ``Thu 20 Nov 2025``."""
    return f"{_WEEKDAYS[day.weekday()]} {short_date(day)} {day.year}"


def span_of(first: date, last: date) -> str:
    """Like ``20 Nov 2025``, or two dates with a dash and nothing said twice."""
    end = f"{short_date(last)} {last.year}"
    if first == last:
        return end
    if first.year != last.year:
        begin = f"{short_date(first)} {first.year}"
    else:
        begin = f"{first.day}" if first.month == last.month else short_date(first)
    return f"{begin} {_DASH} {end}"


def _span(preset: str, today: date) -> tuple[date, date]:
    match preset:
        case "today":
            return today, today
        case "yesterday":
            return today - timedelta(days=1), today - timedelta(days=1)
        case "month":
            return today.replace(day=1), today
        case "last-month":
            return _month(today, -1), today.replace(day=1) - timedelta(days=1)
        case "12mo":
            return _month(today, -11), today
        case "year":
            return today.replace(month=1, day=1), today
    days = int(preset.removesuffix("d"))
    return today - timedelta(days=days - 1), today


def _date(query: Mapping[str, str], key: str) -> date:
    text = query.get(key, "")
    # fromisoformat also takes forms such as 20251120, which no date field of a browser sends.
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise SettingError(f"period=custom needs {key}=YYYY-MM-DD, not {text!r}")
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise SettingError(f"{key}={text!r} is not a day of the calendar") from error
    if not _FIRST <= day <= _LAST:
        raise SettingError(f"{key}={text} does not lie between {_FIRST} and {_LAST}")
    return day


def _step(day: date, unit: Unit) -> date:
    if unit == "month":
        return _month(day, 1)
    return day + timedelta(days=7 - day.weekday() if unit == "week" else 1)


def _month(day: date, offset: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + offset, 12)
    return date(year, month + 1, 1)


def _next(day: date) -> date:
    return day + timedelta(days=1)
