"""What an HTTP request says about itself, and when its response is a page view."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from trackway.enrich.address import Proxies
from trackway.ids import new_id

#: Gives a header by its lower-case name, or None.
Headers = Callable[[str], str | None]

#: The first-party cookie that holds the anonymous id, and how long a browser keeps it (seconds).
COOKIE = "trackway_id"
COOKIE_SECONDS = 365 * 24 * 60 * 60

# What others put into a header ends in our events, so only what has the expected form is taken.
_LANGUAGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:[,;]|$)")
_REQUEST_ID = re.compile(r"[\w.:+/=@-]{1,128}", re.ASCII)
# Separated by commas as well: HTTP/2 may send several cookie headers, and servers join them.
_COOKIE_ID = re.compile(
    rf"(?:^|[;,\s]){COOKIE}=([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})(?=[;,\s]|$)"
)


class Request(Protocol):
    """One request as its framework gives it; each integration has one such class."""

    method: str

    def header(self, name: str) -> str | None:
        """A request header by its lower-case name; several of that name joined by commas."""

    def url(self) -> str:
        """The full URL, as the browser asked for it."""

    def peer(self) -> str | None:
        """The address that the connection comes from."""

    def route(self) -> str | None:
        """The template of the matched route as the application declares it, if it is known yet."""

    def user_id(self) -> Any:
        """The id of the user by the framework's own login, without making it load one."""

    def page_title(self) -> str | None:
        """The title that the view has given, if any."""

    def native(self) -> Any:
        """The framework's request, for the callables among the options."""


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a request begins; the names are those of Event."""

    method: str
    page_url: str
    referrer: str | None = None
    user_agent: str | None = None
    ip: str | None = None
    language: str | None = None
    request_id: str
    request_bytes: int | None = None

    def for_every_event(self) -> dict[str, Any]:
        """The facts that all events of the request carry; sizes stand only on the page view."""
        facts = msgspec.structs.asdict(self) | {"platform": "web"}
        del facts["request_bytes"]
        return facts


def read_facts(request: Request, proxies: Proxies) -> RequestFacts:
    """Read the facts; the client's address is the peer's unless the peer is one of ``proxies``."""
    header = request.header
    length = header("content-length") or ""
    return RequestFacts(
        method=request.method,
        page_url=request.url(),
        referrer=header("referer"),
        user_agent=header("user-agent"),
        ip=proxies.client(request.peer(), header("x-forwarded-for")),
        language=first_language(header("accept-language")),
        request_id=sane_request_id(header("x-request-id")) or new_id(),
        request_bytes=int(length) if length.isascii() and length.isdigit() else None,
    )


def quote_path(path: str | bytes) -> str:
    """The path of a URL, with what may not stand there escaped (RFC 3986, 3.3)."""
    return quote(path, safe="/:@!$&'()*+,;=")


def full_url(scheme: str, host: str, path: str, query: str) -> str:
    """Put a URL together; path and query are escaped already."""
    return f"{scheme}://{host}{path}?{query}" if query else f"{scheme}://{host}{path}"


def is_page_view(method: str, status: int, content_type: str | None, header: Headers) -> bool:
    """Whether a response shows a page to a person.

    ``content_type`` is the response's, ``header`` gives the request's headers. A page view is a
    GET answered with 2xx, or with 304 from the browser's cache, and ``text/html``. It is none if
    the browser fetches ahead, if a script fetches a part of a page, or if the page goes into a
    frame: what the person looks at is the page around it. Sources: Fetch Metadata Request Headers
    (``Sec-Fetch-Dest``), Fetch (``Sec-Purpose``), htmx reference (request headers).
    """
    if method != "GET" or not (200 <= status < 300 or status == 304):
        return False
    destination = header("sec-fetch-dest")
    if content_type is not None:
        if content_type.partition(";")[0].strip().lower() != "text/html":
            return False
    # A 304 carries no type (RFC 9110, 15.4.5), so what the browser wants to have decides.
    elif status != 304 or not (destination or "text/html" in (header("accept") or "")):
        return False
    if _is_fetched_ahead(header):
        return False
    if header("hx-request") == "true":
        # htmx loads whole pages as well, for links it has boosted and on the way back.
        return "true" in (header("hx-boosted"), header("hx-history-restore-request"))
    if header("x-requested-with") == "XMLHttpRequest":
        return False
    return destination in (None, "document")


def _is_fetched_ahead(header: Headers) -> bool:
    names = ("sec-purpose", "purpose", "x-moz")  # today's, older Chrome and Safari, older Firefox
    return any("prefetch" in (header(name) or "") for name in names) or (
        header("hx-preloaded") == "true"
    )


def first_language(accept_language: str | None) -> str | None:
    """The first language of an Accept-Language header, which browsers order by preference."""
    found = _LANGUAGE.match(accept_language or "")
    return found[1] if found else None


def sane_request_id(value: str | None) -> str | None:
    """The request id that a proxy gave, if it is short and plain enough to be kept."""
    return value if value and _REQUEST_ID.fullmatch(value) else None


def has_opted_out(header: Headers) -> bool:
    """Whether the browser asks not to be recognised: Do Not Track or Global Privacy Control."""
    return header("dnt") == "1" or header("sec-gpc") == "1"


def read_anonymous_id(cookies: str | None) -> str | None:
    """Our id in a Cookie header; what is no UUID is ignored."""
    found = _COOKIE_ID.search(cookies) if cookies else None
    return found[1] if found else None


def anonymous_cookie(anonymous_id: str, *, secure: bool) -> str:
    """The Set-Cookie value that makes a browser keep an anonymous id for a year."""
    cookie = f"{COOKIE}={anonymous_id}; Max-Age={COOKIE_SECONDS}; Path=/; HttpOnly; SameSite=Lax"
    return f"{cookie}; Secure" if secure else cookie


def may_be_shared(cache_control: str | None) -> bool:
    """Whether a shared cache may give the response to others, who must not get this cookie."""
    wishes = (cache_control or "").lower()
    return "public" in wishes or "s-maxage" in wishes
