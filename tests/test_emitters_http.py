"""Emitters to a collector, on the calling thread and in the background, against real servers."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Server, clean_environment
from tests.moody import Moody, Request, at_most, hang, hang_up, slow, status
from trackway import AsyncEmitter, Emitter, SelfDescribingJson, Tracker
from trackway.emitters.options import EmitterOptions
from trackway.errors import SettingError

Servers = Callable[..., Moody]
Make = Callable[..., Emitter]
Kind = type[Emitter]

KINDS: list[Kind] = [Emitter, AsyncEmitter]
both = pytest.mark.parametrize("kind", KINDS)
both_methods = pytest.mark.parametrize("method", ["post", "get"])

#: Retries come soon, so that tests need not wait.
SOON: dict[str, Any] = {"interval": 0.02, "max_retry_delay_seconds": 0.05}


@pytest.fixture
def moody() -> Iterator[Callable[..., Moody]]:
    started: list[Moody] = []

    def start(*moods: Any, **options: Any) -> Moody:
        started.append(Moody(*moods, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Any]]:
    """Makes emitters that are closed, without waiting, when the test is over."""
    made: list[Emitter] = []

    def emitter(kind: Kind, url: str, **options: Any) -> Emitter:
        made.append(kind(url, **{**SOON, **options}))
        return made[-1]

    yield emitter
    for one in made:
        one.close(0.0)


def payload(number: int, **more: Any) -> dict[str, Any]:
    return {"e": "pv", "p": "srv", "tv": "t", "eid": f"e{number}", **more}


def feed(emitter: Emitter, *numbers: int, **more: Any) -> None:
    for number in numbers:
        emitter.input(payload(number, **more))


def numbered(count: int) -> list[str]:
    return [f"e{number}" for number in range(count)]


def eids(payloads: list[dict[str, Any]]) -> list[str]:
    return [one["eid"] for one in payloads]


def sizes(server: Moody) -> list[int]:
    """How many events each request had."""
    with server.lock:
        return [len(seen.events) for seen in server.seen]


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.005)


def losses(stats: Mapping[str, int]) -> int:
    """What was accepted and then given up: what is refused at the door is not accepted."""
    return sum(
        count
        for name, count in stats.items()
        if name.startswith("dropped:")
        and name not in ("dropped:queue_full", "dropped:store_failed")
    )


class Told:
    """Takes the calls of an emitter's callbacks."""

    def __init__(self) -> None:
        self.successes: list[int] = []
        self.failures: list[tuple[int, list[str]]] = []
        self.drops: list[tuple[str, str]] = []

    @property
    def arrived(self) -> int:
        """What arrived beside events that are given up is told with these."""
        return sum(self.successes) + sum(sent for sent, _ in self.failures)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "on_success": self.successes.append,
            "on_failure": lambda sent, unsent: self.failures.append((sent, eids(unsent))),
            "on_drop": lambda payload, reason: self.drops.append((payload["eid"], reason)),
        }


# GET ------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_get_carries_one_event_and_they_go_first_in_first_out(
    moody: Servers, make: Make, kind: Kind, batch_size: Any
) -> None:
    server = moody()
    emitter = make(kind, server.url, method="get", batch_size=batch_size)
    feed(emitter, *range(10))
    assert emitter.flush(10) == 0
    assert server.names() == numbered(10)
    assert sizes(server) == [1] * 10
    assert {(seen.method, urlsplit(seen.path).path) for seen in server.seen} == {("GET", "/i")}
    assert server.connections == 1


def test_a_get_goes_out_with_each_event_unless_more_are_to_be_gathered(
    moody: Servers, make: Make
) -> None:
    server = moody()
    emitter = make(Emitter, server.url, method="GET", interval=60.0)
    for number in range(3):
        feed(emitter, number)
        assert len(server.seen) == number + 1
    gathering = make(Emitter, server.url, method="get", batch_size=3, interval=60.0)
    feed(gathering, 0, 1)
    assert len(server.seen) == 3
    feed(gathering, 2)
    assert len(server.seen) == 6


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("a b", "a+b"),
        ("a+b&c=d?e#f%2", "a%2Bb%26c%3Dd%3Fe%23f%252"),
        ("é€😀", "%C3%A9%E2%82%AC%F0%9F%98%80"),
        ('{"a": [1]}', "%7B%22a%22%3A+%5B1%5D%7D"),
        ("line\nline\r\ttab\0", "line%0Aline%0D%09tab%00"),
        ("\ud800", "%3F"),
    ],
)
def test_a_get_is_quoted_as_a_form(moody: Servers, make: Make, value: str, quoted: str) -> None:
    server = moody()
    emitter = make(Emitter, server.url, method="get")
    emitter.input(payload(0, page=value))
    assert f"&page={quoted}&" in server.seen[0].path
    assert server.kept[0]["page"] == value.replace("\ud800", "?")


@both
def test_each_event_of_a_get_is_judged_by_its_own_answer(
    moody: Servers, make: Make, kind: Kind
) -> None:
    server = moody(status(500), status(500), status(200))
    emitter = make(kind, server.url, method="get", batch_size=3, interval=60.0)
    feed(emitter, 0, 1, 2)
    assert emitter.flush(10) == 0
    assert server.names() == ["e2", "e0", "e1"]
    assert len(server.seen) == 5
    assert emitter.stats()["sent"] == 3


def test_the_answers_of_a_round_of_gets_do_not_mix(moody: Servers, make: Make) -> None:
    told = Told()
    answers = [200, 400, 503, 200, 413, 429, 302]
    server = moody(*map(status, answers))
    emitter = make(Emitter, server.url, method="get", batch_size=7, interval=60.0, **told.options)
    feed(emitter, *range(7))
    assert emitter.flush(10) == 0
    assert sorted(server.names()) == ["e0", "e2", "e3", "e5"]
    assert sorted(told.drops) == [("e1", "rejected"), ("e4", "too_large"), ("e6", "rejected")]
    assert sorted(name for _, unsent in told.failures for name in unsent) == ["e1", "e4", "e6"]
    assert told.arrived == emitter.stats()["sent"] == 4


@both
def test_a_url_that_is_too_long_is_given_up_alone(moody: Servers, make: Make, kind: Kind) -> None:
    told = Told()
    server = moody()
    emitter = make(kind, server.url, method="get", **told.options)
    for number, length in enumerate((1, 60_000, 70_000, 1)):  # the server takes up to 65,536
        emitter.input(payload(number, page="x" * length))
    assert emitter.flush(10) == 0
    assert server.names() == ["e0", "e1", "e3"]
    assert told.drops == [("e2", "too_large")]
    assert told.failures == [(0, ["e2"])]


