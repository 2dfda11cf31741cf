"""A server for tests that keeps what it is sent, and misbehaves as it is told."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

Mood = Callable[["Request"], None]


class Seen(NamedTuple):
    """One request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    events: list[dict[str, str]]


class Request(BaseHTTPRequestHandler):
    """One request at the moody server; ``events`` are its payloads, for a GET that in its query."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Moody

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        packed = self.headers.get("Content-Encoding") == "gzip"
        text = zlib.decompress(body, wbits=31) if packed else body
        self._take(body, json.loads(text)["data"])

    def do_GET(self) -> None:
        query = urlsplit(self.path).query
        self._take(b"", [dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))])

    def _take(self, body: bytes, events: list[dict[str, str]]) -> None:
        self.events = events
        assert self.command is not None
        with self.server.lock:
            mood = self.server.moods.pop(0) if self.server.moods else self.server.usual
            self.server.bodies.append(body)
            self.server.times.append(time.monotonic())
            seen = Seen(self.command, self.path, dict(self.headers), body, events)
            self.server.seen.append(seen)
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
        try:
            mood(self)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        if 200 <= status < 300:
            with self.server.lock:
                self.server.kept += self.events
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def status(code: int, **headers: str) -> Mood:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: request.answer(code, named)


def hang(request: Request) -> None:
    request.server.released.wait(30)
    request.close_connection = True


def hang_up(request: Request) -> None:
    request.close_connection = True


def drip(request: Request) -> None:
    """Say yes, and then never come to an end."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while not request.server.released.wait(0.05):
        try:
            request.wfile.write(b".")
        except OSError:
            return


def slow(seconds: float) -> Mood:
    def mood(request: Request) -> None:
        request.server.released.wait(seconds)
        request.answer(200)

    return mood


def at_most(count: int) -> Mood:
    """Refuse bodies with more events than this as too large."""
    return lambda request: request.answer(200 if len(request.events) <= count else 413)


class Moody(ThreadingHTTPServer):
    """A server that answers as the next of its moods says, or as it usually does."""

    daemon_threads = True

    def __init__(self, *moods: Mood, usual: Mood | None = None, port: int = 0) -> None:
        self.moods = list(moods)
        self.usual = usual or status(200)
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.bodies: list[bytes] = []
        self.times: list[float] = []
        self.seen: list[Seen] = []
        self.kept: list[dict[str, str]] = []
        self.connections = 0
        self.under_way = 0
        self.most_under_way = 0
        super().__init__(("127.0.0.1", port), Request)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def names(self) -> list[str]:
        with self.lock:
            return [one["eid"] for one in self.kept]

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
