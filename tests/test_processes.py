"""Processes that fork, end or are ended under real servers: every event arrives exactly once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scenarios.counting import CountingServer, Mood
from benchmarks.scenarios.running import (
    GUNICORN,
    UWSGI,
    Contestant,
    Ended,
    run_program,
    run_tasks,
    serve_requests,
)
from tests.conftest import clean_environment, missing

#: What an exit may take on a busy machine: the budget of two seconds, and much for the rest.
EXIT_SECONDS = 6.0

Counting = Callable[..., CountingServer]


@pytest.fixture
def counting() -> Iterator[Counting]:
    """Starts servers that count events."""
    started: list[CountingServer] = []

    def start(mood: Mood = "answers") -> CountingServer:
        started.append(CountingServer(mood))
        return started[-1]

    yield start
    for one in started:
        one.server_close()


def trackway_with(**options: Any) -> Contestant:
    """Trackway with an interval so long that only an end, a flush or a full batch sends."""
    return Contestant("trackway", options={"interval": 60, **options})


@pytest.fixture
def spooled(tmp_path: Path) -> Contestant:
    """Trackway with a spool."""
    return trackway_with(spool=str(tmp_path / "spool"))


@pytest.fixture(params=["memory", "spool"])
def trackway(request: pytest.FixtureRequest, spooled: Contestant) -> Contestant:
    """Trackway without and with a spool; slow tests choose one."""
    return spooled if request.param == "spool" else trackway_with()


def check_each_once(server: CountingServer, count: int) -> None:
    """All events have come, none came twice, and no two have the same id."""
    assert server.delivered() == count
    assert server.repeated == 0
    events = [event for body in server.bodies for event in json.loads(body)["data"]]
    assert len({event["eid"] for event in events}) == len(events) == count


def total(ended: Ended, *names: str) -> int:
    """The sum of some counters over all processes that said what they had counted."""
    return sum(stats.get(name, 0) for stats in ended.stats for name in names)


def check_ended_well(ended: Ended) -> None:
    assert not ended.killed, ended.errors
    assert ended.code == 0, ended.errors
    assert "Traceback" not in ended.errors
    assert total(ended, "queued", "queued_bytes") == 0
    assert total(ended, "accepted") == total(ended, "sent")


def check_nothing_is_left(one: Contestant) -> None:
    """The folder of the spool, if there is one, has grown by nothing."""
    if "spool" in one.options:
        assert not list(Path(one.options["spool"]).rglob("*.segment"))


def run_well(one: Contestant, server: CountingServer, name: str, *arguments: object) -> Ended:
    """Run a program whose events must all have come at its end."""
    ended = run_program(one, server.url, name, *arguments)
    check_ended_well(ended)
    return ended


def run_text(text: str, url: str) -> int:
    """Run a program of a few lines; its exit code."""
    command = [sys.executable, "-c", text, url]
    return subprocess.run(command, timeout=20, env=clean_environment()).returncode


# Forks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("childs", "parents"), [(100, 0), (100, 30), (0, 30)])
def test_a_forked_child_that_ends_delivers_its_own_events_and_no_others(
    counting: Counting, trackway: Contestant, childs: int, parents: int
) -> None:
    server = counting()
    ended = run_well(trackway, server, "fork", childs, 0, parents)
    check_each_once(server, childs + 2 * parents)
    assert sorted(stats["accepted"] for stats in ended.stats) == sorted([childs, 2 * parents])
    check_nothing_is_left(trackway)


def test_a_forked_child_that_flushes_may_vanish(counting: Counting, trackway: Contestant) -> None:
    server = counting()
    run_well(trackway, server, "fork_and_vanish", 100, 10)
    check_each_once(server, 100)


def test_what_a_forked_child_leaves_in_its_spool_is_delivered(
    counting: Counting, spooled: Contestant
) -> None:
    server = counting()
    run_program(spooled, server.url, "fork_and_vanish", 100, 0)
    run_program(spooled, server.url, "start_again")
    check_each_once(server, 100)


def test_forks_in_the_middle_of_tracking_and_sending_disturb_nobody(
    counting: Counting, trackway: Contestant
) -> None:
    server = counting()
    busy = Contestant("trackway", options={**trackway.options, "interval": 0.01})
    run_well(busy, server, "fork_storm", 25, 10, 500)
    check_each_once(server, 25 * 10 + 500)


METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])


@METHODS
def test_a_multiprocessing_child_that_returns_delivers_its_events(
    counting: Counting, trackway: Contestant, method: str
) -> None:
    server = counting()
    run_well(trackway, server, "child_process", 100, method, 30)
    check_each_once(server, 130)


@METHODS
def test_children_of_children_deliver_as_well(
    counting: Counting, trackway: Contestant, method: str
) -> None:
    server = counting()
    run_well(trackway, server, "generations", 50, method)
    check_each_once(server, 100)


#: A child of multiprocessing in which Trackway is imported and not before.
IN_THE_CHILD = """
import multiprocessing, sys
def child(url):
    from trackway import AsyncEmitter, Tracker
    tracker = Tracker(AsyncEmitter(url, interval=60), encode_base64=False)
    tracker.track("e", {"marker": "lost-" + "0" * 32})
