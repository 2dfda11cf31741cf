"""A collector that keeps nothing: answers 200 to every POST. ``python -m benchmarks.sink``.

To ``GET /counted`` it says how many connections and requests there were.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
_OK = _ANSWER % (2, b"ok")
counted: Counter[str] = Counter()


class Sink(asyncio.Protocol):
    """One kept-alive connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        counted["connections"] += 1
        self.transport = transport
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            del self.buffer[: end + 4 + length]
            answer = _OK
            if head.startswith(b"get /counted"):
                text = b"%d %d" % (counted["connections"], counted["requests"])
                answer = _ANSWER % (len(text), text)
            counted["requests"] += 1
            self.transport.write(answer)  # type: ignore[attr-defined]


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
