"""Reports for programs: JSON, CSV, and SQL over HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trackway.dashboard.context import context_of
from trackway.dashboard.gate import COOKIE, is_same_origin
from trackway.errors import QueryRefused
from trackway.reports.overview import count_name, overview
from trackway.reports.question import DIMENSIONS
from trackway.reports.top import top

#: A list as CSV is complete up to this many rows.
_CSV_ROWS = 100_000
#: A query has to be typed or made by a program; a body beyond this is neither.
_LONGEST_SQL = 1024 * 1024


async def overview_json(request: Request) -> Response:
    """Everything on the first screen as JSON."""
    context = context_of(request)
    question = context.state(request).question
    found = await context.asking(partial(overview, context.warehouse, question))
    return _json(found.to_dict())


async def list_csv(request: Request) -> Response:
    """One list as CSV, all of its rows."""
    context = context_of(request)
    state = context.state(request)
    key = request.path_params["key"]
    if key not in DIMENSIONS:
        raise HTTPException(404)
    found = await context.asking(
        partial(top, context.warehouse, state.question, key, limit=_CSV_ROWS, search=state.search)
    )
    text = _csv((key, "visitors", count_name(key)), found.rows)
    name = f"{key}-{state.period.start}-{state.period.end}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv", headers=headers)


async def sql(request: Request) -> Response:
    """POST ``{"sql": "select ..."}``: columns and rows as JSON; 400 says what is wrong with it."""
    context = context_of(request)
    by_cookie = not context.access.is_bearer(request.headers.get("authorization", ""))
    if by_cookie and COOKIE in request.cookies and not is_same_origin(request.headers):
        return JSONResponse({"error": "this was sent by another site"}, 403)
    if context.sql is None:
        return JSONResponse({"error": "this server answers no SQL"}, 404)
    try:
        asked = msgspec.json.decode(await _body(request), type=_Asked)
    except msgspec.MsgspecError as error:
        return JSONResponse({"error": f'send {{"sql": "select ..."}}: {error}'}, 400)
    try:
        # Its own time limit stops it, so nobody has to walk away from it.
        found = await context.asking(partial(context.sql, asked.sql), patient=True)
    except QueryRefused as error:
        return JSONResponse({"error": str(error)}, 400)
    return _json({"columns": found.columns, "rows": found.rows})


class _Asked(msgspec.Struct):
    sql: str


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_SQL:
            raise HTTPException(413, f"a query is shorter than {_LONGEST_SQL} bytes")
    return bytes(body)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value, enc_hook=str), media_type="application/json")


def _csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: Any) -> Any:
    """A spreadsheet runs a cell that begins like a formula, and strangers choose their addresses;
    an apostrophe in front makes it text."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{cell}"
    return cell
