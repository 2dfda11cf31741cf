"""The spool of a client in trouble with disks, signals, threads and forks."""

from __future__ import annotations

import errno
import gc
import itertools
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local_collector import LocalCollector
from tests.test_client_spool import (
    Start,
    arrived,
    check_once,
    collector,
    folder,
    lanes,
    leave_behind,
    names,
    payload,
    run,
    start,
    take,
    until,
)
from trackway import AsyncEmitter
from trackway.delivery import mapped as mapped_module
from trackway.delivery import writing as writing_module
from trackway.delivery.durable import SpoolQueue
from trackway.delivery.spool import segments

__all__ = ["collector", "folder", "start"]  # fixtures


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that could not be written is tried again at once."""
    monkeypatch.setattr(writing_module, "_TRY_AGAIN", 0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory; only root may."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small disk takes root")
        return place

    yield mount
    subprocess.run(["umount", "--lazy", str(place)], capture_output=True)


def lines_about_the_spool(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "cannot be written" in r.getMessage()]


def die_and_start_again(place: str, folder: Path) -> None:
    run(
        """
        import sys
        from trackway import AsyncEmitter
        one = AsyncEmitter(sys.argv[1], "http", spool=sys.argv[2], interval=0.01)
        assert one.flush() == 0
        assert one.close() == 0
        """,
        place,
        folder,
    )


# The disk -----------------------------------------------------------------------------------------


def test_a_file_in_the_way_keeps_events_in_memory_until_it_is_gone(
    collector: LocalCollector, folder: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("in the way")
    collector.usual = 503
    one = start(spool_sync=0.02)
    for number in range(50):
        one.put(payload(number))
        time.sleep(0.002)
    assert one.stats()["unspooled"] == 50
    assert one.stats()["queued"] == 50
    (line,) = lines_about_the_spool(caplog)
    assert str(folder) in line
    assert "Not a directory" in line or "File exists" in line
    folder.unlink()
    # Nobody has to track anything for them to be brought to safety.
    until(lambda: one.stats()["queued_bytes"] < 20 * len(payload(1)))
    one.put(payload(50))
    assert one.stats()["unspooled"] == 50
    collector.usual = 200
    assert one.close() == 0
    check_once(collector, names(range(51)))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["/proc/spool", "nul\0byte", "x" * 5000, "/dev/null"])
def test_a_folder_that_cannot_be_is_no_exception(
    collector: LocalCollector, start: Start, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = start(spool=name)
    for number in range(20):
        one.put(payload(number))
    assert one.flush() == 0
    assert one.close() == 0
    check_once(collector, names(range(20)))
    assert one.stats()["unspooled"] == 20
    assert len(lines_about_the_spool(caplog)) == 1


def test_what_memory_holds_goes_to_the_spool_at_the_end_if_it_can(folder: Path) -> None:
    folder.write_text("in the way")
    queue = SpoolQueue(folder, 1 << 20, sync=60)
    for number in range(1000):
        queue.put(b"%d" % number)
    queue.put_back(take(queue, 500))
    folder.unlink()
    assert queue.close("exit") == 0
    assert queue.snapshot()["queued_bytes"] == 0
    again = SpoolQueue(folder, 1 << 20)
    assert again.adopt() == 1
    assert {int(item) for item in take(again).items} == set(range(1000))
    again.close("exit")


@pytest.mark.parametrize("overflow", ["newest", "oldest"])
def test_memory_has_its_own_bounds(folder: Path, overflow: Any) -> None:
    queue = SpoolQueue(folder, 100, overflow=overflow, max_items=20)
    for number in range(100):
        queue.put(b"spooled %d" % number)
    queue.put_back(take(queue, 50))
    shutil.rmtree(folder)
    folder.write_text("in the way")
    queue._abandon()
    assert queue.snapshot()["unspooled"] == 50
    for number in range(100, 120):
        queue.put(b"%d" % number)
    assert queue.snapshot()["dropped:queue_full"] > 0
    assert take(queue).origin is not None, "what had been fetched is not what gives way"
    assert queue.close("exit") > 0


def test_what_neither_the_spool_nor_the_collector_takes_is_counted(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    dropped: list[str] = []
    folder.write_text("in the way")
    collector.usual = 503
    one = start(on_drop=lambda event, reason: dropped.append(f"{reason} {event['eid']}"))
    for number in range(10):
        one.put(payload(number))
    assert one.close(0.1) == 10
    until(lambda: one.stats().get("dropped:exit") == 10)
    assert sorted(dropped) == sorted(f"exit {number}" for number in range(10))


def test_a_full_disk_keeps_events_in_memory_until_there_is_room(
    collector: LocalCollector,
    start: Start,
    small_disk: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = small_disk("size=400k")
    collector.usual = 503
    one = start(spool=disk / "spool", spool_sync=0.02)
    for number in range(100):
        one.put(payload(number, 1000))
    (disk / "other").write_bytes(bytes(4096))
    with (disk / "other").open("ab", buffering=0) as other, pytest.raises(OSError, match="space"):
        while other.write(bytes(4096)):
            pass
    for number in range(100, 400):
        one.put(payload(number, 1000))
    assert one.stats()["unspooled"] > 200
    assert one.stats()["queued"] == 400
    (line,) = lines_about_the_spool(caplog)
    assert "No space left" in line
    (disk / "other").unlink()
    before = one.stats()["spooled_bytes"]
    until(lambda: one.stats()["spooled_bytes"] > before + 100_000)
    collector.usual = 200
    assert one.flush() == 0
    assert one.close() == 0
    check_once(collector, names(range(400)))
    assert list((disk / "spool").iterdir()) == []


def test_a_disk_without_inodes_is_no_exception(
    collector: LocalCollector, start: Start, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("size=4m,nr_inodes=8")
    one = start(spool=disk / "spool", spool_sync=0.02)
    taken = [disk / f"file{number}" for number in range(10)]
    count = 0
    for round_ in range(3):
        for path in taken[round_:]:
            try:
                path.touch()
            except OSError as error:
                assert error.errno == errno.ENOSPC
                break
        for _ in range(300):
            one.put(payload(count, 1000))
            count += 1
        for path in disk.glob("file*"):
            path.unlink()
        time.sleep(0.1)
    assert one.stats()["unspooled"]
    assert one.close() == 0
    check_once(collector, names(range(count)))


def test_a_disk_that_becomes_read_only_is_no_exception(
    collector: LocalCollector,
    start: Start,
    small_disk: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = small_disk("size=4m")
    leave_behind(collector.place, disk / "spool", range(5))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    one = start(spool=disk / "spool", spool_sync=0.02)
    for number in range(5, 20):
        one.put(payload(number))
    until(lambda: len(collector.events) == 15)
    assert "Read-only" in lines_about_the_spool(caplog)[0]
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    two = start(spool=disk / "spool")
    assert two.flush() == 0
    check_once(collector, names(range(20)))


OUT_OF_REACH = """
    import os, sys, time
    import urllib3
    from trackway import AsyncEmitter
    from trackway.delivery import durable
    place, folder = sys.argv[1:3]
    os.mkdir(folder)
    os.chown(folder, 65534, 65534)
    os.setuid(65534)
    one = AsyncEmitter(place, "http", spool=folder, spool_sync=0.02, interval=3600.0,
        batch_size=10**6)
    def put(first):
        for number in range(first, first + 200):
            one.put(b'{"e":"pv","eid":"%d","x":"%s"}' % (number, b"x" * 1000))
    put(0)
    os.chmod(folder, 0)
    time.sleep(0.1)
    put(200)
    time.sleep(0.1)
    assert one.stats()["unspooled"] > 100, one.stats()
    os.chmod(folder, 0o700)
    time.sleep(1.1)
    put(400)
    os._exit(0)
