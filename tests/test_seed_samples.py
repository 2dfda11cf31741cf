"""Every code sample of the old tracker's two documents runs, and does what the document says."""

from __future__ import annotations

import base64
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT, clean_environment, missing
from tests.local_collector import LocalCollector
from trackway.compat import snowplow_tracker
from trackway.compat.snowplow_tracker import (
    AsyncEmitter,
    Emitter,
    RedisEmitter,
    Subject,
    Tracker,
    redis_worker,
)
from trackway.compat.snowplow_tracker.contracts import ContractNotRespected

REDIS = urlsplit(os.environ.get("TRACKWAY_TEST_REDIS_URL", "redis://127.0.0.1:6379/0"))
BROKER = os.environ.get("TRACKWAY_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")
SEEDS = ROOT / "tests" / "recorded" / "seeds"
THIS_FILE = Path(__file__)


def printed_samples() -> dict[str, str]:
    """The samples of both documents as printed, by ``0.4/name`` and ``0.7/name``."""
    found: dict[str, str] = {}
    for version in ("0.4", "0.7"):
        text = (SEEDS / f"snowplow-{version}.txt").read_text()
        _, *parts = re.split(r"^=== ([\w-]+) (?:python|bash|text)\n", text, flags=re.M)
        found |= {f"{version}/{n}": s for n, s in zip(parts[::2], parts[1::2], strict=True)}
    return found


PRINTED = printed_samples()

#: The mistakes of the documents, and what was meant. Nothing else is changed in a sample but the
#: module that it imports from.
CORRECTIONS: dict[str, list[tuple[str, str]]] = {
    # JavaScript
    "0.4/contexts": [
        ("schema:", '"schema":'),
        ("data:", '"data":'),
        ("pageType:", '"pageType":'),
        ("lastUpdated:", '"lastUpdated":'),
        ("userType:", '"userType":'),
        ("new Date(2014,1,26)", '"2014-02-26"'),
    ],
    "0.7/make-context": [("new Date(1978, 1, 1)", '"1978-02-01"')],
    "0.7/screen-view": [("null", "None")],
    "0.7/unstruct-event": [
        ("true", "True"),
        ("  }\n)\n", "  }\n))\n"),  # the closing parenthesis
    ],
    # the name of the class
    "0.7/create-subject": [("subject()", "Subject()")],
    # the wrong method
    "0.7/timezone": [("set_color_depth", "set_timezone")],
    # the wrong class, or the wrong one imported
    "0.7/async-emitter": [("e = Emitter(", "e = AsyncEmitter(")],
    "0.4/redis-worker": [("import AsyncEmitter", "import Emitter")],
    "0.7/redis-worker": [("import AsyncEmitter", "import Emitter")],
    # a typing error
    "0.7/several-emitters": [('e1 = AsyncEmitter("collector2', 'e2 = AsyncEmitter("collector2')],
    # the key that the emitter was given
    "0.7/redis-emitter": [("my_snowplowkey", "my_snowplow_key")],
    # places where the reader puts something
    "0.7/platform-form": [("{{PLATFORM}}", '"tv"')],
    "0.7/user-id-form": [("{{USER ID}}", "alexd")],
    "0.7/resolution-form": [("{{WIDTH}}", "1366"), ("{{HEIGHT}}", "768")],
    "0.7/viewport-form": [("{{WIDTH}}", "300"), ("{{HEIGHT}}", "200")],
    "0.7/color-depth-form": [("{{BITS PER PIXEL}}", "32")],
    "0.7/timezone-form": [("{{TIMEZONE}}", '"Europe/London"')],
    "0.7/lang-form": [("{{LANGUAGE}}", "'en'")],
}


def corrected(name: str) -> str:
    """A sample with the module's new name and its mistakes corrected, each exactly as listed."""
    code = PRINTED[name]
    for wrong, right in CORRECTIONS.get(name, []):
        assert wrong in code, f"{name} has no {wrong!r} to correct"
        code = code.replace(wrong, right)
    return re.sub(
        r"^from snowplow_tracker\b", "from trackway.compat.snowplow_tracker", code, flags=re.M
    )


def run(name: str, **names: Any) -> dict[str, Any]:
    """Run a sample where ``names`` are known; the names that are known afterwards."""
    exec(compile(corrected(name), name, "exec"), names)
    return names


# The documents' hosts lead to this machine -------------------------------------------------------