process = multiprocessing.get_context("fork").Process(target=child, args=(sys.argv[1],))
process.start()
process.join()
assert "trackway" not in sys.modules
"""


def test_an_emitter_made_in_a_multiprocessing_child_delivers(counting: Counting) -> None:
    server = counting()
    assert run_text(IN_THE_CHILD, server.url) == 0
    check_each_once(server, 1)


@pytest.mark.parametrize(
    "program",
    [
        ("leave", 130),
        ("fork", 70, 0, 30),
        ("child_process", 100, "fork", 30),
        ("pool", 130, "fork"),
    ],
    ids=lambda program: program[0],
)
def test_an_emitter_without_threads_delivers_in_parents_and_children(
    counting: Counting, program: tuple[Any, ...]
) -> None:
    server = counting()
    run_well(trackway_with(emitter="Emitter"), server, *program)
    check_each_once(server, 130)


@METHODS
@pytest.mark.parametrize("kind", ["executor", "pool"])
def test_the_processes_of_an_executor_or_a_pool_deliver(
    counting: Counting, trackway: Contestant, kind: str, method: str
) -> None:
    server = counting()
    run_well(trackway, server, kind, 100, method)
    check_each_once(server, 100)


def test_a_pool_that_is_terminated_delivers_with_the_sigterm_chain(counting: Counting) -> None:
    server = counting()
    run_well(trackway_with(sigterm=True), server, "pool_is_terminated", 100)
    check_each_once(server, 100)


def test_a_pool_that_is_terminated_leaves_its_events_in_the_spool(
    counting: Counting, spooled: Contestant
) -> None:
    server = counting()
    run_program(spooled, server.url, "pool_is_terminated", 100)
    run_program(spooled, server.url, "start_again")
    assert server.delivered() == 100


# Signals --------------------------------------------------------------------------------------


def test_sigterm_with_the_chain_delivers_and_ends_the_process(counting: Counting) -> None:
    server = counting()
    chained = trackway_with(sigterm=True)
    ended = run_program(chained, server.url, "be_ended", 1000, signal.SIGTERM)
    assert ended.code == -signal.SIGTERM
    check_each_once(server, 1000)


@pytest.mark.parametrize(
    ("how", "options"),
    [
        (signal.SIGTERM, {"sigterm": True}),
        (signal.SIGTERM, {"sigterm": True, "spool": "spool"}),
        (signal.SIGTERM, {"spool": "spool"}),
        (signal.SIGKILL, {"spool": "spool"}),
    ],
    ids=["chain", "chain and spool", "SIGTERM and spool", "SIGKILL and spool"],
)
def test_no_event_whose_call_has_returned_is_lost_in_the_middle_of_tracking(
    counting: Counting, tmp_path: Path, how: int, options: dict[str, Any]
) -> None:
    server = counting()
    if "spool" in options:
        options = {**options, "spool": str(tmp_path / "spool")}
    one = trackway_with(**options)
    counter = tmp_path / "counter"
    ended = run_program(one, server.url, "be_ended_while_tracking", 0.1, how, str(counter))
    assert ended.code == -how, ended.errors
    if "spool" in options:
        run_well(one, server, "start_again")
    returned = int.from_bytes(counter.read_bytes(), "little")
    assert returned > 100
    assert returned <= server.delivered() <= returned + 1


def test_what_was_sent_before_the_end_is_not_sent_again(
    counting: Counting, spooled: Contestant
) -> None:
    server = counting()
    run_program(spooled, server.url, "be_ended", 400, signal.SIGKILL, 1000)
    run_well(spooled, server, "start_again")
    check_each_once(server, 1400)


#: SIGTERM comes while the caller wakes the worker up, with whatever lock that takes.
WAKING = """
import signal, sys, threading
from trackway import AsyncEmitter, Tracker
tracker = Tracker(AsyncEmitter(sys.argv[1], sigterm=True), encode_base64=False)
notify = threading.Condition.notify_all
def interrupted(self):
    if threading.current_thread() is threading.main_thread():
        threading.Condition.notify_all = notify
        signal.raise_signal(signal.SIGTERM)
    notify(self)
