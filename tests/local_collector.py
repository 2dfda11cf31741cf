"""A collector on this machine that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Received(NamedTuple):
    """One request: ``events`` are its payloads, for a GET the one in its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    events: list[dict[str, str]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalCollector

    def do_GET(self) -> None:
        self._take(b"", [dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self._take(body, json.loads(body)["data"])

    def _take(self, body: bytes, events: list[dict[str, str]]) -> None:
        assert self.command is not None
        path = urlsplit(self.path).path
        received = Received(self.command, path, dict(self.headers), body, events)
        status = self.server.take(received)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class LocalCollector(ThreadingHTTPServer):
    """Listens on a free port of the loopback; ``statuses`` are answered one by one, then
    ``usual`` for ever. What is answered with another status than 2xx counts as not kept."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port: int = self.server_address[1]
        self.place = f"127.0.0.1:{self.port}"
        self.statuses: list[int] = []
        self.usual = 200
        self.requests: list[Received] = []
        self.events: list[dict[str, str]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def take(self, received: Received) -> int:
        with self._changed:
            status = self.statuses.pop(0) if self.statuses else self.usual
            self.requests.append(received)
            if 200 <= status < 300:
                self.events += received.events
            self._changed.notify_all()
        return status

    def wait(self, count: int, timeout: float = 30.0) -> list[dict[str, str]]:
        """Wait until ``count`` events are kept; all that are."""
        until = time.monotonic() + timeout
        with self._changed:
            while len(self.events) < count:
                left = until - time.monotonic()
                assert left > 0, f"{len(self.events)} of {count} events have come"
                self._changed.wait(left)
            return list(self.events)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
