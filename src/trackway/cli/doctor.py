"""``trackway doctor``: what is installed, reachable and writable, and what to do about the rest."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import urllib3

from trackway._version import __version__
from trackway.cli.client import Client
from trackway.emitters.endpoint import collector_url
from trackway.errors import TrackwayError
from trackway.settings import Settings
from trackway.warehouse import DuckWarehouse

#: Below this much free space the doctor worries (bytes).
_LITTLE_SPACE = 1024**3

_PACKAGES = (
    ("msgspec", "", True),
    ("urllib3", "", True),
    ("duckdb", "server", True),
    ("starlette", "server", True),
    ("uvicorn", "server", True),
    ("httptools", "server", True),
    ("ua-parser", "server", True),
    ("flask", "flask", False),
    ("numpy", "workload", False),
)


class Finding(NamedTuple):
    """One thing that was looked at: good or not, needed or not, and what to do if not."""

    good: bool
    what: str
    remedy: str = ""
    needed: bool = True


def examine(settings: Settings, endpoint: str | None) -> Iterator[Finding]:
    """Look at the installation, the data folder, its server, and the trackers' endpoint."""
    yield Finding(True, f"trackway {__version__}, Python {sys.version.split()[0]}")
    yield from _packages()
    yield from _folder(settings)
    yield from _server(settings)
    endpoint = endpoint or os.environ.get("TRACKWAY_ENDPOINT")
    if endpoint:
        yield _reachable(endpoint)


def _packages() -> Iterator[Finding]:
    for package, extra, needed in _PACKAGES:
        try:
            yield Finding(True, f"{package} {version(package)}")
        except PackageNotFoundError:
            name = f"trackway[{extra}]" if extra else "trackway"
            remedy = f"pip install '{name}'"
            yield Finding(False, f"{package} is not installed", remedy, needed)


def _folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data
    if not folder.exists():
        yield Finding(
            False,
            f"the data folder {folder} does not exist yet",
            "`trackway serve` makes it; --data or TRACKWAY_DATA names another",
            needed=False,
        )
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield Finding(True, f"the data folder {folder} is writable")
    except OSError as error:
        yield Finding(
            False,
            f"the data folder {folder} is not writable: {error.strerror}",
            "give it to the user who runs the server, or name another with --data",
        )
    free = shutil.disk_usage(folder).free
    yield Finding(
        free >= _LITTLE_SPACE,
        f"{free / 1024**3:.1f} GiB free on its disk",
        "events are refused with 503 when the disk is full: make room",
    )


def _server(settings: Settings) -> Iterator[Finding]:
    try:
        client = Client.find(settings.data)
    except TrackwayError as error:
        yield Finding(False, str(error))
        return
    if client is not None:
        yield Finding(True, f"a server runs on this folder at {client.url}")
        answer = urllib3.request("GET", f"{client.url}/sink-health", timeout=5.0, retries=False)
        yield Finding(
            answer.status == 200,
            f"its storage says: {answer.data.decode('utf-8', 'replace')}",
            "the server's log says more; events wait in the spool meanwhile",
        )
        return
    yield Finding(
        False, "no server runs on this folder", "start it with `trackway serve`", needed=False
    )
    if settings.data.exists():
        try:
            DuckWarehouse(settings.data, read_only=True).close()
            yield Finding(True, "the warehouse can be opened")
        except TrackwayError as error:
            yield Finding(False, str(error), needed=(settings.data / "warehouse.duckdb").exists())


def _reachable(endpoint: str) -> Finding:
    try:
        url = collector_url(endpoint)
    except TrackwayError as error:
        return Finding(False, str(error))
    base = url.partition("/com.snowplowanalytics")[0]
    try:
        status = urllib3.request("GET", f"{base}/health", timeout=5.0, retries=False).status
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Finding(
            False,
            f"the endpoint {base} does not answer: {error}",
            "is the collector running, and can this machine reach it?",
        )
    return Finding(
        status == 200, f"the endpoint {base} answers {status}", "a collector answers 200 at /health"
    )
