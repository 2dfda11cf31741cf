"""Contracts of public arguments: what is refused and how that is said, and what is converted."""

from __future__ import annotations

import enum
import ipaddress
import logging
import math
import re
import tracemalloc
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
from markupsafe import Markup

from trackway import Event, SelfDescribingJson, Subject, Tracker
from trackway.arguments import LIMITS
from trackway.contracts import Contracts, shown
from trackway.emitters.memory import MemoryEmitter
from trackway.errors import ContractNotRespected, TrackwayError
from trackway.event import ENCODED_NAMES
from trackway.subject import PLATFORMS
from trackway.wires import snowplow_keys
from trackway.wires.snowplow import decode

CONTEXT = SelfDescribingJson("iglu:com.acme/c/jsonschema/1-0-0", {"a": 1})
UUID = "11111111-2222-4333-8444-555555555555"


class Wrong(NamedTuple):
    """Values that are not what is expected, how a message names that, and one that is."""

    expected: str
    values: tuple[Any, ...]
    right: Any = None


TEXT = Wrong("a text", (object(), ["a"], {}, True, math.nan, lambda: "a"), "text")
NUMBER = Wrong(
    "a finite number", ("many", "", math.nan, -math.inf, True, [1], 10**400, object()), 1.5
)
WHOLE = Wrong(
    "a whole number from -2147483648 to 2147483647", (1.5, "x", 2**31, math.nan, [], True), 7
)
COUNT = Wrong("a whole number from 0 to 2147483647", (-1, 0.5, 2**31, "x", math.inf), 7)
TIME = Wrong(
    "a finite number from 0 to 253402300799999",
    (-1, "now", datetime.now(), math.nan, 1e18),
    1_700_000_000_000,
)
ID = Wrong("a UUID", ("x", 5, UUID[:-1], object(), True, f"{{{UUID}}}"), UUID)
TEXTS = Wrong("a list of texts", ("a", 5, {"a": 1}, object(), b"a"), ["a", "b"])
MAPPING = Wrong("a mapping", (5, "a", [("a", 1)], object()), {"a": 1})
MAPPINGS = Wrong(
    "a list of mappings",
    (5, "a", ["a"], [5], object()),
    [{"sku": "s", "price": 1.5, "quantity": 1}],
)
FILTERS = Wrong(
    "a mapping of texts to texts or bool", (5, "a", ["a"], object()), {"size": "4", "new": True}
)
CONTEXTS = Wrong("a list of at least one context", ([], "a", 5, {}, CONTEXT, object()), [CONTEXT])
DESCRIBING = Wrong("a SelfDescribingJson", (5, "a", [], {"schema": "x"}, object()), CONTEXT)
SCHEMA = Wrong(
    "described by a schema such as iglu:com.acme/name/jsonschema/1-0-0",
    tuple({"schema": one, "data": {}} for one in ("x", "", 5, "iglu:com.acme/name", "a/b/c/0-0-1")),
    CONTEXT,
)
SUBJECT = Wrong("a Subject or None", ("u1", 5, object()))
NODE = Wrong("one of INPUT, SELECT, TEXTAREA", ("DIV", "input", 5, None.__class__), "INPUT")
PLATFORM = Wrong(
    "one of app, cnsl, headset, iot, mob, pc, srv, tv, web", ("fridge", "", 5, object(), "SRV")
)
SIZE = Wrong("a whole number from 1 to 2147483647", (0, -1, 1.5, "wide", True, 2**31, object()))
FLAG = Wrong("True or False", (1, "yes", 0.0, object()))
PAIR = Wrong("WIDTHxHEIGHT in digits", ("1x", "wide", 5, "1x99999999999"))

GENERAL = {"context": CONTEXTS, "tstamp": TIME}
CART = {
    "sku": TEXT,
    "quantity": NUMBER,
    "name": TEXT,
    "category": TEXT,
    "unit_price": NUMBER,
    "currency": TEXT,
}
PAGE = {"page_url": TEXT, "page_title": TEXT, "referrer": TEXT}

