"""A year of 10 million events: the overview's queries, memory, disk, and taking events meanwhile.

The folder is filled by a real ``serve`` over HTTP once, and kept in ``benchmarks/.data``.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.load import write_bodies
from benchmarks.results import Result
from benchmarks.serving import Server, post, serving
from trackway.periods import Period
from trackway.reports.overview import overview
from trackway.reports.question import Question
from trackway.testing.workload import Workload
from trackway.warehouse import DuckWarehouse

EVENTS = 10_000_000
FOLDER = Path(__file__).parent / ".data" / f"year-{EVENTS}"
ROUNDS = 7


def measure() -> Iterator[Result]:
    """Everything on one folder that ``serve`` itself filled."""
    workload = Workload.year(events=EVENTS)
    if not (FOLDER / "filled").exists():
        fill(workload, FOLDER)
    yield from _memory_and_disk()
    yield from _overview(workload.end)
    yield from _mixed(workload)


def fill(workload: Workload, folder: Path) -> None:
    """Send the whole workload to a server on the folder, and wait until it is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    bodies = folder / "bodies"
    write_bodies(bodies, workload.bodies(batch=500))
    print(f"filling {folder} with {EVENTS:,} events; this happens once ...", flush=True)
    with serving(folder, spool_max_bytes=str(40 * 10**9)) as server:
        # one connection keeps the order of the stream
        found = post(server.url, bodies, "--connections", "1")
        assert found["statuses"] == {"200": found["requests"]}, found
        server.wait_until_loaded()
    bodies.unlink()
    (folder / "filled").touch()


def _memory_and_disk() -> Iterator[Result]:
    with serving(FOLDER) as server:
        time.sleep(10)
        resident = server.resident_mb()
        counts = server.sql(
            "select count(*) as events, "
            "count(*) filter (event_name = 'page_view') as views from events"
        )[0]
    yield Result("server at rest with 10 million events, resident", resident, "MB", most=150.0)
    size = (FOLDER / "warehouse.duckdb").stat().st_size
    yield Result(
        "disk per event of all kinds, everything included",
        size / counts["events"],
        "bytes",
        note=f"{size / 1e6:,.0f} MB; {counts['views']:,} page views of {counts['events']:,} events",
    )


def _overview(end: date) -> Iterator[Result]:
    """In the process that owns the file, as the dashboard asks it: 2 threads, warm."""
    warehouse = DuckWarehouse(FOLDER, threads=2)
    try:
        for name, days, most in (("30 days", 30, 400.0), ("a year", 365, 4_000.0)):
            question = _question(end, days)
            overview(warehouse, question)
            took = [_timed(partial(overview, warehouse, question)) for _ in range(ROUNDS)]
            yield Result(
                f"overview of {name}, all queries, warm",
                statistics.median(took),
                "ms",
                most=most,
                note=f"{min(took):.0f} to {max(took):.0f} ms, exact, one after the other",
            )
    finally:
        warehouse.close()


def _question(end: date, days: int) -> Question:
    period = Period(end - timedelta(days=days), end - timedelta(days=1), "UTC")
    now = int(datetime(end.year, end.month, end.day).timestamp() * 1000)
    return Question("shop", period, now)


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def _mixed(workload: Workload) -> Iterator[Result]:
    """Events come while somebody looks at the overview of the year, again and again."""
    more = Workload(seed=99, people=100_000, days=30, start=workload.end)
    bodies = FOLDER / "more-bodies"
    write_bodies(bodies, itertools.islice(more.bodies(batch=50), 3_100))
    over = threading.Event()
    looked = [0]
    try:
        with serving(FOLDER) as server:
            looker = threading.Thread(target=_look, args=(server, workload.end, over, looked))
            looker.start()
            options = ["--connections", "16", "--rate", "100", "--seconds", "30"]
            found = post(server.url, bodies, *options)
            over.set()
            looker.join()
    finally:
        bodies.unlink()
    assert found["statuses"] == {"200": found["requests"]}, found
    yield Result(
        "answer to a POST at 5,000 events/s while the year is looked at, p99",
        found["p99_ms"],
        "ms",
        most=50.0,
        note=f"p50 {found['p50_ms']:.1f} ms; {looked[0]} overviews meanwhile",
    )


def _look(server: Server, end: date, over: threading.Event, looked: list[int]) -> None:
    import urllib3

    token = (server.data / "token").read_text().strip()
    start = end - timedelta(days=365)
    url = f"{server.url}/s/shop/overview.json?period=custom&from={start}&to={end}"
    http = urllib3.PoolManager()
    while not over.is_set():
        answer = http.request("GET", url, headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 200, answer.data
        looked[0] += 1
