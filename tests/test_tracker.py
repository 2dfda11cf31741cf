"""The tracker: how it is made, what its methods send, and what goes wrong around it."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock, Mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackway import AsyncEmitter, Emitter, Event, MemorySink, SelfDescribingJson, Subject, Tracker
from trackway.emitters.memory import MemoryEmitter
from trackway.ids import new_id
from trackway.tracker import TRACKER_VERSION
from trackway.wires.snowplow import decode

CONTEXT = SelfDescribingJson("iglu:com.acme/c/jsonschema/1-0-0", {"a": 1})
OTHER = SelfDescribingJson("iglu:com.acme/other/jsonschema/1-0-0", {"b": [True, None, "ü"]})
UUID = "11111111-2222-4333-8444-555555555555"


class Custom:
    """An emitter as the Snowplow tracker's documents define it: it has ``input(dict)``."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, str]] = []

    def input(self, payload: dict[str, str]) -> None:
        self.payloads.append(payload)


@pytest.fixture
def emitter() -> MemoryEmitter:
    return MemoryEmitter()


@pytest.fixture
def tracker(emitter: MemoryEmitter) -> Tracker:
    return Tracker(emitter, Subject("web").set_user_id("u1"), "cf", "shop")


def events(emitter: MemoryEmitter | Custom) -> list[Event]:
    return [decode(payload) for payload in emitter.payloads]


def last(emitter: MemoryEmitter | Custom) -> Event:
    return decode(emitter.payloads[-1])


# How it is made -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positional", "named"),
    [
        (("e", "s", "ns", "app", False), {}),  # 0.5 to 0.15, and ours
        (("ns", "e", "s", "app", False), {}),  # 1.x
        (("ns",), {"emitters": "e", "subject": "s", "app_id": "app", "encode_base64": False}),
        (("ns", "e"), {"subject": "s", "app_id": "app", "encode_base64": False}),
        (("e",), {"subject": "s", "namespace": "ns", "app_id": "app", "encode_base64": False}),
        (("list", "s", "ns", "app", False), {}),
        (("tuple", "s", "ns", "app", False), {}),
        (
            (),
            {
                "emitter": "e",
                "subject": "s",
                "namespace": "ns",
                "app_id": "app",
                "encode_base64": False,
            },
        ),
        (
            (),
            {
                "emitters": "list",
                "subject": "s",
                "namespace": "ns",
                "app_id": "app",
                "encode_base64": False,
            },
        ),
    ],
)
@pytest.mark.parametrize("kind", [MemoryEmitter, Custom])
def test_the_arguments_may_come_in_either_order(
    positional: tuple[Any, ...], named: dict[str, Any], kind: Callable[[], Any]
) -> None:
    one, subject = kind(), Subject("tv")
    meant = {"e": one, "s": subject, "list": [one], "tuple": (one,)}

    def mean(word: Any) -> Any:
        return meant.get(word, word) if isinstance(word, str) else word

    arguments: Any = {name: mean(word) for name, word in named.items()}
    tracker = Tracker(*map(mean, positional), **arguments)
    tracker.track("x")
    assert tracker.emitters == [one]
    assert tracker.subject is subject
    (payload,) = one.payloads
    assert (payload["tna"], payload["aid"], payload["p"]) == ("ns", "app", "tv")
    assert "ue_pr" in payload  # not base64
    assert payload["tv"] == TRACKER_VERSION


