"""The first-party cookie in which the Snowplow JavaScript tracker keeps its ids of a browser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

#: The tracker's option ``cookieName``, unless the page gives another.
PREFIX = "_sp_"

#: More than the six fields that are read can need (characters), so that no value takes long.
_LONGEST = 200

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SESSION_ID = re.compile(_UUID)
# Early trackers made ids of 16 digits, and a browser keeps the one that it has.
_USER_ID = re.compile(rf"{_UUID}|[0-9a-f]{{16}}")
_NOBODY = re.compile(r"[0-]+")
_INDEX = re.compile(r"[1-9][0-9]{0,8}")
_SECONDS = re.compile(r"[0-9]{1,12}")


class IdCookie(NamedTuple):
    """What the cookie says about a browser.

    Fields of Event: ``anonymous_id``, ``session_id`` and ``session_index``. Columns of Snowplow's
    event model: ``domain_userid``, ``domain_sessionid`` and ``domain_sessionidx``.
    """

    user_id: str | None
    """None where the page tracks sessions but no users (``withSessionTracking``)."""
    session_id: str | None
    """None in the cookies of early trackers, which had no id for a session."""
    session_index: int | None
    """How many sessions the browser has had, this one included."""


def domain_user_id(request: Any, prefix: str = PREFIX) -> str | None:
    """The id that the JavaScript tracker has given to the browser, or None.

    The arguments and the rules are those of ``id_cookie``.
    """
    cookie = id_cookie(request, prefix)
    return cookie.user_id if cookie else None


def id_cookie(request: Any, prefix: str = PREFIX) -> IdCookie | None:
    """What the tracker's cookie says, or None if the request has none that is valid.

    ``request``: that of Django, Flask, Pyramid or Starlette, or whatever else has a mapping
    ``COOKIES`` or ``cookies``; a mapping of cookies; a WSGI environ; an ASGI scope. ``prefix``: the
    option ``cookieName`` of the tracker in the page.

    Ids are UUIDs, made lower-case, or a user's 16 hexadecimal digits from an early tracker; other
    values are none, and so are ids of zeros only: one that many browsers share would make one
    visitor of them. Of several valid cookies the one that was written last is taken; a page whose
    cookie domain or path was changed leaves the older ones behind. Raises nothing, whatever the
    cookies contain.

    Source: Snowplow's documentation, "Cookies and local storage for the web trackers", and the
    tracker's ``id_cookie.ts``: the cookie ``_sp_id.<hash of domain and path>`` holds, separated by
    dots, user id, time of creation, session index, time of writing, time of the visit before,
    session id and, since 3.5, four fields about events. These times are in seconds.
    """
    name = f"{prefix}id"
    try:
        found = [
            read
            for key, value in _cookies(request)
            if (key == name or key.startswith(f"{name}.")) and (read := _read(value))
        ]
    except Exception:  # a framework may fail at what somebody sent, and at being asked too late
        return None
    return max(found, key=lambda one: one[0])[1] if found else None


def _read(value: Any) -> tuple[int, IdCookie] | None:
    """When a cookie was written (seconds since 1970; 0: unknown) and what it says."""
    value = getattr(value, "value", value)  # the standard library's SimpleCookie has Morsels
    if not isinstance(value, str):
        return None
    fields = value[:_LONGEST].strip('"').lower().split(".") + [""] * 5
    user_id, _, index, written, _, session_id = fields[:6]
    cookie = IdCookie(
        _id(_USER_ID, user_id),
        _id(_SESSION_ID, session_id),
        int(index) if _INDEX.fullmatch(index) else None,
    )
    if cookie.user_id is None and (user_id or cookie.session_id is None):
        return None
    return int(written) if _SECONDS.fullmatch(written) else 0, cookie


def _id(form: re.Pattern[str], text: str) -> str | None:
    return text if form.fullmatch(text) and not _NOBODY.fullmatch(text) else None


def _cookies(request: Any) -> Iterable[tuple[str, Any]]:
    """The cookies of a request, in whatever form it comes."""
    # Attributes first: Starlette's request is also a mapping, that of its scope.
    for attribute in ("COOKIES", "cookies"):
        cookies: Mapping[str, Any] | None = getattr(request, attribute, None)
        if cookies is not None:
            return cookies.items()
    mapping: Mapping[str, Any] = request  # what is none fails here, and has no cookies
    if "HTTP_COOKIE" in mapping:
        return _parsed(mapping["HTTP_COOKIE"])
    headers = mapping.get("headers")
    if isinstance(headers, Iterable) and not isinstance(headers, str):
        sent = (value for name, value in headers if name.lower() == b"cookie")
        return _parsed(b";".join(sent).decode("latin-1"))
    return mapping.items()


def _parsed(header: str) -> Iterable[tuple[str, str]]:
    # Commas as well: HTTP/2 may send several cookie headers, and servers join them.
    for pair in re.split("[;,]", header):
        name, _, value = pair.partition("=")
        yield name.strip(), value.strip()
