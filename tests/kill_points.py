"""Runs the real server and lets it kill itself at a chosen point of its work.

Put in front of the server's command: ``kill_points.py python -m trackway serve ...``. KILL_POINT
names a point and how often it is passed before it kills, as in ``before-commit:3``. KILL_NO_SYNC
set leaves out the fdatasync of the spool, to prove that a test would notice.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackway.cli import main
from trackway.delivery import spool as spool_module
from trackway.delivery.spool import Spool
from trackway.warehouse import duckdb as warehouse_module
from trackway.warehouse.duckdb import DuckWarehouse

#: Everything that the server does between a request and a row, in order.
POINTS = (
    "in-spool-write",
    "before-sync",
    "after-sync",
    "new-segment",
    "before-transaction",
    "in-transaction",
    "before-commit",
    "after-commit",
    "in-checkpoint",
    "before-remove",
    "after-remove",
)

_point, _, _count = os.environ.get("KILL_POINT", ":0").partition(":")
_passages = {_point: int(_count)}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def reached(point: str) -> bool:
    """Whether this passage of a point is the one that kills."""
    if point not in _passages:
        return False
    _passages[point] -= 1
    return _passages[point] == 0


def passed(point: str) -> None:
    if reached(point):
        die()


class _Os:
    """The ``os`` of the spool, whose writes and opens can end half way."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, descriptor: int, data: memoryview) -> int:
        if reached("in-spool-write"):
            os.write(descriptor, data[: len(data) // 2])
            die()
        return os.write(descriptor, data)

    def open(self, path: Any, flags: int, *mode: int) -> int:
        descriptor = os.open(path, flags, *mode)
        if flags & os.O_EXCL:
            passed("new-segment")
        return descriptor

    def fdatasync(self, descriptor: int) -> None:
        passed("before-sync")
        if "KILL_NO_SYNC" not in os.environ:
            os.fdatasync(descriptor)
        passed("after-sync")


class _Connection:
    """A connection of the loader that knows what it executes."""

    def __init__(self, real: Any, file: Path) -> None:
        self._real = real
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, *rest: Any) -> Any:
        if sql == "BEGIN":
            passed("before-transaction")
        if sql == "COMMIT":
            passed("before-commit")
            with _Watch(self._file):
                done = self._real.execute(sql)
            passed("after-commit")
            return done
        done = self._real.execute(sql, *rest)
        if "INSERT INTO events" in sql:
            passed("in-transaction")
        return done


class _Watch:
    """Kills while DuckDB writes its file, which during a commit is a checkpoint."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look, args=(file.stat(),))

    def __enter__(self) -> None:
        if "in-checkpoint" in _passages:
            self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()

    def look(self, before: os.stat_result) -> None:
        while not self.done.is_set():
            now = self.file.stat()
            if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
                passed("in-checkpoint")
                return


def wrapped(method: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        passed(before)
        done = method(*arguments)
        passed(after)
        return done

    return call


def run() -> None:
    """Build the points in and be the server."""
    if _point and _point not in POINTS:
        sys.exit(f"{_point!r} is no point; there are {', '.join(POINTS)}")
    setattr(spool_module, "os", _Os())  # noqa: B010 - as an assignment it is a type error
    Spool.remove = wrapped(Spool.remove, "before-remove", "after-remove")  # type: ignore[method-assign]
    real_connection = DuckWarehouse.connection
    DuckWarehouse.connection = lambda self: _Connection(  # type: ignore[assignment, method-assign, return-value]
        real_connection(self), self.path
    )
    # So that checkpoints happen within the seconds of a test.
    warehouse_module.CHECKPOINT_THRESHOLD = "200KB"
    sys.argv = ["trackway", *sys.argv[sys.argv.index("serve") :]]
    main()


if __name__ == "__main__":
    run()
