"""The pages that show reports, and the HTTP API beside them."""

from __future__ import annotations

from trackway.errors import MissingExtra

try:
    from trackway.dashboard.app import create_dashboard
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"starlette", "jinja2", "anyio"}:
        raise
    raise MissingExtra(str(error.name), "server") from None

__all__ = ["create_dashboard"]
