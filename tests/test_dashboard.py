"""The dashboard: closed by default, right to the last unit, safe with hostile data."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from tests.conftest import ROOT
from tests.planted import SITE, Planted, World, at, crowd
from trackway.access import SESSION_SECONDS, Access
from trackway.dashboard import create_dashboard
from trackway.dashboard.context import STATIC
from trackway.dashboard.format import change, duration, number, percent
from trackway.dashboard.state import METRICS, PANELS
from trackway.errors import QueryRefused, WarehouseError
from trackway.periods import PRESETS, Period
from trackway.reports.question import DIMENSIONS, Question
from trackway.sinks import Table

NOW = at("2025-11-20 15:20", "Europe/Berlin")
ZONE = "Europe/Berlin"
MOMENTS = [at(f"2025-{day} 12:00") for day in ("10-03", "10-26", "11-02", "11-19", "11-20")]
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture(scope="module")
def world() -> World:
    return crowd(seed=11, moments=MOMENTS)


@pytest.fixture(scope="module")
def warehouse(world: World):
    return world.warehouse()


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(tmp_path)


class Pages:
    """A dashboard and a client that is logged in to it."""

    def __init__(
        self, warehouse: Any, access: Access, base: str = "http://testserver", **options: Any
    ) -> None:
        options = {"now": lambda: NOW, "time_zone": ZONE, **options}
        self.app = create_dashboard(warehouse, access, **options)
        self.access = access
        self.stranger = TestClient(self.app, base, follow_redirects=False)
        self.client = TestClient(self.app, base, follow_redirects=False)
        assert self.client.get(access.login_path()).status_code == 303

    def get(self, url: str, status: int = 200) -> Page:
        answer = self.client.get(url)
        assert answer.status_code == status, answer.text
        return Page(answer.text)


@pytest.fixture
def pages(warehouse, access: Access) -> Pages:
    return Pages(warehouse, access)


class Page(HTMLParser):
    """What a browser would see in a page: elements with attributes, and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.rows: dict[str, list[tuple[str, int, int, str]]] = {}
        self._panel = self._label = self._href = ""
        self._numbers: list[int] = []
        self._in_link = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag == "section":
            self._panel = found["id"].removeprefix("panel-")
            self.rows[self._panel] = []
        elif tag == "tr":
            self._label, self._href, self._numbers = "", "", []
        elif tag == "a" and not self._href:
            self._href, self._in_link = found.get("href", ""), True
        elif tag == "data" and "id" not in found:
            self._numbers.append(int(found["value"]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in_link = False
        elif tag == "tr" and self._numbers:
            first, second = self._numbers
            self.rows[self._panel].append((self._label, first, second, self._href))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._in_link:
            self._label += data

    def value(self, name: str) -> str:
        """The number with this id, as machines read it."""
        (found,) = [attrs for tag, attrs in self.elements if attrs.get("id") == name]
        return found["value"]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def question(period: str = "30d", **filters: str) -> Question:
    return Question(SITE, Period.parse({"period": period}, now=NOW, time_zone=ZONE), NOW, filters)


# Who may look ---------------------------------------------------------------------------------

CLOSED = [
    "/",
    "/s/shop",
    "/s/shop/panel/pages",
    "/s/shop/live",
    "/s/shop/list/page",
    "/definitions",
]
CLOSED_TO_PROGRAMS = ["/s/shop/overview.json", "/s/shop/list/page.csv", "/api/sql", "/api/other"]


@pytest.mark.parametrize("path", [*CLOSED, "/nothing", "/s/"])
def test_pages_are_closed_and_say_how_to_get_in(pages: Pages, path: str) -> None:
    answer = pages.stranger.get(path)
    assert answer.status_code == 401
    assert "Use the login link that trackway serve printed." in Page(answer.text).text
    assert "shop" not in answer.text


@pytest.mark.parametrize("path", CLOSED_TO_PROGRAMS)
def test_data_for_programs_is_closed_in_json(pages: Pages, path: str) -> None:
    for answer in (pages.stranger.get(path), pages.stranger.post(path)):
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_page_whose_login_has_ended_is_told_to_load_anew(pages: Pages) -> None:
    answer = pages.stranger.get("/s/shop/live", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")


def test_the_login_link_sets_a_cookie_that_scripts_and_other_sites_cannot_use(
    pages: Pages,
) -> None:
    answer = pages.stranger.get(pages.access.login_path())
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", "path=/", f"max-age={SESSION_SECONDS}"} <= set(
        cookie.split("; ")
    )
    assert "secure" not in cookie


@pytest.mark.parametrize(
    ("base", "endpoint"), [("https://stats.example", ""), ("http://inside", "https://outside")]
)
def test_the_cookie_travels_over_tls_only_where_there_is_tls(
    warehouse, access: Access, base: str, endpoint: str
) -> None:
    app = create_dashboard(warehouse, access, endpoint=endpoint)
    client = TestClient(app, base_url=base, follow_redirects=False)
    assert "secure" in client.get(access.login_path()).headers["set-cookie"].lower()


@pytest.mark.parametrize("key", ["", "?key=", "?key=wrong", "?key=%ff%00", "?key=" + "0" * 64])
def test_a_wrong_login_link_opens_nothing(pages: Pages, key: str) -> None:
    answer = pages.stranger.get(f"/login{key}")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_logging_out_takes_a_post_from_a_page_of_ours(pages: Pages) -> None:
    assert pages.client.get("/logout").status_code == 405
    origin = str(pages.client.base_url)
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": origin},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert pages.client.post("/logout", headers=headers).status_code == 403
    assert pages.client.get("/definitions").status_code == 200
    answer = pages.client.post("/logout", headers={"Origin": origin})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert pages.client.get("/definitions").status_code == 401


def test_the_token_opens_everything_to_programs(pages: Pages) -> None:
    bearer = {"Authorization": f"Bearer {pages.access.token}"}
    assert pages.stranger.get("/s/shop/overview.json", headers=bearer).status_code == 200
    wrong = {"Authorization": "Bearer wrong"}
    assert pages.stranger.get("/s/shop/overview.json", headers=wrong).status_code == 401


@pytest.mark.parametrize(
    "path", [*CLOSED, *CLOSED_TO_PROGRAMS, "/static/dashboard.css", "/nothing"]
)
@pytest.mark.parametrize("who", ["client", "stranger"])
def test_every_answer_carries_the_strict_headers(pages: Pages, path: str, who: str) -> None:
    headers = getattr(pages, who).get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] in {"no-store", "no-cache"}


def test_static_files_are_kept_for_ever_under_the_mark_of_their_content(pages: Pages) -> None:
    page = pages.get("/s/shop")
    files = [a["src"] for a in page.all("script")] + [a["href"] for a in page.all("link")]
    assert len(files) == 6
    for file in files:
        answer = pages.stranger.get(file)
        assert "immutable" in answer.headers["cache-control"]
        assert hashlib.sha256(answer.content).hexdigest().startswith(urlsplit(file).query)


def test_static_files_end_at_their_folder(pages: Pages) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert pages.stranger.get(path).status_code in {401, 404}


# What the pages say ---------------------------------------------------------------------------


@pytest.mark.parametrize("period", ["today", "7d", "30d", "12mo"])
def test_the_page_shows_the_numbers_of_the_oracle(world, pages: Pages, period: str) -> None:
    page = pages.get(f"/s/shop?period={period}")
    totals = world.totals(question(period), *question(period).period.bounds())
    assert int(page.value("visitors")) == totals.visitors > 0
    assert int(page.value("visits")) == totals.visits
    assert int(page.value("page_views")) == totals.page_views
    assert float(page.value("views_per_visit")) == totals.views_per_visit
    assert float(page.value("bounce_rate")) == totals.bounce_rate
    assert float(page.value("visit_duration")) == totals.visit_duration
    assert int(page.value("live-count")) == world.live(NOW)


def test_the_chart_carries_the_series_of_the_oracle(world, pages: Pages) -> None:
    (plot,) = [a for a in pages.get("/s/shop").all("div") if a.get("id") == "plot"]
    chart = json.loads(plot["data-chart"])
    series = world.series(question())
    before = world.series(question(), previous=True)
    visitors, views = chart["lines"]
    assert visitors["now"] == [one.visitors for one in series]
    assert views["now"] == [one.page_views for one in series]
    assert views["before"] == [one.page_views for one in before]
    assert chart["partial"] == [False] * 29 + [True]


def test_a_metric_is_drawn_alone_and_comparing_can_be_switched_off(pages: Pages) -> None:
    page = pages.get("/s/shop?metric=bounce_rate&compare=off")
    (plot,) = [a for a in page.all("div") if a.get("id") == "plot"]
    (line,) = json.loads(plot["data-chart"])["lines"]
    assert (line["key"], line["before"]) == ("bounce_rate", None)
    assert not re.search(r"class=\"change (good|bad)", page.source)


TABS = [(panel, key) for panel, keys in PANELS.items() for key in keys]


@pytest.mark.parametrize(("panel", "key"), TABS)
def test_every_row_shows_its_numbers_and_filters_the_page(
    world, pages: Pages, panel: str, key: str
) -> None:
    page = pages.get(f"/s/shop/panel/{panel}?{panel}={key}")
    expected = world.top(question(), key)[:9]
    assert [row[1:3] for row in page.rows[panel]] == [row[1:] for row in expected]
    for (label, *_, href), (value, *_) in zip(page.rows[panel], expected, strict=True):
        assert dict(parse_qsl(urlsplit(href).query, keep_blank_values=True))[key] == value
        assert label.lower() == value.lower() or (not value and label)
        filtered = pages.get(href)
        there = question(**{key: value})
        totals = world.totals(there, *there.period.bounds())
        assert int(filtered.value("visitors")) == totals.visitors
        assert int(filtered.value("visits")) == totals.visits
        assert f"{DIMENSIONS[key].name} is" in filtered.text


def test_filters_add_up_and_each_can_be_removed(world, pages: Pages) -> None:
    page = pages.get("/s/shop?device=phone&page=/pricing&sources=channel")
    (row, *_) = page.rows["sources"]
    both = pages.get(row[-1])
    channel = dict(parse_qsl(urlsplit(row[-1]).query, keep_blank_values=True))["channel"]
    there = question(device="phone", page="/pricing", channel=channel)
    totals = world.totals(there, *there.period.bounds())
    assert int(both.value("page_views")) == totals.page_views > 0
    chips = [a["href"] for a in both.all("a") if a.get("title") == "Remove this filter"]
    assert len(chips) == 3
    for href in chips:
        query = dict(parse_qsl(urlsplit(href).query, keep_blank_values=True))
        assert len(query.keys() & DIMENSIONS.keys()) == 2
        assert query["sources"] == "channel"


def test_every_link_of_the_page_leads_somewhere(pages: Pages) -> None:
    page = pages.get("/s/shop?device=phone&period=7d&metric=visits")
    links = {
        a[name] for a in (x for _, x in page.elements) for name in ("href", "hx-get") if a.get(name)
    }
    assert len(links) > 50
    for link in links:
        assert link.startswith("/"), link
        assert pages.client.get(link).status_code in {200, 303}, link


def test_the_long_list_can_be_searched_and_downloaded(world, pages: Pages) -> None:
    page = pages.get("/s/shop/list/page?search=DOC&device=phone")
    labels = [row[0] for row in page.rows["pages"]]
    assert labels and all("/docs" in label for label in labels)
    answer = pages.client.get("/s/shop/list/page.csv?device=phone")
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["page", "visitors", "page_views"]
    assert [(v, int(a), int(b)) for v, a, b in rows] == world.top(question(device="phone"), "page")
    assert 'filename="page-2025-10-22-2025-11-20.csv"' in answer.headers["content-disposition"]


def test_the_first_page_leads_to_the_only_site_and_lists_several(pages: Pages, access) -> None:
    assert {"elsewhere", SITE} < set(pages.get("/").text.split())
    alone = Pages(World([Planted(NOW, 1)]).warehouse(), access)
    assert alone.client.get("/").headers["location"] == "/s/shop"


def test_without_events_the_page_shows_how_to_send_the_first_one(access: Access) -> None:
    address = "https://stats.example"
    empty = Pages(World([]).warehouse(), access, address, endpoint=f"{address}/")
    for path, wanted, site in (("/", "", "my-site"), ("/s/my%20shop", " of my shop", "my shop")):
        page = empty.get(path)
        assert f"Waiting for the first event{wanted} Two lines" in page.text
        assert f'endpoint="https://stats.example", app_id="{site}"' in page.text


def test_a_new_site_is_seen_at_once(access: Access) -> None:
    world = World([])
    house = world.warehouse()
    pages = Pages(house, access)
    assert "Waiting" in pages.get("/s/shop").text
    house.insert("people", ["visitor", "site", "person"], [(1, SITE, 1)])
    assert "Waiting" not in pages.get("/s/shop").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("period=31d", "Period='31d' is not known"),
        ("period=custom&from=2025-01-01", "Period=custom needs to=YYYY-MM-DD"),
        ("period=custom&from=2025-02-30&to=2025-03-01", "not a day of the calendar"),
        ("period=custom&from=2025-03-02&to=2025-03-01", "before it starts"),
        ("tz=Nowhere", "Time zone 'Nowhere' is not known"),
        ("metric=fame", "Metric='fame' is not known"),
        ("sources=page", "Sources='page' is not known"),
        ("compare=1", "Compare='1' is not known"),
        ("bots=yes", "Bots='yes' is not known"),
        ("page=" + "x" * 3000, "The filter page is longer than 2000 characters"),
    ],
)
def test_a_url_that_makes_no_sense_gets_one_clear_sentence(
    pages: Pages, query: str, said: str
) -> None:
    for path in ("/s/shop", "/s/shop/panel/pages", "/s/shop/list/page"):
        assert said in pages.get(f"{path}?{query}", 400).text
    answer = pages.client.get(f"/s/shop/overview.json?{query}")
    assert answer.status_code == 400
    assert said.lower() in answer.json()["error"].lower()


