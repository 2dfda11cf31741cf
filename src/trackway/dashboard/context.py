"""What every page needs: the warehouse, the guard, the clock, and how templates are filled."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from trackway.access import Access
from trackway.dashboard import format
from trackway.dashboard.asking import Asking
from trackway.dashboard.state import State, read_state
from trackway.reports.sites import site_names
from trackway.sinks import Table, Warehouse

HERE = Path(__file__).parent
STATIC = HERE / "static"

#: Stands in a template where what is ready so far goes to the browser, before we wait for more.
FLUSH = "\0"


#: How long a new site may be missing in the menu of the other ones.
_NAMES_SECONDS = 30.0


def present() -> int:
    """The time by the machine's clock, milliseconds UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Context:
    """What ``create_dashboard`` was given, and the templates."""

    warehouse: Warehouse
    access: Access
    sql: Callable[[str], Table] | None
    now: Callable[[], int]
    time_zone: str
    endpoint: str
    asking: Asking
    _names: dict[str, float] = field(default_factory=dict)
    templates: Environment = field(default_factory=lambda: _templates())

    async def site_names(self, wanted: str) -> list[str]:
        """The names of all sites, from memory if they are fresh and ``wanted`` is among them, so
        that the frame of a page need not wait in the line of questions."""
        until = self._names.get(wanted, 0.0)
        if time.monotonic() > until:
            names = await self.asking(partial(site_names, self.warehouse))
            self._names.clear()
            self._names.update(dict.fromkeys(names, time.monotonic() + _NAMES_SECONDS))
        return list(self._names)

    def state(self, request: Request) -> State:
        """The state that the request's URL holds; SettingError if it says something wrong."""
        return read_state(
            request.path_params["site"],
            request.query_params,
            root=root_of(request),
            now=self.now(),
            time_zone=self.time_zone,
        )

    async def page(
        self, request: Request, template: str, status: int = 200, /, **values: Any
    ) -> HTMLResponse:
        """A whole page at once."""
        filled = await self.filled(template, **{"root": root_of(request), **values})
        return HTMLResponse(filled.replace(FLUSH, ""), status)

    async def filled(self, template: str, /, **values: Any) -> str:
        """A template with its values."""
        return await self.templates.get_template(template).render_async(**values)

    async def streamed(self, template: str, /, **values: Any) -> AsyncIterator[str]:
        """A template in pieces, each sent when the template says ``{{ flush }}``."""
        ready: list[str] = []
        async for piece in self.templates.get_template(template).generate_async(**values):
            ready.append(piece)
            if FLUSH in piece:
                yield "".join(ready).replace(FLUSH, "")
                ready.clear()
        yield "".join(ready)


def context_of(request: Request) -> Context:
    """The context of the dashboard that serves this request."""
    context: Context = request.app.state.context
    return context


def root_of(request: Request) -> str:
    """The path that the dashboard is mounted at, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        enable_async=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Callable[..., Any]] = {
        "number": format.number,
        "exact": format.exact,
        "percent": format.percent,
    }
    environment.filters.update(filters)
    environment.globals.update(flush=FLUSH, static=_versions())
    return environment


def _versions() -> dict[str, str]:
    """File name -> address with a mark of its content, so that browsers may keep it for ever."""
    return {
        path.name: f"/static/{path.name}?{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for path in STATIC.iterdir()
        if path.suffix in {".js", ".css", ".svg"}
    }
