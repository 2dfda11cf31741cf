"""Reports give, to the last unit, what plain Python counts over the planted events."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.planted import MINUTE, SITE, Planted, World, at, crowd
from trackway.errors import SettingError
from trackway.periods import Period
from trackway.reports.definitions import DEFINITIONS
from trackway.reports.live import live
from trackway.reports.overview import overview
from trackway.reports.question import DIMENSIONS, Question
from trackway.reports.sites import DAYS, site_names, sites
from trackway.reports.top import top
from trackway.reports.traffic import Totals, traffic

DEFINITIONS_PAGE = Path(__file__).parent.parent / "docs" / "definitions.md"

#: The moments around which the crowd gathers: clock changes, and midnights of several zones.
MOMENTS = [
    at("2025-09-28 00:00", "Europe/Berlin"),  # thirty days begin here
    at("2025-10-26 00:00", "Europe/Berlin"),
    at("2025-10-26 02:30", "Europe/Berlin"),
    at("2025-10-27 00:00", "Europe/Berlin"),
    at("2025-10-27 00:00", "Asia/Kathmandu"),
    at("2025-10-05 02:00", "Australia/Lord_Howe"),
    at("2025-10-31 23:59", "America/New_York"),
    at("2025-11-02 01:30", "America/New_York"),
    at("2025-03-30 03:00", "Europe/Berlin"),
    at("2025-01-01 00:00"),
    at("2025-10-20 10:00"),
    at("2025-10-27 09:30"),
]
NOW = at("2025-10-27 10:41", "Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"]
PERIODS = ["today", "yesterday", "7d", "30d", "month", "last-month", "12mo", "year"]
FILTERS: list[dict[str, str]] = [
    {},
    {"channel": "Direct"},
    {"source": "O'Reilly; --"},
    {"source": ""},
    {"campaign": "autumn", "device": "phone"},
    {"entry": "/docs/a b", "os": "Linux"},
    {"exit": "/ü", "browser": "Chrome"},
    {"page": "/pricing"},
    {"page": ""},
    {"page": "/docs", "channel": "Social"},
    {"page": "/docs", "entry": "/", "device": "desktop"},
    {"channel": "nobody came from here"},
]


@pytest.fixture(scope="module")
def world() -> World:
    return crowd(seed=5, moments=MOMENTS)


@pytest.fixture(scope="module")
def warehouse(world: World):
    return world.warehouse()


def ask(period: str = "30d", zone: str = "UTC", **filters: str) -> Question:
    return Question(SITE, Period.parse({"period": period}, now=NOW, time_zone=zone), NOW, filters)


def test_the_planted_crowd_has_what_reports_could_get_wrong(world: World) -> None:
    question = ask("30d", "Europe/Berlin")
    start, end = question.period.bounds()
    visits = [v for v in world.visits if v.site == SITE]
    assert any(v.started < start <= v.ended for v in visits)
    assert any(not v.views for v in visits)
    assert any(v.first.is_bot for v in visits)
    assert any(len({e.visitor for e in v.events}) == 2 for v in visits)
    assert world.totals(question, start, end).visitors > 10


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("period", PERIODS)
def test_traffic_is_what_the_oracle_counts(world, warehouse, period: str, zone: str) -> None:
    question = ask(period, zone)
    found = traffic(warehouse, question)
    assert found.totals == world.totals(question, *question.period.bounds())
    assert found.previous == world.previous_totals(question)
    assert found.series == world.series(question)
    before = world.series(question, previous=True)
    # A day of 25 hours has one that the day before does not have, and the other way round.
    assert found.previous_series == [*before, Totals()][: len(found.buckets)]
    assert len(found.buckets) == len(found.series)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.parametrize("period", ["yesterday", "30d", "12mo"])
def test_filtered_traffic_is_what_the_oracle_counts(
    world, warehouse, filters: dict[str, str], zone: str, period: str
) -> None:
    question = ask(period, zone, **filters)
    found = traffic(warehouse, question)
    assert found.totals == world.totals(question, *question.period.bounds())
    assert found.previous == world.previous_totals(question)
    assert found.series == world.series(question)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("key", DIMENSIONS)
def test_lists_are_what_the_oracle_counts(
    world, warehouse, key: str, filters: dict[str, str]
) -> None:
    question = ask("30d", "Europe/Berlin", **filters)
    expected = world.top(question, key)
    found = top(warehouse, question, key, limit=1000)
    assert [tuple(row) for row in found.rows] == expected
    assert (found.rest, found.times) == (0, sum(times for *_, times in expected))


def test_a_cut_list_says_how_much_is_left_out(world, warehouse) -> None:
    question = ask("12mo")
    everything = world.top(question, "page")
    found = top(warehouse, question, "page", limit=2)
    assert [tuple(row) for row in found.rows] == everything[:2]
    assert found.rest == len(everything) - 2
    assert found.times == sum(times for *_, times in everything)


def test_a_search_finds_text_in_any_case_and_takes_it_literally(warehouse) -> None:
    def found(text: str) -> list[str]:
        return sorted(r.value for r in top(warehouse, ask("12mo"), "page", search=text).rows)

    assert found("DOC") == ["/docs", "/docs/a b"]
    assert found("Ü") == ["/ü"]
    assert found("%") == found("_") == found("nothing") == []


def test_known_bots_count_only_if_asked_for(world, warehouse) -> None:
    question = ask("12mo")
    with_bots = Question(SITE, question.period, NOW, {}, bots=True)
    start, end = question.period.bounds()
    assert traffic(warehouse, with_bots).totals == world.totals(with_bots, start, end)
    assert world.totals(with_bots, start, end) != world.totals(question, start, end)
    assert [tuple(r) for r in top(warehouse, with_bots, "page").rows] == world.top(
        with_bots, "page"
    )


def test_a_site_without_events_gives_nothings_and_not_errors(warehouse) -> None:
    question = Question("nowhere", ask().period, NOW)
    found = overview(warehouse, question)
    assert found.traffic.totals == found.traffic.previous == Totals()
    assert found.traffic.totals.bounce_rate is None
    assert found.live == 0
    assert all(not one.rows for one in found.lists.values())


def test_people_who_log_in_are_one_visitor_across_their_devices() -> None:
    time = at("2025-10-20 10:00")
    world = World([Planted(time, 1), Planted(time + MINUTE, 2), Planted(time + 2, 3)], {2: 1})
    assert traffic(world.warehouse(), ask()).totals == Totals(2, 3, 2, 1, MINUTE)


def test_a_visit_belongs_to_the_period_in_which_it_starts_and_views_to_theirs() -> None:
    midnight = at("2025-10-27 00:00")
    world = World([Planted(midnight - MINUTE, 1), Planted(midnight + MINUTE, 1, "/docs")])
    house = world.warehouse()
    yesterday, today = ask("yesterday"), ask("today")
    assert traffic(house, yesterday).totals == Totals(1, 1, 1, 0, 2 * MINUTE)
    assert traffic(house, today).totals == Totals(1, 1, 0, 0, 0)
    # The visit that began yesterday still has its source, so its view today is kept.
    assert traffic(house, ask("today", channel="Direct")).totals == Totals(1, 1, 0, 0, 0)
    # And the page that it came to today makes it one of yesterday's visits with that page.
    assert traffic(house, ask("yesterday", page="/docs")).totals == Totals(0, 0, 1, 0, 2 * MINUTE)


def test_live_counts_people_of_the_last_five_minutes() -> None:
    events = [
        Planted(NOW - 5 * MINUTE, 1),  # just too long ago
        Planted(NOW - 5 * MINUTE + 1, 2),
        Planted(NOW, 3, name="page_ping"),
        Planted(NOW - 1, 4),  # the same person as 3
        Planted(NOW + 1, 5),  # from a clock that is ahead
        Planted(NOW, 6, is_bot=True),
        Planted(NOW, 7, site="elsewhere"),
    ]
    world = World(events, {4: 3})
    assert live(world.warehouse(), SITE, NOW) == world.live(NOW) == 2


def test_sites_come_with_their_last_28_days(world, warehouse) -> None:
    found = {site.name: site for site in sites(warehouse, NOW, "Asia/Kathmandu")}
    assert sorted(found) == site_names(warehouse) == ["elsewhere", SITE]
    question = ask("28d", "Asia/Kathmandu")
    for name, site in found.items():
        there = Question(name, question.period, NOW)
        totals = world.totals(there, *there.period.bounds())
        assert (site.visitors, site.page_views) == (totals.visitors, totals.page_views)
        assert site.per_day == [one.page_views for one in world.series(there)]
        assert len(site.per_day) == DAYS


def test_the_overview_as_json_says_the_same_as_its_parts(world, warehouse) -> None:
    question = ask("7d", "Europe/Berlin", device="phone")
    found = msgspec.json.decode(msgspec.json.encode(overview(warehouse, question).to_dict()))
    totals = world.totals(question, *question.period.bounds())
    assert found["totals"]["visitors"] == totals.visitors
    assert found["totals"]["bounce_rate"] == pytest.approx(totals.bounce_rate)
    assert found["filters"] == {"device": "phone"}
    assert len(found["series"]) == len(found["previous_series"]) == 7
    assert [row["value"] for row in found["lists"]["page"]] == [
        value for value, *_ in world.top(question, "page")
    ]
    assert {"page_views"} < set(found["lists"]["page"][0])
    assert {"visits"} < set(found["lists"]["os"][0])


@pytest.mark.parametrize("filters", [{"colour": "red"}, {"page": "/" * 3000}])
def test_a_filter_that_cannot_work_is_refused(filters: dict[str, str]) -> None:
    with pytest.raises(SettingError):
        ask(**filters)


def test_a_list_that_does_not_exist_is_refused(warehouse) -> None:
    with pytest.raises(SettingError, match="there is no list 'colour'"):
        top(warehouse, ask(), "colour")


def test_values_of_filters_never_become_sql(warehouse) -> None:
    evil = "' OR 1=1 --"
    warehouse.asked.clear()
    assert traffic(warehouse, ask(page=evil, source=evil)).totals == Totals()
    assert not any("OR 1=1" in sql for sql in warehouse.asked)


def test_the_documents_define_every_number_as_the_page_does() -> None:
    page = re.sub(r"\s+", " ", DEFINITIONS_PAGE.read_text())
    missing = [name for name, meaning in DEFINITIONS.values() if meaning not in page]
    assert not missing