def test_gets_stop_at_the_first_that_nobody_answers(moody: Servers, make: Make) -> None:
    server = moody(usual=hang)
    emitter = make(Emitter, server.url, method="get", batch_size=50, read_timeout=0.3)
    begun = time.monotonic()
    feed(emitter, *range(50))
    assert time.monotonic() - begun < 3
    assert len(server.seen) == 1


def test_gets_stop_when_the_time_is_over(moody: Servers, make: Make) -> None:
    server = moody(usual=slow(0.1))
    emitter = make(Emitter, server.url, method="get", batch_size=200, interval=60.0)
    feed(emitter, *range(100))
    begun = time.monotonic()
    left = emitter.flush(0.5)
    assert time.monotonic() - begun < 3
    assert left == 100 - emitter.stats()["sent"] > 50


# POST -----------------------------------------------------------------------------------------


@both
def test_a_post_carries_the_payloads_as_the_protocol_says(
    moody: Servers, make: Make, kind: Kind
) -> None:
    server = moody()
    emitter = make(kind, f"{server.url}/in/")
    begun = int(time.time() * 1000)
    feed(emitter, 0, 1, uid="ü", vid=3, se_va=1.5, nothing=None, unknown=True)
    assert emitter.flush(10) == 0
    for seen in server.seen:
        assert seen.path == "/in/com.snowplowanalytics.snowplow/tp2"
        assert seen.headers["Content-Type"] == "application/json; charset=utf-8"
        assert json.loads(seen.body)["schema"] == (
            "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
        )
    for number, event in enumerate(server.kept):
        assert begun <= int(event.pop("stm")) <= time.time() * 1000
        assert event == payload(number, uid="ü", vid="3", se_va="1.5", unknown="1")


@pytest.mark.parametrize("name", ["batch_size", "buffer_size"])
@both_methods
def test_a_batch_is_sent_when_it_is_full_and_has_no_more_than_that(
    moody: Servers, make: Make, name: str, method: str
) -> None:
    server = moody()
    emitter = make(Emitter, server.url, method=method, interval=60.0, **{name: 3})
    feed(emitter, 0, 1)
    assert server.seen == []
    feed(emitter, 2, 3)
    assert server.names() == numbered(3)
    assert emitter.stats()["queued"] == 1
    assert emitter.flush(10) == 0
    assert sizes(server) == ([3, 1] if method == "post" else [1] * 4)


def test_a_backlog_is_split_into_batches(moody: Servers, make: Make) -> None:
    server = moody(usual=status(500))
    for kind in KINDS:
        emitter = make(kind, server.url, batch_size=4)
        feed(emitter, *range(10))
        wait_until(lambda: emitter.stats()["retried"])  # noqa: B023 - used at once
        server.usual = status(200)
        server.seen.clear()
        assert emitter.flush(10) == 0
        assert max(sizes(server)) == 4
        server.usual = status(500)


def test_the_two_names_of_the_batch_size_must_not_contradict() -> None:
    for kind in KINDS:
        assert kind("c.example", batch_size=7, buffer_size=7).batch_size == 7
        with pytest.raises(SettingError, match="batch_size is 7 and buffer_size is 8"):
            kind("c.example", batch_size=7, buffer_size=8)


@pytest.mark.parametrize(
    ("method", "options", "size"),
    [
        ("post", {}, 500),
        ("get", {}, 1),
        ("post", {"batch_size": 9}, 9),
        ("get", {"buffer_size": 9}, 9),
        ("post", {"buffer_capacity": 20}, 20),  # there will never be more
        ("post", {"buffer_capacity": 20, "batch_size": 5}, 5),
    ],
)
def test_how_many_events_are_gathered(method: Any, options: Any, size: int) -> None:
    assert Emitter("c.example", method=method, **options).batch_size == size


@both
def test_bodies_stay_below_the_byte_limit(moody: Servers, make: Make, kind: Kind) -> None:
    server = moody(usual=status(503))
    emitter = make(kind, server.url, byte_limit=2000, batch_size=1000, interval=60.0)
    feed(emitter, *range(100), page="x" * 100)
    emitter.input(payload(100, page="x" * 5000))
    feed(emitter, 101, 102)
    server.usual = status(200)
    assert emitter.flush(10) == 0
    assert server.names() == numbered(103)
    lengths = [len(body) for body in server.bodies]
    assert sorted(length > 2000 for length in lengths)[-2:] == [False, True]
    assert sizes(server)[lengths.index(max(lengths))] == 1  # the larger one went alone
    assert sum(lengths) / len(lengths) > 1500  # and the others are not much smaller than they may


@both
def test_a_batch_that_is_too_large_for_the_server_is_halved(
    moody: Servers, make: Make, kind: Kind
) -> None:
    server = moody(usual=at_most(3))
    emitter = make(kind, server.url, batch_size=20, interval=60.0)
    feed(emitter, *range(20))
    assert emitter.flush(10) == 0
    assert server.names() == numbered(20)


@both
def test_partial_batches_do_not_wait_for_ever(moody: Servers, make: Make, kind: Kind) -> None:
    server = moody()
    emitter = make(kind, server.url, interval=0.2)
    feed(emitter, 0)
    if kind is Emitter:  # it has no thread that could look at the clock: the next event does
        time.sleep(0.25)
        assert server.seen == []
        feed(emitter, 1)
    wait_until(server.names)
    assert server.names()[0] == "e0"


@both
def test_an_event_waits_for_company_for_the_interval(
    moody: Servers, make: Make, kind: Kind
) -> None:
    server = moody()
    emitter = make(kind, server.url, interval=60.0)
    feed(emitter, 0, 1, 2)
    time.sleep(0.3)
    assert server.seen == []
    assert emitter.flush(10) == 0
    assert sizes(server) == [3]


def test_bodies_can_be_compressed(moody: Servers, make: Make) -> None:
    server = moody()
    emitter = make(Emitter, server.url, gzip=True, interval=60.0)
    feed(emitter, *range(100), page="the same title")
    assert emitter.flush(10) == 0
    (seen,) = server.seen
    assert seen.headers["Content-Encoding"] == "gzip"
    assert len(zlib.decompress(seen.body, wbits=31)) > 5 * len(seen.body)
    assert server.names() == numbered(100)


def test_a_get_has_no_body_to_compress(moody: Servers, make: Make) -> None:
    server = moody()
    feed(make(Emitter, server.url, gzip=True, method="get"), 0)
    assert server.names() == ["e0"]
    assert "Content-Encoding" not in server.seen[0].headers
    assert "Content-Type" not in server.seen[0].headers