@pytest.mark.parametrize(
    ("positional", "named", "message"),
    [
        ((5,), {}, "an emitter must have a method input"),
        ((object(),), {}, "an emitter must have a method input"),
        (([MemoryEmitter(), "x"],), {}, "an emitter must have a method input.*'x'"),
        (("ns", "not an emitter"), {}, "an emitter must have a method input"),
        ((), {"emitters": 5}, "an emitter must have a method input"),
        ((MemoryEmitter(),), {"emitters": MemoryEmitter()}, "got 'emitters' twice"),
        ((MemoryEmitter(),), {"emitter": MemoryEmitter()}, "got 'emitters' twice"),
        ((), {"emitter": Custom(), "emitters": Custom()}, "emitter and emitters"),
        (("ns", Custom()), {"namespace": "ns"}, "got 'namespace' twice"),
        ((Custom(),), {"nonsense": 1}, "got 'nonsense', which it does not know"),
        ((Custom(), None, None, None, True, "more"), {}, "takes 5 positional arguments, got 6"),
    ],
)
def test_wrong_arguments_are_one_clear_error(
    positional: tuple[Any, ...], named: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Tracker(*positional, **named)


def test_without_an_emitter_it_sends_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKWAY_ENDPOINT", "http://c.example:81")
    (emitter,) = Tracker().emitters
    assert type(emitter) is AsyncEmitter
    assert emitter.url == "http://c.example:81/com.snowplowanalytics.snowplow/tp2"
    assert Tracker(endpoint="http://d.example").emitters[0].url.startswith("http://d.example/")
    monkeypatch.delenv("TRACKWAY_ENDPOINT")
    assert Tracker().emitters[0].url.startswith("http://127.0.0.1:8765/")
    assert Tracker("only a namespace", None).emitters[0].url.startswith("http://127.0.0.1:8765/")


def test_the_name_of_the_application_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, emitter: MemoryEmitter
) -> None:
    monkeypatch.setenv("TRACKWAY_APP_ID", "from outside")
    Tracker(emitter).track("x")
    Tracker(emitter, app_id="own").track("x")
    assert [event.app_id for event in events(emitter)] == ["from outside", "own"]


def test_an_emitter_may_come_later(tracker: Tracker, emitter: MemoryEmitter) -> None:
    second, third = MemoryEmitter(), Custom()
    tracker.track("one")
    assert tracker.add_emitter(second).track("two")
    assert tracker.addEmitter(third) is tracker
    tracker.track("three")
    assert tracker.emitters == [emitter, second, third]
    assert [len(one.payloads) for one in (emitter, second, third)] == [3, 2, 1]
    assert emitter.payloads[2] == second.payloads[1] == third.payloads[0]
    with pytest.raises(TypeError, match="an emitter must have a method input"):
        tracker.add_emitter(5)


def test_the_first_emitter_may_come_after_a_sink() -> None:
    sink, emitter = MemorySink(), MemoryEmitter()
    tracker = Tracker(sinks=[sink])
    assert tracker.emitters == []
    tracker.add_emitter(emitter)
    tracker.track("x")
    assert [event.name for event in sink.events] == ["x"]
    assert last(emitter).id == sink.events[0].id


# What its methods give back and send --------------------------------------------------------------


def test_track_returns_the_id_and_the_others_the_tracker(
    tracker: Tracker, emitter: MemoryEmitter
) -> None:
    assert tracker.track("x") == last(emitter).id
    assert tracker.track("x", event_id=UUID) == last(emitter).id == UUID
    chain = (
        tracker.track_page_view("http://x/")
        .track_page_ping("http://x/")
        .track_screen_view("home")
        .track_mobile_screen_view("home")
        .track_struct_event("c", "a")
        .track_self_describing_event(CONTEXT)
        .track_unstruct_event(CONTEXT)
        .track_link_click("http://x/")
        .track_add_to_cart("s", 1)
        .track_remove_from_cart("s", 1)
        .track_form_change("f", "e", "INPUT", None)
        .track_form_submit("f")
        .track_site_search(["tents"])
        .track_ecommerce_transaction("o", 1)
        .track_ecommerce_transaction_item("o", "s", 1, 1)
        .set_subject(None)
    )
    assert chain is tracker
    assert len({event.id for event in events(emitter)}) == len(emitter.payloads) == 17