"""


def test_a_folder_out_of_reach_is_no_exception_and_its_lanes_are_not_given_up(
    collector: LocalCollector, folder: Path, start: Start, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("becoming another user takes root")
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(0o755)
    done = run(OUT_OF_REACH, collector.place, folder)
    assert done.returncode == 0, done.stderr
    assert len(lanes(folder)) == 1
    assert start().flush() == 0
    check_once(collector, names(range(600)))


LIMITED = """
    import os, resource, sys
    from trackway import AsyncEmitter
    one = AsyncEmitter(sys.argv[1], "http", spool=sys.argv[2], interval=3600.0, batch_size=10**6)
    what, limit = getattr(resource, sys.argv[3]), int(sys.argv[4])
    def put(first):
        for number in range(first, first + 500):
            one.put(b'{"e":"pv","eid":"%d","x":"%s"}' % (number, b"x" * 1000))
    put(0)
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (limit, hard))
    put(500)
    assert one.stats()["unspooled"] > 10, one.stats()
    resource.setrlimit(what, (soft, hard))
    assert one.close(0.0) == 1000
"""


@pytest.mark.parametrize(("what", "limit"), [("RLIMIT_FSIZE", 1000), ("RLIMIT_NOFILE", 3)])
def test_limits_of_the_process_are_no_exception(
    collector: LocalCollector, folder: Path, start: Start, what: str, limit: int
) -> None:
    run(LIMITED, collector.place, folder, what, limit)
    assert start().flush() == 0
    check_once(collector, names(range(1000)))


def test_reading_goes_on_when_files_can_be_opened_again(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000)
    for number in range(300):
        queue.put(payload(number, 1000)[:-1])
    queue.close("exit")
    queue = SpoolQueue(folder, 1000)
    assert queue.adopt() == 1
    items: list[bytes] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for _ in range(2):  # before the first segment, and in the middle of it
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            assert queue.take(10, 100_000) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        items += settled(queue, 10)
    while len(queue):
        items += settled(queue, 1000)
    assert len(items) == 300
    assert list(folder.iterdir()) == []


def settled(queue: SpoolQueue, count: int) -> list[bytes]:
    """Take so many items and settle them."""
    batch = queue.take(count, 1 << 30)
    if batch is None:
        return []
    queue.settle(batch, "sent")
    return batch.items


def test_a_lane_that_was_lost_is_not_written_to_any_more(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000, sync=60)
    queue.put(b"a")
    queue.put(b"b")
    under_way = take(queue, 1)
    (lane,) = lanes(folder)
    for segment in segments(lane):
        segment.unlink()  # as somebody would who has adopted it and is done
    queue._abandon()
    queue.settle(under_way, "sent")
    assert [path.name for path in lane.iterdir()] == ["owner"]
    assert take(queue).items == [b"b"]
    queue.close("exit")


def test_a_failing_sync_is_logged_once_and_loses_nothing(
    collector: LocalCollector,
    folder: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    collector.usual = 503
    one = start(spool_sync=0.02)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        for number in range(100):
            one.put(payload(number))
            time.sleep(0.003)
    for number in range(100, 200):
        one.put(payload(number))
    assert lines_about_the_spool(caplog) == [
        f"the spool {folder} cannot be written (Input/output error): "
        "events are kept in memory meanwhile"
    ]
    assert one.stats()["unspooled"] > 0
    collector.usual = 200
    assert one.close() == 0
    check_once(collector, names(range(200)))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "lane", "segments"])
@pytest.mark.parametrize("filler", [0, 10_000])
def test_a_folder_that_is_deleted_is_made_again_and_nothing_in_memory_is_lost(
    collector: LocalCollector, folder: Path, start: Start, what: str, filler: int
) -> None:
    collector.usual = 503
    one = start(spool_sync=0.02)
    for number in range(5):  # they fit in the segment that is being written
        one.put(payload(number))
    for path in [folder] if what == "folder" else lanes(folder):
        for inner in segments(path) if what == "segments" else [path]:
            shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
    for number in range(5, 100):
        one.put(payload(number, filler))  # many segments at once, or time to notice
        time.sleep(0 if filler else 0.001)
    until(lambda: not one.stats()["queued_bytes"] or one.stats()["spooled_bytes"] > 1000)
    (lane,) = [lane for lane in lanes(folder) if segments(lane)]
    collector.usual = 200
    assert one.flush() == 0
    assert one.close() == 0
    check_once(collector, names(range(100)))
    assert not lane.exists()


def test_events_in_segments_that_somebody_deletes_are_counted_as_lost(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    collector.usual = 503
    one = start(batch_size=10)
    for number in range(1000):
        one.put(payload(number, 1000))
    for segment in segments(lanes(folder)[0])[:-1]:
        segment.unlink()
    collector.usual = 200
    assert one.flush() == 0
    stats = one.stats()
    assert stats["dropped:damaged"] > 100
    assert stats["sent"] == len(collector.events) == 1000 - stats["dropped:damaged"]
    assert one.close() == 0


def test_a_lock_that_the_host_has_let_go_of_by_accident_loses_nothing(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    collector.usual = 503
    one = start(spool_sync=0.02)
    for number in range(10):
        one.put(payload(number))
    (lane,) = lanes(folder)
    (lane / "owner").open().close()  # POSIX: that ends the lock of the whole process
    collector.usual = 200
    die_and_start_again(collector.place, folder)
    for number in range(10, 20):
        one.put(payload(number))
    assert one.flush() == 0
    assert arrived(collector).keys() == names(range(20))
    assert one.close() == 0


# This very thread, again --------------------------------------------------------------------------


def test_signal_handlers_may_track_in_the_middle_of_anything(
    collector: LocalCollector, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_module, "_FIRST", 2000)
    monkeypatch.setattr(writing_module, "_SEGMENT", 4000)
    collector.usual = 503
    one = start(spool_sync=0.01, batch_size=50)
    numbers = itertools.count()

    def handler(*_: object) -> None:  # it may interrupt itself
        one.put(payload(f"handler-{next(numbers)}"))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        for number in range(10_000):
            one.put(payload(number))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    handled = next(numbers)
    assert handled > 100
    stats = one.stats()
    assert (stats["accepted"], stats["queued_bytes"]) == (10_000 + handled, 0)
    collector.usual = 200
    assert one.close() == 0
    check_once(collector, names(range(10_000)) | {f"handler-{n}" for n in range(handled)})


def test_finalisers_may_track_in_the_middle_of_anything(
    collector: LocalCollector, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_module, "_FIRST", 2000)
    monkeypatch.setattr(writing_module, "_SEGMENT", 4000)
    one = start(spool_sync=0.01, batch_size=50)
    finalised: list[int] = []

    class Tracked:
        def __init__(self, number: int) -> None:
            self.number = number
            self.me = self

        def __del__(self) -> None:
            one.put(payload(f"gone-{self.number}"))
            finalised.append(self.number)

    before = gc.get_threshold()
    gc.set_threshold(3, 3, 3)
    try:
        for number in range(3000):
            Tracked(number)
            one.put(payload(number))
    finally:
        gc.set_threshold(*before)
    # Another thread may be collecting just now, and then this one does nothing.
    until(lambda: gc.collect() >= 0 and len(finalised) == 3000)
    assert one.close() == 0
    check_once(collector, names(range(3000)) | {f"gone-{n}" for n in range(3000)})


def test_a_handler_of_the_log_may_track(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    folder.write_text("in the way")
    logger = logging.getLogger("test.spool")
    one = start(logger=logger)

    class Tracking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            one.put(payload("logged"))

    logger.addHandler(handler := Tracking())
    try:
        one.put(payload("first"))
    finally:
        logger.removeHandler(handler)
    assert one.flush() == 0
    check_once(collector, {"first", "logged"})


CLOSED_BY_A_SIGNAL = """
    import os, signal, sys, threading, time
    from trackway import AsyncEmitter, Emitter
    kind, place, folder, counter, how = sys.argv[1:6]
    file = os.open(counter, os.O_CREAT | os.O_WRONLY)
    if kind == "Emitter":
        one = Emitter(place, "http", spool=folder, batch_size=20)
    else:
        one = AsyncEmitter(place, "http", spool=folder, interval=0.01)
    def ended(*_):
        if how == "close":
            one.close(0.5)
            os._exit(7)
        raise SystemExit(7)
    signal.signal(signal.SIGTERM, ended)
    killer = threading.Timer(float(sys.argv[6]), os.kill, (os.getpid(), signal.SIGTERM))
    killer.daemon = True
    killer.start()
    number = 0
    while True:
        one.put(b'{"e":"pv","eid":"%d"}' % number)
        number += 1
        os.pwrite(file, b"%d" % number, 0)
"""


@pytest.mark.parametrize("how", ["close", "exit"])
@pytest.mark.parametrize("kind", ["AsyncEmitter", "Emitter"])
def test_a_signal_handler_that_ends_the_process_in_the_middle_loses_nothing(
    collector: LocalCollector, tmp_path: Path, kind: str, how: str
) -> None:
    for number, delay in enumerate((0.1, 0.103, 0.11, 0.12)):
        folder, counter = tmp_path / f"spool-{number}", tmp_path / f"counter-{number}"
        collector.events.clear()
        done = run(CLOSED_BY_A_SIGNAL, kind, collector.place, folder, counter, how, delay)
        assert done.returncode == 7, done.stderr
        die_and_start_again(collector.place, folder)
        count = int(counter.read_text())
        assert count > 0
        # One more was put, perhaps, than was counted; the batch under way may come twice.
        assert arrived(collector).keys() - {str(count)} == names(range(count))


def test_who_interrupts_a_writer_does_not_wait_for_who_waits_for_the_writer(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000)
    queue.put(b"a")
    has_the_lanes = threading.Event()

    def read() -> None:
        with queue._reader.alone():
            has_the_lanes.set()
            with queue.lock:
                pass

    reader = threading.Thread(target=read)
    with queue.lock:  # as a call of put that a signal handler interrupts
        reader.start()
        has_the_lanes.wait()
        assert queue.close("exit") == 0
        assert queue.take(1, 1000) is None
    reader.join()
    assert take(queue).items == [b"a"]
    queue.close("exit")


def test_who_interrupts_a_reader_leaves_the_lanes_as_they_are(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000)
    queue.put(b"a")
    under_way = take(queue)
    queue.put(b"b")
    with queue._reader.alone() as alone:  # as in a call that a signal handler interrupts
        assert alone
        assert queue.take(1, 1000) is None
        assert queue.adopt() == 0
        queue.settle(under_way, "sent")
        assert queue.close("exit") == 0
        assert len(segments(lanes(folder)[0])) == 1
    assert take(queue).items == [b"b"]
    queue.close("exit")


# Threads and forks --------------------------------------------------------------------------------


def test_many_threads_track_at_once(
    collector: LocalCollector, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_module, "_SEGMENT", 100_000)
    one = start(thread_count=4, batch_size=100, spool_sync=0.01)

    def work(number: int) -> None:
        for each in range(2000):
            assert one.delivery.put(payload(f"{number}-{each}", 50))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.flush() == 0
    assert one.close() == 0
    check_once(collector, {f"{number}-{each}" for number in range(8) for each in range(2000)})
    assert list(folder.iterdir()) == []


FORK = """
    import ctypes, os, sys, time
    from trackway import AsyncEmitter
    how, place, folder, end = sys.argv[1:5]
    # C's fork takes CPython's own lock as it is, so that none of our threads may want it then.
    interval = 3600.0 if how == "C" else 0.01
    one = AsyncEmitter(place, "http", spool=folder, interval=interval, max_retry_delay_seconds=0.05)
    def put(name):
        one.put(b'{"e":"pv","eid":"%s"}' % name.encode())
    for number in range(10):
        put(f"before-{number}")
    fork = os.fork if how == "os" else ctypes.PyDLL(None).fork
    closed, opened = os.pipe()
    time.sleep(0.2)
    child = fork()
    if not child:
        os.close(opened)
        if end == "untouched":  # it lives longer than its parent, and tracks only then
            os.read(closed, 1)
        if end != "silent":
            for number in range(10):
                put(f"child-{number}")
        if end == "vanish":
            os._exit(0)
        one.close()
        os._exit(0)
    if end == "untouched":
        for number in range(10):
            put(f"after-{number}")
        os._exit(0)
    os.waitpid(child, 0)
    # Whatever the child did, this is still ours, and a kill loses nothing of it.
    for number in range(10):
        put(f"after-{number}")
    os._exit(0)