#: What each argument of each method takes, in their order.
METHODS: dict[str, dict[str, Wrong]] = {
    "track": {"name": TEXT, "properties": MAPPING} | GENERAL,
    "track_self_describing_event": {"event_json": DESCRIBING} | GENERAL,
    "track_unstruct_event": {"event_json": SCHEMA} | GENERAL,
    "track_struct_event": {
        "category": TEXT,
        "action": TEXT,
        "label": TEXT,
        "property_": TEXT,
        "value": NUMBER,
    }
    | GENERAL,
    "track_page_view": PAGE | GENERAL,
    "track_page_ping": PAGE | dict.fromkeys(("min_x", "max_x", "min_y", "max_y"), WHOLE) | GENERAL,
    "track_screen_view": {"name": TEXT, "id_": TEXT} | GENERAL,
    "track_mobile_screen_view": {"name": TEXT, "id_": ID}
    | dict.fromkeys(
        ("type", "previous_name", "previous_id", "previous_type", "transition_type"), TEXT
    )
    | GENERAL,
    "track_link_click": {
        "target_url": TEXT,
        "element_id": TEXT,
        "element_classes": TEXTS,
        "element_target": TEXT,
        "element_content": TEXT,
    }
    | GENERAL,
    "track_add_to_cart": CART | GENERAL,
    "track_remove_from_cart": CART | GENERAL,
    "track_form_change": {
        "form_id": TEXT,
        "element_id": TEXT,
        "node_name": NODE,
        "value": TEXT,
        "type_": TEXT,
        "element_classes": TEXTS,
    }
    | GENERAL,
    "track_form_submit": {"form_id": TEXT, "form_classes": TEXTS, "elements": MAPPINGS} | GENERAL,
    "track_site_search": {
        "terms": TEXTS,
        "filters": FILTERS,
        "total_results": COUNT,
        "page_results": COUNT,
    }
    | GENERAL,
    "track_ecommerce_transaction": {
        "order_id": TEXT,
        "total_value": NUMBER,
        "affiliation": TEXT,
        "tax_value": NUMBER,
        "shipping": NUMBER,
        "city": TEXT,
        "state": TEXT,
        "country": TEXT,
        "currency": TEXT,
        "items": MAPPINGS,
    }
    | GENERAL,
    "track_ecommerce_transaction_item": {
        "order_id": TEXT,
        "sku": TEXT,
        "price": NUMBER,
        "quantity": WHOLE,
        "name": TEXT,
        "category": TEXT,
        "currency": TEXT,
    }
    | GENERAL,
}

#: What must be there, and what is said if it is not.
REQUIRED = {
    "track": ["name"],
    "track_struct_event": ["category", "action"],
    "track_page_view": ["page_url"],
    "track_page_ping": ["page_url"],
    "track_mobile_screen_view": ["name"],
    "track_link_click": ["target_url"],
    "track_add_to_cart": ["sku", "quantity"],
    "track_remove_from_cart": ["sku", "quantity"],
    "track_form_change": ["form_id", "element_id", "node_name"],
    "track_form_submit": ["form_id"],
    "track_site_search": ["terms"],
    "track_ecommerce_transaction": ["order_id", "total_value"],
    "track_ecommerce_transaction_item": ["order_id", "sku", "price", "quantity"],
}

OPTIONS: dict[str, Wrong] = {
    "true_timestamp": TIME,
    "event_id": ID,
    "event_subject": SUBJECT,
    "contexts": CONTEXTS,
    "created": TIME,
    "user_id": TEXT,
    "platform": PLATFORM,
    "session_id": ID,
    "session_index": WHOLE,
    "viewport": PAIR,
    "cookies": FLAG,
    "ip": TEXT,
    "status": Wrong("a whole number from 100 to 999", (99, 1000, "ok", 200.5)),
    "duration_ms": Wrong("a finite number from 0 to 3e+38", (-1, "long", 1e39)),
    "request_bytes": Wrong("a whole number from 0 to 9223372036854775807", (-1, 2**63, 0.5)),
    "nonsense": Wrong("the name of a field of Event", (5, "x")),
    "extra": Wrong("the name of a field of Event", ({"a": "b"},)),
    "kind": Wrong("the name of a field of Event", ("page_view",)),
}

