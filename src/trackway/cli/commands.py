"""The commands and their options; what a person gets wrong is answered with one sentence."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table as Grid

from trackway._version import __version__
from trackway.errors import TrackwayError
from trackway.event import Event
from trackway.settings import read_settings
from trackway.sinks import Table

_DATA = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder (default: trackway-data, or TRACKWAY_DATA).",
)


class _OneSentence(click.Group):
    """Shows an error of ours as one sentence; only what nobody foresaw has a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TrackwayError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:  # `trackway sql ... | head`
            sys.stderr.close()
            ctx.exit(0)


@click.group(cls=_OneSentence, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trackway")
def cli() -> None:
    """Server-side analytics: take events, keep them, and show who came and what they did."""


@cli.command()
@_DATA
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free one (default: 8765).")
@click.option("--time-zone", help="Time zone of the dashboard, such as Europe/Berlin.")
@click.option("--public-url", help="How people reach the server, for the login link.")
def serve(**options: Any) -> None:
    """Take events and show the dashboard."""
    from trackway.cli.client import announced
    from trackway.cli.serve import Service

    settings = read_settings(options)
    service = Service(settings)

    def ready() -> None:
        click.echo(f"Listening on {service.url}")
        click.echo(f"Open {service.login_url}")
        click.echo(f"Data in {settings.data.resolve()}; stop with Ctrl+C")
        sys.stdout.flush()

    with announced(settings.data, f"http://{_local(settings.host)}:{service.port}"):
        service.run(ready)


@cli.command()
@_DATA
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free one (default: 8765).")
@click.option("--seconds", type=click.FloatRange(min=0), help="End after this many seconds.")
@click.option(
    "--rate", type=click.FloatRange(0.1, 500), default=8.0, show_default=True,
    help="New simulated visitors per second.",
)  # fmt: skip
def demo(seconds: float | None, rate: float, **options: Any) -> None:
    """Show a live dashboard with visitors of a small shop on it.

    Runs a real server on a temporary data folder (or --data), a shop built with Flask, and
    simulated visitors who walk through it.
    """
    from trackway.cli.demo import run_demo

    run_demo(read_settings(options), keep=options["data"] is not None, seconds=seconds, rate=rate)


@cli.command()
@_DATA
@click.option(
    "--format", "form", type=click.Choice(["line", "json"]), default="line", show_default=True
)
def tail(data: Path | None, form: str) -> None:
    """Show events as they arrive at the running server."""
    from trackway.cli.client import Client

    settings = read_settings({"data": data})
    client = Client.find(settings.data)
    if client is None:
        raise click.ClickException(
            f"no server runs on {settings.data}; start one with `trackway serve --data "
            f"{settings.data}`"
        )
    click.echo(f"Waiting for events at {client.url} ...", err=True)
    for line in client.lines():
        click.echo(line.decode() if form == "json" else _one_line(line))


@cli.command()
@click.argument("query")
@_DATA
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table",
    show_default=True,
)  # fmt: skip
def sql(query: str, data: Path | None, form: str) -> None:
    """Ask the warehouse one SELECT: trackway sql "select count(*) from events"."""
    from trackway.cli.client import ask

    found = ask(read_settings({"data": data}), query)
    _PRINTERS[form](found)


@cli.command()
@_DATA
@click.option("--endpoint", help="Collector that your trackers send to (or TRACKWAY_ENDPOINT).")
def doctor(data: Path | None, endpoint: str | None) -> None:
    """Say what is installed, reachable and writable, and what to do about the rest."""
    from trackway.cli.doctor import examine

    settings = read_settings({"data": data})
    trouble = 0
    marks = {True: click.style("ok  ", fg="green"), False: click.style("no  ", fg="red")}
    for finding in examine(settings, endpoint):
        mark = marks[finding.good] if finding.needed or finding.good else "--  "
        click.echo(f"{mark}{finding.what}")
        if not finding.good and finding.remedy:
            click.echo(f"      {finding.remedy}")
        trouble += finding.needed and not finding.good
    if trouble:
        raise SystemExit(1)


def _local(host: str) -> str:
    """The address at which a command on this machine reaches a server that listens on ``host``."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _one_line(line: bytes) -> str:
    event = msgspec.json.decode(line, type=Event)
    moment = datetime.fromtimestamp((event.received or 0) / 1000).strftime("%H:%M:%S")
    what = event.page_path or event.route or ""
    if event.kind == "struct":
        what = f"{event.category} / {event.action} {what}"
    site, who = event.site or "", event.visitor or ""
    return f"{moment}  {site:<12.12}  {event.name:<20.20}  {who:<24.24}  {what}"


def _print_table(found: Table) -> None:
    grid = Grid()
    for column in found.columns:
        grid.add_column(column)
    for row in found.rows:
        grid.add_row(*("" if value is None else str(value) for value in row))
    console = Console()
    if not console.is_terminal:  # a terminal is as wide as it is; a pipe as the table needs
        wide = Console(width=100_000)
        console = Console(width=wide.measure(grid).maximum)
    console.print(grid)


def _print_json(found: Table) -> None:
    click.echo(json.dumps(found.dicts(), default=str, indent=2, ensure_ascii=False))


def _print_csv(found: Table) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found.columns)
    writer.writerows(found.rows)


_PRINTERS: dict[str, Callable[[Table], None]] = {
    "table": _print_table,
    "json": _print_json,
    "csv": _print_csv,
}
