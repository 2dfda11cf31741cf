"""After a power cut, when all is lost that was not synced, every acknowledged event is there."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Server, clean_environment, missing
from tests.test_kill_loop import BUSY, LAUNCHER, Load, check, wait_for_death


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that keeps a copy of what a power cut would leave."""
    if shutil.which("gcc") is None:
        missing("gcc is not installed: install Debian's gcc")
    library = tmp_path_factory.mktemp("shim") / "powercut.so"
    source = Path(__file__).parent / "powercut.c"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run([*command, "-lpthread"], check=True)
    return library


class Disk:
    """A folder, and the copy of it that holds only what was synced."""

    def __init__(self, data: Path, shim: Path) -> None:
        self.data = data
        self.shadow = data.with_name(data.name + ".shadow")
        self.aside = data.with_name(data.name + ".shadow.tmp")
        self.shadow.mkdir()
        self.aside.mkdir()
        self.environment = {
            "LD_PRELOAD": str(shim),
            "POWERCUT_DATA": str(data),
            "POWERCUT_SHADOW": str(self.shadow),
        }

    def cut(self) -> None:
        """Lose everything in the folder that was not synced; the processes have to be dead."""
        if self.data.exists():
            shutil.rmtree(self.data)
        shutil.copytree(self.shadow, self.data)
        for left in self.aside.iterdir():
            left.unlink()


# The shim itself ------------------------------------------------------------------------------


def left_after(script: str, tmp_path: Path, shim: Path) -> dict[str, str]:
    """What a power cut leaves of the files that a script wrote into its folder."""
    disk = Disk(tmp_path / "data", shim)
    disk.data.mkdir()
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        cwd=disk.data,
        env=clean_environment(**disk.environment),
    )
    disk.cut()
    return {
        str(path.relative_to(disk.data)): path.read_text()
        for path in disk.data.rglob("*")
        if path.is_file()
    }


HOW_TO = """
    import os
    def put(name, text, how=os.O_APPEND, sync=None):
        fd = os.open(name, os.O_CREAT | os.O_WRONLY | how, 0o600)
        os.write(fd, text)
        if sync:
            sync(fd)
        return fd
"""


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("put('a', b'lost')", {}),
        ("put('a', b'kept', sync=os.fsync)", {"a": "kept"}),
        ("put('a', b'kept', sync=os.fdatasync)", {"a": "kept"}),
        ("put('a', b'kept', sync=os.fsync); put('a', b' and lost')", {"a": "kept"}),
        ("put('a', b'one', sync=os.fsync); put('b', b'two', sync=os.fsync)",
         {"a": "one", "b": "two"}),
        ("fd = put('a', b'one'); put('a', b'two', sync=os.fsync)", {"a": "onetwo"}),
        ("os.mkdir('d'); put('d/a', b'kept', sync=os.fsync)", {"d/a": "kept"}),
        ("put('a', b'x', sync=os.fsync); os.unlink('a')", {}),
        ("put('a', b'x', sync=os.fsync); os.rename('a', 'b')", {"b": "x"}),
        ("put('b', b'old', sync=os.fsync); put('a', b'new'); os.replace('a', 'b')", {"b": ""}),
        ("put('a', b'x', sync=os.fsync); os.link('a', 'b'); os.unlink('a')", {"b": "x"}),
        ("fd = put('a', b'long', sync=os.fsync); os.ftruncate(fd, 1)", {"a": "l"}),
        ("put('a', b'x', sync=os.fsync); put('a', b'y', how=os.O_TRUNC)", {"a": ""}),
    ],
)  # fmt: skip
def test_the_copy_holds_what_was_synced_and_nothing_else(
    tmp_path: Path, shim: Path, script: str, left: dict[str, str]
) -> None:
    assert left_after(textwrap.dedent(HOW_TO) + script, tmp_path, shim) == left


# The server -----------------------------------------------------------------------------------


def test_every_acknowledged_event_survives_power_cuts(
    server: Callable[..., Server], tmp_path: Path, shim: Path
) -> None:
    disk = Disk(tmp_path / "data", shim)
    load = Load()
    # Where a mistake in the order of syncs would show: rows committed and their segment gone, the
    # file rewritten by a checkpoint and its log cut off, a write that nobody waited for yet.
    rounds = ["after-commit:6", "after-remove:2", "in-checkpoint:2", "after-sync:40", ""]
    random.shuffle(rounds)
    for point in rounds:
        environment = BUSY | disk.environment | ({"KILL_POINT": point} if point else {})
        one = server(data=disk.data, env=environment, wrap=LAUNCHER)
        load.start(one)
        if point:
            assert wait_for_death(one, 30), f"{point} was not passed"
        else:
            time.sleep(random.uniform(0.3, 1.0))
            one.kill()
        load.stop()
        disk.cut()
    assert len(load.acknowledged) > 100
    last = server(data=disk.data, env=BUSY)
    load.deliver_the_rest(last)
    assert last.stop() == 0
    assert load.acknowledged == load.sent
    check(disk.data, load)


def test_without_the_sync_acknowledged_events_would_be_lost(
    server: Callable[..., Server], tmp_path: Path, shim: Path
) -> None:
    # The proof that the test above can fail: the same server, but for its fdatasync.
    disk = Disk(tmp_path / "data", shim)
    load = Load()
    environment = {"TRACKWAY_LOAD_INTERVAL": "3600", "KILL_NO_SYNC": "1"} | disk.environment
    one = server(data=disk.data, env=environment, wrap=LAUNCHER)
    load.start(one)
    time.sleep(0.5)
    one.kill()
    load.stop()
    disk.cut()
    assert len(load.acknowledged) > 10
    last = server(data=disk.data)
    assert last.stop() == 0
    assert last.sql("SELECT count(*)::INTEGER AS n FROM events") == [{"n": 0}]


def test_what_is_in_the_spool_alone_survives_a_power_cut(
    server: Callable[..., Server], tmp_path: Path, shim: Path
) -> None:
    disk = Disk(tmp_path / "data", shim)
    load = Load()
    environment = {"TRACKWAY_LOAD_INTERVAL": "3600"} | disk.environment
    one = server(data=disk.data, env=environment)
    load.start(one)
    time.sleep(0.5)
    one.kill()
    load.stop()
    disk.cut()
    last = server(data=disk.data)
    load.deliver_the_rest(last)
    assert last.stop() == 0
    check(disk.data, load)
