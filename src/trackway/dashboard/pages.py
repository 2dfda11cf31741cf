"""The pages: all sites, one site, one list, and the pieces that a page asks for later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from trackway.dashboard.asking import TookTooLong
from trackway.dashboard.context import Context, context_of, root_of
from trackway.dashboard.panels import label, list_panel, traffic_panel
from trackway.dashboard.state import PANELS, State, site_path
from trackway.errors import TrackwayError
from trackway.periods import PRESETS, Period, span_of
from trackway.reports.definitions import DEFINITIONS
from trackway.reports.live import live
from trackway.reports.question import DIMENSIONS
from trackway.reports.sites import DAYS, sites
from trackway.reports.top import ROWS

logger = logging.getLogger("trackway.dashboard")

#: How many rows the page of a single list has.
LONG_LIST = 200
#: What the page that shows how to begin calls a site before there is any.
_SOME_SITE = "my-site"


async def sites_page(request: Request) -> Response:
    """All sites; the only one at once, and how to begin if there is none."""
    context = context_of(request)
    root = root_of(request)
    found = await context.asking(lambda: sites(context.warehouse, context.now(), context.time_zone))
    if len(found) == 1:
        return RedirectResponse(site_path(root, found[0].name), 303)
    if not found:
        return await context.page(request, "first.html", **_first(request, ""))
    found.sort(key=lambda site: (-site.visitors, site.name))
    return await context.page(
        request,
        "sites.html",
        sites=[(site, site_path(root, site.name), _spark(site.per_day)) for site in found],
        days=DAYS,
    )


async def site_page(request: Request) -> Response:
    """The first screen of a site, sent in pieces: the frame at once, each panel when it is
    ready, so that a slow one holds up nothing above it and a broken one breaks nothing else."""
    context = context_of(request)
    state = context.state(request)
    names = await context.site_names(state.question.site)
    if state.question.site not in names:
        return await context.page(
            request, "first.html", **_first(request, state.question.site, names)
        )
    return StreamingResponse(_site_page(request, context, state, names), media_type="text/html")


async def _site_page(
    request: Request, context: Context, state: State, names: list[str]
) -> AsyncIterator[str]:
    tasks = {"live": asyncio.create_task(_live(context, state))}
    for name in ("traffic", *PANELS):
        tasks[name] = asyncio.create_task(_panel(context, state, name))

    async def ready(name: str) -> Markup:
        return await tasks[name]

    try:
        async for piece in context.streamed(
            "site.html",
            panel=ready,
            here=partial(ready, "live"),
            names=names,
            **_frame(request, state),
        ):
            yield piece
    finally:
        # The reader went away, or nothing is left to do.
        for task in tasks.values():
            task.cancel()


async def panel(request: Request) -> Response:
    """One panel, for a page that is already open."""
    context = context_of(request)
    name = request.path_params["panel"]
    if name not in ("traffic", *PANELS):
        raise HTTPException(404)
    return HTMLResponse(await _panel(context, context.state(request), name))


async def live_count(request: Request) -> Response:
    """How many are here now."""
    context = context_of(request)
    return HTMLResponse(await _live(context, context.state(request)))


async def list_page(request: Request) -> Response:
    """A single list, longer than on the first screen, with a search."""
    context = context_of(request)
    state = context.state(request)
    key = request.path_params["key"]
    if key not in DIMENSIONS:
        raise HTTPException(404)
    name = next(name for name, tabs in PANELS.items() if key in tabs)
    body = await _shown(
        context,
        "list.html",
        partial(list_panel, context.warehouse, state, name, key, limit=LONG_LIST),
        {"state": state, "name": name, "whole": True},
    )
    return await context.page(
        request,
        "list_page.html",
        body=body,
        names=await context.site_names(state.question.site),
        dimension=DIMENSIONS[key],
        here=partial(_live, context, state),
        **_frame(request, state),
    )


async def definitions_page(request: Request) -> Response:
    """What the numbers mean."""
    return await context_of(request).page(
        request, "definitions.html", definitions=DEFINITIONS.values()
    )


async def _panel(context: Context, state: State, name: str) -> Markup:
    if name == "traffic":
        work: Callable[[], dict[str, Any]] = partial(traffic_panel, context.warehouse, state)
        return await _shown(context, "traffic.html", work, {"state": state, "name": name})
    tab = state.tab(name)
    work = partial(list_panel, context.warehouse, state, name, tab, limit=ROWS)
    return await _shown(context, "list.html", work, {"state": state, "name": name, "whole": False})


async def _live(context: Context, state: State) -> Markup:
    work = partial(live, context.warehouse, state.question.site, state.question.now)
    return await _shown(context, "live.html", lambda: {"count": work()}, {"state": state})


async def _shown(
    context: Context, template: str, work: Callable[[], dict[str, Any]], values: dict[str, Any]
) -> Markup:
    """A template filled with an answer, or with the reason why there is none."""
    values = {"error": "", **values}
    try:
        answer = await context.asking(work)
        return Markup(await context.filled(template, **values, **answer))
    except TookTooLong as late:
        values["error"] = f"This takes too long: {late}. A shorter period is faster."
    except TrackwayError as error:
        values["error"] = str(error)
    except Exception:
        # One broken panel must not take the other ones along; the reason goes to the log.
        logger.exception("%s could not be shown", template)
        values["error"] = "This could not be computed; the server's log says why."
    return Markup(await context.filled(template, **values))


def _frame(request: Request, state: State) -> dict[str, Any]:
    """What stands around the panels."""
    period, now = state.period, state.question.now
    presets = [
        (key, name, state.period_url(Period.parse({"period": key}, now=now, time_zone=zone)))
        for zone in [period.time_zone]
        for key, name in PRESETS.items()
    ]
    later = period.later()
    return {
        "root": root_of(request),
        "state": state,
        "site": state.question.site,
        "presets": presets,
        "period_name": PRESETS.get(period.preset) or span_of(period.start, period.end),
        "period_span": span_of(period.start, period.end),
        "earlier": state.period_url(period.earlier()),
        "later": state.period_url(later) if later.bounds()[0] <= now else None,
        "running": period.running(now),
        "chips": [
            (DIMENSIONS[key].name, label(DIMENSIONS[key], value), state.url_with({key: None}))
            for key, value in state.question.filters.items()
        ],
    }


def _first(request: Request, site: str, names: list[str] | None = None) -> dict[str, Any]:
    """For the page that shows how to send the first event."""
    context = context_of(request)
    address = context.endpoint or str(request.base_url)
    return {
        "site": site or "Trackway",
        "wanted": site,
        "app_id": site or _SOME_SITE,
        "names": names or [],
        "address": address.rstrip("/"),
    }


def _spark(values: list[int]) -> str:
    """The points of a small line in a box of 100 by 24."""
    top = max(values) or 1
    step = 100 / (len(values) - 1)
    return " ".join(f"{i * step:.1f},{23 - value / top * 21:.1f}" for i, value in enumerate(values))
