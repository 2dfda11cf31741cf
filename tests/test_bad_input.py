"""Odd values everywhere: nothing is raised in the application, and no other event is lost."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import inspect
import itertools
import json
import math
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock, Mock

import msgspec
import numpy
import pytest
from markupsafe import Markup
from werkzeug.local import Local

from tests.conftest import Server
from trackway import AsyncEmitter, Emitter, Event, SelfDescribingJson, Subject, Tracker
from trackway.emitters.memory import MemoryEmitter
from trackway.event import ENCODED_NAMES
from trackway.wires.snowplow import decode

SCHEMA = "iglu:com.acme/odd/jsonschema/1-0-0"
UUID = "11111111-2222-4333-8444-555555555555"


# Odd values -----------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Old(str, enum.Enum):  # noqa: UP042 - how it was written before StrEnum
    NEW = "new"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Data:
    number: int = 1
    text: str = "\ud800"


class Pair(NamedTuple):
    a: int = 1
    b: str = "b"


class Struct(msgspec.Struct):
    a: int = 1


def explode(*_: Any, **__: Any) -> Any:
    raise RuntimeError("none of your business")


#: All that Python may ask of a value without being told to.
METHODS = (
    "str repr len eq ne hash iter bool contains call getitem getattr format int float index"
    " lt le gt ge fspath bytes copy deepcopy reduce_ex"
)
EXPLODING = {f"__{name}__": explode for name in METHODS.split(" ")} | dict.fromkeys(
    ("items", "keys", "item", "tolist", "isoformat"), explode
)
Exploding = type("Exploding", (), EXPLODING)
ExplodingText = type("ExplodingText", (str,), EXPLODING)
ExplodingNumber = type("ExplodingNumber", (int,), EXPLODING)
ExplodingDict = type("ExplodingDict", (dict,), EXPLODING)
ExplodingList = type("ExplodingList", (list,), EXPLODING)
ExplodingClass = type("ExplodingClass", (), {"__class__": property(explode)})


class BadKey:
    def __str__(self) -> str:
        raise RuntimeError


def nested(levels: int, *, lists: bool = True) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


def cyclic_list() -> Any:
    value: list[Any] = [1]
    value += [value, value]  # twice: to follow both, level for level, would take for ever
    return value


def cyclic_dict() -> Any:
    value: dict[str, Any] = {"a": 1}
    value |= {"self": value, "list": [value, value]}
    return value


def cyclic_data() -> Any:
    value = Data()
    value.text = value  # type: ignore[assignment]
    return value


class Odd(NamedTuple):
    """What becomes of a value: in JSON (properties and contexts), and as a text argument, where
    None means that it is refused."""

    make: Callable[[], Any]
    json: Any
    text: str | None = None


ANY = object()

#: The table of docs/emitters.md, "Odd values".
DOCUMENTED: dict[str, Odd] = {
    "None": Odd(lambda: None, None),
    "true": Odd(lambda: True, True),
    "zero": Odd(lambda: 0, 0, "0"),
    "whole number": Odd(lambda: 5, 5, "5"),
    "number": Odd(lambda: 1.5, 1.5, "1.5"),
    "NaN": Odd(lambda: math.nan, None),
    "infinity": Odd(lambda: -math.inf, None),
    "400 digits": Odd(lambda: 10**400, ANY, "1" + "0" * 400),
    "5000 digits": Odd(lambda: 10**5000, None),
    "lone surrogate": Odd(lambda: "a\ud800b", "a?b", "a?b"),
    "lone surrogate as key": Odd(lambda: {"\udfff": 1}, {"?": 1}),
    "other alphabets": Odd(lambda: "ü€😀", "ü€😀", "ü€😀"),
    "Markup": Odd(lambda: Markup("<b>"), "<b>", "<b>"),
    "UUID": Odd(lambda: uuid.UUID(UUID), UUID, UUID),
    "date": Odd(lambda: date(2026, 1, 31), "2026-01-31", "2026-01-31"),
    "datetime": Odd(
        lambda: datetime(2026, 1, 31, 12, tzinfo=UTC),
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00+00:00",
    ),
    "time": Odd(lambda: clock(12, 30), "12:30:00"),
    "timedelta": Odd(lambda: timedelta(hours=1), "PT3600S"),
    "Path": Odd(lambda: Path("/tmp/ü"), "/tmp/ü", "/tmp/ü"),
    "Decimal": Odd(lambda: Decimal("19.90"), "19.90", "19.90"),
    "bytes": Odd(lambda: b"\xff\x00a", "/wBh", "\ufffda"),  # the collector drops control characters
    "bytearray": Odd(lambda: bytearray(b"a"), "YQ=="),
    "set": Odd(lambda: {1}, [1]),
    "tuple": Odd(lambda: (1, None), [1, None]),
    "deque": Odd(lambda: collections.deque([1, 2]), [1, 2]),
    "range": Odd(lambda: range(3), [0, 1, 2]),
    "keys of a dict": Odd(lambda: {"a": 1}.keys(), ["a"]),
    "Enum": Odd(lambda: Colour.RED, "red", "red"),
    "Enum of texts": Odd(lambda: Old.NEW, "new", "new"),
    "IntEnum": Odd(lambda: Level.HIGH, 3, "3"),
    "dataclass": Odd(Data, {"number": 1, "text": "?"}),
    "NamedTuple": Odd(Pair, [1, "b"]),
    "Struct": Odd(Struct, {"a": 1}),
    "numbers as keys": Odd(lambda: {1: 2, 1.5: 3}, {"1": 2, "1.5": 3}),
    "None as key": Odd(lambda: {None: 1, (1, 2): 2}, {"None": 1, "(1, 2)": 2}),
    "Enum as key": Odd(lambda: {Old.NEW: 1, Colour.RED: 2}, ANY),
    "key that fails": Odd(lambda: {BadKey(): 1, "a": 2}, {"<BadKey>": 1, "a": 2}),
    "Mapping": Odd(lambda: types.MappingProxyType({"a": 1}), {"a": 1}),
    "UserDict": Odd(lambda: collections.UserDict(a=1), {"a": 1}),
    "defaultdict": Odd(lambda: collections.defaultdict(int, a=1), {"a": 1}),
    "NumPy int": Odd(lambda: numpy.int64(5), 5, "5"),
    "NumPy float": Odd(lambda: numpy.float32(0.5), 0.5, "0.5"),
    "NumPy double": Odd(lambda: numpy.float64(0.5), 0.5, "0.5"),
    "NumPy bool": Odd(lambda: numpy.bool_(True), True),
    "NumPy array": Odd(lambda: numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "NumPy NaN": Odd(lambda: numpy.float64("nan"), None),
    "cyclic list": Odd(cyclic_list, [1, None, None]),
    "cyclic dict": Odd(cyclic_dict, {"a": 1, "self": None, "list": [None, None]}),
    "cyclic dataclass": Odd(cyclic_data, ANY),
    "nested 100 deep": Odd(lambda: nested(100), nested(100)),
    "nested 10,000 deep": Odd(lambda: nested(10_000), ANY),
    "objects nested 10,000 deep": Odd(lambda: nested(10_000, lists=False), ANY),
    "function": Odd(lambda: explode, ANY),
    "class": Odd(lambda: Data, ANY),
    "module": Odd(lambda: math, ANY),
    "object": Odd(object, ANY),
    "exception": Odd(lambda: ValueError("x"), "x"),
    "generator": Odd(lambda: (x for x in [1]), ANY),
    "lock": Odd(threading.Lock, ANY),
    "Mock": Odd(Mock, ANY, ANY),  # type: ignore[arg-type]
    "MagicMock": Odd(MagicMock, ANY, ANY),  # type: ignore[arg-type]
    "proxy of nothing": Odd(lambda: Local()("nothing"), ANY),
    "exploding": Odd(Exploding, "<Exploding>"),
    "exploding class": Odd(ExplodingClass, ANY),
    "exploding text": Odd(lambda: ExplodingText("x"), "x", "x"),
    "exploding number": Odd(lambda: ExplodingNumber(5), ANY, ANY),  # type: ignore[arg-type]
    "exploding dict": Odd(lambda: ExplodingDict(a=1), ANY),
    "exploding list": Odd(lambda: ExplodingList([1]), ANY),
    "list with something exploding": Odd(lambda: [1, Exploding(), 2], [1, "<Exploding>", 2]),
    "control characters": Odd(lambda: "a\0\x7f\tb", "a\0\x7f\tb", "a    b"),
    "empty text": Odd(lambda: "", ""),
    "empty list": Odd(list, []),
    "empty dict": Odd(dict, {}),
}
ODD = {name: odd.make for name, odd in DOCUMENTED.items()}


@pytest.fixture
def emitter() -> MemoryEmitter:
    return MemoryEmitter()


@pytest.fixture
def tracker(emitter: MemoryEmitter) -> Tracker:
    return Tracker(emitter, strict=False)


class Neighbours:
    """Surrounds calls with two events that must arrive, and counts what comes between them."""

    def __init__(self, tracker: Tracker, emitter: MemoryEmitter) -> None:
        self.tracker = tracker
        self.emitter = emitter

    def failures(self) -> int:
        """How often something could not be read at all."""
        counted = self.tracker.stats()
        return sum(number for name, number in counted.items() if name.startswith("failed:"))

    def survive(self, name: str, act: Callable[[], Any]) -> None:
        """The event in between arrives as well; it, or a part of it, may only be lost where every
        question to a value fails, and then that is counted."""
        failures = self.failures()
        found = self.around(act)
        if not name.startswith(("exploding", "proxy")):
            assert found, act
            assert self.failures() == failures, act
        assert found or self.failures() > failures, act

    def around(self, act: Callable[[], Any]) -> list[Event]:
        self.emitter.clear()
        self.tracker.track("before")
        act()
        self.tracker.track("after")
        # A collector could read them all; every value of the wire is a text.
        assert all(type(v) is str for p in self.emitter.payloads for v in p.values())
        before, *between, after = [decode(payload) for payload in self.emitter.payloads]
        named = [event.action or event.name for event in (before, after)]
        assert named == ["before", "after"]
        assert before.platform == after.platform == "srv"
        return between


@pytest.fixture
def neighbours(tracker: Tracker, emitter: MemoryEmitter) -> Neighbours:
    return Neighbours(tracker, emitter)


VERBS = sorted(name for name in dir(Tracker) if name.startswith("track"))


def arguments_of(verb: str) -> list[str]:
    named = inspect.signature(getattr(Tracker, verb)).parameters
    kept = [name for name in named if name not in ("self", "options")]
    return [*kept, *[name for name in ("context", "tstamp") if name not in kept]]


def right_arguments(verb: str) -> dict[str, Any]:
    """What is required, so that only one argument of a call is odd."""
    right = {"event_json": SelfDescribingJson(SCHEMA, {}), "terms": ["a"], "node_name": "INPUT"}
    named = inspect.signature(getattr(Tracker, verb)).parameters.values()
    return {
        one.name: right.get(one.name, "1")
        for one in named
        if one.default is inspect.Parameter.empty and one.name not in ("self", "options")
    }


# Every argument -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD)
def test_an_odd_argument_costs_no_event(
    neighbours: Neighbours, tracker: Tracker, name: str
) -> None:
    for verb in VERBS:
        for argument in arguments_of(verb):
            call = right_arguments(verb) | {argument: ODD[name]()}
            neighbours.survive(name, partial(getattr(tracker, verb), **call))


@pytest.mark.parametrize("name", ODD)
def test_odd_arguments_everywhere_cost_no_event(
    neighbours: Neighbours, tracker: Tracker, name: str
) -> None:
    for verb in VERBS:
        everywhere = {argument: ODD[name]() for argument in arguments_of(verb)}
        neighbours.survive(name, partial(getattr(tracker, verb), **everywhere))


@pytest.mark.parametrize("name", ODD)
def test_odd_facts_cost_no_event(neighbours: Neighbours, tracker: Tracker, name: str) -> None:
    make = ODD[name]
    for field in [*ENCODED_NAMES, "event_subject", "event_id", "true_timestamp", "nonsense"]:
        odd: dict[str, Any] = {field: make()}
        if field not in ("name", "properties"):  # which are arguments of track
            neighbours.survive(name, partial(tracker.track, "x", **odd))
        if field not in ("page_url", "page_title", "referrer"):  # of this one
            neighbours.survive(name, partial(tracker.track_page_view, "x", **odd))

        def in_a_scope() -> None:
            with tracker.scope(**odd):  # noqa: B023
                tracker.track("x")
                tracker.track_page_view("x")

        neighbours.survive(name, in_a_scope)


@pytest.mark.parametrize("name", ODD)
def test_odd_facts_that_are_known_late_cost_no_other_event(
    neighbours: Neighbours, tracker: Tracker, name: str
) -> None:
    make = ODD[name]

    def late() -> Any:
        return {"user_id": make(), "page_title": make()}

    def nonsense() -> Any:
        return make()

    for asked in (late, nonsense, explode):

        def in_a_scope() -> None:
            with tracker.scope(late=asked):  # noqa: B023
                tracker.track("x")

        found = neighbours.around(in_a_scope)
        counted = tracker.stats()
        assert found or counted.get("dropped:scope") or counted.get("failed:verb:track")
        if asked is late:
            assert found


@pytest.mark.parametrize("name", ODD)
def test_odd_subjects_cost_no_event(neighbours: Neighbours, tracker: Tracker, name: str) -> None:
    make = ODD[name]
    subject = Subject(strict=False)
    for setter in [one for one in dir(Subject) if one.startswith("set_")]:
        method = getattr(subject, setter)
        assert method(*[make() for _ in inspect.signature(method).parameters]) is subject
        neighbours.survive(name, lambda: tracker.track("x", event_subject=subject))
    assert subject.facts["platform"] == "srv"
    neighbours.survive(name, lambda: tracker.track("x", event_subject=make()))

    def change_subject() -> None:
        tracker.set_subject(make()).track("x")
        tracker.set_subject(None)

    neighbours.survive(name, change_subject)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("way", ["steps", "not our contexts", "not base64", "custom emitter"])
def test_odd_data_costs_no_event_whatever_the_way(name: str, way: str) -> None:
    emitter = MemoryEmitter()
    custom: list[dict[str, str]] = []
    ways: dict[str, dict[str, Any]] = {
        "steps": {"steps": [lambda event: msgspec.structs.replace(event, user_id="u")]},
        "not our contexts": {"own_contexts": False},
        "not base64": {"encode_base64": False},
    }
    options: Any = ways.get(way, {})
    tracker = Tracker(emitter, strict=False, **options)
    if way == "custom emitter":
        tracker.add_emitter(types.SimpleNamespace(input=custom.append))
    neighbours = Neighbours(tracker, emitter)
    make = ODD[name]
    data: Any = {"v": make()}
    context: Any = [SelfDescribingJson(SCHEMA, make())]
    described: Any = [{"schema": SCHEMA, "data": data}]
    for act in (
        lambda: tracker.track("x", data, context=described),
        lambda: tracker.track("x", make()),
        lambda: tracker.track_self_describing_event(SelfDescribingJson(SCHEMA, make())),
        lambda: tracker.track("x", context=context),
    ):
        neighbours.survive(name, act)
    if way == "custom emitter":
        assert len(custom) == 12
        assert all(type(value) is str for payload in custom for value in payload.values())


def test_what_cannot_be_read_leaves_the_rest_of_an_event_that_a_step_has_changed() -> None:
    emitter = MemoryEmitter()
    steps: Any = [lambda event: msgspec.structs.replace(event, user_id="changed")]
    tracker = Tracker(emitter, steps=steps)
    tracker.track("x", cyclic_dict(), value=0, session_index=0, cookies=False, status=200)
    (event,) = map(decode, emitter.payloads)
    assert (event.user_id, event.value, event.session_index) == ("changed", 0, 0)
    assert (event.cookies, event.status) == (False, 200)
    assert event.properties and event.properties.data["properties"]["a"] == 1


def test_data_is_read_when_the_event_is_tracked_and_no_later(
    tracker: Tracker, emitter: MemoryEmitter
) -> None:
    data: dict[str, Any] = {"a": [1]}
    used = (number for number in range(3))
    tracker.track("x", data | {"used": used}, context=[{"schema": SCHEMA, "data": data}])
    data["a"].append(2)
    (event,) = map(decode, emitter.payloads)
    assert event.contexts == (SelfDescribingJson(SCHEMA, {"a": [1]}),)
    assert list(used) == [0, 1, 2]  # what can be read only once is the application's


@pytest.mark.parametrize("name", [one for one, odd in DOCUMENTED.items() if odd.json is not ANY])
def test_what_becomes_of_odd_values_in_json(
    tracker: Tracker, emitter: MemoryEmitter, name: str
) -> None:
    value = ODD[name]()
    tracker.track("x", {"v": value, "list": [value]}, context=[{"schema": SCHEMA, "data": value}])
    (event,) = map(decode, emitter.payloads)
    assert event.properties
    expected = DOCUMENTED[name].json
    assert event.properties.data["properties"] == {"v": expected, "list": [expected]}
    assert event.contexts == (SelfDescribingJson(SCHEMA, expected),)


@pytest.mark.parametrize("name", [one for one, odd in DOCUMENTED.items() if odd.text is not ANY])
def test_what_becomes_of_odd_values_as_texts(
    tracker: Tracker, emitter: MemoryEmitter, name: str
) -> None:
    text = DOCUMENTED[name].text
    tracker.track_page_view("http://x/", ODD[name](), user_id=ODD[name]())
    (event,) = map(decode, emitter.payloads)
    assert event.page_title == text
    assert event.user_id == (text[:255] if text else None)
    refused = text is None and name not in ("None", "empty text")
    counted = tracker.stats().get("invalid_argument", 0)
    assert counted == (2 if refused else 1 if text and len(text) > 255 else 0)


def test_repairs_are_counted_by_their_kind(tracker: Tracker, emitter: MemoryEmitter) -> None:
    tracker.track("x", {"v": "\ud800"})
    tracker.track_page_view("http://x/\ud800")
    tracker.track("x", {"v": cyclic_list()})
    tracker.track("x", {"v": "fine"})
    counted = tracker.stats()
    assert (counted["replaced_surrogates"], counted["repaired_data"]) == (2, 1)
    assert len(emitter.payloads) == 4


# Payloads given to an emitter ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD)
def test_odd_payloads_disturb_no_emitter(name: str) -> None:
    kept: list[bytes] = []
    emitter = Emitter("http://127.0.0.1:9", interval=60.0)
    emitter.delivery.put = kept.append  # type: ignore[assignment, method-assign]
    make = ODD[name]
    emitter.input({"eid": "before"})
    emitter.input({"eid": "odd", "v": make()})
    emitter.input(make())
    with contextlib.suppress(TypeError, RuntimeError):
        as_key = {make(): "key", "eid": "as a key"}  # not every value can be one
        emitter.input(as_key)
    emitter.input({"eid": "after"})
    payloads = [json.loads(one) for one in kept]
    assert all(type(v) is str for payload in payloads for v in payload.values())
    names = [payload.get("eid") for payload in payloads]
    assert (names[0], names[1], names[-1]) == ("before", "odd", "after")
    assert len(payloads) + emitter.stats().get("invalid_payload", 0) in (4, 5)


# A real collector -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("collector") / "data")
    yield one
    one.kill()


#: The places that an odd value is put in.
PLACES = ("properties", "context", "argument", "option", "scope", "subject", "payload")


class Arrived(NamedTuple):
    """What the collector has stored: rows by event id, and the ids of each odd value."""

    rows: Mapping[str, Mapping[str, Any]]
    ids: Mapping[tuple[str, str], str]
    names: list[str]
    stats: Mapping[str, int]
    bad: int


def put_in(place: str, tracker: Tracker, emitter: Emitter, value: Any) -> str:
    """Track an event with the value in its place; the event's id."""
    id_ = str(uuid.uuid4())
    options: dict[str, Any] = {"event_id": id_}
    if place == "properties":
        tracker.track("odd", {"v": value}, **options)
    elif place == "context":
        tracker.track("odd", context=[{"schema": SCHEMA, "data": {"v": value}}], **options)
    elif place == "argument":
        tracker.track_page_view("http://x/", value, **options)
    elif place == "option":
        tracker.track("odd", user_id=value, **options)
    elif place == "scope":
        with tracker.scope(user_id=value, page_title=value):
            tracker.track("odd", **options)
    elif place == "subject":
        subject = (
            Subject(strict=False).set_user_id(value).set_lang(value).set_viewport(value, value)
        )
        tracker.track("odd", event_subject=subject, **options)
    else:
        emitter.input({"e": "pv", "p": "srv", "tv": "t", "eid": id_, "page": value})
    return id_


