"""The collector over real HTTP: what it answers, what it keeps, and what it refuses."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import resource
import socket
import time
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import msgspec
import pytest

from tests.conftest import ROOT, Server, missing
from trackway.event import Event
from trackway.wires.snowplow import PAYLOAD_SCHEMA, UNSTRUCT_SCHEMA, VENDOR

TP2 = "/com.snowplowanalytics.snowplow/tp2"
#: Short enough to wait for, and not so short that a busy machine runs into it by itself.
BODY_TIMEOUT = 1.5
DAY = 24 * 60 * 60 * 1000


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Collector:
    """A running server with what a test wants to ask it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        place = urlsplit(server.url)
        assert place.hostname and place.port
        self.place = (place.hostname, place.port)
        self.token = (server.data / "token").read_text().strip()

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(*self.place, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        finally:
            connection.close()

    def post(self, body: bytes, path: str = TP2, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, body, {"Content-Type": "application/json"} | given)

    def raw(self, text: bytes, *, timeout: float = 30.0) -> bytes:
        """Send bytes as they are and read until the server has nothing more to say."""
        with socket.create_connection(self.place, timeout=timeout) as connection:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def ask(self, sql: str) -> list[dict[str, Any]]:
        answer = self.request(
            "POST",
            "/api/sql",
            json.dumps({"sql": sql}),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        assert answer.status == 200, answer
        found = json.loads(answer.body)
        return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]

    def settled(self) -> None:
        """Wait until everything acknowledged so far is in the warehouse: a last event is."""
        last = event(aid="sentinel")
        assert self.post(batch(last)).status == 200
        until = time.monotonic() + 60
        while not self.ask(f"SELECT 1 FROM events WHERE event_id = '{last['eid']}'"):
            assert time.monotonic() < until, "the events are not loaded"
            time.sleep(0.02)

    def events(self, site: str) -> list[dict[str, Any]]:
        self.settled()
        return self.ask(f"SELECT * FROM events WHERE site = '{site}' ORDER BY page_title")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One server for all tests that leave it as it was."""
    server = Server(
        tmp_path_factory.mktemp("collector") / "data",
        env={"TRACKWAY_LOAD_INTERVAL": "0.05", "TRACKWAY_BODY_TIMEOUT": str(BODY_TIMEOUT)},
    )
    yield Collector(server)
    assert server.stop() == 0
    # What a client gets wrong must not be an error of ours.
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def site() -> str:
    """A site that no other test writes to."""
    return f"site-{uuid4().hex[:12]}"


def event(**keys: Any) -> dict[str, Any]:
    return {"e": "pv", "p": "web", "tv": "js-4.0.0", "eid": str(uuid4()), **keys}


def batch(*events: Any) -> bytes:
    return json.dumps({"schema": PAYLOAD_SCHEMA, "data": list(events)}).encode()


def raw_batch(*events: bytes, schema: str = PAYLOAD_SCHEMA) -> bytes:
    return b'{"schema":"%b","data":[%b]}' % (schema.encode(), b",".join(events))


# Answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/i", "/ice.png", TP2])
def test_a_get_is_answered_with_a_pixel(collector: Collector, site: str, path: str) -> None:
    sent = event(aid=site, page="Öfen & co")
    answer = collector.request("GET", f"{path}?{urlencode(sent)}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert (answer.body[:10], len(answer.body)) == (b"GIF89a\1\0\1\0", 43)
    (row,) = collector.events(site)
    assert (row["event_id"], row["page_title"]) == (sent["eid"], "Öfen & co")


def test_a_head_is_an_event_too_and_has_no_body(collector: Collector, site: str) -> None:
    answer = collector.request("HEAD", f"/i?{urlencode(event(aid=site))}")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.body == b""
    assert len(collector.events(site)) == 1


@pytest.mark.parametrize("path", [TP2, "/i"])
def test_a_post_is_answered_with_ok(collector: Collector, site: str, path: str) -> None:
    answer = collector.post(batch(event(aid=site), event(aid=site)), path)
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "trackway-rejected" not in answer.headers
    assert len(collector.events(site)) == 2


def test_a_body_of_the_oldest_tracker_is_understood(collector: Collector, site: str) -> None:
    # Version 0.4 posted numbers to /i, under the first schema and without a content type.
    old = {"e": "se", "p": "pc", "tv": "py-0.4.0", "aid": site, "tid": 123456, "se_va": 1.5}
    old |= {"se_ca": "c", "se_ac": "a", "dtm": 1795159501651}
    body = json.dumps({"schema": PAYLOAD_SCHEMA.replace("1-0-4", "1-0-0"), "data": [old]})
    assert collector.request("POST", "/i", body.encode()).status == 200
    (row,) = collector.events(site)
    assert (row["se_value"], row["dvce_created_tstamp"]) == (1.5, "2026-11-20T07:25:01.651000")
    assert json.loads(row["extra"]) == {"tid": "123456"}


def test_the_query_of_a_post_overrides_every_event(collector: Collector, site: str) -> None:
    both = batch(event(aid="x", page="1"), event(aid="y", page="2"))
    assert collector.post(both, f"{TP2}?aid={site}&cs=UTF-8").status == 200
    rows = collector.events(site)
    assert [(row["page_title"], row["doc_charset"]) for row in rows] == [
        ("1", "UTF-8"),
        ("2", "UTF-8"),
    ]


def test_events_of_browsers_may_come_from_any_origin(collector: Collector, site: str) -> None:
    for method, path, body in (
        ("GET", f"/i?{urlencode(event(aid=site))}", None),
        ("POST", TP2, batch(event(aid=site))),
        ("POST", TP2, b"no json"),
        ("OPTIONS", TP2, None),
    ):
        answer = collector.request(method, path, body, {"Origin": "https://shop.example"})
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
    assert collector.request("OPTIONS", TP2).headers["access-control-allow-origin"] == "*"


def test_a_preflight_is_answered(collector: Collector) -> None:
    answer = collector.request("OPTIONS", TP2, headers={"Origin": "https://shop.example"})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-headers"] == "Content-Type, SP-Anonymous"
    assert answer.headers["access-control-max-age"] == "3600"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/health", 200, b"ok"),
        ("HEAD", "/health", 200, b""),
        ("GET", "/sink-health", 200, b"ok"),
        ("GET", "/robots.txt", 200, b"User-agent: *\nDisallow: /\n"),
        ("POST", "/health", 405, b"use GET"),
        ("PUT", "/i", 405, b"use GET or POST"),
        ("DELETE", TP2, 405, b"use GET or POST"),
        ("GET", "/iglu/schemas/dev.trackway/nothing/jsonschema/1-0-0", 404, b"not found"),
        ("GET", "/iglu/schemas/../token", 404, b"not found"),
    ],
)
def test_other_paths_of_the_collector(
    collector: Collector, method: str, path: str, status: int, body: bytes
) -> None:
    answer = collector.request(method, path)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/com.acme/v1"),
        ("POST", f"{TP2}/"),
        ("POST", "/"),
        ("GET", "/r/tp2?u=http%3A%2F%2Fevil.example"),
        ("GET", "/com.acme/v1?e=pv&p=web&tv=x"),
    ],
)
def test_a_path_that_is_not_the_collectors_is_never_answered_as_if_kept(
    collector: Collector, method: str, path: str
) -> None:
    body = batch(event()) if method == "POST" else None
    answer = collector.request(method, path, body)
    assert 400 <= answer.status < 500
    assert "location" not in answer.headers


def test_our_own_schemas_are_served_as_a_static_registry(collector: Collector) -> None:
    listed = collector.request("GET", "/iglu/schemas").body.decode().split()
    assert f"/iglu/schemas/{UNSTRUCT_SCHEMA.removeprefix('iglu:')}" not in listed
    assert "/iglu/schemas/dev.trackway/track/jsonschema/1-0-0" in listed
    for path in listed:
        answer = collector.request("GET", path)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        described = json.loads(answer.body)["self"]
        vendor, name, form, version = path.removeprefix("/iglu/schemas/").split("/")
        assert described == {"vendor": vendor, "name": name, "format": form, "version": version}


def test_one_connection_serves_many_requests_of_every_sort(collector: Collector, site: str) -> None:
    connection = http.client.HTTPConnection(*collector.place, timeout=30)
    statuses = []
    for body in (batch(event(aid=site)), b"{", batch(event(aid=site)), b"x" * 3_000_000):
        connection.request("POST", TP2, body)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.request("POST", TP2, batch(event(aid=site)))
    statuses.append(connection.getresponse().status)
    connection.close()
    assert statuses == [200, 400, 200, 413, 200]
    assert len(collector.events(site)) == 3


# Bad input ------------------------------------------------------------------------------------


def contexts(data: Any) -> str:
    return json.dumps({"schema": f"{VENDOR}/contexts/jsonschema/1-0-1", "data": data})


def coded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


GOOD = b'{"e":"pv","p":"web","tv":"x","aid":"SITE","page":"good"}'
LONG = "x" * 20_481
NESTED = b"[" * 5_000 + b"]" * 5_000


class Bad(NamedTuple):
    """A bad request: its body or path, the status, the reason of its bad row (None: it gets
    none), whether the raw bytes of the row are the whole body, and how many events are kept."""

    name: str
    request: bytes | str
    status: int
    reason: str | None
    raw: str = "body"
    kept: int = 0


def in_body(bad_event: bytes) -> bytes:
    """A body with one good and one bad event."""
    return raw_batch(GOOD, bad_event)


def with_keys(**keys: Any) -> bytes:
    return json.dumps({"e": "pv", "p": "web", "tv": "x", "aid": "SITE"} | keys).encode()


def without(key: str) -> bytes:
    keys = {"e": "pv", "p": "web", "tv": "x", "aid": "SITE"}
    del keys[key]
    return json.dumps(keys).encode()


#: What a batch of a good and a bad event gets: the good one is kept, the other is a bad row.
BAD_EVENTS: list[tuple[str, bytes, str]] = [
    ("no e", without("e"), "missing_field"),
    ("no p", without("p"), "missing_field"),
    ("no tv", without("tv"), "missing_field"),
    ("an unknown e", with_keys(e="xx"), "unknown_event"),
    ("an unknown p", with_keys(p="fridge"), "wrong_type"),
    ("a boolean", with_keys(page=True), "wrong_type"),
    ("a list", with_keys(page=["x"]), "wrong_type"),
    ("NaN", b'{"e":"se","p":"web","tv":"x","se_va":NaN}', "wrong_type"),
    ("infinity", b'{"e":"se","p":"web","tv":"x","se_va":1e999}', "wrong_type"),
    ("NaN as text", with_keys(e="se", se_va="nan"), "wrong_type"),
    ("no number", with_keys(vid="three"), "wrong_type"),
    ("no UUID", with_keys(eid="1"), "wrong_type"),
    ("no time", with_keys(dtm="2026-11-20"), "wrong_type"),
    ("a year beyond 9999", with_keys(dtm="253402300800000"), "wrong_type"),
    ("a time before 1970", with_keys(dtm="-1"), "wrong_type"),
    ("a text that is too long", with_keys(uid="x" * 256), "too_long"),
    ("no base64", with_keys(cx="$$$"), "invalid_json_field"),
    ("no JSON in base64", with_keys(cx=coded("{")), "invalid_json_field"),
    ("NaN in a context", with_keys(co=contexts([]).replace("[]", "NaN")), "invalid_json_field"),
    ("a context without a schema", with_keys(co=contexts([{"data": 1}])), "invalid_json_field"),
    ("the wrong inner schema", with_keys(ue_pr=contexts([])), "invalid_json_field"),
    (
        "a lone surrogate in a context",
        with_keys(co='{"schema":"iglu:a/b/jsonschema/1-0-0","data":"\\ud800"}'),
        "invalid_json_field",
    ),
    ("a context nested without end", with_keys(co=contexts([]).replace("[]", NESTED.decode())),
     "invalid_json_field"),
    ("a status that no column holds",
     with_keys(co=contexts([{"schema": "iglu:dev.trackway/request/jsonschema/1-0-0",
                             "data": {"status": 100_000}}])),
     "invalid_json_field"),
    ("a number of 5,000 digits", b'{"vid":' + b"1" * 5_000 + b"}", "invalid_json"),
    ("no object", b'"pv"', "not_an_object"),
    ("null", b"null", "not_an_object"),
]  # fmt: skip

BAD: list[Bad] = [
    Bad("no JSON", b"e=pv&p=web&tv=x", 400, "invalid_json"),
    Bad("an empty body", b"", 400, "invalid_json"),
    Bad("half a body", batch(event())[:-5], 400, "invalid_json"),
    Bad("bytes that are no text", bytes(range(256)), 400, "invalid_json"),
    Bad("a body nested without end", raw_batch(NESTED), 400, "invalid_json"),
    Bad("a list", b"[]", 400, "invalid_envelope"),
    Bad("no schema", b'{"data": []}', 400, "invalid_envelope"),
    Bad("an unknown schema", raw_batch(GOOD, schema="iglu:com.acme/x/jsonschema/1-0-0"), 400,
        "unknown_schema"),
    Bad("a newer model of the schema",
        raw_batch(GOOD, schema=PAYLOAD_SCHEMA.replace("1-0-4", "2-0-0")), 400, "unknown_schema"),
    Bad("no event", raw_batch(), 400, "empty_batch"),
    *(Bad(name, in_body(raw), 200, reason, "event", 1) for name, raw, reason in BAD_EVENTS),
    # These are mended: what cannot be said in UTF-8 becomes a question mark.
    Bad("a lone surrogate", in_body(GOOD.replace(b"good", b"\\ud800x")), 200, None, kept=2),
    Bad("a lone surrogate in a key", in_body(GOOD.replace(b'"page"', b'"\\udfff"')), 200, None,
        kept=2),
    Bad("broken UTF-8", in_body(GOOD.replace(b"good", b"\xff\xfe")), 200, None, kept=2),
    Bad("control characters", in_body(GOOD.replace(b"good", b"\\u0000\\u001b")), 200, None, kept=2),
    Bad("a GET without a query", "/i", 200, "missing_field", "query"),
    Bad("a GET without e", "/i?p=web&tv=x&aid=SITE", 200, "missing_field", "query"),
    Bad("a GET of an unknown event", "/i?e=xx&aid=SITE", 200, "unknown_event", "query"),
    Bad("a GET with a bad number", "/i?e=se&se_va=nan&aid=SITE", 200, "wrong_type", "query"),
    Bad("a GET with a bad context", "/i?e=pv&cx=%24&aid=SITE", 200, "invalid_json_field", "query"),
    Bad("a GET of broken escapes", "/i?e=pv&page=%ED%A0%80%FF%zz&aid=SITE", 200, None, kept=1),
    Bad("a GET with a line too long", f"/i?e=pv&aid=SITE&page={LONG}", 400,
        "request_line_too_long", "query 4096"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_bad_input_gets_a_clear_answer_and_loses_nothing(
    collector: Collector, site: str, bad: Bad
) -> None:
    # Bad rows know no site; the content type tells those of this test.
    mark = f"application/json; test={site}"
    if isinstance(bad.request, str):
        path = bad.request.replace("SITE", site)
        sent = path.partition("?")[2].encode()
        answer = collector.request("GET", path, headers={"Content-Type": mark})
    else:
        sent = bad.request.replace(b"SITE", site.encode())
        answer = collector.post(sent, Content_Type=mark)
    assert answer.status == bad.status
    rejected = answer.headers.get("trackway-rejected")
    if answer.status == 400:
        assert answer.body.startswith(f"{bad.reason}: ".encode())
    elif isinstance(bad.request, bytes):
        assert answer.body == b"ok"
    assert len(collector.events(site)) == bad.kept
    rows = collector.ask(
        f"SELECT reason, message, path, hex(raw) AS raw FROM bad_rows WHERE content_type = '{mark}'"
    )
    if bad.reason is None:
        assert rows == []
        assert rejected is None
        return
    (row,) = rows
    assert rejected == "1"
    assert row["reason"] == bad.reason
    assert row["message"]
    kept = bytes.fromhex(row["raw"])
    if bad.raw == "body":
        assert kept == sent
    elif bad.raw == "event":
        # All bytes of the event, or the same JSON where the body could only be read leniently.
        before, _, _ = sent.partition(kept)
        assert (
            before.endswith(b",")
            or json.loads(kept, parse_constant=str)
            == json.loads(sent, parse_constant=str)["data"][1]
        )
    else:
        assert kept == (sent[:4096] if bad.raw == "query 4096" else sent)
    assert row["path"] == (TP2 if isinstance(bad.request, bytes) else "/i")


def test_one_bad_event_of_a_hundred_leaves_ninety_nine(collector: Collector, site: str) -> None:
    events = [event(aid=site, page=f"{n:03}") for n in range(100)]
    del events[41]["p"]
    answer = collector.post(batch(*events))
    assert (answer.status, answer.headers["trackway-rejected"]) == (200, "1")
    stored = [row["event_id"] for row in collector.events(site)]
    assert stored == [one["eid"] for n, one in enumerate(events) if n != 41]


def test_a_hundred_bad_events_leave_a_hundred_bad_rows(collector: Collector, site: str) -> None:
    path = f"{TP2}?e=zz"
    answer = collector.post(batch(*(event(aid=site) for _ in range(100))), path)
    assert (answer.status, answer.headers["trackway-rejected"]) == (200, "100")
    assert collector.events(site) == []
    (row,) = collector.ask("SELECT count(*) AS n FROM bad_rows WHERE message LIKE '%''zz''%'")
    assert row["n"] == 100


def test_repeated_ids_are_acknowledged_and_stored_once(collector: Collector, site: str) -> None:
    one = event(aid=site)
    assert collector.post(batch(one, one, event(aid=site))).status == 200
    assert collector.post(batch(one)).status == 200
    assert collector.request("GET", f"/i?{urlencode(one)}").status == 200
    assert len(collector.events(site)) == 2


@pytest.mark.parametrize(
    ("times", "distance"),
    [
        pytest.param({}, 0, id="no times"),
        pytest.param({"dtm": -20 * 365 * DAY}, 0, id="created decades ago, never said when sent"),
        pytest.param(
            {"dtm": -20 * 365 * DAY - 5000, "stm": -20 * 365 * DAY}, -5000, id="clock years behind"
        ),
        pytest.param(
            {"dtm": 20 * 365 * DAY - 5000, "stm": 20 * 365 * DAY}, -5000, id="clock years ahead"
        ),
        pytest.param({"dtm": 0, "stm": -5000}, 0, id="sent before it was created"),
        pytest.param({"dtm": -3 * DAY, "stm": 0}, -3 * DAY, id="waited for three days"),
        pytest.param({"ttm": -20 * 365 * DAY, "dtm": -9, "stm": 0}, -20 * 365 * DAY,
                     id="a true time long ago"),
        pytest.param({"ttm": DAY // 2}, DAY // 2, id="a true time this evening"),
        pytest.param({"ttm": 20 * 365 * DAY}, 0, id="a true time years ahead is not believed"),
    ],
)  # fmt: skip
def test_clocks_that_are_years_off_do_not_move_an_event(
    collector: Collector, site: str, times: dict[str, int], distance: int
) -> None:
    now = int(time.time() * 1000)
    sent = event(aid=site, **{key: str(now + offset) for key, offset in times.items()})
    assert collector.post(batch(sent)).status == 200
    collector.settled()
    (row,) = collector.ask(
        f"""SELECT epoch_ms(derived_tstamp) AS derived, epoch_ms(collector_tstamp) AS collector,
            epoch_ms(dvce_created_tstamp) AS dtm, epoch_ms(dvce_sent_tstamp) AS stm,
            epoch_ms(true_tstamp) AS ttm
        FROM events WHERE site = '{site}'"""
    )
    assert {key: row[key] for key in times} == {key: int(sent[key]) for key in times}
    reference = now if "ttm" in times and distance else row["collector"]
    assert row["derived"] == reference + distance
    assert 0 <= row["collector"] - now < 60_000


# Bodies that are too large, too slow, or never end ---------------------------------------------


def test_a_body_of_ten_megabytes_is_refused_and_leaves_a_trace(
    collector: Collector, site: str
) -> None:
    answer = collector.post(b"x" * 10_000_000, Content_Type=site)
    assert answer.status == 413
    assert answer.body.startswith(b"body_too_large: the body is larger than 2097152 bytes")
    collector.settled()
    (row,) = collector.ask(
        f"SELECT reason, octet_length(raw) AS bytes FROM bad_rows WHERE content_type = '{site}'"
    )
    assert row == {"reason": "body_too_large", "bytes": 0}


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress)],
)
def test_a_compressed_body_is_opened(
    collector: Collector, site: str, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    body = compress(batch(event(aid=site, page="small"), event(aid=site, page="x" * 1500)))
    assert collector.post(body, Content_Encoding=encoding).status == 200
    assert len(collector.events(site)) == 2


@pytest.mark.parametrize(
    ("encoding", "damage"),
    [
        ("gzip", lambda body: body[:-4]),
        ("gzip", lambda body: body + b"more"),
        ("gzip", lambda body: b"plain"),
        ("br", lambda body: body),
    ],
)
def test_a_body_that_is_not_what_its_encoding_says_is_a_bad_row(
    collector: Collector, site: str, encoding: str, damage: Callable[[bytes], bytes]
) -> None:
    body = damage(gzip.compress(batch(event(aid=site))))
    answer = collector.post(body, Content_Encoding=encoding, Content_Type=site)
    assert (answer.status, answer.body.partition(b":")[0]) == (400, b"invalid_encoding")
    collector.settled()
    (row,) = collector.ask(
        f"SELECT reason, hex(raw) AS raw FROM bad_rows WHERE content_type = '{site}'"
    )
    assert row == {"reason": "invalid_encoding", "raw": body.hex().upper()}


def test_a_small_body_that_says_gigabytes_is_refused_before_it_becomes_them(
    collector: Collector, site: str
) -> None:
    bomb = gzip.compress(b"x" * 200_000_000, 9)
    assert len(bomb) < 300_000
    answer = collector.post(bomb, Content_Encoding="gzip", Content_Type=site)
    assert answer.status == 413
    collector.settled()
    (row,) = collector.ask(
        f"SELECT reason, octet_length(raw) AS bytes FROM bad_rows WHERE content_type = '{site}'"
    )
    assert row == {"reason": "body_too_large", "bytes": 0}


def test_a_body_in_pieces_is_refused_when_it_grows_too_large(collector: Collector) -> None:
    pieces = (b"x" * 100_000 for _ in range(100))
    connection = http.client.HTTPConnection(*collector.place, timeout=30)
    connection.request("POST", TP2, pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_in_pieces_is_taken(collector: Collector, site: str) -> None:
    body = batch(*(event(aid=site, page="x" * 1000) for _ in range(1000)))
    pieces = (body[n : n + 10_000] for n in range(0, len(body), 10_000))
    connection = http.client.HTTPConnection(*collector.place, timeout=30)
    connection.request("POST", TP2, pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert len(collector.events(site)) == 1000


@pytest.mark.parametrize("begun", [b"", b'{"schema":'])
def test_a_body_that_does_not_come_in_time_is_given_up(collector: Collector, begun: bytes) -> None:
    head = b"POST /i HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection(collector.place, timeout=30) as connection:
        connection.sendall(head + begun)
        # Until the server hangs up: what a client goes on to send must not be taken for a request.
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_drips_is_given_up_as_a_whole(collector: Collector) -> None:
    head = b"POST /i HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(collector.place, timeout=0.1) as connection:
        connection.sendall(head)
        begun = time.monotonic()
        while time.monotonic() < begun + 20 * BODY_TIMEOUT:
            connection.sendall(b"x")
            try:
                assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("the server waits for ever")


def test_a_line_beyond_what_http_allows_is_refused_unread(collector: Collector) -> None:
    answer = collector.request("GET", f"/i?page={'x' * 200_000}")
    assert answer.status == 400


def test_what_is_no_http_is_refused(collector: Collector) -> None:
    assert collector.raw(b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_client_that_hangs_up_while_it_sends_leaves_nothing(
    collector: Collector, site: str
) -> None:
    body = batch(event(aid=site))
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (TP2.encode(), len(body))
    for sent in (head, head + body[:-1]):
        with socket.create_connection(collector.place) as connection:
            connection.sendall(sent)
    assert collector.events(site) == []
    assert collector.request("GET", "/health").status == 200


def test_a_client_that_does_not_wait_for_the_answer_has_its_event_kept(
    collector: Collector, site: str
) -> None:
    body = batch(event(aid=site))
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (TP2.encode(), len(body))
    for _ in range(20):
        with socket.create_connection(collector.place) as connection:
            connection.sendall(head + body)
    until = time.monotonic() + 30
    while not (rows := collector.events(site)):
        assert time.monotonic() < until
    assert len(rows) == 1


# Privacy --------------------------------------------------------------------------------------

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def test_the_request_of_a_browser_completes_its_event(collector: Collector, site: str) -> None:
    headers = {"User-Agent": AGENT, "Referer": "https://shop.example/lamps"}
    collector.request("GET", f"/i?{urlencode(event(aid=site))}", headers=headers)
    (row,) = collector.events(site)
    assert row["user_ipaddress"] == "127.0.0.0"
    assert (row["useragent"], row["br_name"]) == (AGENT, "Firefox")
    assert row["page_url"] == "https://shop.example/lamps"
    assert row["page_urlpath"] == "/lamps"


def test_what_the_event_says_itself_wins(collector: Collector, site: str) -> None:
    sent = event(aid=site, ip="203.0.113.77", ua="own agent", url="https://own.example/")
    headers = {"User-Agent": AGENT, "Referer": "https://shop.example/lamps"}
    collector.request("GET", f"/i?{urlencode(sent)}", headers=headers)
    (row,) = collector.events(site)
    assert (row["user_ipaddress"], row["useragent"]) == ("203.0.113.0", "own agent")
    assert row["page_url"] == "https://own.example/"


@pytest.mark.parametrize("tracker", ["py-1.1.0", "trackway-0.1", "java-2.0", "php-0.7", "node-4"])
def test_a_server_that_speaks_for_others_is_not_taken_for_them(
    collector: Collector, site: str, tracker: str
) -> None:
    collector.post(batch(event(aid=site, tv=tracker)), User_Agent="python-requests/2.34.2")
    (row,) = collector.events(site)
    assert (row["user_ipaddress"], row["useragent"], row["is_bot"]) == (None, None, False)


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("203.0.113.77, 198.51.100.1", "203.0.113.0"),
        ("no address", None),
    ],
)
def test_only_the_network_of_an_address_is_stored(
    collector: Collector, site: str, address: str, stored: str | None
) -> None:
    collector.post(batch(event(aid=site, ip=address)))
    (row,) = collector.events(site)
    assert row["user_ipaddress"] == stored


def test_no_trace_of_a_whole_address_is_on_the_disk(server: Callable[..., Server]) -> None:
    one = Collector(server())
    one.post(batch(event(aid="s", ip="203.0.113.77")), X_Forwarded_For="198.51.100.88")
    one.post(batch(event(aid="s")), X_Forwarded_For="198.51.100.88")
    one.settled()
    one.server.stop()
    for path in one.server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"203.0.113.77" not in content, path
            assert b"198.51.100.88" not in content, path


def test_a_browser_that_asks_for_anonymity_leaves_no_address_and_no_network_id(
    collector: Collector, site: str
) -> None:
    sent = event(aid=site, ip="203.0.113.77", tnuid=str(uuid4()))
    collector.post(batch(sent), SP_Anonymous="*", X_Forwarded_For="198.51.100.88")
    (row,) = collector.events(site)
    assert (row["user_ipaddress"], row["network_userid"]) == (None, None)


@pytest.mark.parametrize(
    ("forwarded", "stored"),
    [
        ("198.51.100.88", "198.51.100.0"),
        ("6.6.6.6, 198.51.100.88", "198.51.100.0"),  # the left one is what the client claims
        ("198.51.100.88, 127.0.0.1", "198.51.100.0"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
        ("unknown", None),
        ("", "127.0.0.0"),
    ],
)
def test_a_proxy_of_ours_says_who_the_client_is(
    collector: Collector, site: str, forwarded: str, stored: str | None
) -> None:
    collector.post(batch(event(aid=site)), X_Forwarded_For=forwarded)
    (row,) = collector.events(site)
    assert row["user_ipaddress"] == stored


def test_somebody_elses_proxy_is_not_believed(server: Callable[..., Server]) -> None:
    env = {"TRACKWAY_TRUSTED_PROXIES": "10.0.0.0/8", "TRACKWAY_ANONYMIZE_IP": "false"}
    one = Collector(server(env=env))
    one.post(batch(event(aid="s")), X_Forwarded_For="198.51.100.88")
    assert [row["user_ipaddress"] for row in one.events("s")] == ["127.0.0.1"]


def test_addresses_are_stored_whole_only_when_asked_for(server: Callable[..., Server]) -> None:
    one = Collector(server(env={"TRACKWAY_ANONYMIZE_IP": "no", "TRACKWAY_TRUSTED_PROXIES": "*"}))
    one.post(batch(event(aid="s")), X_Forwarded_For="198.51.100.88, 10.1.2.3")
    assert [row["user_ipaddress"] for row in one.events("s")] == ["198.51.100.88"]


# When nothing more can be kept ----------------------------------------------------------------


def fill(one: Collector, until: Callable[[Answer], bool]) -> tuple[list[str], Answer]:
    """Post until the server's answer is as wanted: ids that were acknowledged, the last answer."""
    kept: list[str] = []
    for _ in range(2000):
        events = [event(aid="s", page="x" * 1000) for _ in range(20)]
        answer = one.post(batch(*events))
        if answer.status == 200:
            kept += [sent["eid"] for sent in events]
        if until(answer):
            return kept, answer
    raise AssertionError(f"the server never answered as wanted; last: {answer}")


def stored_ids(one: Collector) -> list[str]:
    return sorted(row["event_id"] for row in one.events("s"))


def test_a_full_spool_refuses_until_it_has_been_loaded(server: Callable[..., Server]) -> None:
    env = {"TRACKWAY_SPOOL_MAX_BYTES": "400000", "TRACKWAY_LOAD_INTERVAL": "3"}
    one = Collector(server(env=env))
    kept, answer = fill(one, lambda answer: answer.status != 200)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["access-control-allow-origin"] == "*"
    assert b"the spool" in answer.body and b"is full" in answer.body
    assert one.request("GET", f"/i?{urlencode(event())}").status in (200, 503)
    assert one.request("GET", "/health").status == 200
    until = time.monotonic() + 60
    while (answer := one.post(batch(event(aid="later")))).status != 200:
        assert time.monotonic() < until, answer
        time.sleep(0.2)
    assert one.request("GET", "/sink-health").status == 200
    assert stored_ids(one) == sorted(kept)


def test_a_spool_that_cannot_be_written_refuses_and_recovers(
    server: Callable[..., Server],
) -> None:
    if not hasattr(resource, "prlimit"):
        missing("this system cannot bound the files of another process")
    one = Collector(server(env={"TRACKWAY_LOAD_INTERVAL": "0.2"}))
    first = event(aid="s")
    assert one.post(batch(first)).status == 200
    one.settled()
    # From here on no file may grow, neither the spool's nor the warehouse's.
    segment = max(path.stat().st_size for path in (one.server.data / "spool").iterdir())
    limit = segment + 30_000
    resource.prlimit(one.server.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    kept, answer = fill(one, lambda answer: answer.status != 200)
    assert answer.status == 503
    assert b"cannot write to the spool: File too large" in answer.body
    assert int(answer.headers["retry-after"]) > 0
    sick = one.request("GET", "/sink-health")
    assert (sick.status, sick.body[:12]) == (503, b"cannot write")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(one.server.process.pid, resource.RLIMIT_FSIZE, unlimited)
    later = event(aid="s")
    assert one.post(batch(later)).status == 200
    assert stored_ids(one) == sorted([first["eid"], later["eid"], *kept])
    assert one.request("GET", "/sink-health").status == 200


def test_a_warehouse_that_cannot_be_written_leaves_events_in_the_spool_and_recovers(
    server: Callable[..., Server],
) -> None:
    if not hasattr(resource, "prlimit"):
        missing("this system cannot bound the files of another process")
    # The spool's segments stay below 125 kB each; what grows beyond the limit is DuckDB's log.
    env = {"TRACKWAY_SPOOL_MAX_BYTES": "400000", "TRACKWAY_LOAD_INTERVAL": "0.1"}
    one = Collector(server(env=env))
    one.settled()
    pid = one.server.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    kept: list[str] = []
    until = time.monotonic() + 60
    while (answer := one.request("GET", "/sink-health")).status == 200:
        assert time.monotonic() < until
        events = [event(aid="s", page="x" * 1000) for _ in range(5)]
        assert one.post(batch(*events)).status == 200
        kept += [sent["eid"] for sent in events]
        time.sleep(0.02)
    print(answer)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    later = event(aid="s")
    assert one.post(batch(later)).status == 200
    assert stored_ids(one) == sorted([later["eid"], *kept])
    assert one.request("GET", "/sink-health").status == 200


def test_a_server_that_stops_loads_what_it_acknowledged(server: Callable[..., Server]) -> None:
    one = Collector(server(env={"TRACKWAY_LOAD_INTERVAL": "3600"}))
    events = [event(aid="s") for _ in range(50)]
    assert one.post(batch(*events)).status == 200
    assert one.server.stop() == 0
    assert list((one.server.data / "spool").glob("*.segment")) == []
    found = one.server.sql("SELECT event_id FROM events WHERE site = 's'")
    assert sorted(row["event_id"] for row in found) == sorted(sent["eid"] for sent in events)


def test_two_servers_cannot_have_one_folder(server: Callable[..., Server]) -> None:
    first = server()
    with pytest.raises(AssertionError, match="in use by another process"):
        server(data=first.data)
    assert Collector(first).request("GET", "/health").status == 200


def test_an_event_goes_to_the_live_stream_when_it_is_kept(collector: Collector, site: str) -> None:
    connection = http.client.HTTPConnection(*collector.place, timeout=30)
    connection.request("GET", "/api/tail", headers={"Authorization": f"Bearer {collector.token}"})
    lines = connection.getresponse()
    assert lines.status == 200
    assert lines.readline() == b"\n"
    collector.post(batch(event(aid=site, page="now")))
    shown = msgspec.json.decode(lines.readline(), type=Event)
    assert (shown.site, shown.page_title) == (site, "now")
    connection.close()


def test_data_is_readable_by_its_owner_only(collector: Collector) -> None:
    folder: Path = collector.server.data
    for path in [folder / "token", folder / "secret", *(folder / "spool").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_every_reason_of_a_bad_row_is_in_the_documents() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    raised = set(re.findall(r'Invalid(?:Event|Body)\(\s*"([a-z_]+)"', source))
    raised |= set(re.findall(r'"reason": "([a-z_]+)"', source))
    page = (ROOT / "docs" / "collector.md").read_text()
    table = page.partition("\n## Bad rows\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, re.M)) == raised
