"""The id cookie of the Snowplow JavaScript tracker, read from the requests of real frameworks."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any
from wsgiref.util import setup_testing_defaults

import flask
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from tests.conftest import missing
from trackway import MemorySink, Tracker
from trackway.cookies import IdCookie, domain_user_id, id_cookie

USER = "c6ef3124-b53a-4b13-a233-0088f79dcbcb"
SESSION = "5a54d7f1-3b6f-4c0e-9a41-1a2b3c4d5e6f"
OTHER = "11111111-2222-4333-8444-555555555555"

#: As tracker 3.5 and later writes it; 2.5 to 3.4 write the first six fields, before that five.
VALUE = f"{USER}.1600000000.3.1700000000.1690000000.{SESSION}.{OTHER}.{OTHER}.1700000000123.12"
EXPECTED = IdCookie(USER, SESSION, 3)


def value(
    user_id: str = USER,
    *,
    index: object = 3,
    written: object = 1_700_000_000,
    session: str = SESSION,
) -> str:
    return f"{user_id}.1600000000.{index}.{written}.1690000000.{session}"


# Requests -------------------------------------------------------------------------------------

Answer = Callable[[Any], Any]


def installed(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        missing(f"{package} is not installed: make venv")


def wsgi_environ(header: str) -> dict[str, Any]:
    environ = {"HTTP_COOKIE": header}
    setup_testing_defaults(environ)
    return environ


def asgi_scope(*headers: str, type_: str = "http") -> dict[str, Any]:
    cookies = [(b"cookie", header.encode("latin-1")) for header in headers]
    return {
        "type": type_,
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"shop"), *cookies],
    }


def in_django(header: str, answer: Answer) -> Any:
    installed("django")
    settings = importlib.import_module("django.conf").settings
    if not settings.configured:
        settings.configure()
    wsgi = importlib.import_module("django.core.handlers.wsgi")
    return answer(wsgi.WSGIRequest(wsgi_environ(header)))


def in_asynchronous_django(header: str, answer: Answer) -> Any:
    in_django("", answer)
    asgi = importlib.import_module("django.core.handlers.asgi")
    return answer(asgi.ASGIRequest(asgi_scope(header), io.BytesIO()))


def in_flask(header: str, answer: Answer) -> Any:
    app, answers = flask.Flask("shop"), []

    @app.get("/")
    def view():
        answers.append(answer(flask.request))
        return ""

    app.test_client(use_cookies=False).get("/", environ_overrides={"HTTP_COOKIE": header})
    return answers[0]


def in_pyramid(header: str, answer: Answer) -> Any:
    installed("pyramid")
    config = importlib.import_module("pyramid.config").Configurator()
    answers = []

    def view(request: Any) -> Any:
        answers.append(answer(request))
        return request.response

    config.add_route("home", "/")
    config.add_view(view, route_name="home")
    application = config.make_wsgi_app()
    list(application(wsgi_environ(header), lambda *_: None))
    return answers[0]


def in_starlette(header: str, answer: Answer) -> Any:
    return answer(Request(asgi_scope(header)))


def in_wsgi(header: str, answer: Answer) -> Any:
    return answer(wsgi_environ(header))


def in_asgi(header: str, answer: Answer) -> Any:
    return answer(asgi_scope(header))


def in_a_websocket(header: str, answer: Answer) -> Any:
    return answer(asgi_scope(header, type_="websocket"))


FRAMEWORKS = [
    in_django,
    in_asynchronous_django,
    in_flask,
    in_pyramid,
    in_starlette,
    in_wsgi,
    in_asgi,
    in_a_websocket,
]
everywhere = pytest.mark.parametrize("inside", FRAMEWORKS, ids=lambda f: f.__name__)


@everywhere
def test_the_cookie_is_found_in_requests_of_every_framework(inside: Any) -> None:
    header = f"a=1; _sp_ses.1fff=*; _sp_id.1fff={VALUE}; b=2"
    assert inside(header, id_cookie) == EXPECTED
    assert inside(header, domain_user_id) == USER


@everywhere
@pytest.mark.parametrize(
    "header",
    [
        "",
        "a=1",
        "_sp_ses.1fff=*",
        f"_sp_idx={VALUE}",
        f"my_sp_id.1fff={VALUE}",
        f"_sp_id.1fff={VALUE[1:]}",
        "_sp_id.1fff=",
        "_sp_id.1fff",
        "_sp_id.1fff=..........",
        "_sp_id.1fff=\xff\xfe",
        "_sp_id.1fff=" + "." * 10_000,
    ],
)
def test_without_a_valid_cookie_there_is_no_id(inside: Any, header: str) -> None:
    assert inside(header, id_cookie) is None
    assert inside(header, domain_user_id) is None


@everywhere
@pytest.mark.parametrize(
    "other", ["bad=\xff\xfe", 'open="', "=", ";;", "a=b=c", "bare", "\x00=\x01"]
)
def test_what_other_cookies_contain_does_not_matter(inside: Any, other: str) -> None:
    assert inside(f"{other}; _sp_id.1fff={VALUE}", id_cookie) == EXPECTED


@everywhere
def test_the_page_may_have_another_name_for_its_cookies(inside: Any) -> None:
    header = f"_sp_id.1fff={value(OTHER)}; _my.app_id.1fff={VALUE}"
    assert inside(header, lambda request: id_cookie(request, "_my.app_")) == EXPECTED
    assert inside(header, lambda request: domain_user_id(request, prefix="_my.app_")) == USER
    assert inside(header, lambda request: domain_user_id(request, "_your_")) is None


@pytest.mark.parametrize(
    "cookies",
    [
        {"_sp_id.1fff": VALUE},
        {"_sp_id": VALUE},
        {"headers": "x", "_sp_id.1fff": VALUE},
        {"_sp_id.1fff": f'"{VALUE}"'},
        SimpleCookie(f"a=1; _sp_id.1fff={VALUE}"),
    ],
    ids=["dictionary", "no hash", "a cookie named headers", "quoted", "http.cookies"],
)
def test_a_mapping_of_cookies_will_do(cookies: Any) -> None:
    assert id_cookie(cookies) == EXPECTED


def test_cookies_of_several_headers_are_found_also_where_a_server_has_joined_them() -> None:
    assert id_cookie(asgi_scope("a=1", f"_sp_id.1fff={VALUE}", "b=2")) == EXPECTED
    assert id_cookie({"HTTP_COOKIE": f"a=1,_sp_id.1fff={VALUE},b=2"}) == EXPECTED


@pytest.mark.parametrize("nothing", [None, 5, "_sp_id", object(), [], {}])
def test_where_there_is_no_request_there_is_no_id(nothing: Any) -> None:
    assert id_cookie(nothing) is None
    assert domain_user_id(nothing) is None


def test_outside_of_a_request_flasks_has_no_id() -> None:
    assert id_cookie(flask.request) is None


def test_a_request_that_fails_when_it_is_asked_gives_no_id() -> None:
    class Closed:
        @property
        def cookies(self) -> dict[str, str]:
            raise RuntimeError("the connection is closed")

    assert id_cookie(Closed()) is None


# Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (VALUE, EXPECTED),
        (value(), EXPECTED),
        (VALUE.upper(), EXPECTED),
        (f"{USER}.1600000000.3.1700000000.", IdCookie(USER, None, 3)),  # before 2.5
        (
            "c7aadf5c60a5dff9.1400000000.2.1400000100.1400000000",
            IdCookie("c7aadf5c60a5dff9", None, 2),
        ),
        ("C7AADF5C60A5DFF9", IdCookie("c7aadf5c60a5dff9", None, None)),
        (USER, IdCookie(USER, None, None)),
        (value(""), IdCookie(None, SESSION, 3)),  # sessions without users
        (value(session="undefined"), IdCookie(USER, None, 3)),  # written by some trackers
        (value(session="c7aadf5c60a5dff9"), IdCookie(USER, None, 3)),
        (value(index=""), IdCookie(USER, SESSION, None)),
        (value(index=0), IdCookie(USER, SESSION, None)),
        (value(index=-1), IdCookie(USER, SESSION, None)),
        (value(index="1e3"), IdCookie(USER, SESSION, None)),
        (value(index="\u0663"), IdCookie(USER, SESSION, None)),
        (value(index="9" * 5000), IdCookie(USER, None, None)),
        (value(written=""), EXPECTED),
        (value(written="NaN"), EXPECTED),
    ],
)
def test_what_a_value_says(text: str, expected: IdCookie) -> None:
    assert id_cookie({"_sp_id.1fff": text}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "." * 1_000_000,
        "x" * 1_000_000,
        "deleted",
        "null",
        "undefined.1600000000.1.1700000000.",
        value("undefined"),
        value("00000000-0000-0000-0000-000000000000"),
        "\ud800",
        f"\ud800{USER}",
        f"{USER}\ud800",
        f"{USER} ",
        f"{USER}\n",
        USER[:-1],
        USER + "0",
        USER.replace("-", ""),
        "00000000-0000-0000-0000-000000000000",
        "0000000000000000",
        "../../etc/passwd",
        "<script>",
        "%00",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_a_value_that_is_no_id_gives_none(text: str) -> None:
    assert id_cookie({"_sp_id.1fff": text}) is None


def test_a_long_tail_changes_nothing() -> None:
    assert id_cookie({"_sp_id.1fff": VALUE + "." + "x" * 1_000_000}) == EXPECTED


@pytest.mark.parametrize("odd", [None, 5, b"bytes", [VALUE], {"value": VALUE}])
def test_a_value_that_is_no_text_does_not_hide_another_cookie(odd: Any) -> None:
    assert id_cookie({"_sp_id.1fff": odd, "_sp_id.2eee": VALUE}) == EXPECTED


@given(st.text(max_size=300))
@example("a.b.c.d.e.f.g")
def test_whatever_the_value_is_ids_are_well_formed(text: str) -> None:
    for cookie in (id_cookie({"_sp_id.1fff": text}), id_cookie({"HTTP_COOKIE": f"_sp_id={text}"})):
        if cookie is not None:
            assert cookie.user_id is None or (cookie.user_id.isascii() and len(cookie.user_id) < 37)
            assert cookie.user_id or cookie.session_id


# Several cookies ------------------------------------------------------------------------------


@everywhere
def test_of_several_cookies_the_one_written_last_counts(inside: Any) -> None:
    old = f"_sp_id.1fff={value(OTHER, written=1_699_999_999, index=9)}"
    new = f"_sp_id.2eee={value(written=1_700_000_000)}"
    for header in (f"{old}; {new}", f"{new}; {old}"):
        assert inside(header, id_cookie) == EXPECTED


def test_times_are_compared_as_numbers() -> None:
    cookies = {
        "_sp_id.a": value(OTHER, written=999_999_999),
        "_sp_id.b": value(written=1_000_000_000),
    }
    assert domain_user_id(cookies) == USER


def test_a_cookie_without_a_time_is_older_than_any_other() -> None:
    cookies = {"_sp_id.a": value(OTHER, written=""), "_sp_id.b": value(written=1)}
    assert domain_user_id(cookies) == USER


def test_a_newer_cookie_that_is_not_valid_does_not_count() -> None:
    cookies = {"_sp_id.a": VALUE, "_sp_id.b": "deleted.1.1.1999999999.1."}
    assert id_cookie(cookies) == EXPECTED


def test_a_browser_that_is_no_longer_recognised_is_not_recognised_by_an_older_cookie() -> None:
    cookies = {"_sp_id.a": VALUE, "_sp_id.b": value("", written=1_800_000_000)}
    assert id_cookie(cookies) == IdCookie(None, SESSION, 3)
    assert domain_user_id(cookies) is None


# On the way into events -----------------------------------------------------------------------


def test_events_carry_the_ids_of_the_browser() -> None:
    sink = MemorySink()
    tracker = Tracker(sinks=[sink])
    request = Request(asgi_scope(f"_sp_id.1fff={VALUE}"))
    cookie = id_cookie(request)
    assert cookie is not None
    with tracker.scope(
        anonymous_id=cookie.user_id,
        session_id=cookie.session_id,
        session_index=cookie.session_index,
    ):
        tracker.track("order placed")
    (event,) = sink.events
    assert (event.anonymous_id, event.session_id, event.session_index) == EXPECTED


#: As printed in the manual of the Snowplow Python tracker 0.7, section 3.10.
DOCUMENTED = """
import re
def snowplow_cookie(request):
    for name in request.COOKIES:
        if re.match(r"_sp_id", name) != None:
           return request.COOKIES[name]
    return None

def get_domain_user_id(request):
    cookie = snowplow_cookie(request)
    if cookie != None:
        return cookie.split(".")[0]
"""


@pytest.mark.parametrize("header", [f"a=1; _sp_id.1fff={VALUE}", f"_sp_id={value()}", "a=1", ""])
def test_the_documented_snippet_and_ours_agree_in_django(header: str) -> None:
    names: dict[str, Any] = {}
    exec(DOCUMENTED, names)
    documented = in_django(header, names["get_domain_user_id"])
    assert documented == in_django(header, domain_user_id)
    assert documented == (USER if "_sp_id" in header else None)