def test_parameters_of_others_are_ignored(pages: Pages) -> None:
    page = pages.get("/s/shop?utm_source=mail&fbclid=1&period=7d")
    assert not any("fbclid" in a.get("href", "") for a in page.all("a"))


@pytest.mark.parametrize(
    "path", ["/nothing", "/s/shop/panel/nothing", "/s/shop/list/nothing", "/s/shop/list/no.csv"]
)
def test_what_does_not_exist_is_not_found(pages: Pages, path: str) -> None:
    assert pages.client.get(path).status_code == 404


# Hostile data ---------------------------------------------------------------------------------


@pytest.fixture
def hostile(access: Access) -> Pages:
    event = Planted(
        NOW - 1,
        1,
        page=f"/{HOSTILE}",
        site=HOSTILE,
        source=HOSTILE,
        channel="{{ 7 * 7 }}\0",
        campaign="=cmd|' /C calc'!A0",
        device="<b>",
        browser="javascript:alert(3)",
    )
    return Pages(World([event]).warehouse(), access)


def test_what_strangers_wrote_is_shown_as_text_and_nothing_else(hostile: Pages) -> None:
    start = hostile.client.get("/").headers["location"]
    urls = [start, f"{start}?sources=campaign&devices=browser", f"{start}/list/page"]
    page = hostile.get(start)
    urls += [a["href"] for a in page.all("a") if a["href"].startswith("/s/")]
    seen = ""
    for url in urls:
        answer = hostile.client.get(url)
        assert answer.status_code == 200, url
        if "html" in answer.headers["content-type"]:
            page = Page(answer.text)
            assert not [a for a in page.all("script") if "src" not in a]
            assert not page.all("img")
            assert not [a for _, a in page.elements for name in a if name.startswith("on")]
            assert not [a for _, a in page.elements if "style" in a]
            assert not [a for a in page.all("a") if not a["href"].startswith("/")]
            seen += page.text
    assert f"/{HOSTILE}" in seen
    assert "{{ 7 * 7 }}" in seen


def test_a_spreadsheet_finds_no_formula_in_the_csv(hostile: Pages) -> None:
    start = hostile.client.get("/").headers["location"]
    rows = list(csv.reader(io.StringIO(hostile.client.get(f"{start}/list/campaign.csv").text)))
    assert rows[1][0] == "'=cmd|' /C calc'!A0"


def test_a_site_may_be_called_anything(access: Access) -> None:
    names = ["a/b", "a/live", "ü?#%", "x y", "../up"]
    world = World(Planted(NOW, n, site=name) for n, name in enumerate(names))
    pages = Pages(world.warehouse(), access)
    links = [a["href"] for a in pages.get("/").all("a") if a["href"].startswith("/s/")]
    assert len(links) == len(names)
    shown = [pages.get(link) for link in links if "live" not in link]
    assert all(page.value("visitors") == "1" for page in shown)


# Questions for programs -----------------------------------------------------------------------


def test_the_overview_is_served_as_json(world, pages: Pages) -> None:
    found = pages.client.get("/s/shop/overview.json?device=phone").json()
    there = question(device="phone")
    assert found["totals"]["visits"] == world.totals(there, *there.period.bounds()).visits
    assert set(found["lists"]) == set(DIMENSIONS)


def test_sql_is_answered_with_columns_and_rows(warehouse, access: Access) -> None:
    def answer(text: str) -> Table:
        return Table(["text", "n", "none"], [(text, 1.5, None)])

    pages = Pages(warehouse, access, sql=answer)
    bearer = {"Authorization": f"Bearer {access.token}"}
    found = pages.stranger.post("/api/sql", json={"sql": "select 1"}, headers=bearer)
    assert found.json() == {"columns": ["text", "n", "none"], "rows": [["select 1", 1.5, None]]}


def test_refused_sql_says_why(warehouse, access: Access) -> None:
    def refuse(text: str) -> Table:
        raise QueryRefused("only a single SELECT statement can be asked")

    pages = Pages(warehouse, access, sql=refuse)
    bearer = {"Authorization": f"Bearer {access.token}"}
    answer = pages.stranger.post("/api/sql", json={"sql": "drop table events"}, headers=bearer)
    assert answer.status_code == 400
    assert answer.json() == {"error": "only a single SELECT statement can be asked"}


@pytest.mark.parametrize(
    "body", [b"", b"select 1", b"[]", b'{"sql": 1}', b'{"query": "x"}', b"\xff"]
)
def test_a_body_that_holds_no_query_is_explained(warehouse, access: Access, body: bytes) -> None:
    pages = Pages(warehouse, access, sql=lambda text: Table([], []))
    bearer = {"Authorization": f"Bearer {access.token}"}
    answer = pages.stranger.post("/api/sql", content=body, headers=bearer)
    assert answer.status_code == 400
    assert 'send {"sql": "select ..."}' in answer.json()["error"]


def test_an_endless_query_is_too_large(warehouse, access: Access) -> None:
    pages = Pages(warehouse, access, sql=lambda text: Table([], []))
    body = json.dumps({"sql": "x" * 2**20})
    bearer = {"Authorization": f"Bearer {access.token}"}
    assert pages.stranger.post("/api/sql", content=body, headers=bearer).status_code == 413


def test_another_site_cannot_ask_sql_with_the_readers_cookie(warehouse, access: Access) -> None:
    pages = Pages(warehouse, access, sql=lambda text: Table(["n"], [(1,)]))
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = pages.client.post("/api/sql", json={"sql": "select 1"}, headers=headers)
        assert answer.status_code == 403
    ours = {"Origin": str(pages.client.base_url)}
    assert pages.client.post("/api/sql", json={"sql": "x"}, headers=ours).status_code == 200


def test_sql_is_not_there_unless_handed_in(pages: Pages) -> None:
    bearer = {"Authorization": f"Bearer {pages.access.token}"}
    answer = pages.stranger.post("/api/sql", json={"sql": "select 1"}, headers=bearer)
    assert answer.status_code == 404


# When things go wrong -------------------------------------------------------------------------


class Slowed:
    """A warehouse in which some questions take long, fail, or are counted."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.before: Callable[[str], None] = lambda sql: None
        self.running = self.most = 0
        self._lock = threading.Lock()

    def query(self, sql: str, params: Sequence[Any] = ()) -> Table:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.before(sql)
            found: Table = self.inner.query(sql, params)
            return found
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def slowed(warehouse) -> Slowed:
    return Slowed(warehouse)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WarehouseError("the disk is on fire"), "the disk is on fire"),
        (RuntimeError("internals"), "could not be computed; the server's log says why"),
    ],
)
def test_a_panel_fails_alone(world, slowed, access: Access, error: Exception, said: str) -> None:
    def fail(sql: str) -> None:
        if "coalesce(source" in sql:
            raise error

    slowed.before = fail
    page = Pages(slowed, access).get("/s/shop")
    assert page.text.count(said) == 1
    assert "internals" not in page.text
    assert page.rows["sources"] == []
    assert all(page.rows[name] for name in ("pages", "landing", "devices"))
    assert int(page.value("visitors")) > 0


def test_a_panel_that_takes_too_long_gives_up_alone(slowed, access: Access) -> None:
    go_on = threading.Event()
    slowed.before = lambda sql: "dvce_type, ''" in sql and go_on.wait(20)
    try:
        page = Pages(slowed, access, timeout=0.6).get("/s/shop")
    finally:
        go_on.set()
    assert "This takes too long: no answer after 0.6 seconds" in page.text
    assert all(page.rows[name] for name in ("sources", "pages", "landing"))


def test_late_questions_do_not_pile_up(slowed, access: Access) -> None:
    go_on = threading.Event()
    app = create_dashboard(slowed, access, now=lambda: NOW, time_zone=ZONE, timeout=0.2)
    try:
        with served(app) as base, httpx.Client(base_url=base, timeout=10) as client:
            client.get(access.login_path(), follow_redirects=True)
            assert "This takes too long" not in client.get("/s/shop").text
            slowed.before = lambda sql: go_on.wait(20)
            for _ in range(3):
                assert client.get("/s/shop").text.count("This takes too long") == 6
            assert slowed.running == slowed.most == 2
            go_on.set()
            slowed.before = lambda sql: None
            while slowed.running:
                time.sleep(0.01)
            assert "This takes too long" not in client.get("/s/shop").text
    finally:
        go_on.set()


def test_without_a_warehouse_programs_are_told_so(slowed, access: Access) -> None:
    def fail(sql: str) -> None:
        raise WarehouseError("the warehouse is closed")

    slowed.before = fail
    pages = Pages(slowed, access)
    for path in ("/s/shop/overview.json", "/s/shop/list/page.csv"):
        answer = pages.client.get(path)
        assert (answer.status_code, answer.json()) == (503, {"error": "the warehouse is closed"})
    assert "The warehouse is closed." in pages.get("/s/shop", 503).text


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The application on a real server; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def test_the_frame_arrives_and_others_are_served_while_a_question_runs(
    slowed, access: Access
) -> None:
    go_on = threading.Event()
    slowed.before = lambda sql: "FROM sessions" in sql and go_on.wait(20)
    app = create_dashboard(slowed, access, now=lambda: NOW, time_zone=ZONE)
    try:
        with served(app) as base, httpx.Client(base_url=base, timeout=10) as client:
            client.get(access.login_path())
            with client.stream("GET", "/s/shop") as answer:
                pieces = answer.iter_text()
                assert "<title>shop" in next(pieces)
                assert slowed.most <= 2
                with httpx.Client(base_url=base, timeout=5) as other:
                    assert other.get("/login").status_code == 401
                go_on.set()
                assert "panel-devices" in "".join(pieces)
    finally:
        go_on.set()


def test_a_reader_who_leaves_stops_what_had_not_begun(slowed, access: Access) -> None:
    go_on = threading.Event()
    asked: list[str] = []

    def hold(sql: str) -> None:
        asked.append(sql)
        if "FROM people WHERE site" not in sql:
            go_on.wait(20)

    slowed.before = hold
    app = create_dashboard(slowed, access, now=lambda: NOW, time_zone=ZONE)
    try:
        with served(app) as base, httpx.Client(base_url=base, timeout=10) as client:
            client.get(access.login_path())
            with client.stream("GET", "/s/shop") as answer:
                next(answer.iter_text())
            time.sleep(0.3)
            go_on.set()
            time.sleep(0.3)
            assert client.get("/definitions").status_code == 200
    finally:
        go_on.set()
    # The names, the two that ran, and at most the second half of the totals; six had been wanted.
    assert len(asked) <= 4


def test_below_a_path_everything_still_finds_its_way(warehouse, access: Access) -> None:
    inner = create_dashboard(warehouse, access, now=lambda: NOW)
    app = Starlette(routes=[Mount("/stats", inner)])
    client = TestClient(app, follow_redirects=False)
    assert client.get("/stats/s/shop").status_code == 401
    answer = client.get(f"/stats{access.login_path()}")
    assert answer.headers["location"] == "/stats/"
    assert "path=/stats" in answer.headers["set-cookie"].lower()
    page = Page(client.get("/stats/s/shop").text)
    links = [
        a[name]
        for _, a in page.elements
        for name in ("href", "src", "hx-get", "action")
        if a.get(name)
    ]
    assert all(link.startswith("/stats/") for link in links)
    assert all(client.get(link).status_code == 200 for link in links if "static" in link)


# Form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (1049, "1k"),
        (1234, "1.2k"),
        (99_949, "99.9k"),
        (99_950, "100k"),
        (999_499, "999k"),
        (999_950, "1M"),
        (1_250_000, "1.2M"),
        (3_400_000_000, "3.4G"),
    ],
)
def test_numbers_are_short(value: int | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (133, "2m 13s"),
        (3600, "1h 00m"),
        (3900, "1h 05m"),
    ],
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (0.031, "3.1"), (0.03, "3"), (0.0996, "10"), (0.45, "45"), (1, "100")],
)
def test_shares_are_percentages(share: float, text: str) -> None:
    assert percent(share) == f"{text}\N{NO-BREAK SPACE}%"


def test_a_change_says_how_much_and_whether_that_is_good() -> None:
    up, worse = change(150, 100), change(0.5, 0.4, better=-1, points=True)
    assert (up and up[:], worse and worse[:]) == (
        ("50\N{NO-BREAK SPACE}%", 1, "good"),
        ("10\N{NO-BREAK SPACE}pts", 1, "bad"),
    )
    assert change(5, 0) is None
    assert change(None, 5) is None
    still = change(100.2, 100)
    assert still and (still.way, still.mood) == (0, "even")


def test_the_page_weighs_less_than_100_kb_beyond_the_libraries(pages: Pages) -> None:
    own = [STATIC / name for name in ("dashboard.css", "dashboard.js", "mark.svg")]
    page = pages.client.get("/s/shop?period=30d")
    assert len(page.content) + sum(path.stat().st_size for path in own) < 100_000


def test_the_libraries_are_the_ones_that_the_note_names() -> None:
    note = (STATIC / "VERSIONS.md").read_text()
    for file in STATIC.glob("*.min.*"):
        assert f"`{file.name}`" in note
        assert hashlib.sha256(file.read_bytes()).hexdigest() in note
    for licence in re.findall(r"[\w.]+LICENSE[\w.]*", note):
        assert (STATIC / licence).stat().st_size > 300


def test_the_documents_name_every_parameter_and_option() -> None:
    page = (ROOT / "docs" / "dashboard.md").read_text()
    options = [
        name
        for name, one in inspect.signature(create_dashboard).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    ]
    parameters = ["period", "from", "to", "tz", "compare", "metric", "bots", "search"]
    for name in (*parameters, *PRESETS, *DIMENSIONS, *METRICS, *PANELS, *options):
        assert f"`{name}`" in page, name


# In a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(chromium: Path):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=str(chromium), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


@pytest.fixture
def open_page(warehouse, access: Access, browser):
    """Opens a page of the dashboard in a new browser window; complaints fail the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def open_one(path: str, house: Any = warehouse, **options: Any) -> Any:
            app = create_dashboard(house, access, now=lambda: NOW, time_zone=ZONE)
            base = stack.enter_context(served(app))
            window = browser.new_context(base_url=base, **options)
            page = window.new_page()
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console",
                lambda said: complaints.append(said.text) if said.type == "error" else None,
            )
            page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
            page.goto(access.login_path())
            page.goto(path)
            return page

        yield open_one
    assert complaints == []


