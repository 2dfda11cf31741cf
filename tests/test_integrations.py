"""One behaviour for all frameworks: what the integrations record, and that they disturb nothing."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import fastapi
import flask
import flask_login
import httpx
import pytest
import uvicorn
import werkzeug.serving
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from tests.conftest import ROOT, clean_environment
from trackway import AsyncEmitter, Event, MemorySink, Tracker
from trackway import scope as scopes
from trackway.errors import SettingError
from trackway.integrations.asgi import TrackwayMiddleware
from trackway.integrations.flask import Trackway
from trackway.integrations.recording import Options
from trackway.integrations.request import (
    first_language,
    is_page_view,
    may_be_shared,
    read_anonymous_id,
    sane_request_id,
)

FRAMEWORKS = ("flask", "starlette", "fastapi")
BROWSER = {"user-agent": "Mozilla/5.0 (X11)", "accept-language": "de-AT,de;q=0.7,en;q=0.3"}
UUID_TEXT = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}"
CSS = b"body { color: navy }"
PAGE = b"<!doctype html><title>About</title>"


class Nobody(AuthenticationBackend):
    """Authenticates nobody, so that every request has Starlette's unauthenticated user."""

    async def authenticate(self, conn: Any) -> tuple[AuthCredentials, BaseUser] | None:
        return None


def flask_shop(tracker: Tracker, files: Path, options: dict[str, Any]) -> flask.Flask:
    app = flask.Flask("shop", static_folder=str(files), static_url_path="/static")
    app.secret_key = "not a secret here"
    Trackway(app, tracker=tracker, **options)
    login = flask_login.LoginManager(app)
    loaded: list[str] = []
    app.extensions["loaded"] = loaded

    @login.user_loader
    def load(user_id: str) -> flask_login.UserMixin:
        loaded.append(user_id)
        return person(user_id)

    def person(user_id: str) -> flask_login.UserMixin:
        user = flask_login.UserMixin()
        user.id = user_id
        return user

    @app.get("/")
    def home():
        flask.g.trackway_page_title = "The shop"
        flask.g.article = 42
        return flask.render_template_string(
            '<meta name="trackway-page-view" content="{{ g.trackway_page_view_id }}">'
        )

    @app.get("/products/<int:number>")
    def product(number: int):
        tracker.track("Saw", {"number": number})
        return f"<h1>Product {number}</h1>"

    @app.route("/answer", methods=["GET", "POST"])
    def answer():
        asked = flask.request.args
        if "track" in asked:
            tracker.track("Asked")
        headers = {"content-type": asked.get("type", "text/html")} | (
            {"cache-control": asked["cache"]} if "cache" in asked else {}
        )
        return "<p>Hello", int(asked.get("status", "200")), headers

    @app.get("/stream")
    def stream():
        def chunks() -> Iterator[str]:
            yield "<p>"
            time.sleep(0.02)
            tracker.track("Streamed")
            yield "ä" * 10
            if "break" in asked:
                raise RuntimeError("broken stream")

        asked = dict(flask.request.args)  # the request is gone when the generator runs
        response = flask.Response(chunks(), mimetype=asked.get("type", "text/html"))
        response.call_on_close(lambda: tracker.track("Closed") and None)
        return response

    @app.get("/boom")
    def boom():
        tracker.track("Before the error")
        raise RuntimeError("boom")

    @app.get("/login/<name>")
    def log_in(name: str):
        tracker.track("Before")
        flask_login.login_user(person(name))
        tracker.track("After")
        with tracker.scope(user_id="somebody else"):
            tracker.track("On behalf")
        return "<p>Welcome"

    @app.get("/logout")
    def log_out():
        flask_login.logout_user()
        tracker.track("Left")
        return "<p>Bye"

    @app.get("/moved")
    def moved():
        return flask.redirect("/")

    @app.get("/meet/<name>")
    def meet(name: str):
        tracker.track("Came")
        app.extensions["meeting"].wait(20)
        tracker.track("Met")
        return f"<p>{name}"

    return app