#: What each setter of a Subject takes.
SETTERS: dict[str, dict[str, Wrong]] = {
    "set_platform": {"value": PLATFORM},
    "set_user_id": {"user_id": TEXT},
    "set_screen_resolution": {"width": SIZE, "height": SIZE},
    "set_viewport": {"width": SIZE, "height": SIZE},
    "set_color_depth": {"depth": SIZE},
    "set_timezone": {"timezone": TEXT},
    "set_lang": {"lang": TEXT},
    "set_domain_user_id": {"duid": TEXT},
    "set_domain_session_id": {"sid": ID},
    "set_domain_session_index": {"vid": COUNT},
    "set_network_user_id": {"nuid": TEXT},
    "set_ip_address": {"ip": TEXT},
    "set_useragent": {"ua": TEXT},
}


def wrong_ones(table: dict[str, dict[str, Wrong]]) -> list[Any]:
    return [
        pytest.param(method, argument, wrong.expected, value, id=f"{method}-{argument}-{number}")
        for method, arguments in table.items()
        for argument, wrong in arguments.items()
        for number, value in enumerate(wrong.values)
    ]


def call(tracker: Tracker, method: str, **changed: Any) -> Any:
    arguments = {name: wrong.right for name, wrong in METHODS[method].items()}
    if "currency" in arguments:
        arguments["currency"] = "EUR"
    return getattr(tracker, method)(**arguments | changed)


def set_on(subject: Subject, setter: str, argument: str, value: Any) -> Subject:
    found: Subject = getattr(subject, setter)(
        **dict.fromkeys(SETTERS[setter], 7) | {argument: value}
    )
    return found


@pytest.fixture
def emitter() -> MemoryEmitter:
    return MemoryEmitter()


@pytest.fixture
def strict(emitter: MemoryEmitter) -> Tracker:
    return Tracker(emitter, strict=True)


@pytest.fixture
def lenient(emitter: MemoryEmitter) -> Tracker:
    return Tracker(emitter, strict=False)


def events(emitter: MemoryEmitter) -> list[Event]:
    """The events as a collector reads them, which raises if it would refuse them."""
    assert all(type(v) is str for payload in emitter.payloads for v in payload.values())
    return [decode(payload) for payload in emitter.payloads]


def message(place: str, argument: str, expected: str) -> str:
    return "^" + re.escape(f"{place}: {argument} must be {expected}, not ")


# The tables -----------------------------------------------------------------------------------


def test_the_tables_name_every_method_and_every_argument() -> None:
    import inspect

    verbs = {n: f for n, f in vars(Tracker).items() if n.startswith("track")}
    for base in Tracker.__mro__:
        verbs |= {n: f for n, f in vars(base).items() if n.startswith("track")}
    assert set(verbs) == set(METHODS)
    for name, verb in verbs.items():
        own = set(inspect.signature(verb).parameters) - {"self", "options"}
        assert set(METHODS[name]) == own | {"context", "tstamp"}
    setters = {name for name in vars(Subject) if name.startswith("set_")}
    assert setters == set(SETTERS)


def test_the_platforms_are_those_of_the_protocol() -> None:
    assert set(PLATFORMS) == snowplow_keys.PLATFORMS


