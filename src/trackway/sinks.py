"""The contracts that rooms hand each other: where events go to, and where reports read from."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple, Protocol, runtime_checkable

from trackway.event import Event


@runtime_checkable
class Sink(Protocol):
    """Where events go. All sinks are synchronous; a queue inside one is the border to asyncio."""

    def send(self, events: Sequence[Event]) -> None:
        """Take the events. What it raises is counted by the pipeline and never reaches the host."""

    def flush(self, timeout: float | None = None) -> int:
        """Wait at most ``timeout`` seconds (None: without bound); how many events are left."""

    def close(self, timeout: float | None = None) -> int:
        """Flush, then let go of threads, files and connections; how many events are left."""


class MemorySink:
    """Keeps events in a list: for tests, and as the smallest example of a Sink."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._lock = Lock()

    def send(self, events: Sequence[Event]) -> None:
        with self._lock:
            self.events.extend(events)

    def flush(self, timeout: float | None = None) -> int:
        return 0

    def close(self, timeout: float | None = None) -> int:
        return 0


class Table(NamedTuple):
    """The answer to a query: names of the columns, and rows as tuples."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, for JSON and templates."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Warehouse(Protocol):
    """A columnar store of events that reports read."""

    def query(self, sql: str, params: Sequence[Any] = ()) -> Table:
        """Run one of our own read-only queries; ``?`` marks a parameter."""