"""


@pytest.mark.parametrize("end", ["close", "vanish", "silent", "untouched"])
@pytest.mark.parametrize("how", ["os", "C"])
def test_a_forked_child_keeps_a_lane_of_its_own_and_never_touches_its_parents(
    collector: LocalCollector, folder: Path, how: str, end: str
) -> None:
    collector.usual = 503
    run(FORK, how, collector.place, folder, end)
    collector.usual = 200
    expected = {f"{when}-{n}" for when in ("before", "child", "after") for n in range(10)}
    if end == "silent":
        expected -= {f"child-{n}" for n in range(10)}
    while len(collector.events) < len(expected):  # a child may live on for a moment
        die_and_start_again(collector.place, folder)
    check_once(collector, expected)
    assert list(folder.iterdir()) == []


SURVIVING_CHILD = """
    import ctypes, os, sys, time
    from trackway import AsyncEmitter
    from trackway.delivery import orphans
    orphans._LOOK = 0.05
    how, place, folder = sys.argv[1:4]
    one = AsyncEmitter(place, "http", spool=folder, interval=3600.0)
    def put(name):
        one.put(b'{"e":"pv","eid":"%s"}' % name.encode())
    for number in range(10):
        put(str(number))
    time.sleep(0.2)
    closed, opened = os.pipe()
    if (os.fork if how == "os" else ctypes.PyDLL(None).fork)():
        os._exit(0)
    os.close(opened)
    os.read(closed, 1)  # the parent is dead
    put("10")
    one.flush(10)
    time.sleep(0.1)
    put("11")
    one.close(10)
    os._exit(0)