@pytest.mark.parametrize("method", METHODS)
def test_what_is_right_is_sent_without_a_word(
    strict: Tracker, emitter: MemoryEmitter, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    call(strict, method)
    assert events(emitter)
    assert "invalid_argument" not in strict.stats()
    assert not caplog.records


# Strict ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "argument", "expected", "value"), wrong_ones(METHODS))
def test_a_wrong_argument_raises_and_the_message_says_what_and_where(
    strict: Tracker,
    emitter: MemoryEmitter,
    method: str,
    argument: str,
    expected: str,
    value: Any,
) -> None:
    place = "track_self_describing_event" if method == "track_unstruct_event" else method
    with pytest.raises(ContractNotRespected) as caught:
        call(strict, method, **{argument: value})
    said = str(caught.value)
    assert said.startswith(f"{place}: {argument} must be {expected}, not ")
    assert said.endswith(")")
    assert isinstance(caught.value, TrackwayError)
    assert isinstance(caught.value, ValueError)
    assert emitter.payloads == [] or method == "track_ecommerce_transaction"


@pytest.mark.parametrize(
    ("method", "argument"), [(method, one) for method in REQUIRED for one in REQUIRED[method]]
)
@pytest.mark.parametrize("nothing", [None, ""])
def test_what_is_required_must_be_given(
    strict: Tracker, method: str, argument: str, nothing: Any
) -> None:
    with pytest.raises(ContractNotRespected, match=f"{method}: {argument} must be "):
        call(strict, method, **{argument: nothing})


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_required_may_be_none(
    strict: Tracker, emitter: MemoryEmitter, method: str
) -> None:
    kept = {"event_json", "page_url", *REQUIRED.get(method, [])}
    nothing = {name: None for name in METHODS[method] if name not in kept}
    if method == "track_screen_view":
        nothing.pop("name")
    call(strict, method, **nothing)
    (event,) = events(emitter)
    assert event.contexts == ()


def test_an_empty_text_is_nothing(strict: Tracker, emitter: MemoryEmitter) -> None:
    strict.track_page_view("http://x/", "", "")
    strict.track_link_click("http://x/", "", [], "", "")
    view, click = events(emitter)
    assert (view.page_title, view.referrer) == (None, None)
    assert click.properties and click.properties.data == {"targetUrl": "http://x/"}
    assert "" not in emitter.payloads[0].values()


def test_a_screen_has_a_name_or_an_id(strict: Tracker) -> None:
    strict.track_screen_view("home").track_screen_view(id_="1")
    with pytest.raises(ContractNotRespected, match="track_screen_view: name must be given, or id_"):
        strict.track_screen_view()


@pytest.mark.parametrize(("option", "argument", "expected", "value"), wrong_ones({"o": OPTIONS}))
@pytest.mark.parametrize("method", ["track", "track_page_view", "track_add_to_cart"])
def test_a_wrong_option_raises(
    strict: Tracker, emitter: MemoryEmitter, method: str, option: str, argument: str,
    expected: str, value: Any,
) -> None:  # fmt: skip
    named = "context" if argument == "contexts" else argument
    with pytest.raises(ContractNotRespected, match=message(method, named, expected)):
        call(strict, method, **{argument: value})
    assert emitter.payloads == []


@pytest.mark.parametrize(("setter", "argument", "expected", "value"), wrong_ones(SETTERS))
def test_a_wrong_value_for_a_subject_raises(
    setter: str, argument: str, expected: str, value: Any
) -> None:
    with pytest.raises(
        ContractNotRespected, match=message(f"Subject.{setter}", argument, expected)
    ):
        set_on(Subject(strict=True), setter, argument, value)


def test_a_size_has_two_sides() -> None:
    subject = Subject(strict=True).set_viewport(3, 4)
    with pytest.raises(ContractNotRespected, match="width and height must be given both"):
        subject.set_viewport(3, None)  # type: ignore[arg-type]
    assert subject.set_viewport(None, None).facts == {"platform": "srv"}  # type: ignore[arg-type]


def test_a_platform_that_cannot_be_is_refused_where_the_subject_is_made() -> None:
    with pytest.raises(ContractNotRespected, match=r"Subject.set_platform: value must be one of"):
        Subject("fridge", strict=True)


@pytest.mark.parametrize(("fact", "argument", "expected", "value"), wrong_ones({"scope": OPTIONS}))
def test_a_wrong_fact_of_a_scope_raises_where_something_is_tracked(
    strict: Tracker, emitter: MemoryEmitter, fact: str, argument: str, expected: str, value: Any
) -> None:
    if value == []:
        pytest.skip("a scope may have no contexts")
    if argument in ("true_timestamp", "event_id", "event_subject"):
        expected = "the name of a field of Event"
    named = "context" if argument == "contexts" else argument
    with (
        pytest.raises(ContractNotRespected, match=message("scope", named, expected)),
        strict.scope(**{argument: value}),
    ):
        strict.track("x")
    assert emitter.payloads == []


@pytest.mark.parametrize("name", ["namespace", "app_id"])
def test_the_names_of_a_tracker_are_texts(name: str) -> None:
    with pytest.raises(ContractNotRespected, match=f"Tracker: {name} must be a text, not .*object"):
        Tracker(MemoryEmitter(), strict=True, **{name: object()})  # type: ignore[call-overload]
    limit = {"namespace": 128, "app_id": 255}[name]
    with pytest.raises(ContractNotRespected, match=f"{name} must be at most {limit} characters"):
        Tracker(MemoryEmitter(), strict=True, **{name: "x" * (limit + 1)})  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("method", "argument", "limit"),
    [
        ("track_page_view", "page_url", 10_000),
        ("track_page_view", "page_title", 2_000),
        ("track_page_view", "referrer", 10_000),
        ("track_struct_event", "category", 1_000),
        ("track_struct_event", "label", 4_096),
        ("track_ecommerce_transaction", "order_id", 255),
        ("track_ecommerce_transaction", "currency", 3),
        ("track_ecommerce_transaction_item", "sku", 255),
        ("track", "name", 255),
    ],
)
def test_texts_have_the_limits_of_the_protocol(
    strict: Tracker,
    lenient: Tracker,
    emitter: MemoryEmitter,
    method: str,
    argument: str,
    limit: int,
) -> None:
    call(strict, method, **{argument: "x" * limit})
    with pytest.raises(
        ContractNotRespected, match=f"{argument} must be at most {limit} characters"
    ):
        call(strict, method, **{argument: "x" * (limit + 1)})
    emitter.clear()
    call(lenient, method, **{argument: "ü" * 1_000_000})
    events(emitter)  # nothing is too long for the collector
    assert lenient.stats()["invalid_argument"] >= 1


