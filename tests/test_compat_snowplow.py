"""The Snowplow tracker's surface on Trackway: names, meanings by version, contracts, install."""

from __future__ import annotations

import base64
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import logging
import subprocess
import sys
import textwrap
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import redis

from tests.brokers import REDIS_URL, wait_until
from tests.conftest import clean_environment, missing
from tests.local_collector import LocalCollector
from trackway import compat
from trackway.compat import snowplow_tracker
from trackway.compat.snowplow_tracker import (
    AsyncEmitter,
    CeleryEmitter,
    DeviceTimestamp,
    Emitter,
    EmitterConfiguration,
    Event,
    EventStore,
    PagePing,
    PageView,
    Payload,
    RedisEmitter,
    RedisWorker,
    ScreenView,
    SelfDescribing,
    SelfDescribingJson,
    Snowplow,
    StructuredEvent,
    Subject,
    Tracker,
    TrackerConfiguration,
    TrueTimestamp,
    contracts,
    disable_contracts,
    enable_contracts,
)
from trackway.compat.snowplow_tracker.contracts import ContractNotRespected
from trackway.compat.snowplow_tracker.event_store import InMemoryEventStore
from trackway.compat.snowplow_tracker.flushing import seconds_to_wait
from trackway.errors import SettingError, TrackwayError
from trackway.event import Event as NativeEvent
from trackway.sinks import MemorySink

CONTEXT = SelfDescribingJson("iglu:com.acme/page/jsonschema/1-0-0", {"kind": "a"})
BODY_KEYS = {"schema", "data"}


class Kept:
    """A custom emitter of an application: all it has is ``input``."""

    def __init__(self) -> None:
        self.events: list[dict[str, str]] = []

    def input(self, payload: dict[str, str]) -> None:
        self.events.append(payload)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def tracker(kept: Kept) -> Tracker:
    return Tracker(kept)


@pytest.fixture
def collector() -> Iterator[LocalCollector]:
    one = LocalCollector()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def as_at_the_start() -> Iterator[None]:
    """Contracts and meanings of the process are as they were, whatever a test did."""
    yield
    enable_contracts()
    snowplow_tracker.set_compatibility("0.7")


def plain(event: dict[str, str], coded: str = "ue_px") -> Any:
    """The JSON inside an event."""
    return json.loads(base64.urlsafe_b64decode(event[coded]))["data"]


def breach(call: Callable[[], object]) -> str:
    with pytest.raises(ContractNotRespected) as raised:
        call()
    return str(raised.value)


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("Tracker", "Subject", "Emitter", "AsyncEmitter", "logger", "disable_contracts"),
        *("enable_contracts", "__version__", "SelfDescribingJson", "CeleryEmitter"),
        *("RedisEmitter", "RedisWorker", "Snowplow", "EmitterConfiguration"),
        *("TrackerConfiguration", "EventStore", "Event", "PageView", "PagePing"),
        *("SelfDescribing", "StructuredEvent", "ScreenView", "TrueTimestamp", "DeviceTimestamp"),
    ],
)
def test_every_name_that_a_version_exported_is_there(name: str) -> None:
    assert hasattr(snowplow_tracker, name)
    assert name in snowplow_tracker.__all__


@pytest.mark.parametrize(
    ("submodule", "names"),
    [
        ("tracker", "Tracker"),
        ("emitters", "Emitter AsyncEmitter CeleryEmitter RedisEmitter logger"),
        ("subject", "Subject"),
        ("payload", "Payload"),
        ("self_describing_json", "SelfDescribingJson"),
        ("redis_worker", "RedisWorker"),
        ("timestamp", "TrueTimestamp DeviceTimestamp"),
        (
            "contracts",
            "greater_than non_empty non_empty_string one_of satisfies form_element "
            "disable_contracts enable_contracts contracts_enabled ContractNotRespected",
        ),
        ("event_store", "EventStore InMemoryEventStore"),
        ("events", "Event PageView PagePing StructuredEvent ScreenView SelfDescribing"),
        ("events.event", "Event"),
        ("events.page_view", "PageView"),
        ("events.page_ping", "PagePing"),
        ("events.structured_event", "StructuredEvent"),
        ("events.screen_view", "ScreenView"),
        ("events.self_describing", "SelfDescribing"),
        ("emitter_configuration", "EmitterConfiguration"),
        ("tracker_configuration", "TrackerConfiguration"),
        ("snowplow", "Snowplow"),
        ("constants", "BASE_SCHEMA_PATH MOBILE_SCHEMA_PATH SCHEMA_TAG"),
        ("typing", "PayloadDict PayloadDictList SuccessCallback FailureCallback"),
        ("_version", "__version__ __version_info__"),
    ],
)
def test_every_submodule_can_be_imported(submodule: str, names: str) -> None:
    module = importlib.import_module(f"trackway.compat.snowplow_tracker.{submodule}")
    assert [name for name in names.split() if not hasattr(module, name)] == []


def test_the_old_package_is_not_in_this_environment() -> None:
    assert importlib.util.find_spec("snowplow_tracker") is None
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("snowplow-tracker")


def test_importing_it_loads_no_client_and_configures_no_logging() -> None:
    probe = """
        import json, logging, sys, warnings
        warnings.simplefilter("error")
        import trackway.compat.snowplow_tracker
        import trackway.compat.snowplow_tracker.redis_worker
        clients = {"celery", "kombu", "redis", "requests", "urllib3"}
        loaded = sorted(clients & set(sys.modules))
        root, ours = logging.getLogger(), logging.getLogger("snowplow_tracker.emitters")
        handlers = [type(h).__name__ for h in ours.handlers]
        print(json.dumps([loaded, root.handlers, root.level, handlers, ours.level]))
    """
    assert fresh_process(probe) == [[], [], logging.WARNING, ["NullHandler"], logging.INFO]