def test_what_the_self_describing_methods_say(tracker: Tracker, emitter: MemoryEmitter) -> None:
    tracker.track_screen_view("home", "1")
    tracker.track_mobile_screen_view("home", UUID, "t", "pn", "pi", "pt", "tt")
    tracker.track_link_click("http://x/", "id", ["a"], "_top", "text")
    tracker.track_add_to_cart("s", 2, "n", "c", 1.5, "EUR")
    tracker.track_remove_from_cart("s", 2)
    tracker.track_form_change("f", "e", "INPUT", None, "text", ("a", "b"))
    element = {"name": "n", "value": None, "nodeName": "INPUT"}
    tracker.track_form_submit("f", ["a"], [element])
    tracker.track_site_search(("tents",), {"size": "4", "new": True}, 10, 5)
    tracker.track("Signed up", {"plan": "pro"})
    said = [(e.properties.schema, e.properties.data) for e in events(emitter) if e.properties]
    snowplow = "iglu:com.snowplowanalytics.snowplow"
    mobile = {"name": "home", "id": UUID, "type": "t", "previousName": "pn", "previousId": "pi"}
    mobile |= {"previousType": "pt", "transitionType": "tt"}
    cart = {"sku": "s", "quantity": 2}
    assert said == [
        (f"{snowplow}/screen_view/jsonschema/1-0-0", {"name": "home", "id": "1"}),
        ("iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0", mobile),
        (
            f"{snowplow}/link_click/jsonschema/1-0-1",
            {
                "targetUrl": "http://x/",
                "elementId": "id",
                "elementClasses": ["a"],
                "elementTarget": "_top",
                "elementContent": "text",
            },
        ),
        (
            f"{snowplow}/add_to_cart/jsonschema/1-0-0",
            cart | {"name": "n", "category": "c", "unitPrice": 1.5, "currency": "EUR"},
        ),
        (f"{snowplow}/remove_from_cart/jsonschema/1-0-0", cart),
        (
            f"{snowplow}/change_form/jsonschema/1-0-0",
            {
                "formId": "f",
                "elementId": "e",
                "nodeName": "INPUT",
                "value": None,
                "type": "text",
                "elementClasses": ["a", "b"],
            },
        ),
        (
            f"{snowplow}/submit_form/jsonschema/1-0-0",
            {"formId": "f", "formClasses": ["a"], "elements": [element]},
        ),
        (
            f"{snowplow}/site_search/jsonschema/1-0-0",
            {
                "terms": ["tents"],
                "filters": {"size": "4", "new": True},
                "totalResults": 10,
                "pageResults": 5,
            },
        ),
        (
            "iglu:dev.trackway/track/jsonschema/1-0-0",
            {"name": "Signed up", "properties": {"plan": "pro"}},
        ),
    ]


def test_a_mobile_screen_view_has_an_id_of_its_own(
    tracker: Tracker, emitter: MemoryEmitter
) -> None:
    tracker.track_mobile_screen_view("home").track_mobile_screen_view("home")
    ids = [event.properties.data["id"] for event in events(emitter) if event.properties]
    assert len(set(ids)) == 2


def test_an_order_and_its_items_have_one_time_and_ids_of_their_own(
    tracker: Tracker, emitter: MemoryEmitter
) -> None:
    items: list[dict[str, Any]] = [
        {"sku": "a", "price": 1.5, "quantity": 2, "name": "n", "category": "c"},
        {"sku": "b", "price": 0, "quantity": 1, "context": [OTHER], "currency": "USD"},
    ]
    before = [dict(item) for item in items]
    tracker.track_ecommerce_transaction(
        "o1", 3.0, "shop", 0.5, 1, "Rome", "RM", "IT", "EUR", items, [CONTEXT],
        true_timestamp=1_700_000_000_000, event_id=UUID,
    )  # fmt: skip
    assert items == before
    order, first, second = events(emitter)
    assert order.id == UUID
    assert len({order.id, first.id, second.id}) == 3
    assert order.created == first.created == second.created
    assert order.true == first.true == second.true == 1_700_000_000_000
    assert (order.total, order.tax, order.shipping, order.country) == (3.0, 0.5, 1, "IT")
    assert (first.sku, first.item_name, first.item_category) == ("a", "n", "c")
    assert (first.quantity, first.price, second.price) == (2, 1.5, 0)
    assert (first.order_id, first.currency, second.currency) == ("o1", "EUR", "USD")
    assert (order.contexts, first.contexts, second.contexts) == ((CONTEXT,), (), (OTHER,))


