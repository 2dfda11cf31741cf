"""POST bodies to one URL over kept-alive connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trackway.delivery.retry import parse_retry_after

if TYPE_CHECKING:
    import urllib3


class Answer(NamedTuple):
    """What came back: an HTTP status (0: no answer at all), the wished wait, and the trouble."""

    status: int
    retry_after: float | None = None
    error: str = ""


class HttpSender:
    """Sends request bodies to ``url``; one connection, kept alive.

    ``connect_timeout`` and ``read_timeout`` are seconds; there is no way to wait without bound.
    urllib3 is imported by the first request, which the worker makes: importing Trackway and
    tracking a first event stay cheap.
    """

    def __init__(
        self,
        url: str,
        *,
        content_type: str = "application/json; charset=utf-8",
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
    ) -> None:
        self.url = url
        self.headers = {"Content-Type": content_type, "User-Agent": "trackway"}
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self._pool: urllib3.PoolManager | None = None

    def post(self, body: bytes, *, within: float | None = None) -> Answer:
        """Send one body; ``within`` bounds the whole exchange in seconds. Raises nothing."""
        import urllib3

        if self._pool is None:
            self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False)
        connect, read = self.connect_timeout, self.read_timeout
        if within is not None:
            connect, read = min(connect, within), min(read, within)
        try:
            response = self._pool.request(
                "POST",
                self.url,
                body=body,
                headers=self.headers,
                redirect=False,
                timeout=urllib3.Timeout(connect=connect, read=read, total=within),
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return Answer(0, error=f"{type(error).__name__}: {error}")
        return Answer(
            response.status,
            parse_retry_after(response.headers.get("Retry-After")),
            "" if response.status < 300 else f"HTTP {response.status}",
        )

    def close(self) -> None:
        """Let go of the connection."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None
