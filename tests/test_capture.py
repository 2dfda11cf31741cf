"""Capturing events in tests: everything is seen, nothing is sent, and failures say what was."""

from __future__ import annotations

import asyncio
import importlib.metadata
import multiprocessing
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from unittest.mock import ANY

import flask
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.conftest import ROOT, clean_environment
from trackway import AsyncEmitter, Event, MemorySink, SelfDescribingJson, Subject, Tracker
from trackway import pipeline as pipelines
from trackway.integrations.asgi import TrackwayMiddleware
from trackway.integrations.flask import Trackway
from trackway.testing import Captured, capture

pytest_plugins = ["pytester"]

#: As an application does it: made at import, long before anybody captures.
SENT = MemorySink()
TRACKER = Tracker(sinks=[SENT], app_id="shop")

#: So that the plugin is the one of this checkout, whatever is installed.
PLUGIN = ("-p", "no:trackway", "-p", "trackway.testing.plugin", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    SENT.events.clear()
    before = list(pipelines.watchers)
    yield
    assert list(pipelines.watchers) == before


class Recording:
    """An emitter of somebody else's."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, str]] = []

    def input(self, payload: dict[str, str]) -> None:
        self.payloads.append(payload)


def context(name: str, /, **data: Any) -> SelfDescribingJson:
    return SelfDescribingJson(f"iglu:com.example/{name}/jsonschema/1-0-0", data)


# What is taken --------------------------------------------------------------------------------


def test_a_tracker_made_at_import_is_captured_and_sends_nothing() -> None:
    with capture() as captured:
        TRACKER.track("Signed up", {"plan": "pro"})
        TRACKER.track_page_view("https://shop.example/")
    assert captured.names == ["Signed up", "page_view"]
    assert captured.last.page_url == "https://shop.example/"
    assert SENT.events == []


def test_a_tracker_made_inside_is_captured_whatever_its_emitters_and_sinks() -> None:
    recording, memory = Recording(), MemorySink()
    with capture() as captured:
        tracker = Tracker([recording, recording], sinks=[memory])
        tracker.track("Signed up")
    assert captured.names == ["Signed up"]
    assert (recording.payloads, memory.events) == ([], [])


def test_a_tracker_that_sends_over_the_network_starts_and_queues_nothing(free_port: int) -> None:
    emitter = AsyncEmitter(f"http://127.0.0.1:{free_port}")
    tracker = Tracker(emitter)
    threads = set(threading.enumerate())
    with capture() as captured:
        tracker.track_page_view("https://shop.example/", "Shop")
        tracker.track("Signed up")
        assert tracker.flush(timeout=5) == 0
    assert captured.names == ["page_view", "Signed up"]
    assert set(threading.enumerate()) <= threads
    stats = emitter.stats()
    assert (stats["accepted"], stats["queued"]) == (0, 0)
    tracker.close(timeout=0)


def test_the_event_is_the_one_that_would_have_been_sent() -> None:
    subject = Subject("app").set_user_id("u0").set_lang("de")
    tracker = Tracker(sinks=[SENT], subject=subject, namespace="ns", app_id="kiosk")

    def track() -> None:
        with tracker.scope(user_id="u1", contexts=[context("tenant", name="acme")]):
            tracker.track_struct_event(
                "shop",
                "add",
                "boots",
                "red",
                2.5,
                [context("page", kind="list")],
                1_700_000_000_000,
            )

    with capture() as captured:
        track()
    track()
    (would_be,), (sent,) = captured.events, SENT.events
    assert would_be.id != sent.id
    names = [name for name in Event.__struct_fields__ if name != "id"]
    assert [getattr(would_be, n) for n in names] == [getattr(sent, n) for n in names]


def test_the_id_that_track_returns_is_that_of_the_event() -> None:
    with capture() as captured:
        event_id = TRACKER.track("Signed up")
    assert captured.last.id == event_id


def test_steps_run_first() -> None:
    def redact(event: Event) -> Event | None:
        return None if event.user_id == "robot" else Event(id=event.id, name=event.name)

    tracker = Tracker(sinks=[SENT], steps=[redact])
    with capture() as captured:
        tracker.track_page_view("https://shop.example/", user_id="u1")
        tracker.track_page_view("https://shop.example/", user_id="robot")
    assert [(event.name, event.user_id) for event in captured.events] == [("page_view", None)]
    assert tracker.pipeline.stats["dropped:" + redact.__qualname__] == 1


def test_a_step_that_fails_costs_no_event() -> None:
    def fail(event: Event) -> Event:
        raise RuntimeError("no")

    tracker = Tracker(sinks=[SENT], steps=[fail])
    with capture() as captured:
        tracker.track("Signed up")
    captured.assert_tracked("Signed up", count=1)


def test_what_the_application_changes_later_does_not_change_what_was_tracked() -> None:
    basket = ["boots"]
    seen = {"page": {"kind": "list"}}
    with capture() as captured, TRACKER.scope(contexts=[context("seen", **seen)]):
        TRACKER.track("ordered", {"items": basket})
    basket.clear()
    seen["page"]["kind"] = "none"
    captured.assert_tracked(
        "ordered",
        properties={"items": ["boots"]},
        contexts={"seen": {"page": {"kind": "list"}}},
    )


def test_a_value_that_cannot_be_copied_is_kept_as_it_is() -> None:
    lock = threading.Lock()
    event = Event(
        id="1", name="odd", properties=SelfDescribingJson("iglu:a/b/c/1-0-0", {"l": lock})
    )
    with capture() as captured:
        TRACKER.pipeline.capture(event)
    assert captured.assert_tracked("odd", properties={"l": lock}) == event


# When it begins and ends ----------------------------------------------------------------------


def test_after_the_block_events_are_sent_again_and_the_captured_ones_stay() -> None:
    with capture() as captured:
        TRACKER.track("inside")
    TRACKER.track("after")
    assert captured.names == ["inside"]
    assert [event.name for event in SENT.events] == ["after"]


def test_an_exception_ends_the_block_as_well() -> None:
    with pytest.raises(KeyError), capture() as captured:
        TRACKER.track("inside")
        raise KeyError("application")
    TRACKER.track("after")
    assert captured.names == ["inside"]
    assert [event.name for event in SENT.events] == ["after"]


def test_the_innermost_block_takes_the_event() -> None:
    with capture() as outer:
        TRACKER.track("before")
        with capture() as inner:
            TRACKER.track("inside")
        TRACKER.track("after")
    assert (outer.names, inner.names) == (["before", "after"], ["inside"])
    assert SENT.events == []


def test_blocks_need_not_end_in_the_order_in_which_they_began() -> None:
    first, second = capture(), capture()
    one, two = first.__enter__(), second.__enter__()
    TRACKER.track("to the second")
    first.__exit__(None, None, None)
    TRACKER.track("to the second")
    second.__exit__(None, None, None)
    TRACKER.track("sent")
    assert (one.names, two.names) == ([], ["to the second", "to the second"])
    assert len(SENT.events) == 1


def test_one_tracker_may_be_captured_while_the_others_send() -> None:
    other = Tracker(sinks=[SENT])
    with capture(TRACKER) as captured:
        TRACKER.track("captured")
        other.track("sent")
    assert captured.names == ["captured"]
    assert [event.name for event in SENT.events] == ["sent"]


def test_what_an_inner_block_does_not_want_goes_to_the_outer_one() -> None:
    other = Tracker(sinks=[SENT])
    with capture() as outer, capture(other) as inner:
        TRACKER.track("for the outer")
        other.track("for the inner")
    assert (outer.names, inner.names) == (["for the outer"], ["for the inner"])


# Threads, tasks, processes, frameworks --------------------------------------------------------


@pytest.fixture
def _restless() -> Iterator[None]:
    """Threads change places as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_restless")
def test_events_of_all_threads_are_captured_once_and_each_threads_in_order() -> None:
    def work(number: int) -> None:
        with TRACKER.scope(user_id=f"u{number}"):
            for value in range(300):
                TRACKER.track_struct_event("a", "b", value=value)

    with capture() as captured, ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert len(captured.events) == 16 * 300
    for number in range(16):
        assert [e.value for e in captured.find(user_id=f"u{number}")] == list(range(300))
    assert SENT.events == []


@pytest.mark.usefixtures("_restless")
def test_blocks_may_open_and_close_while_other_threads_track() -> None:
    done = threading.Event()
    tracked = [0] * 4

    def work(number: int) -> None:
        while not done.is_set():
            TRACKER.track_struct_event("thread", str(number))
            tracked[number] += 1

    def open_and_close(_: int) -> int:
        with capture() as captured:
            TRACKER.track("mine")
        return len(captured.events)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(4) as pool:
        taken = sum(pool.map(open_and_close, range(200)))
    done.set()
    for thread in threads:
        thread.join()
    assert taken + len(SENT.events) == sum(tracked) + 200
    TRACKER.track("after")
    assert SENT.events[-1].name == "after"


def test_events_of_asyncio_tasks_and_of_their_threads_are_captured() -> None:
    async def visit(number: int) -> None:
        with TRACKER.scope(user_id=f"u{number}"):
            await asyncio.sleep(0)
            TRACKER.track("in the task")
            await asyncio.to_thread(TRACKER.track, "in its thread")

    async def main() -> None:
        await asyncio.gather(*(visit(number) for number in range(50)))

    with capture() as captured:
        asyncio.run(main())
    for number in range(50):
        found = captured.find(user_id=f"u{number}")
        assert [event.name for event in found] == ["in the task", "in its thread"]
    assert len(captured.events) == 100


def test_a_forked_child_sends_nothing_either_and_tells_nobody() -> None:
    def child(pipe: Any) -> None:
        TRACKER.track("in the child")
        pipe.send((captured.names, len(SENT.events)))

    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    with capture() as captured:
        TRACKER.track("in the parent")
        process = fork.Process(target=child, args=(there,))
        process.start()
        assert here.recv() == (["in the parent", "in the child"], 0)
        process.join()
    assert captured.names == ["in the parent"]


def test_page_views_of_a_flask_application_are_captured() -> None:
    app = flask.Flask("shop")
    trackway = Trackway(app, app_id="shop", endpoint="http://127.0.0.1:9")

    @app.get("/products/<int:number>")
    def product(number: int):
        trackway.tracker.track("Looked", {"number": number})
        return "<h1>Product</h1>"

    with capture() as captured:
        app.test_client().get("/products/7", buffered=True)
    route = "/products/<int:number>"
    captured.assert_tracked("Looked", count=1, route=route, properties={"number": 7})
    captured.assert_tracked("page_view", count=1, route=route, status=200, app_id="shop")


def test_page_views_of_a_starlette_application_are_captured() -> None:
    def home(request: Any) -> HTMLResponse:  # runs in a thread of the pool
        TRACKER.track("Looked")
        return HTMLResponse("<h1>Home</h1>")

    app = TrackwayMiddleware(Starlette(routes=[Route("/", home)]), tracker=TRACKER)
    with capture() as captured:
        TestClient(app).get("/")
    captured.assert_tracked("Looked", count=1, method="GET")
    captured.assert_tracked("page_view", count=1, status=200)


# Names ----------------------------------------------------------------------------------------

SAVED = SelfDescribingJson("iglu:com.acme/save_game/jsonschema/1-0-2", {"level": 23})


@pytest.mark.parametrize(
    ("track", "names"),
    [
        (lambda t: t.track("order placed"), ["order placed"]),
        (lambda t: t.track("a\tb" + "c" * 252), ["a\tb" + "c" * 252]),
        (lambda t: t.track_page_view("https://a.example/"), ["page_view"]),
        (lambda t: t.track_page_ping("https://a.example/"), ["page_ping"]),
        (lambda t: t.track_struct_event("shop", "add"), ["event", "struct"]),
        (lambda t: t.track_ecommerce_transaction("o1", 12), ["transaction"]),
        (lambda t: t.track_ecommerce_transaction_item("o1", "s", 2, 1), ["transaction_item"]),
        (
            lambda t: t.track_screen_view("HUD"),
            ["screen_view", "com.snowplowanalytics.snowplow/screen_view"],
        ),
        (
            lambda t: t.track_self_describing_event(SAVED),
            [
                "save_game",
                "com.acme/save_game",
                "com.acme/save_game/jsonschema/1-0-2",
                "iglu:com.acme/save_game/jsonschema/1-0-2",
            ],
        ),
    ],
)
def test_an_event_may_be_called_by_any_of_its_names(
    track: Callable[[Tracker], object], names: list[str]
) -> None:
    with capture() as captured:
        track(TRACKER)
    for name in names:
        assert captured.assert_tracked(name, count=1) is captured.last
        assert captured.find(name) == captured.events
    for wrong in ("", "save", "com.acme", "track", "unstruct", "Order placed", "pageview"):
        captured.assert_not_tracked(wrong)


def test_without_a_name_only_the_fields_count() -> None:
    with capture() as captured:
        TRACKER.track("one", user_id="u1")
        TRACKER.track("two", user_id="u2")
        TRACKER.track("three", user_id="u1")
    assert [event.name for event in captured.find(user_id="u1")] == ["one", "three"]
    assert captured.find() == captured.events
    assert captured.find("one", user_id="u2") == []


# Fields ---------------------------------------------------------------------------------------


@pytest.fixture
def ordered() -> Captured:
    """One event with everything."""
    contexts = [context("tenant", name="acme", plan="pro"), context("page")]
    with capture() as captured, TRACKER.scope(contexts=contexts):
        TRACKER.track(
            "order placed",
            {"total": 12, "coupon": None, "items": [{"sku": "a"}], "price": Decimal("9.50")},
            user_id="u1",
            page_url="https://shop.example/",
        )
    return captured


FITTING: list[dict[str, Any]] = [
    {},
    {"user_id": "u1"},
    {"user_id": "u1", "page_url": "https://shop.example/", "app_id": "shop"},
    {"user_id": ANY, "status": None},
    {"properties": {"total": 12}},
    {"properties": {"total": 12.0, "coupon": None}},
    {"properties": {"total": ANY, "items": [{"sku": ANY}]}},
    {"properties": {"price": Decimal("9.5")}},
    {"properties": ANY},
    {"contexts": "tenant"},
    {"contexts": ["tenant"]},
    {"contexts": ("page", "com.example/tenant")},
    {"contexts": {"iglu:com.example/page/jsonschema/1-0-0"}},
    {"contexts": {"tenant": {"name": "acme"}}},
    {"contexts": {"tenant": {"name": ANY}, "page": {}}},
    {"contexts": {"tenant": ANY}},
    {"contexts": [context("tenant", name="acme")]},
    {"contexts": ANY},
]

DIFFERING: list[tuple[dict[str, Any], str]] = [
    ({"user_id": "u2"}, "user_id is 'u1', expected 'u2'"),
    ({"user_id": None}, "user_id is 'u1', expected None"),
    ({"status": 200}, "status is None, expected 200"),
    ({"properties": {"total": 13}}, "properties['total'] is 12, expected 13"),
    ({"properties": {"totl": ANY}}, "properties['totl'] is missing, expected <ANY>"),
    ({"properties": {"coupon": "X"}}, "properties['coupon'] is None, expected 'X'"),
    ({"properties": {"items": []}}, "properties['items'] is [{'sku': 'a'}], expected []"),
    ({"properties": {}}, "expected {}"),
    ({"properties": None}, "expected None"),
    ({"properties": [1]}, "expected [1]"),
    ({"contexts": ["person"]}, "no context 'person', there are ['iglu:com.example/tenant/"),
    ({"contexts": "ten"}, "no context 'ten'"),
    ({"contexts": []}, "contexts are ['iglu:com.example/tenant/"),
    ({"contexts": {"tenant": {"name": "b"}}}, "context 'tenant'['name'] is 'acme', expected 'b'"),
    ({"contexts": {"page": {"a": 1}}}, "context 'page'['a'] is missing, expected 1"),
    ({"contexts": {"tenant": {}}}, "context 'tenant' is {'name': 'acme', 'plan': 'pro'}, expected"),
    ({"contexts": [context("tenant", name="b")]}, "'name'] is 'acme', expected 'b'"),
]


@pytest.mark.parametrize("fields", FITTING, ids=str)
def test_what_fits(ordered: Captured, fields: dict[str, Any]) -> None:
    assert ordered.find("order placed", **fields) == ordered.events
    assert ordered.assert_tracked("order placed", **fields) is ordered.events[0]
    with pytest.raises(AssertionError, match=r"an event .order placed.* was tracked"):
        ordered.assert_not_tracked("order placed", **fields)


@pytest.mark.parametrize(("fields", "words"), DIFFERING, ids=lambda value: str(value))
def test_what_does_not_fit_and_how_it_is_said(
    ordered: Captured, fields: dict[str, Any], words: str
) -> None:
    assert ordered.find("order placed", **fields) == []
    ordered.assert_not_tracked("order placed", **fields)
    with pytest.raises(AssertionError) as failure:
        ordered.assert_tracked("order placed", **fields)
    assert words in str(failure.value)


def test_the_data_of_a_self_describing_event_are_its_properties() -> None:
    with capture() as captured:
        TRACKER.track_self_describing_event(SAVED)
    captured.assert_tracked("save_game", properties={"level": 23})
    captured.assert_tracked("save_game", properties=SAVED)
    captured.assert_not_tracked("save_game", properties={"level": 24})


def test_no_properties_can_be_asked_for() -> None:
    with capture() as captured:
        TRACKER.track("Signed up")
        TRACKER.track_page_view("https://shop.example/")
        TRACKER.track("Signed up", {"plan": "pro"})
    for name in ("Signed up", "page_view"):
        captured.assert_tracked(name, count=1, properties={}, contexts=[])
    captured.assert_tracked("page_view", properties=None)


def test_of_several_contexts_of_one_schema_one_must_fit() -> None:
    contexts = [context("item", sku="a"), context("item", sku="b")]
    with capture() as captured, TRACKER.scope(contexts=contexts):
        TRACKER.track("bought")
    captured.assert_tracked("bought", contexts={"item": {"sku": "b"}})
    captured.assert_not_tracked("bought", contexts={"item": {"sku": "c"}})


@pytest.mark.parametrize("method", ["find", "assert_tracked", "assert_not_tracked", "wait_for"])
def test_a_field_that_does_not_exist_is_an_error_everywhere(ordered: Captured, method: str) -> None:
    # assert_not_tracked(..., user="u1") would pass whatever was tracked.
    with pytest.raises(TypeError, match="Event has no field 'user'"):
        getattr(ordered, method)("order placed", user="u1")


# Claims ---------------------------------------------------------------------------------------


def test_the_last_event_that_matches_is_returned() -> None:
    with capture() as captured:
        for value in range(3):
            TRACKER.track_struct_event("a", "b", value=value)
    assert captured.assert_tracked("event").value == 2
    assert captured.assert_tracked("event", value=0).value == 0


def test_a_count_is_exact() -> None:
    with capture() as captured:
        TRACKER.track("Signed up", user_id="u1")
        TRACKER.track("Signed up", user_id="u2")
    captured.assert_tracked("Signed up", count=2)
    captured.assert_tracked("Signed up", count=1, user_id="u1")
    with pytest.raises(AssertionError, match="expected 3 events 'Signed up', tracked 2"):
        captured.assert_tracked("Signed up", count=3)
    with pytest.raises(AssertionError, match="expected 1 events 'Signed up', tracked 2"):
        captured.assert_tracked("Signed up", count=1)
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked("Signed up", count=2, user_id="u1")
    assert "user_id is 'u2', expected 'u1'" in str(failure.value)
    for count in (0, -1):
        with pytest.raises(ValueError, match="use assert_not_tracked"):
            captured.assert_tracked("Signed up", count=count)


def test_of_too_many_events_only_those_are_shown() -> None:
    with capture() as captured:
        TRACKER.track("Signed up", user_id="u1")
        TRACKER.track("Logged in", user_id="u1")
        TRACKER.track("Signed up", user_id="u1")
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked("Signed up", count=1)
    assert "2 events were tracked" in str(failure.value)
    assert "Logged in" not in str(failure.value)


def test_nothing_tracked_can_be_claimed() -> None:
    with capture() as captured:
        captured.assert_nothing_tracked()
        TRACKER.track("Signed up", {"plan": "pro"})
        with pytest.raises(AssertionError) as failure:
            captured.assert_nothing_tracked()
        assert "'Signed up' properties={'plan': 'pro'}" in str(failure.value)
        captured.clear()
        captured.assert_nothing_tracked()
        with pytest.raises(AssertionError, match="nothing was tracked"):
            _ = captured.last
        with pytest.raises(AssertionError, match="nothing was tracked"):
            captured.assert_tracked("Signed up")


def test_the_lists_are_copies() -> None:
    with capture() as captured:
        TRACKER.track("Signed up")
        captured.events.clear()
        assert captured.names == ["Signed up"]
    assert repr(captured) == "<Captured ['Signed up']>"


# Failures in readable words -------------------------------------------------------------------


def documented(language: str) -> list[str]:
    page = (ROOT / "docs" / "testing.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def test_a_failure_reads_as_the_documents_show() -> None:
    with capture() as captured:
        TRACKER.track_page_view("https://shop.example/", user_id="u2")
        TRACKER.track("order placed", {"total": 13}, user_id="u2")
        TRACKER.track("Logged in", user_id="u2")
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked("order placed", user_id="u1", properties={"total": 12})
    assert [str(failure.value) + "\n"] == documented("text")


def test_the_event_that_differs_least_comes_first() -> None:
    with capture() as captured:
        TRACKER.track("order placed", {"total": 1, "currency": "USD"}, user_id="u2")
        TRACKER.track("order placed", {"total": 12, "currency": "USD"}, user_id="u1")
        TRACKER.track("order placed", {"total": 2, "currency": "EUR"}, user_id="u2")
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked(
            "order placed", user_id="u1", properties={"total": 12, "currency": "EUR"}
        )
    listed = re.findall(r"^  (\d)\. ", str(failure.value), re.M)
    assert listed == ["2", "3", "1"]


def test_an_event_of_the_name_comes_before_one_that_only_has_the_fields() -> None:
    with capture() as captured:
        TRACKER.track("order played", {"total": 12}, user_id="u1", page_url="https://a.example/")
        TRACKER.track("order placed")
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked(
            "order placed", user_id="u1", page_url="https://a.example/", properties={"total": 12}
        )
    assert re.findall(r"^  (\d)\. ", str(failure.value), re.M) == ["2", "1"]


def test_a_misspelt_name_leads_to_the_event_that_was_meant() -> None:
    with capture() as captured:
        TRACKER.track("Logged in", user_id="u1")
        TRACKER.track("Order placed", user_id="u1")
        TRACKER.track_page_view("https://shop.example/", user_id="u1")
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked("order placed", user_id="u1")
    _, _, closest, difference, *_ = str(failure.value).splitlines()
    assert closest == "  2. 'Order placed'"
    assert difference.strip() == "the name is 'Order placed', expected 'order placed'"


class Unspeakable:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_whatever_was_tracked_the_failure_is_short_and_printable() -> None:
    odd = [Unspeakable(), "x" * 1_000_000, "\ud800", "a\nb", float("nan"), list(range(10_000))]
    with capture() as captured:
        for value in odd:
            TRACKER.track("odd", {"value": value, "\ud800": 1})
            TRACKER.track("other", {"value": value, "\ud800": 1})
        for number in range(1000):
            url = f"https://shop.example/{'x' * 900}"
            TRACKER.track_page_view(url, url, url, user_id=str(number), user_agent=url)
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked("odd", properties={"value": "expected"})
    message = str(failure.value)
    assert len(message.encode()) < 10_000
    assert all(line.isprintable() and len(line) < 300 for line in message.splitlines())
    assert "... and " in message
    with pytest.raises(AssertionError) as failure:
        captured.assert_tracked("\ud800" * 1_000_000, contexts=["x"], user_id="y" * 1_000_000)
    assert len(str(failure.value).encode()) < 10_000


# Waiting --------------------------------------------------------------------------------------


def test_waiting_ends_with_the_event_of_another_thread() -> None:
    def work() -> None:
        for number in range(100):
            TRACKER.track("noise", {"number": number})
        TRACKER.track("Mail sent", user_id="u1")
        TRACKER.track("Mail sent", user_id="u2")

    with capture() as captured:
        for _ in range(10):
            TRACKER.track("noise")
        timer = threading.Timer(0.05, work)
        timer.start()
        began = time.monotonic()
        assert captured.wait_for("Mail sent", timeout=60).user_id == "u1"
        assert captured.wait_for("Mail sent", timeout=60, user_id="u2") is captured.last
        assert time.monotonic() - began < 50
        timer.join()


def test_what_is_there_already_is_not_waited_for() -> None:
    with capture() as captured:
        TRACKER.track("Mail sent")
    assert captured.wait_for("Mail sent", timeout=0) is captured.last


def test_waiting_in_vain_says_what_was_tracked_instead() -> None:
    with capture() as captured:
        TRACKER.track("Mail sent", user_id="u1")
    with pytest.raises(AssertionError) as failure:
        captured.wait_for("Mail sent", timeout=0.01, user_id="u2")
    message = str(failure.value)
    assert "was tracked within 0.01 s" in message
    assert "user_id is 'u1', expected 'u2'" in message


def test_events_after_a_clear_are_waited_for_as_well() -> None:
    with capture() as captured:
        for _ in range(10):
            TRACKER.track("noise")

        def work() -> None:
            captured.clear()
            TRACKER.track("Mail sent")

        timer = threading.Timer(0.05, work)
        timer.start()
        captured.wait_for("Mail sent", timeout=30)
        timer.join()


def test_a_value_may_track_while_it_is_compared() -> None:
    class Chatty:
        def __eq__(self, other: object) -> bool:
            TRACKER.track("compared")
            return True

    with capture() as captured:
        TRACKER.track("Mail sent")
        captured.wait_for("Mail sent", timeout=30, user_id=Chatty())
    captured.assert_tracked("compared", count=1)


# The plugin -----------------------------------------------------------------------------------


def test_the_fixture_gives_each_test_its_own_events(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from trackway import MemorySink, Tracker

        sink = MemorySink()
        tracker = Tracker(sinks=[sink])

        def test_one(captured):
            tracker.track("one")
            captured.assert_tracked("one", count=1)
            assert sink.events == []

        def test_two(captured):
            captured.assert_nothing_tracked()
            tracker.track("two")
            assert captured.names == ["two"]

        def test_without_the_fixture():
            tracker.track("sent")
            assert [event.name for event in sink.events] == ["sent"]
        """
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(passed=3)


def test_a_failing_test_shows_its_own_line_and_not_the_inside_of_trackway(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        from trackway import Tracker

        tracker = Tracker(sinks=[])

        def test_it(captured):
            tracker.track("order placed", {"total": 13}, user_id="u2")
            captured.assert_tracked("order placed", user_id="u1", properties={"total": 12})
        """
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*captured.assert_tracked(*",
            "E *no event 'order placed' with user_id='u1', properties={'total': 12} was tracked",
            "E *user_id is 'u2', expected 'u1'",
            "E *properties?'total'? is 13, expected 12",
            "test_*.py:7: AssertionError",
        ]
    )
    result.stdout.no_fnmatch_line("*capture.py:*")


def test_a_whole_suite_may_capture(pytester: pytest.Pytester) -> None:
    (conftest,) = (code for code in documented("python") if "autouse" in code)
    pytester.makeconftest(conftest)
    pytester.makepyfile(
        """
        from trackway import MemorySink, Tracker

        sink = MemorySink()
        tracker = Tracker(sinks=[sink])

        def test_one():
            tracker.track("one")
            assert sink.events == []

        def test_two(captured):
            tracker.track("two")
            assert captured.names == ["two"]
        """
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=2)


def test_a_test_that_fails_leaves_nothing_open(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from trackway.pipeline import watchers

        def test_one(captured):
            raise KeyError

        def test_two():
            assert len(watchers) == 0
        """
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(failed=1, passed=1)


def test_the_documented_examples_pass_as_tests(pytester: pytest.Pytester) -> None:
    examples = [code for code in documented("python") if "autouse" not in code]
    assert len(examples) >= 5
    pytester.makepyfile(**{f"test_example_{n}": code for n, code in enumerate(examples)})
    result = pytester.runpytest_subprocess(*PLUGIN, "-v")
    result.assert_outcomes(passed=2)  # one with pytest, one with unittest
    result.stdout.fnmatch_lines(["*test_a_signup_is_tracked PASSED*"] * 2)


def test_installing_trackway_is_enough_to_have_the_fixture(pytester: pytest.Pytester) -> None:
    (entry_point,) = importlib.metadata.entry_points(group="pytest11", name="trackway")
    assert entry_point.value == "trackway.testing.plugin"
    pytester.makepyfile("def test_it(captured): captured.assert_nothing_tracked()")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess("-p", "no:trackway")
    result.assert_outcomes(errors=1)


@pytest.mark.parametrize("module", ["trackway.testing", "trackway.testing.plugin"])
def test_importing_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    # The plugin is loaded by pytest in every project in which Trackway is installed.
    script = f"""
import sys
import threading
{"import pytest" if module.endswith("plugin") else ""}
before = set(sys.modules)
import {module}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(new - set(sys.stdlib_module_names)), threading.active_count())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=clean_environment(),
    )
    *loaded, threads = done.stdout.split()
    assert set(loaded) <= {"msgspec", "trackway", "typing_extensions"}
    assert threads == "1"


def test_the_types_say_what_comes_out() -> None:
    with capture() as captured:
        TRACKER.track("Signed up")
    event: Event = captured.assert_tracked("Signed up")
    events: list[Event] = captured.find("Signed up")
    assert cast(object, captured).__class__ is Captured
    assert events == [event]