def test_the_times_of_an_event(tracker: Tracker, emitter: MemoryEmitter) -> None:
    begun = int(time.time() * 1000)
    tracker.track("x")
    tracker.track("x", tstamp=5, true_timestamp=7)
    tracker.track_page_view("http://x/", tstamp=1_368_725_287_000.9)
    tracker.track_page_view("http://x/", None, None, None, 0, true_timestamp=0)
    now, both, broken, earliest = events(emitter)
    assert now.created is not None
    assert begun <= now.created <= time.time() * 1000
    assert (both.created, both.true, now.true) == (5, 7, None)
    assert broken.created == 1_368_725_287_000
    assert (earliest.created, earliest.true) == (0, 0)
    assert "stm" not in emitter.payloads[0]  # who sends says it


def test_any_fact_can_be_said_with_the_call(tracker: Tracker, emitter: MemoryEmitter) -> None:
    facts: dict[str, Any] = {
        "user_id": "u2", "app_id": "other", "platform": "mob", "language": "it", "ip": "1.2.3.4",
        "session_id": UUID, "session_index": 3, "viewport": "3x4", "cookies": True,
        "route": "/p/<id>", "method": "GET", "status": 200, "duration_ms": 1.5,
        "request_bytes": 0, "property_": "p", "value": 0,
    }  # fmt: skip
    tracker.track("x", **facts)
    tracker.track("y")
    first, second = events(emitter)
    assert {name: getattr(first, name) for name in facts} == facts
    assert (second.user_id, second.app_id, second.platform) == ("u1", "shop", "web")
    assert (second.session_id, second.status) == (None, None)


def test_contexts_of_a_scope_and_a_call_add_up(tracker: Tracker, emitter: MemoryEmitter) -> None:
    with tracker.scope(contexts=[CONTEXT]):
        tracker.track("x", context=[OTHER])
        tracker.track_page_view("http://x/", context=[{"schema": OTHER.schema, "data": OTHER.data}])
        tracker.track("x")
    assert [event.contexts for event in events(emitter)] == [(CONTEXT, OTHER)] * 2 + [(CONTEXT,)]


# Subjects -------------------------------------------------------------------------------------


def test_the_subject_says_who_it_is_about(emitter: MemoryEmitter) -> None:
    subject = (
        Subject("mob")
        .set_user_id("u1")
        .set_screen_resolution(1920, 1080)
        .set_viewport(300, 200)
        .set_color_depth(24)
        .set_timezone("Europe/London")
        .set_lang("en")
        .set_domain_user_id("d1")
        .set_domain_session_id(UUID)
        .set_domain_session_index(3)
        .set_network_user_id("n1")
        .set_ip_address("34.633.11.139")
        .set_useragent("UA x")
    )
    Tracker(emitter, subject).track("x")
    (payload,) = emitter.payloads
    assert payload.items() >= {
        "p": "mob", "uid": "u1", "res": "1920x1080", "vp": "300x200", "cd": "24",
        "tz": "Europe/London", "lang": "en", "duid": "d1", "sid": UUID, "vid": "3",
        "tnuid": "n1", "ip": "34.633.11.139", "ua": "UA x",
    }.items()  # fmt: skip


def test_none_takes_a_fact_of_a_subject_away() -> None:
    subject = Subject("mob").set_user_id("u1").set_lang("en").set_viewport(1, 2)
    subject.set_user_id(None).set_viewport(None, None)  # type: ignore[arg-type]
    assert subject.facts == {"platform": "mob", "language": "en"}


