"""The spool of a client: what ``put`` has accepted outlives its process and arrives."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import clean_environment
from tests.local_collector import LocalCollector
from trackway import AsyncEmitter, Emitter, Tracker
from trackway.delivery import orphans as orphans_module
from trackway.delivery import spool as spool_module
from trackway.delivery.durable import SpoolQueue
from trackway.delivery.queue import Batch
from trackway.delivery.spool import frame, read_frames, segments

Start = Callable[..., AsyncEmitter]

#: Nobody listens here.
NOWHERE = "http://127.0.0.1:9"


def payload(name: object, filler: int = 0) -> bytes:
    return b'{"e":"pv","eid":"%s","x":"%s"}' % (str(name).encode(), b"x" * filler)


def names(*ranges: range) -> set[str]:
    return {str(number) for one in ranges for number in one}


def arrived(collector: LocalCollector) -> Counter[str]:
    return Counter(event["eid"] for event in collector.events)


def check_once(collector: LocalCollector, expected: set[str]) -> None:
    assert arrived(collector) == Counter(dict.fromkeys(expected, 1))


def lanes(folder: Path) -> list[Path]:
    return sorted(folder.glob("lane-*"))


def disk_use(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.segment"))


def take(queue: SpoolQueue, count: int = 1000) -> Batch:
    batch = queue.take(count, 1 << 30)
    assert batch is not None
    return batch


def end(emitter: AsyncEmitter) -> int:
    """Close an emitter and wait for its threads, as a process that ends would; what is left."""
    left = emitter.close(0.1)
    until(lambda: not any("trackway-delivery" in t.name for t in threading.enumerate()))
    return left


def until(happened: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def collector() -> Iterator[LocalCollector]:
    one = LocalCollector()
    yield one
    one.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def start(collector: LocalCollector, folder: Path) -> Iterator[Start]:
    """Starts emitters with the spool, to the collector unless told otherwise."""
    started: list[AsyncEmitter] = []

    def begin(endpoint: str = "", **options: Any) -> AsyncEmitter:
        usual: dict[str, Any] = {"interval": 0.01, "max_retry_delay_seconds": 0.05}
        options = {"spool": folder, **usual, **options}
        started.append(AsyncEmitter(endpoint or collector.place, "http", **options))
        return started[-1]

    yield begin
    for one in started:
        one.close(0)


def run(script: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=clean_environment(), timeout=60, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


#: Tracks events, waits for company that does not come, and is gone.
VANISH = """
    import os, sys
    from trackway import AsyncEmitter
    place, folder, first, last, filler = sys.argv[1:6]
    emitter = AsyncEmitter(place, "http", spool=folder, interval=3600.0, batch_size=10**6)
    for number in range(int(first), int(last)):
        emitter.put(b'{"e":"pv","eid":"%d","x":"%s"}' % (number, b"x" * int(filler)))
    os._exit(0)