def test_the_limits_are_those_of_the_protocol() -> None:
    for key, (field, limit, _) in snowplow_keys.KEYS.items():
        name = ENCODED_NAMES[field]
        assert LIMITS[name] in (limit, 0), key  # 0: no text
    texts = {"url": 10_000, "uid": 255, "se_la": 4_096, "currency": 3, "sku": 255, "route": 10_000}
    assert {name: LIMITS[name] for name in texts} == texts


# Neither strict nor silent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "argument", "expected", "value"),
    wrong_ones(METHODS | {"track_page_view": PAGE | OPTIONS}),
)
def test_a_wrong_argument_is_left_out_and_the_rest_is_sent(
    lenient: Tracker,
    emitter: MemoryEmitter,
    caplog: pytest.LogCaptureFixture,
    method: str,
    argument: str,
    expected: str,
    value: Any,
) -> None:
    call(lenient, method)
    call(lenient, method, **{argument: value})
    call(lenient, method, **{argument: value})
    call(lenient, method)
    found = events(emitter)
    items = 4 if method == "track_ecommerce_transaction" else 0
    assert len(found) == 4 + items - (2 if argument == "items" else 0)
    assert {event.kind for event in found} == {found[0].kind, found[-1].kind}
    assert lenient.stats()["invalid_argument"] >= 2
    named = [r.getMessage() for r in caplog.records if f": {argument} must be" in r.getMessage()]
    named += [
        m for m in map(str, caplog.messages) if argument == "contexts" and ": context must" in m
    ]
    places = {m.partition(":")[0] for m in named}
    assert len(named) == len(places) >= 1  # once, and for an order's items once more
    assert all("counted as invalid_argument" in m for m in named)


def test_what_is_made_up_by_users_does_not_fill_the_log_or_the_memory(
    lenient: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3000):
        made_up: Any = {f"field_{number}": 1}
        lenient.track("x", **made_up)
    assert lenient.stats()["invalid_argument"] == 3000
    assert len(caplog.records) == 1000