def test_a_subject_that_changes_changes_the_events_after_that(
    tracker: Tracker, emitter: MemoryEmitter
) -> None:
    tracker.track("x")
    tracker.subject.set_user_id("u2")
    tracker.track("x")
    tracker.set_subject(Subject().set_user_id("u3")).track("x")
    tracker.set_subject(None).track("x")
    assert [event.user_id for event in events(emitter)] == ["u1", "u2", "u3", None]
    assert last(emitter).platform == "srv"  # never none, which a collector would refuse


def test_one_event_may_have_a_subject_of_its_own(tracker: Tracker, emitter: MemoryEmitter) -> None:
    other = Subject("tv").set_user_id("u2")
    tracker.track_page_view("http://x/", event_subject=other)
    tracker.track("x", event_subject=other)
    tracker.track("x", event_subject=None)
    tracker.track_ecommerce_transaction(
        "o", 1, items=[{"sku": "s", "price": 1, "quantity": 1}], event_subject=other
    )
    found = [(event.user_id, event.platform, event.app_id) for event in events(emitter)]
    own, of_other = ("u1", "web", "shop"), ("u2", "tv", "shop")
    assert found == [of_other, of_other, own, of_other, of_other]


def test_several_trackers_may_share_a_subject_and_an_emitter(emitter: MemoryEmitter) -> None:
    subject = Subject().set_user_id("u1")
    trackers = [Tracker(emitter, subject, app_id=name) for name in ("a", "b")]
    subject.set_user_id("u2")
    for one in trackers:
        one.track("x")
    assert [(e.user_id, e.app_id) for e in events(emitter)] == [("u2", "a"), ("u2", "b")]


# Collectors that do not know our schemas ----------------------------------------------------------


@pytest.mark.parametrize("steps", [[], [lambda event: event]], ids=["fast", "steps"])
def test_without_our_own_contexts_nothing_of_ours_is_sent(
    emitter: MemoryEmitter, steps: list[Any]
) -> None:
    tracker = Tracker(emitter, own_contexts=False, steps=steps)
    tracker.track("Signed up", {"plan": "pro"}, status=200, route="/x", context=[CONTEXT])
    tracker.track("Signed up")
    tracker.track("Long", {"text": "x" * 5000})
    tracker.track("\ud800", {"\ud800": float("nan")})
    tracker.track_link_click("http://x/", duration_ms=5.0)
    assert "dev.trackway" not in json.dumps(emitter.payloads)
    signed, bare, long, odd, click = events(emitter)
    assert (signed.kind, signed.category, signed.action) == ("struct", "track", "Signed up")
    assert signed.label == '{"plan":"pro"}'
    assert (signed.contexts, signed.status, signed.route) == ((CONTEXT,), None, None)
    assert (bare.action, bare.label) == ("Signed up", None)
    assert (long.action, long.label) == ("Long", None)  # longer than a label may be
    assert (odd.action, odd.label) == ("?", '{"?":null}')
    assert click.properties and click.properties.data == {"targetUrl": "http://x/"}


# Emitters that misbehave ------------------------------------------------------------------------


