"""The workload's truth is what a slow and simple reader of its stream finds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import fields
from datetime import date
from itertools import chain, pairwise
from typing import Any
from uuid import RFC_4122, UUID

import numpy as np
import pytest

from tests.oracle import MINUTE, Oracle, is_sound
from trackway.enrich.agent import parse_agent
from trackway.enrich.source import parse_page, parse_referrer, source_and_channel
from trackway.errors import InvalidEvent, SettingError
from trackway.testing.workload import AGENTS, BOTS, PLAIN, SOURCES, Truth, Workload
from trackway.wires.snowplow import decode

Period = tuple[date | None, date | None, str | None]

#: Plans and periods in which the time zone matters: the same day, a day of 23 and of 25 hours, a
#: day without a midnight, quarter-hour zones, and periods that cut through plan and visits.
CASES: dict[str, tuple[dict[str, Any], Period]] = {
    "whole workload": ({"seed": 1}, (None, None, None)),
    "another seed": ({"seed": 2}, (None, None, None)),
    "one day": ({"seed": 3}, (date(2026, 1, 6), date(2026, 1, 7), None)),
    "some days in the middle": ({"seed": 4}, (date(2026, 1, 4), date(2026, 1, 11), None)),
    "the 23-hour day": (
        {"seed": 5, "time_zone": "Europe/Berlin", "start": date(2026, 3, 24)},
        (None, None, None),
    ),
    "the 23-hour day alone": (
        {"seed": 5, "time_zone": "Europe/Berlin", "start": date(2026, 3, 24)},
        (date(2026, 3, 29), date(2026, 3, 30), None),
    ),
    "the 25-hour day": (
        {"seed": 6, "time_zone": "Europe/Berlin", "start": date(2026, 10, 19)},
        (None, None, None),
    ),
    "seen from another zone": (
        {"seed": 7, "time_zone": "America/New_York", "start": date(2026, 3, 1)},
        (date(2026, 2, 28), date(2026, 3, 17), "Europe/Berlin"),
    ),
    "a quarter-hour zone": ({"seed": 8, "time_zone": "Asia/Kathmandu"}, (None, None, None)),
    "seen from a quarter-hour zone": (
        {"seed": 9},
        (date(2026, 1, 3), date(2026, 1, 12), "Asia/Kathmandu"),
    ),
    "a day that begins at one o'clock": (
        {"seed": 10, "time_zone": "America/Havana", "start": date(2026, 3, 2)},
        (None, None, None),
    ),
    "before and after everything": (
        {"seed": 11},
        (date(2025, 12, 25), date(2026, 1, 25), "Pacific/Auckland"),
    ),
    "nothing in it": ({"seed": 12}, (date(2025, 1, 1), date(2025, 1, 3), None)),
    "late arrivals from shared devices": (
        {
            "seed": 14,
            "people": 600,
            "days": 4,
            "returns": (),
            "logins": 1.0,
            "late_logins": 0.0,
            "shared_devices": 0.5,
            "late": 1.0,
        },
        (None, None, None),
    ),
    "many traps": (
        {
            "seed": 13,
            "logins": 0.9,
            "late_logins": 0.2,
            "second_devices": 0.8,
            "shared_devices": 0.3,
            "logged_out": 0.6,
            "duplicates": 0.2,
            "late": 0.5,
            "malformed": 0.1,
            "edge_gaps": 0.9,
            "equal_times": 0.9,
            "silent_visits": 0.8,
            "leading_events": 0.5,
            "repeated_steps": 1.0,
            "stray_steps": 0.5,
            "bots": 0.5,
            "returns": (0.6,) * 13,
        },
        (date(2026, 1, 2), date(2026, 1, 13), "Asia/Kathmandu"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_truth_is_what_a_brute_force_reader_of_the_stream_finds(case: str) -> None:
    parameters, (start, end, time_zone) = CASES[case]
    workload = Workload.small(events=3_000, pages=40, **parameters)
    truth = workload.truth(start, end, time_zone)
    found = Oracle(workload.payloads()).truth(
        start or workload.start, end or workload.end, time_zone or workload.time_zone
    )
    for field in fields(Truth):
        assert getattr(truth, field.name) == getattr(found, field.name), field.name
    assert truth.visitors > 0 or case == "nothing in it"


# The stream -----------------------------------------------------------------------------------


def test_the_same_parameters_give_the_same_bytes() -> None:
    workload = Workload.small(time_zone="Europe/Berlin")
    assert list(workload.bodies()) == list(Workload.small(time_zone="Europe/Berlin").bodies())
    assert list(workload.bodies()) == list(workload.bodies())
    assert list(workload.bodies()) != list(Workload.small(time_zone="UTC").bodies())
    assert list(workload.bodies()) != list(
        Workload.small(time_zone="Europe/Berlin", seed=2).bodies()
    )


def test_ids_are_random_uuids_by_their_form() -> None:
    for payload in Workload.small(malformed=0).payloads():
        for text in (payload["eid"], payload.get("duid", payload["eid"])):
            assert (UUID(text).version, UUID(text).variant, str(UUID(text))) == (4, RFC_4122, text)


def test_the_bodies_hold_the_payloads_in_their_order() -> None:
    workload = Workload.small()
    bodies = [json.loads(body) for body in workload.bodies(batch=64)]
    assert {len(body["data"]) for body in bodies[:-1]} == {64}
    assert {body["schema"].rpartition("/")[2] for body in bodies} == {"1-0-4"}
    assert list(chain.from_iterable(body["data"] for body in bodies)) == list(workload.payloads())


def test_the_stream_is_what_the_truth_says_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    workload = Workload.small(events=50_000)
    started = time.perf_counter()
    sent = sum(len(json.loads(body)["data"]) for body in workload.bodies())
    seconds = time.perf_counter() - started
    truth = workload.truth()
    assert sent == truth.stored + truth.duplicates + truth.bad_rows
    with capsys.disabled():
        print(f" [{sent / seconds:,.0f} events/s made and read back]", end="")


@pytest.mark.parametrize("days", [1, 14, 90])
def test_about_as_many_events_are_made_as_asked_for(days: int) -> None:
    truth = Workload(events=30_000, days=days).truth()
    assert truth.stored == pytest.approx(30_000, rel=0.05)


def test_every_broken_event_is_refused_by_the_wire_and_no_other() -> None:
    payloads = list(Workload.small(malformed=0.1).payloads())
    refused = []
    for payload in payloads:
        try:
            decode(payload)
        except InvalidEvent as error:
            refused.append((payload, error.reason))
    assert [payload for payload, _ in refused] == [p for p in payloads if not is_sound(p)]
    assert {reason for _, reason in refused} == {
        "missing_field",
        "unknown_event",
        "wrong_type",
        "invalid_json_field",
    }


def test_duplicates_come_after_what_they_repeat_with_another_time() -> None:
    times: dict[str, list[int]] = defaultdict(list)
    for payload in Workload.small(malformed=0).payloads():
        times[payload["eid"]].append(int(payload["ttm"]))
    repeated = [sent for sent in times.values() if len(sent) > 1]
    assert len(repeated) == Workload.small().truth().duplicates > 20
    assert all(first < second for first, second in repeated)


def test_gaps_lie_just_inside_and_just_outside_of_a_session() -> None:
    def gaps(**changes: Any) -> Counter[int]:
        events = Oracle(Workload.small(**changes).payloads()).events
        return Counter(b.time - a.time for a, b in pairwise(events) if a.person == b.person)

    planted = {29 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, 31 * MINUTE}
    found = gaps(edge_gaps=0.2)
    assert all(found[gap] >= 5 for gap in planted)
    assert not planted & gaps(edge_gaps=0).keys()
    assert found[0] > 0 == gaps(equal_times=0)[0]


def test_events_of_one_day_and_the_next_are_never_one_visit() -> None:
    # Single views, and everybody comes on both days: some late on the first, early on the second.
    only_views: dict[str, Any] = PLAIN | {"bounces": 1.0, "funnel": (0, 0, 0, 0)}
    workload = Workload(people=1_000_000, days=2, returns=(1.0,), **only_views)
    arrivals = list(workload.arrivals())
    person = np.concatenate([part.events.person for part in arrivals])
    time = np.concatenate([part.events.time for part in arrivals])
    order = np.lexsort((time, person))
    same = np.diff(person[order]) == 0
    assert np.diff(time[order])[same].min() >= 35 * MINUTE


def test_people_share_devices_and_use_two_at_once() -> None:
    workload = Workload.small(events=10_000)
    users: dict[str, set[str]] = defaultdict(set)
    devices: dict[str, set[str]] = defaultdict(set)
    for payload in workload.payloads():
        if is_sound(payload) and "uid" in payload:
            users[payload["duid"]].add(payload["uid"])
            devices[payload["uid"]].add(payload["duid"])
    assert sum(len(shared) > 1 for shared in users.values()) >= 3
    assert sum(len(owned) > 1 for owned in devices.values()) >= 3
    oracle = Oracle(workload.payloads())
    both = [{seen.payload["duid"] for seen in session} for session in oracle.sessions()]
    assert any(len(session) > 1 for session in both)


def test_all_traps_can_be_switched_off() -> None:
    workload = Workload.small(**PLAIN)
    payloads = list(workload.payloads())
    truth = workload.truth()
    assert truth.stored == len(payloads) == len({payload["eid"] for payload in payloads})
    assert truth.bots == truth.duplicates == truth.bad_rows == 0
    times = [int(payload["ttm"]) for payload in payloads]
    assert times == sorted(times)
    assert not any("uid" in payload for payload in payloads)
    assert {payload["e"] for payload in payloads} == {"pv", "ue", "tr", "ti"}  # views and funnel
    quiet = Workload.small(**PLAIN, funnel=(0, 0, 0, 0), returns=())
    assert {payload["e"] for payload in quiet.payloads()} == {"pv"}
    assert all(sum(cohort.returned[1:]) == 0 for cohort in quiet.truth().retention)


# Quotas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [1, 7, 997, 4_000])
def test_exactly_the_planned_number_of_people_pass_each_step_of_the_funnel(people: int) -> None:
    truth = Workload(people=people, funnel=(0.31, 0.63, 0.5, 0.77)).truth()
    share, expected = 1.0, []
    for rate in (0.31, 0.63, 0.5, 0.77):
        share *= rate
        expected.append(round(people * share))
    assert [step.people for step in truth.funnel] == expected
    assert truth.visitors == people


@pytest.mark.parametrize("activity", [1.05, 1.5, 3.0])
@pytest.mark.parametrize("time_zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
def test_exactly_the_planned_number_of_people_return(time_zone: str, activity: float) -> None:
    rates = (0.9, 0.5, 0.333, 0.0, 1.0, 0.1)
    truth = Workload(
        people=2_000,
        days=9,
        start=date(2026, 3, 25),
        time_zone=time_zone,
        returns=rates,
        activity=activity,
    ).truth()
    assert sum(cohort.returned[0] for cohort in truth.retention) == 2_000
    for n, (size, *returned) in enumerate(cohort.returned for cohort in truth.retention):
        assert returned == [round(size * rate) for rate in (*rates, 0, 0)[: 8 - n]]


def test_few_people_make_most_visits_when_activity_is_near_one() -> None:
    def most(activity: float) -> int:
        payloads = Workload.small(**PLAIN, activity=activity).payloads()
        return Counter(payload["duid"] for payload in payloads).most_common(1)[0][1]

    assert most(1.05) > most(10)


# What others make of it -----------------------------------------------------------------------


def test_browsers_and_bots_are_recognised_as_what_they_stand_for() -> None:
    assert len(AGENTS) >= 50
    for agent in (*AGENTS, *BOTS):
        found = parse_agent(agent.text)
        expected = (agent.browser, agent.os, agent.device, agent.device == "bot")
        assert (found.browser, found.os, found.device, found.is_bot) == expected


def test_sources_get_the_names_that_the_table_expects() -> None:
    for source in SOURCES:
        page = parse_page(f"https://shop.example/?{source.query}")
        referrer = parse_referrer(source.referrer, page.host)
        assert source_and_channel(page, referrer) == (source.source, source.channel)


# Asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"late": 1.5},
        {"bots": -0.1},
        {"days": 0},
        {"people": 0},
        {"events": 0},
        {"pages": 4},
        {"activity": 1.0},
        {"growth": 0},
        {"returns": (0.5, 2.0)},
        {"funnel": (0.5, 0.5)},
        {"funnel": (1.0, 1.0, 1.0, 1.0), "stray_steps": 0.1},
        {"time_zone": "Europe/Atlantis"},
        {"time_zone": "../etc"},
    ],
    ids=str,
)
def test_a_value_that_cannot_work_is_refused_with_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=list(wrong)[-1]):
        Workload(**wrong)


def test_a_calendar_that_leaves_out_a_day_is_refused() -> None:
    skips_a_day = Workload(start=date(2011, 12, 25), time_zone="Pacific/Apia")
    with pytest.raises(SettingError, match="shorter than 22 hours"):
        skips_a_day.truth()


def test_a_period_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(SettingError, match="ends before"):
        Workload.small().truth(date(2026, 1, 5), date(2026, 1, 5))


def test_without_numpy_there_is_one_clear_error_and_the_testing_room_still_opens() -> None:
    program = """
import sys
sys.modules["numpy"] = None
import trackway.testing
from trackway.errors import MissingExtra
try:
    import trackway.testing.workload
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "numpy is not installed: pip install 'trackway[workload]'\n", done.stderr


def test_the_testing_room_does_not_bring_numpy() -> None:
    program = "import sys, trackway.testing; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