#: Answers for the collectors of the samples with a collector of ours, and for the Redis of this
#: machine with the one of the tests; everything else is asked as ever.
HOOK = """
import os, socket
_ask = socket.getaddrinfo
def getaddrinfo(host, port, *args, **kwargs):
    if str(host).endswith(".cloudfront.net") and port == 80:
        host, port = "127.0.0.1", int(os.environ["SAMPLES_COLLECTOR"])
    elif host == "localhost" and port == 6379:
        host, port = os.environ["SAMPLES_REDIS"].split(":")
    return _ask(host, port, *args, **kwargs)
socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCollector]:
    """Stands for d3rkrsqld9gmqf.cloudfront.net and its like, port 80."""
    monkeypatch.delenv("TRACKWAY_APP_ID", raising=False)
    one = LocalCollector()
    monkeypatch.setenv("SAMPLES_COLLECTOR", str(one.port))
    monkeypatch.setenv("SAMPLES_REDIS", f"{REDIS.hostname}:{REDIS.port or 6379}")
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)  # put back at the end
    exec(HOOK, {})
    yield one
    one.stop()


@pytest.fixture
def meaning_0_4() -> Iterator[None]:
    """The meanings of 0.4, as one more line of a program would choose them."""
    snowplow_tracker.set_compatibility("0.4")
    yield
    snowplow_tracker.set_compatibility("0.7")


@pytest.fixture
def tracked(collector: LocalCollector) -> Callable[..., list[dict[str, str]]]:
    """Runs samples one after the other with a tracker ``t`` and gives the events they make."""

    def run_all(*names: str, **known: Any) -> list[dict[str, str]]:
        emitter = Emitter("d3rkrsqld9gmqf.cloudfront.net")
        known = {"e": emitter, "t": Tracker(emitter), **known}
        for name in names:
            known = run(name, **known)
        return collector.wait(1)

    return run_all


def described(event: dict[str, str]) -> dict[str, Any]:
    """The self-describing JSON inside an event."""
    inner: dict[str, Any] = json.loads(base64.urlsafe_b64decode(event["ue_px"]))["data"]
    return inner


def contexts(event: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(base64.urlsafe_b64decode(event["cx"]))["data"]
    return found


# The table itself -------------------------------------------------------------------------------


def test_every_sample_is_run_by_a_test_of_this_file() -> None:
    source = THIS_FILE.read_text().partition("# The documents' hosts lead")[2]
    forgotten = [name for name in PRINTED if f'"{name}"' not in source]
    assert len(PRINTED) == 70
    assert not forgotten


def test_corrections_are_listed_for_samples_that_exist() -> None:
    assert CORRECTIONS.keys() <= PRINTED.keys()


# Creating things ---------------------------------------------------------------------------------


def test_the_names_can_be_imported() -> None:
    names = run("0.7/import")
    assert (names["Subject"], names["Tracker"], names["Emitter"]) == (Subject, Tracker, Emitter)


def test_a_tracker_needs_only_an_emitter_and_an_emitter_only_a_host(
    collector: LocalCollector,
) -> None:
    names = run("0.7/create-tracker", Emitter=Emitter, Tracker=Tracker)
    names["t"].track_page_view("http://www.example.com")
    (request,) = collector.requests
    assert (request.method, request.path) == ("GET", "/i")
    assert request.headers["Host"] == "d3rkrsqld9gmqf.cloudfront.net"
    assert request.events[0]["url"] == "http://www.example.com"


def test_a_tracker_takes_a_namespace_an_app_id_and_plain_json(collector: LocalCollector) -> None:
    names = run("0.7/create-tracker-options", Emitter=Emitter, Tracker=Tracker)
    names["tracker"].track_screen_view("x")
    (event,) = collector.wait(1)
    assert (event["tna"], event["aid"]) == ("cf", "cf29ea")
    assert json.loads(event["ue_pr"])["data"]["data"] == {"name": "x"}


def test_an_emitter_is_made_of_a_host(collector: LocalCollector) -> None:
    emitter = run("0.7/create-emitter")["e"]
    emitter.input({"e": "pv"})
    assert collector.wait(1)[0]["e"] == "pv"


def test_a_subject_is_a_pc() -> None:
    assert run("0.7/create-subject")["s"].standard_nv_pairs == {"p": "pc"}


def test_a_tracker_without_a_subject_has_one_of_its_own(collector: LocalCollector) -> None:
    emitter = Emitter("d3rkrsqld9gmqf.cloudfront.net")
    t = run("0.7/default-subject", Tracker=Tracker, my_emitter=emitter)["t"]
    t.track_page_view("http://www.example.com")
    (event,) = collector.wait(1)
    assert (event["p"], event["uid"], event["lang"]) == ("mob", "user-12345", "en")


@pytest.mark.parametrize(
    ("sample", "key", "value"),
    [
        ("0.7/platform-form", "p", "tv"),
        ("0.7/platform", "p", "tv"),
        ("0.7/user-id-form", "uid", "alexd"),
        ("0.7/user-id", "uid", "alexd"),
        ("0.7/resolution-form", "res", "1366x768"),
        ("0.7/resolution", "res", "1366x768"),
        ("0.7/viewport-form", "vp", "300x200"),
        ("0.7/viewport", "vp", "300x200"),
        ("0.7/color-depth-form", "cd", "32"),
        ("0.7/color-depth", "cd", "32"),
        ("0.7/timezone-form", "tz", "Europe/London"),
        ("0.7/timezone", "tz", "Europe/London"),
        ("0.7/lang-form", "lang", "en"),
        ("0.7/lang", "lang", "en"),
        ("0.7/ip-address", "ip", "34.633.11.139"),
        (
            "0.7/useragent",
            "ua",
            "Mozilla/5.0 (Windows NT 5.1; rv:23.0) Gecko/20100101 Firefox/23.0",
        ),
        ("0.7/domain-user-id", "duid", "c7aadf5c60a5dff9"),
        ("0.7/network-user-id", "tnuid", "ecdff4d0-9175-40ac-a8bb-325c49733607"),
    ],
)
def test_a_setter_fills_its_key(
    sample: str, key: str, value: str, collector: LocalCollector
) -> None:
    subject = Subject()
    tracker = Tracker(Emitter("d3rkrsqld9gmqf.cloudfront.net"), subject)
    run(sample, s=subject, tracker=tracker)
    tracker.track_page_view("http://www.example.com")
    (event,) = collector.wait(1)
    assert event[key] == value


def test_the_domain_user_id_is_read_from_the_cookies_of_a_request() -> None:
    cookies = {"sessionid": "x", "_sp_id.1fff": "c7aadf5c60a5dff9.1436956.1.1436956.1436956"}
    known, unknown = SimpleNamespace(COOKIES=cookies), SimpleNamespace(COOKIES={})
    names = run("0.7/domain-user-id-of-request")
    assert names["get_domain_user_id"](known) == "c7aadf5c60a5dff9"
    assert names["get_domain_user_id"](unknown) is None


@pytest.mark.parametrize("sample", ["0.4/several-subjects", "0.7/several-subjects"])
def test_several_subjects_take_turns(sample: str, collector: LocalCollector) -> None:
    run(sample)
    wanted = [("pc", "0a78f2867de", "pv"), ("mob", "0b08f8be3f1", "pv")]
    if sample.startswith("0.7"):
        wanted.append(("pc", "0a78f2867de", "se"))
    events = collector.wait(len(wanted))
    assert [(event["p"], event["uid"], event["e"]) for event in events] == wanted
    assert {(event["tna"], event["aid"]) for event in events} == {("cf", "CF63A")}
    if sample.startswith("0.7"):
        struct = {key: events[2][key] for key in ("se_ca", "se_ac", "se_la", "se_pr", "se_va")}
        assert list(struct.values()) == [
            "Ecomm", "add-to-basket", "dog-skateboarding-video", "hd", "13.99",
        ]  # fmt: skip


def test_a_tracker_can_be_given_its_subject(collector: LocalCollector) -> None:
    emitter = Emitter("d3rkrsqld9gmqf.cloudfront.net")
    subject = Subject().set_user_id("0a78f2867de")
    run("0.4/subject-of-tracker", Tracker=Tracker, e=emitter, s1=subject)["t"].track_page_view("u")
    assert collector.wait(1)[0]["uid"] == "0a78f2867de"


@pytest.mark.parametrize(
    ("sample", "real"),
    [
        ("0.4/emitter-signature", Emitter.__init__),
        ("0.7/emitter-signature", Emitter.__init__),
        ("0.4/redis-emitter-signature", RedisEmitter.__init__),
        ("0.7/redis-emitter-signature", RedisEmitter.__init__),
        ("0.7/page-view-signature", Tracker.track_page_view),
    ],
)
def test_a_printed_signature_is_the_real_one(sample: str, real: Any) -> None:
    printed = run_signature(sample)
    ours = list(inspect.signature(real).parameters.values())
    assert [one.name for one in ours[: len(printed)]] == [one.name for one in printed]
    for one, shown in zip(ours, printed, strict=False):
        # http and get are what None stands for, unless another version is chosen.
        assert one.default in (shown.default, None)
    if real is Emitter.__init__:
        plain = Emitter("d3rkrsqld9gmqf.cloudfront.net")
        assert (plain.endpoint, plain.method) == ("http://d3rkrsqld9gmqf.cloudfront.net/i", "get")


def run_signature(sample: str) -> list[inspect.Parameter]:
    """The parameters of a sample that shows nothing but the head of a method."""
    names: dict[str, Any] = {}
    exec(corrected(sample).rstrip() + " pass\n", names)
    (method,) = (value for name, value in names.items() if inspect.isfunction(value))
    return list(inspect.signature(method).parameters.values())


@pytest.mark.parametrize("sample", ["0.4/redis-worker-signature", "0.7/redis-worker-signature"])
def test_the_printed_arguments_of_a_redis_worker_are_understood(sample: str) -> None:
    names = [one.name for one in run_signature(sample)]
    assert names == ["self", "_consumer", "key", "dbr"]
    redis = pytest.importorskip("redis")
    worker = redis_worker.RedisWorker(
        _consumer=Emitter("h"), key="k", dbr=redis.StrictRedis(host=REDIS.hostname, db=3)
    )
    assert worker.key == "k"
    assert worker.client.connection_pool.connection_kwargs["db"] == 3
    in_this_order = redis_worker.RedisWorker(Emitter("h"), "k", redis.StrictRedis(db=3))
    assert in_this_order.key == "k"
    assert in_this_order.client.connection_pool.connection_kwargs["db"] == 3


# Tracking ----------------------------------------------------------------------------------------


def test_a_context_goes_with_a_page_view(tracked: Any) -> None:
    (event,) = tracked("0.7/make-context", "0.7/context")
    assert (event["url"], event["page"]) == ("http://www.films.com", "Homepage")
    data = {"movie_name": "Solaris", "poster_country": "JP", "poster_year": "1978-02-01"}
    assert contexts(event) == [
        {"schema": "iglu:com.acme_company/movie_poster/jsonschema/2-1-1", "data": data}
    ]


def test_contexts_can_be_dictionaries(tracked: Any) -> None:
    (event,) = tracked("0.4/contexts")
    assert (event["url"], event["refr"]) == ("localhost", "http://www.referrer.com")
    assert "page" not in event
    page, user = contexts(event)
    assert page == {
        "schema": "iglu:com.example_company/page/jsonschema/1-2-1",
        "data": {"pageType": "test", "lastUpdated": "2014-02-26"},
    }
    assert user["data"] == {"userType": "tester"}


@pytest.mark.parametrize("sample", ["0.7/tstamp-by-position", "0.7/tstamp-by-name"])
def test_the_time_of_an_event_can_be_given(sample: str, tracked: Any) -> None:
    (event,) = tracked(sample)
    assert (event["se_ca"], event["se_ac"]) == ("some cat", "save action")
    assert event["dtm"] == "1368725287000"
    assert not {"se_la", "se_pr", "se_va", "cx", "ttm"} & event.keys()


@pytest.mark.parametrize("sample", ["0.4/async-chaining", "0.7/async-chaining"])
def test_calls_of_an_asynchronous_tracker_can_be_chained(
    sample: str, collector: LocalCollector
) -> None:
    names = run(sample, AsyncEmitter=AsyncEmitter, Tracker=Tracker)
    names["t"].flush()
    view, screen = collector.wait(2)
    assert view["url"] == "http://www.example.com"
    assert described(screen)["data"] == {"name": "title screen"}


def test_a_synchronous_tracker_of_0_4_returns_the_status(
    collector: LocalCollector, meaning_0_4: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run("0.4/status-code", Emitter=Emitter, Tracker=Tracker)
    assert capsys.readouterr().out == "200\n"
    assert len(collector.events) == 1


def test_a_screen_view_has_name_id_and_time(tracked: Any) -> None:
    (event,) = tracked("0.7/screen-view")
    assert described(event) == {
        "schema": "iglu:com.snowplowanalytics.snowplow/screen_view/jsonschema/1-0-0",
        "data": {"name": "HUD > Save Game", "id": "screen23"},
    }
    assert event["dtm"] == "1368725287000"


def test_a_page_view_has_url_title_and_referrer(tracked: Any) -> None:
    (event,) = tracked("0.7/page-view")
    shown = {key: event[key] for key in ("e", "url", "page", "refr")}
    assert shown == {
        "e": "pv", "url": "www.example.com", "page": "example", "refr": "www.referrer.com",
    }  # fmt: skip


def test_a_transaction_is_an_event_and_one_for_each_item(
    tracked: Any, collector: LocalCollector
) -> None:
    tracked("0.7/transaction")
    order, first, second = collector.wait(3)
    shown = {key: order[key] for key in ("e", "tr_id", "tr_tt", "tr_ci", "tr_cu")}
    assert list(shown.values()) == ["tr", "6a8078be", "35", "London", "GBP"]
    keys = ("e", "ti_id", "ti_sk", "ti_pr", "ti_qu", "ti_cu")
    assert [first[key] for key in keys] == ["ti", "6a8078be", "pbz0026", "20", "1", "GBP"]
    assert [second[key] for key in keys] == ["ti", "6a8078be", "pbz0038", "15", "1", "GBP"]
    assert order["dtm"] == first["dtm"] == second["dtm"]


def test_an_item_can_be_tracked_by_itself(tracked: Any) -> None:
    (event,) = tracked("0.7/transaction-item")
    keys = ("e", "ti_id", "ti_sk", "ti_pr", "ti_qu", "ti_nm", "ti_ca")
    assert [event[key] for key in keys] == [
        "ti", "order-789", "2001", "49.99", "1", "Green shoes", "clothing",
    ]  # fmt: skip


def test_a_structured_event_leaves_out_what_is_none(tracked: Any) -> None:
    (event,) = tracked("0.7/struct-event")
    shown = {key: value for key, value in event.items() if key.startswith("se_")}
    assert shown == {"se_ca": "shop", "se_ac": "add-to-basket", "se_pr": "pcs", "se_va": "2"}


@pytest.mark.parametrize(
    ("sample", "schema", "data"),
    [
        (
            "0.4/unstruct-event",
            "iglu:com.acme/viewed_product/jsonschema/2-1-0",
            {"product_id": "ASO01043", "price": 49.95},
        ),
        (
            "0.7/unstruct-event",
            "iglu:com.example_company/save-game/jsonschema/1-0-2",
            {"save_id": "4321", "level": 23, "difficultyLevel": "HARD", "dl_content": True},
        ),
    ],
)
def test_an_unstructured_event_carries_its_json(
    sample: str, schema: str, data: dict[str, Any], tracked: Any
) -> None:
    (event,) = tracked(sample)
    assert described(event) == {"schema": schema, "data": data}


# Emitters ----------------------------------------------------------------------------------------


def test_callbacks_tell_of_success(
    collector: LocalCollector, capsys: pytest.CaptureFixture[str]
) -> None:
    before, _, after = corrected("0.7/callbacks").partition("# This does cause")
    names: dict[str, Any] = {"Emitter": Emitter, "Tracker": Tracker}
    exec(before, names)
    assert collector.requests == []  # two of three: nothing is sent yet
    exec("# This does cause" + after, names)
    assert [request.method for request in collector.requests] == ["GET"] * 3
    assert [event["url"] for event in collector.events] == [
        "http://www.example.com", "http://www.example.com/page1", "http://www.example.com/page2",
    ]  # fmt: skip
    assert capsys.readouterr().out == "3 events sent successfully!\n"
    assert names["unsent_events"] == []


def test_callbacks_tell_of_failure(
    collector: LocalCollector, capsys: pytest.CaptureFixture[str]
) -> None:
    collector.statuses = [200, 403, 403]
    names = run("0.7/callbacks", Emitter=Emitter, Tracker=Tracker)
    unsent = names["unsent_events"]
    assert [event["url"] for event in unsent] == [
        "http://www.example.com/page1", "http://www.example.com/page2",
    ]  # fmt: skip
    assert capsys.readouterr().out.startswith("1 events sent successfully!\nThese events were not")


def test_an_asynchronous_emitter_has_a_pool_of_threads(collector: LocalCollector) -> None:
    emitter = run("0.7/async-emitter")["e"]
    assert emitter.delivery.threads == 10
    t = Tracker(emitter)
    for number in range(30):
        t.track_page_view(f"http://www.example.com/{number}")
    t.flush()
    assert len(collector.wait(30)) == 30


@pytest.mark.parametrize("sample", ["0.4/flush", "0.7/flush"])
def test_flush_waits_until_everything_is_sent(sample: str, collector: LocalCollector) -> None:
    for kind in (Emitter, AsyncEmitter):
        t = Tracker(kind("d3rkrsqld9gmqf.cloudfront.net", method="post", buffer_size=50))
        t.track_page_view("http://www.example.com").track_page_view("http://www.example.com")
        run(sample, t=t)
    assert len(collector.events) == 4
    assert [request.method for request in collector.requests] == ["POST", "POST"]


def test_flush_false_sends_without_waiting(collector: LocalCollector) -> None:
    for kind in (Emitter, AsyncEmitter):
        options: dict[str, Any] = {"method": "post", "buffer_size": 50, "interval": 600.0}
        t = Tracker(kind("d3rkrsqld9gmqf.cloudfront.net", **options))
        t.track_page_view("http://www.example.com")
        run("0.7/flush-without-waiting", t=t)
    collector.wait(2)


def test_a_tracker_feeds_several_emitters(collector: LocalCollector, redis_list: Any) -> None:
    list_of = redis_list("my_snowplow_key", db=2)
    t = run("0.7/several-emitters")["t"]
    assert [type(emitter) for emitter in t.emitters] == [AsyncEmitter, AsyncEmitter, RedisEmitter]
    t.track_page_view("http://www.example.com")
    t.flush()
    collector.wait(2)
    hosts = {request.headers["Host"]: request.method for request in collector.requests}
    assert hosts == {"collector1.cloudfront.net": "GET", "collector2.cloudfront.net": "POST"}
    (element,) = list_of()
    assert element["eid"] == collector.events[0]["eid"] == collector.events[1]["eid"]


# Redis -------------------------------------------------------------------------------------------


@pytest.fixture
def redis_list(collector: LocalCollector) -> Iterator[Callable[..., Any]]:
    """``redis_list(key, db=0)`` empties a list now and at the end, and gives its reader."""
    redis = pytest.importorskip("redis")
    used = []

    def open_list(key: str, db: int = 0) -> Callable[[], list[dict[str, Any]]]:
        rdb = redis.StrictRedis(host=REDIS.hostname, port=REDIS.port or 6379, db=db)
        try:
            rdb.delete(key)
        except redis.exceptions.ConnectionError as error:
            missing(f"no Redis at {REDIS.geturl()}: {error}")
        used.append((rdb, key))

        def read(push: Any = None) -> list[dict[str, Any]]:
            if push is not None:
                rdb.rpush(key, json.dumps(push))
            return [json.loads(element) for element in rdb.lrange(key, 0, -1)]

        return read

    yield open_list
    for rdb, key in used:
        for name in [key, *rdb.scan_iter(f"{key}:*")]:
            rdb.delete(name)
        rdb.close()


def test_a_redis_emitter_keeps_events_in_a_list(
    redis_list: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    list_of = redis_list("my_snowplow_key", db=2)
    run("0.7/redis-emitter")
    (event,) = list_of()
    assert (event["url"], event["p"], event["e"]) == ("http://www.example.com", "pc", "pv")
    assert isinstance(event["dtm"], int)
    assert event["eid"] in capsys.readouterr().out


@pytest.mark.parametrize("sample", ["0.4/redis-worker", "0.7/redis-worker"])
def test_a_redis_worker_sends_what_is_in_the_list_until_it_is_interrupted(
    sample: str, collector: LocalCollector, redis_list: Any
) -> None:
    list_of = redis_list("snowplow_redis_key")
    list_of(
        push={"e": "pv", "url": "http://first", "p": "pc", "tv": "py-0.7.0", "dtm": 1400252420261}
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", HOOK + corrected(sample)],
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        collector.wait(1)
        list_of(push={"e": "pv", "url": "http://second", "p": "pc", "tv": "py-0.7.0"})
        collector.wait(2)
        worker.send_signal(signal.SIGINT)
        _, said = worker.communicate(timeout=30)
    finally:
        worker.kill()
    assert (worker.returncode, said) == (0, "")
    assert [event["url"] for event in collector.events] == ["http://first", "http://second"]
    assert collector.events[0]["dtm"] == "1400252420261"
    assert list_of() == []


# Celery and other commands -----------------------------------------------------------------------


@pytest.mark.parametrize("sample", ["0.4/celery-worker", "0.7/celery-worker"])
def test_the_celery_worker_is_started_by_the_printed_command(
    sample: str, collector: LocalCollector, tmp_path: Path
) -> None:
    broker().release()
    queue = f"trackway-samples-{os.getpid()}-{sample[:3]}"
    (tmp_path / "snowplow_celery_config.py").write_text(
        f"broker_url = {BROKER!r}\ntask_default_queue = {queue!r}\nworker_concurrency = 1\n"
    )
    command = PRINTED[sample].replace("snowplow_tracker", "trackway.compat.snowplow_tracker", 1)
    program, *arguments = command.split()
    assert program == "celery"
    env = clean_environment(PYTHONPATH=str(tmp_path))
    log = (tmp_path / "worker.log").open("wb")
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", *arguments],
        env=env, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    application = f"""
        from trackway.compat.snowplow_tracker import CeleryEmitter, Tracker
        t = Tracker(CeleryEmitter("127.0.0.1", port={collector.port}))
        t.track_page_view("http://www.example.com")
        t.flush()
        t.track_page_view("http://www.example.com/2")
        t.flush()
    """
    try:
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(application)], env=env, check=True, timeout=60
        )
        events = collector.wait(2, timeout=60)
        time.sleep(0.2)  # what is sent twice would come now
        assert sorted(event["url"] for event in events) == [
            "http://www.example.com", "http://www.example.com/2",
        ]  # fmt: skip
        assert len(collector.events) == 2
    finally:
        worker.terminate()
        worker.wait(60)
        log.close()
        delete_queue(queue)


def broker() -> Any:
    """A connection to the broker of the tests."""
    connection = pytest.importorskip("kombu").Connection(BROKER, connect_timeout=5)
    try:
        connection.ensure_connection(max_retries=1)
    except OSError as error:
        missing(f"no broker at {BROKER}: {error}")
    return connection


def delete_queue(name: str) -> None:
    with broker() as connection:
        channel = connection.channel()
        channel.queue_delete(name)
        channel.exchange_delete(name)


@pytest.mark.parametrize("sample", ["0.4/pip", "0.4/easy-install"])
def test_the_package_is_installed_under_another_name(sample: str) -> None:
    # What these two lines install is what Trackway replaces.
    assert "snowplow-tracker" in PRINTED[sample]
    assert "pip install trackway" in (ROOT / "docs" / "migrate-snowplow.md").read_text()


# Contracts and logging ---------------------------------------------------------------------------


def test_a_walrus_is_no_color_depth(collector: LocalCollector) -> None:
    t = Tracker(Emitter("d3rkrsqld9gmqf.cloudfront.net"))
    with pytest.raises(ContractNotRespected) as raised:
        run("0.7/walrus", Subject=Subject, t=t)
    said = str(raised.value).splitlines()
    shown = PRINTED["0.7/walrus-message"].partition("contracts.interface.ContractNotRespected: ")[2]
    assert said[:2] == shown.splitlines()[:2]
    assert "Instance of str: 'walrus'" in said[2]
    assert said[3] == "Variables bound in inner context:"


def test_a_value_is_converted_before_it_is_tracked(tracked: Any) -> None:
    (event,) = tracked("0.7/converted-argument")
    assert described(event)["data"] == {"name": "Game Level", "id": "42"}


@pytest.mark.parametrize("sample", ["0.4/disable-contracts", "0.7/disable-contracts"])
def test_contracts_can_be_disabled(sample: str) -> None:
    try:
        run(sample)
        Subject().set_color_depth("walrus")  # type: ignore[arg-type]
    finally:
        snowplow_tracker.enable_contracts()
    with pytest.raises(ContractNotRespected):
        Subject().set_color_depth("walrus")  # type: ignore[arg-type]


@pytest.mark.parametrize("sample", ["0.4/logging", "0.7/logging"])
def test_the_level_of_the_logger_can_be_set(sample: str) -> None:
    before = snowplow_tracker.logger.level
    try:
        logger = run(sample)["logger"]
        assert logger.name == "snowplow_tracker.emitters"
        assert logger.level == 60
    finally:
        snowplow_tracker.logger.setLevel(before)
