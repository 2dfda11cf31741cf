"""What tracking costs the caller, and what importing the tracker costs the process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import Result

ROOT = Path(__file__).parent.parent
CLIENTS = Path(__file__).parent / "clients"
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
CALLS = 30_000
ROUNDS = 5

_IMPORT = """
import sys, time
began = time.perf_counter()
import {module}
print((time.perf_counter() - began) * 1e3)
"""


def measure() -> Iterator[Result]:
    """Our tracker and snowplow-tracker in turn, each in processes of its own."""
    sink = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout is not None
    try:
        url = sink.stdout.readline().strip()
        ours, peers = [], []
        for _ in range(ROUNDS):
            ours.append(_run(sys.executable, "trackway_call.py", url))
            peers.append(_run(PEER_PYTHON, "snowplow_call.py", url))
    finally:
        sink.terminate()
    for name, key, most, ratio in (
        ("track_page_view, caller, p50", "p50_us", 5.0, 3.0),
        ("track_page_view, caller, p99", "p99_us", None, None),
    ):
        yield Result(
            name,
            statistics.median(one[key] for one in ours),
            "µs",
            most=most,
            peer=statistics.median(one[key] for one in peers),
            peer_name="snowplow-tracker 1.1.0",
            least_ratio=ratio,
        )
    with tempfile.TemporaryDirectory(prefix="trackway-bench-") as folder:
        yield Result(
            "import trackway",
            _import_ms(_bare_python(Path(folder)), "trackway"),
            "ms",
            most=35.0,
            peer=_import_ms(PEER_PYTHON, "snowplow_tracker"),
            peer_name="snowplow-tracker 1.1.0",
            note="best of 9, in an environment with only the wheel",
        )


def _bare_python(folder: Path) -> Path:
    """The interpreter of a virtual environment that holds the wheel and what it needs."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, folder], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "bare"], check=True)
    python = folder / "bare" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *folder.glob("*.whl")], check=True, capture_output=True)
    return python


def _run(python: str | Path, client: str, url: str) -> dict[str, Any]:
    command = [python, CLIENTS / client, url, str(CALLS)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured


def _import_ms(python: str | Path, module: str) -> float:
    code = _IMPORT.format(module=module)
    return min(
        float(subprocess.run([python, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(9)
    )
