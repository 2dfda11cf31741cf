"""What tracking costs: the caller, the process, the memory; and how fast events arrive."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import Result

ROOT = Path(__file__).parent.parent
CLIENTS = Path(__file__).parent / "clients"
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SNOWPLOW = "snowplow-tracker 1.1.0"
SEGMENT = "segment-analytics-python"
CALLS = 30_000
EVENTS = 100_000
ROUNDS = 5

_IMPORT = """
import sys, time
began = time.perf_counter()
import {module}
print((time.perf_counter() - began) * 1e3)
"""


def measure() -> Iterator[Result]:
    """Our tracker and its peers in turn, each in processes of its own."""
    sink = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    try:
        url = sink.stdout.readline().strip()
        yield from _calls(url)
        yield from _flow(url)
    finally:
        sink.terminate()
    yield from _backlog()
    with tempfile.TemporaryDirectory(prefix="trackway-bench-") as folder:
        yield Result(
            "import trackway",
            _import_ms(_bare_python(Path(folder)), "trackway"),
            "ms",
            most=35.0,
            peer=_import_ms(PEER_PYTHON, "snowplow_tracker"),
            peer_name=SNOWPLOW,
            note="best of 9, in an environment with only the wheel",
        )


def _calls(url: str) -> Iterator[Result]:
    """What a call costs the caller while the worker sends."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(ROUNDS):
        for mode in ("plain", "context", "spool", "step"):
            call = _run(sys.executable, "trackway_call.py", mode, url, CALLS)
            found.setdefault(("ours", mode), []).append(call)
        for mode in ("plain", "context"):
            call = _run(PEER_PYTHON, "snowplow_call.py", mode, url, CALLS)
            found.setdefault(("peer", mode), []).append(call)
    for name, mode, key, most, ratio in (
        ("track_page_view, caller, p50", "plain", "p50_us", 3.5, 3.0),
        ("track_page_view, caller, p99", "plain", "p99_us", 50.0, None),
        ("track_page_view with a context, caller, p50", "context", "p50_us", 6.0, None),
        ("track_page_view with a context, caller, p99", "context", "p99_us", 50.0, None),
        ("track_page_view with a spool, caller, p50", "spool", "p50_us", 5.0, None),
        ("track_page_view with a spool, caller, p99", "spool", "p99_us", None, None),
        ("track_page_view through a step in a scope, caller, p50", "step", "p50_us", 5.0, None),
    ):
        peer = found["peer", mode if mode == "context" else "plain"]
        yield Result(
            name,
            _median(found["ours", mode], key),
            "µs",
            most=most,
            peer=_median(peer, key),
            peer_name=SNOWPLOW,
            least_ratio=ratio,
        )


def _flow(url: str) -> Iterator[Result]:
    """From the first call to the last arrival."""
    ours, default, best, segment = [], [], [], []
    connections = []
    for _ in range(ROUNDS):
        before = _connections(url)
        ours.append(_run(sys.executable, "trackway_flow.py", url, EVENTS))
        connections.append(_connections(url) - before - 1)  # our own question is one
        default.append(_run(PEER_PYTHON, "snowplow_flow.py", "default", url, EVENTS // 5))
        best.append(_run(PEER_PYTHON, "snowplow_flow.py", "best", url, EVENTS))
        segment.append(_run(PEER_PYTHON, "segment_flow.py", url, EVENTS // 5))
    rate, cpu = _median(ours, "per_second"), _median(ours, "cpu_us")
    yield Result(
        "delivered to a local sink",
        rate,
        "events/s",
        least=150_000,
        peer=_median(default, "per_second"),
        peer_name=SNOWPLOW,
        least_ratio=10.0,
    )
    for name, peers, ratio in (
        (f"{SNOWPLOW}, batches of 500 and a session", best, 1.5),
        (SEGMENT, segment, None),
    ):
        yield Result(
            f"delivered to a local sink, beside {name}",
            rate,
            "events/s",
            least=150_000,
            peer=_median(peers, "per_second"),
            peer_name=name,
            least_ratio=ratio,
        )
    yield Result(
        "CPU of the process per event, end to end",
        cpu,
        "µs",
        most=6.0,
        peer=_median(default, "cpu_us"),
        peer_name=SNOWPLOW,
    )
    yield Result(
        "connections for 100,000 events", statistics.median(connections), "connections", most=1
    )


def _backlog() -> Iterator[Result]:
    """While nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        found = [_run(sys.executable, "trackway_backlog.py", url, 50_000) for _ in range(ROUNDS)]
    wire = _median(found, "wire_bytes")
    yield Result(
        "memory per queued event, beyond its wire bytes",
        _median(found, "extra_bytes"),
        "bytes",
        most=64.0,
        note=f"{wire:.0f} bytes on the wire",
    )
    yield Result(
        "longest call over a backlog of 10,000 events",
        _median(found, "longest_us"),
        "µs",
        most=1000.0,
        note="the longest of 10,000 calls; snowplow-tracker blocked 4.29 s in the reference",
    )


def _median(found: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(one[key] for one in found))


def _connections(url: str) -> int:
    with urllib.request.urlopen(f"{url}/counted") as answer:
        return int(answer.read().split()[0])


def _bare_python(folder: Path) -> Path:
    """The interpreter of a virtual environment that holds the wheel and what it needs."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, folder], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "bare"], check=True)
    python = folder / "bare" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *folder.glob("*.whl")], check=True, capture_output=True)
    return python


def _run(python: str | Path, client: str, *arguments: object) -> dict[str, Any]:
    command = [python, CLIENTS / client, *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured


def _import_ms(python: str | Path, module: str) -> float:
    code = _IMPORT.format(module=module)
    return min(
        float(subprocess.run([python, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(9)
    )