class Broken(Custom):
    """Fails in one of its methods."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def _fail(self, method: str) -> None:
        if method == self.method:
            raise RuntimeError(method)

    def input(self, payload: dict[str, str]) -> None:
        self._fail("input")
        super().input(payload)

    def flush(self) -> None:
        self._fail("flush")


class BrokenOfOurs(MemoryEmitter):
    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def _fail(self, method: str) -> None:
        if method == self.method:
            raise RuntimeError(method)

    def put(self, payload: bytes) -> bool:
        self._fail("input")
        return super().put(payload)

    def input(self, payload: Any) -> None:
        super().input(payload)

    def flush(self, timeout: float | None = None) -> int:
        self._fail("flush")
        return 3

    def close(self, timeout: float | None = None) -> int:
        self._fail("close")
        return 4


@pytest.mark.parametrize("kind", [Broken, BrokenOfOurs])
@pytest.mark.parametrize("method", ["input", "flush", "close"])
def test_an_emitter_that_raises_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture, kind: Callable[[str], Any], method: str
) -> None:
    first, broken, ours, second = Custom(), kind(method), MemoryEmitter(), BrokenOfOurs("")
    tracker = Tracker([first, broken, ours, second])
    for _ in range(3):
        tracker.track("x")
    counts = [len(one.payloads) for one in (first, broken, ours, second)]
    assert counts == [3, 0 if method == "input" else 3, 3, 3]
    left = 3 + (3 if kind is BrokenOfOurs and method != "flush" else 0)
    assert tracker.flush(1) == left
    assert tracker.close(1) == 4 + (4 if kind is BrokenOfOurs and method != "close" else 0)
    name = kind.__name__
    failed = tracker.stats().get(f"failed:emitter:{name}", 0)
    if kind is Broken and method == "flush":
        assert failed == 2  # a foreign emitter is flushed at the close as well
    elif kind is Broken and method == "close":
        assert failed == 0
    else:
        assert failed == (3 if method == "input" else 1)
    logged = [record for record in caplog.records if f"the emitter {name} failed" in record.message]
    assert len(logged) == min(1, failed)


def test_an_emitter_that_changes_its_payload_changes_nobody_elses() -> None:
    class Vandal(Custom):
        def input(self, payload: dict[str, str]) -> None:
            super().input(dict(payload))
            payload.clear()
            payload["e"] = "spoiled"

    emitters: list[Any] = [Vandal(), MemoryEmitter(), Vandal(), Custom()]
    subject = Subject().set_user_id("u1")
    tracker = Tracker(emitters, subject)
    with tracker.scope(language="en", contexts=[CONTEXT]):
        tracker.track_page_view("http://x/")
        tracker.track_page_view("http://x/")
    for emitter in emitters:
        first, second = emitter.payloads
        assert (first["e"], first["uid"], first["lang"]) == ("pv", "u1", "en")
        assert {**first, "eid": "", "dtm": ""} == {**second, "eid": "", "dtm": ""}
    assert [e.payloads for e in emitters[1:]] == [emitters[0].payloads] * 3


def test_the_data_of_the_caller_is_not_changed(tracker: Tracker) -> None:
    properties: Any = {"a": {"b": [1, "\ud800", {1, 2}]}, 5: float("nan")}
    contexts = [{"schema": CONTEXT.schema, "data": properties}]
    subject = Subject().set_user_id("u1")
    facts = dict(subject.facts)
    tracker.track("x", properties, context=contexts, event_subject=subject)
    tracker.track_site_search(terms := ["a"], filters := {"b": True})
    assert list(properties) == ["a", 5]
    assert properties["a"] == {"b": [1, "\ud800", {1, 2}]}
    assert contexts == [{"schema": CONTEXT.schema, "data": properties}]
    assert (subject.facts, terms, filters) == (facts, ["a"], {"b": True})


class Queueing(queue.Queue[Any]):
    """A custom emitter whose base happens to have a ``put`` as well."""

    def input(self, payload: dict[str, str]) -> None:
        self.put(payload)


class Overriding(MemoryEmitter):
    """One of ours with another ``input``, as the Snowplow tracker's documents suggest."""

    def input(self, payload: Any) -> None:
        super().input({**payload, "tna": "mine"})

    def flush(self) -> None:  # type: ignore[override]
        """Without a time-out, as it is there."""


def test_who_replaces_input_is_given_dictionaries() -> None:
    queueing, overriding, mock, magic = Queueing(), Overriding(), Mock(), MagicMock()
    tracker = Tracker([queueing, overriding, mock, magic])
    tracker.track("x")
    payload = queueing.get_nowait()
    assert overriding.payloads == [{**payload, "tna": "mine"}]
    mock.input.assert_called_once_with(payload)
    magic.input.assert_called_once_with(payload)
    assert not mock.put.called
    assert (tracker.flush(1), tracker.close(1)) == (0, 0)
    assert "failed:emitter:Overriding" not in tracker.stats()
    mock.flush.assert_called_with()


# Steps, sinks and the end -------------------------------------------------------------------------