@pytest.mark.parametrize("options", [{}, {"gzip": True}, {"method": "get"}], ids=str)
def test_our_collector_reads_what_the_emitters_send(
    server: Callable[..., Server], options: dict[str, Any]
) -> None:
    collector = server()
    with Tracker(AsyncEmitter(collector.url, **options), app_id="shop") as tracker:
        for number in range(20):
            tracker.track("Seen", {"number": number, "text": "ü€" * 50})
            context = SelfDescribingJson("iglu:com.acme/c/jsonschema/1-0-0", {"n": number})
            tracker.track_page_view("https://shop.example/ü?a=b+c", context=[context])
        assert tracker.flush(30) == 0
    assert collector.wait_for_events(40) == 40
    (row,) = collector.sql(
        "SELECT count(DISTINCT event_id) AS ids, count(page_url) AS pages,"
        " sum((properties.data.properties.number)::INT) AS n,"
        " sum((contexts->0->'data'->>'n')::INT) AS c FROM events"
    )
    assert row == {"ids": 40, "n": 190, "c": 190, "pages": 20}
    assert collector.sql("SELECT count(*) AS n FROM bad_rows") == [{"n": 0}]


# Requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (("c.example",), "https://c.example"),
        (("c.example", "http"), "http://c.example"),
        (("c.example", "HTTP"), "http://c.example"),
        (("http://c.example", "https"), "http://c.example"),
        (("c.example", "http", 8080), "http://c.example:8080"),
        (("c.example", "http", "8080"), "http://c.example:8080"),
        (("c.example:81/path", "http", 8080), "http://c.example:8080/path"),
        (("HTTPS://c.example/a/b/",), "https://c.example/a/b"),
        (("[2001:db8::1]", "http", 80), "http://[2001:db8::1]:80"),
    ],
)
def test_where_the_collector_is(arguments: Any, url: str) -> None:
    get: Any = {"method": "get"}
    for kind in KINDS:
        assert kind(*arguments).url == f"{url}/com.snowplowanalytics.snowplow/tp2"
        assert kind(*arguments, **get).url == f"{url}/i"


@both
@both_methods
def test_headers_of_the_application_go_with_every_request(
    moody: Servers, make: Make, kind: Kind, method: str
) -> None:
    server = moody()
    headers = {"Authorization": "Bearer x", "SP-Anonymous": "*", "User-Agent": "shop"}
    emitter = make(kind, server.url, method=method, headers=headers)
    headers.clear()  # the emitter has its own
    feed(emitter, 0)
    assert emitter.flush(10) == 0
    (seen,) = server.seen
    assert (seen.headers["Authorization"], seen.headers["SP-Anonymous"]) == ("Bearer x", "*")
    assert seen.headers["User-Agent"] == "shop"


@both
@both_methods
def test_all_requests_share_one_connection(
    moody: Servers, make: Make, kind: Kind, method: str
) -> None:
    server = moody(status(500), status(400), status(200))
    emitter = make(kind, server.url, method=method, batch_size=2)
    feed(emitter, *range(100))
    assert emitter.flush(10) == 0
    assert len(server.seen) >= 50
    assert server.connections == 1


@pytest.mark.parametrize(
    ("options", "timeouts"),
    [
        ({}, (5.0, 10.0)),
        ({"connect_timeout": 1, "read_timeout": 2}, (1, 2)),
        ({"request_timeout": 3}, (3, 3)),
        ({"request_timeout": (3, 4)}, (3, 4)),
        ({"request_timeout": (3, 4), "connect_timeout": 1, "read_timeout": 2}, (3, 4)),
        ({"request_timeout": None, "read_timeout": None}, (5.0, 10.0)),
    ],
)
def test_which_time_outs_hold(options: dict[str, Any], timeouts: tuple[float, float]) -> None:
    class Session:
        def post(self, url: str, *, timeout: Any, **_: Any) -> Any:
            asked.append(timeout)
            raise OSError

    asked: list[Any] = []
    emitter = Emitter("c.example", batch_size=1, session=Session(), **options)
    feed(emitter, 0)
    emitter.close(0.0)
    assert asked[:1] == [timeouts]


@pytest.mark.parametrize("name", ["read_timeout", "request_timeout"])
@both_methods
def test_the_caller_waits_for_no_longer_than_the_time_out(
    moody: Servers, make: Make, name: str, method: str
) -> None:
    server = moody(usual=hang)
    emitter = make(Emitter, server.url, method=method, batch_size=1, **{name: 0.3})
    begun = time.monotonic()
    feed(emitter, 0)
    assert 0.25 < time.monotonic() - begun < 3


def test_the_caller_does_not_wait_for_a_server_that_accepts_nothing(make: Make) -> None:
    # Nobody answers at an address of this network (RFC 5737), whatever becomes of the packets.
    emitter = make(Emitter, "http://192.0.2.1", batch_size=1, connect_timeout=0.3)
    begun = time.monotonic()
    feed(emitter, 0)
    assert time.monotonic() - begun < 3
    assert emitter.stats()["queued"] == 1


def test_during_a_back_off_the_caller_neither_tries_nor_waits(moody: Servers, make: Make) -> None:
    server = moody(status(503, Retry_After="100"))
    emitter = make(Emitter, server.url, batch_size=1)
    feed(emitter, 0)
    server.usual = hang
    begun = time.monotonic()
    feed(emitter, *range(1, 200))
    assert time.monotonic() - begun < 2
    assert len(server.seen) == 1
    server.usual = status(200)
    assert emitter.flush(10) == 0  # which tries in spite of it
    assert server.names() == numbered(200)


def test_who_tracks_after_an_outage_does_not_pay_for_the_whole_backlog(
    moody: Servers, make: Make
) -> None:
    server = moody(usual=status(503))
    emitter = make(Emitter, server.url, batch_size=2, interval=0.2)
    feed(emitter, *range(200))
    server.usual = slow(0.1)  # 100 requests, 10 seconds
    time.sleep(0.1)
    begun = time.monotonic()
    feed(emitter, 200)
    assert time.monotonic() - begun < 3
    server.usual = status(200)
    assert emitter.flush(20) == 0
    assert server.names() == numbered(201)


@both
@pytest.mark.parametrize(
    ("codes", "code", "is_retried"),
    [
        ({}, 500, True),
        ({500: False}, 500, False),
        ({}, 400, False),
        ({400: True}, 400, True),
        ({403: True, 500: False}, 403, True),
        ({403: True, 500: False}, 502, True),
        ({302: True}, 302, True),
    ],
)
def test_which_answers_are_tried_again_can_be_said(
    moody: Servers, make: Make, kind: Kind, codes: dict[int, bool], code: int, is_retried: bool
) -> None:
    server = moody(status(code))
    own = dict(codes)
    emitter = make(kind, server.url, batch_size=1, custom_retry_codes=own)
    own[code] = not is_retried  # the emitter has its own
    feed(emitter, 0)
    assert emitter.flush(10) == 0
    assert server.names() == (["e0"] if is_retried else [])
    assert emitter.stats().get("dropped:rejected", 0) == (not is_retried)


