"""Delivery against servers that misbehave: nothing hangs, and whatever is given up is counted."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import clean_environment
from tests.moody import Mood, Moody, Request, at_most, drip, hang, hang_up, slow, status
from trackway import AsyncEmitter, Tracker
from trackway.delivery.http import Connection
from trackway.delivery.queue import Batch, DeliveryQueue
from trackway.delivery.retry import LONGEST_WAIT, Backoff, parse_retry_after
from trackway.delivery.worker import Delivery
from trackway.emitters.senders import STAMP_BYTES, PostSender
from trackway.errors import SettingError
from trackway.ids import new_id
from trackway.wires.snowplow import BODY_END, BODY_START


@pytest.fixture
def moody() -> Iterator[Callable[..., Moody]]:
    started: list[Moody] = []

    def start(*moods: Mood, **options: Any) -> Moody:
        started.append(Moody(*moods, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def delivery() -> Iterator[Callable[..., Delivery]]:
    """Deliveries to a URL that try again soon, so that tests need not wait."""
    made: list[Delivery] = []

    def make(
        url: str, *, read_timeout: float = 5.0, max_queue_bytes: int = 1 << 25, **options: Any
    ) -> Delivery:
        options.setdefault("interval", 0.01)
        options.setdefault("backoff", Backoff(0.01, 0.05))
        options["batch_bytes"] = options.get("batch_bytes", 500_000) - len(BODY_START + BODY_END)
        options.setdefault("queue", lambda: DeliveryQueue(max_queue_bytes))
        sender = PostSender(Connection(read_timeout=read_timeout), url)
        made.append(Delivery(sender, extra=STAMP_BYTES, **options))
        return made[-1]

    yield make
    for one in made:
        one.close(0.0)


def item(number: int, size: int = 0) -> bytes:
    return json.dumps({"eid": f"e{number}", "page": "x" * size}).encode()


def numbered(count: int) -> list[str]:
    return [f"e{n}" for n in range(count)]


def put_all(delivery: Delivery, count: int, size: int = 0) -> None:
    for number in range(count):
        assert delivery.put(item(number, size))


def workers() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("trackway-delivery")}


def take(queue: DeliveryQueue, count: int, size: int) -> Batch:
    batch = queue.take(count, size)
    assert batch is not None
    return batch


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.005)


# The queue ------------------------------------------------------------------------------------


def test_the_queue_is_bounded_by_what_is_queued_and_in_flight() -> None:
    queue = DeliveryQueue(max_bytes=10)
    assert queue.put(b"12345")
    assert queue.put(b"67890")
    assert not queue.put(b"x")
    batch = take(queue, 10, 100)
    assert not queue.put(b"x")  # fetched, but not sent
    queue.settle(batch, "sent")
    assert queue.put(b"x")
    assert queue.snapshot() == {
        "accepted": 3, "sent": 2, "queued": 1, "queued_bytes": 1, "dropped:queue_full": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "size", "taken"),
    [
        (10, 100, 4),
        (3, 100, 3),
        (10, 8, 2),  # with the comma after each
        (10, 7, 1),
        (10, 1, 1),  # an item that is too large goes alone
        (1, 100, 1),
    ],
)
def test_batches_are_taken_in_order_by_count_and_size(count: int, size: int, taken: int) -> None:
    queue = DeliveryQueue(max_bytes=1000)
    items = [b"aaa", b"bbb", b"ccc", b"ddd"]
    for one in items:
        queue.put(one)
    assert take(queue, count, size).items == items[:taken]
    assert [item for batch in [queue.take(100, 1000)] if batch for item in batch.items] == items[
        taken:
    ]
    assert queue.take(100, 1000) is None


def test_waiting_is_for_what_was_there_and_never_for_what_comes_later() -> None:
    queue = DeliveryQueue(max_bytes=1000)
    assert queue.wait(0) == 0
    queue.put(b"a")
    queue.put(b"b")
    assert queue.wait(0.01) == 2
    waiting = threading.Thread(target=queue.wait, args=(30,))
    waiting.start()
    batch = take(queue, 2, 100)
    queue.put(b"later")
    queue.settle(batch.part(batch.items[:1]), "sent")
    queue.settle(batch.part(batch.items[1:]), "dropped:rejected")
    waiting.join(10)
    assert not waiting.is_alive()
    assert len(queue) == 1


def test_what_nobody_has_fetched_can_be_dropped() -> None:
    queue = DeliveryQueue(max_bytes=1000)
    for _ in range(5):
        queue.put(b"x")
    fetched = take(queue, 2, 100)
    assert queue.drop_queued("exit") == 3
    assert queue.drop_queued("exit") == 0
    assert queue.wait(0) == 2
    queue.settle(fetched, "sent")
    assert queue.snapshot()["dropped:exit"] == 3
    assert queue.wait(0) == 0


@pytest.mark.parametrize("bounds", [{"max_items": 4}, {"max_bytes": 8}])
def test_the_oldest_give_way_one_by_one_if_that_is_wished(bounds: dict[str, int]) -> None:
    told: list[bytes] = []
    queue = DeliveryQueue(
        **{"max_bytes": 1000, **bounds},
        overflow="oldest",
        lost=lambda items, reason, beside: told.extend(items),
    )
    for number in range(4):
        assert queue.put(b"%02d" % number)
    in_flight = take(queue, 1, 100)
    queue.put_back(take(queue, 2, 100))  # tried and failed: these are older than what is queued
    for number in range(4, 6):
        assert queue.put(b"%02d" % number)
    assert told == [b"01", b"02"]
    assert queue.put(b"06") and queue.put(b"07")
    assert told == [b"01", b"02", b"03", b"04"]
    assert not queue.put(b"x" * 1001)  # nobody gives way for what can never fit
    assert told == [b"01", b"02", b"03", b"04", b"x" * 1001]
    queue.settle(in_flight, "sent")
    assert queue.snapshot()["dropped:queue_full"] == len(told)


def test_many_threads_lose_nothing_and_count_right() -> None:
    queue = DeliveryQueue(max_bytes=200_000)
    taken: list[bytes] = []
    done = threading.Event()

    def feed(number: int) -> None:
        for n in range(2000):
            queue.put(b"%d-%d" % (number, n))

    def drain() -> None:
        while not done.is_set() or len(queue):
            if (batch := queue.take(7, 60)) is not None:
                taken.extend(batch.items)
                queue.settle(batch, "sent")

    feeders = [threading.Thread(target=feed, args=(n,)) for n in range(4)]
    drainer = threading.Thread(target=drain)
    for thread in [*feeders, drainer]:
        thread.start()
    for thread in feeders:
        thread.join()
    assert queue.wait(30) == 0
    done.set()
    drainer.join()
    counted = queue.snapshot()
    assert counted["accepted"] == counted["sent"] == len(set(taken)) == len(taken)
    assert counted["accepted"] + counted.get("dropped:queue_full", 0) == 8000
    assert queue.queued_bytes == 0


def test_a_signal_handler_may_track_while_the_same_thread_is_inside_the_queue() -> None:
    queue = DeliveryQueue(max_bytes=10_000_000)
    handled = 0

    def handle(*_: Any) -> None:
        nonlocal handled
        handled += 1
        queue.put(b"from the handler")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    own = 0
    try:
        until = time.monotonic() + 10
        while handled < 100 and time.monotonic() < until:
            queue.put(b"from the thread")
            own += 1
            if own % 1000 == 0:
                queue.settle(take(queue, 1000, 100_000), "sent")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled >= 100
    assert queue.snapshot()["accepted"] == own + handled


# When to try again ----------------------------------------------------------------------------


def test_waits_are_spread_below_a_ceiling_that_doubles() -> None:
    backoff = Backoff(first=1.0, longest=8.0)
    for ceiling in (1, 2, 4, 8, 8, 8):
        state = backoff.failures
        waits = []
        for _ in range(300):
            backoff.failures = state
            waits.append(backoff.failed())
        assert 0 <= min(waits) < 0.1 * ceiling
        assert 0.9 * ceiling < max(waits) <= ceiling
    backoff.succeeded()
    assert backoff.failed() <= 1.0


def test_the_servers_wish_is_a_minimum() -> None:
    backoff = Backoff(first=1.0)
    assert backoff.failed(retry_after=5.0) >= 5.0
    assert all(Backoff(first=1.0).failed(retry_after=0.1) >= 0.1 for _ in range(50))


def test_failing_for_ever_overflows_nothing() -> None:
    backoff = Backoff(first=1.0, longest=60.0)
    assert all(backoff.failed() <= 60.0 for _ in range(5000))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("1.5", 1.5),
        ("86400", LONGEST_WAIT),
        ("inf", LONGEST_WAIT),
        ("soon", None),
        ("nan", None),
        ("Fri, 31 Nov 2026 99:00:00 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = parse_retry_after(later)
    assert seconds is not None
    assert 25 < seconds <= 30


# Sending --------------------------------------------------------------------------------------


def test_events_arrive_in_order_over_one_connection(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody()
    one = delivery(server.url, batch_size=10)
    put_all(one, 200)
    assert one.flush(20) == 0
    assert server.names() == numbered(200)
    assert len(server.bodies) >= 20
    assert server.connections == 1
    assert one.stats() == {
        "accepted": 200, "sent": 200, "retried": 0, "queued": 0, "queued_bytes": 0,
    }  # fmt: skip


def test_nothing_is_started_before_the_first_event(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    one = delivery(moody().url)
    before = workers()
    assert one.flush(1) == 0
    assert workers() - before == set()
    one.put(item(0))
    (thread,) = workers() - before
    assert thread.daemon


@pytest.mark.parametrize(("batch_bytes", "size"), [(2_000, 100), (2_000, 900), (10_000, 10)])
def test_no_body_is_larger_than_asked_for(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery], batch_bytes: int, size: int
) -> None:
    server = moody()
    one = delivery(server.url, batch_bytes=batch_bytes, interval=0.2)
    put_all(one, 100, size)
    assert one.flush(20) == 0
    assert server.names() == numbered(100)
    assert max(map(len, server.bodies)) <= batch_bytes
    # and they are not much smaller either
    assert len(server.bodies) <= 2 + 100 * (size + 60) / (batch_bytes - size - 200)


def test_a_single_event_above_the_limit_goes_alone(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody()
    one = delivery(server.url, batch_bytes=500, interval=0.2)
    for number, size in enumerate((10, 5000, 10)):
        one.put(item(number, size))
    assert one.flush(20) == 0
    assert [len(json.loads(body)["data"]) for body in server.bodies] == [1, 1, 1]


def test_every_event_says_when_it_was_sent(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody(status(500))
    one = delivery(server.url)
    begun = int(time.time() * 1000)
    put_all(one, 3)
    assert one.flush(20) == 0
    stamps = {int(event["stm"]) for event in server.kept}
    assert len(stamps) == 1
    assert begun <= stamps.pop() <= int(time.time() * 1000)
    first, second = (json.loads(body)["data"][0]["stm"] for body in server.bodies)
    assert int(first) <= int(second)  # said anew at each attempt


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_succeed_later_is_tried_again(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery], code: int
) -> None:
    server = moody(status(code), status(code))
    one = delivery(server.url)
    put_all(one, 3)
    assert one.flush(20) == 0
    assert server.names() == numbered(3)
    counted = one.stats()
    assert (counted["sent"], counted["retried"]) == (3, 2)


@pytest.mark.parametrize("code", [301, 302, 400, 401, 403, 404, 410, 422, 501, 505])
def test_what_will_never_succeed_is_given_up_and_counted(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery], code: int
) -> None:
    server = moody(status(code, Location="http://127.0.0.1:9/"))
    one = delivery(server.url, batch_size=2, interval=0.2)
    put_all(one, 5)
    assert one.flush(20) == 0
    assert server.names() == ["e2", "e3", "e4"]
    counted = one.stats()
    assert (counted["sent"], counted["dropped:rejected"], counted["retried"]) == (3, 2, 0)


@pytest.mark.parametrize("mood", [hang_up, hang, drip], ids=["hangs up", "hangs", "drips"])
def test_a_server_that_does_not_answer_is_asked_again(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery], mood: Mood
) -> None:
    server = moody(mood, usual=status(200))
    one = delivery(server.url, read_timeout=0.3)
    put_all(one, 3)
    assert one.flush(20) == 0
    assert set(server.names()) <= set(numbered(3))
    assert one.stats()["sent"] == 3


def test_a_server_that_is_not_there_is_waited_for(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery], free_port: int
) -> None:
    one = delivery(f"http://127.0.0.1:{free_port}")
    put_all(one, 20)
    assert one.flush(0.3) == 20
    assert one.stats()["retried"] > 0
    server = moody(port=free_port)
    assert one.flush(20) == 0
    assert server.names() == numbered(20)
    assert one.stats()["sent"] == 20


@pytest.mark.parametrize("code", [429, 503])
def test_the_servers_wish_is_respected(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery], code: int
) -> None:
    server = moody(status(code, Retry_After="1"))
    one = delivery(server.url)
    put_all(one, 3)
    wait_until(lambda: len(server.names()) == 3)
    assert server.times[1] - server.times[0] >= 1.0


def test_a_flush_tries_once_in_spite_of_the_servers_wish(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody(status(503, Retry_After="200"))
    one = delivery(server.url)
    put_all(one, 3)
    wait_until(lambda: server.bodies)
    time.sleep(0.05)
    assert one.flush(10) == 0
    assert server.names() == numbered(3)


def test_a_body_that_is_too_large_is_halved_until_it_fits(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody(usual=at_most(3))
    one = delivery(server.url, batch_size=50, interval=0.2)
    put_all(one, 50)
    assert one.flush(20) == 0
    assert server.names() == numbered(50)
    assert one.stats()["sent"] == 50


def test_an_event_that_is_too_large_by_itself_is_given_up_alone(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    def mood(request: Request) -> None:
        request.answer(413 if any(e["eid"] == "e5" for e in request.events) else 200)

    server = moody(usual=mood)
    one = delivery(server.url, interval=0.2)
    put_all(one, 10)
    assert one.flush(20) == 0
    assert server.names() == [name for name in numbered(10) if name != "e5"]
    assert (one.stats()["sent"], one.stats()["dropped:too_large"]) == (9, 1)


def test_a_batch_that_keeps_failing_expires(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody(usual=status(500))
    one = delivery(server.url, max_age=0.3)
    put_all(one, 3)
    assert one.flush(20) == 0
    assert one.stats()["dropped:expired"] == 3
    server.usual = status(200)
    one.put(item(3))
    assert one.flush(20) == 0
    assert server.names() == ["e3"]


def test_a_full_queue_refuses_and_counts(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody(usual=hang)
    size = len(item(0)) - 1  # as it is queued: without its last brace
    one = delivery(server.url, max_queue_bytes=10 * size + 5)
    taken = [one.put(item(n % 10)) for n in range(25)]
    assert taken == [True] * 10 + [False] * 15
    counted = one.stats()
    assert (counted["accepted"], counted["dropped:queue_full"]) == (10, 15)
    assert counted["queued_bytes"] == 10 * size


def test_a_flush_returns_in_time_and_says_what_is_left(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody(usual=slow(0.25))
    one = delivery(server.url, batch_size=1)
    put_all(one, 20)
    begun = time.monotonic()
    left = one.flush(1.0)
    assert 0.9 < time.monotonic() - begun < 3.0
    assert 10 <= left <= 19
    assert one.close(0.0) > 0
    counted = one.stats()
    assert counted["dropped:exit"] > 0


def test_closing_counts_what_was_not_delivered(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery], free_port: int
) -> None:
    one = delivery(f"http://127.0.0.1:{free_port}")
    put_all(one, 5)
    assert one.close(0.2) == 5
    wait_until(lambda: one.stats()["queued"] == 0)
    assert one.stats()["dropped:exit"] == 5
    assert one.close(1.0) == 0


def test_an_event_after_the_close_is_counted_and_holds_nothing_up(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    server = moody()
    one = delivery(server.url)
    one.put(item(0))
    assert one.close(10) == 0
    for thread in workers():
        thread.join(10)
    one.put(item(1))
    begun = time.monotonic()
    one.close(5)
    assert time.monotonic() - begun < 2
    counted = one.stats()
    assert (counted["queued"], counted["dropped:closed"]) == (0, 1)


def test_whatever_happens_the_counters_add_up(
    moody: Callable[..., Moody], delivery: Callable[..., Delivery]
) -> None:
    moods = [status(500), status(400), hang_up, at_most(1), status(429), status(404), at_most(2)]
    server = moody(*moods * 3)
    one = delivery(server.url, batch_size=7, max_queue_bytes=3_000)
    refused = 0
    for number in range(300):
        refused += not one.put(item(number))
        time.sleep(0.0005)
    assert one.flush(20) == 0
    counted = one.stats()
    assert counted["accepted"] + refused == 300
    dropped = sum(
        n for name, n in counted.items() if name.startswith("dropped:") and "full" not in name
    )
    assert counted["sent"] + dropped == counted["accepted"]
    assert counted.get("dropped:queue_full", 0) == refused
    assert len(server.names()) == len(set(server.names())) == counted["sent"]


# The emitter and the tracker ------------------------------------------------------------------


def test_the_emitter_delivers_what_a_tracker_tracks(moody: Callable[..., Moody]) -> None:
    server = moody()
    with Tracker(AsyncEmitter(server.url, interval=0.01), app_id="shop") as tracker:
        ids = [tracker.track("Seen", {"page": n}) for n in range(10)]
        tracker.track_page_view("http://shop.example/", event_id=(last := new_id()))
        ids.append(last)
    assert server.names() == ids
    assert {event["aid"] for event in server.kept} == {"shop"}


def test_a_foreign_payload_is_sent_as_it_is(moody: Callable[..., Moody]) -> None:
    server = moody()
    emitter = AsyncEmitter(server.url)
    emitter.input({"e": "pv", "eid": "1", "unknown": "ö"})
    assert emitter.close(10) == 0
    (kept,) = server.kept
    assert kept.pop("stm")
    assert kept == {"e": "pv", "eid": "1", "unknown": "ö"}


@pytest.mark.parametrize(
    "endpoint", ["", "http://", "ftp://x", "a b", "http://x:99999", "http://x:0"]
)
def test_an_endpoint_that_cannot_be_is_refused_at_once(endpoint: str) -> None:
    with pytest.raises(SettingError, match=r"endpoint|port"):
        AsyncEmitter(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "options", "url"),
    [
        ("c.example", {}, "https://c.example"),
        ("c.example", {"protocol": "http"}, "http://c.example"),
        ("c.example:8080", {}, "https://c.example:8080"),
        ("http://c.example/", {"protocol": "https"}, "http://c.example"),
        ("http://c.example/in/", {"port": 81}, "http://c.example:81/in"),
        ("http://[::1]:8765", {}, "http://[::1]:8765"),
        (" HTTP://C.example ", {}, "http://C.example"),
    ],
)
def test_an_endpoint_may_be_written_in_many_ways(
    endpoint: str, options: dict[str, Any], url: str
) -> None:
    assert AsyncEmitter(endpoint, **options).url == f"{url}/com.snowplowanalytics.snowplow/tp2"


def test_a_tracker_never_raises_what_delivery_meets(free_port: int) -> None:
    for endpoint in (f"http://127.0.0.1:{free_port}", "http://no.such.host.invalid"):
        tracker = Tracker(AsyncEmitter(endpoint, interval=0.01, connect_timeout=0.2))
        assert tracker.track("x")
        assert tracker.flush(0.2) == 1
        tracker.close(0.0)


# The end of a process, and its children ---------------------------------------------------------


def run(script: str, url: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), url],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done


END = """
    import sys
    from trackway import AsyncEmitter, Tracker
    tracker = Tracker(AsyncEmitter(sys.argv[1], interval=60))
    for n in range(1200):
        tracker.track("x", {"n": n})
