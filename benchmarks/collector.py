"""What the collector takes: single events, batches, a sustained stream with loading."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import write_bodies
from benchmarks.results import Result
from benchmarks.serving import post, serving
from trackway.testing.workload import Workload

SUSTAINED_SECONDS = 60
SUSTAINED_RATE = 255  # POSTs of 100 per second, a little above the target


def measure() -> Iterator[Result]:
    """One server process; the load generator takes its share of the same cores."""
    with tempfile.TemporaryDirectory(prefix="trackway-bench-") as folder:
        place = Path(folder)
        workload = Workload.year(events=2_400_000)
        singles, hundreds = place / "singles", place / "hundreds"
        write_bodies(singles, itertools.islice(workload.bodies(batch=1), 400_000))
        write_bodies(hundreds, workload.bodies(batch=100))
        yield from _singles(place, singles)
        yield from _hundreds(place, hundreds)
        yield from _sustained(place, hundreds)


def _singles(place: Path, bodies: Path) -> Iterator[Result]:
    with serving(place / "one") as server:
        found = post(server.url, bodies, "--connections", "64", "--seconds", "10")
    yield Result(
        "single-event POSTs, acknowledged durably",
        found["requests"] / found["seconds"],
        "per second",
        least=10_000,
        note=f"p99 {found['p99_ms']:.1f} ms, 64 connections",
    )


def _hundreds(place: Path, bodies: Path) -> Iterator[Result]:
    # At the target rate for the latency, and as fast as it goes for the rate.
    with serving(place / "hundred") as server:
        found = post(server.url, bodies, "--connections", "6", "--seconds", "10")
    yield Result(
        "events in POSTs of 100, acknowledged durably",
        100 * found["requests"] / found["seconds"],
        "per second",
        least=60_000,
        note="6 connections, loader running",
    )
    yield Result("answer to a POST of 100 at that rate, p99", found["p99_ms"], "ms", most=25.0)


def _sustained(place: Path, bodies: Path) -> Iterator[Result]:
    backlogs: list[int] = []
    with serving(place / "sustained") as server:
        over = threading.Event()

        def watch() -> None:
            while not over.wait(5.0):
                backlogs.append(server.backlog())

        watcher = threading.Thread(target=watch)
        watcher.start()
        options = ["--connections", "16", "--rate", str(SUSTAINED_RATE)]
        began = time.monotonic()
        found = post(server.url, bodies, *options, "--seconds", str(SUSTAINED_SECONDS))
        took = time.monotonic() - began
        over.set()
        watcher.join()
        lag = server.wait_until_loaded()
        stored = server.sql("select sum(events) as n from ingest")[0]["n"]
    assert found["statuses"] == {"200": found["requests"]}, found
    assert stored == 100 * found["requests"], (stored, found)
    yield Result(
        "events per second for 60 s, loaded, deduplicated, visitors and sessions",
        100 * found["requests"] / took,
        "per second",
        least=25_000,
        note=f"p99 {found['p99_ms']:.1f} ms; all in {lag:.1f} s after the end",
    )
    # Grows: the last third of the samples lies clearly above the first.
    third = max(1, len(backlogs) // 3)
    first, last = max(backlogs[:third]), max(backlogs[-third:])
    yield Result(
        "backlog of the loader, last third over first third",
        last / max(first, 1),
        "",
        most=1.5,
        note=f"{first / 1e6:.1f} to {last / 1e6:.1f} MB of about 15 MB per second",
    )
