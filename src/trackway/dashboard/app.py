"""The dashboard as an ASGI application: routes, static files, and errors in plain words."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from trackway.access import Access
from trackway.dashboard import export, login, pages
from trackway.dashboard.asking import Asking, TookTooLong
from trackway.dashboard.context import STATIC, Context, context_of, present
from trackway.dashboard.gate import Gate
from trackway.errors import SettingError, WarehouseError
from trackway.periods import zone_of
from trackway.sinks import Table, Warehouse


def create_dashboard(
    warehouse: Warehouse,
    access: Access,
    *,
    sql: Callable[[str], Table] | None = None,
    now: Callable[[], int] = present,
    time_zone: str = "UTC",
    endpoint: str = "",
    at_once: int = 2,
    timeout: float = 10.0,
) -> Starlette:
    """The dashboard over a warehouse, to be served at the root or mounted below a path.

    ``sql``: answers a person's query (QueryRefused says why not); without it there is no
    ``/api/sql``. ``now``: the present in ms UTC. ``time_zone``: IANA name, where the URL says none.
    ``endpoint``: the address that events are sent to, for the page that shows how to begin; else
    the one that the page was asked at. ``at_once``: how many queries run at a time, each in a
    thread. ``timeout``: seconds until a panel gives up.
    """
    zone_of(time_zone)
    context = Context(
        warehouse=warehouse,
        access=access,
        sql=sql,
        now=now,
        time_zone=time_zone,
        endpoint=endpoint,
        asking=Asking(at_once=at_once, timeout=timeout),
    )
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Gate, context=context)],
        exception_handlers={
            SettingError: _wrong,
            WarehouseError: _unavailable,
            TookTooLong: _unavailable,
            HTTPException: _http_error,
        },
    )
    app.state.context = context
    return app


def _routes() -> list[Route | Mount]:
    # A site may be called anything, slashes included, so the longer paths come first.
    return [
        Route("/", pages.sites_page),
        Route("/definitions", pages.definitions_page),
        Route("/login", login.login),
        Route("/logout", login.logout, methods=["POST"]),
        Route("/robots.txt", _robots),
        Route("/api/sql", export.sql, methods=["POST"]),
        Mount("/static", _Static(directory=STATIC)),
        Route("/s/{site:path}/panel/{panel}", pages.panel),
        Route("/s/{site:path}/live", pages.live_count),
        Route("/s/{site:path}/overview.json", export.overview_json),
        Route("/s/{site:path}/list/{key}.csv", export.list_csv),
        Route("/s/{site:path}/list/{key}", pages.list_page),
        Route("/s/{site:path}", pages.site_page),
    ]


class _Static(StaticFiles):
    """Our files; an address that names the content may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        kept = "public, max-age=31536000, immutable" if scope["query_string"] else "no-cache"
        response.headers["Cache-Control"] = kept
        return response


async def _robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


async def _wrong(request: Request, error: Exception) -> Response:
    return await _told(request, 400, str(error))


async def _unavailable(request: Request, error: Exception) -> Response:
    return await _told(request, 503, str(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is no such page", 405: "this address takes another method"}
    return await _told(request, error.status_code, words.get(error.status_code, error.detail))


async def _told(request: Request, status: int, message: str) -> Response:
    """The error in the form that was asked for."""
    path = request.url.path
    if "/api/" in path or path.endswith((".json", ".csv")):
        return JSONResponse({"error": message}, status)
    return await context_of(request).page(request, "error.html", status, message=message)