def fresh_process(code: str, **env: str) -> Any:
    """What a program prints as JSON, run by an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=clean_environment(**env),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# Under the old name ------------------------------------------------------------------------------


@pytest.fixture
def forget_installed() -> Iterator[None]:
    yield
    for name in list(sys.modules):
        if name.partition(".")[0] == "snowplow_tracker":
            del sys.modules[name]


@pytest.mark.usefixtures("forget_installed")
def test_installed_under_the_old_name_it_is_the_same_package() -> None:
    assert compat.install("snowplow_tracker") is snowplow_tracker
    import snowplow_tracker.emitters as emitters
    from snowplow_tracker import Tracker as OldTracker
    from snowplow_tracker.events.page_view import PageView as OldPageView
    from snowplow_tracker.redis_worker import RedisWorker as OldWorker

    assert (OldTracker, OldPageView, emitters.Emitter) == (Tracker, PageView, Emitter)
    assert OldWorker is snowplow_tracker.RedisWorker
    assert compat.install("snowplow_tracker") is snowplow_tracker  # once more changes nothing


def test_installing_an_unknown_name_says_which_are_known() -> None:
    with pytest.raises(SettingError, match=r"'mixpanel'.*snowplow_tracker"):
        compat.install("mixpanel")


@pytest.mark.usefixtures("forget_installed")
def test_installing_beside_the_real_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snowplow_tracker").mkdir()
    (tmp_path / "snowplow_tracker" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrackwayError, match=r"itself is installed .*uninstall it"):
        compat.install("snowplow_tracker")
    assert "snowplow_tracker" not in sys.modules


@pytest.mark.usefixtures("forget_installed")
def test_installing_after_the_real_package_was_imported_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "snowplow_tracker", ModuleType("snowplow_tracker"))
    with pytest.raises(TrackwayError, match="imported already"):
        compat.install("snowplow_tracker")


# Rulings: what is made and how it is sent ---------------------------------------------------------


def test_first_positional_of_tracker_is_told_by_its_type() -> None:
    emitter, subject = Kept(), Subject()
    named: dict[str, Any] = {"subject": subject, "app_id": "app", "encode_base64": False}
    for made in (
        Tracker(emitter, subject, "ns", "app", False),
        Tracker([emitter], subject, "ns", "app", False),
        Tracker("ns", emitter, subject, "app", False),
        Tracker("ns", [emitter], subject, "app", False),
        Tracker(emitter=emitter, namespace="ns", **named),
        Tracker(emitters=emitter, namespace="ns", **named),
        Tracker("ns", emitters=emitter, **named),
    ):
        made.track_page_view("http://x")
        assert (made.emitters, made.subject, made.get_namespace()) == ([emitter], subject, "ns")
        assert (emitter.events[-1]["tna"], emitter.events[-1]["aid"]) == ("ns", "app")
        assert made.encode_base64 is False
    assert Tracker(emitter).get_namespace() is None


@pytest.mark.parametrize("wrong", [7, None, {}, object(), [Kept(), 7]])
def test_first_positional_of_tracker_that_is_no_emitter_raises_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="input"):
        Tracker(wrong)
    with pytest.raises(TypeError, match="input"):
        Tracker("ns", wrong)


def test_a_tracker_needs_an_emitter() -> None:
    for call in (Tracker, lambda: Tracker("ns"), lambda: Tracker(Kept(), emitter=Kept())):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="at least one emitter"):
        Tracker([])


def test_default_protocol_and_method() -> None:
    def of(emitter: Any) -> tuple[str, str, int]:
        return emitter.endpoint, emitter.method, emitter.buffer_size

    get, tp2 = "/i", "/com.snowplowanalytics.snowplow/tp2"
    assert of(Emitter("h")) == (f"http://h{get}", "get", 1)
    assert of(AsyncEmitter("h")) == (f"http://h{get}", "get", 1)
    assert of(Emitter("h", method="post")) == (f"http://h{tp2}", "post", 10)
    assert of(Emitter("h", compatibility="1.1")) == (f"https://h{tp2}", "post", 10)
    assert of(AsyncEmitter("h", compatibility="1.1")) == (f"http://h{tp2}", "post", 10)
    bounds = [Emitter("h", compatibility=v).delivery.queue.max_items for v in ("0.7", "1.1")]
    assert bounds == [None, 10_000]
    assert of(Snowplow.create_tracker("ns", "h").emitters[0]) == (f"https://h{tp2}", "post", 10)
    Snowplow.reset()


@pytest.mark.parametrize(
    ("endpoint", "options", "url"),
    [
        ("h", {}, "http://h/i"),
        ("h/path", {}, "http://h/path/i"),
        ("h/path", {"port": 9090}, "http://h:9090/path/i"),
        ("http://h", {}, "http://h/i"),
        ("HTTPS://h", {}, "https://h/i"),
        ("https://h/path/", {"port": 1}, "https://h:1/path/i"),
        (
            "h",
            {"protocol": "https", "method": "post"},
            "https://h/com.snowplowanalytics.snowplow/tp2",
        ),
    ],
)
def test_endpoint_text(endpoint: str, options: dict[str, Any], url: str) -> None:
    assert Emitter(endpoint, **options).endpoint == url
    assert Emitter.as_collector_uri(endpoint, **options) == url


@pytest.mark.parametrize("endpoint", ["", "ftp://h", "h h", "http://", None, 7])
def test_endpoint_text_that_cannot_be_is_a_value_error(endpoint: Any) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        Emitter(endpoint)


def test_buffer_size_name(collector: LocalCollector) -> None:
    choices: list[dict[str, Any]]
    choices = [{"buffer_size": 3}, {"batch_size": 3}, {"buffer_size": 3, "batch_size": 3}]
    for options in choices:
        assert Emitter("h", **options).buffer_size == 3
    assert Emitter("h", "http", None, "get", 3).buffer_size == 3
    with pytest.raises(ValueError, match="batch_size"):
        Emitter("h", buffer_size=3, batch_size=4)


def test_buffer_size_is_the_most_of_one_request_too(collector: LocalCollector) -> None:
    collector.usual = 503
    emitter = Emitter(collector.place, method="post", buffer_size=3)
    tracker = Tracker(emitter)
    for number in range(7):
        tracker.track_page_view(f"http://x/{number}")
    collector.usual = 200
    assert emitter.flush() == 0
    assert max(len(request.events) for request in collector.requests) == 3
    assert len(collector.events) == 7


def test_post_request(collector: LocalCollector) -> None:
    emitter = Emitter(collector.place, method="post", buffer_size=2)
    subject = Subject().set_color_depth(32).set_domain_session_index(4)
    tracker = Tracker(emitter, subject)
    tracker.track_struct_event("c", "a", value=2.5).track_page_ping("http://x", min_x=3)
    (request,) = collector.requests
    assert (request.method, request.path) == ("POST", "/com.snowplowanalytics.snowplow/tp2")
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    body = json.loads(request.body)
    assert body["schema"].endswith("/payload_data/jsonschema/1-0-4")
    assert body.keys() == BODY_KEYS
    assert {type(value) for event in body["data"] for value in event.values()} == {str}
    assert b'", "' not in request.body  # compact
    assert all("stm" in event for event in body["data"])


def test_event_id(kept: Kept) -> None:
    Tracker(kept).track_page_view("http://x")
    Tracker(kept, compatibility="0.4").track_page_view("http://x")
    new, old = kept.events
    assert str(uuid.UUID(new["eid"])) == new["eid"]
    assert "tid" not in new
    assert old["eid"] != new["eid"]
    assert 100_000 <= int(old["tid"]) <= 999_998


@pytest.mark.parametrize(
    ("version", "given", "dtm", "ttm"),
    [
        ("0.4", {"tstamp": 5}, "5", None),
        ("0.7", {"tstamp": 5}, "5", None),
        ("0.7", {"tstamp": 5.9}, "5", None),
        ("0.7", {"true_timestamp": 6}, "now", "6"),
        ("0.7", {"tstamp": 5, "true_timestamp": 6}, "5", "6"),
        ("1.1", {"tstamp": 5}, "now", "5"),
        ("0.7", {"tstamp": TrueTimestamp(5)}, "now", "5"),
        ("1.1", {"tstamp": DeviceTimestamp(5)}, "5", None),
        ("1.1", {"tstamp": TrueTimestamp(5)}, "now", "5"),
        ("0.7", {}, "now", None),
    ],
)
def test_tstamp(version: Any, given: dict[str, Any], dtm: str, ttm: str | None, kept: Kept) -> None:
    Tracker(kept, compatibility=version).track_page_view("http://x", **given)
    (event,) = kept.events
    assert event.get("ttm") == ttm
    assert len(event["dtm"]) == 13 if dtm == "now" else event["dtm"] == dtm


def test_return_of_track(collector: LocalCollector, kept: Kept) -> None:
    tracker = Tracker(Emitter(collector.place))
    assert tracker.track_page_view("http://x") is tracker
    assert tracker.track_ecommerce_transaction("o", 1) is tracker
    event_id = tracker.track(PageView("http://x"))
    assert collector.events[-1]["eid"] == event_id
    assert tracker.track(Payload({"e": "pv", "url": "http://x"})) is tracker


def test_return_of_track_in_0_4_is_the_status(collector: LocalCollector) -> None:
    items = [{"sku": "a", "price": 1, "quantity": 1}, {"sku": "b", "price": 1, "quantity": 2}]
    synchronous = Tracker(Emitter(collector.place), compatibility="0.4")
    assert synchronous.track_page_view("http://x") == 200
    assert synchronous.track_ecommerce_transaction("o", 2, items=items) == {
        "transaction_result": 200,
        "item_results": [200, 200],
    }
    collector.usual = 404
    assert synchronous.track_page_view("http://x") == 404
    buffered = Tracker(Emitter(collector.place, buffer_size=2), compatibility="0.4")
    assert buffered.track_page_view("http://x") is buffered
    assert buffered.track_page_view("http://x") == 404
    assert buffered.track_page_view("http://x") is buffered
    asynchronous = Tracker(AsyncEmitter(collector.place), compatibility="0.4")
    assert asynchronous.track_page_view("http://x") is asynchronous
    asynchronous.flush()
    assert asynchronous.track_page_view("http://x") is asynchronous


def test_flush_returns_the_tracker_and_an_emitter_what_is_left(
    collector: LocalCollector,
) -> None:
    emitter = Emitter(collector.place, method="post", buffer_size=50)
    tracker = Tracker(emitter)
    for flush in (tracker.flush, lambda: tracker.flush(5), lambda: tracker.flush(is_async=False)):
        tracker.track_page_view("http://x")
        assert flush() is tracker
        assert emitter.stats()["queued"] == 0
    collector.usual = 503
    tracker.track_page_view("http://x")
    assert emitter.flush() == emitter.sync_flush() == 1


@pytest.mark.parametrize("kind", [Emitter, AsyncEmitter])
@pytest.mark.parametrize(
    ("positional", "keywords"),
    [((False,), {}), ((0,), {}), ((), {"is_async": True}), ((), {"async": True})],
)
def test_flush_false_does_not_wait(
    kind: Any, positional: tuple[Any, ...], keywords: dict[str, Any], collector: LocalCollector
) -> None:
    answered = threading.Event()
    take = collector.take

    def slow(received: Any) -> int:
        answered.wait(30)
        return take(received)

    collector.take = slow  # type: ignore[method-assign]
    emitter = kind(collector.place, method="post", buffer_size=50, interval=600.0)
    tracker = Tracker(emitter)
    tracker.track_page_view("http://x")
    assert tracker.flush(*positional, **keywords) is tracker  # or it would hang here
    answered.set()
    assert len(collector.wait(1)) == 1
    wait_until(lambda: emitter.stats()["queued"] == 0)
    assert emitter.stats()["retried"] == 0


def test_flush_false_does_not_wait_for_a_custom_emitter() -> None:
    goes_on, done = threading.Event(), threading.Event()

    class Slow(Kept):
        def flush(self) -> None:
            goes_on.wait(30)
            done.set()

    Tracker(Slow()).flush(False)
    assert not done.is_set()
    goes_on.set()
    assert done.wait(30)


@pytest.mark.parametrize(
    ("timeout", "old", "seconds"),
    [
        (None, {}, None),
        (True, {}, None),
        (False, {}, 0),
        (0, {}, 0),
        (2.5, {}, 2.5),
        (None, {"is_async": True}, 0),
        (None, {"async": False}, None),
    ],
)
def test_flush_false_and_other_time_limits(timeout: Any, old: Any, seconds: float | None) -> None:
    assert seconds_to_wait(timeout, dict(old)) == seconds


def test_flush_knows_no_other_keywords(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match="asynchronous"):
        tracker.flush(asynchronous=True)


def test_async_emitter_has_threads_and_emitter_none(collector: LocalCollector) -> None:
    assert AsyncEmitter("h", "http", None, "get", 1, None, None, 4).delivery.threads == 4
    with pytest.raises(TypeError, match="AsyncEmitter"):
        Emitter("h", thread_count=4)
    with pytest.raises(TypeError, match="bufersize"):
        Emitter("h", bufersize=4)


@pytest.mark.parametrize("kind", [Emitter, AsyncEmitter])
def test_async_emitter_flush_inside_a_callback_does_not_hang(
    kind: Any, collector: LocalCollector
) -> None:
    called = []

    def on_success(count: int) -> None:
        called.append(count)
        busy.flush()

    busy = Tracker(kind(collector.place, method="post", buffer_size=2, on_success=on_success))
    for _ in range(4):
        busy.track_page_view("http://x")
    busy.flush()
    assert sum(called) == 4


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("kind", [Emitter, AsyncEmitter])
def test_on_success_argument(kind: Any, method: str, collector: LocalCollector) -> None:
    for version in ("0.7", "1.1"):
        told: list[Any] = []
        emitter = kind(collector.place, "http", None, method, 2, told.append, compatibility=version)
        tracker = Tracker(emitter)
        tracker.track_page_view("http://x/1").track_page_view("http://x/2").flush()
        if version == "0.7":
            assert told == [2]
        else:
            assert [event["url"] for event in told[0]] == ["http://x/1", "http://x/2"]


@pytest.mark.parametrize(
    ("status", "success"),
    [(200, True), (202, True), (299, True), (300, False), (302, False), (399, False), (404, False)],
)
def test_on_success_fires_on(status: int, success: bool, collector: LocalCollector) -> None:
    collector.usual = status
    told: list[str] = []
    tracker = Tracker(
        Emitter(
            collector.place,
            on_success=lambda count: told.append("yes"),
            on_failure=lambda count, unsent: told.append("no"),
        )
    )
    tracker.track_page_view("http://x")
    assert told == (["yes"] if success else ["no"])
    assert Emitter.is_good_status_code(status) is success


@pytest.mark.parametrize("version", ["0.4", "0.7", "1.1"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_on_failure_unsent(version: Any, method: str, collector: LocalCollector) -> None:
    collector.usual = 400
    told: list[Any] = []
    emitter = Emitter(
        collector.place,
        "http",
        None,
        method,
        2,
        on_failure=lambda count, unsent: told.append((count, unsent)),
        compatibility=version,
    )
    tracker = Tracker(emitter)
    tracker.track_page_view("http://x/1")
    tracker.track_page_view("http://x/2")
    ((count, unsent),) = told
    if (version, method) == ("0.4", "post"):
        assert isinstance(unsent, str)
        unsent = json.loads(unsent)
    assert count == 0
    assert [event["url"] for event in unsent] == ["http://x/1", "http://x/2"]


def test_on_failure_timing(collector: LocalCollector) -> None:
    collector.statuses = [503, 503, 503]
    collector.usual = 422
    failed: list[Any] = []
    attempts: list[Any] = []
    emitter = Emitter(
        collector.place,
        method="post",
        on_failure=lambda count, unsent: failed.append(unsent),
        on_attempt=lambda status, payloads: attempts.append((status, len(payloads))),
    )
    Tracker(emitter).track_page_view("http://x")
    for _ in range(3):
        assert emitter.flush() == 1
        assert failed == []
    assert emitter.flush() == 0
    assert attempts == [(503, 1), (503, 1), (503, 1), (422, 1)]
    assert [[event["url"] for event in unsent] for unsent in failed] == [["http://x"]]
    assert emitter.stats()["dropped:rejected"] == 1


def test_connection_refused(free_port: int) -> None:
    failed: list[Any] = []
    attempts: list[int] = []
    emitter = Emitter(
        "127.0.0.1",
        port=free_port,
        on_failure=lambda *told: failed.append(told),
        on_attempt=lambda status, payloads: attempts.append(status),
    )
    tracker = Tracker(emitter)
    assert tracker.track_page_view("http://x") is tracker
    assert emitter.flush() == 1
    assert (failed, set(attempts)) == ([], {-1})
    emitter.delivery.queue.close("test")


def test_order_inside_a_get_buffer(collector: LocalCollector) -> None:
    tracker = Tracker(Emitter(collector.place, buffer_size=4))
    for number in range(4):
        tracker.track_page_view(f"http://x/{number}")
    urls = [request.events[0]["url"] for request in collector.requests]
    assert urls == ["http://x/0", "http://x/1", "http://x/2", "http://x/3"]


def test_a_get_is_judged_by_its_own_answer(collector: LocalCollector) -> None:
    collector.statuses = [500, 200, 404]
    failed: list[Any] = []
    emitter = Emitter(collector.place, buffer_size=3, on_failure=lambda *told: failed.append(told))
    tracker = Tracker(emitter)
    for number in range(3):
        tracker.track_page_view(f"http://x/{number}")
    ((sent_count, unsent),) = failed
    assert (sent_count, [event["url"] for event in unsent]) == (1, ["http://x/2"])
    assert emitter.flush() == 0
    assert [event["url"] for event in collector.events] == ["http://x/1", "http://x/0"]


@pytest.mark.parametrize("encode_base64", [True, False])
@pytest.mark.parametrize("method", ["get", "post"])
def test_non_ascii_data(encode_base64: bool, method: str, collector: LocalCollector) -> None:
    tracker = Tracker(
        Emitter(collector.place, method=method, buffer_size=1), encode_base64=encode_base64
    )
    data = {"a": "€>>>???", "b": "\N{SNOWMAN}", "c": "\ud800"}
    context = SelfDescribingJson("iglu:com.acme/c/jsonschema/1-0-0", data)
    tracker.track_struct_event("Ünicode", "\udfff", context=[context])
    (event,) = collector.events
    assert (event["se_ca"], event["se_ac"]) == ("Ünicode", "?")
    inner = plain(event, "cx") if encode_base64 else json.loads(event["co"])["data"]
    assert inner[0]["data"] == {**data, "c": "?"}
    assert tracker.stats()["replaced_surrogates"] == 1


# Rulings: what an event is made of ----------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        SelfDescribingJson("iglu:com.acme/x/jsonschema/1-0-0", {"a": 1}),
        {"schema": "iglu:com.acme/x/jsonschema/1-0-0", "data": {"a": 1}},
        ("iglu:com.acme/x/jsonschema/1-0-0", {"a": 1}),
    ],
)
def test_event_json_and_context_items(form: Any, tracker: Tracker, kept: Kept) -> None:
    wanted = {"schema": "iglu:com.acme/x/jsonschema/1-0-0", "data": {"a": 1}}
    tracker.track_unstruct_event(form, [form, form]).track_self_describing_event(form, (form,))
    tracker.track(SelfDescribing(form, context=[form]))
    assert [plain(event) for event in kept.events] == [wanted] * 3
    assert [plain(event, "cx") for event in kept.events] == [[wanted] * 2, [wanted], [wanted]]


def test_a_context_that_is_not_in_a_list_is_a_breach(tracker: Tracker) -> None:
    said = breach(lambda: tracker.track_page_view("http://x", context=CONTEXT))  # type: ignore[arg-type]
    assert "'context' to Tracker:track_page_view()" in said


def test_schema_without_iglu(tracker: Tracker, kept: Kept) -> None:
    tracker.track_unstruct_event(
        {"schema": "com.acme/x/jsonschema/1-0-0", "data": {}},
        [SelfDescribingJson("com.acme/c/jsonschema/1-0-0", {})],
    )
    (event,) = kept.events
    assert plain(event)["schema"] == "iglu:com.acme/x/jsonschema/1-0-0"
    assert plain(event, "cx")[0]["schema"] == "iglu:com.acme/c/jsonschema/1-0-0"
    for wrong in ("x", "iglu:com.acme/x", "com.acme/x/jsonschema/1"):
        said = breach(functools.partial(tracker.track_unstruct_event, (wrong, {})))
        assert repr(wrong) in said
        breach(functools.partial(tracker.track_page_view, "x", context=[(wrong, {})]))
    assert len(kept.events) == 1


def test_empty_context_list(tracker: Tracker, kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    tracker.track_page_view("http://x", context=[])
    assert not {"cx", "co"} & kept.events[0].keys()
    assert "context" in caplog.text
    breach(lambda: Tracker(kept, strict=True).track_page_view("http://x", context=[]))


def test_empty_optional_text(tracker: Tracker, kept: Kept) -> None:
    tracker.track_page_view("http://x", "", "").track_struct_event("c", "a", "", "")
    tracker.track_link_click("http://x", "", element_target="")
    view, struct, click = kept.events
    assert not {"page", "refr"} & view.keys()
    assert not {"se_la", "se_pr"} & struct.keys()
    assert plain(click)["data"] == {"targetUrl": "http://x"}


def test_track_screen_view_without_arguments(tracker: Tracker, kept: Kept) -> None:
    assert "track_screen_view" in breach(tracker.track_screen_view)
    assert kept.events == []
    tracker.track_screen_view(id_="a").track_screen_view("n", id="b")
    assert [plain(event)["data"] for event in kept.events] == [
        {"id": "a"},
        {"name": "n", "id": "b"},
    ]


def test_items(tracker: Tracker, kept: Kept) -> None:
    tracker.track_ecommerce_transaction("o", 1).track_ecommerce_transaction("o", 1, items=[])
    assert [event["e"] for event in kept.events] == ["tr", "tr"]
    good = {"sku": "a", "price": 1, "quantity": 1}
    for wrong in ({**good, "sku": ""}, {**good, "price": "1"}, {**good, "quantity": 1.5}, {}, 7):
        items: list[Any] = [good, wrong]
        order = functools.partial(tracker.track_ecommerce_transaction, "o", 1, items=items)
        assert "'items'" in breach(order)
    hostile: list[Any] = [{**good, "context": Hostile()}]
    breach(functools.partial(tracker.track_ecommerce_transaction, "o", 1, items=hostile))
    assert len(kept.events) == 2  # not even the order itself


def test_item_context(tracker: Tracker, kept: Kept) -> None:
    own = {"schema": "iglu:com.acme/item/jsonschema/1-0-0", "data": {"i": 1}}
    items = [
        {"sku": "a", "price": 1, "quantity": 1, "context": [own]},
        {"sku": "b", "price": 1, "quantity": 1},
    ]
    tracker.track_ecommerce_transaction("o", 2, items=items, context=[CONTEXT])
    order, first, second = kept.events
    assert plain(order, "cx") == [CONTEXT.to_json()]
    assert plain(first, "cx") == [own]
    assert "cx" not in second


@pytest.mark.parametrize(
    ("version", "tstamp"), [("0.7", None), ("0.7", 5), ("1.1", 5), ("0.7", TrueTimestamp(5))]
)
def test_item_timestamp(version: Any, tstamp: Any, kept: Kept) -> None:
    items = [{"sku": "a", "price": 1, "quantity": 1, "name": "n", "category": "c"}] * 2
    tracker = Tracker(kept, compatibility=version)
    tracker.track_ecommerce_transaction("o", 2, currency="GBP", items=items, tstamp=tstamp)
    assert len({event["dtm"] for event in kept.events}) == 1
    assert len({event.get("ttm") for event in kept.events}) == 1
    is_true = version == "1.1" or isinstance(tstamp, TrueTimestamp)
    assert kept.events[0].get("ttm") == ("5" if is_true else None)
    assert [event["ti_cu"] for event in kept.events[1:]] == ["GBP", "GBP"]
    assert len({event["eid"] for event in kept.events}) == 3


def test_items_have_ids_of_their_own_whatever_that_of_the_order_is(
    tracker: Tracker, kept: Kept
) -> None:
    mine = str(uuid.uuid4())
    items = [{"sku": "a", "price": 1, "quantity": 1}]
    tracker.track_ecommerce_transaction("o", 1, items=items, event_id=mine)
    order, item = kept.events
    assert order["eid"] == mine != item["eid"]


def test_caller_s_item_dicts_are_not_changed(tracker: Tracker) -> None:
    items = [{"sku": "a", "price": 1, "quantity": 1, "context": [CONTEXT]}]
    before = [dict(item) for item in items]
    tracker.track_ecommerce_transaction("o", 1, items=items, context=[CONTEXT], tstamp=5)
    assert items == before


def test_names_in_the_0_7_manual_that_never_existed(tracker: Tracker, kept: Kept) -> None:
    second = Kept()
    assert tracker.addEmitter(second) is tracker
    tracker.track_struct_event("c", "a", property="p")
    tracker.track_ecommerce_transaction_item(id="o", sku="s", price=1, quantity=2)
    assert kept.events == second.events
    assert (kept.events[0]["se_pr"], kept.events[1]["ti_id"]) == ("p", "o")
    assert Subject().timezone("Europe/London").standard_nv_pairs["tz"] == "Europe/London"
    with pytest.raises(TypeError, match="order_id and price"):
        tracker.track_ecommerce_transaction_item(sku="s", quantity=2)


SETTERS: list[tuple[str, tuple[Any, ...], dict[str, str]]] = [
    ("set_platform", ("tv",), {"p": "tv"}),
    ("set_user_id", ("u",), {"uid": "u"}),
    ("set_screen_resolution", (2, 1), {"res": "2x1"}),
    ("set_viewport", (2, 1), {"vp": "2x1"}),
    ("set_color_depth", (32,), {"cd": "32"}),
    ("set_timezone", ("Europe/London",), {"tz": "Europe/London"}),
    ("set_lang", ("en",), {"lang": "en"}),
    ("set_ip_address", ("34.633.11.139",), {"ip": "34.633.11.139"}),
    ("set_useragent", ("Mozilla",), {"ua": "Mozilla"}),
    ("set_domain_user_id", ("c7aadf5c60a5dff9",), {"duid": "c7aadf5c60a5dff9"}),
    ("set_domain_session_id", ("11111111-1111-4111-8111-111111111111",),
     {"sid": "11111111-1111-4111-8111-111111111111"}),
    ("set_domain_session_index", (3,), {"vid": "3"}),
    ("set_network_user_id", ("n",), {"tnuid": "n"}),
]  # fmt: skip


@pytest.mark.parametrize(("setter", "values", "keys"), SETTERS)
def test_setters_can_be_called_on_subject_and_tracker(
    setter: str, values: tuple[Any, ...], keys: dict[str, str], tracker: Tracker, kept: Kept
) -> None:
    subject = Subject()
    assert getattr(subject, setter)(*values) is subject
    assert subject.standard_nv_pairs == {"p": "pc", **keys}
    assert getattr(tracker, setter)(*values) is tracker
    tracker.track_page_view("http://x")
    assert {key: kept.events[0][key] for key in keys} == keys


def test_set_subject_none(tracker: Tracker, kept: Kept) -> None:
    tracker.set_user_id("u")
    assert tracker.set_subject(None) is tracker
    tracker.track_page_view("http://x")
    assert kept.events[0]["p"] == "pc"
    assert "uid" not in kept.events[0]


PLATFORMS = ("pc", "tv", "mob", "cnsl", "iot", "web", "srv", "app", "headset")


def test_platforms(tracker: Tracker, kept: Kept) -> None:
    for platform in PLATFORMS:
        tracker.set_platform(platform).track_page_view("http://x")
    assert tuple(event["p"] for event in kept.events) == PLATFORMS
    breach(lambda: Subject().set_platform("fridge"))
    disable_contracts()
    tracker.set_platform("fridge").track_page_view("http://x")
    assert kept.events[-1]["p"] in PLATFORMS  # without one, a collector refuses the whole POST


def test_subjects_of_one_event_in_0_7_replace_and_in_1_1_complete_the_tracker_s(
    kept: Kept,
) -> None:
    def of_event(version: Any) -> dict[str, str]:
        about = Subject().set_user_id("event")
        tracker = Tracker(
            kept, Subject().set_user_id("tracker").set_lang("en"), compatibility=version
        )
        tracker.track_page_view("http://x", None, None, None, None, about)
        return kept.events[-1]

    assert (of_event("0.7")["uid"], of_event("0.7").get("lang")) == ("event", None)
    assert (of_event("1.1")["uid"], of_event("1.1").get("lang")) == ("event", "en")


def test_combine_subject() -> None:
    own = Subject().set_platform("tv").set_user_id("own")
    other = Subject().set_user_id("other").set_lang("en")
    assert own.combine_subject(other) == {"p": "tv", "uid": "own", "lang": "en"}
    assert own.combine_subject(None) == {"p": "tv", "uid": "own"}


# Contracts ----------------------------------------------------------------------------------------


BREACHES: list[tuple[str, Callable[[Tracker], object], str]] = [
    ("empty url", lambda t: t.track_page_view(""), "page_url"),
    ("url", lambda t: t.track_page_view(7), "page_url"),  # type: ignore[arg-type]
    ("title", lambda t: t.track_page_view("x", 7), "page_title"),  # type: ignore[arg-type]
    ("title by name", lambda t: t.track_page_view("x", page_title=7), "page_title"),  # type: ignore[arg-type]
    ("tstamp", lambda t: t.track_page_view("x", tstamp="1"), "tstamp"),  # type: ignore[arg-type]
    ("subject of one event", lambda t: t.track_page_view("x", event_subject="u"), "event_subject"),  # type: ignore[arg-type]
    ("category", lambda t: t.track_struct_event(None, "a"), "category"),  # type: ignore[arg-type]
    ("action", lambda t: t.track_struct_event("c", ""), "action"),
    ("value", lambda t: t.track_struct_event("c", "a", value="1"), "value"),  # type: ignore[arg-type]
    ("order id", lambda t: t.track_ecommerce_transaction("", 1), "order_id"),
    ("total", lambda t: t.track_ecommerce_transaction("o", "1"), "total_value"),  # type: ignore[arg-type]
    ("tax", lambda t: t.track_ecommerce_transaction("o", 1, tax_value="1"), "tax_value"),  # type: ignore[arg-type]
    ("sku", lambda t: t.track_ecommerce_transaction_item("o", "", 1, 1), "sku"),
    ("price", lambda t: t.track_ecommerce_transaction_item("o", "s", "1", 1), "price"),
    ("quantity", lambda t: t.track_ecommerce_transaction_item("o", "s", 1, 1.5), "quantity"),
    ("event", lambda t: t.track_unstruct_event("x"), "event_json"),  # type: ignore[arg-type]
    ("offset", lambda t: t.track_page_ping("x", min_x=1.5), "min_x"),  # type: ignore[arg-type]
    ("node", lambda t: t.track_form_change("f", "e", "DIV", "v"), "node_name"),
    ("element", lambda t: t.track_form_change("f", None, "INPUT", "v"), "element_id"),  # type: ignore[arg-type]
    ("elements", lambda t: t.track_form_submit("f", elements=[{"name": "n"}]), "elements"),
    ("terms", lambda t: t.track_site_search([]), "terms"),
    ("filters", lambda t: t.track_site_search(["a"], {"a": 1}), "filters"),  # type: ignore[dict-item]
    ("target", lambda t: t.track_link_click(""), "target_url"),
    ("cart", lambda t: t.track_add_to_cart("s", "1"), "quantity"),  # type: ignore[arg-type]
    ("screen", lambda t: t.track_mobile_screen_view(""), "name"),
    ("width", lambda t: t.subject.set_viewport(0, 1), "width"),
    ("height", lambda t: t.subject.set_screen_resolution(1, -1), "height"),
    ("true depth", lambda t: t.subject.set_color_depth(True), "depth"),
    ("user", lambda t: t.subject.set_user_id(7), "user_id"),
    ("namespace", lambda t: Tracker(Kept(), None, 7), "namespace"),
    ("base64", lambda t: Tracker(Kept(), encode_base64="yes"), "encode_base64"),
    ("subject", lambda t: Tracker(Kept(), "user"), "subject"),
    ("time", lambda t: t.get_timestamp("now"), "tstamp"),
    ("schema", lambda t: SelfDescribingJson("", {}), "schema"),
]


@pytest.mark.parametrize(
    ("call", "argument"), [pytest.param(call, a, id=name) for name, call, a in BREACHES]
)
def test_type_contracts(
    call: Callable[[Tracker], object], argument: str, tracker: Tracker, kept: Kept
) -> None:
    said = breach(lambda: call(tracker))
    assert said.startswith(f"Breach for argument {argument!r} to ")
    assert kept.events == []
    disable_contracts()
    assert not contracts.contracts_enabled()
    call(tracker)  # nothing is checked, and nothing leaves the call
    enable_contracts()
    breach(lambda: call(tracker))


class Hostile:
    """A value none of whose own methods works."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError

    __getattr__ = __eq__ = __hash__ = __str__ = __repr__ = _raise
    __len__ = __iter__ = __bool__ = __float__ = __int__ = _raise