"""


def test_the_end_of_the_process_delivers_what_is_queued(moody: Callable[..., Moody]) -> None:
    server = moody()
    run(END, server.url)
    assert len(server.names()) == len(set(server.names())) == 1200


def test_a_tracker_that_nobody_holds_any_more_delivers_as_well(
    moody: Callable[..., Moody],
) -> None:
    server = moody()
    run(END + "    del tracker\n    import gc; gc.collect()\n", server.url)
    assert len(server.names()) == 1200


def test_a_synchronous_emitter_that_nobody_holds_any_more_delivers_as_well(
    moody: Callable[..., Moody],
) -> None:
    server = moody()
    script = (
        END.replace("AsyncEmitter", "Emitter") + "    del tracker\n    import gc; gc.collect()\n"
    )
    run(script, server.url)
    assert len(server.names()) == 1200


def test_a_dead_collector_leaves_the_time_at_the_end_to_the_others(
    moody: Callable[..., Moody],
) -> None:
    dead, alive = moody(usual=hang), moody()
    script = f"""
        import sys
        from trackway import AsyncEmitter, Emitter, Tracker
        urls = ["{dead.url}", sys.argv[1]] * 3
        kept = [Tracker(AsyncEmitter(url, interval=60)) for url in urls]
        for number, tracker in enumerate(kept):
            tracker.track("x")
        both = Tracker([AsyncEmitter(url, interval=60) for url in urls[:2]])
        both.track("y")
        both.close(1.0)
    """
    run(script, alive.url)
    assert len(alive.names()) == 4


@pytest.mark.parametrize("mood", [hang, drip, status(503), slow(1.5)],
                         ids=["hangs", "drips", "busy", "slow"])  # fmt: skip
def test_a_server_in_trouble_holds_the_end_up_for_two_seconds_at_most(
    moody: Callable[..., Moody], mood: Mood
) -> None:
    server = moody(usual=mood)
    plain = time.monotonic()
    run("import sys; from trackway import AsyncEmitter, Tracker", server.url)
    begun = time.monotonic()
    done = run(END, server.url)
    took = time.monotonic() - begun - (begun - plain)
    assert took < 3.5
    assert "events could not be delivered" in done.stderr
    assert "Traceback" not in done.stderr


FORK = """
    import os, sys
    from trackway import AsyncEmitter, Tracker
    emitter = AsyncEmitter(sys.argv[1], interval={interval})
    tracker = Tracker(emitter, app_id="parent")
    for n in range(20):
        tracker.track("parent", {{"n": n}})
    {before}
    def say(left):  # in one write, because several processes speak
        counted = emitter.stats()
        os.write(1, b"%d %d %d\\n" % (left, counted["accepted"], counted["sent"]))
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            for n in range(20):
                tracker.track("child", {{"n": n}}, event_id=None, app_id=f"child-{{number}}")
            say(tracker.close(10))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    say(tracker.close(10))