threading.Condition.notify_all = interrupted
tracker.track("e", {"marker": "lost-" + "0" * 32})
tracker.track("e", {"marker": "lost-" + "1" * 32})
"""


def test_sigterm_in_the_middle_of_waking_the_worker_holds_nothing_up(counting: Counting) -> None:
    server = counting()
    assert run_text(WAKING, server.url) == -signal.SIGTERM
    check_each_once(server, 1)


@pytest.mark.parametrize("mood", ["refuses", "hangs"])
def test_sigterm_with_the_chain_ends_the_process_whatever_the_server_does(
    counting: Counting, mood: Mood
) -> None:
    server = counting(mood)
    chained = trackway_with(sigterm=True)
    ended = run_program(chained, server.url, "be_ended", 1000, signal.SIGTERM, limit=10)
    assert (ended.code, ended.killed) == (-signal.SIGTERM, False)
    assert "1000 events" in ended.errors


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("mood", ["answers", "refuses", "hangs"])
def test_a_process_that_is_ended_loses_nothing_with_a_spool(
    counting: Counting, spooled: Contestant, mood: Mood, how: signal.Signals
) -> None:
    server = counting(mood)
    ended = run_program(spooled, server.url, "be_ended", 1000, how)
    assert ended.code == -how, ended.errors
    before = server.delivered()
    server.become("answers")
    run_well(spooled, server, "start_again")
    assert server.delivered() == 1000
    assert server.repeated <= before
    come_again = server.repeated
    run_well(spooled, server, "start_again")
    assert (server.delivered(), server.repeated) == (1000, come_again)
    check_nothing_is_left(spooled)


# The end of a process in trouble ----------------------------------------------------------------


@pytest.mark.parametrize("mood", ["refuses", "hangs"])
def test_the_end_takes_two_seconds_at_most_and_counts_what_is_lost(
    counting: Counting, mood: Mood
) -> None:
    server = counting(mood)
    ended = run_program(trackway_with(), server.url, "leave", 1000)
    assert ended.seconds is not None and ended.seconds < EXIT_SECONDS
    (stats,) = ended.stats
    lost = sum(count for reason, count in stats.items() if reason.startswith("dropped:"))
    assert (stats["accepted"], stats["sent"], lost, stats["queued"]) == (1000, 0, 1000, 0)
    assert "1000 events" in ended.errors


@pytest.mark.parametrize("mood", ["refuses", "hangs"])
def test_the_end_takes_two_seconds_at_most_and_the_next_start_delivers(
    counting: Counting, spooled: Contestant, mood: Mood
) -> None:
    server = counting(mood)
    ended = run_program(spooled, server.url, "leave", 1000)
    assert ended.seconds is not None and ended.seconds < EXIT_SECONDS
    server.become("answers")
    run_well(spooled, server, "start_again")
    check_each_once(server, 1000)


@pytest.mark.parametrize(
    "program",
    [("fork", 50, 0, 50), ("child_process", 50, "fork", 50)],
    ids=lambda program: program[0],
)
def test_parents_and_children_end_in_time_when_the_server_hangs(
    counting: Counting, program: tuple[Any, ...]
) -> None:
    ended = run_program(trackway_with(), counting("hangs").url, *program, limit=15)
    assert (ended.code, ended.killed) == (0, False)


# Web servers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
@pytest.mark.parametrize(
    ("trackway", "preload"),
    [("memory", ()), ("memory", ("--preload",)), ("spool", ("--preload",))],
    indirect=["trackway"],
    ids=["memory", "memory, preload", "spool, preload"],
)
def test_gunicorn_delivers_what_its_workers_track(
    counting: Counting, trackway: Contestant, worker: str, preload: tuple[str, ...]
) -> None:
    server = counting()
    command = (*GUNICORN, "--worker-class", worker, *preload)
    ended = serve_requests(trackway, server.url, command)
    check_ended_well(ended)
    check_each_once(server, 20)
    assert total(ended, "sent") == 20


@pytest.mark.parametrize("worker", ["sync", "gevent"])
def test_what_is_tracked_before_gunicorn_forks_is_delivered_once(
    counting: Counting, worker: str
) -> None:
    server = counting()
    command = (*GUNICORN, "--preload", "--worker-class", worker)
    check_ended_well(serve_requests(trackway_with(), server.url, command, at_import=10))
    check_each_once(server, 30)


def test_what_is_tracked_before_uwsgi_forks_waits_in_the_spool(
    counting: Counting, spooled: Contestant
) -> None:
    # Its first process runs no threads of Python and no exit of Python.
    need_uwsgi()
    server = counting()
    check_ended_well(serve_requests(spooled, server.url, UWSGI, at_import=10))
    assert server.delivered() == 20
    run_program(spooled, server.url, "start_again")
    check_each_once(server, 30)


def test_gunicorn_workers_that_are_replaced_deliver(
    counting: Counting, trackway: Contestant
) -> None:
    server = counting()
    command = (*GUNICORN, "--preload", "--max-requests", "5")
    ended = serve_requests(trackway, server.url, command, requests=30)
    check_ended_well(ended)
    assert len(ended.workers) > 2
    check_each_once(server, 30)


def test_gunicorn_stops_in_time_when_the_collector_hangs(counting: Counting) -> None:
    command = (*GUNICORN, "--preload")
    ended = serve_requests(trackway_with(), counting("hangs").url, command, limit=15)
    assert (ended.code, ended.killed) == (0, False)


@pytest.mark.parametrize("command", [GUNICORN, UWSGI], ids=["gunicorn", "uwsgi"])
def test_a_web_server_killed_with_its_workers_loses_nothing_with_a_spool(
    counting: Counting, spooled: Contestant, command: tuple[str, ...]
) -> None:
    server = counting()
    if command is UWSGI:
        need_uwsgi()
    serve_requests(spooled, server.url, command, stop=signal.SIGKILL)
    run_program(spooled, server.url, "start_again")
    assert server.delivered() == 20


def need_uwsgi() -> None:
    if not (trackway_with().python.parent / "uwsgi").exists():
        missing("uWSGI is not installed: pip install pyuwsgi")


@pytest.mark.parametrize(
    ("trackway", "options"),
    [
        ("memory", ()),
        ("spool", ()),
        ("memory", ("--py-call-uwsgi-fork-hooks",)),
        ("memory", ("--lazy-apps", "--threads", "4")),
    ],
    indirect=["trackway"],
    ids=["forked in C", "forked in C, spool", "Python's fork hooks", "lazy, threads"],
)
def test_uwsgi_delivers_what_its_workers_track(
    counting: Counting, trackway: Contestant, options: tuple[str, ...]
) -> None:
    need_uwsgi()
    server = counting()
    ended = serve_requests(trackway, server.url, (*UWSGI, *options))
    check_ended_well(ended)
    check_each_once(server, 20)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGQUIT])
def test_uwsgi_that_is_stopped_at_once_loses_nothing_with_a_spool(
    counting: Counting, spooled: Contestant, stop: int
) -> None:
    # With these signals uWSGI skips Python's exit in a worker that it still holds for busy.
    need_uwsgi()
    server = counting()
    assert not serve_requests(spooled, server.url, UWSGI, stop=stop).killed
    run_program(spooled, server.url, "start_again")
    assert server.delivered() == 20


def test_uwsgi_without_threads_delivers_at_its_end(counting: Counting) -> None:
    need_uwsgi()
    server = counting()
    command = [word for word in UWSGI if word != "--enable-threads"]
    check_ended_well(serve_requests(trackway_with(), server.url, command))
    check_each_once(server, 20)


# Celery -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker() -> None:
    """A Redis for the Celery worker."""
    from redis import Redis, RedisError

    from benchmarks.scenarios.running import BROKER

    try:
        Redis.from_url(BROKER).ping()
    except RedisError:
        missing(f"no Redis at {BROKER}: start one, or name it in TRACKWAY_TEST_REDIS_URL")


@pytest.mark.usefixtures("broker")
def test_celery_workers_deliver_what_their_tasks_track(counting: Counting) -> None:
    server = counting()
    ended = run_tasks(trackway_with(), server.url)
    check_ended_well(ended)
    check_each_once(server, 20)


@pytest.mark.usefixtures("broker")
def test_celery_workers_that_are_replaced_deliver(counting: Counting, spooled: Contestant) -> None:
    server = counting()
    ended = run_tasks(spooled, server.url, options=("--max-tasks-per-child", "4"))
    check_ended_well(ended)
    assert len(ended.workers) > 2
    check_each_once(server, 20)


@pytest.mark.usefixtures("broker")
def test_a_celery_worker_stops_in_time_when_the_collector_hangs(counting: Counting) -> None:
    ended = run_tasks(trackway_with(), counting("hangs").url, limit=20)
    assert (ended.code, ended.killed) == (0, False)