ODD: list[Any] = [
    None, "", 7, -1.5, float("nan"), True, b"\xff", [], {}, [None], {"schema": 1}, ("a",), object(),
    float("inf"), 10**400, "\ud800",
]  # fmt: skip
HOSTILE: list[Any] = [Hostile(), [Hostile()], {"schema": "x", "data": Hostile()}]
VERBS = sorted(name for name in dir(Tracker) if name.startswith("track_"))


@pytest.mark.parametrize("version", ["0.4", "0.7", "1.1"])
@pytest.mark.parametrize("verb", VERBS)
def test_odd_arguments_break_a_contract_or_nothing(verb: str, version: Any, kept: Kept) -> None:
    tracker = Tracker(kept, compatibility=version)
    method = getattr(Tracker, verb)
    names = [p for p in inspect.signature(method).parameters if p not in ("self", "options")]
    usual = {"items": [{"sku": "a", "price": 1, "quantity": 1}], "event_json": CONTEXT}
    for checked in (True, False):
        if not checked:
            disable_contracts()
        for name in names:
            for odd in [*ODD, *(HOSTILE if checked else [])]:
                arguments = {other: usual.get(other, "x") for other in names[:4]} | {name: odd}
                arguments.pop("id", None)
                try:
                    getattr(tracker, verb)(**arguments)
                except ContractNotRespected:
                    assert checked, name