"""


@pytest.mark.parametrize("before", ["pass", "tracker.flush(10)", "import time; time.sleep(0.05)"])
@pytest.mark.parametrize("interval", [60, 0.01])
def test_forked_children_send_their_own_events_and_nobodys_twice(
    moody: Callable[..., Moody], before: str, interval: float
) -> None:
    server = moody()
    done = run(FORK.format(before=before, interval=interval), server.url)
    assert sorted(done.stdout.split("\n")) == ["", *["0 20 20"] * 4]
    assert len(server.names()) == len(set(server.names())) == 80
    apps = [event["aid"] for event in server.kept]
    assert {app: apps.count(app) for app in set(apps)} == dict.fromkeys(
        ("parent", "child-0", "child-1", "child-2"), 20
    )


def test_a_child_forked_while_a_request_is_under_way_is_not_disturbed_by_it(
    moody: Callable[..., Moody],
) -> None:
    server = moody(slow(0.4))
    script = """
        import os, sys, time
        from trackway import AsyncEmitter, Tracker
        tracker = Tracker(AsyncEmitter(sys.argv[1], interval=0.01))
        tracker.track("parent")
        time.sleep(0.2)  # the parent's worker waits for its answer now, its locks are held
        child = os.fork()
        tracker.track("both")
        left = tracker.close(10)
        if child == 0:
            os._exit(left)
        assert os.waitpid(child, 0)[1] == 0
        assert left == 0
    """
    run(script, server.url)
    assert len(server.names()) == len(set(server.names())) == 3


def test_importing_starts_no_thread_and_opens_no_connection() -> None:
    script = """
        import threading, trackway
        from trackway import AsyncEmitter, Tracker
        Tracker(AsyncEmitter("http://127.0.0.1:9"))
        assert threading.active_count() == 1
    """
    run(script, "")


def test_no_socket_is_left_open_after_the_close(moody: Callable[..., Moody]) -> None:
    server = moody()

    def sockets() -> int:
        count = 0
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                count += descriptor.readlink().name.startswith("socket:")
        return count

    before = sockets()
    emitters = [AsyncEmitter(server.url, interval=0.01) for _ in range(5)]
    for emitter in emitters:
        emitter.input({"eid": "x"})
        assert emitter.close(10) == 0
    wait_until(lambda: sockets() <= before + 5)  # the server's own ends may take a moment
    assert socket.getdefaulttimeout() is None
