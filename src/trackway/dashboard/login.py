"""The way in and the way out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from trackway.access import SESSION_SECONDS
from trackway.dashboard.context import context_of, root_of
from trackway.dashboard.gate import COOKIE, is_same_origin, may_look


async def login(request: Request) -> Response:
    """GET: the link that ``trackway serve`` prints; sets the cookie and leads to the sites.

    The key leaves the address bar with the redirect. That a link changes who is logged in cannot
    be abused: there is one reader, not several accounts.
    """
    context = context_of(request)
    key = request.query_params.get("key", "")
    if not context.access.is_login_key(key):
        if may_look(request, context):
            return RedirectResponse(f"{root_of(request)}/", 303)
        return await context.page(request, "login.html", 401, refused=bool(key))
    response = RedirectResponse(f"{root_of(request)}/", 303)
    response.set_cookie(
        COOKIE,
        context.access.new_session(),
        max_age=SESSION_SECONDS,
        path=root_of(request) or "/",
        # Behind a proxy that ends TLS the request looks like plain HTTP; the endpoint tells.
        secure="https" in (request.url.scheme, context.endpoint.partition(":")[0]),
        httponly=True,
        samesite="lax",
    )
    return response


async def logout(request: Request) -> Response:
    """POST from a page of ours: forgets the cookie."""
    if not is_same_origin(request.headers):
        return JSONResponse({"error": "this form was sent by another site"}, 403)
    response = RedirectResponse(f"{root_of(request)}/login", 303)
    response.delete_cookie(COOKIE, path=root_of(request) or "/")
    return response
