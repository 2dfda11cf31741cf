"""Requests to one URL over kept-alive connections."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from trackway.delivery.retry import parse_retry_after

if TYPE_CHECKING:
    import urllib3

#: How long the rest of an answer is waited for, so that its connection can be used again (seconds).
_REST_SECONDS = 1.0

#: Held while a worker imports urllib3. A child that is forked meanwhile would find the import
#: begun by a thread that it does not have, and wait for it for ever; so a fork waits for this.
importing = threading.Lock()


def _urllib3() -> ModuleType:
    with importing:
        import urllib3

        "".encode("idna")  # the first connection looks this codec up, which is an import as well
    return urllib3


class Answer(NamedTuple):
    """What came back: an HTTP status (0: no answer at all), the wished wait, and the trouble.

    ``each``: the answers one by one, where every item had a request of its own.
    """

    status: int
    retry_after: float | None = None
    error: str = ""
    each: list[Answer] | None = None


class Connection:
    """Exchanges requests with one server; ``connections`` of them at a time, kept alive.

    ``connect_timeout`` and ``read_timeout`` are seconds; there is no way to wait without bound.
    urllib3 is imported by the first request, which a worker makes: importing Trackway and
    tracking a first event stay cheap.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        connections: int = 1,
    ) -> None:
        self.headers = {"User-Agent": "trackway", **(headers or {})}
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.connections = connections
        self._pool: urllib3.PoolManager | None = None

    def request(
        self, method: str, url: str, body: bytes | None = None, *, within: float | None = None
    ) -> Answer:
        """One exchange; ``within`` bounds the whole of it in seconds. Raises nothing."""
        urllib3 = _urllib3()
        pool = self._pool
        if pool is None:
            pool = urllib3.PoolManager(num_pools=1, maxsize=self.connections, retries=False)
            self._pool = pool
        connect, read = self.connect_timeout, self.read_timeout
        if within is not None:
            connect, read = min(connect, within), min(read, within)
        try:
            response = pool.request(
                method,
                url,
                body=body,
                headers=self.headers,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=connect, read=read, total=within),
            )
        except Exception as error:  # whatever it is, it must not end the worker: try again
            return Answer(0, error=f"{type(error).__name__}: {error}")
        self._finish(response)
        return Answer(
            response.status,
            parse_retry_after(response.headers.get("Retry-After")),
            "" if 200 <= response.status < 300 else f"HTTP {response.status}",
        )

    def _finish(self, response: urllib3.BaseHTTPResponse) -> None:
        """Read the rest of an answer, or let go of its connection if that does not end: what the
        server thinks of the body stands in the status."""
        until = monotonic() + _REST_SECONDS
        try:
            while response.read1(65536):
                if monotonic() > until:
                    response.close()
                    return
        except (_urllib3().exceptions.HTTPError, OSError):
            response.close()
        else:
            response.release_conn()

    def close(self) -> None:
        """Let go of the connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()