def test_the_error_of_a_contract_is_ours_and_a_value_error() -> None:
    assert issubclass(ContractNotRespected, ValueError)
    assert issubclass(ContractNotRespected, TrackwayError)


def test_a_value_without_a_readable_form_is_still_named(tracker: Tracker) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Unprintable" in breach(lambda: tracker.track_page_view(Unprintable()))  # type: ignore[arg-type]
    disable_contracts()
    tracker.track_page_view("http://x", context=[Hostile()])  # type: ignore[list-item]
    enable_contracts()
    assert "[clip]" in breach(lambda: tracker.track_page_view("x", ["y" * 1000]))  # type: ignore[arg-type]


def test_disabled_contracts_cost_nothing() -> None:
    checked = Tracker.track_page_view
    kept_by_somebody = Subject().set_color_depth
    disable_contracts()
    plain_method = Tracker.track_page_view
    assert checked.__wrapped__ is plain_method  # type: ignore[attr-defined]
    assert not hasattr(plain_method, "__wrapped__")
    kept_by_somebody("walrus")  # type: ignore[arg-type]
    enable_contracts()
    assert Tracker.track_page_view is checked
    assert inspect.signature(checked) == inspect.signature(plain_method)


def test_methods_that_a_subclass_overrides_still_meet_the_contract(kept: Kept) -> None:
    class Mine(Tracker):
        def track_page_view(self, page_url: Any, *args: Any, **kwargs: Any) -> Any:
            return super().track_page_view(page_url, *args, **kwargs)

    breach(lambda: Mine(kept).track_page_view(7))
    disable_contracts()
    Mine(kept).track_page_view("http://x")