def test_a_step_that_fails_or_answers_nonsense_loses_no_event(emitter: MemoryEmitter) -> None:
    def fail(event: Event) -> Event:
        raise RuntimeError("step")

    def change(event: Event) -> Event:
        return msgspec.structs.replace(event, user_id="changed")

    def drop(event: Event) -> Event | None:
        return None if event.name == "drop" else event

    tracker = Tracker(emitter, steps=[fail, change, drop])
    tracker.track("x")
    tracker.track("drop")
    tracker.track_page_view("http://x/")
    assert [event.user_id for event in events(emitter)] == ["changed"] * 2
    counted = tracker.stats()
    named = {name.rpartition(".")[2]: count for name, count in counted.items()}
    assert (named["fail"], named["drop"], counted["captured"]) == (3, 1, 2)


@pytest.mark.parametrize("garbage", [5, "event", {}, object(), True])
def test_a_step_that_answers_no_event_keeps_the_next_ones_out_of_it(
    emitter: MemoryEmitter, garbage: Any
) -> None:
    answers = [garbage]
    tracker = Tracker(emitter, steps=[lambda event: answers.pop() if answers else event])
    tracker.track("odd")
    tracker.track("after")
    assert [event.name for event in events(emitter)][-1] == "after"
    assert len(emitter.payloads) == 2 or any("failed" in name for name in tracker.stats())


def test_a_sink_that_fails_does_not_keep_the_events_from_the_emitters(
    emitter: MemoryEmitter,
) -> None:
    class Failing(MemorySink):
        def send(self, events: Any) -> None:
            raise RuntimeError("sink")

    sink = MemorySink()
    tracker = Tracker(emitter, sinks=[Failing(), sink])
    tracker.track("x")
    assert len(emitter.payloads) == len(sink.events) == 1
    assert any(name.startswith("failed:sink:") for name in tracker.stats())


def test_a_with_statement_closes_the_emitters() -> None:
    class Closing(MemoryEmitter):
        closed: float | None = None

        def close(self, timeout: float | None = None) -> int:
            self.closed = timeout
            return 0

    emitter = Closing()
    with Tracker(emitter) as tracker:
        tracker.track("x")
    assert emitter.closed is not None
    assert 0 < emitter.closed <= 2.0


def test_a_flush_shares_its_time_among_the_emitters() -> None:
    given_to = []

    class Slow(MemoryEmitter):
        def flush(self, timeout: float | None = None) -> int:
            given_to.append(timeout)
            return 1

    tracker = Tracker([Slow(), Slow(), Slow()])
    assert tracker.flush(3.0) == 3
    assert given_to == pytest.approx([1.0, 1.5, 3.0], abs=0.2)
    assert tracker.flush(None) == 3
    assert given_to[3:] == [None] * 3


def test_a_synchronous_emitter_behind_a_tracker(free_port: int) -> None:
    with Emitter(f"http://127.0.0.1:{free_port}", batch_size=1, exit_budget=0.1) as emitter:
        tracker = Tracker(emitter)
        assert tracker.track("x")
        assert tracker.flush(0.1) == 1
        assert tracker.close(0.1) == 1


# The two ways to the emitters ---------------------------------------------------------------------

TEXTS = st.text(max_size=20) | st.sampled_from(["\ud800", "a\0b", "ü€😀", "x" * 300, "<b>"])
NUMBERS = (
    st.integers(-(10**12), 10**12) | st.floats(allow_nan=True) | st.sampled_from([0, 0.0, -0.0])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=5) | st.uuids() | st.dates()
    | st.datetimes() | st.decimals(allow_nan=False) | st.sets(st.integers(0, 9)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=4)