@both
def test_no_wait_is_longer_than_asked_for(moody: Servers, make: Make, kind: Kind) -> None:
    server = moody(usual=status(500))
    emitter = make(kind, server.url, batch_size=1, max_retry_delay_seconds=0.1)
    feed(emitter, 0)
    number = 0
    until = time.monotonic() + 20
    while len(server.times) < 20:  # 20 times at most 0.1 s, where doubling would take days
        if kind is Emitter:
            feed(emitter, number := number + 1)
        assert time.monotonic() < until
        time.sleep(0.01)
    assert min(
        later - earlier for earlier, later in zip(server.times, server.times[1:], strict=False)
    )


@both
@both_methods
def test_after_a_success_the_waits_are_short_again(
    moody: Servers, make: Make, kind: Kind, method: str
) -> None:
    server = moody(*[status(500)] * 6)
    emitter = make(kind, server.url, method=method, batch_size=1)
    feed(emitter, 0)
    assert emitter.flush(10) == 0
    assert emitter.stats()["retried"] == 6
    assert emitter.delivery.backoff.failures == 0


@both
def test_an_event_is_tried_for_no_longer_than_asked_for(
    moody: Servers, make: Make, kind: Kind
) -> None:
    told = Told()
    server = moody(usual=status(500))
    emitter = make(kind, server.url, batch_size=2, retry_for=0.3, **told.options)
    feed(emitter, 0, 1)
    assert emitter.flush(10) == 0
    assert len(server.seen) > 1
    assert told.failures == [(0, ["e0", "e1"])]
    assert told.drops == [("e0", "expired"), ("e1", "expired")]


@both
def test_who_does_not_want_retries_says_0(moody: Servers, make: Make, kind: Kind) -> None:
    server = moody(usual=status(500))
    emitter = make(kind, server.url, batch_size=1, retry_for=0)
    feed(emitter, 0)
    assert emitter.flush(10) == 0
    assert len(server.seen) == 1
    assert emitter.stats()["dropped:expired"] == 1


# Callbacks ------------------------------------------------------------------------------------


@both
@both_methods
def test_success_is_told_with_the_number_of_events(
    moody: Servers, make: Make, kind: Kind, method: str
) -> None:
    told = Told()
    server = moody(status(500), hang_up)
    emitter = make(kind, server.url, method=method, batch_size=3, **told.options)
    feed(emitter, *range(10))
    assert emitter.flush(10) == 0
    assert sum(told.successes) == 10
    assert max(told.successes) <= 3
    assert (told.failures, told.drops) == ([], [])


@both
def test_failure_is_told_once_and_only_when_an_event_is_given_up(
    moody: Servers, make: Make, kind: Kind
) -> None:
    told = Told()
    server = moody(*[status(500)] * 5, status(400))
    emitter = make(kind, server.url, batch_size=4, interval=60.0, **told.options)
    feed(emitter, 0, 1, 2, 3)
    assert emitter.flush(10) == 0
    assert len(server.seen) == 6
    assert told.failures == [(0, numbered(4))]
    assert told.drops == [(name, "rejected") for name in numbered(4)]
    assert told.successes == []
    feed(emitter, 4)
    assert emitter.flush(10) == 0
    assert (told.successes, len(told.failures)) == ([1], 1)


def test_failure_gives_back_the_payloads_themselves(moody: Servers, make: Make) -> None:
    unsent: list[Any] = []
    server = moody(status(400), status(200))
    emitter = make(
        Emitter, server.url, batch_size=1, on_failure=lambda _, lost: unsent.extend(lost)
    )
    emitter.input(payload(0, page="ü", vid=3))
    assert unsent == [payload(0, page="ü", vid="3")]
    emitter.input(unsent[0])  # and they may be given to an emitter again
    assert server.kept[0].items() >= unsent[0].items()


@both
def test_what_is_lost_at_the_close_is_told(make: Make, kind: Kind, free_port: int) -> None:
    told = Told()
    emitter = make(kind, f"http://127.0.0.1:{free_port}", **told.options)
    feed(emitter, 0, 1, 2)
    assert emitter.close(0.2) == 3
    wait_until(lambda: len(told.drops) == 3)
    assert sorted(told.drops) == [(name, "exit") for name in numbered(3)]
    assert emitter.close(0.2) == 0
    assert sorted(name for _, unsent in told.failures for name in unsent) == numbered(3)