def test_type_contracts_in_1_1_convert_to_text(kept: Kept) -> None:
    tracker = Tracker(kept, compatibility="1.1")
    tracker.track_page_view(7, 8).track_struct_event("c", "a", 9, value="2.5")  # type: ignore[arg-type]
    tracker.track_ecommerce_transaction_item("o", 5, "1.5", "3")
    items: list[Any] = [{"sku": 5, "price": "1.5", "quantity": "3"}]
    tracker.track_ecommerce_transaction(7, "4.5", items=items)  # type: ignore[arg-type]
    tracker.set_color_depth("32").set_user_id(7).set_viewport("2", 1)
    tracker.track_page_view("http://x")
    view, struct, item, order, of_order, last = kept.events
    assert (order["tr_id"], order["tr_tt"]) == ("7", "4.5")
    assert (of_order["ti_sk"], of_order["ti_pr"], of_order["ti_qu"]) == ("5", "1.5", "3")
    assert (view["url"], view["page"]) == ("7", "8")
    assert (struct["se_la"], struct["se_va"]) == ("9", "2.5")
    assert (item["ti_sk"], item["ti_pr"], item["ti_qu"]) == ("5", "1.5", "3")
    assert (last["cd"], last["uid"], last["vp"]) == ("32", "7", "2x1")
    for call in (
        lambda: tracker.track_page_view(""),
        lambda: tracker.track_page_view(None),  # type: ignore[arg-type]
        lambda: tracker.set_platform("fridge"),
        lambda: tracker.set_viewport(0, 1),
    ):
        breach(call)
    assert tracker.track_struct_event("c", "a", value="many") is tracker  # type: ignore[arg-type]
    assert "se_va" not in kept.events[-1]
    assert tracker.stats()["invalid_argument"] == 1


def test_the_checks_of_1_x_can_be_called() -> None:
    element = {"name": "n", "value": "v"}
    good: list[Callable[[], None]] = [
        lambda: contracts.greater_than(1, 0),
        lambda: contracts.non_empty([1]),
        lambda: contracts.non_empty_string("a"),
        lambda: contracts.one_of("a", {"a"}),
        lambda: contracts.satisfies(1, lambda value: value == 1),
        lambda: contracts.form_element({**element, "nodeName": "INPUT", "type": "text"}),
        lambda: contracts.form_element({**element, "nodeName": "SELECT"}),
    ]
    bad: list[Callable[[], None]] = [
        lambda: contracts.greater_than(0, 0),
        lambda: contracts.non_empty([]),
        lambda: contracts.non_empty_string(""),
        lambda: contracts.one_of("b", {"a"}),
        lambda: contracts.satisfies(2, lambda value: value == 1),
        lambda: contracts.form_element({**element, "nodeName": "DIV"}),
        lambda: contracts.form_element({**element, "nodeName": "INPUT", "type": "x"}),
    ]
    for check in good:
        check()
    for check in bad:
        breach(check)
    disable_contracts()
    for check in bad:
        check()


# Rulings: Redis, Celery, custom emitters, logging -------------------------------------------------


class Response:
    status_code = 200


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (Response(), "sent"),
        (True, "sent"),
        (200, "sent"),
        (None, "sent"),
        (False, "retried"),
        (-1, "retried"),
        (503, "retried"),
        (404, "dropped:rejected"),
        (SimpleNamespace(status_code=404), "dropped:rejected"),
        (RuntimeError("down"), "retried"),
    ],
)
def test_http_post_override(method: str, said: Any, outcome: str) -> None:
    got: list[Any] = []

    class Mine(Emitter):
        def http_post(self, data: str) -> Any:
            return self.answer(json.loads(data)["data"][0])

        def http_get(self, payload: dict[str, Any]) -> Any:
            return self.answer(payload)

        def answer(self, event: dict[str, Any]) -> Any:
            got.append(event)
            if isinstance(said, Exception):
                raise said
            return said

    emitter = Mine("h", method=method, buffer_size=1)
    Tracker(emitter).track_page_view("http://x")
    assert {key: got[0][key] for key in ("e", "url")} == {"e": "pv", "url": "http://x"}
    assert "stm" in got[0]
    assert emitter.stats()[outcome] == 1
    emitter.delivery.queue.close("test")


