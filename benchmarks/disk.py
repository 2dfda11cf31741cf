"""What a page view costs on the disk, in a folder that ``serve`` filled over HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.load import write_bodies
from benchmarks.results import Result
from benchmarks.serving import post, serving
from trackway.testing.workload import Workload

VIEWS = 5_000_000
#: Nothing but page views, of people as in the other benchmarks.
ONLY_VIEWS: dict[str, Any] = {
    "other_events": 0,
    "leading_events": 0,
    "silent_visits": 0,
    "stray_steps": 0,
    "repeated_steps": 0,
    "malformed": 0,
    "funnel": (0, 0, 0, 0),
}


def measure() -> Iterator[Result]:
    """A year of page views; the warehouse with people, sessions and counts."""
    with tempfile.TemporaryDirectory(prefix="trackway-bench-") as folder:
        data, bodies = Path(folder) / "data", Path(folder) / "bodies"
        write_bodies(bodies, Workload.year(events=VIEWS, **ONLY_VIEWS).bodies(batch=500))
        with serving(data) as server:
            found = post(server.url, bodies, "--connections", "1")
            assert found["statuses"] == {"200": found["requests"]}, found
            server.wait_until_loaded()
            rows = server.sql("select event_name, count(*) as n from events group by all")
        assert [row["event_name"] for row in rows] == ["page_view"], rows
        size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    yield Result(
        "disk per page view, the whole data folder",
        size / rows[0]["n"],
        "bytes",
        most=64.0,
        note=f"{size / 1e6:,.0f} MB for {rows[0]['n']:,} page views, all columns present",
    )