@pytest.fixture(scope="module")
def arrived(collector: Server) -> Arrived:
    """Everything odd in every place, each between two ordinary events, sent to a collector."""
    emitter = AsyncEmitter(collector.url, interval=0.05)
    tracker = Tracker(emitter, app_id="odd", strict=False)
    ids: dict[tuple[str, str], str] = {}
    for (name, make), place in itertools.product(ODD.items(), PLACES):
        tracker.track("before")
        ids[name, place] = put_in(place, tracker, emitter, make())
        tracker.track("after")
    assert emitter.close(30) == 0
    collector.wait_for_events(3 * len(ids))
    rows = collector.sql(
        "SELECT event_id::VARCHAR AS id, event_name, page_title, user_id, br_lang, platform,"
        " properties::VARCHAR AS properties, contexts::VARCHAR AS contexts FROM events"
    )
    bad = collector.sql("SELECT count(*) AS n FROM bad_rows")[0]["n"]
    names = [row["event_name"] for row in rows]
    return Arrived({row["id"]: row for row in rows}, ids, names, emitter.stats(), bad)


def test_every_neighbour_and_every_odd_event_is_stored(arrived: Arrived) -> None:
    count = len(arrived.ids)
    assert [arrived.names.count(name) for name in ("before", "after")] == [count, count]
    lost = [which for which, id_ in arrived.ids.items() if id_ not in arrived.rows]
    assert lost == []
    assert arrived.bad == 0
    assert arrived.stats["sent"] == arrived.stats["accepted"] == 3 * count


