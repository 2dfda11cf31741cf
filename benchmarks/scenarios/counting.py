"""A real HTTP server that counts the events which it is sent, whatever library sends them."""

from __future__ import annotations

import gzip
import re
import select
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

#: Every event carries a text of its own somewhere; all wires write it as it is.
MARKER = re.compile(rb"lost-[0-9a-f]{32}")

Mood = Literal["answers", "refuses", "hangs"]


class Request(BaseHTTPRequestHandler):
    """One request: counted and answered, or read and never answered."""

    protocol_version = "HTTP/1.1"
    server: CountingServer

    def setup(self) -> None:
        super().setup()
        self.server.changed(1)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.server.changed(-1)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip" or body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        if self.server.mood == "hangs":
            self._hang()
            return
        self.server.count(body)
        answer = b'{"success": true, "status": 1}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _hang(self) -> None:
        self.close_connection = True
        while not self.server.released.wait(0.05):
            if select.select([self.connection], [], [], 0)[0]:  # the client hangs up
                return

    def log_message(self, *_: Any) -> None:
        pass


class CountingServer(ThreadingHTTPServer):
    """Counts events by their markers on a port that stays the same through its moods.

    ``answers``: counts and says 200; ``refuses``: holds the port, but does not listen on it;
    ``hangs``: accepts connections and reads requests, and never answers.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, mood: Mood = "answers") -> None:
        super().__init__(("127.0.0.1", 0), Request, bind_and_activate=False)
        self.server_bind()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.bodies: list[bytes] = []
        self.markers: Counter[bytes] = Counter()
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._connections = 0
        self._listens = False
        self.mood: Mood = "refuses"
        self.become(mood)

    def become(self, mood: Mood) -> None:
        """Change the mood; who waits for an answer by then has it refused."""
        self.mood = mood
        if mood != "hangs":
            self.released.set()
        if mood != "refuses" and not self._listens:
            self._listens = True
            self.server_activate()
            threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def count(self, body: bytes) -> None:
        with self._lock:
            self.bodies.append(body)
            self.markers.update(set(MARKER.findall(body)))

    def changed(self, by: int) -> None:
        with self._lock:
            self._connections += by

    def delivered(self, timeout: float = 10.0) -> int:
        """How many events have come, once the connections of all clients have ended."""
        until = time.monotonic() + timeout
        quiet = 0
        while quiet < 3 and time.monotonic() < until:
            quiet = quiet + 1 if self._connections == 0 else 0
            time.sleep(0.02)
        return len(self.markers)

    @property
    def repeated(self) -> int:
        """How many times an event has come that had come before."""
        return self.markers.total() - len(self.markers)

    def handle_error(self, *_: Any) -> None:
        """A client that is killed hangs up in the middle; that is what is measured here."""

    def server_close(self) -> None:
        self.released.set()
        if self._listens:
            self.shutdown()
        super().server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address
