"""``trackway demo``: a real server, a real shop and simulated visitors, for a first look."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click
import msgspec

from trackway.cli.client import Client, ask
from trackway.errors import TrackwayError
from trackway.settings import Settings

if TYPE_CHECKING:
    from trackway.cli.visitors import Visitors

#: How long the server may take to start (seconds).
_START = 30.0


def run_demo(settings: Settings, *, keep: bool, seconds: float | None, rate: float) -> None:
    """Run the demo until Ctrl+C, or for ``seconds``; ``keep`` leaves the data folder behind."""
    from trackway.cli.shop import create_shop, serve_shop
    from trackway.cli.visitors import Visitors, send_history

    dice = random.Random(7)
    with contextlib.ExitStack() as stack:
        if not keep:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="trackway-demo-"))
            settings = msgspec.structs.replace(settings, data=Path(folder))
        endpoint, login = stack.enter_context(_server(settings))
        shop, trackway = create_shop(endpoint)
        stack.callback(trackway.tracker.close)
        server = serve_shop(shop)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"

        click.echo(f"A shop opens at {url}; two months of earlier visits are told ...")
        visits = send_history(trackway.tracker, "https://wayfarer.example", dice)
        left = trackway.tracker.flush(30.0)
        if left:
            raise TrackwayError(f"{left} events did not reach {endpoint}")
        click.echo(f"{visits} visits of the last two months are in.")
        click.echo(f"\nOpen {login}\n")

        visitors = Visitors(url, rate, dice)
        visitors.start()
        try:
            _show_progress(visitors, seconds)
        except KeyboardInterrupt:
            click.echo()
        visitors.stop()
        trackway.tracker.flush(5.0)
        _summary(settings)


@contextlib.contextmanager
def _server(settings: Settings) -> Iterator[tuple[str, str]]:
    """``trackway serve`` as a process of its own; its endpoint and its login link."""
    command = [sys.executable, "-m", "trackway", "serve", "--data", str(settings.data)]
    command += ["--host", settings.host, "--port", str(settings.port)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        # Ctrl+C in the terminal is for the demo, which stops its server last.
        start_new_session=True,
    )
    try:
        yield _addresses(process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


def _addresses(process: subprocess.Popen[str]) -> tuple[str, str]:
    watchdog = threading.Timer(_START, process.kill)
    watchdog.start()
    found: dict[str, str] = {}
    assert process.stdout is not None
    try:
        for line in process.stdout:
            word, _, rest = line.strip().partition(" ")
            found[word] = rest.removeprefix("on ")
            if "Open" in found:
                return found["Listening"], found["Open"]
    finally:
        watchdog.cancel()
    raise TrackwayError("the server did not start; what it said stands above")


def _show_progress(visitors: Visitors, seconds: float | None) -> None:
    end = None if seconds is None else monotonic() + seconds
    terminal = sys.stdout.isatty()
    pace = threading.Event()
    while visitors.is_alive() and (end is None or monotonic() < end):
        rest = 1.0 if end is None else max(0.0, min(1.0, end - monotonic()))
        pace.wait(rest)
        if terminal:
            until = "Ctrl+C ends" if end is None else f"{max(0.0, end - monotonic()):.0f} s left"
            click.echo(
                f"\r{visitors.people} visitors, {visitors.requests} requests so far; {until} ",
                nl=False,
            )
    if terminal:
        click.echo()


def _summary(settings: Settings) -> None:
    """What the warehouse holds, asked through the running server like anybody would."""
    if Client.find(settings.data) is None:
        raise TrackwayError("the server ended before the demo did")
    pace = threading.Event()
    before = -1
    while True:  # until the loader has caught up
        table = ask(settings, "SELECT count(*), count(DISTINCT visitor) FROM events")
        events, people = table.rows[0]
        if events == before:
            break
        before = events
        pace.wait(1.5)
    click.echo(f"The warehouse holds {events} events of {people} visitors.")
