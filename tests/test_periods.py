"""Periods: what a URL says, where days begin, and how they are cut into buckets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planted import at
from trackway.errors import SettingError
from trackway.periods import PRESETS, Period, runs, span_of

HOUR = 3_600_000
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",  # 5:45 ahead
    "Australia/Lord_Howe",  # its clocks change by half an hour
    "America/Santiago",  # skips midnight itself
    "Pacific/Apia",  # had no 30 December 2011
]
NOW = at("2025-11-20 15:20", "Europe/Berlin")


def parse(**query: str) -> Period:
    return Period.parse(query, now=NOW, time_zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("preset", "start", "end"),
    [
        ("today", "2025-11-20", "2025-11-20"),
        ("yesterday", "2025-11-19", "2025-11-19"),
        ("7d", "2025-11-14", "2025-11-20"),
        ("28d", "2025-10-24", "2025-11-20"),
        ("30d", "2025-10-22", "2025-11-20"),
        ("month", "2025-11-01", "2025-11-20"),
        ("last-month", "2025-10-01", "2025-10-31"),
        ("12mo", "2024-12-01", "2025-11-20"),
        ("year", "2025-01-01", "2025-11-20"),
    ],
)
def test_every_preset_is_a_span_of_local_days(preset: str, start: str, end: str) -> None:
    period = parse(period=preset)
    assert (str(period.start), str(period.end)) == (start, end)
    assert period.query() == {"period": preset}


def test_all_presets_are_tested() -> None:
    (mark,) = test_every_preset_is_a_span_of_local_days.pytestmark  # type: ignore[attr-defined]
    assert [case[0] for case in mark.args[1]] == list(PRESETS)


def test_nothing_said_means_the_last_thirty_days() -> None:
    assert parse().preset == "30d"


def test_today_is_the_day_on_the_wall_of_the_time_zone() -> None:
    late = at("2025-11-20 23:30", "UTC")
    assert Period.parse({"period": "today"}, now=late, time_zone="UTC").start == date(2025, 11, 20)
    there = Period.parse({"period": "today", "tz": "Asia/Kathmandu"}, now=late)
    assert there.start == date(2025, 11, 21)


def test_a_custom_period_includes_both_its_days_and_survives_its_own_url() -> None:
    period = parse(period="custom", **{"from": "2025-03-29", "to": "2025-03-30"})
    assert period.days == 2
    assert parse(**period.query()) == period


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"period": "31d"}, "period='31d' is not known; use one of today, yesterday"),
        ({"period": "custom"}, "period=custom needs from=YYYY-MM-DD, not ''"),
        ({"period": "custom", "from": "2025-01-01"}, "period=custom needs to=YYYY-MM-DD"),
        ({"period": "custom", "from": "20250101", "to": "2025-01-02"}, "needs from=YYYY-MM-DD"),
        ({"period": "custom", "from": "2025-02-30", "to": "2025-03-01"}, "not a day of the cal"),
        ({"period": "custom", "from": "0001-01-01", "to": "2025-03-01"}, "does not lie between"),
        ({"period": "custom", "from": "2025-03-02", "to": "2025-03-01"}, "before it starts"),
        ({"period": "custom", "from": "1990-01-01", "to": "2025-03-01"}, "at most 3660 days"),
        ({"tz": "Mars/Olympus"}, "time zone 'Mars/Olympus' is not known"),
        ({"tz": "../../etc/passwd"}, "is not known"),
        ({"tz": "Europe"}, "time zone 'Europe' is not known"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(query: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError) as error:
        parse(**query)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_bounds_are_local_midnights_in_utc() -> None:
    start, end = parse(period="custom", **{"from": "2025-10-26", "to": "2025-10-26"}).bounds()
    assert (start, end) == (at("2025-10-25 22:00"), at("2025-10-26 23:00"))


@pytest.mark.parametrize(("day", "hours"), [("2025-03-30", 23), ("2025-10-26", 25)])
def test_days_on_which_clocks_change_have_23_or_25_hours(day: str, hours: int) -> None:
    period = parse(period="custom", **{"from": day, "to": day})
    buckets = period.buckets(NOW)
    assert len(buckets) == hours
    assert all(bucket.end - bucket.start == HOUR for bucket in buckets)
    assert [b.label for b in buckets].count("02:00") == (2 if hours == 25 else 0)
    assert not any(bucket.partial for bucket in buckets)


def test_hours_of_a_quarter_hour_zone_begin_at_its_own_full_hours() -> None:
    period = Period(date(2025, 11, 20), date(2025, 11, 20), "Asia/Kathmandu")
    assert period.edges()[0] % HOUR == 15 * 60_000
    assert [b.label for b in period.buckets(NOW)][:2] == ["00:00", "01:00"]


def test_a_day_that_a_zone_skipped_is_empty() -> None:
    edges = Period(date(2011, 12, 28), date(2012, 1, 2), "Pacific/Apia").edges()
    assert [b - a for a, b in pairwise(edges)] == [
        24 * HOUR,
        24 * HOUR,
        0,
        24 * HOUR,
        24 * HOUR,
        24 * HOUR,
    ]


@pytest.mark.parametrize(
    ("days", "unit"),
    [
        (1, "hour"),
        (2, "hour"),
        (3, "day"),
        (92, "day"),
        (93, "week"),
        (200, "week"),
        (201, "month"),
    ],
)
def test_the_length_of_a_period_chooses_its_buckets(days: int, unit: str) -> None:
    assert Period(date(2025, 1, 1), date(2025, 1, 1) + timedelta(days - 1)).unit == unit


def test_weeks_begin_on_monday_and_cut_ones_are_partial() -> None:
    buckets = Period(date(2025, 1, 1), date(2025, 5, 1)).buckets(NOW)
    assert [b.first.weekday() for b in buckets[1:]] == [0] * (len(buckets) - 1)
    assert [b.partial for b in (buckets[0], buckets[1], buckets[-1])] == [True, False, True]
    assert buckets[1].title == span_of(date(2025, 1, 6), date(2025, 1, 12))


def test_months_are_those_of_the_calendar() -> None:
    buckets = parse(period="12mo").buckets(NOW)
    assert [b.label for b in buckets][:3] == ["Dec", "Jan 2025", "Feb"]
    assert [b.partial for b in buckets] == [False] * 11 + [True]


def test_the_bucket_of_the_present_is_partial_and_later_ones_are_future() -> None:
    buckets = parse(period="today").buckets(NOW)
    assert [b.partial for b in buckets] == [hour == 15 for hour in range(24)]
    assert [b.future for b in buckets] == [hour > 15 for hour in range(24)]


def test_the_previous_period_is_as_long_and_ends_where_this_one_begins() -> None:
    period = parse(period="30d")
    before = period.previous()
    assert before.days == period.days
    assert before.bounds()[1] == period.bounds()[0]


def test_a_running_period_is_compared_up_to_the_same_local_time() -> None:
    # Between the two Mondays the clocks went back: same wall clock, one hour more in between.
    now = at("2025-10-27 09:00", "Europe/Berlin")
    week = Period.parse({"period": "7d"}, now=now, time_zone="Europe/Berlin")
    assert week.comparable_until(now) == at("2025-10-20 09:00", "Europe/Berlin")


def test_a_period_that_is_over_is_compared_as_a_whole() -> None:
    period = parse(period="last-month")
    assert period.comparable_until(NOW) == period.bounds()[0]


@pytest.mark.parametrize(
    ("start", "end", "earlier", "later"),
    [
        ("2025-03-01", "2025-03-31", "2025-02-01", "2025-04-01"),
        ("2025-11-20", "2025-11-20", "2025-11-19", "2025-11-21"),
        ("2025-11-14", "2025-11-20", "2025-11-07", "2025-11-21"),
    ],
)
def test_steps_go_by_months_for_whole_months_and_by_days_else(
    start: str, end: str, earlier: str, later: str
) -> None:
    period = Period(date.fromisoformat(start), date.fromisoformat(end))
    assert (str(period.earlier().start), str(period.later().start)) == (earlier, later)
    assert period.earlier().later() == period


days = st.dates(date(1975, 1, 1), date(2090, 1, 1))


@given(start=days, length=st.integers(1, 800), zone=st.sampled_from(ZONES))
def test_buckets_tile_the_period_and_so_do_those_before(
    start: date, length: int, zone: str
) -> None:
    period = Period(start, start + timedelta(length - 1), zone)
    edges, before = period.edges(), period.previous_edges()
    assert (edges[0], edges[-1]) == period.bounds()
    assert before[-1] == edges[0]
    assert (before[0], before[-1]) == period.previous().bounds()
    assert list(edges) == sorted(edges)
    assert list(before) == sorted(before)
    assert len(period.buckets(NOW)) == len(edges) - 1
    if period.unit != "hour":
        assert len(before) == len(edges)


@given(start=days, length=st.integers(1, 800), zone=st.sampled_from(ZONES), part=st.floats(0, 1))
def test_runs_find_the_bucket_of_every_moment_by_whole_numbers(
    start: date, length: int, zone: str, part: float
) -> None:
    period = Period(start, start + timedelta(length - 1), zone)
    edges = period.edges()
    moment = min(edges[0] + int((edges[-1] - edges[0]) * part), edges[-1] - 1)
    run = [run for run in runs(edges) if run.start <= moment][-1]
    number = run.number + (moment - run.start) // max(run.step, 1)
    assert edges[number] <= moment < edges[number + 1]


@given(day=days, zone=st.sampled_from(ZONES[:5]))
def test_a_day_begins_with_its_first_moment(day: date, zone: str) -> None:
    start, end = Period(day, day, zone).bounds()

    def shown(ms: int) -> date:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()

    assert shown(start) == day
    assert shown(start - 1) < day
    assert shown(end - 1) == day
