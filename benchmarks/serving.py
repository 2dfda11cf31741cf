"""A real ``trackway serve`` for a benchmark, and what can be asked about its process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRACKWAY = (sys.executable, "-m", "trackway")
TP2 = "/com.snowplowanalytics.snowplow/tp2"


class Server:
    """The running server: its URL, process and data folder."""

    def __init__(self, url: str, process: subprocess.Popen[str], data: Path) -> None:
        self.url = url
        self.process = process
        self.data = data

    def resident_mb(self) -> float:
        """Resident memory of the process in units of 10^6 bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError("the process is gone")

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Ask the running server."""
        found = subprocess.run(
            [*TRACKWAY, "sql", query, "--data", str(self.data), "--format", "json"],
            capture_output=True,
            text=True,
            check=True,
        )
        rows: list[dict[str, Any]] = json.loads(found.stdout)
        return rows

    def backlog(self) -> int:
        """Bytes in the spool that are not loaded yet."""
        loaded = {row["segment"]: row["position"] for row in self.sql("select * from segments")}
        return sum(
            max(0, path.stat().st_size - loaded.get(path.name, 0))
            for path in (self.data / "spool").glob("*.segment")
        )

    def wait_until_loaded(self, timeout: float = 600.0) -> float:
        """Seconds until nothing waits in the spool."""
        began = time.monotonic()
        while self.backlog():
            if time.monotonic() - began > timeout:
                raise RuntimeError("the loader does not catch up")
            time.sleep(0.5)
        return time.monotonic() - began


@contextlib.contextmanager
def serving(data: Path, **settings: str) -> Iterator[Server]:
    """Run a server on a data folder."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("TRACKWAY_")}
    environ |= {f"TRACKWAY_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [*TRACKWAY, "serve", "--data", str(data), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    assert process.stdout is not None
    try:
        url = ""
        for line in process.stdout:
            if line.startswith("Listening on "):
                url = line.split()[2]
            if line.startswith("Open "):
                break
        yield Server(url, process, data)
    finally:
        process.terminate()
        process.wait(timeout=120)


def post(url: str, bodies: Path, *options: str) -> dict[str, Any]:
    """Run the load generator as a process of its own; what it measured."""
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", url + TP2, bodies, *options],
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured
