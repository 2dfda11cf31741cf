"""The stream behind ``trackway tail``: every event as it is kept, one line of JSON each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from trackway.access import Access
from trackway.collector.http import Collector

#: Lines that wait for a slow reader; more are left out.
_WAITING = 10_000


def live_events(collector: Collector, access: Access) -> ASGIApp:
    """An ASGI application that streams the kept events to bearers of the token."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response: Response
        if not access.is_bearer(request.headers.get("authorization", "")):
            response = PlainTextResponse("the token of the data folder is needed", 401)
        else:
            response = StreamingResponse(_lines(collector), media_type="application/x-ndjson")
        await response(scope, receive, send)

    return app


async def _lines(collector: Collector) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
    collector.listeners.add(queue)
    try:
        yield b"\n"  # the headers go out with the first chunk; the reader knows that it listens
        while True:
            try:
                line = await asyncio.wait_for(queue.get(), 15.0)
            except TimeoutError:
                line = b"\n"  # shows that we are here, and notices a reader who has gone
            if not line:  # the server ends
                return
            yield line
    finally:
        collector.listeners.discard(queue)
