"""How a command finds the server of a data folder, and asks it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from trackway.errors import QueryRefused, TrackwayError
from trackway.settings import Settings
from trackway.sinks import Table
from trackway.warehouse import DuckWarehouse

#: In the data folder while a server runs on it: the URL at which it can be asked.
ADDRESS_FILE = "server.url"


@contextlib.contextmanager
def announced(folder: Path, url: str) -> Iterator[None]:
    """Tell the commands where the server of this folder listens, as long as it does."""
    path = folder / ADDRESS_FILE
    path.write_text(url + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


class Client:
    """Asks the running server of a data folder with the folder's token."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        token = (folder / "token").read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._http = urllib3.PoolManager(retries=False)

    @classmethod
    def find(cls, folder: Path) -> Client | None:
        """A client for the folder's server, or None if no server answers."""
        try:
            client = cls(folder, (folder / ADDRESS_FILE).read_text().strip())
        except OSError:
            return None
        return client if client.answers() else None

    def answers(self) -> bool:
        """Whether the server is there."""
        try:
            answer = self._http.request("GET", f"{self.url}/health", timeout=2.0)
        except (urllib3.exceptions.HTTPError, OSError):
            return False
        return answer.status == 200

    def sql(self, sql: str, timeout: float) -> Table:
        """Ask the server a query. Raises QueryRefused with the server's sentence."""
        try:
            answer = self._http.request(
                "POST",
                f"{self.url}/api/sql",
                body=json.dumps({"sql": sql}).encode(),
                headers=self._headers,
                timeout=urllib3.Timeout(connect=2.0, read=timeout + 10.0),
            )
        except urllib3.exceptions.HTTPError as error:
            raise QueryRefused(f"{self.url} does not answer: {error}") from None
        try:
            found: dict[str, Any] = json.loads(answer.data)
        except ValueError:
            found = {}
        if answer.status != 200 or "columns" not in found:
            raise QueryRefused(found.get("error") or f"{self.url} answers {answer.status}")
        return Table(found["columns"], [tuple(row) for row in found["rows"]])

    def lines(self) -> Iterator[bytes]:
        """The live stream of events, a line each; ends when the server does."""
        answer = self._http.request(
            "GET",
            f"{self.url}/api/tail",
            headers=self._headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=2.0, read=60.0),
        )
        if answer.status != 200:
            raise TrackwayError(f"{self.url} answers {answer.status}: {answer.data.decode()}")
        rest = b""
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            for chunk in answer.stream(65536):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from filter(None, whole)


def ask(settings: Settings, sql: str) -> Table:
    """Answer a query through the folder's server if one runs, else from the file itself."""
    client = Client.find(settings.data)
    if client is not None:
        return client.sql(sql, settings.sql_timeout)
    warehouse = DuckWarehouse(
        settings.data,
        read_only=True,
        memory=settings.duckdb_memory,
        threads=settings.duckdb_threads,
    )
    try:
        return warehouse.ask(sql, rows=settings.sql_rows, timeout=settings.sql_timeout)
    finally:
        warehouse.close()
