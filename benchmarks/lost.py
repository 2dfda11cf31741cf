"""What is really lost: the ends and forks of processes, library by library."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.results import Result
from benchmarks.scenarios.counting import CountingServer, Mood
from benchmarks.scenarios.running import (
    GUNICORN,
    UWSGI,
    Contestant,
    Ended,
    run_program,
    run_tasks,
    serve_requests,
)

PEER_PYTHON = Path(__file__).parent.parent / ".venv-peers" / "bin" / "python"
PEERS = ("segment", "rudder", "posthog", "sentry", "opentelemetry", "snowplow")
PLAIN, SPOOL = "Trackway", "Trackway with spool"

#: Seconds after which a scenario is killed.
LIMIT = 30.0

#: What the exit may take: the budget of two seconds, and the end of the interpreter itself.
EXIT_SECONDS = 2.0

#: The slowest flush interval of the peers is five seconds; a child that lives longer gives them
#: their chance.
CHILD_WAITS = 7.0


class Row(NamedTuple):
    """A scenario: how many events it tracks, and how it is run.

    ``hard``: the process gets no chance to deliver, so that only a spool can keep the events.
    ``options``: what our client is made with in this scenario; the peers have no such thing.
    """

    name: str
    events: int
    run: Callable[[Contestant, str], Ended]
    mood: Mood = "answers"
    hard: bool = False
    options: dict[str, bool] | None = None

    @property
    def timed(self) -> bool:
        """Whether the row asks how long the end takes; then nothing can arrive."""
        return self.mood != "answers"


class Cell(NamedTuple):
    """How a library did: what came, how often one came again, and what the next start brought."""

    delivered: int
    repeated: int
    ended: Ended
    later: int | None = None

    def text(self, row: Row) -> str:
        """What stands in the table."""
        text = str(self.delivered)
        if row.timed:
            text = f"{self.ended.seconds:.1f} s" if self.ended.seconds is not None else "?"
        if self.ended.killed:
            text = f"over {LIMIT:.0f} s, killed" if row.timed else f"{text}, killed"
        elif self.ended.code > 0:  # below zero it is the signal that the row sends
            text += ", failed"
        if self.later is not None:
            text += f", then {self.later}"
        return text + (f", {self.repeated} twice" if self.repeated else "")


def _program(name: str, *arguments: object) -> Callable[[Contestant, str], Ended]:
    return lambda one, url: run_program(one, url, name, *arguments, limit=LIMIT)


def _web(command: tuple[str, ...], *options: str) -> Callable[[Contestant, str], Ended]:
    return partial(serve_requests, command=[*command, *options], limit=LIMIT)


ROWS = (
    Row("normal exit", 1000, _program("leave", 1000)),
    Row("SIGTERM, default handler", 1000, _program("be_ended", 1000, signal.SIGTERM), hard=True),
    Row("SIGTERM, sigterm=True", 1000, _program("be_ended", 1000, signal.SIGTERM),
        options={"sigterm": True}),
    Row("SIGKILL", 1000, _program("be_ended", 1000, signal.SIGKILL), hard=True),
    Row("os.fork, child waits and exits", 100, _program("fork", 100, CHILD_WAITS)),
    Row("multiprocessing child, fork", 100, _program("child_process", 100, "fork")),
    Row("multiprocessing child, spawn", 100, _program("child_process", 100, "spawn")),
    Row("multiprocessing child, forkserver", 100, _program("child_process", 100, "forkserver")),
    Row("ProcessPoolExecutor, fork", 100, _program("executor", 100, "fork")),
    Row("gunicorn -w 2", 20, _web(GUNICORN)),
    Row("gunicorn --preload", 20, _web(GUNICORN, "--preload")),
    Row("gunicorn -k gevent", 20, _web(GUNICORN, "-k", "gevent")),
    Row("gunicorn --preload -k gevent", 20, _web(GUNICORN, "--preload", "-k", "gevent")),
    Row("uWSGI", 20, _web(UWSGI)),
    Row("uWSGI, Python's fork hooks", 20, _web(UWSGI, "--py-call-uwsgi-fork-hooks")),
    Row("Celery prefork, stopped at once", 20, partial(run_tasks, limit=LIMIT)),
    Row("server refuses", 1000, _program("leave", 1000), "refuses"),
    Row("server never answers", 1000, _program("leave", 1000), "hangs"),
)  # fmt: skip


Cells = dict[str, Cell]


def measure() -> Iterator[Result]:
    """Run all rows with all libraries; nothing else runs beside the rows in which time counts."""
    found: dict[str, Cells] = {row.name: {} for row in ROWS}
    jobs = [(row, column) for row in ROWS for column in _columns(row)]
    counted = [job for job in jobs if not job[0].timed]
    with ThreadPoolExecutor(3) as threads:
        cells = list(threads.map(lambda job: _cell(*job), counted))
    timed = [job for job in jobs if job[0].timed]
    cells += [_cell(*job) for job in timed]
    for (row, column), cell in zip(counted + timed, cells, strict=True):
        found[row.name][column] = cell
    _show(found)
    for row in ROWS:
        yield from _results(row, found[row.name])


def _columns(row: Row) -> tuple[str, ...]:
    return (PLAIN,) if row.options else (PLAIN, SPOOL, *PEERS)


def _cell(row: Row, column: str) -> Cell:
    """Run one scenario with one library, and start it again if it leaves a spool behind."""
    with (
        tempfile.TemporaryDirectory(prefix="lost-spool-") as spool,
        CountingServer(row.mood) as server,
    ):
        if column in PEERS:
            contestant = Contestant(column, PEER_PYTHON)
        else:
            options = {**(row.options or {}), **({"spool": spool} if column == SPOOL else {})}
            contestant = Contestant("trackway", options=options)
        try:
            ended = row.run(contestant, server.url)
        except (OSError, RuntimeError) as error:  # the application itself did not work
            ended = Ended(1, False, None, [], str(error))
        delivered, later = server.delivered(), None
        if column == SPOOL and (row.hard or row.timed):
            server.become("answers")
            run_program(contestant, server.url, "start_again", limit=LIMIT)
            later = server.delivered()
        cell = Cell(delivered, server.repeated, ended, later)
        print(f"lost: {row.name}, {column}: {cell.text(row)}", file=sys.stderr, flush=True)
        return cell


def _results(row: Row, cells: Cells) -> Iterator[Result]:
    """What goes into results.json: our own cells, each beside snowplow-tracker's."""
    others = ", ".join(f"{column} {cells[column].text(row)}" for column in cells if column in PEERS)
    for column in (PLAIN, SPOOL):
        cell, name = cells.get(column), f"lost: {row.name}" + ("" if column == PLAIN else ", spool")
        if cell is None:
            continue
        if row.timed:
            yield from _timed(row, name, cell, cells, others)
            continue
        all_of_them = None if row.hard and column == PLAIN else row.events
        peer = cells["snowplow"].delivered if "snowplow" in cells else None
        value = cell.delivered if cell.later is None else cell.later
        note = f"{cell.repeated} twice; {others}" if cell.repeated else others
        yield Result(name, value, f"of {row.events} events", least=all_of_them, peer=peer,
                     peer_name="snowplow-tracker 1.1.0", note=note)  # fmt: skip


