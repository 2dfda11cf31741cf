"""What the tests talk to: a running server, a browser and foreign clients."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

# No deadline: a busy machine must not fail a test. In CI the examples are the same in every run.
settings.register_profile("home", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if IN_CI else "home")


def missing(what: str) -> NoReturn:
    """Skip the test at home and fail it in CI, where everything has to be there."""
    if IN_CI:
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without the developer's own ``TRACKWAY_*`` settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TRACKWAY_")}
    return kept | extra


@pytest.fixture(scope="session")
def peer_python() -> Path:
    """The interpreter that has the foreign clients, such as ``snowplow-tracker``."""
    python = ROOT / ".venv-peers" / "bin" / "python"
    if not python.exists():
        missing("the foreign clients are not installed: make venv-peers")
    return python


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser, for Playwright's ``executable_path``."""
    named = os.environ.get("TRACKWAY_TEST_CHROMIUM")
    for name in [named] if named else ["chromium", "chromium-browser", "google-chrome"]:
        if found := shutil.which(name):
            return Path(found)
    missing("no Chromium found: install Debian's chromium, or name it in TRACKWAY_TEST_CHROMIUM")


@pytest.fixture
def free_port() -> int:
    """A port of the loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A real ``trackway serve`` in its own process, on a port that it picked itself."""

    START_SECONDS = 60.0

    def __init__(
        self,
        data: Path,
        *options: str,
        env: Mapping[str, str] | None = None,
        wrap: Sequence[str] = (),
    ) -> None:
        self.data = data
        self.log = data.with_name(data.name + ".log")
        self.lines: list[str] = []
        self._unread: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        command = [sys.executable, "-m", "trackway", "serve", "--data", str(data)]
        command += ["--host", "127.0.0.1", "--port", "0", *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrap, *command],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean_environment(**(env or {})),
                start_new_session=True,  # so that a signal reaches the server under strace as well
            )
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.url = self._line("Listening on ").rstrip("/")
        except BaseException:
            self.kill()
            raise

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._unread.put(line.rstrip("\n"))
        self._unread.put(None)

    def _line(self, start: str) -> str:
        """What follows ``start`` on the first line that begins with it, waiting for the line."""
        until = time.monotonic() + self.START_SECONDS
        while True:
            for line in self.lines:
                if line.startswith(start):
                    return line.removeprefix(start).strip()
            try:
                line_or_end = self._unread.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                line_or_end = None
            if line_or_end is None:
                self._unread.put(None)
                said = "\n".join(self.lines)
                raise AssertionError(
                    f"the server (exit code {self.process.poll()}) printed no line beginning with "
                    f"{start!r}\n--- stdout\n{said}\n--- stderr\n{self.log.read_text()}"
                )
            self.lines.append(line_or_end)

    @property
    def login_url(self) -> str:
        """The link that the server prints for the first visit to the dashboard."""
        return "http" + self._line("Open ").partition("http")[2].split()[0]

    def stop(self, timeout: float = 60.0) -> int:
        """Ask the server to end (SIGTERM) and wait; its exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> int:
        """End the server without a warning (SIGKILL); its exit code."""
        return self._end(signal.SIGKILL, 60.0)

    def _end(self, how: signal.Signals, timeout: float) -> int:
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
        return self.process.wait(timeout)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The answer of ``trackway sql``, which asks the server, or the file when it has ended."""
        command = [sys.executable, "-m", "trackway", "sql", "--data", str(self.data)]
        done = subprocess.run(
            [*command, "--format", "json", query],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=120,
        )
        assert done.returncode == 0, f"{query}\n{done.stderr}"
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def wait_for_events(self, count: int, timeout: float = 60.0) -> int:
        """Wait until the warehouse has at least ``count`` events; how many it has."""
        until = time.monotonic() + timeout
        while True:
            stored = int(self.sql("SELECT count(*) AS n FROM events")[0]["n"])
            if stored >= count:
                return stored
            if time.monotonic() > until:
                raise AssertionError(f"{stored} of {count} events are stored after {timeout} s")
            time.sleep(0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers: ``server()``, ``server("--option")``, ``server(data=old.data)``.

    ``data`` is the data folder (a new one unless given), ``env`` more environment, ``wrap`` a
    command that runs the server, such as ``["strace", "-f", "-o", ...]``.
    """
    started: list[Server] = []

    def start(*options: str, data: Path | None = None, **more: Any) -> Server:
        folder = data or tmp_path / f"data-{len(started)}"
        started.append(Server(folder, *options, **more))
        return started[-1]

    yield start
    for one in started:
        one.kill()