def asgi_endpoints(tracker: Tracker) -> dict[str, Callable[[Request], Any]]:
    async def home(request: Request):
        request.state.trackway_page_title = "The shop"
        request.state.article = 42
        shown = request.state.trackway_page_view_id
        return HTMLResponse(f'<meta name="trackway-page-view" content="{shown}">')

    def product(request: Request):  # no coroutine: runs in a thread of the pool
        tracker.track("Saw", {"number": int(request.path_params["number"])})
        return HTMLResponse(f"<h1>Product {request.path_params['number']}</h1>")

    async def answer(request: Request):
        asked = request.query_params
        if "track" in asked:
            tracker.track("Asked")
        headers = {"cache-control": asked["cache"]} if "cache" in asked else {}
        kind = asked.get("type", "text/html")
        return Response("<p>Hello", int(asked.get("status", "200")), headers, kind)

    async def stream(request: Request):
        async def chunks() -> AsyncIterator[str]:
            yield "<p>"
            await asyncio.sleep(0.02)
            tracker.track("Streamed")
            yield "ä" * 10
            if "break" in asked:
                raise RuntimeError("broken stream")

        asked = request.query_params
        closed = BackgroundTask(tracker.track, "Closed")
        return StreamingResponse(
            chunks(), media_type=asked.get("type", "text/html"), background=closed
        )

    async def boom(request: Request):
        tracker.track("Before the error")
        raise RuntimeError("boom")

    async def log_in(request: Request):
        tracker.track("Before")
        request.scope["user"] = SimpleUser(request.path_params["name"])
        tracker.track("After")
        with tracker.scope(user_id="somebody else"):
            tracker.track("On behalf")
        return HTMLResponse("<p>Welcome")

    async def log_out(request: Request):
        request.scope["user"] = None
        tracker.track("Left")
        return HTMLResponse("<p>Bye")

    async def moved(request: Request):
        return RedirectResponse("/", 302)

    async def meet(request: Request):
        tracker.track("Came")
        await request.app.state.meeting.wait()
        tracker.track("Met")
        return HTMLResponse(f"<p>{request.path_params['name']}")

    return {
        "/": home,
        "/products/{number:int}": product,
        "/answer": answer,
        "/stream": stream,
        "/boom": boom,
        "/login/{name}": log_in,
        "/logout": log_out,
        "/moved": moved,
        "/meet/{name}": meet,
    }


def starlette_shop(tracker: Tracker, files: Path, options: dict[str, Any]) -> Starlette:
    routes: list[Any] = [
        Route(path, endpoint, methods=["GET", "POST"] if path == "/answer" else ["GET"])
        for path, endpoint in asgi_endpoints(tracker).items()
    ]
    return Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=files))],
        middleware=[
            Middleware(TrackwayMiddleware, tracker=tracker, **options),
            Middleware(AuthenticationMiddleware, backend=Nobody()),
        ],
    )


def fastapi_shop(tracker: Tracker, files: Path, options: dict[str, Any]) -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    for path, endpoint in asgi_endpoints(tracker).items():
        app.api_route(path, methods=["GET", "POST"] if path == "/answer" else ["GET"])(endpoint)
    app.mount("/static", StaticFiles(directory=files))
    app.add_middleware(AuthenticationMiddleware, backend=Nobody())
    app.add_middleware(TrackwayMiddleware, tracker=tracker, **options)
    return app


SHOPS: dict[str, Callable[..., Any]] = {
    "flask": flask_shop,
    "starlette": starlette_shop,
    "fastapi": fastapi_shop,
}