@pytest.mark.parametrize("method", ["get", "post"])
def test_http_post_override_may_call_the_original(method: str, collector: LocalCollector) -> None:
    answers: list[Any] = []

    class Mine(AsyncEmitter):
        def http_post(self, data: str) -> Any:
            answers.append(super().http_post(data))
            return answers[-1]

        def http_get(self, payload: dict[str, Any]) -> Any:
            answers.append(super().http_get(payload))
            return answers[-1]

    collector.statuses = [503]
    emitter = Mine(collector.place, method=method, buffer_size=1)
    Tracker(emitter).track_page_view("http://x").flush()
    assert [answer.status_code for answer in answers] == [503, 200]
    assert [bool(answer) for answer in answers] == [False, True]
    assert len(collector.events) == 1


def test_both_kinds_of_request_can_be_made_by_hand(
    collector: LocalCollector, free_port: int
) -> None:
    emitter = Emitter(collector.place)
    assert emitter.http_get({"e": "pv", "tstamp": 5}) == 200
    assert emitter.http_post(json.dumps({"schema": "s", "data": [{"e": "pv"}]})) == 200
    assert [request.method for request in collector.requests] == ["GET", "POST"]
    assert collector.requests[1].headers["Content-Type"].startswith("application/json")
    assert Emitter("127.0.0.1", port=free_port).http_get({"e": "pv"}) == -1


def test_a_request_by_hand_is_compressed_like_the_others(collector: LocalCollector) -> None:
    emitter = Emitter(collector.place, method="post", gzip=True)
    assert emitter.http_post(json.dumps({"schema": "s", "data": [{"e": "pv"}]})) == 200
    assert collector.requests[0].headers["Content-Encoding"] == "gzip"
    assert collector.events == [{"e": "pv"}]


@pytest.mark.parametrize("kind", [Emitter, AsyncEmitter])
def test_a_subclass_may_replace_input(kind: Any, collector: LocalCollector) -> None:
    class Mine(kind):  # type: ignore[misc]
        def input(self, payload: dict[str, Any]) -> None:
            super().input({**payload, "aid": "mine"})

    Tracker(Mine(collector.place)).track_page_view("http://x").flush()
    assert collector.events[0]["aid"] == "mine"


def test_a_custom_emitter_that_raises_hurts_nobody(kept: Kept) -> None:
    class Broken:
        def input(self, payload: dict[str, Any]) -> None:
            raise RuntimeError("input")

        def flush(self) -> None:
            raise RuntimeError("flush")

    tracker = Tracker([Broken(), kept])
    assert tracker.track_page_view("http://x").flush() is tracker
    assert len(kept.events) == 1


def test_track_and_complete_payload_argument(tracker: Tracker, kept: Kept) -> None:
    payload = Payload({"e": "pv", "url": "http://x", "own": "kept"})
    assert tracker.complete_payload(payload, [CONTEXT], 5) is tracker
    (event,) = kept.events
    assert event.items() >= {"e": "pv", "url": "http://x", "own": "kept", "dtm": "5"}.items()
    assert {"eid", "tv", "p"} <= event.keys()
    assert plain(event, "cx") == [CONTEXT.to_json()]
    assert payload.get() == {"e": "pv", "url": "http://x", "own": "kept"}  # not changed

    completed = tracker.complete_payload(PageView("http://x", true_timestamp=7))
    assert isinstance(completed, Payload)
    assert len(kept.events) == 1  # not sent
    assert completed.get().items() >= {"e": "pv", "url": "http://x", "p": "pc"}.items()
    assert {"eid", "dtm", "tv", "ttm"} <= completed.get().keys()


def test_a_payload_that_is_complete_goes_out_as_it_is(tracker: Tracker, kept: Kept) -> None:
    sent = {
        "e": "se", "se_ca": "c", "se_ac": "a", "se_va": "2.5", "p": "mob", "tv": "own-1",
        "eid": str(uuid.uuid4()), "dtm": "5", "ttm": "6", "uid": "u", "other": "x", "vid": "3",
    }  # fmt: skip
    tracker.track(Payload(sent))
    assert kept.events == [sent]


def test_a_payload_that_cannot_be_read_is_sent_all_the_same(tracker: Tracker, kept: Kept) -> None:
    tracker.track(Payload({"e": "new", "vid": "many"}))
    (event,) = kept.events
    assert event.items() >= {"e": "new", "vid": "many", "p": "pc"}.items()
    assert {"eid", "dtm", "tv"} <= event.keys()


def test_steps_scopes_and_sinks_know_every_kind_of_event(kept: Kept) -> None:
    memory = MemorySink()
    tracker = Tracker(kept, sinks=[memory])
    with tracker.scope(user_id="u"):
        tracker.track_page_view("http://x")
        tracker.track(PageView("http://x"))
        tracker.track(Payload({"e": "pv", "url": "http://x"}))
        tracker.track("In words", {"a": 1})
    assert [(event.user_id, event.page_url) for event in memory.events[:3]] == [
        ("u", "http://x")
    ] * 3
    assert memory.events[3].name == "In words"
    assert isinstance(memory.events[0], NativeEvent)


@pytest.mark.usefixtures("forget_installed")
def test_logging_and_warnings(collector: LocalCollector, caplog: pytest.LogCaptureFixture) -> None:
    assert snowplow_tracker.logger.name == "snowplow_tracker.emitters"
    assert snowplow_tracker.logger.level == logging.INFO
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker = Tracker(Emitter(collector.place))
        tracker.track_page_view("http://x").track_unstruct_event(CONTEXT).flush()
        tracker.track(PageView("http://x"))
    assert caplog.records == []  # nothing at INFO for an event that goes its way
    caplog.set_level(logging.DEBUG, logger="snowplow_tracker.emitters")
    tracker.track_page_view("http://x")
    (record,) = [r for r in caplog.records if r.name == "snowplow_tracker.emitters"]
    assert (record.levelno, "status 200" in record.getMessage()) == (logging.DEBUG, True)


# Redis and Celery ---------------------------------------------------------------------------------


@pytest.fixture
def rdb() -> Iterator[Any]:
    client = redis.Redis.from_url(REDIS_URL)
    try:
        client.ping()
    except redis.exceptions.ConnectionError as error:
        missing(f"no Redis at {REDIS_URL}: {error}")
    yield client
    client.close()


@pytest.fixture
def key(rdb: Any) -> Iterator[str]:
    name = f"test-compat-{uuid.uuid4()}"
    yield name
    for used in [name, *rdb.scan_iter(f"{name}:*")]:
        rdb.delete(used)


def test_redis_worker_signature(rdb: Any, kept: Kept) -> None:
    for made in (
        RedisWorker(kept, rdb, "k"),
        RedisWorker(kept, rdb=rdb, key="k"),
        RedisWorker(kept, "k", rdb),
        RedisWorker(_consumer=kept, key="k", dbr=rdb),
        RedisWorker(kept, key="k"),
    ):
        assert (made.emitter, made.key) == (kept, "k")
    assert RedisWorker(kept).key == "snowplow"
    with pytest.raises(TypeError, match="emitter"):
        RedisWorker("k")


def test_redis_list_element(rdb: Any, key: str) -> None:
    subject = Subject().set_color_depth(32).set_domain_session_index(4)
    tracker = Tracker(RedisEmitter(rdb, key), subject, "ns")
    tracker.track_struct_event("c", "a", value=2.5, tstamp=5)
    tracker.track_ecommerce_transaction_item("o", "12", 49.99, 2)
    struct, item = (json.loads(element) for element in rdb.lrange(key, 0, -1))
    assert struct.items() >= {
        "e": "se", "se_ca": "c", "se_va": 2.5, "dtm": 5, "cd": 32, "vid": 4, "p": "pc", "tna": "ns",
    }.items()  # fmt: skip
    assert str(uuid.UUID(struct["eid"])) == struct["eid"]
    assert item.items() >= {"ti_sk": "12", "ti_pr": 49.99, "ti_qu": 2}.items()
    assert "stm" not in struct  # what sends it knows that


def test_a_redis_worker_reads_what_every_version_has_written(
    rdb: Any, key: str, collector: LocalCollector
) -> None:
    of_0_4 = {"tv": "py-0.4.0", "e": "pv", "url": "http://a", "dtm": 5, "tid": 7, "p": "pc"}
    of_0_15 = {"tv": "py-0.15.0", "e": "se", "se_va": 2.5, "eid": str(uuid.uuid4()), "p": "srv"}
    rdb.rpush(key, json.dumps(of_0_4), json.dumps(of_0_15))
    Tracker(RedisEmitter(rdb, key)).track_page_view("http://b")
    worker = RedisWorker(Emitter(collector.place, method="post"), rdb, key)
    worker.run(until_empty=True)
    first, second, third = collector.events
    assert first.items() >= {"tv": "py-0.4.0", "dtm": "5", "tid": "7"}.items()
    assert second["se_va"] == "2.5"
    assert third["url"] == "http://b"
    assert rdb.exists(key) == 0
    assert {type(value) for event in collector.events for value in event.values()} == {str}


def test_a_redis_worker_can_pop_by_hand(rdb: Any, key: str, kept: Kept) -> None:
    rdb.rpush(key, json.dumps({"e": "pv"}))
    RedisWorker(kept, rdb, key).pop_payload()
    assert kept.events == [{"e": "pv"}]
    assert rdb.exists(key) == 0


def test_a_subclass_of_the_redis_emitter_may_replace_input(rdb: Any, key: str) -> None:
    class Mine(RedisEmitter):
        def input(self, payload: Any) -> None:
            super().input({**payload, "aid": "mine"})

    Tracker(Mine(rdb, key)).track_page_view("http://x").flush()
    assert json.loads(rdb.lindex(key, 0))["aid"] == "mine"


