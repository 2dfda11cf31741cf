"""The HTTP face of the collector: one small ASGI application, made for many small requests.

Paths, answers and headers follow the Snowplow collector's documentation, so that its trackers
can be pointed here; what is ours is said in docs/collector.md.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from importlib.resources import files
from typing import Any

from trackway.collector.inflate import inflate, too_large
from trackway.collector.intake import Intake, Request, Taken
from trackway.collector.journal import Journal
from trackway.errors import InvalidEvent, SpoolError
from trackway.wires.snowplow_body import decode_query

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
_PIXEL_HEADERS: Headers = [
    (b"content-type", b"image/gif"),
    (b"cache-control", b"no-cache, no-store, must-revalidate"),
]
_TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8")]
_POSTS = frozenset(("/com.snowplowanalytics.snowplow/tp2", "/i"))
_PIXELS = frozenset(("/i", "/ice.png", "/com.snowplowanalytics.snowplow/tp2"))
_SCHEMA_PREFIX = "/iglu/schemas/"

#: The longest request line (bytes of path and query), as the Snowplow collector has it.
MAX_REQUEST_LINE = 20_480
#: How much of a request that is refused unread is kept as evidence (bytes).
EVIDENCE = 4096
#: What we ask of a client whose event we cannot keep right now (seconds).
RETRY_AFTER = b"10"


class _TooSlow(Exception):
    """The client took too long to send its body."""


class _HungUp(Exception):
    """The client went away before its body was complete."""


class Collector:
    """The ASGI application. An event is acknowledged with 200 only when it is on the disk.

    ``sink_trouble`` says what is wrong behind the journal, or nothing. ``max_body_bytes`` and
    ``body_timeout`` (seconds) bound one request body. ``listeners`` get the lines of every kept
    event, for live views.
    """

    def __init__(
        self,
        intake: Intake,
        journal: Journal,
        *,
        sink_trouble: Callable[[], str] = str,
        max_body_bytes: int = 2 * 1024 * 1024,
        body_timeout: float = 25.0,
    ) -> None:
        self.intake = intake
        self.journal = journal
        self.sink_trouble = sink_trouble
        self.max_body_bytes = max_body_bytes
        self.body_timeout = body_timeout
        self.stats: Counter[str] = Counter()
        self.listeners: set[asyncio.Queue[bytes]] = set()
        self._schemas = _bundled_schemas()

    def hang_up(self) -> None:
        """End the live views; what waits for them is let go."""
        for listener in self.listeners:
            while not listener.empty():
                listener.get_nowait()
            listener.put_nowait(b"")

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a path belongs to the collector (and not to the dashboard)."""
        return (
            path in _POSTS
            or path in _PIXELS
            or path in ("/health", "/sink-health", "/robots.txt")
            or path.startswith("/iglu")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            await self._preflight(scope, send)
        elif method == "POST" and path in _POSTS:
            await self._post(scope, receive, send)
        elif method in ("GET", "HEAD") and path in _PIXELS:
            await self._get(scope, send)
        elif path in _POSTS or path in _PIXELS:
            allow: Headers = [(b"allow", b"GET, HEAD, POST, OPTIONS")]
            await _answer(send, 405, b"use GET or POST", _TEXT + allow)
        elif method not in ("GET", "HEAD"):
            await _answer(send, 405, b"use GET", [*_TEXT, (b"allow", b"GET, HEAD")])
        else:
            await self._read(path, send)

    async def _read(self, path: str, send: Send) -> None:
        if path == "/health":
            await _answer(send, 200, b"ok", _TEXT)
        elif path == "/sink-health":
            trouble = self.journal.last_error or self.sink_trouble()
            await _answer(send, 503 if trouble else 200, trouble.encode() or b"ok", _TEXT)
        elif path == "/robots.txt":
            await _answer(send, 200, b"User-agent: *\nDisallow: /\n", _TEXT)
        elif path.startswith(_SCHEMA_PREFIX) and path in self._schemas:
            json: Headers = [(b"content-type", b"application/json")]
            await _answer(send, 200, self._schemas[path], json)
        elif path in ("/iglu", "/iglu/", "/iglu/schemas"):
            listing = "".join(f"{schema}\n" for schema in sorted(self._schemas))
            await _answer(send, 200, listing.encode(), _TEXT)
        else:
            await _answer(send, 404, b"not found", _TEXT)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        headers_out = _TEXT + _cors(headers)
        request = self._request(scope, headers)
        query = scope["query_string"]
        try:
            self._check_line(scope)
            body = await self._body(headers, receive)
        except InvalidEvent as error:
            kept = self.intake.refuse(error, query[:EVIDENCE], request)
            await self._keep(send, kept, _UNREAD[error.reason], _sentence(error), headers_out)
            return
        except _TooSlow:
            self.stats["slow"] += 1
            # What still comes would be taken for the next request, or hold the connection for ever.
            close: Headers = [(b"connection", b"close")]
            await _answer(send, 408, b"the body did not arrive in time", headers_out + close)
            return
        except _HungUp:
            self.stats["hung_up"] += 1
            return
        try:
            opened = inflate(body, headers.get(b"content-encoding", b""), self.max_body_bytes)
            taken = self.intake.body(opened, decode_query(query) if query else {}, request)
        except InvalidEvent as error:
            status = _UNREAD.get(error.reason, 400)
            kept = self.intake.refuse(error, body if status == 400 else b"", request)
            await self._keep(send, kept, status, _sentence(error), headers_out)
        else:
            await self._keep(send, taken, 200, b"ok", headers_out)

    async def _get(self, scope: Scope, send: Send) -> None:
        headers = dict(scope["headers"])
        cors = _cors(headers)
        request = self._request(scope, headers)
        try:
            self._check_line(scope)
        except InvalidEvent as error:
            kept = self.intake.refuse(error, scope["query_string"][:EVIDENCE], request)
            await self._keep(send, kept, 400, _sentence(error), _TEXT + cors)
            return
        taken = self.intake.pixel(scope["query_string"], request)
        await self._keep(send, taken, 200, _PIXEL, _PIXEL_HEADERS + cors)

    async def _keep(
        self, send: Send, taken: Taken, status: int, body: bytes, headers: Headers
    ) -> None:
        """Answer only when what was taken is on the disk; 503 if it could not be kept."""
        try:
            # shielded: the group belongs to other requests as well, whose clients wait
            await asyncio.shield(self.journal.keep(taken.events, taken.bad))
        except SpoolError as error:
            self.stats["refused"] += 1
            retry: Headers = [(b"retry-after", RETRY_AFTER)]
            await _answer(send, 503, str(error).encode(), _TEXT + _only_cors(headers) + retry)
            return
        if taken.bad:
            headers = [*headers, (b"trackway-rejected", str(len(taken.bad)).encode())]
        for listener in self.listeners:
            for line in taken.events:
                if listener.full():  # a listener that cannot follow loses lines, nobody else
                    break
                listener.put_nowait(line)
        await _answer(send, status, body, headers)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.max_body_bytes:
            raise too_large(self.max_body_bytes)
        chunks, size = [], 0
        try:
            # Around the first piece as well: a client may send its headers and nothing more.
            async with asyncio.timeout(self.body_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _HungUp
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > self.max_body_bytes:
                        raise too_large(self.max_body_bytes)
                    if not message.get("more_body"):
                        return b"".join(chunks)
        except TimeoutError:
            raise _TooSlow from None

    def _check_line(self, scope: Scope) -> None:
        if len(scope["query_string"]) + len(scope["path"]) > MAX_REQUEST_LINE:
            raise InvalidEvent(
                "request_line_too_long",
                f"the request line is longer than {MAX_REQUEST_LINE} bytes; use POST",
            )

    def _request(self, scope: Scope, headers: dict[bytes, bytes]) -> Request:
        client = scope.get("client")
        forwarded = headers.get(b"x-forwarded-for")
        if forwarded:  # a header may stand there several times, and the order counts
            lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            forwarded = b",".join(lines)
        return Request(
            scope["path"],
            self.intake.proxies.client(
                client[0] if client else None, forwarded.decode("latin-1") if forwarded else None
            ),
            _text(headers.get(b"user-agent"), 1000),
            _text(headers.get(b"referer"), 10_000),
            _text(headers.get(b"content-type"), 255),
            b"sp-anonymous" in headers,
        )

    async def _preflight(self, scope: Scope, send: Send) -> None:
        cors = _cors(dict(scope["headers"]))
        allow: Headers = [
            (b"access-control-allow-headers", b"Content-Type, SP-Anonymous"),
            (b"access-control-max-age", b"3600"),
        ]
        await _answer(send, 200, b"", cors + allow)


#: Reasons for which a request is refused without having been read, and their status.
_UNREAD = {"body_too_large": 413, "request_line_too_long": 400}


def _sentence(error: InvalidEvent) -> bytes:
    return f"{error.reason}: {error}".encode("utf-8", "replace")


def _text(value: bytes | None, most: int) -> str | None:
    return value.decode("latin-1")[:most] if value else None


def _cors(headers: dict[bytes, bytes]) -> Headers:
    origin = headers.get(b"origin", b"*").split(b" ")[0]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
    ]


def _only_cors(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return [header for header in headers if header[0].startswith(b"access-control-")]


async def _answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status, "headers": [*headers, length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _bundled_schemas() -> dict[str, bytes]:
    """Our own schemas by the path that an Iglu static registry serves them at."""
    found: dict[str, bytes] = {}
    root = files("trackway") / "schemas"
    for vendor in root.iterdir():
        for name in vendor.iterdir():
            for version in (name / "jsonschema").iterdir():
                path = f"{_SCHEMA_PREFIX}{vendor.name}/{name.name}/jsonschema/{version.name}"
                found[path] = version.read_bytes()
    return found
