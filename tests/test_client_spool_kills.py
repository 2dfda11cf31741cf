"""Whatever kills the process or cuts the power, what the spool of a client has accepted arrives."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import clean_environment
from tests.local_collector import LocalCollector
from tests.test_client_spool import Start, arrived, collector, folder, names, run, start, until
from tests.test_client_spool_trouble import die_and_start_again
from tests.test_power_cut import Disk, shim
from trackway.delivery.durable import SpoolQueue

__all__ = ["collector", "folder", "shim", "start"]  # fixtures

ENDS = {
    "os._exit": "os._exit(0)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGSEGV": "import ctypes; ctypes.string_at(0)",
    "abort": "os.abort()",
}


@pytest.mark.parametrize("end", ENDS)
def test_however_a_process_ends_it_loses_nothing(
    collector: LocalCollector, folder: Path, start: Start, end: str
) -> None:
    script = f"""
        import os, signal, sys
        from trackway import AsyncEmitter
        one = AsyncEmitter(sys.argv[1], "http", spool=sys.argv[2], interval=3600.0)
        for number in range(100):
            one.put(b'{{"e":"pv","eid":"%d"}}' % number)
        {ENDS[end]}
    """
    run(script, collector.place, folder)
    assert collector.events == []
    assert start().flush() == 0
    assert arrived(collector) == dict.fromkeys(names(range(100)), 1)


# Killed anywhere --------------------------------------------------------------------------------

#: Kills itself before the given line of the spool's code is executed, counted in all threads.
#: Says on a file which events ``put`` has returned from.
TRACED = """
    import os, signal, sys, threading, time
    from pathlib import Path
    from trackway import AsyncEmitter
    from trackway.delivery import durable, mapped, writing
    role, place, folder, said, left = *sys.argv[1:5], int(sys.argv[5])
    mapped._FIRST, writing._SEGMENT = 200, 400  # a new segment every few events
    parts = "accepting durable writing reading orphans lane mapped spool claims syncing".split()
    files = {str(Path(durable.__file__).with_name(f"{part}.py")) for part in parts}
    said = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    name = Path(folder).name

    def trace(frame, event, _):
        return count if frame.f_code.co_filename in files else None

    def count(frame, event, _):
        global left
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(10)
        return count

    threading.settrace(trace)
    sys.settrace(trace)
    options = {"interval": 3600.0, "batch_size": 1000} if role == "writer" else {"interval": 0.01}
    one = AsyncEmitter(place, "http", spool=folder, spool_sync=0.02, **{"batch_size": 3, **options})
    if role != "adopter":
        for number in range(12):
            one.put(b'{"e":"pv","eid":"%s-%d"}' % (name.encode(), number))
            os.write(said, b"%s-%d\\n" % (name.encode(), number))
            if number == 6:
                time.sleep(0.05)
    if role == "writer":
        os._exit(0)
    assert one.flush(10) == 0
    one.close(10)
    sys.settrace(None)
    os.write(said, b"lines=%d\\n" % abs(left))