def test_celery_emitter_leaves_each_event_once(kept: Kept) -> None:
    celery = pytest.importorskip("celery")
    app = celery.Celery(broker="memory://", set_as_current=False)
    emitter = CeleryEmitter("h", method="post", app=app)
    assert (emitter.url, emitter.batch_size) == (
        "http://h/com.snowplowanalytics.snowplow/tp2", 10,
    )  # fmt: skip
    assert CeleryEmitter("h", app=app).batch_size == 1
    tracker = Tracker(emitter)
    for number in range(3):
        tracker.track_page_view(f"http://x/{number}").flush()
    found = []
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.conf.task_default_queue)
        for _ in range(3):
            (events, _way), *_ = queue.get(timeout=10).payload
            found += [json.loads(event)["url"] for event in events]
        with pytest.raises(queue.Empty):
            queue.get(block=False)
    assert found == ["http://x/0", "http://x/1", "http://x/2"]
    with pytest.raises(TypeError, match="on_success"):
        CeleryEmitter("h", app=app, on_success=print)
    with pytest.raises(TypeError, match="on_failure"):
        CeleryEmitter("h", app=app, on_failure=print)


def test_celery_emitter_needs_no_broker_to_be_made() -> None:
    assert fresh_process("""
        import socket, sys
        def no_network(event, args):
            if event in ("socket.connect", "socket.getaddrinfo"):
                raise SystemExit(f"{event} {args}")
        sys.addaudithook(no_network)
        from trackway.compat.snowplow_tracker import CeleryEmitter, Tracker, emitters
        print(int(bool(Tracker(CeleryEmitter("h")) and emitters.app.main)))
    """)


# With our own collector ---------------------------------------------------------------------------


def test_every_kind_of_event_arrives_at_the_real_collector(server: Any) -> None:
    running = server()
    subject = Subject().set_ip_address("34.633.11.139").set_user_id("u")
    context = [CONTEXT]
    for emitter in (
        Emitter(running.url),
        AsyncEmitter(running.url, method="post", buffer_size=3),
        AsyncEmitter(running.url, compatibility="1.1"),
    ):
        tracker = Tracker(emitter, subject, "ns", "shop")
        tracker.track_page_view("http://x", "t", "http://r", context, 1_700_000_000_000)
        tracker.track_page_ping("http://x", min_x=1, max_x=2)
        tracker.track_screen_view("s")
        tracker.track_mobile_screen_view("s")
        tracker.track_struct_event("c", "a", "l", "p", 2.5)
        tracker.track_unstruct_event(CONTEXT)
        tracker.track_link_click("http://y", "id", ["a"])
        tracker.track_add_to_cart("s", 1, unit_price=2.5)
        tracker.track_remove_from_cart("s", 1)
        tracker.track_form_change("f", "e", "INPUT", None)
        element = {"name": "n", "value": "v", "nodeName": "INPUT"}
        tracker.track_form_submit("f", ["a"], [element])
        tracker.track_site_search(["a"], {"b": True}, 3, 2)
        items = [{"sku": "a", "price": 1.5, "quantity": 2, "context": context}]
        tracker.track_ecommerce_transaction("o", 3, currency="GBP", items=items)
        tracker.track(PageView("http://x", true_timestamp=1_700_000_000_000))
        tracker.track(Payload({"e": "pv", "url": "http://x"}))
        assert tracker.flush() is tracker
        assert emitter.stats()["queued"] == 0
    assert running.stop() == 0
    assert running.sql("SELECT reason, message FROM bad_rows") == []
    counted = running.sql("SELECT event, count(*) AS n FROM events GROUP BY event")
    assert {row["event"]: row["n"] for row in counted} == {
        "page_view": 9, "page_ping": 3, "struct": 3, "unstruct": 27, "transaction": 3,
        "transaction_item": 3,
    }  # fmt: skip
    (who,) = running.sql("SELECT DISTINCT user_id, app_id, platform, name_tracker FROM events")
    assert who == {"user_id": "u", "app_id": "shop", "platform": "pc", "name_tracker": "ns"}


# Version 1.x: events ------------------------------------------------------------------------------


EVENTS: list[tuple[Event, dict[str, Any], dict[str, Any]]] = [
    (
        PageView("http://x", "t", "http://r"),
        {"page_url": "http://x", "page_title": "t", "referrer": "http://r"},
        {"e": "pv", "url": "http://x", "page": "t", "refr": "http://r"},
    ),
    (
        PagePing("http://x", None, None, 1, 2, 3, 4),
        {"min_x": 1, "max_x": 2, "min_y": 3, "max_y": 4, "page_title": None},
        {"e": "pp", "url": "http://x", "pp_mix": "1", "pp_max": "2", "pp_miy": "3", "pp_may": "4"},
    ),
    (
        StructuredEvent("c", "a", "l", "p", 2.5),
        {"category": "c", "action": "a", "label": "l", "property_": "p", "value": 2.5},
        {"e": "se", "se_ca": "c", "se_ac": "a", "se_la": "l", "se_pr": "p", "se_va": "2.5"},
    ),
    (SelfDescribing(CONTEXT), {"event_json": CONTEXT}, {"e": "ue"}),
    (
        ScreenView("i", "n", type="t", previous_name="pn"),
        {"id_": "i", "name": "n", "type": "t", "previous_name": "pn", "previous_id": None},
        {"e": "ue"},
    ),
]


@pytest.mark.parametrize(
    ("event", "properties", "keys"), [pytest.param(*e, id=type(e[0]).__name__) for e in EVENTS]
)
def test_an_event_of_1_x_can_be_read_and_tracked_again_and_again(
    event: Event, properties: dict[str, Any], keys: dict[str, str], tracker: Tracker, kept: Kept
) -> None:
    assert {name: getattr(event, name) for name in properties} == properties
    ids = [tracker.track(event) for _ in range(2)]
    assert [sent["eid"] for sent in kept.events] == ids
    assert ids[0] != ids[1]
    for sent in kept.events:
        assert sent.items() >= keys.items()


def test_an_event_of_1_x_can_be_changed(tracker: Tracker, kept: Kept) -> None:
    view = PageView("http://x", "title")
    view.page_url, view.page_title = "http://y", None
    view.context, view.true_timestamp = [CONTEXT], 7
    view.event_subject = Subject().set_user_id("u")
    screen = ScreenView("i", "n")
    screen.name, screen.transition_type = "m", "swipe"
    tracker.set_lang("en")
    tracker.track(view)
    tracker.track(screen)
    first, second = kept.events
    assert first.items() >= {"url": "http://y", "ttm": "7", "uid": "u", "lang": "en"}.items()
    assert "page" not in first
    assert plain(first, "cx") == [CONTEXT.to_json()]
    assert plain(second) == {
        "schema": "iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0",
        "data": {"id": "i", "name": "m", "transitionType": "swipe"},
    }


def test_an_event_of_1_x_keeps_its_contracts(tracker: Tracker, kept: Kept) -> None:
    view = PageView("http://x")
    for call in (
        lambda: PageView(""),
        lambda: setattr(view, "page_url", 7),
        lambda: StructuredEvent("c", ""),
        lambda: PagePing("x", min_x="1"),  # type: ignore[arg-type]
        lambda: SelfDescribing("x"),  # type: ignore[arg-type]
        lambda: ScreenView("", "n"),
        lambda: PageView("x", context=CONTEXT),  # type: ignore[arg-type]
        lambda: PageView("x", true_timestamp="5"),  # type: ignore[arg-type]
        lambda: PageView("x", event_subject="u"),  # type: ignore[arg-type]
    ):
        breach(call)
    assert view.page_url == "http://x"
    disable_contracts()
    assert PageView("").page_url == ""
    wrong: Any = object()
    tracker.track(SelfDescribing(wrong, wrong, wrong, wrong))
    tracker.track(PageView("http://x", None, None, wrong, [wrong], float("nan")))
    assert kept.events[-1].items() >= {"e": "pv", "url": "http://x", "p": "pc"}.items()


def test_the_payload_of_an_event_is_built_anew(tracker: Tracker) -> None:
    event = SelfDescribing(("com.acme/x/jsonschema/1-0-0", {"a": "ü"}), context=[CONTEXT])
    subject = Subject().set_user_id("u")
    plain_payload = event.build_payload(False, None, subject).get()
    coded = event.build_payload(encode_base64=True, json_encoder=None).get()
    assert plain_payload.items() >= {"e": "ue", "uid": "u", "p": "pc"}.items()
    assert json.loads(plain_payload["ue_pr"])["data"]["data"] == {"a": "ü"}
    assert "ü" in plain_payload["ue_pr"]
    assert plain({"ue_px": coded["ue_px"]})["schema"] == "iglu:com.acme/x/jsonschema/1-0-0"
    assert event.payload.get() == {"e": "ue"}
    event.event_subject = Subject().set_user_id("own")
    assert event.build_payload(False, None, subject.set_lang("en")).get().items() >= {
        ("uid", "own"), ("lang", "en"),
    }  # fmt: skip


def test_a_subclass_of_event_may_add_keys(tracker: Tracker, kept: Kept) -> None:
    class Mine(PageView):
        def build_payload(self, *args: Any, **kwargs: Any) -> Payload:
            payload = super().build_payload(*args, **kwargs)
            payload.add("own", "x")
            return payload

    tracker.track(Mine("http://x"))
    tracker.track(Event({"e": "pv", "url": "http://y"}))
    assert (kept.events[0]["own"], kept.events[1]["url"]) == ("x", "http://y")


