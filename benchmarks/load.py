"""A load generator: keep-alive connections that post prepared bodies and time each answer.

Run as a process of its own: ``python -m benchmarks.load URL FILE ...`` prints JSON. It speaks
just enough HTTP/1.1, so that it costs less than the server it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

_LENGTH = struct.Struct("<I")


def write_bodies(path: Path, bodies: Iterator[bytes]) -> int:
    """Keep request bodies in a file, each behind its length; how many there are."""
    count = 0
    with path.open("wb") as file:
        for body in bodies:
            file.write(_LENGTH.pack(len(body)) + body)
            count += 1
    return count


def read_bodies(path: Path) -> Iterator[bytes]:
    """The bodies of such a file, one after the other."""
    with path.open("rb", buffering=1 << 20) as file:
        while head := file.read(_LENGTH.size):
            yield file.read(_LENGTH.unpack(head)[0])


class Client(asyncio.Protocol):
    """One connection: sends the next body when the answer to the one before is there."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.sent = 0.0
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.load.ready(self)

    def send(self, request: bytes, due: float) -> None:
        # from when it was due, not from when we came to it: a slow server must not slow the
        # clock that measures it (coordinated omission)
        self.sent = due
        self.transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.answer += data
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.answer[:end].lower()
        at = head.index(b"content-length: ") + 16
        length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None])
        if len(self.answer) < end + 4 + length:
            return
        status = int(self.answer[9:12])
        self.answer = b""
        self.load.answered(self, status, time.perf_counter() - self.sent)


class Load:
    """Posts bodies over ``connections``, as fast as they are answered or at ``rate`` per second,
    until the bodies or the ``seconds`` are over."""

    def __init__(
        self, url: str, bodies: Iterator[bytes], *, rate: float | None, seconds: float
    ) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/json; charset=utf-8\r\nContent-Length: "
        ).encode()
        self.bodies = bodies
        self.rate = rate
        self.seconds = seconds
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.idle: deque[Client] = deque()
        self.busy = 0
        self.over = False

    async def run(self, connections: int) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        self.done = loop.create_future()
        self.began = time.perf_counter()
        self.next_due = self.began
        for _ in range(connections):
            await loop.create_connection(lambda: Client(self), self.host, self.port)
        if self.rate:
            await self._paced()
        await self.done
        took = time.perf_counter() - self.began
        found = sorted(self.latencies)
        return {
            "requests": len(found),
            "seconds": took,
            "statuses": self.statuses,
            "p50_ms": 1e3 * found[len(found) // 2],
            "p99_ms": 1e3 * found[int(len(found) * 0.99)],
            "max_ms": 1e3 * found[-1],
        }

    def ready(self, client: Client) -> None:
        if self.rate:
            self.idle.append(client)
        else:
            self._next(client, time.perf_counter())

    def answered(self, client: Client, status: int, latency: float) -> None:
        self.busy -= 1
        self.latencies.append(latency)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self.rate:
            self.idle.append(client)
            if self.over:
                self._finish()
        else:
            self._next(client, time.perf_counter())

    def _next(self, client: Client, due: float) -> None:
        body = None if self.over else next(self.bodies, None)
        if body is None or time.perf_counter() - self.began > self.seconds:
            self.over = True
            self._finish()
            return
        self.busy += 1
        client.send(self.head + b"%d\r\n\r\n" % len(body) + body, due)

    async def _paced(self) -> None:
        """Send at the rate; what finds no idle connection waits, and that counts as latency."""
        assert self.rate
        interval = 1.0 / self.rate
        while not self.over:
            now = time.perf_counter()
            while self.next_due <= now and self.idle and not self.over:
                self._next(self.idle.popleft(), self.next_due)
                self.next_due += interval
            await asyncio.sleep(max(0.0005, min(0.005, self.next_due - time.perf_counter())))
        self._finish()

    def _finish(self) -> None:
        if not self.busy and not self.done.done():
            self.done.set_result(None)


def main() -> None:
    parser = argparse.ArgumentParser(description="post prepared bodies to a collector")
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, help="requests per second; else as fast as it goes")
    parser.add_argument("--seconds", type=float, default=3600.0)
    options = parser.parse_args()
    load = Load(
        options.url, read_bodies(options.bodies), rate=options.rate, seconds=options.seconds
    )
    print(json.dumps(uvloop.run(load.run(options.connections))))


if __name__ == "__main__":
    main()
