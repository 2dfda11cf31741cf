"""One measured figure beside its target and its peer, the table of them, and the file."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

FILE = Path(__file__).parent / "results.json"


class Result(NamedTuple):
    """A figure. ``most`` or ``least`` is its target; ``peer`` the same figure of a peer, measured
    in the same run; ``ratio`` how many times better ours is, and the least that it must be."""

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    peer: float | None = None
    peer_name: str = ""
    least_ratio: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        if not self.peer or not self.value:
            return None
        return self.value / self.peer if self.least is not None else self.peer / self.value

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        checks = []
        if self.most is not None:
            checks.append(self.value <= self.most)
        if self.least is not None:
            checks.append(self.value >= self.least)
        if self.least_ratio is not None:
            checks.append((self.ratio or 0.0) >= self.least_ratio)
        return all(checks) if checks else None

    @property
    def target(self) -> str:
        parts = []
        if self.most is not None:
            parts.append(f"≤ {self.most:,g}")
        if self.least is not None:
            parts.append(f"≥ {self.least:,g}")
        if self.least_ratio is not None:
            parts.append(f"{self.least_ratio:g}x peer")
        return ", ".join(parts)


def show(results: list[Result]) -> None:
    """Print the table."""
    table = Table(title=f"Trackway on {platform.machine()}, {os.cpu_count()} cores")
    for column in ("what", "value", "unit", "target", "met", "peer", "ratio", "note"):
        table.add_column(column)
    marks = {True: "yes", False: "NO", None: ""}
    for one in results:
        table.add_row(
            one.name,
            f"{one.value:,.4g}" if one.value < 10_000 else f"{one.value:,.0f}",
            one.unit,
            one.target,
            marks[one.met],
            f"{one.peer:,.4g} ({one.peer_name})" if one.peer is not None else "",
            f"{one.ratio:.1f}" if one.ratio is not None else "",
            one.note,
        )
    Console(width=160).print(table)


def save(results: list[Result]) -> None:
    """Put the figures into results.json; figures that were not measured now stay as they are."""
    known = {}
    if FILE.exists():
        known = {one["name"]: one for one in json.loads(FILE.read_text())["results"]}
    for one in results:
        known[one.name] = {
            "name": one.name,
            "value": round(one.value, 4),
            "unit": one.unit,
            "target": one.target,
            "met": one.met,
            "peer": None if one.peer is None else round(one.peer, 4),
            "peer_name": one.peer_name,
            "ratio": None if one.ratio is None else round(one.ratio, 2),
            "note": one.note,
            "measured": date.today().isoformat(),
        }
    machine = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    text = json.dumps({"machine": machine, "results": list(known.values())}, indent=2)
    FILE.write_text(text + "\n")