"""


@pytest.mark.parametrize("how", ["os", "C"])
def test_a_child_adopts_the_lane_of_its_dead_parent(
    collector: LocalCollector, folder: Path, how: str
) -> None:
    run(SURVIVING_CHILD, how, collector.place, folder)
    collector.wait(12)
    until(lambda: not list(folder.iterdir()))
    check_once(collector, names(range(12)))


def test_a_child_does_not_wait_for_a_lock_that_it_has_inherited(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000)
    queue.put(b"a")
    spool = queue._writer._spool
    assert spool is not None
    with spool._sizes, queue.lock, queue._reader.alone():  # as other threads may hold them
        child = os.fork()
        if not child:
            signal.alarm(20)
            queue.forget()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert queue.put(b"b") == 2
    assert take(queue).items == [b"a", b"b"]
    queue.close("exit")


def test_a_lane_is_adopted_though_a_child_of_its_dead_owner_lives_on(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    script = """
        import os, sys, time
        from trackway import AsyncEmitter
        one = AsyncEmitter(sys.argv[1], "http", spool=sys.argv[2], interval=3600.0)
        for number in range(10):
            one.put(b'{"e":"pv","eid":"%d"}' % number)
        child = os.fork()
        if not child:
            os.close(1), os.close(2)
            time.sleep(60)
        print(child, flush=True)
        os._exit(0)
    """
    child = int(run(script, collector.place, folder).stdout)
    try:
        assert start().flush() == 0
        check_once(collector, names(range(10)))
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_through_lanes_of_their_own(
    collector: LocalCollector, folder: Path, method: Any
) -> None:
    context = multiprocessing.get_context(method)
    children = [context.Process(target=_child, args=(collector.place, folder, n)) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    die_and_start_again(collector.place, folder)
    check_once(collector, {f"{number}-{each}" for number in range(3) for each in range(100)})
    assert list(folder.iterdir()) == []


def _child(place: str, folder: Path, number: int) -> None:
    one = AsyncEmitter(place, "http", spool=folder)
    for each in range(100):
        one.put(payload(f"{number}-{each}"))