class Shop:
    """The same small shop in one of the frameworks, a client for it, and what was recorded."""

    def __init__(self, framework: str, files: Path, options: dict[str, Any]) -> None:
        self.framework = framework
        self.sink = MemorySink()
        self.tracker = options.pop("tracker", None) or Tracker(sinks=[self.sink])
        self.app = SHOPS[framework](self.tracker, files, options)
        self.client = self.new_client()

    def new_client(self, scheme: str = "http", *, masks_errors: bool = True) -> Any:
        """A browser without cookies; errors of views become 500, unless asked otherwise."""
        url = f"{scheme}://shop.example"
        if self.framework == "flask":
            self.app.config["PROPAGATE_EXCEPTIONS"] = not masks_errors
            return httpx.Client(transport=httpx.WSGITransport(app=self.app), base_url=url)
        return TestClient(
            self.app, url, raise_server_exceptions=not masks_errors, client=("127.0.0.1", 5)
        )

    def get(self, path: str, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=BROWSER | named, follow_redirects=False)

    @property
    def views(self) -> list[Event]:
        return [event for event in self.sink.events if event.kind == "page_view"]

    def event(self, name: str) -> Event:
        """The only event of that name."""
        (found,) = (event for event in self.sink.events if event.name == name)
        return found

    @property
    def failures(self) -> dict[str, int]:
        stats = self.tracker.pipeline.stats
        return {key: n for key, n in stats.items() if key.startswith("failed")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static")
    (folder / "style.css").write_bytes(CSS)
    (folder / "about.html").write_bytes(PAGE)
    return folder


@pytest.fixture(params=FRAMEWORKS)
def make_shop(request: pytest.FixtureRequest, files: Path) -> Callable[..., Shop]:
    return lambda **options: Shop(request.param, files, options)


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    return make_shop()


# What is recorded -----------------------------------------------------------------------------


def test_a_page_view_carries_all_facts_of_its_request(shop: Shop) -> None:
    before = time.time_ns() // 1_000_000
    answer = shop.get("/products/7?q=a%20b&x=%C3%A4", referer="https://search.example/?q=shoes")
    (view,) = shop.views
    assert view.page_url == "http://shop.example/products/7?q=a%20b&x=%C3%A4"
    assert view.referrer == "https://search.example/?q=shoes"
    assert (view.method, view.status, view.platform) == ("GET", 200, "web")
    assert view.route == {"flask": "/products/<int:number>"}.get(
        shop.framework, "/products/{number:int}"
    )
    assert (view.ip, view.language) == ("127.0.0.1", "de-AT")
    assert view.user_agent == "Mozilla/5.0 (X11)"
    assert view.response_bytes == len(answer.content) == len("<h1>Product 7</h1>")
    assert view.created is not None and before <= view.created <= time.time_ns() // 1_000_000
    assert view.duration_ms is not None and 0 < view.duration_ms < 60_000
    assert (view.user_id, view.anonymous_id) == (None, None)


def test_events_of_the_view_carry_the_request_but_no_status_duration_or_sizes(shop: Shop) -> None:
    shop.get("/products/7", x_request_id="from-the-proxy/1")
    saw, view = shop.event("Saw"), shop.event("page_view")
    for field in ("page_url", "method", "route", "ip", "user_agent", "language", "platform"):
        assert getattr(saw, field) == getattr(view, field) is not None
    assert saw.request_id == view.request_id == "from-the-proxy/1"
    assert (saw.status, saw.duration_ms, saw.request_bytes, saw.response_bytes) == (None,) * 4


def test_the_size_of_the_request_stands_on_the_page_view_only(shop: Shop) -> None:
    shop.client.request("GET", "/products/7", content=b"abc")
    assert (shop.event("Saw").request_bytes, shop.event("page_view").request_bytes) == (None, 3)


def test_the_id_of_the_page_view_is_known_to_the_page(shop: Shop) -> None:
    shown = re.search(r'name="trackway-page-view" content="([^"]+)"', shop.get("/").text)
    (view,) = shop.views
    assert shown and shown[1] == view.id
    assert re.fullmatch(UUID_TEXT, view.id)


def test_each_request_has_ids_of_its_own(shop: Shop) -> None:
    shop.get("/")
    shop.get("/")
    first, second = shop.views
    assert first.id != second.id
    assert first.request_id != second.request_id


def test_a_view_may_give_a_title_and_contexts(make_shop: Callable[..., Shop]) -> None:
    def context(request: Any) -> list[dict[str, Any]]:
        article = flask.g.article if isinstance(request, flask.Request) else request.state.article
        return [{"schema": "iglu:com.example/article/jsonschema/1-0-0", "data": {"id": article}}]

    shop = make_shop(context=context)
    shop.get("/")
    (view,) = shop.views
    assert view.page_title == "The shop"
    assert [one.data for one in view.contexts] == [{"id": 42}]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/answer?type=application/json", 200),
        ("/answer?type=text/plain", 200),
        ("/answer?status=404", 404),
        ("/answer?status=500", 500),
        ("/moved", 302),
        ("/missing", 404),
        ("/static/style.css", 200),
        ("/static/missing.html", 404),
    ],
)
def test_what_is_no_page_costs_nothing(
    make_shop: Callable[..., Shop], path: str, status: int
) -> None:
    asked: list[Any] = []
    shop = make_shop(anonymous_id=True, user_id=asked.append, context=asked.append)
    answer = shop.get(path)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert (shop.sink.events, asked) == ([], [])


def test_posts_and_heads_are_no_page_views(shop: Shop) -> None:
    assert shop.client.post("/answer", headers=BROWSER).status_code == 200
    assert shop.client.head("/answer", headers=BROWSER).status_code in (200, 405)
    assert shop.views == []


def test_a_page_from_a_file_is_a_page_view_with_its_size(shop: Shop) -> None:
    assert shop.get("/static/about.html").content == PAGE
    (view,) = shop.views
    assert view.response_bytes == len(PAGE)


def test_a_page_from_the_browsers_cache_is_a_page_view(shop: Shop) -> None:
    etag = shop.get("/static/about.html").headers["etag"]
    again = shop.get("/static/about.html", if_none_match=etag, sec_fetch_dest="document")
    assert again.status_code == 304
    assert [(view.status, view.response_bytes) for view in shop.views] == [
        (200, len(PAGE)),
        (304, 0),
    ]


def test_a_file_from_the_browsers_cache_is_none(shop: Shop) -> None:
    etag = shop.get("/static/style.css").headers["etag"]
    again = shop.get("/static/style.css", if_none_match=etag, sec_fetch_dest="style")
    assert (again.status_code, shop.views) == (304, [])


def headers_of(given: dict[str, str]) -> Callable[[str], str | None]:
    return given.get


HTML = "text/html; charset=utf-8"
VIEW, NONE = True, False