"""


def leave_behind(place: str, folder: Path, numbers: range, filler: int = 0) -> Path:
    """Let a process die with these events in its spool; its lane."""
    before = set(lanes(folder))
    run(VANISH, place, folder, numbers.start, numbers.stop, filler)
    (lane,) = set(lanes(folder)) - before
    return lane


# What survives ----------------------------------------------------------------------------------


def test_what_a_dead_process_had_accepted_is_delivered_by_the_next_start(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    leave_behind(collector.place, folder, range(1000))
    one = start()
    assert one.flush() == 0, "a flush waits for what was adopted as well"
    check_once(collector, names(range(1000)))
    one.put(payload("own"))
    assert one.close() == 0
    assert list(folder.iterdir()) == [], "nothing is left to say about what has arrived"
    stats = one.stats()
    assert (stats["accepted"], stats["adopted"], stats["sent"]) == (1001, 1000, 1001)
    assert (stats["queued"], stats["spooled_bytes"]) == (0, 0)


def test_a_tracker_takes_the_path_of_a_spool(collector: LocalCollector, folder: Path) -> None:
    leave_behind(collector.place, folder, range(3))
    with Tracker(endpoint=f"http://{collector.place}", spool=str(folder)) as tracker:
        name = tracker.track("bought", {"price": 3})
        assert tracker.flush() == 0
    check_once(collector, names(range(3)) | {name})
    assert list(folder.iterdir()) == []


def test_an_emitter_without_threads_keeps_a_spool_as_well(
    collector: LocalCollector, folder: Path
) -> None:
    leave_behind(collector.place, folder, range(10))
    one = Emitter(collector.place, "http", spool=folder, batch_size=100, interval=60)
    one.put(payload(10))
    assert not collector.events
    assert one.flush() == 0
    one.close()
    check_once(collector, names(range(11)))
    assert list(folder.iterdir()) == []


def test_events_stay_in_the_spool_while_the_collector_is_away(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    collector.usual = 503
    one = start()
    for number in range(2000):
        one.put(payload(number))
    assert end(one) == 2000
    assert one.stats()["queued"] == 2000
    assert len(lanes(folder)) == 1
    two = start()
    assert two.flush(0.3) > 0
    collector.usual = 200
    assert two.flush() == 0
    assert two.close() == 0
    check_once(collector, names(range(2000)))
    assert list(folder.iterdir()) == []


def test_what_is_tracked_after_the_close_waits_for_the_next_start(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    one = start()
    one.put(payload(0))
    one.close()
    assert one.delivery.put(payload(1))
    assert one.flush() == 1
    two = start()
    assert two.flush() == 0
    check_once(collector, names(range(2)))
    two.close()
    assert list(folder.iterdir()) == []


def test_events_of_all_sizes_pass_through(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    sizes = [0, 1, 1000, 70_000, 600_000, 8 * 1024 * 1024, 5, 2 * 1024 * 1024, 300]
    one = start()
    for number, size in enumerate(sizes):
        one.put(payload(number, size))
    assert one.flush() == 0
    got = {event["eid"]: len(event["x"]) for event in collector.events}
    assert got == {str(number): size for number, size in enumerate(sizes)}
    assert one.close() == 0
    assert list(folder.iterdir()) == []


def test_large_events_of_a_dead_process_are_read_whole(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    leave_behind(collector.place, folder, range(7), filler=700_000)
    assert start().flush() == 0
    check_once(collector, names(range(7)))


def test_files_are_for_their_owner_only(folder: Path) -> None:
    mask = os.umask(0)
    try:
        queue = SpoolQueue(folder, 1000)
        queue.put(b"{")
        queue.settle(take(queue), "sent")
    finally:
        os.umask(mask)
    (lane,) = lanes(folder)
    assert lane.stat().st_mode & 0o777 == 0o700
    files = {path.name.rpartition(".")[2]: path.stat().st_mode & 0o777 for path in lane.iterdir()}
    assert files == {"segment": 0o600, "owner": 0o600, "position": 0o600}
    queue.close("exit")


def test_no_file_stays_open(folder: Path) -> None:
    def use() -> None:
        queue = SpoolQueue(folder, 1000, sync=60)
        for _ in range(3):
            queue.put(b"{")
        queue.settle(take(queue), "sent")
        queue.close("exit")

    before = open_files(), threading.active_count()
    for _ in range(1000):
        use()
    until(lambda: threading.active_count() <= before[1])
    assert open_files() <= before[0]
    assert list(folder.iterdir()) == []


# Out of order -------------------------------------------------------------------------------------


def test_a_batch_that_arrived_in_part_is_sent_again_in_part_only(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    # One request for each event; every third one fails.
    collector.statuses = [200, 503, 200] * 10
    collector.usual = 503
    one = start(method="get", batch_size=30)
    for number in range(30):
        one.put(payload(number))
    until(lambda: one.stats().get("sent") == 20)
    assert end(one) == 10
    collector.usual = 200
    two = start(method="get")
    assert two.flush() == 0
    two.close()
    check_once(collector, names(range(30)))
    assert list(folder.iterdir()) == []


def test_a_batch_that_was_overtaken_does_not_repeat_the_others(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000)
    for number in range(6):
        queue.put(b"%d" % number)
    first, second, third = (take(queue, 2) for _ in range(3))
    queue.settle(second, "sent")
    queue.settle(third, "sent")
    queue.put_back(first)
    queue.close("exit")
    again = SpoolQueue(folder, 1000)
    again.adopt()
    rest = take(again)
    assert rest.items == [b"0", b"1"]
    again.settle(rest, "sent")
    assert again.take(10, 1000) is None
    assert list(folder.iterdir()) == []


def test_what_is_under_way_at_the_close_is_not_sent_by_somebody_else(folder: Path) -> None:
    one, two = SpoolQueue(folder, 1000), SpoolQueue(folder, 1000)
    one.put(b"a")
    under_way = take(one)
    one.put(b"b")
    one.close("exit")
    assert two.adopt() == 0
    one.settle(under_way, "sent")
    assert two.adopt() == 1
    assert take(two).items == [b"b"]
    two.close("exit")


# Damage -------------------------------------------------------------------------------------------


def test_a_tail_that_a_crash_tore_off_costs_nothing_else(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    lane = leave_behind(collector.place, folder, range(10))
    (segment,) = segments(lane)
    end = [found.end for found in read_frames(segment)][-1]
    for length in (1, 15, 17, 30):
        with segment.open("r+b") as file:
            file.seek(end)
            file.write(frame(payload("torn"), kind=16, records=1)[:length])
    one = start()
    assert one.flush() == 0
    check_once(collector, names(range(10)))
    assert "damaged" not in one.stats()


def test_damage_in_the_middle_costs_one_event(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    lane = leave_behind(collector.place, folder, range(10), filler=50)
    (segment,) = segments(lane)
    hit = list(read_frames(segment))[4]
    data = bytearray(segment.read_bytes())
    data[hit.start + 30] ^= 0x40
    segment.write_bytes(data)
    one = start()
    assert one.flush() == 0
    check_once(collector, names(range(4), range(5, 10)))
    assert one.stats()["damaged"] == 1
    one.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "position",
    [b"", b"\0" * 80, b"nonsense", b"9999999999999-ffffffff.segment 10 00000000", b"%s 1000000 %s"],
)
def test_a_position_that_is_garbage_costs_nothing(
    collector: LocalCollector, folder: Path, start: Start, position: bytes
) -> None:
    lane = leave_behind(collector.place, folder, range(10))
    name = segments(lane)[0].name.encode()
    (lane / "position").write_bytes(position.replace(b"%s", name))
    assert start().flush() == 0
    check_once(collector, names(range(10)))


def test_segments_of_a_newer_version_are_left_to_it(
    collector: LocalCollector, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = leave_behind(collector.place, folder, range(5))
    (segment,) = segments(newer)
    with monkeypatch.context() as future:
        future.setattr(spool_module, "VERSION", spool_module.VERSION + 1)
        whole = b"".join(frame(payload(n), kind=16, records=1) for n in range(5))
    segment.write_bytes(whole)
    leave_behind(collector.place, folder, range(5, 10))
    one = start()
    assert one.flush() == 0
    one.put(payload(10))
    assert one.close() == 0
    check_once(collector, names(range(5, 11)))
    assert lanes(folder) == [newer]
    assert segment.read_bytes() == whole
    with monkeypatch.context() as future:
        future.setattr(spool_module, "VERSION", spool_module.VERSION + 1)
        assert start().flush() == 0
    check_once(collector, names(range(11)))


def test_a_lane_that_is_left_alone_is_not_adopted_again_and_again(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000)
    queue.put(b"a")
    queue.close("exit")
    (segment,) = segments(lanes(folder)[0])
    segment.write_bytes(b"TW\xff")
    queue = SpoolQueue(folder, 1000)
    assert queue.adopt() == 1
    assert queue.take(1, 1000) is None
    assert len(queue) == 0
    assert queue.adopt() == 0
    queue.close("exit")
    assert segment.read_bytes() == b"TW\xff"


def test_a_lane_that_another_process_takes_before_it_is_locked_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, answers = spool_module.own, [None, None]

    def own(path: Path, *, create: bool = False) -> int | None:
        return answers.pop() if answers else real(path, create=create)

    monkeypatch.setattr(spool_module, "own", own)
    queue = SpoolQueue(folder, 1000)
    queue.put(b"a")
    assert "unspooled" not in queue.snapshot()
    assert take(queue).items == [b"a"]
    queue.close("exit")


def test_a_segment_that_cannot_be_read_keeps_nothing_else_back(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    lane = leave_behind(collector.place, folder, range(10))
    # Reading a folder fails whoever asks, root included.
    (lane / "0000000000000-00000000.segment").mkdir()
    one = start()
    assert one.flush() == 0
    check_once(collector, names(range(10)))
    assert one.stats()["damaged"] == 1
    one.close()
    assert [path.suffix for path in folder.iterdir()] == [".damaged"]


# Sharing a folder ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["same", "relative", "dots", "link"])
def test_two_emitters_of_a_process_share_a_folder_however_it_is_spelled(
    collector: LocalCollector,
    folder: Path,
    start: Start,
    spelling: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orphans_module, "_LOOK", 0.0)  # look before every batch
    folder.mkdir()
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder)
    other = {"same": folder, "relative": "spool", "dots": folder / ".." / "spool", "link": "link"}
    collector.usual = 503
    emitters = [start(), start(spool=other[spelling])]
    monkeypatch.chdir("/")  # a relative path means what it meant
    for number in range(200):
        emitters[number % 2].put(payload(number))
    time.sleep(0.1)
    collector.usual = 200
    assert [one.flush() for one in emitters] == [0, 0]
    # Both still hold the locks of their lanes, which whoever had tried them would have ended.
    emitters[0].put(payload(200))
    emitters[1].put(payload(201))
    script = """
        import sys
        from trackway import AsyncEmitter
        print(AsyncEmitter(sys.argv[1], "http", spool=sys.argv[2]).delivery.queue.adopt())
    """
    assert run(script, collector.place, folder).stdout == "0\n"
    assert [one.close() for one in emitters] == [0, 0]
    check_once(collector, names(range(202)))
    assert list(folder.iterdir()) == []


def test_queues_for_different_collectors_do_not_touch_each_others_events(folder: Path) -> None:
    def one(collector: str) -> SpoolQueue:
        return SpoolQueue(folder, 1000, collector=collector)

    here = one("https://c.example.com/path")
    here.put(b"a")
    here.close("exit")
    for other in (
        "https://d.example.com/path",
        "https://c.example.com:8443/path",
        "https://c.example.com",
    ):
        assert one(other).adopt() == 0
    (lane,) = lanes(folder)
    assert (lane / "owner").read_text() == "https://c.example.com/path\n", "for people"
    same = one("http://C.example.com:80/path/")
    assert same.adopt() == 1
    same.close("exit")


def test_many_starts_at_once_share_many_lanes_without_repeating_anything(
    collector: LocalCollector, folder: Path
) -> None:
    for first in range(0, 1000, 50):
        leave_behind(collector.place, folder, range(first, first + 50))
    script = """
        import sys
        from trackway import AsyncEmitter
        sys.stdin.readline()
        one = AsyncEmitter(sys.argv[1], "http", spool=sys.argv[2], interval=0.01)
        assert one.flush() == 0
        assert one.close() == 0
    """
    command = [sys.executable, "-c", textwrap.dedent(script), collector.place, str(folder)]
    together = [
        subprocess.Popen(command, stdin=subprocess.PIPE, env=clean_environment()) for _ in range(6)
    ]
    for process in together:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait(60) for process in together] == [0] * 6
    check_once(collector, names(range(1000)))
    assert list(folder.iterdir()) == []


def test_a_running_sibling_adopts_what_a_dead_process_leaves(
    collector: LocalCollector, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans_module, "_LOOK", 0.1)
    sibling = start()
    sibling.put(payload("a"))
    collector.wait(1)
    leave_behind(collector.place, folder, range(10))
    time.sleep(0.1)
    sibling.put(payload("b"))
    collector.wait(12)
    assert sibling.close() == 0
    check_once(collector, names(range(10)) | {"a", "b"})


def test_more_lanes_than_are_adopted_at_a_time_are_adopted_in_turns(
    collector: LocalCollector, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans_module, "_MOST", 3)
    for number in range(10):
        leave_behind(collector.place, folder, range(number, number + 1))
    files = open_files()
    collector.usual = 503
    one = start()
    assert open_files() <= files + 3
    collector.usual = 200
    assert one.flush() == 0
    check_once(collector, names(range(10)))
    assert one.close() == 0
    assert list(folder.iterdir()) == []


def test_lanes_that_a_process_left_half_made_are_tidied_up(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    lane = leave_behind(collector.place, folder, range(3))
    prefix = lane.name[:-16]
    (folder / f"{prefix}{'0' * 16}").mkdir()
    (folder / f"{prefix}{'1' * 16}").mkdir()
    (folder / f"{prefix}{'1' * 16}" / "owner").touch()
    (lane / "owner").unlink()  # as a power cut may have it
    (folder / "notes").write_text("somebody's own")
    one = start()
    assert one.flush() == 0
    assert one.close() == 0
    check_once(collector, names(range(3)))
    assert [path.name for path in folder.iterdir()] == ["notes"]


# Bounds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [3_000, 40_000, 1_000_000])
@pytest.mark.parametrize("overflow", ["newest", "oldest"])
def test_a_full_spool_drops_what_it_says_and_counts_it(
    collector: LocalCollector, folder: Path, start: Start, overflow: str, bound: int
) -> None:
    dropped: list[tuple[str, str]] = []
    collector.usual = 503
    one = start(
        spool_max_bytes=bound,
        overflow=overflow,
        batch_size=1,
        on_drop=lambda event, reason: dropped.append((event["eid"], reason)),
    )
    count = 2 * bound // 300
    for number in range(count):
        one.put(payload(number, 250))
        assert disk_use(folder) <= bound
    assert {reason for _, reason in dropped} == {"queue_full"}
    assert one.stats()["dropped:queue_full"] == len(dropped) >= count // 4
    gone = {name for name, _ in dropped}
    kept = names(range(count)) - gone
    # The first one is under way; what is dropped is the rest of the one end or the other.
    if overflow == "newest":
        assert max(map(int, kept)) < min(map(int, gone)) + count // 2
    else:
        assert str(count - 1) in kept
        assert min(map(int, kept - {"0"})) > max(map(int, gone - {"0"}))
    assert one.stats()["queued"] == len(kept)
    collector.usual = 200
    assert one.flush() == 0
    one.put(payload("after"))
    assert one.close() == 0
    check_once(collector, kept | {"after"})
    assert list(folder.iterdir()) == []


def test_a_bound_that_nothing_fits_in_drops_everything(folder: Path) -> None:
    queue = SpoolQueue(folder, 10_000, spool_max_bytes=100, overflow="oldest")
    assert queue.put(b"x" * 200) == 0
    assert queue.snapshot()["dropped:queue_full"] == 1
    assert queue.put(b"x" * 20) == 1
    assert queue.close("exit") == 0


def test_lanes_of_dead_processes_count_against_the_bound(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    leave_behind(collector.place, folder, range(1000), filler=250)
    used = disk_use(folder)
    collector.usual = 503
    one = start(spool_max_bytes=used + 10_000)
    for number in range(1000, 2000):
        one.put(payload(number, 250))
    assert disk_use(folder) <= used + 10_000
    refused = one.stats()["dropped:queue_full"]
    assert refused > 900
    collector.usual = 200
    assert one.flush() == 0
    assert len(collector.events) == 2000 - refused


def test_ones_own_lane_counts_once(folder: Path) -> None:
    queue = SpoolQueue(folder, 1000, spool_max_bytes=200_000)
    for number in range(350):
        queue.put(payload(number, 450)[:-1])
        if number == 250:
            assert queue.adopt() == 0
    assert queue.snapshot()["queued"] == 350
    queue.close("exit")


def test_the_space_of_others_is_not_made_by_dropping_ones_own(folder: Path) -> None:
    # The sibling lives and holds nearly all of the bound: what I drop of mine helps nobody.
    sibling = SpoolQueue(folder, 1000, spool_max_bytes=400_000)
    for number in range(1000):
        sibling.put(payload(number, 250)[:-1])
    mine = SpoolQueue(folder, 1000, spool_max_bytes=disk_use(folder) + 20_000, overflow="oldest")
    mine.adopt()
    for number in range(1000):
        mine.put(payload(number, 250)[:-1])
    stats = mine.snapshot()
    assert stats["queued"] > 20
    assert stats["queued"] + stats["dropped:queue_full"] == 1000
    sibling.close("exit")
    mine.close("exit")


def test_what_lay_in_the_spool_for_too_long_is_dropped_and_counted(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    dropped: list[str] = []
    old = leave_behind(collector.place, folder, range(700))
    leave_behind(collector.place, folder, range(700, 710))
    week = 7 * 86400
    for segment in segments(old):
        os.utime(segment, (time.time() - week - 60,) * 2)
    one = start(on_drop=lambda event, reason: dropped.append(f"{reason} {event['eid']}"))
    assert one.flush() == 0
    check_once(collector, names(range(700, 710)))
    assert sorted(dropped) == sorted(f"expired {number}" for number in range(700))
    stats = one.stats()
    assert (stats["dropped:expired"], stats["accepted"], stats["sent"]) == (700, 710, 10)
    assert one.close() == 0
    assert list(folder.iterdir()) == []


def test_what_a_living_process_cannot_deliver_in_time_is_dropped(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    collector.usual = 503
    one = start(spool_max_age=0.5, spool_sync=0.05, batch_size=5)
    for number in range(50):
        one.put(payload(number))
    until(lambda: not one.stats()["queued"])
    assert one.stats()["dropped:expired"] == 50
    collector.usual = 200
    one.put(payload("young"))
    assert one.close() == 0
    check_once(collector, {"young"})


def test_a_clock_that_is_set_loses_nothing(
    collector: LocalCollector, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = 365 * 86400
    lane = leave_behind(collector.place, folder, range(5))
    for segment in segments(lane):
        os.utime(segment, (time.time() + year,) * 2)  # written before the clock was set back
    collector.usual = 503
    one = start()
    real = time.time_ns
    for number, shift in enumerate((0, -year, year, 0), 5):
        monkeypatch.setattr(spool_module, "time_ns", lambda s=shift: real() + s * 10**9)
        one.put(payload(number, 70_000))  # a segment for each
    # A clock that is put right while we run makes nothing old that we have written ourselves.
    monkeypatch.setattr("trackway.delivery.lane.time", lambda: time.time() + year)
    collector.usual = 200
    assert one.flush() == 0
    assert arrived(collector).keys() >= names(range(5, 9))
    monkeypatch.undo()
