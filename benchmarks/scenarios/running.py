"""Run a scenario as real processes: a plain program, a web server with workers, a Celery worker."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis
from celery import Celery  # type: ignore[import-untyped, unused-ignore]

ROOT = Path(__file__).parent.parent.parent
BROKER = os.environ.get("TRACKWAY_TEST_REDIS_URL", "redis://127.0.0.1:6379/0")

GUNICORN = ("{python}", "-m", "gunicorn", "--workers", "2", "--bind", "unix:{socket}",
            "--log-level", "warning", "benchmarks.scenarios.web:app")  # fmt: skip
UWSGI = ("{bin}/uwsgi", "--master", "--workers", "2", "--http-socket", "{socket}",
         "--enable-threads", "--need-app", "--disable-logging",
         "--hook-master-start", "unix_signal:15 gracefully_kill_them_all",
         "--module", "benchmarks.scenarios.web:app")  # fmt: skip
CELERY = ("{python}", "-m", "celery", "--app", "benchmarks.scenarios.tasks", "worker",
          "--concurrency", "2", "--loglevel", "WARNING",
          "--without-gossip", "--without-mingle", "--without-heartbeat")  # fmt: skip


@dataclass(frozen=True)
class Contestant:
    """A library with its options, in the interpreter that has it."""

    library: str
    python: Path = Path(sys.executable)
    options: dict[str, Any] = field(default_factory=dict)

    def environ(self, url: str, **more: str) -> dict[str, str]:
        """What the processes of a scenario need to know."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TRACKWAY_")}
        path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
        kept |= {"PYTHONPATH": path, "LOST_LIBRARY": self.library, "LOST_URL": url}
        return kept | {"LOST_OPTIONS": json.dumps(self.options), **more}


@dataclass
class Ended:
    """How a scenario ended.

    ``killed``: it was at work after its limit. ``seconds``: from the end of the program to the end
    of its process. ``stats``: what the client of each process that lived to say so had counted.
    ``workers``: the processes that did the work.
    """

    code: int
    killed: bool
    seconds: float | None
    stats: list[dict[str, int]]
    errors: str
    workers: frozenset[int] = frozenset()


class Process:
    """A running command, with everything that it starts."""

    def __init__(self, command: Sequence[str], environ: dict[str, str], folder: Path) -> None:
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environ,
                cwd=ROOT,
                start_new_session=True,
            )
        self.killed = False

    def kill_all(self) -> None:
        """End the process and its children, if any is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def wait(self, limit: float, workers: frozenset[int] = frozenset()) -> Ended:
        """Wait for the end, for ``limit`` seconds at most."""
        timer = threading.Timer(limit, self._too_late)
        timer.start()
        code = self.popen.wait()  # with a time-out it would look only every 50 ms
        now = time.monotonic()
        timer.cancel()
        texts = self.out.read_text().splitlines()
        lines = [json.loads(text) for text in texts if text.startswith('{"pid"')]
        left = [x["leaving"] for x in lines if x["pid"] == self.popen.pid and "leaving" in x]
        return Ended(
            code,
            self.killed,
            now - left[0] if left else None,
            [line["stats"] for line in lines if "stats" in line],
            self.err.read_text(),
            workers,
        )

    def _too_late(self) -> None:
        self.killed = True
        self.kill_all()


@contextmanager
def running(
    contestant: Contestant, url: str, command: Sequence[str], **environ: str
) -> Iterator[Process]:
    """Run a command; ``{python}``, ``{bin}`` and ``{socket}`` in it are filled in."""
    with tempfile.TemporaryDirectory(prefix="lost-") as name:
        folder = Path(name)
        places = {
            "python": contestant.python,
            "bin": contestant.python.parent,
            "socket": folder / "socket",
        }
        filled = [word.format(**places) for word in command]
        more = {key: value.format(folder=folder) for key, value in environ.items()}
        process = Process(filled, contestant.environ(url, **more), folder)
        try:
            yield process
        finally:
            process.kill_all()
            process.popen.wait()


def run_program(
    contestant: Contestant, url: str, name: str, *arguments: object, limit: float = 30.0
) -> Ended:
    """Run one of the functions of ``program.py``."""
    words = ["{python}", "-m", "benchmarks.scenarios.program", name]
    with running(contestant, url, [*words, *map(json.dumps, arguments)]) as process:
        return process.wait(limit)


def serve_requests(
    contestant: Contestant,
    url: str,
    command: Sequence[str],
    *,
    requests: int = 20,
    at_import: int = 0,
    stop: int = signal.SIGTERM,
    limit: float = 30.0,
) -> Ended:
    """Run a web server, ask it four questions at a time, and stop it with the signal ``stop``,
    which reaches its workers as well if it is SIGKILL.

    ``at_import``: how many events the application tracks while it is imported. Both workers are
    awake by then: gunicorn forgets a signal that comes while one starts.
    """
    early = {"LOST_AT_IMPORT": str(at_import)}
    with running(contestant, url, command, **early) as process, ThreadPoolExecutor(4) as threads:
        ask = partial(_ask, process.out.with_name("socket"), limit)
        _wait_for(lambda: len({*threads.map(ask, ["/awake"] * 8)} - {0}) > 1, process, limit)
        workers = frozenset(threads.map(ask, ["/"] * requests))
        if stop == signal.SIGKILL:
            process.kill_all()
        else:
            process.popen.send_signal(stop)
        return process.wait(limit, workers)


def _ask(address: Path, limit: float, path: str) -> int:
    """The number of the worker process that answers; 0 if nobody does yet."""
    with closing(http.client.HTTPConnection("localhost")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(limit)
        try:
            connection.sock.connect(str(address))
        except OSError:
            return 0
        connection.request("GET", path)
        return int(connection.getresponse().read())


def _wait_for(condition: Callable[[], bool], process: Process, limit: float) -> None:
    until = time.monotonic() + limit
    while not condition():
        if process.popen.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"it does not get to work:\n{process.err.read_text()}")
        time.sleep(0.02)


def run_tasks(
    contestant: Contestant,
    url: str,
    *,
    tasks: int = 20,
    options: Sequence[str] = (),
    limit: float = 30.0,
) -> Ended:
    """Run a Celery worker with two processes, wait until the tasks are done, and stop it warmly."""
    prefix = f"trackway-lost-{secrets.token_hex(4)}:"
    told = {"LOST_BROKER": BROKER, "LOST_PREFIX": prefix, "LOST_DONE": "{folder}/done"}
    try:
        with running(contestant, url, [*CELERY, *options], **told) as process:
            _order(prefix, tasks)
            done = process.out.with_name("done")
            done.touch()
            _wait_for(lambda: done.read_text().count("\n") >= tasks, process, limit)
            process.popen.send_signal(signal.SIGTERM)
            return process.wait(limit, frozenset(map(int, done.read_text().split())))
    finally:
        with redis.Redis.from_url(BROKER) as keys:
            for key in keys.scan_iter(f"{prefix}*"):
                keys.delete(key)


def _order(prefix: str, tasks: int) -> None:
    with Celery("lost", broker=BROKER, set_as_current=False) as app:
        app.conf.broker_transport_options = {"global_keyprefix": prefix}
        for _ in range(tasks):
            app.send_task("lost.track", queue="lost", ignore_result=True)