DESCRIBED = st.builds(SelfDescribingJson, st.just(CONTEXT.schema), OBJECTS)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"sku": TEXTS, "price": NUMBERS, "quantity": st.integers(0, 9)},
        optional={"name": TEXTS, "context": st.lists(DESCRIBED, min_size=1, max_size=2)},
    ),
    max_size=2,
)
OPTIONS = st.fixed_dictionaries(
    {"event_id": st.uuids().map(str), "tstamp": st.integers(0, 10**12)},
    optional={
        "context": st.lists(DESCRIBED, min_size=1, max_size=2),
        "true_timestamp": st.integers(0, 10**12),
        "user_id": TEXTS,
        "status": st.integers(100, 999),
        "duration_ms": st.floats(0, 1e6),
        "cookies": st.booleans(),
        "session_index": st.integers(0, 9),
        "route": TEXTS,
    },
)
OPTIONAL_TEXT = st.none() | TEXTS
ARGUMENTS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "track": st.tuples(TEXTS, OBJECTS),
    "track_page_view": st.tuples(TEXTS, OPTIONAL_TEXT, OPTIONAL_TEXT),
    "track_page_ping": st.tuples(
        TEXTS, OPTIONAL_TEXT, OPTIONAL_TEXT, st.integers(-9, 9), st.integers(-9, 9)
    ),
    "track_screen_view": st.tuples(TEXTS, OPTIONAL_TEXT),
    "track_mobile_screen_view": st.tuples(TEXTS, st.uuids()),
    "track_struct_event": st.tuples(
        TEXTS, TEXTS, OPTIONAL_TEXT, OPTIONAL_TEXT, st.none() | NUMBERS
    ),
    "track_self_describing_event": st.tuples(DESCRIBED),
    "track_unstruct_event": st.tuples(DESCRIBED),
    "track_link_click": st.tuples(TEXTS, OPTIONAL_TEXT, st.lists(TEXTS)),
    "track_add_to_cart": st.tuples(TEXTS, NUMBERS, OPTIONAL_TEXT),
    "track_remove_from_cart": st.tuples(TEXTS, NUMBERS),
    "track_form_change": st.tuples(TEXTS, TEXTS, st.just("INPUT"), OPTIONAL_TEXT),
    "track_form_submit": st.tuples(TEXTS, st.lists(TEXTS), st.lists(OBJECTS)),
    "track_site_search": st.tuples(st.lists(TEXTS), OBJECTS),
    "track_ecommerce_transaction": st.builds(
        lambda order, total, items: (order, total, *[None] * 7, items), TEXTS, NUMBERS, ITEMS
    ),
    "track_ecommerce_transaction_item": st.tuples(
        TEXTS, TEXTS, NUMBERS, st.integers(0, 9), OPTIONAL_TEXT
    ),
}
CALLS = st.one_of([st.tuples(st.just(method), ways) for method, ways in ARGUMENTS.items()])


def test_the_generated_calls_are_of_every_method() -> None:
    assert set(ARGUMENTS) == {name for name in dir(Tracker) if name.startswith("track")}


@given(call=CALLS, options=OPTIONS, base64=st.booleans(), own=st.booleans())
def test_the_fast_way_and_the_way_through_an_event_send_the_same(
    call: tuple[str, tuple[Any, ...]], options: dict[str, Any], base64: bool, own: bool
) -> None:
    method, arguments = call
    sent = []
    for steps in ([], [lambda event: event], [lambda event: msgspec.structs.replace(event)]):
        emitter, custom = MemoryEmitter(), Custom()
        subject = Subject().set_user_id("u1").set_domain_session_index(2)
        made: Any = {"encode_base64": base64, "own_contexts": own, "steps": steps}
        tracker = Tracker([emitter, custom], subject, "cf", "shop", strict=False, **made)
        with tracker.scope(language="en", contexts=[CONTEXT]):
            getattr(tracker, method)(*arguments, **options)
        assert emitter.payloads == custom.payloads
        assert not any(name.startswith("failed") for name in tracker.stats())
        sent.append([{**payload, "eid": ""} for payload in emitter.payloads])
        assert all(decode(payload) for payload in emitter.payloads)
    assert sent[0] == sent[1] == sent[2]
    assert sent[0]


def test_the_id_of_an_event_is_a_random_uuid(tracker: Tracker) -> None:
    ids = {tracker.track("x") for _ in range(500)} | {new_id()}
    assert len(ids) == 501