def _timed(row: Row, name: str, cell: Cell, cells: Cells, others: str) -> Iterator[Result]:
    """How long the end took, and what became of the events."""
    seconds, peer = (
        LIMIT if one.ended.seconds is None else one.ended.seconds
        for one in (cell, cells["snowplow"])
    )
    yield Result(f"{name}, exit", seconds, "s", most=EXIT_SECONDS, peer=peer,
                 peer_name="snowplow-tracker 1.1.0", note=others)  # fmt: skip
    if cell.later is not None:
        kept, what = cell.later, "delivered by the next start"
    else:
        stats = cell.ended.stats[-1] if cell.ended.stats else {}
        kept = sum(count for reason, count in stats.items() if reason.startswith("dropped:"))
        what = "counted as dropped"
    yield Result(f"{name}, {what}", kept, f"of {row.events} events", least=row.events)


def _show(found: dict[str, Cells]) -> None:
    """Print the table."""
    table = Table(
        title="What is really lost: events delivered, and how long the end takes",
        caption="The end, signal or stop comes right after the last event. Libraries with their "
        "defaults; 'then' is what has arrived after the next start with the same spool.",
    )
    table.add_column("scenario")
    table.add_column("events", justify="right")
    for column in (PLAIN, SPOOL, *PEERS):
        table.add_column(column, justify="right")
    for row in ROWS:
        cells = found[row.name]
        texts = [cells[c].text(row) if c in cells else "-" for c in (PLAIN, SPOOL, *PEERS)]
        table.add_row(row.name, str(row.events), *texts, end_section=row is ROWS[-3])
    Console(width=160).print(table)