def shown(page: Any, name: str) -> int:
    return int(page.locator(f"#{name}").get_attribute("value"))


def wait_for(page: Any, name: str, value: int) -> None:
    page.locator(f"#{name}[value='{value}']").wait_for()


def test_a_browser_shows_the_numbers_and_the_chart(world, open_page) -> None:
    page = open_page("/s/shop")
    totals = world.totals(question(), *question().period.bounds())
    assert shown(page, "visitors") == totals.visitors
    assert shown(page, "page_views") == totals.page_views
    assert page.locator("#visitors").inner_text() == number(totals.visitors)
    page.locator("#plot canvas").wait_for()
    box = page.locator("#plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 16, box["y"] + 90)
    tip = page.locator(".tip")
    tip.wait_for()
    last = world.series(question())[-1]
    assert "Thu 20 Nov 2025, so far" in tip.inner_text()
    assert re.search(rf"Visitors\s+{last.visitors}\b", tip.inner_text())


def test_a_click_on_a_row_filters_and_back_takes_it_away(world, open_page) -> None:
    page = open_page("/s/shop")
    everybody = shown(page, "visitors")
    (visitors,) = (people for value, people, _ in world.top(question(), "page") if value == "/docs")
    page.locator("#panel-pages tbody a").get_by_text("/docs", exact=True).click()
    wait_for(page, "visitors", visitors)
    assert page.url.endswith("?page=%2Fdocs")
    assert page.locator(".chips").inner_text() == "Page is /docs"
    page.locator("#panel-devices .tabs a", has_text="Browsers").click()
    page.locator("#panel-devices [aria-current]", has_text="Browsers").wait_for()
    assert page.url.endswith("?page=%2Fdocs&devices=browser")
    page.go_back()
    page.locator("#panel-devices [aria-current]", has_text="Devices").wait_for()
    page.go_back()
    wait_for(page, "visitors", everybody)
    assert page.locator("#plot canvas").count() == 1


def test_the_page_that_waits_turns_into_the_dashboard_by_itself(open_page) -> None:
    house = World([]).warehouse()
    page = open_page("/", house)
    assert page.locator(".waiting").inner_text() == "Waiting for the first event"
    World([Planted(NOW - 1, n) for n in range(3)]).fill(house)
    wait_for(page, "visitors", 3)
    assert page.url.endswith("/s/shop")
    page.locator("#plot canvas").wait_for()


def test_a_page_of_today_brings_itself_up_to_date(open_page) -> None:
    house = World([Planted(NOW - 1, 1)]).warehouse()
    page = open_page("/s/shop?period=today", house)
    assert (shown(page, "visitors"), shown(page, "live-count")) == (1, 1)
    World([Planted(NOW - 1, n) for n in range(2, 6)]).fill(house)
    wait_for(page, "live-count", 5)
    assert shown(page, "visitors") == 1
    wait_for(page, "visitors", 5)
    assert page.locator("#plot canvas").count() == 1


def test_without_a_script_the_links_do_the_same(world, open_page) -> None:
    page = open_page("/s/shop", java_script_enabled=False)
    page.locator("#panel-pages tbody a").get_by_text("/docs", exact=True).click()
    page.locator(".menu.right summary").click()
    page.locator("text=Last 7 days").click()
    there = question("7d", page="/docs")
    assert shown(page, "visitors") == world.totals(there, *there.period.bounds()).visitors


def test_the_period_menu_takes_dates_and_keys(world, open_page) -> None:
    page = open_page("/s/shop")
    page.keyboard.press("1")
    page.wait_for_url("**period=today**")
    there = question("today")
    wait_for(page, "visitors", world.totals(there, *there.period.bounds()).visitors)
    page.locator(".menu.right summary").click()
    page.locator("input[name=from]").fill("2025-10-26")
    page.locator("input[name=to]").fill("2025-11-02")
    page.locator(".dates button", has_text="Show").click()
    page.wait_for_url("**from=2025-10-26**")
    period = Period.parse(
        {"period": "custom", "from": "2025-10-26", "to": "2025-11-02"}, now=NOW, time_zone=ZONE
    )
    wait_for(page, "visitors", world.totals(Question(SITE, period, NOW), *period.bounds()).visitors)


@pytest.mark.parametrize("width", [390, 820, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_any_screen(open_page, width: int, scheme: str) -> None:
    page = open_page(
        "/s/shop?page=/docs/a+b&device=phone",
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".menu.right summary").click()
    box = page.locator(".sheet").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width


def test_hostile_titles_stay_text_in_a_browser(access: Access, browser, hostile: Pages) -> None:
    with served(hostile.app) as base:
        page = browser.new_context(base_url=base).new_page()
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda line: said.append(line.text))
        page.goto(access.login_path())
        page.locator("#panel-pages tbody a").first.click()
        page.locator(".chips").wait_for()
        assert HOSTILE in page.locator(".chips").inner_text()
        assert said == []