@pytest.mark.parametrize(
    ("expected", "method", "status", "content_type", "headers"),
    [
        (VIEW, "GET", 200, HTML, {}),
        (VIEW, "GET", 200, "TEXT/HTML", {}),
        (VIEW, "GET", 206, HTML, {}),
        (VIEW, "GET", 200, HTML, {"sec-fetch-dest": "document"}),
        (NONE, "GET", 200, HTML, {"sec-fetch-dest": "empty"}),
        (NONE, "GET", 200, HTML, {"sec-fetch-dest": "iframe"}),
        (NONE, "HEAD", 200, HTML, {}),
        (NONE, "POST", 200, HTML, {}),
        (NONE, "GET", 302, HTML, {}),
        (NONE, "GET", 404, HTML, {}),
        (NONE, "GET", 500, HTML, {}),
        (NONE, "GET", 200, "text/html-like", {}),
        (NONE, "GET", 200, None, {"sec-fetch-dest": "document", "accept": "text/html"}),
        (VIEW, "GET", 304, None, {"sec-fetch-dest": "document"}),
        (VIEW, "GET", 304, None, {"accept": "text/html,application/xhtml+xml"}),
        (VIEW, "GET", 304, HTML, {}),
        (NONE, "GET", 304, None, {}),
        (NONE, "GET", 304, None, {"accept": "text/css,*/*"}),
        (NONE, "GET", 304, None, {"accept": "text/html", "sec-fetch-dest": "image"}),
        (NONE, "GET", 200, HTML, {"sec-purpose": "prefetch"}),
        (NONE, "GET", 200, HTML, {"sec-purpose": "prefetch;prerender"}),
        (NONE, "GET", 200, HTML, {"purpose": "prefetch"}),
        (NONE, "GET", 200, HTML, {"x-moz": "prefetch"}),
        (NONE, "GET", 200, HTML, {"hx-request": "true"}),
        (VIEW, "GET", 200, HTML, {"hx-request": "true", "hx-boosted": "true"}),
        (
            VIEW,
            "GET",
            200,
            HTML,
            {"hx-request": "true", "hx-boosted": "true", "sec-fetch-dest": "empty"},
        ),
        (VIEW, "GET", 200, HTML, {"hx-request": "true", "hx-history-restore-request": "true"}),
        (
            NONE,
            "GET",
            200,
            HTML,
            {"hx-boosted": "true", "hx-request": "true", "hx-preloaded": "true"},
        ),
        (NONE, "GET", 200, HTML, {"x-requested-with": "XMLHttpRequest"}),
    ],
)
def test_what_is_a_page_view(
    expected: bool, method: str, status: int, content_type: str | None, headers: dict[str, str]
) -> None:
    assert is_page_view(method, status, content_type, headers_of(headers)) is expected


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("en-GB,en;q=0.9", "en-GB"),
        (" fr ;q=0.8", "fr"),
        ("zh-Hant-TW", "zh-Hant-TW"),
        ("*", None),
        ("", None),
        (None, None),
        ("x" * 500, None),
        ("<script>", None),
    ],
)
def test_the_language_is_the_first_that_the_browser_names(
    header: str | None, language: str | None
) -> None:
    assert first_language(header) == language


@pytest.mark.parametrize("value", ["", None, "x" * 129, "a b", "a\nb", "<b>", "ä"])
def test_a_request_id_that_is_not_plain_is_not_taken(value: str | None) -> None:
    assert sane_request_id(value) is None