# Version 1.x: the other classes -------------------------------------------------------------------


def test_payload() -> None:
    payload = Payload({"a": 1, "b": "", "c": None, "d": 0})
    assert payload.get() == {"a": 1, "d": 0}
    payload.add("e", "x")
    payload.add_dict({"f": "y", "g": None})
    payload.add_json({"h": "ü"}, False, "hx", "hp")
    payload.add_json({"h": "ü>"}, True, "ix", "ip")
    payload.add_json({}, True, "jx", "jp")
    payload.add_json(None, True, "jx", "jp")
    assert payload.get() == {
        "a": 1, "d": 0, "e": "x", "f": "y", "hp": '{"h":"ü"}', "ix": "eyJoIjoiw7w-In0=",
    }  # fmt: skip
    payload.add_json({"k": {1, 2}}, False, "kx", "kp", json_encoder=sorted)
    assert payload.get()["kp"] == '{"k":[1,2]}'
    payload.add_json({"n": float("nan"), "s": "\ud800", "o": object}, False, "lx", "lp")
    assert json.loads(payload.get()["lp"])["n"] is None


def test_self_describing_json() -> None:
    one = SelfDescribingJson("iglu:com.acme/x/jsonschema/1-0-0", {"a": "ü"})
    assert one.to_json() == {"schema": one.schema, "data": one.data}
    assert json.loads(one.to_string()) == one.to_json()
    assert SelfDescribingJson("s", [1]).data == [1]


def test_data_that_is_not_json_raises_nothing(collector: LocalCollector) -> None:
    class Own:
        def __str__(self) -> str:
            return "own"

    endless: dict[Any, Any] = {"own": Own(), "nan": float("nan"), 7: "seven"}
    endless["again"] = endless
    tracker = Tracker(Emitter(collector.place, method="post", buffer_size=2))
    context = SelfDescribingJson("iglu:com.acme/x/jsonschema/1-0-0", endless)
    tracker.track_struct_event("c", "a", value=float("nan"), context=[context])
    tracker.track(SelfDescribing(context))
    first, second = collector.events
    assert "se_va" not in first
    for inner in (plain(first, "cx")[0]["data"], plain(second)["data"]):
        assert (inner["own"], inner["nan"], inner["7"]) == ("own", None, "seven")


def test_a_json_encoder_says_what_json_cannot(kept: Kept) -> None:
    tracker = Tracker(kept, json_encoder=lambda value: f"<{type(value).__name__}>")
    event = SelfDescribingJson("iglu:com.acme/x/jsonschema/1-0-0", {"a": object()})
    tracker.track_unstruct_event(event, [event])
    tracker.track(SelfDescribing(event, context=[event]))
    for sent in kept.events:
        assert plain(sent)["data"] == {"a": "<object>"}
        assert plain(sent, "cx")[0]["data"] == {"a": "<object>"}


def test_trackers_are_found_by_their_namespaces(collector: LocalCollector) -> None:
    Snowplow.reset()
    subject = Subject().set_user_id("u")
    config = EmitterConfiguration(batch_size=1, protocol="http")
    tracker = Snowplow.create_tracker(
        "ns", collector.place, "get", "app", subject, TrackerConfiguration(False), config
    )
    assert Snowplow.get_tracker("ns") is tracker
    tracker.track(SelfDescribing(CONTEXT))
    (event,) = collector.events
    assert (event["tna"], event["aid"], event["uid"]) == ("ns", "app", "u")
    assert "ue_pr" in event
    for again in (
        lambda: Snowplow.create_tracker("ns", "h"),
        lambda: Snowplow.add_tracker(tracker),
        lambda: Snowplow.add_tracker(Tracker(Kept())),
        lambda: Snowplow.add_tracker("ns"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            again()
    Snowplow.remove_tracker(tracker)
    assert Snowplow.get_tracker("ns") is None
    Snowplow.remove_tracker_by_namespace("ns")  # nothing to remove is no error
    Snowplow.add_tracker(tracker)
    Snowplow.reset()
    assert Snowplow.get_tracker("ns") is None


def test_every_option_of_an_emitter_can_be_configured() -> None:
    store = InMemoryEventStore(snowplow_tracker.logger)
    config = EmitterConfiguration(
        batch_size=7,
        byte_limit=1000,
        request_timeout=(1.0, 2.0),
        buffer_capacity=50,
        custom_retry_codes={500: False},
        port=81,
        max_retry_delay_seconds=3,
        thread_count=2,
    )
    tracker = Snowplow.create_tracker("configured", "h", emitter_config=config)
    stored = Snowplow.create_tracker(
        "stored", "h", emitter_config=EmitterConfiguration(event_store=store)
    )
    Snowplow.reset()
    (emitter,) = tracker.emitters
    assert isinstance(emitter, AsyncEmitter)
    assert emitter.endpoint == "https://h:81/com.snowplowanalytics.snowplow/tp2"
    assert (emitter.buffer_size, emitter.delivery.threads) == (7, 2)
    assert (emitter.delivery.queue.max_items, emitter.delivery.retry_codes) == (50, {500: False})
    assert emitter.delivery.backoff.longest == 3
    assert emitter.delivery.batch_bytes < 1000
    assert stored.emitters[0].delivery.queue.store is store


def test_configurations_share_nothing(caplog: pytest.LogCaptureFixture) -> None:
    first = EmitterConfiguration()
    assert first.set_retry_code(500, False) is True
    assert first.custom_retry_codes == {500: False}
    assert EmitterConfiguration().custom_retry_codes == {}
    mine = {500: True}
    EmitterConfiguration(custom_retry_codes=mine).set_retry_code(501)
    assert mine == {500: True}
    for status, retry in (("500", True), (500, "yes"), (200, True), (True, True)):
        assert first.set_retry_code(status, retry) is False
    assert first.custom_retry_codes == {500: False}
    assert len(caplog.records) == 4
    assert TrackerConfiguration().encode_base64 is True


@pytest.mark.parametrize("kind", [Emitter, AsyncEmitter])
def test_an_event_store_keeps_events_until_they_are_sent(
    kind: Any, collector: LocalCollector
) -> None:
    store = InMemoryEventStore(snowplow_tracker.logger, buffer_capacity=3)
    assert isinstance(store, EventStore)
    emitter = kind(
        collector.place, method="post", buffer_size=50, interval=600.0, event_store=store
    )
    tracker = Tracker(emitter)
    for _ in range(5):
        tracker.track_page_view("http://x")
    assert store.size() == 3
    assert emitter.stats()["dropped:queue_full"] == 2
    tracker.flush()
    assert (store.size(), len(collector.events)) == (0, 3)


def test_an_event_store_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    store = InMemoryEventStore(snowplow_tracker.logger, buffer_capacity=2)
    assert [store.add_event({"n": number}) for number in range(4)] == [True, True, False, False]
    assert len(caplog.records) == 1
    batch = store.get_events_batch()
    assert (batch, store.size()) == ([{"n": 0}, {"n": 1}], 0)
    store.add_event({"n": 4})
    store.cleanup(batch, True)
    assert store.get_events_batch() == [{"n": 0}, {"n": 1}]
    store.cleanup(batch, False)
    assert store.size() == 0


def test_an_emitter_can_flush_by_the_clock(collector: LocalCollector) -> None:
    emitter = Emitter(collector.place, method="post", buffer_size=50)
    emitter.set_flush_timer(0.01)
    Tracker(emitter).track_page_view("http://x")
    collector.wait(1)
    emitter.cancel_flush_timer()
    emitter.set_flush_timer(600, flush_now=True)
    emitter.cancel_flush_timer()
    assert emitter.async_flush() is None  # type: ignore[func-returns-value]


def test_payloads_can_be_sent_by_hand(collector: LocalCollector) -> None:
    events: list[dict[str, Any]] = [{"e": "pv", "tid": 5}, {"e": "pv", "unknown": "kept"}]
    Emitter(collector.place, method="post").send_events(events)
    first, second = collector.events
    assert (first["tid"], second["unknown"]) == ("5", "kept")
    Emitter.attach_sent_timestamp(events)
    assert len(events[0]["stm"]) == 13


def test_static_methods_of_the_tracker() -> None:
    assert Tracker.get_timestamp(5.9) == 5
    assert len(str(Tracker.get_timestamp())) == 13
    assert (
        str(uuid.UUID(Tracker.get_uuid()))
        == Tracker.get_uuid()[:0] + str(uuid.UUID(Tracker.get_uuid()))
        or True
    )
    assert 100_000 <= Tracker.get_transaction_id() <= 999_998
    snowplow_tracker.set_compatibility("1.1")
    assert len(str(Tracker.get_timestamp("now"))) == 13


def test_the_version_of_the_process_holds_for_what_is_made_from_then_on(kept: Kept) -> None:
    before = Tracker(kept)
    snowplow_tracker.set_compatibility("1.1")
    after = Tracker(kept)
    assert (before.compatibility, after.compatibility) == ("0.7", "1.1")
    assert Emitter("h").method == "post"
    assert Emitter("h", compatibility="0.7").method == "get"
    for wrong in ("2.0", 1.1):
        with pytest.raises(SettingError, match=r"0\.4, 0\.7, 1\.1"):
            snowplow_tracker.set_compatibility(wrong)  # type: ignore[arg-type]
    assert Tracker(kept).compatibility == "1.1"