def test_messages_stay_short(lenient: Tracker, caplog: pytest.LogCaptureFixture) -> None:
    class Huge:
        def __repr__(self) -> str:
            return "x" * 10_000_000

    lenient.track_page_view(Huge(), "y" * 10_000_000)  # type: ignore[arg-type]
    assert all(len(record.getMessage()) < 300 for record in caplog.records)


def test_a_message_is_made_only_when_somebody_reads_it(lenient: Tracker) -> None:
    shown_so_far = []

    class Costly:
        def __repr__(self) -> str:
            shown_so_far.append(1)  # a query of a database, say
            return "costly"

    for _ in range(5):
        lenient.track_page_view(Costly())  # type: ignore[arg-type]
    assert len(shown_so_far) == 1


def test_the_invalid_values_of_a_subject_are_counted_as_well(emitter: MemoryEmitter) -> None:
    subject = Subject(strict=False).set_user_id(object())  # type: ignore[arg-type]
    tracker = Tracker(emitter, subject, strict=False)
    tracker.track("x")
    assert tracker.stats()["invalid_argument"] == 1


def test_of_a_subject_no_user_is_better_than_the_wrong_one() -> None:
    subject = Subject("web", strict=False).set_user_id("u1").set_viewport(1, 2).set_color_depth(24)
    subject.set_user_id(object()).set_viewport(0, 2).set_color_depth("walrus")  # type: ignore[arg-type]
    subject.set_platform("fridge").set_platform(None)  # type: ignore[arg-type]
    assert subject.facts == {"platform": "web"}  # without it a collector refuses a whole request
    assert subject.contracts.broken == 4


# When it is strict ----------------------------------------------------------------------------