@both
@pytest.mark.parametrize("error", [ValueError("callback"), RecursionError(), KeyError("x")])
def test_a_callback_that_raises_disturbs_nobody(
    moody: Servers, make: Make, caplog: pytest.LogCaptureFixture, kind: Kind, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    server = moody(status(400))
    options: dict[str, Any] = {"on_success": fail, "on_failure": fail, "on_drop": fail}
    emitter = make(kind, server.url, batch_size=1, **options)
    feed(emitter, *range(10))
    assert emitter.flush(10) == 0
    assert server.names() == numbered(10)[1:]
    wait_until(lambda: emitter.stats()["failed:on_success"] == 9)
    assert (emitter.stats()["failed:on_failure"], emitter.stats()["failed:on_drop"]) == (1, 1)
    named = [
        record.getMessage() for record in caplog.records if "logged once" in record.getMessage()
    ]
    assert sum("on_success" in message for message in named) == 1


@both
@both_methods
def test_a_callback_may_flush_and_track(
    moody: Servers, make: Make, kind: Kind, method: str
) -> None:
    server = moody(status(400))
    done: list[int] = []

    def act(*_: Any) -> None:
        if len(done) < 5:
            done.append(emitter.flush(5))
            feed(emitter, 100 + len(done))
            done.append(emitter.flush())

    options: dict[str, Any] = {"on_success": act, "on_failure": act}
    emitter = make(kind, server.url, method=method, batch_size=1, **options)
    begun = time.monotonic()
    feed(emitter, 0, 1)
    assert emitter.flush(10) == 0
    # In the background, what callbacks track comes later; on this thread it came within them,
    # where they are not called again.
    wait_until(lambda: len(done) == (6 if kind is AsyncEmitter else 4))
    assert emitter.flush(10) == 0
    assert time.monotonic() - begun < 5
    counted = emitter.stats()
    assert counted["sent"] + losses(counted) == counted["accepted"]
    assert {"e1", "e101", "e103"} <= set(server.names())
    assert not [name for name in counted if name.startswith("failed:")]


def test_a_callback_that_tracks_into_a_full_queue_does_not_go_round_in_circles(
    moody: Servers, make: Make
) -> None:
    server = moody(usual=hang)
    calls = []

    def track_again(event: dict[str, Any], reason: str) -> None:
        calls.append(reason)
        emitter.input(event)

    emitter = make(AsyncEmitter, server.url, buffer_capacity=5, on_drop=track_again)
    feed(emitter, *range(8))
    assert calls == ["queue_full"] * 3
    counted = emitter.stats()
    assert (counted["dropped:queue_full"], counted["skipped:on_drop"]) == (6, 3)


# Other ways to keep and to send -----------------------------------------------------------------


@both
@pytest.mark.parametrize(("overflow", "kept"), [("newest", range(11)), ("oldest", range(14, 25))])
def test_what_gives_way_when_the_queue_is_full(
    moody: Servers, make: Make, kind: Kind, overflow: str, kept: range
) -> None:
    told = Told()
    server = moody(status(503, Retry_After="100"))
    options = {"batch_size": 1, "buffer_capacity": 11, "overflow": overflow, **told.options}
    emitter = make(kind, server.url, **options)
    feed(emitter, 0)  # meets the 503, and is among those that have waited longest
    wait_until(lambda: emitter.stats()["retried"])
    feed(emitter, *range(1, 25))
    counted = emitter.stats()
    assert (counted["queued"], counted["dropped:queue_full"]) == (11, 14)
    lost = sorted(set(range(25)) - set(kept))
    assert told.drops == [(f"e{number}", "queue_full") for number in lost]
    assert emitter.flush(10) == 0
    assert server.names() == [f"e{number}" for number in kept]


class Answered:
    """An answer as httpx and requests have it."""

    def __init__(self, code: int, **headers: str) -> None:
        self.status_code = code
        self.headers = headers


class Session:
    """Stands in for a session of the requests library; answers the next code, then 200."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, str, Any, Any]] = []

    def _answer(self, method: str, url: str, data: Any, headers: Any) -> Any:
        self.calls.append((method, url, data, headers))
        answer = self.answers.pop(0) if self.answers else Answered(200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def post(self, url: str, *, data: bytes, headers: Any, timeout: Any) -> Any:
        return self._answer("POST", url, data, headers)

    def get(self, url: str, *, headers: Any, timeout: Any) -> Any:
        return self._answer("GET", url, None, headers)


@both
def test_a_session_sends_instead_of_our_connections(make: Make, kind: Kind) -> None:
    session = Session(Answered(500), OSError("no network"), Answered(429, **{"Retry-After": "0"}))
    emitter = make(kind, "http://c.example", session=session, headers={"X-Key": "k"})
    feed(emitter, 0, 1)
    assert emitter.flush(10) == 0
    assert len(session.calls) == 4
    method, url, data, headers = session.calls[-1]
    assert (method, url) == ("POST", "http://c.example/com.snowplowanalytics.snowplow/tp2")
    assert eids(json.loads(data)["data"]) == ["e0", "e1"]
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["X-Key"] == "k"


@both
def test_a_session_sends_gets_as_well(make: Make, kind: Kind) -> None:
    session = Session(Answered(500))
    emitter = make(kind, "http://c.example", method="get", session=session)
    feed(emitter, 0, 1)
    assert emitter.flush(10) == 0
    assert [call[0] for call in session.calls] == ["GET"] * 3
    assert all(call[1].startswith("http://c.example/i?e=pv&") for call in session.calls)
    assert emitter.stats()["sent"] == 2


def test_gets_of_a_session_stop_when_the_time_is_over(make: Make) -> None:
    class Slow(Session):
        def _answer(self, *arguments: Any) -> Any:
            time.sleep(0.1)
            return super()._answer(*arguments)

    session = Slow()
    emitter = make(Emitter, "http://c.example", method="get", batch_size=50, session=session)
    feed(emitter, *range(49))
    begun = time.monotonic()
    left = emitter.flush(0.5)
    assert time.monotonic() - begun < 2.5
    assert left == 49 - len(session.calls) > 30


@both_methods
@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_a_real_session_does(moody: Servers, make: Make, method: str) -> None:
    server = moody(status(503, Retry_After="0"))
    with httpx.Client() as client:
        emitter = make(Emitter, server.url, method=method, session=client)
        feed(emitter, 0, 1, 2)
        assert emitter.flush(10) == 0
        assert sorted(server.names()) == numbered(3)
        emitter.close(1)
        assert not client.is_closed  # it belongs to the application


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_a_redirection_that_turns_a_post_into_a_get_is_no_success(
    moody: Servers, make: Make
) -> None:
    told = Told()
    server = moody(status(302, Location="/i?eid=elsewhere"), status(200))
    with httpx.Client(follow_redirects=True) as client:
        emitter = make(Emitter, server.url, batch_size=1, session=client, **told.options)
        feed(emitter, 0)
        assert [seen.method for seen in server.seen] == ["POST", "GET"]
        assert told.drops == [("e0", "rejected")]
        server.moods = [status(307, Location=server.url + "/elsewhere")]  # the body goes along
        feed(emitter, 1)
    assert server.names()[1:] == ["e1"]
    assert told.successes == [1]


class Bare:
    """An answer that says its status and nothing else."""

    status_code = 200


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (None, 2),
        (object(), 2),
        (Answered("soon"), 2),  # type: ignore[arg-type]
        (TypeError("x"), 2),
        # What has arrived is not sent again, whatever else is odd.
        (Answered(200, **{"Retry-After": object()}), 1),  # type: ignore[arg-type]
        (Bare(), 1),
    ],
    ids=["None", "no status", "a text", "raises", "odd header", "no headers"],
)
def test_a_session_that_answers_nonsense_disturbs_nobody(
    make: Make, answer: Any, calls: int
) -> None:
    for kind in KINDS:
        session = Session(answer)
        emitter = make(kind, "http://c.example", session=session)
        feed(emitter, 0)
        assert emitter.flush(10) == 0
        assert emitter.stats()["sent"] == 1
        assert len(session.calls) == calls


class Store:
    """An event store as the Snowplow tracker 1.x wants it, which records what it is asked."""

    def __init__(self, capacity: int = 1000) -> None:
        self.capacity = capacity
        self.kept: list[dict[str, Any]] = []
        self.out: list[dict[str, Any]] = []
        self.cleaned: list[tuple[list[str], bool]] = []
        self.threads = Counter[str]()

    def add_event(self, payload: dict[str, str]) -> bool:
        if len(self.kept) >= self.capacity:
            return False
        self.kept.append(payload)
        return True

    def get_events_batch(self) -> list[dict[str, Any]]:
        batch, self.kept = self.kept, []
        self.out += batch
        return batch

    def cleanup(self, batch: list[dict[str, Any]], need_retry: bool) -> None:
        self.cleaned.append((eids(batch), need_retry))
        self.out = [one for one in self.out if one not in batch]
        if need_retry:
            self.kept += batch

    def size(self) -> int:
        return len(self.kept)


@both
@both_methods
def test_a_store_of_the_application_keeps_the_events(
    moody: Servers, make: Make, kind: Kind, method: str
) -> None:
    store = Store()
    server = moody(status(500))
    emitter = make(kind, server.url, method=method, batch_size=4, event_store=store, interval=60.0)
    feed(emitter, *range(10))
    assert emitter.flush(10) == 0
    assert sorted(server.names()) == sorted(numbered(10))
    assert (store.kept, store.out) == ([], [])
    assert {need_retry for _, need_retry in store.cleaned} == {False}
    if method == "post":
        assert max(sizes(server)) == 4
    counted = emitter.stats()
    assert (counted["accepted"], counted["sent"], counted["queued"]) == (10, 10, 0)


@both
def test_a_store_that_is_full_drops_and_counts(moody: Servers, make: Make, kind: Kind) -> None:
    told = Told()
    server = moody()
    emitter = make(
        kind, server.url, event_store=Store(5), interval=60.0, batch_size=50, **told.options
    )
    feed(emitter, *range(8))
    assert told.drops == [(f"e{number}", "queue_full") for number in (5, 6, 7)]
    assert emitter.flush(10) == 0
    assert server.names() == numbered(5)


@both
def test_at_the_close_a_store_gets_back_what_is_left(
    make: Make, kind: Kind, free_port: int, moody: Servers
) -> None:
    store, told = Store(), Told()
    emitter = make(
        kind, f"http://127.0.0.1:{free_port}", event_store=store, batch_size=2, **told.options
    )
    feed(emitter, *range(5))
    assert emitter.close(0.3) == 5
    wait_until(lambda: store.size() == 5)
    assert sorted(eids(store.kept)) == numbered(5)
    assert all(need_retry for _, need_retry in store.cleaned)
    assert (told.drops, told.failures) == ([], [])
    counted = emitter.stats()
    assert counted["accepted"] == counted["queued"] == 5
    server = moody()
    again = make(kind, server.url, event_store=store)  # the next start delivers them
    assert again.flush(10) == 0
    assert sorted(server.names()) == numbered(5)
    assert again.stats()["sent"] == 5


def test_what_is_under_way_at_the_close_comes_back_to_a_store(moody: Servers, make: Make) -> None:
    store, told = Store(), Told()
    server = moody(usual=hang)
    options = {"event_store": store, "read_timeout": 0.5, **told.options}
    emitter = make(AsyncEmitter, server.url, **options)
    feed(emitter, 0, 1)
    wait_until(lambda: server.seen)
    assert emitter.close(0.1) == 2
    wait_until(lambda: store.size() == 2)
    assert (eids(store.kept), told.drops) == (numbered(2), [])


def test_a_store_that_others_fill_as_well_is_emptied(moody: Servers, make: Make) -> None:
    store = Store()
    server = moody()
    emitter = make(AsyncEmitter, server.url, event_store=store)
    store.kept += [payload(number) for number in range(3)]
    feed(emitter, 3)
    wait_until(lambda: len(server.names()) == 4)
    assert emitter.flush(10) == 0
    counted = emitter.stats()
    assert counted["accepted"] == counted["sent"] == 4


def test_what_a_store_has_kept_is_sent_in_the_background_without_being_asked(
    make: Make, moody: Servers
) -> None:
    store = Store()
    store.kept = [payload(number) for number in range(3)]
    server = moody()
    make(AsyncEmitter, server.url, event_store=store)
    wait_until(lambda: server.names() == numbered(3))


@both
@pytest.mark.parametrize("broken", ["add_event", "get_events_batch", "cleanup", "size"])
def test_a_store_that_raises_disturbs_nobody(
    moody: Servers, make: Make, caplog: pytest.LogCaptureFixture, kind: Kind, broken: str
) -> None:
    store, told = Store(), Told()
    server = moody()
    right = getattr(store, broken)
    emitter = make(kind, server.url, event_store=store, **told.options)

    def fail(*_: Any) -> Any:
        raise OSError("the disk is gone")

    setattr(store, broken, fail)
    feed(emitter, 0, 1)
    emitter.flush(0.2)
    setattr(store, broken, right)
    feed(emitter, 2)
    assert emitter.flush(10) == 0
    assert server.names() == (["e2"] if broken == "add_event" else numbered(3))
    counted = emitter.stats()
    assert counted["failed:store"] >= 1
    assert [r.getMessage() for r in caplog.records if "event store failed" in r.getMessage()]
    assert counted["accepted"] == counted["sent"] == len(server.names())
    if broken == "add_event":
        assert told.drops == [("e0", "store_failed"), ("e1", "store_failed")]


def test_a_store_that_hands_out_what_is_no_payload_disturbs_nobody(
    moody: Servers, make: Make
) -> None:
    store = Store()
    store.kept = [payload(0), {}, None, payload(1)]  # type: ignore[list-item]
    server = moody()
    emitter = make(AsyncEmitter, server.url, event_store=store, interval=60.0)
    assert emitter.flush(10) == 0
    assert server.names() == ["e0", "e1"]
    assert emitter.stats()["dropped:empty"] == 2


@both
def test_a_logger_of_the_application_gets_the_messages(
    moody: Servers, make: Make, caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError

    server = moody(status(500), status(400))
    own = logging.getLogger("the application's own")
    emitter = make(kind, server.url, logger=own, on_failure=fail, batch_size=1)
    feed(emitter, 0)
    assert emitter.flush(10) == 0
    wait_until(lambda: len(caplog.records) >= 3)
    assert {record.name for record in caplog.records} == {own.name}


# Threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
def test_so_many_requests_are_under_way_at_a_time(moody: Servers, make: Make, threads: int) -> None:
    server = moody(usual=slow(0.2))
    emitter = make(AsyncEmitter, server.url, thread_count=threads, batch_size=1)
    feed(emitter, *range(12))
    assert emitter.flush(20) == 0
    assert sorted(server.names()) == sorted(numbered(12))
    assert server.most_under_way == server.connections == threads


def test_threads_share_one_back_off(moody: Servers, make: Make) -> None:
    attempts = []
    for threads in (1, 6):
        server = moody(usual=status(500))
        options = {"thread_count": threads, "batch_size": 1, "max_retry_delay_seconds": 0.2}
        emitter = make(AsyncEmitter, server.url, **options)
        feed(emitter, *range(30))
        time.sleep(3)
        attempts.append(len(server.seen))
        server.usual = status(200)
        assert emitter.flush(20) == 0
        assert sorted(server.names()) == sorted(numbered(30))
    alone, together = attempts
    assert together < 2 * alone + 6  # before the first answer they all try


def test_many_threads_that_track_lose_nothing(moody: Servers, make: Make) -> None:
    for kind in KINDS:
        server = moody(status(500), hang_up, status(503, Retry_After="0"))
        emitter = make(kind, server.url, batch_size=7)
        crowd = [
            threading.Thread(target=feed, args=(emitter, *range(n * 100, n * 100 + 100)))
            for n in range(8)
        ]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(30)
        assert emitter.flush(20) == 0
        # A server that hangs up may have read the request.
        assert set(server.names()) == set(numbered(800))
        assert emitter.stats()["sent"] == emitter.stats()["accepted"] == 800


def test_a_flush_in_asyncio_lets_the_loop_go_on(moody: Servers, make: Make) -> None:
    server = moody(usual=slow(0.5))
    for kind in KINDS:
        emitter = make(kind, server.url)
        feed(emitter, 0)
        ticks = 0

        async def flush() -> int:
            nonlocal ticks
            flushing = asyncio.create_task(emitter.aflush(10))  # noqa: B023 - used at once
            while not flushing.done():
                await asyncio.sleep(0.01)
                ticks += 1
            return await flushing

        assert asyncio.run(flush()) == 0
        assert ticks >= 10


@both
def test_a_with_statement_sends_everything(moody: Servers, kind: Kind) -> None:
    server = moody()
    with kind(server.url, interval=60.0) as emitter:
        feed(emitter, *range(10))
        assert server.seen == []
    assert server.names() == numbered(10)


@both
@pytest.mark.parametrize("timeout", [0, 0.3, 5, float("inf"), None])
def test_a_flush_says_what_is_left(moody: Servers, make: Make, kind: Kind, timeout: Any) -> None:
    server = moody(usual=slow(0.05))
    emitter = make(kind, server.url, interval=60.0)
    assert emitter.flush(timeout) == 0
    feed(emitter, *range(10))
    left = emitter.flush(timeout)
    if timeout != 0:
        assert left == 0
    assert left == emitter.stats()["queued"]


# The end of the process, and its children -------------------------------------------------------


def run(script: str, url: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), url],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("kind", ["Emitter", "AsyncEmitter"])
@both_methods
def test_the_end_of_the_process_sends_what_is_left(moody: Servers, kind: str, method: str) -> None:
    server = moody()
    script = f"""
        import sys
        from trackway import {kind}, Tracker
        emitter = {kind}(sys.argv[1], method="{method}", interval=60, batch_size=300)
        tracker = Tracker(emitter)
        for n in range(299):
            tracker.track("x", {{"n": n}})
        assert emitter.stats()["sent"] == 0
    """
    run(script, server.url)
    assert len(set(server.names())) == len(server.names()) == 299


@pytest.mark.parametrize("method", ["post", "get"])
def test_the_end_of_the_process_is_held_up_for_the_exit_budget_at_most(
    moody: Servers, method: str
) -> None:
    server = moody(usual=hang)
    script = f"""
        import sys
        from trackway import Emitter
        options = {{"method": "{method}", "interval": 60, "batch_size": 500}}
        emitter = Emitter(sys.argv[1], exit_budget=0.5, **options)
        for n in range(499):
            emitter.input({{"eid": str(n)}})
    """
    begun = time.monotonic()
    run("import trackway, urllib3", server.url)
    plain = time.monotonic() - begun
    begun = time.monotonic()
    done = run(script, server.url)
    assert time.monotonic() - begun - plain < 3.0  # a request alone may take 10
    assert "499 events could not be delivered" in done.stderr


FORK = """
    import os, sys
    from trackway import {kind}, Tracker
    emitter = {kind}(sys.argv[1], method="{method}", interval=60, batch_size={batch})
    tracker = Tracker(emitter)
    for n in range(7):
        tracker.track("parent", {{"n": n}})
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            for n in range(7):
                tracker.track("child", {{"n": n}})
            left = tracker.flush(10)
            counted = emitter.stats()
            os.write(1, b"%d %d %d\\n" % (left, counted["accepted"], counted["sent"]))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    left = tracker.close(10)
    os.write(1, b"%d %d %d\\n" % (left, emitter.stats()["accepted"], emitter.stats()["sent"]))
"""


@pytest.mark.parametrize(
    ("kind", "method"), [("AsyncEmitter", "get"), ("Emitter", "post"), ("Emitter", "get")]
)
@pytest.mark.parametrize("batch", [1, 5, 500])
def test_forked_children_send_their_own_events_and_nobodys_twice(
    moody: Servers, kind: str, method: str, batch: int
) -> None:
    server = moody()
    done = run(FORK.format(kind=kind, method=method, batch=batch), server.url)
    names = server.names()
    assert len(set(names)) == len(names) == 28
    parent, *children = sorted(done.stdout.split("\n")[:-1])
    assert [parent, *children] == ["0 7 7"] * 4


# Whatever happens -------------------------------------------------------------------------------

MOODS: list[Any] = [
    status(200),
    status(500),
    status(429, Retry_After="0"),
    status(400),
    status(413),
    at_most(2),
    hang_up,
    slow(0.02),
]


@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
    options=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["post", "get"]),
            "batch_size": st.sampled_from([1, 2, 5, 50]),
            "buffer_capacity": st.sampled_from([None, 1, 7]),
            "overflow": st.sampled_from(["newest", "oldest"]),
            "retry_for": st.sampled_from([0, 0.02, 100.0]),
            "byte_limit": st.sampled_from([1, 400, 500_000]),
        }
    ),
    threads=st.sampled_from([1, 3]),
)
def test_whatever_happens_the_counters_add_up(
    seed: int, kind: Kind, options: dict[str, Any], threads: int
) -> None:
    dice = random.Random(seed)
    told = Told()
    server = Moody(*dice.choices(MOODS, k=dice.randrange(12)))
    if kind is AsyncEmitter:
        options["thread_count"] = threads
    emitter = kind(
        server.url, interval=0.01, max_retry_delay_seconds=0.01, **options, **told.options
    )
    try:
        count = dice.randrange(1, 40)
        for number in range(count):
            feed(emitter, number)
            if dice.random() < 0.1:
                emitter.flush(dice.choice([0, 0.01]))
        assert emitter.flush(20) == 0
        wait_until(lambda: len(told.drops) + told.arrived == count)
    finally:
        emitter.close(0)
        server.close()
    counted = emitter.stats()
    full = counted.get("dropped:queue_full", 0)
    at_the_door = full if options["overflow"] == "newest" else count - counted["accepted"]
    assert counted["accepted"] + at_the_door == count
    assert counted["sent"] + losses(counted) + full == count
    assert (counted["queued"], counted["queued_bytes"]) == (0, 0)
    assert told.arrived == counted["sent"]
    # Told of exactly once, and of all that did not arrive.
    lost = [name for name, _ in told.drops]
    assert sorted(name for _, unsent in told.failures for name in unsent) == sorted(lost)
    assert len(set(lost)) == len(lost)
    assert set(numbered(count)) - set(lost) <= set(server.names())
    assert {f"dropped:{why}" for _, why in told.drops} == {
        n for n in counted if n[:8] == "dropped:"
    }


# Options that cannot be -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "put"}, "method is 'put'; expected 'get' or 'post'"),
        ({"method": None}, "method is None"),
        ({"protocol": "ftp"}, "protocol is 'ftp'; expected 'http' or 'https'"),
        ({"protocol": None}, "protocol is None"),
        ({"port": 0}, "port 0 of endpoint 'c.example' is not between 1 and 65535"),
        ({"port": 65536}, "port 65536"),
        ({"port": "http"}, "port http"),
        ({"port": 80.5}, "port 80.5"),
        ({"batch_size": 0}, "batch_size is 0; expected 1 or more"),
        ({"buffer_size": -1}, "batch_size is -1"),
        ({"batch_size": "3"}, "batch_size is '3'"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"on_success": 5}, "on_success is 5; expected a function"),
        ({"on_failure": "f"}, "on_failure is 'f'; expected a function"),
        ({"on_drop": 5}, "on_drop is 5; expected a function"),
        ({"byte_limit": 0}, "byte_limit is 0; expected a whole number from 1 on"),
        ({"byte_limit": "1k"}, "byte_limit is '1k'"),
        ({"max_queue_bytes": -1}, "max_queue_bytes is -1"),
        ({"buffer_capacity": 0}, "buffer_capacity is 0"),
        ({"buffer_capacity": True}, "buffer_capacity is True"),
        ({"spool_max_bytes": 0}, "spool_max_bytes is 0"),
        ({"interval": -1}, "interval is -1; expected seconds from 0 on"),
        ({"interval": float("inf")}, "interval is inf; expected seconds, less than 31 years"),
        ({"interval": float("nan")}, "interval is nan"),
        ({"exit_budget": -0.1}, "exit_budget is -0.1"),
        ({"exit_budget": 1e10}, "exit_budget is 1"),
        ({"retry_for": "long"}, "retry_for is 'long'"),
        ({"spool_sync": -1}, "spool_sync is -1"),
        ({"spool_max_age": -1}, "spool_max_age is -1"),
        ({"connect_timeout": 0}, "connect_timeout is 0; expected seconds above 0"),
        ({"read_timeout": float("inf")}, "read_timeout is inf"),
        ({"max_retry_delay_seconds": 0}, "max_retry_delay_seconds is 0"),
        ({"request_timeout": (1, 2, 3)}, r"request_timeout is \(1, 2, 3\)"),
        ({"request_timeout": 0}, "request_timeout is 0; expected seconds above 0, or a pair"),
        ({"request_timeout": "5"}, "request_timeout is '5'"),
        ({"overflow": "middle"}, "overflow is 'middle'; expected 'newest' or 'oldest'"),
        ({"custom_retry_codes": {"500": True}}, "custom_retry_codes is {'500': True}"),
        ({"custom_retry_codes": [500]}, "custom_retry_codes"),
        ({"headers": {"A": 5}}, "headers is {'A': 5}; expected a mapping of texts"),
        ({"headers": {"A": "x\r\nB: y"}}, "headers"),
        ({"headers": {"A": "€"}}, "headers"),
        ({"headers": "A: x"}, "headers"),
        ({"session": object()}, "session is <object"),
        ({"event_store": object()}, "event_store is <object .* add_event, get_events_batch"),
        ({"event_store": Store(), "spool": "x"}, "event_store and spool"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_an_option_that_cannot_work_is_refused_at_once(options: Any, message: str) -> None:
    for kind in KINDS:
        with pytest.raises(SettingError, match=message):
            kind("c.example", **options)


@pytest.mark.parametrize("endpoint", [None, "", "a b", 5, b"c.example", "http://u:p@c.example"])
def test_an_endpoint_that_cannot_be_is_refused_at_once(endpoint: Any) -> None:
    with pytest.raises(SettingError, match=r"endpoint .* is no collector address"):
        Emitter(endpoint)


@pytest.mark.parametrize("threads", [0, -1, "4", 1.5, None])
def test_there_must_be_a_thread(threads: Any) -> None:
    with pytest.raises(SettingError, match=r"thread_count is .*; expected 1 or more"):
        AsyncEmitter("c.example", thread_count=threads)


def test_an_option_that_nobody_knows_is_a_type_error() -> None:
    for kind in KINDS:
        with pytest.raises(TypeError, match=f"{kind.__name__}.. has no option 'bufer_size'"):
            kind("c.example", bufer_size=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'thread_count'; AsyncEmitter has it"):
        Emitter("c.example", thread_count=3)  # type: ignore[call-arg]


def test_none_is_the_default_of_every_option() -> None:
    nothing: Any = dict.fromkeys(EmitterOptions.__annotations__)
    for kind in KINDS:
        emitter = kind("c.example", batch_size=None, on_success=None, **nothing)
        assert emitter.batch_size == 500
        assert emitter.delivery.batch_bytes > 499_000


def test_arguments_may_stand_in_the_order_of_the_old_tracker() -> None:
    told = Told()
    emitter = Emitter(
        "c.example", "http", 8080, "get", 5, told.successes.append, lambda sent, unsent: None
    )
    assert emitter.url == "http://c.example:8080/i"
    assert (emitter.method, emitter.batch_size) == ("get", 5)
    assert AsyncEmitter("c.example", "http", None, "post", 5, None, None, 3).thread_count == 3


# Payloads that others have made -----------------------------------------------------------------


@both
@pytest.mark.parametrize("nothing", [None, {}, [], "text", 5, {"stm": "1"}, {"e": None}, object()])
def test_what_is_no_payload_is_counted(
    moody: Servers, make: Make, kind: Kind, nothing: Any
) -> None:
    server = moody()
    emitter = make(kind, server.url)
    feed(emitter, 0)
    emitter.input(nothing)
    feed(emitter, 1)
    assert emitter.flush(10) == 0
    assert server.names() == ["e0", "e1"]
    counted = emitter.stats()
    assert (counted["invalid_payload"], counted["accepted"]) == (1, 2)


def test_a_subclass_that_replaces_input_gets_dictionaries(moody: Servers) -> None:
    class Filtering(AsyncEmitter):
        def input(self, payload: Mapping[str, Any]) -> None:
            if payload["url"] != "http://secret.example/":
                super().input({**payload, "tna": "filtered"})

    server = moody()
    with Tracker(Filtering(server.url)) as tracker:
        tracker.track_page_view("http://open.example/").track_page_view("http://secret.example/")
    (kept,) = server.kept
    assert (kept["url"], kept["tna"]) == ("http://open.example/", "filtered")


def test_a_request_keeps_its_sockets_to_itself(moody: Servers) -> None:
    def mood(request: Request) -> None:
        request.answer(200, {"Set-Cookie": "sp=0; Path=/"})

    server = moody(usual=mood)
    with Emitter(server.url, batch_size=1) as emitter:
        feed(emitter, 0, 1)
    assert "Cookie" not in server.seen[1].headers  # all users of a server would share it