"""


class Life:
    """A process that tracks events into a folder, or adopts them, and is killed on the way."""

    def __init__(self, collector: LocalCollector, folder: Path) -> None:
        self.collector = collector
        self.folder = folder
        self.said = folder.with_suffix(".said")

    def live(self, role: str, lines: int) -> None:
        self.said.touch()
        run(TRACED, role, self.collector.place, self.folder, self.said, lines)

    def lines(self) -> int:
        """How many lines a whole life has."""
        return int(self.said.read_text().rpartition("lines=")[2])

    def check(self) -> None:
        """Everything that was acknowledged arrives; twice only what had arrived before."""
        before = arrived(self.collector)
        die_and_start_again(self.collector.place, self.folder)
        acknowledged = {line for line in self.said.read_text().split() if "-" in line}
        counts = arrived(self.collector)
        mine = {name: counts[name] for name in counts if name.startswith(f"{self.folder.name}-")}
        assert acknowledged - mine.keys() == set()
        assert {name for name in mine if mine[name] > 1 + (before[name] > 0)} == set()
        assert list(self.folder.glob("*")) == []


@pytest.mark.parametrize("role", ["both", "adopter"])
def test_a_process_that_is_killed_at_any_line_loses_nothing(
    collector: LocalCollector, tmp_path: Path, role: str
) -> None:
    def prepared(name: object) -> Life:
        life = Life(collector, tmp_path / str(name))
        if role == "adopter":
            life.live("writer", -1)
        return life

    whole = prepared("whole")
    whole.live(role, -1)
    lines = whole.lines()
    whole.check()
    assert lines > 500
    # One point of each of many stretches, so that every run tries others.
    stretch = lines // 20
    for first in range(1, lines, stretch):
        killed = prepared(first)
        killed.live(role, random.randrange(first, first + stretch))
        killed.check()


#: Tracks from two threads until it is killed; an event counts when ``put`` has returned.
RUSHING = """
    import os, sys, threading
    from trackway import AsyncEmitter
    place, folder, said, name = sys.argv[1:5]
    one = AsyncEmitter(place, "http", spool=folder, interval=0.01, batch_size=50,
        spool_sync=0.01, max_retry_delay_seconds=0.05)
    said = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def track(thread):
        number = 0
        while True:
            event = b"%s-%d-%d" % (name.encode(), thread, number)
            one.put(b'{"e":"pv","eid":"%s","x":"%s"}' % (event, b"x" * (number % 3000)))
            os.write(said, event + b"\\n")
            number += 1
    threading.Thread(target=track, args=(1,)).start()
    track(2)