def test_a_test_is_strict_and_a_server_is_not(
    emitter: MemoryEmitter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, subject = Tracker(emitter), Subject()
    with pytest.raises(ContractNotRespected):
        tracker.track_page_view(object())  # type: ignore[arg-type]
    with pytest.raises(ContractNotRespected):
        subject.set_color_depth("walrus")  # type: ignore[arg-type]
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert tracker.track_page_view(object()) is tracker  # type: ignore[arg-type]
    assert subject.set_color_depth("walrus") is subject  # type: ignore[arg-type]
    assert tracker.stats()["invalid_argument"] >= 1
    assert len(emitter.payloads) == 1
    with pytest.raises(ContractNotRespected):
        Tracker(emitter, strict=True).track_page_view(object())  # type: ignore[arg-type]


def test_the_documented_message(strict: Tracker) -> None:
    with pytest.raises(
        ContractNotRespected,
        match=r"^Subject.set_color_depth: depth must be a whole number from 1 to 2147483647, "
        r"not 'walrus' \(str\)$",
    ):
        Subject(strict=True).set_color_depth("walrus")  # type: ignore[arg-type]


# Conversions ----------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    LARGE = "large"


class Old(str, enum.Enum):  # noqa: UP042 - how it was written before StrEnum, and what str() shows
    NEW = "new"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    def __len__(self) -> int:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    __hash__ = str.__hash__


class OurUUID(uuid.UUID):
    """As database drivers have their own."""


AS_TEXT: list[tuple[Any, str]] = [
    ("text", "text"),
    (5, "5"),
    (0, "0"),
    (-1.5, "-1.5"),
    (10**30, "1" + "0" * 30),
    (uuid.UUID(UUID), UUID),
    (OurUUID(UUID), UUID),
    (date(2026, 1, 31), "2026-01-31"),
    (datetime(2026, 1, 31, 12, 30, tzinfo=UTC), "2026-01-31T12:30:00+00:00"),
    (datetime(2026, 1, 31, 12, 30), "2026-01-31T12:30:00"),
    (Path("/tmp/ü"), "/tmp/ü"),
    (Decimal("19.90"), "19.90"),
    ("é".encode(), "é"),
    (b"\xff", "\ufffd"),
    (ipaddress.ip_address("::1"), "::1"),
    (Markup("<b>"), "<b>"),
    (Colour.RED, "red"),
    (Size.LARGE, "large"),
    (Old.NEW, "new"),
    (Level.HIGH, "3"),
    (Name("own"), "own"),
    (numpy.int64(5), "5"),
    (numpy.float64(0.5), "0.5"),
    (numpy.float32(0.5), "0.5"),
    (numpy.str_("text"), "text"),
    (numpy.datetime64("2026-01-31T12:30:00"), "2026-01-31T12:30:00"),
    ("\ud800", "?"),
]


@pytest.mark.parametrize(("value", "text"), AS_TEXT, ids=lambda value: type(value).__name__)
def test_what_has_a_text_arrives_as_that_text(
    strict: Tracker, emitter: MemoryEmitter, value: Any, text: str
) -> None:
    strict.track_page_view(value, value)
    strict.track_link_click(value, value, [value])
    strict.track("x", user_id=value)
    with strict.scope(user_id=value):
        strict.track("x")
    subject = Subject(strict=True).set_user_id(value)
    strict.track("x", event_subject=subject)
    view, click, *tracked = events(emitter)
    assert (view.page_url, view.page_title) == (text, text)
    assert click.properties
    assert click.properties.data == {"targetUrl": text, "elementId": text, "elementClasses": [text]}
    assert [event.user_id for event in tracked] == [text] * 3


AS_NUMBER: list[tuple[Any, float]] = [
    (5, 5),
    (0, 0),
    (1.5, 1.5),
    ("5", 5),
    (" -5 ", -5),
    ("1.50", 1.5),
    ("1e3", 1000),
    (Decimal("19.90"), 19.9),
    (Fraction(1, 4), 0.25),
    (Level.HIGH, 3),
    (numpy.int64(5), 5),
    (numpy.uint8(5), 5),
    (numpy.float64(0.5), 0.5),
    (numpy.float32(0.5), 0.5),
    (10**20, 10**20),
    (10**300, 1e300),
    (-(10**300), -1e300),
    (1e308, 1e308),
    ("9" * 300, 1e300),
]


@pytest.mark.parametrize(("value", "number"), AS_NUMBER, ids=lambda value: type(value).__name__)
def test_what_is_a_number_arrives_as_that_number(
    strict: Tracker, emitter: MemoryEmitter, value: Any, number: float
) -> None:
    strict.track_struct_event("c", "a", value=value)
    strict.track_add_to_cart("s", value)
    struct, cart = events(emitter)
    assert struct.value == number
    assert cart.properties and cart.properties.data == {"sku": "s", "quantity": number}


@pytest.mark.parametrize("value", [7, 7.0, "7", Decimal(7), numpy.int32(7), numpy.float64(7.0)])
def test_what_is_a_whole_number_arrives_as_that(
    strict: Tracker, emitter: MemoryEmitter, value: Any
) -> None:
    strict.track_page_ping("http://x/", min_x=value)
    strict.track("x", tstamp=value, event_subject=Subject().set_domain_session_index(value))
    strict.track_page_view("http://x/", event_subject=Subject().set_viewport(value, value))
    ping, tracked, view = events(emitter)
    assert emitter.payloads[0]["pp_mix"] == "7"
    assert (ping.x_min, tracked.created, tracked.session_index) == (7, 7, 7)
    assert view.viewport == "7x7"


@pytest.mark.parametrize("value", [UUID, UUID.upper(), uuid.UUID(UUID), UUID.encode()])
def test_ids_arrive_in_lower_case(strict: Tracker, emitter: MemoryEmitter, value: Any) -> None:
    assert strict.track("x", event_id=value, session_id=value) == UUID
    subject = Subject().set_domain_session_id(value)
    strict.track("x", event_subject=subject)
    first, second = events(emitter)
    assert (first.id, first.session_id, second.session_id) == (UUID, UUID, UUID)


@pytest.mark.parametrize(
    "context",
    [
        [CONTEXT],
        (CONTEXT,),
        [{"schema": CONTEXT.schema, "data": {"a": 1}}],
        [{"schema": CONTEXT.schema.removeprefix("iglu:"), "data": {"a": 1}}],
        [SelfDescribingJson(CONTEXT.schema.removeprefix("iglu:"), {"a": 1})],
        [type("LookAlike", (), {"schema": CONTEXT.schema, "data": {"a": 1}})()],
        [SelfDescribingJson(Markup(CONTEXT.schema), {"a": 1})],
        iter([CONTEXT]),
        [None, CONTEXT],
    ],
    ids=range(9),
)
def test_contexts_may_be_written_in_many_ways(
    strict: Tracker, emitter: MemoryEmitter, context: Any
) -> None:
    strict.track("x", context=context)
    (event,) = events(emitter)
    assert event.contexts == (CONTEXT,)


def test_a_context_that_cannot_be_does_not_take_the_others_along(
    lenient: Tracker, emitter: MemoryEmitter
) -> None:
    lenient.track("x", context=[5, CONTEXT, SelfDescribingJson("x", {}), {"schema": "x"}])
    lenient.track("x", context=CONTEXT)  # a list was meant
    first, second = events(emitter)
    assert first.contexts == second.contexts == (CONTEXT,)
    assert lenient.stats()["invalid_argument"] == 4


def test_one_term_of_a_search_is_not_taken_for_its_letters(
    lenient: Tracker, emitter: MemoryEmitter
) -> None:
    lenient.track_site_search("tents")
    (event,) = events(emitter)
    assert event.properties and event.properties.data == {"terms": ["tents"]}


def test_a_mobile_screen_view_is_not_spoiled_by_a_wrong_id(
    lenient: Tracker, emitter: MemoryEmitter
) -> None:
    lenient.track_mobile_screen_view("home", "no UUID")
    (event,) = events(emitter)
    assert event.properties
    assert str(uuid.UUID(event.properties.data["id"]))  # the schema wants one


# Contracts themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "value", "found"),
    [
        (lambda c, v: c.text("p", "a", v), None, None),
        (lambda c, v: c.text("p", "a", v), "", None),
        (lambda c, v: c.text("p", "a", v, 3), "abc", "abc"),
        (lambda c, v: c.number("p", "a", v), None, None),
        (lambda c, v: c.number("p", "a", v, 0, 5), 5, 5),
        (lambda c, v: c.number("p", "a", v, 0, 5), 0, 0),
        (lambda c, v: c.whole("p", "a", v), None, None),
        (lambda c, v: c.whole("p", "a", v, 1, 5), 5.0, 5),
        (lambda c, v: c.uuid("p", "a", v), None, None),
        (lambda c, v: c.flag("p", "a", v), None, None),
        (lambda c, v: c.flag("p", "a", v), False, False),
        (lambda c, v: c.one_of("p", "a", v, ("x", "y")), None, None),
        (lambda c, v: c.one_of("p", "a", v, ("x", "y")), "y", "y"),
    ],
)
def test_what_respects_a_contract_passes(
    check: Callable[[Contracts, Any], Any], value: Any, found: Any
) -> None:
    contracts = Contracts(strict=True)
    result = check(contracts, value)
    assert (result, type(result)) == (found, type(found))
    assert contracts.broken == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("walrus", "'walrus' (str)"),
        ("x" * 500, f"'{'x' * 76}... (str)"),
        (b"x" * 500, f"b'{'x' * 75}... (bytes)"),
        (5, "5 (int)"),
        (10**5000, "? (int)"),
        (None, "None (NoneType)"),
        (Name("x"), "'x' (Name)"),
    ],
    ids=range(7),
)
def test_how_a_value_is_shown(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_large_value_is_not_copied_to_show_its_beginning() -> None:
    large = "x" * 20_000_000
    tracemalloc.start()
    try:
        assert len(shown(large)) < 100
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_nothing_is_logged_to_the_root(lenient: Tracker, caplog: pytest.LogCaptureFixture) -> None:
    lenient.track_page_view(object())  # type: ignore[arg-type]
    assert {record.name for record in caplog.records} == {"trackway"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