def test_the_address_is_the_peers_unless_the_peer_is_a_trusted_proxy(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop()
    shop.get("/", x_forwarded_for="203.0.113.9")
    assert [view.ip for view in shop.views] == ["127.0.0.1"]
    shop = make_shop(trusted_proxies="127.0.0.1,10.0.0.0/8")
    shop.get("/", x_forwarded_for="198.51.100.1, 203.0.113.9, 10.1.2.3")
    assert [view.ip for view in shop.views] == ["203.0.113.9"]


# Streams and errors ---------------------------------------------------------------------------


def test_a_streamed_page_is_recorded_when_it_closes(shop: Shop) -> None:
    answer = shop.get("/stream")
    assert answer.text == "<p>" + "ä" * 10
    # What the application does afterwards does not hold up the page view.
    assert [event.name for event in shop.sink.events] == ["Streamed", "page_view", "Closed"]
    streamed, view, closed = shop.sink.events
    assert view.response_bytes == len(answer.content) == 23
    assert view.created is not None and streamed.created is not None
    assert view.created < streamed.created
    assert view.duration_ms is not None and view.duration_ms >= 20
    assert streamed.request_id == view.request_id == closed.request_id
    assert streamed.route == view.route == closed.route == "/stream"


def test_events_in_a_stream_that_is_no_page_carry_the_request(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop(anonymous_id=True)
    answer = shop.get("/stream?type=application/x-ndjson")
    assert [(event.name, event.route) for event in shop.sink.events] == [
        ("Streamed", "/stream"),
        ("Closed", "/stream"),
    ]
    # An id that was made too late for a cookie would name nobody who ever comes back.
    given = {event.anonymous_id for event in shop.sink.events}
    assert given == {read_anonymous_id(answer.headers.get("set-cookie"))}


def test_a_stream_that_breaks_off_is_recorded_and_its_error_is_not_masked(shop: Shop) -> None:
    client = shop.new_client(masks_errors=False)
    with pytest.raises(RuntimeError, match="broken stream"):
        client.get("/stream?break=1", headers=BROWSER)
    assert [event.name for event in shop.sink.events][:2] == ["Streamed", "page_view"]
    assert [view.response_bytes for view in shop.views] == [23]


def test_an_error_of_the_view_loses_no_event_and_is_not_masked(shop: Shop) -> None:
    assert shop.get("/boom").status_code == 500
    assert shop.event("Before the error").route == "/boom"
    assert shop.views == []
    with pytest.raises(RuntimeError, match="boom"):
        shop.new_client(masks_errors=False).get("/boom")


def test_after_a_request_nothing_of_it_is_left_in_the_thread(shop: Shop) -> None:
    for path in ("/", "/boom", "/stream", "/missing"):
        shop.get(path)
    assert scopes.current() is None
    shop.tracker.track("Outside")
    outside = shop.event("Outside")
    assert (outside.page_url, outside.platform) == (None, "srv")


# Users ----------------------------------------------------------------------------------------


def test_a_login_inside_the_request_counts_from_then_on(shop: Shop) -> None:
    shop.get("/login/ada")
    users = {event.name: event.user_id for event in shop.sink.events}
    assert users == {
        "Before": None,
        "After": "ada",
        "On behalf": "somebody else",
        "page_view": "ada",
    }


def test_a_logout_inside_the_request_counts_as_well(shop: Shop) -> None:
    shop.get("/login/ada")
    shop.sink.events.clear()
    shop.get("/logout")
    assert {event.name: event.user_id for event in shop.sink.events} == {
        "Left": None,
        "page_view": None,
    }


@pytest.mark.parametrize(
    ("answer", "user_id"),
    [(0, "0"), ("u1", "u1"), (17, "17"), (None, None), ("", None), (False, None)],
)
def test_the_application_may_say_who_it_is_and_0_is_somebody(
    make_shop: Callable[..., Shop], answer: object, user_id: str | None
) -> None:
    shop = make_shop(user_id=lambda request: answer)
    shop.get("/login/ada")
    assert [e.user_id for e in shop.sink.events if e.name != "On behalf"] == [user_id] * 3


def test_a_callable_that_fails_is_counted_and_breaks_nothing(
    make_shop: Callable[..., Shop], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: Any) -> Any:
        raise LookupError("no such table")

    shop = make_shop(user_id=fail, context=fail)
    assert shop.get("/products/7").status_code == 200
    assert shop.get("/products/8").status_code == 200
    assert [event.user_id for event in shop.sink.events] == [None] * 4
    counted = {key.split(".")[0]: n for key, n in shop.failures.items()}
    assert counted == {
        f"failed:user_id:{fail.__qualname__.split('.')[0]}": 4,
        f"failed:context:{fail.__qualname__.split('.')[0]}": 2,
    }
    assert len(caplog.records) == 2  # one line for each, not one for each request


def test_a_context_in_a_wrong_form_does_not_cost_the_page_view(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop(context=lambda request: [{"no": "schema"}])
    shop.get("/")
    assert [view.contexts for view in shop.views] == [()]
    assert sum(shop.failures.values()) == 1


def test_a_header_that_nobody_expects_breaks_nothing(shop: Shop) -> None:
    strange: dict[str, Any] = {"referer": "ä\xff".encode("latin-1"), "x-request-id": "{}" * 999}
    strange |= {"accept-language": "|" * 9000, "cookie": "=;=,trackway_id", "dnt": "?"}
    with serving(shop) as url, httpx.Client(base_url=url) as client:
        assert client.get("/", headers=strange).status_code == 200
    (view,) = shop.views
    assert (view.referrer, view.language) == ("ä\xff", None)
    assert view.request_id and re.fullmatch(UUID_TEXT, view.request_id)
    assert shop.failures == {}


# The filter -----------------------------------------------------------------------------------


def test_of_a_filtered_request_nothing_at_all_is_recorded(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(
        request_filter=lambda request: "private" not in request.headers, anonymous_id=True
    )
    answer = shop.get("/products/7", private="1")
    assert (answer.status_code, shop.sink.events) == (200, [])
    assert "set-cookie" not in answer.headers
    assert shop.tracker.pipeline.stats == {"dropped:scope": 1}
    shop.get("/products/7")
    assert [event.name for event in shop.sink.events] == ["Saw", "page_view"]


def test_a_filter_that_fails_has_not_said_yes(make_shop: Callable[..., Shop]) -> None:
    def fail(request: Any) -> bool:
        raise LookupError("no consent service")

    shop = make_shop(request_filter=fail)
    assert shop.get("/products/7").status_code == 200
    assert shop.sink.events == []
    assert sum(shop.failures.values()) == 1


# The anonymous id -----------------------------------------------------------------------------


def test_without_the_option_no_cookie_is_set_or_read(shop: Shop) -> None:
    known = "11111111-2222-4333-a444-555555555555"
    answer = shop.get("/", cookie=f"trackway_id={known}")
    assert "set-cookie" not in answer.headers
    assert [view.anonymous_id for view in shop.views] == [None]


def test_the_anonymous_id_is_set_once_and_then_reused(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(anonymous_id=True)
    cookie = shop.get("/products/7").headers["set-cookie"]
    value, _, attributes = cookie.partition("; ")
    assert attributes == "Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax"
    anonymous_id = value.removeprefix("trackway_id=")
    assert UUID(anonymous_id).version == 4
    again = shop.get("/products/8", cookie=f"a=1; {value}; b=2")
    assert "set-cookie" not in again.headers
    assert [event.anonymous_id for event in shop.sink.events] == [anonymous_id] * 4


def test_the_cookie_is_secure_over_https(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(anonymous_id=True)
    answer = shop.new_client("https").get("/", headers=BROWSER)
    assert answer.headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize("wish", [{"dnt": "1"}, {"sec_gpc": "1"}])
def test_who_does_not_want_to_be_recognised_is_not(
    make_shop: Callable[..., Shop], wish: dict[str, str]
) -> None:
    shop = make_shop(anonymous_id=True)
    known = "11111111-2222-4333-a444-555555555555"
    assert "set-cookie" not in shop.get("/", **wish).headers
    shop.get("/", cookie=f"trackway_id={known}", **wish)
    assert [view.anonymous_id for view in shop.views] == [None, None]


def test_a_response_that_a_shared_cache_may_keep_gets_no_cookie(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop(anonymous_id=True)
    answer = shop.get("/answer?cache=public,%20max-age=60")
    assert "set-cookie" not in answer.headers
    assert "set-cookie" not in shop.get("/answer?track=1&cache=s-maxage=60").headers
    assert shop.views[0].anonymous_id is None
    assert not may_be_shared("private, max-age=60") and not may_be_shared(None)


KNOWN = "11111111-2222-4333-a444-555555555555"


@pytest.mark.parametrize(
    ("cookies", "anonymous_id"),
    [
        (f"trackway_id={KNOWN}", KNOWN),
        (f"a=b;trackway_id={KNOWN};c=d", KNOWN),
        (f"a=b, trackway_id={KNOWN}", KNOWN),
        (f"trackway_id=nonsense; trackway_id={KNOWN}", KNOWN),
        (f"my_trackway_id={KNOWN}", None),
        (f"trackway_id={KNOWN}0", None),
        ("trackway_id=", None),
        (f"trackway_id={KNOWN.replace('1', '<')}", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_uuid_is_read_from_the_cookie(cookies: str | None, anonymous_id: str | None) -> None:
    assert read_anonymous_id(cookies) == anonymous_id


# Flask ----------------------------------------------------------------------------------------


def test_flask_login_is_not_made_to_load_a_user(files: Path) -> None:
    shop = Shop("flask", files, {})
    shop.get("/login/ada")
    shop.get("/products/7")
    assert [event.user_id for event in shop.sink.events[-2:]] == ["ada", "ada"]
    assert shop.app.extensions["loaded"] == []


def test_one_trackway_serves_several_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKWAY_APP_ID", "from-the-environment")
    trackway = Trackway()
    with pytest.raises(SettingError, match="serves 0 applications"):
        _ = trackway.tracker
    sinks = {}
    apps = []
    for app_id in ("one", "two", None):
        app = flask.Flask(app_id or "three")
        app.config["TRACKWAY_APP_ID"] = app_id
        app.config["TRACKWAY_ENDPOINT"] = f"http://127.0.0.1:9/{app_id}"
        trackway.init_app(app)
        with app.app_context():
            (emitter,) = trackway.tracker.emitters
            assert emitter.url.startswith(f"http://127.0.0.1:9/{app_id}/")
            sinks[app.name] = sink = MemorySink()
            trackway.tracker.pipeline.sinks = (sink,)
        app.add_url_rule("/", view_func=lambda: "<p>")
        apps.append(app)
    for app in apps:
        app.test_client().get("/", buffered=True)
    assert {name: [event.app_id for event in sink.events] for name, sink in sinks.items()} == {
        "one": ["one"],
        "two": ["two"],
        "three": ["from-the-environment"],
    }
    with pytest.raises(SettingError, match="serves 3 applications"):
        _ = trackway.tracker


def test_an_option_of_the_call_wins_over_the_configuration() -> None:
    app = flask.Flask("shop")
    app.config["TRACKWAY_ENDPOINT"] = "http://127.0.0.1:9/config"
    app.config["TRACKWAY_APP_ID"] = "config"
    trackway = Trackway(app, app_id="call")
    assert trackway.tracker.emitters[0].url.startswith("http://127.0.0.1:9/config/")
    trackway.tracker.pipeline.sinks = (sink := MemorySink(),)
    trackway.tracker.track("Here")
    assert [event.app_id for event in sink.events] == ["call"]


def test_a_flask_application_is_recorded_only_once() -> None:
    app = flask.Flask("shop")
    trackway = Trackway(app)
    with pytest.raises(SettingError, match="already installed in 'shop'"):
        trackway.init_app(app)


def test_a_flask_test_client_that_keeps_the_context_is_served(files: Path) -> None:
    shop = Shop("flask", files, {})
    with shop.app.test_client() as client:
        with client.get("/"):
            kept = flask.g.trackway_page_view_id
        assert [view.id for view in shop.views] == [kept]
        with client.get("/products/1"):
            pass
    assert [event.name for event in shop.sink.events] == ["page_view", "Saw", "page_view"]


def test_files_go_out_of_flask_untouched(files: Path) -> None:
    shop = Shop("flask", files, {})
    fast_way = type("FastWay", (werkzeug.wsgi.FileWrapper,), {})
    environ = werkzeug.test.create_environ("/static/style.css")
    environ["wsgi.file_wrapper"] = fast_way
    body = shop.app(environ, lambda *_: lambda data: None)
    assert isinstance(body, fast_way)
    body.close()  # type: ignore[attr-defined]


def test_without_flask_the_error_names_the_pip_command() -> None:
    code = "import sys; sys.modules['flask'] = None; import trackway.integrations.flask"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip().endswith("flask is not installed: pip install 'trackway[flask]'")


# ASGI -----------------------------------------------------------------------------------------


def recorded_routes(app: Any, path: str, root_path: str = "") -> list[str | None]:
    sink = MemorySink()
    middleware = TrackwayMiddleware(app, tracker=Tracker(sinks=[sink]))
    TestClient(middleware, root_path=root_path).get(root_path + path)
    return [event.route for event in sink.events]


async def any_page(request: Request) -> HTMLResponse:
    return HTMLResponse("<p>")


def starlette_of_many_routes() -> Starlette:
    inner = Mount("/n/{tenant}", routes=[Route("/b/{item}", any_page)])
    return Starlette(
        routes=[
            Route("/plain/{number:int}", any_page),
            Mount("/m", routes=[Route("/a/{item}", any_page), inner]),
            Mount("/other", app=Starlette(routes=[Route("/", any_page)])),
        ]
    )


def fastapi_of_many_routes() -> fastapi.FastAPI:
    app, mounted = fastapi.FastAPI(), fastapi.FastAPI()
    outer, inner = fastapi.APIRouter(prefix="/outer"), fastapi.APIRouter(prefix="/in/{tenant}")
    inner.get("/b/{item}")(any_page)
    outer.get("/a/{item}")(any_page)
    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    app.get("/plain/{number}")(any_page)
    mounted.get("/c/{item}")(any_page)
    app.mount("/m", mounted)
    return app


@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
@pytest.mark.parametrize(
    ("make_app", "path", "route"),
    [
        (starlette_of_many_routes, "/plain/3", "/plain/{number:int}"),
        (starlette_of_many_routes, "/m/a/9", "/m/a/{item}"),
        (starlette_of_many_routes, "/m/n/acme/b/9", "/m/n/{tenant}/b/{item}"),
        (starlette_of_many_routes, "/other/", "/other/"),
        (fastapi_of_many_routes, "/plain/3", "/plain/{number}"),
        (fastapi_of_many_routes, "/api/outer/a/9", "/api/outer/a/{item}"),
        (fastapi_of_many_routes, "/api/outer/in/acme/b/9", "/api/outer/in/{tenant}/b/{item}"),
        (fastapi_of_many_routes, "/m/c/9", "/m/c/{item}"),
    ],
)
def test_the_route_is_the_whole_template_through_mounts_and_routers(
    make_app: Callable[[], Any], path: str, route: str, root_path: str
) -> None:
    assert recorded_routes(make_app(), path, root_path) == [route]


def test_a_bare_asgi_application_is_recorded_as_well() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = type("User", (), {"is_authenticated": True, "id": 0})()
        scope["state"]["trackway"].track("Inside")
        headers = iter([(b"Content-Type", b"text/html")])  # any iterable will do for ASGI
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<p>", "more_body": True})
        await send({"type": "http.response.body", "body": b"Hello"})

    sink = MemorySink()
    client = TestClient(TrackwayMiddleware(app, tracker=Tracker(sinks=[sink]), anonymous_id=True))
    answer = client.get("/page")
    assert (answer.text, answer.headers["content-type"]) == ("<p>Hello", "text/html")
    inside, view = sink.events
    assert (inside.name, view.name, view.response_bytes) == ("Inside", "page_view", 8)
    assert (inside.user_id, inside.route, inside.anonymous_id) == ("0", None, view.anonymous_id)


def test_websockets_and_lifespan_pass_untouched() -> None:
    seen: list[Any] = []

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        seen.append(scopes.current())
        await websocket.send_text("hello")
        await websocket.close()

    sink = MemorySink()
    app = Starlette(routes=[WebSocketRoute("/ws", socket)])
    app.add_middleware(TrackwayMiddleware, tracker=Tracker(sinks=[sink]))
    with TestClient(app) as client, client.websocket_connect("/ws") as connection:
        assert connection.receive_text() == "hello"
    assert (seen, sink.events) == ([None], [])


# Real servers ---------------------------------------------------------------------------------


@contextmanager
def serving(shop: Shop) -> Iterator[str]:
    """The shop behind a real server of its kind; the URL. Leaving it is a graceful stop."""
    if shop.framework == "flask":
        wsgi = werkzeug.serving.make_server("127.0.0.1", 0, shop.app, threaded=True)
        thread = threading.Thread(target=wsgi.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{wsgi.server_port}"
        finally:
            wsgi.shutdown()
            thread.join()
            wsgi.server_close()
        return
    asgi = uvicorn.Server(uvicorn.Config(shop.app, port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=asgi.run)
    thread.start()
    try:
        while not asgi.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{asgi.servers[0].sockets[0].getsockname()[1]}"
    finally:
        asgi.should_exit = True
        thread.join()


class Collector:
    """A small server that keeps the events it gets, and answers only when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = threading.Event()
        self.events: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                collector.asked.set()
                collector.may_answer.wait(30)
                collector.events += body["data"]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Collector:
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_requests_do_not_wait_for_a_collector_that_hangs(make_shop: Callable[..., Shop]) -> None:
    with Collector() as collector:
        tracker = Tracker(AsyncEmitter(collector.url, interval=0.01, batch_size=1))
        with serving(make_shop(tracker=tracker)) as url, httpx.Client(base_url=url) as client:
            client.get("/products/0")
            assert collector.asked.wait(20)
            for number in range(1, 20):
                assert client.get(f"/products/{number}").status_code == 200
            assert collector.events == []
            collector.may_answer.set()
            assert tracker.flush(20) == 0
        assert len({event["eid"] for event in collector.events}) == 40


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_a_graceful_stop_of_an_asgi_server_delivers_all(framework: str, files: Path) -> None:
    with Collector() as collector:
        collector.may_answer.set()
        # Nothing goes out by itself within ten minutes.
        tracker = Tracker(AsyncEmitter(collector.url, interval=600))
        shop = Shop(framework, files, {"tracker": tracker})
        with serving(shop) as url, httpx.Client(base_url=url) as client:
            for number in range(20):
                client.get(f"/products/{number}")
            assert collector.events == []
        assert len({event["eid"] for event in collector.events}) == 40


FLASK_PROGRAM = """
import sys, threading, urllib.request
from flask import Flask
from werkzeug.serving import make_server
from trackway import AsyncEmitter, Tracker
from trackway.integrations.flask import Trackway

app = Flask("shop")
trackway = Trackway(app, tracker=Tracker(AsyncEmitter(sys.argv[1], interval=600)))

@app.get("/")
def home():
    trackway.tracker.track("Inside")
    return "<p>Hello"

server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever).start()
for _ in range(20):
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").read()
server.shutdown()
"""


def test_a_graceful_stop_of_a_flask_server_delivers_all() -> None:
    with Collector() as collector:
        collector.may_answer.set()
        command = [sys.executable, "-c", FLASK_PROGRAM, collector.url]
        subprocess.run(command, env=clean_environment(), check=True, timeout=60)
        assert len({event["eid"] for event in collector.events}) == 40


def users_met(shop: Shop, guests: int) -> None:
    """All guests were inside at the same time, and every event says the right one."""
    assert len(shop.sink.events) == 3 * guests
    names = [event.name for event in shop.sink.events]
    assert names.index("Met") >= guests  # nobody went before all had come
    for event in shop.sink.events:
        assert event.page_url is not None and event.user_id is not None
        assert event.page_url.endswith(f"/meet/{event.user_id}")
        assert event.user_agent == f"browser of {event.user_id}"
    assert len({event.request_id for event in shop.sink.events}) == guests


def test_simultaneous_requests_in_threads_never_mix_users(files: Path) -> None:
    guests = 8
    shop = Shop("flask", files, {"user_id": lambda request: request.headers["x-user"]})
    shop.app.extensions["meeting"] = threading.Barrier(guests)
    with serving(shop) as url:

        def visit(name: str) -> None:
            headers = {"x-user": name, "user-agent": f"browser of {name}"}
            assert httpx.get(f"{url}/meet/{name}", headers=headers).status_code == 200

        visitors = [threading.Thread(target=visit, args=(f"u{n}",)) for n in range(guests)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
    users_met(shop, guests)


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_simultaneous_requests_in_tasks_never_mix_users(framework: str, files: Path) -> None:
    guests = 8
    shop = Shop(framework, files, {"user_id": lambda request: request.headers["x-user"]})

    class Meeting:
        """An asyncio.Barrier made by the loop that waits for it."""

        barrier: asyncio.Barrier | None = None

        async def wait(self) -> None:
            self.barrier = self.barrier or asyncio.Barrier(guests)
            await self.barrier.wait()

    shop.app.state.meeting = Meeting()

    async def visit_all(url: str) -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            visits = [
                client.get(
                    f"/meet/u{n}", headers={"x-user": f"u{n}", "user-agent": f"browser of u{n}"}
                )
                for n in range(guests)
            ]
            assert {answer.status_code for answer in await asyncio.gather(*visits)} == {200}

    with serving(shop) as url:
        asyncio.run(visit_all(url))
    users_met(shop, guests)


def test_a_client_that_hangs_up_is_recorded_once(shop: Shop) -> None:
    with serving(shop) as url, httpx.Client() as client:
        with client.stream("GET", f"{url}/stream"):
            pass
        client.get(f"{url}/")
    assert len(shop.views) == 2


# Documents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["flask.md", "asgi.md"])
def test_every_option_is_in_the_documents(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert not [name for name in Options.__annotations__ if f"`{name}`" not in text]