"""


def has_grown(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size > size


def test_processes_that_share_a_spool_and_are_killed_again_and_again_lose_nothing(
    collector: LocalCollector, folder: Path, start: Start
) -> None:
    said = folder.with_suffix(".said")
    command = [sys.executable, "-c", textwrap.dedent(RUSHING), collector.place, str(folder)]
    for round_ in range(6):
        collector.usual = random.choice([200, 503])
        together = [
            subprocess.Popen([*command, str(said), f"{round_}{n}"], env=clean_environment())
            for n in range(3)
        ]
        enough = 1000 + (said.stat().st_size if said.exists() else 0)
        until(partial(has_grown, said, enough))
        for process in together:
            time.sleep(random.uniform(0.0, 0.1))
            process.kill()
        for process in together:
            process.wait()
    collector.usual = 200
    one = start()
    assert one.flush(60) == 0
    assert one.close() == 0
    acknowledged = set(said.read_text().split())
    assert len(acknowledged) > 1000
    assert acknowledged - arrived(collector).keys() == set()
    assert list(folder.iterdir()) == []
    come = len(collector.events)
    die_and_start_again(collector.place, folder)
    assert len(collector.events) == come


# Power cuts -------------------------------------------------------------------------------------

#: Tracks, and says how far it was when a sync that has succeeded began.
UNTIL_THE_POWER_CUT = """
    import os, signal, sys, time
    from trackway import AsyncEmitter
    from trackway.delivery.writing import Writer
    place, folder, said, sync, count = sys.argv[1:4] + [float(sys.argv[4]), int(sys.argv[5])]
    said = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    put, real = 0, Writer.sync
    def sync_and_say(self):
        before = put
        real(self)
        os.write(said, b"%d\\n" % before)
        return True
    Writer.sync = sync_and_say
    one = AsyncEmitter(place, "http", spool=folder, interval=3600.0, batch_size=10**6,
        spool_sync=sync)
    while put < count:
        one.put(b'{"e":"pv","eid":"%d","x":"%s"}' % (put, b"x" * (put % 2000)))
        put += 1
        if put % 7 == 0:
            time.sleep(0.001)
    os.write(said, b"all\\n")
    time.sleep(0.2 if sync < 1 else 0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def cut(
    collector: LocalCollector, disk: Disk, said: Path, sync: float, count: int
) -> tuple[int, set[str]]:
    """Cut the power while events are tracked: how far the last sync went, and what is left."""
    said.touch()
    command = [sys.executable, "-c", textwrap.dedent(UNTIL_THE_POWER_CUT), collector.place]
    subprocess.run(
        [*command, str(disk.data / "spool"), str(said), str(sync), str(count)],
        env=clean_environment(**disk.environment),
        timeout=60,
    )
    disk.cut()
    die_and_start_again(collector.place, disk.data / "spool")
    synced = [int(line) for line in said.read_text().split() if line != "all"]
    return max(synced, default=0), set(arrived(collector))


def test_a_power_cut_takes_only_what_came_after_the_last_sync(
    collector: LocalCollector, tmp_path: Path, shim: Path
) -> None:
    disk = Disk(tmp_path / "data", shim)
    synced, left = cut(collector, disk, tmp_path / "said", 0.02, 3000)
    assert synced == 3000, "the last events were synced as well, soon after the last put"
    assert left == names(range(3000))


def test_a_power_cut_in_the_middle_leaves_what_was_synced(
    collector: LocalCollector, tmp_path: Path, shim: Path
) -> None:
    disk = Disk(tmp_path / "data", shim)
    command = [sys.executable, "-c", textwrap.dedent(UNTIL_THE_POWER_CUT), collector.place]
    said = tmp_path / "said"
    process = subprocess.Popen(
        [*command, str(disk.data / "spool"), str(said), "0.05", "10000000"],
        env=clean_environment(**disk.environment),
    )
    until(lambda: said.exists() and said.read_text().count("\n") > 10)
    process.kill()
    process.wait()
    disk.cut()
    die_and_start_again(collector.place, disk.data / "spool")
    synced = max(map(int, said.read_text().split()))
    assert synced > 100
    assert names(range(synced)) - arrived(collector).keys() == set()


def test_with_a_sync_at_once_a_power_cut_takes_nothing(
    collector: LocalCollector, tmp_path: Path, shim: Path
) -> None:
    disk = Disk(tmp_path / "data", shim)
    _, left = cut(collector, disk, tmp_path / "said", 0, 300)
    assert left == names(range(300))


def test_without_a_sync_a_power_cut_takes_everything(
    collector: LocalCollector, tmp_path: Path, shim: Path
) -> None:
    # The proof that the tests above can fail.
    _, left = cut(collector, Disk(tmp_path / "data", shim), tmp_path / "said", 60, 300)
    assert left == set()


def test_what_is_left_at_the_close_is_on_the_disk(
    collector: LocalCollector, tmp_path: Path, shim: Path
) -> None:
    script = """
        import sys
        from trackway import AsyncEmitter
        one = AsyncEmitter(sys.argv[1], "http", spool=sys.argv[2], interval=3600.0, spool_sync=60)
        for number in range(100):
            one.put(b'{"e":"pv","eid":"%d"}' % number)
        assert one.close(0.0) == 100
    """
    disk = Disk(tmp_path / "data", shim)
    collector.usual = 503
    command = [sys.executable, "-c", textwrap.dedent(script), collector.place]
    command.append(str(disk.data / "spool"))
    subprocess.run(command, env=clean_environment(**disk.environment), check=True, timeout=60)
    disk.cut()
    collector.usual = 200
    die_and_start_again(collector.place, disk.data / "spool")
    assert set(arrived(collector)) == names(range(100))


def test_a_segment_is_on_the_disk_with_its_name_and_the_names_of_its_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def recording(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(file: int) -> None:
            synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
            real(file)

        return sync

    monkeypatch.setattr(os, "fsync", recording(os.fsync))
    monkeypatch.setattr(os, "fdatasync", recording(os.fdatasync))
    queue = SpoolQueue(folder, 1000, sync=0)
    queue.put(b"{")
    (lane,) = folder.iterdir()
    (segment,) = lane.glob("*.segment")
    assert synced[:4] == [str(path) for path in (segment, lane, folder, folder.parent)]
    synced.clear()
    queue.put(b"{")
    assert synced == [str(segment)], "names are synced once"
    queue.close("exit")
