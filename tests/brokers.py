"""What the tests of the emitters over brokers talk to: Redis servers, a collector, a mute port."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis

from tests.conftest import missing

REDIS_URL = os.environ.get("TRACKWAY_TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
AMQP_URL = os.environ.get("TRACKWAY_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.01)


def event(number: int, **more: str) -> dict[str, str]:
    return {"e": "pv", "tv": "t", "p": "srv", "eid": f"e{number}", "url": "http://x/", **more}


def numbered(count: int) -> list[str]:
    return [f"e{number}" for number in range(count)]


# A collector ----------------------------------------------------------------------------------


class Collector(ThreadingHTTPServer):
    """Counts the events that it has said yes to; ``judge(events) -> status`` may say otherwise."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        self.lock = threading.Lock()
        self.judge: Callable[[list[dict[str, str]]], int] = lambda events: 200
        self.retry_after: str | None = None
        self.kept: list[dict[str, str]] = []
        self.asked = 0  # requests
        super().__init__(("127.0.0.1", port), _Request)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def ids(self) -> list[str]:
        with self.lock:
            return [one["eid"] for one in self.kept]

    def counts(self) -> Counter[str]:
        return Counter(self.ids())

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(json.loads(body)["data"])

    def do_GET(self) -> None:
        self._answer([dict(parse_qsl(urlsplit(self.path).query))])

    def _answer(self, events: list[dict[str, str]]) -> None:
        with self.server.lock:
            self.server.asked += 1
        status = self.server.judge(events)
        if status < 0:
            self.close_connection = True
            return
        if 200 <= status < 300:
            with self.server.lock:
                self.server.kept += events
        self.send_response(status)
        if self.server.retry_after is not None and status >= 400:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    collector = Collector(port)
    try:
        yield collector
    finally:
        collector.close()


@contextmanager
def mute() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


@contextmanager
def hanging_up() -> Iterator[tuple[int, list[int]]]:
    """A port that hangs up on whoever comes, and a list that grows by one each time."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        calls: list[int] = []

        def answer() -> None:
            while True:
                try:
                    caller, _ = listening.accept()
                except OSError:
                    return
                calls.append(1)
                caller.close()

        threading.Thread(target=answer, daemon=True).start()
        yield listening.getsockname()[1], calls
        listening.shutdown(socket.SHUT_RDWR)


# Redis ----------------------------------------------------------------------------------------


def shared_redis() -> redis.Redis:
    """The Redis of this machine, which others use as well: keys of one's own, never a stop."""
    client = redis.Redis.from_url(REDIS_URL)
    try:
        client.ping()
    except redis.RedisError:
        missing(f"no Redis at {REDIS_URL}; name another in TRACKWAY_TEST_REDIS_URL")
    return client


def clean(client: redis.Redis, prefix: str) -> None:
    for key in client.scan_iter(f"{prefix}*", count=1000):
        client.delete(key)


class RedisServer:
    """A redis-server of our own, which may be stopped, started again and filled up."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.folder = folder
        self.port = port
        self.options = options
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client = redis.Redis.from_url(self.url, retry=None)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        binary = shutil.which("redis-server")
        if binary is None:
            missing("redis-server is not installed")
        # Append-only, so that what it has said yes to is there after a stop.
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "yes", "--dir", str(self.folder), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._is_ready)
        return self

    def _is_ready(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "redis-server ended"
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None
