"""What stands before every page: closed unless one may look, and strict headers on all answers."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trackway.dashboard.context import Context, root_of

COOKIE = "trackway_session"

#: Nothing but our own files, no inline script or style, and no other site may frame us: a page
#: title in the warehouse was written by a stranger.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """Wraps the dashboard: who has neither cookie nor token sees only the way in."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        answer: ASGIApp = self._app
        if not (self._is_open(request) or may_look(request, self._context)):
            answer = await self._refusal(request)
        await answer(scope, receive, guarded)

    def _is_open(self, request: Request) -> bool:
        path = _path(request)
        return path in {"/login", "/robots.txt"} or path.startswith("/static/")

    async def _refusal(self, request: Request) -> Response:
        path = _path(request)
        if path.startswith("/api/") or path.endswith((".json", ".csv")):
            return JSONResponse(
                {"error": "log in, or send the data folder's token as Authorization: Bearer"},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        response = await self._context.page(request, "login.html", 401, refused=False)
        if "hx-request" in request.headers:
            # A panel that asks for news after the login has ended: show the page, not a fragment.
            response.headers["HX-Refresh"] = "true"
        return response


def may_look(connection: HTTPConnection, context: Context) -> bool:
    """Whether the request carries a session or the token."""
    access = context.access
    return access.is_session(connection.cookies.get(COOKIE, "")) or access.is_bearer(
        connection.headers.get("authorization", "")
    )


def is_same_origin(headers: Headers) -> bool:
    """Whether a page of ours sent this, as the browser says (Fetch Metadata; Origin in browsers
    that do not know it). What says neither is no page of ours."""
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    origin = headers.get("origin", "")
    return origin.partition("://")[2] == headers.get("host", "") != ""


def _path(request: Request) -> str:
    path: str = request.scope["path"]
    # Mounted applications see the whole path, with what leads to them in front.
    return path.removeprefix(root_of(request)) or "/"