@pytest.mark.parametrize("name", ODD)
def test_what_is_stored_is_what_the_documents_say(arrived: Arrived, name: str) -> None:
    row = {place: arrived.rows[arrived.ids[name, place]] for place in PLACES}
    assert {one["platform"] for one in row.values()} == {"srv"}
    odd = DOCUMENTED[name]
    if odd.json is not ANY:
        properties = json.loads(row["properties"]["properties"])
        assert properties["data"]["properties"] == {"v": odd.json}
        (context,) = json.loads(row["context"]["contexts"])
        assert context == {"schema": SCHEMA, "data": {"v": odd.json}}
    if odd.text is not ANY:
        short = odd.text[:255] if odd.text else None
        assert row["argument"]["page_title"] == row["scope"]["page_title"] == odd.text
        users = [row[place]["user_id"] for place in ("option", "scope", "subject")]
        assert [*users, row["subject"]["br_lang"]] == [short] * 4


# Large ones -----------------------------------------------------------------------------------


class Size(NamedTuple):
    """A length of text, and what becomes of an event with it."""

    length: int
    fate: str


@pytest.mark.parametrize(
    "size",
    [
        Size(600_000, "stored"),  # beyond byte_limit
        Size(1_000_000, "stored"),
        Size(3_000_000, "too large"),  # beyond the 2 MiB that the collector takes
        Size(20_000_000, "too large"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("kind", "place"),
    [(Emitter, "properties"), (AsyncEmitter, "context"), (AsyncEmitter, "payload")],
)
def test_a_large_event_goes_alone_or_is_given_up_alone(
    collector: Server, caplog: pytest.LogCaptureFixture, size: Size, kind: type[Emitter], place: str
) -> None:
    drops: list[tuple[str, str]] = []
    emitter = kind(
        collector.url,
        interval=60.0,
        on_drop=lambda payload, reason: drops.append((payload["eid"], reason)),
        max_queue_bytes=64 * 1024 * 1024,
    )
    tracker = Tracker(emitter, strict=False)
    before = [tracker.track("before") for _ in range(5)]
    begun = time.monotonic()
    large = put_in(place, tracker, emitter, "x" * size.length)
    assert time.monotonic() - begun < 5
    after = [tracker.track("after") for _ in range(5)]
    assert emitter.close(30) == 0
    stored = size.fate == "stored"
    assert drops == ([] if stored else [(large, "too_large")])
    assert emitter.stats()["sent"] == 10 + stored
    expected = [*before, *after, *([large] if stored and place != "payload" else [])]
    assert_stored(collector, expected)
    said = [record for record in caplog.records if "too large" in record.getMessage()]
    assert len(said) == (0 if stored else 1)


def assert_stored(collector: Server, ids: list[str]) -> None:
    listed = ", ".join(f"'{one}'" for one in ids)
    query = f"SELECT count(*) AS n FROM events WHERE event_id IN ({listed})"
    until = time.monotonic() + 30
    while (found := collector.sql(query)[0]["n"]) < len(ids):
        assert time.monotonic() < until, f"{found} of {len(ids)} are stored"
        time.sleep(0.1)


@pytest.mark.parametrize("length", [1_000_000, 20_000_000])
def test_a_long_text_where_the_protocol_bounds_it_is_cut(collector: Server, length: int) -> None:
    emitter = AsyncEmitter(collector.url)
    tracker = Tracker(emitter, strict=False, app_id="cut")
    long = "ü" * length
    ids = [
        tracker.track("before"),
        tracker.track(long, user_id=long, language=long),
        tracker.track("x", event_subject=Subject(strict=False).set_useragent(long)),
        tracker.track("after"),
    ]
    tracker.track_page_view(
        "http://x/" + long, long, "http://y/" + long, event_id=UUID[:-1] + str(length)[0]
    )
    assert emitter.close(30) == 0
    assert emitter.stats()["sent"] == 5
    assert_stored(collector, [*ids, UUID[:-1] + str(length)[0]])
    assert tracker.stats()["invalid_argument"] == 7


def test_more_than_the_queue_holds_is_dropped_and_counted(collector: Server) -> None:
    drops: list[str] = []
    emitter = AsyncEmitter(
        collector.url, max_queue_bytes=1_000_000, on_drop=lambda _, reason: drops.append(reason)
    )
    tracker = Tracker(emitter)
    ids = [tracker.track("before")]
    tracker.track("large", {"v": "x" * 20_000_000})
    ids.append(tracker.track("after"))
    assert emitter.close(30) == 0
    assert drops == ["queue_full"]
    assert_stored(collector, ids)


# What is not ours fails -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Emitter, AsyncEmitter])
def test_whatever_fails_around_it_the_events_arrive(collector: Server, kind: type[Emitter]) -> None:
    options: dict[str, Any] = dict.fromkeys(("on_success", "on_failure", "on_drop"), explode)
    emitter = kind(collector.url, batch_size=3, interval=0.05, **options)
    custom = types.SimpleNamespace(input=explode, flush=explode)
    answers: list[Any] = [explode, Exploding(), Exploding]

    def step(event: Event) -> Event:
        raise RuntimeError

    def odd_step(event: Event) -> Any:
        return answers.pop() if event.name == "odd" else event

    sink = types.SimpleNamespace(send=explode, flush=explode, close=explode)
    steps: Any = [step, odd_step]
    tracker = Tracker([custom, emitter, custom], steps=steps, sinks=[sink], strict=False)
    ids = []
    for _ in range(3):
        ids.append(tracker.track("before"))
        tracker.track("odd")
        ids.append(tracker.track("after"))
    tracker.flush(30)
    assert tracker.close(30) == 0
    assert_stored(collector, ids)
    counted = tracker.stats()
    assert counted["failed:emitter:SimpleNamespace"] >= 12
    assert any(name.startswith("failed:step:") for name in counted)
    assert any(name.startswith("failed:sink:") for name in counted)
