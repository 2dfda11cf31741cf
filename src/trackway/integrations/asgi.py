"""ASGI (Starlette, FastAPI): records page views, and gives every event the request's facts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Unpack

from trackway.integrations.recording import Options, RecordedRequest, Recorder
from trackway.integrations.request import full_url, quote_path
from trackway.tracker import Tracker

# -- import guard

try:
    from starlette.requests import Request
except ImportError:  # under a bare ASGI application the callables get the ASGI scope
    Request = None  # type: ignore[assignment, misc]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class TrackwayMiddleware:
    """``app.add_middleware(TrackwayMiddleware, app_id="shop")``, or around any ASGI application.

    An option comes from the call, else from the environment. The callables among the options are
    plain functions, not coroutines.
    """

    # -- options

    def __init__(self, app: App, **options: Unpack[Options]) -> None:
        self.app = app
        self._recorder = Recorder(**options)

    # -- install at the native hook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _flushing(self._recorder.tracker, send))
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        recorded = self._recorder.begin(_AsgiRequest(scope))
        state = scope.setdefault("state", {})
        state["trackway"] = self._recorder.tracker
        state["trackway_page_view_id"] = recorded.page_view_id
        with recorded.scope():
            try:
                await self.app(scope, receive, _recording(recorded, send))
            finally:  # a response that broke off, or that the server sends by a way of its own
                recorded.close()


def _recording(recorded: RecordedRequest, send: Send) -> Send:
    """Tells the recorded request what goes out; what goes out stays the same but for the cookie."""
    headers: dict[str, str] = {}

    async def send_and_record(message: Message) -> None:
        nonlocal headers
        kind = message["type"]
        if kind == "http.response.start":
            raw = list(message.get("headers") or ())
            headers = _by_name(raw)
            if cookie := recorded.respond(message["status"], headers.get):
                raw.append((b"set-cookie", cookie.encode("latin-1")))
            message = {**message, "headers": raw}
        await send(message)
        if kind == "http.response.body":
            recorded.response_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                recorded.close()
        elif kind == "http.response.pathsend":  # the server reads the file itself
            length = headers.get("content-length", "")
            recorded.response_bytes += int(length) if length.isdecimal() else 0

    return send_and_record


# -- request facts


class _AsgiRequest:
    """What an ASGI scope says about one request."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._headers: dict[str, str] | None = None
        self.method: str = scope["method"]

    def header(self, name: str) -> str | None:
        if self._headers is None:
            self._headers = _by_name(self._scope["headers"])
        return self._headers.get(name)

    def url(self) -> str:
        scope = self._scope
        host = self.header("host")
        if host is None:
            name, port = scope.get("server") or ("localhost", None)
            host = f"{name}:{port}" if port else name
        raw: bytes | None = scope.get("raw_path")
        path = raw.partition(b"?")[0].decode("latin-1") if raw else quote_path(scope["path"])
        query = scope.get("query_string", b"").decode("latin-1")
        return full_url(scope.get("scheme", "http"), host, path, query)

    def peer(self) -> str | None:
        client = self._scope.get("client")
        return client[0] if client else None

    def route(self) -> str | None:
        scope = self._scope
        route = scope.get("route")
        # FastAPI notes the prefixes of included routers here, and not in the route.
        included = (scope.get("fastapi") or {}).get("effective_route_context")
        if included is not None and route in (None, getattr(included, "original_route", None)):
            route = getattr(included, "starlette_route", None) or included
        path: str | None = getattr(route, "path", None)
        if path is None or "app_root_path" not in scope:
            return path
        # Inside a mount: its part of the path comes with the parameters filled in.
        own = getattr(route, "param_convertors", {})
        params = (scope.get("path_params") or {}).items()
        names = {str(value): f"{{{name}}}" for name, value in params if name not in own}
        mounted = scope.get("root_path", "").removeprefix(scope["app_root_path"])
        prefix = "/".join(names.get(part, part) for part in mounted.split("/"))
        return prefix if hasattr(route, "routes") else prefix + path  # the route is the mount

    def user_id(self) -> Any:
        """Of the user that Starlette's AuthenticationMiddleware has found."""
        user = self._scope.get("user")
        if not getattr(user, "is_authenticated", False):
            return None
        for name in ("identity", "id", "display_name"):
            try:
                return getattr(user, name)
            except (AttributeError, NotImplementedError):  # Starlette's base class raises it
                continue
        return None

    def page_title(self) -> str | None:
        title: str | None = self._scope["state"].get("trackway_page_title")
        return title

    def native(self) -> Any:
        return self._scope if Request is None else Request(self._scope)


def _by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    named: dict[str, str] = {}
    for key, value in headers:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        named[name] = f"{named[name]}, {text}" if name in named else text
    return named


# -- shutdown


def _flushing(tracker: Tracker, send: Send) -> Send:
    """Delivers what is left before the server hears that the application has shut down."""

    async def flush_and_send(message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            tracker.flush(2.0)  # holds up the loop, on which no request is left
        await send(message)

    return flush_and_send
