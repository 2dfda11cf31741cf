"""Events in a Redis list: nobody waits for Redis, and no worker that dies loses any."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from redis.crc import key_slot

from tests.brokers import (
    REDIS_URL,
    Collector,
    RedisServer,
    clean,
    collecting,
    event,
    hanging_up,
    mute,
    numbered,
    shared_redis,
    wait_until,
)
from tests.conftest import ROOT, clean_environment
from tests.worker_kill_points import POINTS
from trackway import AsyncEmitter, Tracker
from trackway.delivery.retry import Backoff
from trackway.emitters import Emitter, redis_worker
from trackway.emitters.memory import MemoryEmitter
from trackway.emitters.redis import RedisEmitter, RedisSender
from trackway.emitters.redis_list import RedisList
from trackway.emitters.redis_worker import RedisWorker
from trackway.errors import MissingExtra, SettingError

WORKER = ROOT / "tests" / "worker_kill_points.py"


@pytest.fixture(scope="module")
def rdb() -> Iterator[redis.Redis]:
    client = shared_redis()
    yield client
    client.close()


@pytest.fixture
def key(rdb: redis.Redis) -> Iterator[str]:
    name = f"trackway-test:{uuid4().hex}"
    yield name
    clean(rdb, name)


@pytest.fixture
def own_redis(tmp_path: Path, free_port: int) -> Iterator[Callable[..., RedisServer]]:
    """Redis servers of this test's own: ``own_redis("--maxmemory", "5mb")``; not started yet."""
    made: list[RedisServer] = []

    def make(*options: str) -> RedisServer:
        made.append(RedisServer(tmp_path, free_port, *options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


@pytest.fixture
def emitter() -> Iterator[Callable[..., RedisEmitter]]:
    """RedisEmitters that try again soon, so that tests need not wait."""
    made: list[RedisEmitter] = []

    def make(*arguments: Any, **options: Any) -> RedisEmitter:
        options = {"interval": 0.01, "max_retry_delay_seconds": 0.1, **options}
        made.append(RedisEmitter(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close(0.0)


def elements(client: redis.Redis, key: str) -> list[Any]:
    return [json.loads(element) for element in client.lrange(key, 0, -1)]


def ids(client: redis.Redis, key: str) -> list[str]:
    return [one["eid"] for one in elements(client, key)]


def fill(client: redis.Redis, key: str, count: int, start: int = 0) -> None:
    texts = [json.dumps(event(number)) for number in range(start, start + count)]
    client.rpush(key, *texts)


def slowly(seconds: float) -> Callable[[list[dict[str, str]]], int]:
    def judge(events: list[dict[str, str]]) -> int:
        time.sleep(seconds)
        return 200

    return judge


def held_by_workers(client: redis.Redis, key: str) -> int:
    return sum(client.llen(name) for name in client.scan_iter(f"{key}:held:*"))


def run_python(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean_environment(),
        **options,
    )


# The emitter ----------------------------------------------------------------------------------


def test_an_event_is_a_json_text_of_its_payload_in_a_list(
    rdb: redis.Redis, key: str, emitter: Callable[..., RedisEmitter]
) -> None:
    memory = MemoryEmitter()
    tracker = Tracker([emitter(rdb, key), memory], namespace="cf", app_id="shop")
    for number in range(30):
        tracker.track_page_view(f"http://shop.example/{number}", "Tents")
    assert tracker.flush(30) == 0
    found = elements(rdb, key)
    assert found == memory.payloads
    assert [one["url"][-2:].strip("/") for one in found] == [str(n) for n in range(30)]
    assert found[0].keys() >= {"e", "eid", "dtm", "tv", "p", "tna", "aid", "url", "page"}
    assert "stm" not in found[0]  # not sent yet
    assert all(isinstance(value, str) for one in found for value in one.values())


def test_the_sample_of_the_documents_finds_its_event_in_redis(rdb: redis.Redis, key: str) -> None:
    e = RedisEmitter(rdb, key, background=False)
    t = Tracker(e)
    t.track_page_view("http://www.example.com")
    (found,) = elements(rdb, key)
    assert (found["url"], found["e"]) == ("http://www.example.com", "pv")


def strict_client() -> redis.Redis:
    return redis.StrictRedis.from_url(REDIS_URL)


def decoding_client() -> redis.Redis:
    return redis.Redis.from_url(REDIS_URL, decode_responses=True, socket_timeout=0.001)


def waiting_pool() -> redis.Redis:
    return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(REDIS_URL))


class OwnPool(redis.ConnectionPool):
    """A pool of somebody else's making, which cannot be copied."""


def foreign_pool() -> redis.Redis:
    return redis.Redis(connection_pool=OwnPool.from_url(REDIS_URL))


@pytest.mark.parametrize(
    "make",
    [lambda: REDIS_URL, strict_client, decoding_client, waiting_pool, foreign_pool],
    ids=["url", "strict", "decoding", "blocking pool", "foreign pool"],
)
def test_redis_may_be_given_as_a_client_or_a_url(
    make: Callable[[], Any], rdb: redis.Redis, key: str, emitter: Callable[..., RedisEmitter]
) -> None:
    one = emitter(make(), key)
    one.input(event(1, page="ü€"))
    assert one.flush(30) == 0
    assert elements(rdb, key) == [event(1, page="ü€")]
    memory = MemoryEmitter()
    RedisWorker(memory, make(), key).run(until_empty=True)
    assert memory.payloads == [event(1, page="ü€")]


def test_a_redis_behind_a_socket_file_a_password_and_a_number_is_found(
    own_redis: Callable[..., RedisServer],
    tmp_path: Path,
    emitter: Callable[..., RedisEmitter],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = str(tmp_path / "redis.sock")
    server = own_redis("--unixsocket", path)
    server.start().client.config_set("requirepass", "s3cret")
    inside = redis.Redis(unix_socket_path=path, password="s3cret", db=3)
    one = emitter(inside, "events")
    one.input(event(1))
    assert one.flush(30) == 0
    assert ids(inside, "events") == ["e1"]
    assert one.delivery.sender.name == f"the list 'events' of Redis {path}"
    wrong = emitter(f"redis://:wr0ng@127.0.0.1:{server.port}/3", "events")
    wrong.input(event(2))
    assert wrong.flush(0.3) == 1
    assert caplog.text
    assert "wr0ng" not in caplog.text
    inside.config_set("requirepass", "")


def test_without_a_client_it_is_the_server_of_this_machine() -> None:
    assert "localhost:6379/0" in RedisEmitter().delivery.sender.name
    assert RedisEmitter().key == "snowplow"


def test_payloads_of_others_keep_their_unknown_keys(
    rdb: redis.Redis, key: str, emitter: Callable[..., RedisEmitter]
) -> None:
    one = emitter(rdb, key)
    one.input({"e": "pv", "mine": "kept", "tid": 7515828, "nothing": None})
    assert one.flush(30) == 0
    assert elements(rdb, key) == [{"e": "pv", "mine": "kept", "tid": "7515828"}]


def test_events_wait_for_a_redis_that_is_away_and_then_arrive_once_and_in_order(
    own_redis: Callable[..., RedisServer],
    emitter: Callable[..., RedisEmitter],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = own_redis()
    one = emitter(server.url, "events", batch_size=7)
    for number in range(50):
        one.input(event(number))
    assert one.flush(0.3) == 50
    wait_until(lambda: one.stats()["retried"] >= 2)
    server.start()
    assert one.flush(30) == 0
    assert ids(server.client, "events") == numbered(50)
    server.stop()
    one.input(event(50))
    wait_until(lambda: one.stats()["queued"] == 1 and one.stats()["retried"] >= 4)
    server.start()
    assert one.flush(30) == 0
    assert ids(server.client, "events") == numbered(51)
    assert one.stats()["sent"] == 51
    assert len([r for r in caplog.records if "cannot deliver" in r.message]) == 1


@pytest.mark.parametrize("background", [True, False])
def test_a_redis_that_never_answers_raises_nothing_and_holds_nobody_up_for_long(
    background: bool, emitter: Callable[..., RedisEmitter], caplog: pytest.LogCaptureFixture
) -> None:
    with mute() as port:
        url = f"redis://127.0.0.1:{port}"
        one = emitter(url, background=background, read_timeout=1.0, max_retry_delay_seconds=60.0)
        start = time.monotonic()
        for number in range(1000):
            one.input(event(number))
        # In the background nobody waits at all; else one event waits, and then the back-off rules.
        assert time.monotonic() - start < (0.5 if background else 10.0)
        start = time.monotonic()
        assert one.flush(0.5) == 1000
        assert one.close(0.5) == 1000
        assert time.monotonic() - start < 10.0
    wait_until(lambda: one.stats()["dropped:exit"] == 1000)  # one batch is under way for a while
    assert len([r for r in caplog.records if "cannot deliver" in r.message]) <= 1


def test_a_sender_takes_the_time_it_is_given_and_tries_once() -> None:
    with mute() as port:
        sender = RedisSender(f"redis://127.0.0.1:{port}", "events", read_timeout=60.0)
        start = time.monotonic()
        assert sender.send([b'{"eid":"e1"'], within=0.3).status == 0
        assert time.monotonic() - start < 20.0
    with hanging_up() as (port, calls):
        client = redis.Redis(port=port)  # which would try four times
        sender = RedisSender(client, "events")
        for number in range(1, 4):
            assert sender.send([b'{"eid":"e1"'], within=None).status == 0
            assert len(calls) == number


def test_a_process_that_ends_leaves_nothing_behind(key: str, rdb: redis.Redis) -> None:
    done = run_python(
        """
        import sys
        from trackway import Tracker
        from trackway.emitters.redis import RedisEmitter, RedisSender
        tracker = Tracker(RedisEmitter(sys.argv[1], sys.argv[2], batch_size=10, interval=60))
        for number in range(1005):
            tracker.track_page_view(f"http://x/{number}")
        """,
        REDIS_URL,
        key,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [one["url"] for one in elements(rdb, key)] == [f"http://x/{n}" for n in range(1005)]


@pytest.mark.parametrize("target", ["nobody", "mute"])
def test_the_end_of_the_process_is_held_up_by_its_budget_at_most(
    target: str, free_port: int
) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(mute()) if target == "mute" else free_port
        done = run_python(
            """
            import sys, time
            from trackway.emitters.redis import RedisEmitter, RedisSender
            emitter = RedisEmitter(sys.argv[1], exit_budget=1.0)
            emitter.input({"eid": "e1"})
            import atexit
            start = time.monotonic()
            # Registered later, so called earlier: what follows it is the emitter's.
            atexit.register(lambda: print(time.time(), flush=True))
            """,
            f"redis://127.0.0.1:{port}",
        )
    assert done.returncode == 0
    assert "1 events could not be delivered" in done.stderr
    assert time.time() - float(done.stdout) < 20.0  # 1 s, and what a busy machine needs to end


def test_a_forked_child_sends_its_own_events_over_a_connection_of_its_own(
    key: str, rdb: redis.Redis
) -> None:
    done = run_python(
        """
        import os, sys
        from trackway.emitters.redis import RedisEmitter, RedisSender
        emitter = RedisEmitter(sys.argv[1], sys.argv[2], interval=60)
        emitter.input({"eid": "first"})
        assert emitter.flush(30) == 0  # connected
        emitter.input({"eid": "parent"})
        children = []
        for child in range(3):
            if (pid := os.fork()) == 0:
                emitter.input({"eid": f"child {child}"})
                os._exit(emitter.flush(30))
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
        emitter.input({"eid": "last"})
        assert emitter.flush(30) == 0
        assert emitter.stats()["retried"] == 0, emitter.stats()
        """,
        REDIS_URL,
        key,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(ids(rdb, key)) == ["child 0", "child 1", "child 2", "first", "last", "parent"]


def test_what_the_queue_cannot_hold_is_counted_and_told(
    free_port: int, emitter: Callable[..., RedisEmitter]
) -> None:
    told: list[tuple[str, str]] = []
    one = emitter(
        f"redis://127.0.0.1:{free_port}",
        interval=60,
        buffer_capacity=3,
        overflow="oldest",
        on_drop=lambda payload, reason: told.append((payload["eid"], reason)),
    )
    assert one.flush(0) == 0
    for number in range(5):
        one.input(event(number))
    one.close(0.0)
    assert {reason for _, reason in told} == {"queue_full", "exit"}
    assert sorted(name for name, _ in told) == numbered(5)
    assert one.stats()["dropped:queue_full"] == 2


def test_events_wait_while_redis_is_full_or_the_key_is_something_else(
    own_redis: Callable[..., RedisServer], emitter: Callable[..., RedisEmitter]
) -> None:
    server = own_redis().start()
    server.client.set("events", "a text")
    one = emitter(server.url, "events")
    one.input(event(0))
    assert one.flush(0.3) == 1
    server.client.delete("events")
    assert one.flush(30) == 0
    connections = {client["id"] for client in server.client.client_list()}
    server.client.config_set("maxmemory", "1")
    one.input(event(1))
    assert one.flush(0.3) == 1
    server.client.config_set("maxmemory", "0")
    assert one.flush(30) == 0
    assert ids(server.client, "events") == ["e0", "e1"]
    # After an error it connects anew: behind the name there may be another server by now.
    assert {client["id"] for client in server.client.client_list()} - connections


def test_what_can_never_work_is_said_at_once() -> None:
    with pytest.raises(SettingError, match="no URL of a Redis"):
        RedisEmitter("redis//localhost")
    with pytest.raises(TypeError, match="asyncio"):
        RedisEmitter(redis.asyncio.Redis())
    with pytest.raises(TypeError, match="a URL or None"):
        RedisEmitter({"host": "localhost"})
    for wrong in ({"batch_size": 0}, {"interval": -1.0}, {"overflow": "all"}, {"retry_for": "x"}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            RedisEmitter(**wrong)
    with pytest.raises(TypeError, match=r"expected an object with input\(dict\)"):
        RedisWorker(object())
    with pytest.raises(TypeError, match="key"):
        RedisWorker(MemoryEmitter(), None, 7)
    with pytest.raises(SettingError, match="batch_size"):
        RedisWorker(MemoryEmitter(), batch_size=0)


def test_a_missing_redis_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtra, match=r"pip install 'trackway\[redis\]'"):
        RedisEmitter()
    with pytest.raises(MissingExtra, match=r"pip install 'trackway\[redis\]'"):
        RedisWorker(MemoryEmitter())


async def flushed(one: RedisEmitter) -> int:
    return await one.aflush(30)


def test_it_can_be_flushed_from_asyncio_and_used_in_a_with_statement(
    rdb: redis.Redis, key: str
) -> None:
    import asyncio

    with RedisEmitter(rdb, key, interval=60) as one:
        one.input(event(1))
        assert asyncio.run(flushed(one)) == 0
        one.input(event(2))
    assert ids(rdb, key) == ["e1", "e2"]


# The worker -----------------------------------------------------------------------------------


class Custom:
    """A custom emitter: what the documents ask of one, and no more."""

    def __init__(self, judge: Callable[[dict[str, Any]], bool] = lambda payload: True) -> None:
        self.judge = judge
        self.payloads: list[dict[str, Any]] = []
        self.tries = 0
        self.tried: list[str] = []

    def input(self, payload: dict[str, Any]) -> None:
        self.tries += 1
        self.tried.append(payload.get("eid", ""))
        if not self.judge(payload):
            raise ConnectionError("no")
        self.payloads.append(payload)

    def ids(self) -> list[str]:
        return [payload["eid"] for payload in self.payloads]


@pytest.fixture
def running() -> Iterator[Callable[[RedisWorker], threading.Thread]]:
    """Runs workers in threads and ends them with the test."""
    started: list[tuple[RedisWorker, threading.Thread]] = []

    def run(worker: RedisWorker) -> threading.Thread:
        thread = threading.Thread(target=worker.run)
        started.append((worker, thread))
        thread.start()
        return thread

    yield run
    for worker, _ in started:
        worker.request_shutdown()
    for _, thread in started:
        thread.join(60)
        assert not thread.is_alive()


def quick(endpoint: str, **options: Any) -> AsyncEmitter:
    options.setdefault("max_retry_delay_seconds", 0.1)
    return AsyncEmitter(endpoint, **options)


def test_a_worker_delivers_everything_once_and_in_order(
    rdb: redis.Redis, key: str, collector: Collector
) -> None:
    with RedisEmitter(rdb, key) as source:
        for number in range(2500):
            source.input(event(number))
    worker = RedisWorker(quick(collector.url), rdb, key)
    worker.run(until_empty=True)
    assert collector.ids() == numbered(2500)
    assert worker.stats()["delivered"] == 2500
    assert list(rdb.scan_iter(f"{key}*")) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda url: Emitter(url),
        lambda url: AsyncEmitter(url, batch_size=50, thread_count=3),
        lambda url: AsyncEmitter(url, method="get"),
        lambda url: AsyncEmitter(url, buffer_capacity=7),
    ],
    ids=["synchronous", "several threads", "get", "small"],
)
def test_a_worker_works_with_every_emitter_of_ours(
    make: Callable[[str], Emitter], rdb: redis.Redis, key: str, collector: Collector
) -> None:
    fill(rdb, key, 100)
    RedisWorker(make(collector.url), rdb, key).run(until_empty=True)
    assert collector.counts() == dict.fromkeys(numbered(100), 1)


def test_a_worker_can_carry_events_from_one_redis_list_to_another(
    rdb: redis.Redis, key: str, emitter: Callable[..., RedisEmitter]
) -> None:
    fill(rdb, key, 100)
    RedisWorker(emitter(rdb, f"{key}:elsewhere"), rdb, key).run(until_empty=True)
    assert ids(rdb, f"{key}:elsewhere") == numbered(100)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda rdb, key: ((Custom(), rdb, key), {}),
        lambda rdb, key: ((Custom(), key, rdb), {}),
        lambda rdb, key: ((Custom(), key), {"dbr": rdb}),
        lambda rdb, key: ((Custom(),), {"key": key, "rdb": rdb}),
        lambda rdb, key: ((), {"_consumer": Custom(), "key": key, "dbr": rdb}),
        lambda rdb, key: ((Custom(), REDIS_URL, key), {}),
        lambda rdb, key: ((Custom(), key, REDIS_URL), {}),
    ],
)
def test_a_worker_understands_the_arguments_of_all_documents(
    arguments: Callable[[redis.Redis, str], Any], rdb: redis.Redis, key: str
) -> None:
    fill(rdb, key, 3)
    positional, named = arguments(rdb, key)
    worker = RedisWorker(*positional, **named)
    worker.run(until_empty=True)
    assert worker.emitter.ids() == numbered(3)


def test_a_worker_without_a_key_reads_the_list_snowplow() -> None:
    assert RedisWorker(Custom()).key == "snowplow"
    assert RedisWorker(Custom(), None, None).key == "snowplow"


OLD = {
    "tv": "py-0.4.0", "e": "pv", "url": "http://www.example.com", "dtm": 1400252420261,
    "tid": 7515828, "p": "pc", "se_va": 49.95, "own": "kept",
}  # fmt: skip


def test_elements_of_old_trackers_reach_a_custom_emitter_as_they_are(
    rdb: redis.Redis, key: str
) -> None:
    rdb.rpush(key, json.dumps(OLD))
    custom = Custom()
    RedisWorker(custom, rdb, key).run(until_empty=True)
    assert custom.payloads == [OLD]
    assert isinstance(custom.payloads[0]["dtm"], int)


def test_elements_of_old_trackers_reach_a_collector_as_text(
    rdb: redis.Redis, key: str, collector: Collector
) -> None:
    # One number would make a collector refuse the whole POST.
    rdb.rpush(key, json.dumps(OLD))
    RedisWorker(quick(collector.url), rdb, key).run(until_empty=True)
    (found,) = collector.kept
    assert found.pop("stm").isdigit()
    assert found == {name: str(value) for name, value in OLD.items()}


UNREADABLE = [b"not json", b"\xff\xfe", b"[1]", b'"text"', b"{}", b"null", b"[" * 100_000]


def test_an_element_that_is_no_payload_is_set_aside_and_the_neighbours_go_on(
    rdb: redis.Redis, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number, element in enumerate(UNREADABLE):
        fill(rdb, key, 1, number)
        rdb.rpush(key, element)
    custom = Custom()
    worker = RedisWorker(custom, rdb, key, batch_size=3)
    worker.run(until_empty=True)
    assert custom.ids() == numbered(len(UNREADABLE))
    assert rdb.lrange(f"{key}:unreadable", 0, -1) == UNREADABLE
    assert worker.stats()["unreadable"] == len(UNREADABLE)
    assert len([r for r in caplog.records if "unreadable" in r.message]) == 1


def test_an_event_that_the_collector_refuses_is_set_aside(
    rdb: redis.Redis, key: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    fill(rdb, key, 10)
    told: list[str] = []
    collector.judge = lambda events: 400 if events[0]["eid"] in ("e3", "e6") else 200
    one = quick(collector.url, batch_size=1, on_drop=lambda p, reason: told.append(reason))
    worker = RedisWorker(one, rdb, key)
    worker.run(until_empty=True)
    assert sorted(collector.ids()) == sorted(set(numbered(10)) - {"e3", "e6"})
    assert ids(rdb, f"{key}:rejected") == ["e3", "e6"]
    assert told == ["rejected", "rejected"]  # whoever made the emitter hears of it as ever
    assert worker.stats()["rejected"] == 2
    assert len([r for r in caplog.records if "set aside" in r.message]) == 1
    assert held_by_workers(rdb, key) == 0


def test_of_what_is_set_aside_the_newest_are_kept(rdb: redis.Redis, key: str) -> None:
    rdb.rpush(key, *[f"bad {n}" for n in range(10)])
    RedisWorker(Custom(), rdb, key, keep=3).run(until_empty=True)
    assert rdb.lrange(f"{key}:unreadable", 0, -1) == [b"bad 7", b"bad 8", b"bad 9"]
    rdb.rpush(key, "bad")
    rdb.delete(f"{key}:unreadable")
    RedisWorker(Custom(), rdb, key, keep=0).run(until_empty=True)
    assert not rdb.exists(f"{key}:unreadable", key)


def test_an_event_that_a_custom_emitter_cannot_take_does_not_stop_the_others(
    rdb: redis.Redis, key: str, running: Callable[[RedisWorker], threading.Thread]
) -> None:
    fill(rdb, key, 20)
    custom = Custom(lambda payload: payload["eid"] not in ("e0", "e1", "e2", "e3", "e9"))
    running(worker := RedisWorker(custom, rdb, key))
    wait_until(lambda: len(custom.payloads) == 15)
    start = 20
    while worker.stats()["rejected"] < 5:  # others get through, again and again
        fill(rdb, key, 1, start)
        start += 1
        wait_until(lambda s=start: f"e{s - 1}" in custom.ids())  # type: ignore[misc]
    wait_until(lambda: rdb.llen(f"{key}:rejected") == 5)
    assert set(ids(rdb, f"{key}:rejected")) == {"e0", "e1", "e2", "e3", "e9"}
    assert sorted(custom.ids()) == sorted(set(custom.ids()))


@pytest.mark.parametrize("count", [3, 50])
def test_an_outage_of_a_custom_emitter_sets_nothing_aside(
    count: int,
    rdb: redis.Redis,
    key: str,
    running: Callable[[RedisWorker], threading.Thread],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_worker, "Backoff", lambda *_: Backoff(0.01, 0.05))
    fill(rdb, key, count)
    works = threading.Event()
    custom = Custom(lambda payload: works.is_set())
    running(worker := RedisWorker(custom, rdb, key))
    wait_until(lambda: custom.tries >= 30)
    if count == 50:  # three failures end a round, and the next one begins with others
        assert custom.tried[:6] == ["e0", "e1", "e2", "e3", "e4", "e5"]
    works.set()
    wait_until(lambda: len(custom.payloads) == count)
    assert sorted(custom.ids()) == sorted(numbered(count))
    assert worker.stats()["rejected"] == 0


class Buffering(Custom):
    """A custom emitter that sends when it is flushed, in the manner of old ones."""

    def __init__(self, flushes: list[Any]) -> None:
        super().__init__()
        self.flushes = flushes
        self.sent: list[str] = []

    def flush(self) -> Any:
        answer = self.flushes.pop(0) if self.flushes else None
        if isinstance(answer, Exception):
            self.payloads.clear()
            raise answer
        if not answer:
            self.sent += self.ids()
            self.payloads.clear()
        return answer


def test_what_a_custom_emitter_says_about_flushing_is_heard(rdb: redis.Redis, key: str) -> None:
    fill(rdb, key, 5)
    buffering = Buffering([OSError("away"), 5, 5, True])
    RedisWorker(buffering, rdb, key).run(until_empty=True)
    # It failed once, said twice that five are left, and then that it is glad; True is no number.
    assert buffering.sent == []
    assert buffering.ids() == numbered(5)
    assert buffering.flushes == []
    assert rdb.llen(key) == held_by_workers(rdb, key) == 0


class Full(Custom):
    """A custom emitter that never gets rid of anything."""

    flushes = 0

    def flush(self) -> int:
        self.flushes += 1
        return len(self.payloads)


def test_a_custom_emitter_that_never_gets_rid_of_anything_is_not_flushed_in_circles(
    rdb: redis.Redis, key: str, running: Callable[[RedisWorker], threading.Thread]
) -> None:
    fill(rdb, key, 5)
    full = Full()
    thread = running(worker := RedisWorker(full, rdb, key))
    time.sleep(2.0)
    assert 1 <= full.flushes < 50
    worker.request_shutdown()
    thread.join(60)
    assert ids(rdb, key) == numbered(5)  # nobody knows what became of them


def test_while_a_collector_is_away_the_events_stay_in_redis(
    rdb: redis.Redis,
    key: str,
    collector: Collector,
    running: Callable[[RedisWorker], threading.Thread],
) -> None:
    fill(rdb, key, 100)
    collector.judge = lambda events: 503
    running(worker := RedisWorker(quick(collector.url), rdb, key, batch_size=10))
    wait_until(lambda: collector.asked >= 3)
    assert rdb.llen(key) == 90
    assert held_by_workers(rdb, key) == 10
    collector.judge = lambda events: 200
    wait_until(lambda: worker.stats()["delivered"] == 100)
    assert collector.ids() == numbered(100)
    wait_until(lambda: held_by_workers(rdb, key) == 0)


def test_a_collector_that_is_away_is_not_asked_more_often_because_a_worker_waits(
    rdb: redis.Redis,
    key: str,
    collector: Collector,
    running: Callable[[RedisWorker], threading.Thread],
) -> None:
    fill(rdb, key, 1)
    collector.judge = lambda events: 503
    running(RedisWorker(AsyncEmitter(collector.url), rdb, key, grace=0.1))
    time.sleep(6.0)
    assert collector.asked < 60


def test_what_an_emitter_gives_up_for_want_of_time_or_room_is_tried_again(
    rdb: redis.Redis,
    key: str,
    collector: Collector,
    running: Callable[[RedisWorker], threading.Thread],
) -> None:
    fill(rdb, key, 60)
    told: list[str] = []
    collector.judge = lambda events: 503
    one = quick(
        collector.url,
        retry_for=0.05,
        buffer_capacity=25,
        batch_size=10,
        on_drop=lambda payload, reason: told.append(reason),
    )
    running(worker := RedisWorker(one, rdb, key))
    wait_until(lambda: one.stats().get("dropped:expired", 0) > 0)
    assert one.stats()["dropped:queue_full"] > 0
    assert worker.stats()["delivered"] == 0
    collector.judge = lambda events: 200
    wait_until(lambda: worker.stats()["delivered"] == 60)
    assert sorted(collector.ids()) == sorted(numbered(60))
    assert told == []  # nothing was lost, so there is nothing to tell


class LateTold(MemoryEmitter):
    """Counts a drop at once and tells of it when its flush has come back long ago."""

    def __init__(self) -> None:
        super().__init__()
        from trackway.emitters.callbacks import Callbacks

        self.callbacks = Callbacks(None, None, None, logging.getLogger("test"))
        self.drops = 0

    def input(self, payload: Any) -> None:
        if self.drops < 1:
            self.drops += 1
            item = json.dumps(payload).encode()[:-1]
            threading.Timer(0.3, self.callbacks.lost, ([item], "expired", 0)).start()
        else:
            super().input(payload)

    def stats(self) -> dict[str, int]:
        return {**super().stats(), "dropped:expired": self.drops}


def test_an_emitter_that_tells_of_a_drop_late_does_not_lose_the_event(
    rdb: redis.Redis, key: str
) -> None:
    fill(rdb, key, 3)
    late = LateTold()
    RedisWorker(late, rdb, key).run(until_empty=True)
    assert sorted(p["eid"] for p in late.payloads) == numbered(3)


def test_an_emitter_gets_its_own_callback_back(rdb: redis.Redis, key: str) -> None:
    def tell(payload: dict[str, Any], reason: str) -> None:
        pass

    one = quick("127.0.0.1:1", on_drop=tell)
    RedisWorker(one, rdb, key).run(until_empty=True)
    assert one.callbacks.on_drop is tell
    one.close(0.0)


def test_several_workers_share_a_list_without_doing_anything_twice(
    rdb: redis.Redis, key: str, running: Callable[[RedisWorker], threading.Thread]
) -> None:
    customs = [Custom() for _ in range(4)]
    for custom in customs:
        running(RedisWorker(custom, rdb, key, batch_size=20))
    for start in range(0, 3000, 100):
        fill(rdb, key, 100, start)
    wait_until(lambda: sum(len(custom.payloads) for custom in customs) >= 3000)
    found = [name for custom in customs for name in custom.ids()]
    assert sorted(found) == sorted(numbered(3000))


def test_a_worker_that_is_busy_for_long_is_not_taken_for_dead(
    rdb: redis.Redis, key: str, running: Callable[[RedisWorker], threading.Thread]
) -> None:
    fill(rdb, key, 10)

    def slowly(payload: dict[str, Any]) -> bool:
        time.sleep(0.5)
        return True

    busy, idle = Custom(slowly), Custom()
    running(RedisWorker(busy, rdb, key, dead_after=1.5))
    wait_until(lambda: busy.tries)
    running(RedisWorker(idle, rdb, key, dead_after=1.5))
    wait_until(lambda: len(busy.payloads) == 10)
    assert idle.payloads == []


def test_an_idle_worker_listens_and_does_not_ask_again_and_again(
    own_redis: Callable[..., RedisServer], running: Callable[[RedisWorker], threading.Thread]
) -> None:
    server = own_redis().start()
    custom = Custom()
    running(RedisWorker(custom, server.url, "events"))
    wait_until(lambda: server.client.scard("events:workers") == 1)
    before = server.client.info("stats")["total_commands_processed"]
    time.sleep(4.0)
    after = server.client.info("stats")["total_commands_processed"]
    assert after - before < 60
    start = time.monotonic()
    fill(server.client, "events", 1)
    wait_until(lambda: custom.payloads)
    assert time.monotonic() - start < 10.0


def test_a_full_redis_can_be_emptied(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis().start()
    fill(server.client, "events", 500)
    server.client.config_set("maxmemory", "1")
    with pytest.raises(redis.RedisError, match="maxmemory"):
        fill(server.client, "events", 1)
    custom = Custom()
    worker = RedisWorker(custom, server.url, "events", batch_size=50)
    worker.run(until_empty=True)
    assert custom.ids() == numbered(500)
    assert worker.stats()["redis_errors"] == 0


# Workers that die -----------------------------------------------------------------------------


class Process:
    """A RedisWorker in its own process."""

    def __init__(self, url: str, key: str, endpoint: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), url, key, endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=clean_environment(PYTHONPATH=str(ROOT), **env),
        )
        self.output = ""

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        out, self.errors = self.process.communicate(timeout=120)
        self.output += out
        return self.process.returncode


@pytest.fixture
def worker_process() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*arguments: str, **env: str) -> Process:
        started.append(Process(*arguments, **env))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_is_killed_holds_no_event_back(
    point: str,
    rdb: redis.Redis,
    key: str,
    collector: Collector,
    worker_process: Callable[..., Process],
) -> None:
    killed = worker_process(REDIS_URL, key, collector.url, KILL_POINT=f"{point}:2")
    other = worker_process(REDIS_URL, key, collector.url)
    total = 0
    while killed.process.poll() is None:  # whoever takes them
        fill(rdb, key, 50, total)
        total += 50
        time.sleep(0.02)
    assert killed.wait() == -signal.SIGKILL
    wait_until(lambda: len(collector.counts()) == total)
    wait_until(lambda: rdb.llen(key) == held_by_workers(rdb, key) == 0)
    other.send(signal.SIGTERM)
    assert other.wait() == 0, other.errors
    assert set(collector.counts()) == set(numbered(total))
    # Twice is only what the dead one had sent and could not settle: what it held at most.
    assert len(collector.ids()) <= total + 40


def test_the_next_worker_takes_over_from_one_that_was_killed_alone(
    rdb: redis.Redis, key: str, collector: Collector, worker_process: Callable[..., Process]
) -> None:
    fill(rdb, key, 100)
    killed = worker_process(REDIS_URL, key, collector.url, KILL_POINT="after-take:1")
    assert killed.wait() == -signal.SIGKILL
    assert held_by_workers(rdb, key) == 40
    other = worker_process(REDIS_URL, key, collector.url)
    wait_until(lambda: len(collector.ids()) >= 100)
    assert collector.counts() == dict.fromkeys(numbered(100), 1)
    other.send(signal.SIGINT)
    assert other.wait() == 0, other.errors
    assert "'adopted': 40" in other.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_that_is_asked_to_end_leaves_every_event_delivered_or_in_the_list(
    number: signal.Signals,
    rdb: redis.Redis,
    key: str,
    collector: Collector,
    worker_process: Callable[..., Process],
) -> None:
    collector.judge = slowly(0.05)
    fill(rdb, key, 1000)
    worker = worker_process(REDIS_URL, key, collector.url)
    wait_until(lambda: len(collector.ids()) >= 30)
    worker.send(number)
    assert worker.wait() == 0, worker.errors
    delivered, left = collector.ids(), ids(rdb, key)
    assert left
    assert delivered + left == numbered(1000)
    assert set(rdb.scan_iter(f"{key}*")) == {key.encode()}
    assert f"'delivered': {len(delivered)}" in worker.output


@pytest.mark.parametrize("status", [503, -1])
def test_a_worker_that_ends_while_the_collector_is_away_puts_back_what_it_holds(
    status: int,
    rdb: redis.Redis,
    key: str,
    collector: Collector,
    worker_process: Callable[..., Process],
) -> None:
    fill(rdb, key, 100)
    # Ten of the first forty arrive, so the rest must go back without them.
    collector.judge = lambda events: 200 if events[0]["eid"] == "e0" else status
    worker = worker_process(REDIS_URL, key, collector.url, GRACE="1")
    wait_until(lambda: collector.asked >= 3)
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0, worker.errors
    assert ids(rdb, key) == numbered(100)[10:]
    collector.judge = lambda events: 200
    again = worker_process(REDIS_URL, key, collector.url)
    wait_until(lambda: len(collector.ids()) >= 100)
    again.send(signal.SIGTERM)
    assert again.wait() == 0
    assert collector.counts() == dict.fromkeys(numbered(100), 1)


def test_a_worker_that_ends_leaves_to_the_spool_what_the_spool_has(
    rdb: redis.Redis, key: str, collector: Collector, tmp_path: Path
) -> None:
    fill(rdb, key, 10)
    collector.judge = lambda events: 503
    code = """
        import os, signal, sys, threading
        from trackway import AsyncEmitter
        from trackway.emitters.redis_worker import RedisWorker
        emitter = AsyncEmitter(sys.argv[3], spool=sys.argv[4])
        worker = RedisWorker(emitter, sys.argv[1], sys.argv[2], grace=0.5)
        if len(sys.argv) > 5:
            threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
            worker.run()
        else:
            worker.run(until_empty=True)
            assert emitter.flush(60) == 0
    """
    spool = str(tmp_path / "spool")
    done = run_python(code, REDIS_URL, key, collector.url, spool, "stop")
    assert done.returncode == 0, done.stderr
    assert rdb.llen(key) == 0
    collector.judge = lambda events: 200
    done = run_python(code, REDIS_URL, key, collector.url, spool)
    assert done.returncode == 0, done.stderr
    assert collector.counts() == dict.fromkeys(numbered(10), 1)


def test_a_worker_that_only_seemed_dead_loses_nothing(
    rdb: redis.Redis, key: str, collector: Collector, worker_process: Callable[..., Process]
) -> None:
    fill(rdb, key, 400)
    collector.judge = slowly(0.02)
    frozen = worker_process(REDIS_URL, key, collector.url)
    frozen.wait_until_ready()
    wait_until(lambda: collector.asked >= 2)
    frozen.send(signal.SIGSTOP)
    other = worker_process(REDIS_URL, key, collector.url)
    wait_until(lambda: held_by_workers(rdb, key) == rdb.llen(key) == 0)
    frozen.send(signal.SIGCONT)
    fill(rdb, key, 100, 400)
    wait_until(lambda: len(collector.counts()) == 500)
    for one in (frozen, other):
        one.send(signal.SIGTERM)
        assert one.wait() == 0, one.errors
    assert set(collector.counts()) == set(numbered(500))
    assert rdb.llen(key) == held_by_workers(rdb, key) == 0


# Signals --------------------------------------------------------------------------------------


def test_a_worker_in_a_thread_ends_on_request_and_touches_no_signal(
    rdb: redis.Redis, key: str, running: Callable[[RedisWorker], threading.Thread]
) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    fill(rdb, key, 5)
    custom = Custom()
    thread = running(worker := RedisWorker(custom, rdb, key))
    wait_until(lambda: len(custom.payloads) == 5)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    worker.request_shutdown()
    thread.join(30)
    assert not thread.is_alive()
    worker.request_shutdown()  # before it runs: it returns at once
    worker.run()
    fill(rdb, key, 1, 5)
    worker.run(until_empty=True)  # and it can be run again
    assert custom.ids() == numbered(6)


def test_the_handlers_of_the_application_are_in_place_again_afterwards(
    rdb: redis.Redis, key: str
) -> None:
    mine: list[int] = []
    inside: list[Any] = []
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
    before = {
        name: signal.signal(name, lambda number, frame: mine.append(number)) for name in names
    }
    try:
        fill(rdb, key, 1)

        def look(payload: dict[str, Any]) -> bool:
            inside.append(signal.getsignal(signal.SIGTERM))
            os.kill(os.getpid(), signal.SIGTERM)
            return True

        RedisWorker(custom := Custom(look), rdb, key).run()
        assert custom.ids() == ["e0"]
        assert mine == []
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: mine == [signal.SIGTERM])
        assert inside[0] is not signal.getsignal(signal.SIGTERM)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


# Redis goes away and comes back ---------------------------------------------------------------


def test_a_worker_waits_for_a_redis_that_went_away(
    own_redis: Callable[..., RedisServer],
    running: Callable[[RedisWorker], threading.Thread],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = own_redis()
    custom = Custom()
    running(worker := RedisWorker(custom, server.url, "events", batch_size=10))
    wait_until(lambda: worker.stats()["redis_errors"] >= 2)
    server.start()
    fill(server.client, "events", 100)
    wait_until(lambda: len(custom.payloads) == 100)
    for round_ in range(1, 4):
        server.stop()
        errors = worker.stats()["redis_errors"]
        wait_until(lambda n=errors: worker.stats()["redis_errors"] > n)  # type: ignore[misc]
        server.start()
        fill(server.client, "events", 100, 100 * round_)
        wait_until(lambda n=round_: len(custom.payloads) >= 100 * (n + 1))  # type: ignore[misc]
    assert sorted(custom.ids()) == sorted(numbered(400))
    wait_until(lambda: held_by_workers(server.client, "events") == 0)
    assert len([r for r in caplog.records if "cannot use Redis" in r.message]) == 4
    assert len([r for r in caplog.records if "works again" in r.message]) == 4


def test_what_was_delivered_while_redis_was_away_is_not_delivered_again(
    own_redis: Callable[..., RedisServer], running: Callable[[RedisWorker], threading.Thread]
) -> None:
    server = own_redis().start()
    fill(server.client, "events", 20)

    def stop_it(payload: dict[str, Any]) -> bool:
        if payload["eid"] == "e4":
            server.stop()
        return True

    custom = Custom(stop_it)
    running(worker := RedisWorker(custom, server.url, "events", batch_size=5))
    wait_until(lambda: worker.stats()["redis_errors"] >= 2)
    assert custom.ids() == numbered(5)
    server.start()
    wait_until(lambda: len(custom.payloads) >= 20)
    wait_until(lambda: held_by_workers(server.client, "events") == 0)
    assert custom.ids() == numbered(20)


def test_a_worker_that_ends_while_redis_is_away_ends_nevertheless(
    own_redis: Callable[..., RedisServer],
    collector: Collector,
    worker_process: Callable[..., Process],
) -> None:
    server = own_redis().start()
    fill(server.client, "events", 1000)
    collector.judge = slowly(0.05)
    worker = worker_process(server.url, "events", collector.url, GRACE="0.5")
    wait_until(lambda: collector.asked >= 2)
    server.stop()
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert "cannot give back" in worker.errors
    server.start()
    worker_process(server.url, "events", collector.url)
    wait_until(lambda: len(collector.counts()) == 1000)
    assert len(collector.ids()) <= 1000 + 40


# The list -------------------------------------------------------------------------------------


def test_two_that_adopt_at_the_same_time_lose_and_double_nothing(
    rdb: redis.Redis, key: str
) -> None:
    fill(rdb, key, 300)
    dead = [RedisList(rdb, key) for _ in range(5)]
    for one in dead:
        one.take(50)
    assert rdb.llen(key) == 50
    adopters = [RedisList(redis.Redis.from_url(REDIS_URL), key) for _ in range(8)]
    for adopter in adopters:
        assert adopter.adopt() == 0  # the first look
    ready = threading.Barrier(len(adopters))
    numbers: list[int] = []

    def adopt(one: RedisList) -> None:
        ready.wait()
        numbers.append(one.adopt())

    threads = [threading.Thread(target=adopt, args=(one,)) for one in adopters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(numbers) == 250
    assert sorted(ids(rdb, key)) == sorted(numbered(300))
    assert set(rdb.scan_iter(f"{key}*")) == {key.encode()}


def test_the_living_are_not_robbed(
    rdb: redis.Redis, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(rdb, key, 10)
    living, other = RedisList(rdb, key), RedisList(rdb, key)
    living.take(5)
    assert other.adopt() == 0
    living.beat()  # between two looks, as after an outage of Redis
    assert other.adopt() == 0
    rdb.delete(living.keys.alive)
    assert other.adopt() == 0  # missing for the first time
    other.forget_looks()
    assert other.adopt() == 0
    living.beat()
    monkeypatch.setattr(rdb, "exists", lambda name: 0)  # it came back to life after this look
    assert other.adopt() == 0
    rdb.delete(living.keys.alive)
    assert other.adopt() == 5


def test_what_goes_back_goes_to_the_head_in_its_order(rdb: redis.Redis, key: str) -> None:
    fill(rdb, key, 10)
    one = RedisList(rdb, key)
    taken = one.take(4)
    one.settle([taken[1]])
    assert one.leave() == 3
    assert ids(rdb, key) == ["e0", "e2", "e3", *numbered(10)[4:]]
    assert set(rdb.scan_iter(f"{key}*")) == {key.encode()}


def test_commands_that_are_carried_out_late_or_twice_do_no_harm(rdb: redis.Redis, key: str) -> None:
    # As after an answer that was lost: the command may have been carried out, or will be yet.
    fill(rdb, key, 10)
    one, other = RedisList(rdb, key), RedisList(rdb, key)
    first = one.take(3)
    one.settle(first[:2])
    one.settle(first[2:], aside="rejected")
    second = one.take(3)
    one.settle(first[:2])
    one.settle(first[2:], aside="rejected")
    assert one.take(3) == second
    assert ids(rdb, f"{key}:rejected") == ["e2"]
    one.leave()
    late = one.take(3)  # carried out although the worker has gone: still somebody finds it
    assert late == second
    other.adopt()
    assert other.adopt() == 3
    one.settle(late, aside="rejected")  # they are no longer its own
    assert ids(rdb, key) == numbered(10)[3:]
    assert rdb.llen(f"{key}:rejected") == 1


def test_waiting_for_an_element_leaves_it_where_it_is(rdb: redis.Redis, key: str) -> None:
    one = RedisList(rdb, key)
    one.wait(0.05)
    waiting = [threading.Thread(target=one.wait, args=(30.0,)) for _ in range(3)]
    for thread in waiting:
        thread.start()
    time.sleep(0.1)
    fill(rdb, key, 3)
    for thread in waiting:
        thread.join(20)
        assert not thread.is_alive()
    assert ids(rdb, key) == numbered(3)


def test_a_worker_takes_no_more_than_it_can_hold(rdb: redis.Redis, key: str) -> None:
    rdb.rpush(key, *[json.dumps(event(n, page="x" * 1_000_000)) for n in range(8)])
    one = RedisList(rdb, key)
    assert len(one.take(500)) == 4
    assert rdb.llen(key) == 4


def test_all_keys_of_a_list_with_a_tag_are_in_one_slot_of_a_cluster(rdb: redis.Redis) -> None:
    one = RedisList(rdb, "{shop}:events")
    assert len({key_slot(name.encode()) for name in [*one.keys, "{shop}:events:rejected"]}) == 1
