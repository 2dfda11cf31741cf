"""The Snowplow wire: every key, both directions, real clients' bodies, and what is refused."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackway.enrich import enrichment
from trackway.enrich.agent import agent_facts
from trackway.enrich.source import source_facts
from trackway.errors import InvalidBody, InvalidEvent
from trackway.event import Event, SelfDescribingJson
from trackway.wires.snowplow import (
    PAYLOAD_SCHEMA,
    REQUEST_SCHEMA,
    TRACK_SCHEMA,
    VENDOR,
    decode,
    encode,
    encode_body,
    event_name,
)
from trackway.wires.snowplow_body import decode_body, decode_payload, decode_query
from trackway.wires.snowplow_keys import KINDS, PLATFORMS

RECORDED = Path(__file__).parent / "recorded"
ID = "5e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d"

#: Each key of the protocol that has a field of its own, a text for it, the field and its value.
FIELDS: list[tuple[str, str, str, Any]] = [
    ("tv", "py-1.1.0", "tracker", "py-1.1.0"),
    ("tna", "cf", "namespace", "cf"),
    ("aid", "shop", "app_id", "shop"),
    ("p", "srv", "platform", "srv"),
    ("eid", ID, "id", ID),
    ("dtm", "1795159501651", "created", 1795159501651),
    ("stm", "1795159501000", "sent", 1795159501000),
    ("ttm", "1795159500000", "true", 1795159500000),
    ("uid", "anna", "user_id", "anna"),
    ("duid", "d1", "anonymous_id", "d1"),
    ("tnuid", "n1", "network_id", "n1"),
    ("sid", ID, "session_id", ID),
    ("vid", "3", "session_index", 3),
    ("ip", "203.0.113.7", "ip", "203.0.113.7"),
    ("ua", "UA x", "user_agent", "UA x"),
    ("fp", "f1", "fingerprint", "f1"),
    ("url", "http://x/a?b=c#d", "page_url", "http://x/a?b=c#d"),
    ("page", "Öfen", "page_title", "Öfen"),
    ("refr", "http://y/", "referrer", "http://y/"),
    ("lang", "en-GB", "language", "en-GB"),
    ("tz", "Europe/London", "time_zone", "Europe/London"),
    ("cd", "24", "color_depth", "24"),
    ("cs", "UTF-8", "charset", "UTF-8"),
    ("res", "1366x768", "resolution", "1366x768"),
    ("vp", "300x200", "viewport", "300x200"),
    ("ds", "300x2000", "document_size", "300x2000"),
    ("cookie", "1", "cookies", True),
    ("se_ca", "c", "category", "c"),
    ("se_ac", "a", "action", "a"),
    ("se_la", "l", "label", "l"),
    ("se_pr", "p", "property_", "p"),
    ("se_va", "-12.5", "value", -12.5),
    ("tr_id", "o1", "order_id", "o1"),
    ("tr_af", "af", "affiliation", "af"),
    ("tr_tt", "35", "total", 35),
    ("tr_tx", "5.75", "tax", 5.75),
    ("tr_sh", "1e+16", "shipping", 1e16),
    ("tr_ci", "Köln", "city", "Köln"),
    ("tr_st", "NRW", "state", "NRW"),
    ("tr_co", "DE", "country", "DE"),
    ("tr_cu", "EUR", "currency", "EUR"),
    ("ti_sk", "s1", "sku", "s1"),
    ("ti_nm", "Lamp", "item_name", "Lamp"),
    ("ti_ca", "light", "item_category", "light"),
    ("ti_pr", "19.99", "price", 19.99),
    ("ti_qu", "2", "quantity", 2),
    ("pp_mix", "0", "x_min", 0),
    ("pp_max", "10", "x_max", 10),
    ("pp_miy", "-5", "y_min", -5),
    ("pp_may", "20", "y_max", 20),
]
ITEM_FIELDS = [("ti_id", "o1", "order_id", "o1"), ("ti_cu", "EUR", "currency", "EUR")]
#: Spellings that are understood and never written.
OLD_FIELDS = [
    ("nuid", "n1", "network_id", "n1"),
    ("ti_na", "Lamp", "item_name", "Lamp"),
    ("ev_ca", "c", "category", "c"),
    ("ev_ac", "a", "action", "a"),
    ("ev_la", "l", "label", "l"),
    ("ev_pr", "p", "property_", "p"),
    ("ev_va", "7", "value", 7),
]
#: Keys of the payload_data schema that have no field; they must not be lost.
KEPT_AS_THEY_ARE = [
    "tid", "f_pdf", "f_fla", "f_java", "f_dir", "f_qt", "f_realp", "f_wma", "f_gears", "f_ag",
    "ctype", "mac", "ad_ba", "ad_ca", "ad_ad", "ad_uid", "sa", "sn", "st", "sp", "ue_na", "cv",
]  # fmt: skip


def payload(**keys: str) -> dict[str, str]:
    return {"e": "pv", "p": "web", "tv": "js-1", "eid": ID, **keys}


def ids(table: list[tuple[Any, ...]]) -> list[str]:
    return [str(row[0]) for row in table]


# Key by key -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "text", "field", "value"), FIELDS, ids=ids(FIELDS))
def test_each_key_fills_its_field_and_is_written_again(
    key: str, text: str, field: str, value: Any
) -> None:
    event = decode(payload(**{key: text}))
    assert getattr(event, field) == value
    assert type(getattr(event, field)) is type(value)
    assert encode(event) == payload(**{key: text})


@pytest.mark.parametrize(("key", "text", "field", "value"), ITEM_FIELDS, ids=ids(ITEM_FIELDS))
def test_an_item_has_its_own_keys_for_order_and_currency(
    key: str, text: str, field: str, value: Any
) -> None:
    sent = payload(e="ti", **{key: text})
    event = decode(sent)
    assert getattr(event, field) == value
    assert encode(event) == sent


@pytest.mark.parametrize(("key", "text", "field", "value"), OLD_FIELDS, ids=ids(OLD_FIELDS))
def test_older_spellings_are_read_and_written_in_the_newer_one(
    key: str, text: str, field: str, value: Any
) -> None:
    event = decode(payload(**{key: text}))
    assert getattr(event, field) == value
    again = encode(event)
    assert key not in again
    assert decode(again) == event


@pytest.mark.parametrize("order", [("tnuid", "nuid"), ("nuid", "tnuid")])
def test_the_newer_spelling_wins_whatever_comes_first(order: tuple[str, str]) -> None:
    both = payload(**{key: f"from {key}" for key in order})
    assert decode(both).network_id == "from tnuid"


@pytest.mark.parametrize("key", KEPT_AS_THEY_ARE)
def test_keys_without_a_field_are_kept_and_sent_on(key: str) -> None:
    sent = payload(**{key: "1 ö"})
    event = decode(sent)
    assert event.extra == {key: "1 ö"}
    assert encode(event) == sent


def test_the_tables_here_name_every_key_of_the_schema() -> None:
    by_hand = {"e", "ue_px", "ue_pr", "cx", "co"}
    named = {row[0] for row in (*FIELDS, *ITEM_FIELDS, *OLD_FIELDS)} | set(KEPT_AS_THEY_ARE)
    assert not by_hand & named
    # payload_data 1-0-4 has 80 keys; six more are read by enrichment from a GET only
    assert len(by_hand | named) == 80 + len(["cv", *(r for r in OLD_FIELDS if "ev_" in r[0])])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("pv", "page_view"),
        ("pp", "page_ping"),
        ("se", "struct"),
        ("ue", "unstruct"),
        ("tr", "transaction"),
        ("ti", "transaction_item"),
        ("ad", "ad_impression"),
        ("ev", "struct"),
    ],
)
def test_each_kind_of_event_has_its_code(code: str, kind: str) -> None:
    event = decode(payload(e=code))
    assert event.kind == kind
    assert encode(event)["e"] == ("se" if code == "ev" else code)


def test_an_event_without_an_id_gets_a_random_one() -> None:
    without = payload()
    del without["eid"]
    first, second = decode(without).id, decode(without).id
    assert first != second
    assert UUID(first).version == 4


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("page", "a\tb\x00c\x1fd\x7fe\x85f", "page_title", "a    bcdef"),
        ("page", "\x01", "page_title", None),
        ("page", "", "page_title", None),
        ("page", "no\u00a0break \u2028 \ue000", "page_title", "no\u00a0break \u2028 \ue000"),
        ("eid", ID.upper(), "id", ID),
        ("ip", "203.0.113.7, 10.0.0.1", "ip", "203.0.113.7"),
        ("ip", "203.0.113.7|10.0.0.1", "ip", "203.0.113.7"),
        ("vid", "null", "session_index", None),
        ("se_va", "null", "value", None),
        ("dtm", "null", "created", None),
        ("cookie", "0", "cookies", False),
        ("ttm", "0", "true", 0),
        ("ttm", "253402300799999", "true", 253402300799999),
    ],
)
def test_texts_are_cleaned_before_they_are_read(
    key: str, text: str, field: str, value: Any
) -> None:
    assert getattr(decode(payload(**{key: text})), field) == value


# What the wire has no key for ------------------------------------------------------------------


def envelope(schema: str, data: Any) -> str:
    return json.dumps({"schema": f"{VENDOR}/{schema}", "data": data})


def test_the_check_value_of_the_real_tracker_is_read() -> None:
    coded = (
        "eyJzY2hlbWEiOiAiaWdsdTpjb20uc25vd3Bsb3dhbmFseXRpY3Muc25vd3Bsb3cvY29udGV4dHMvanNvbnNjaGVt"
        "YS8xLTAtMSIsICJkYXRhIjogW3sic2NoZW1hIjogImlnbHU6Y29tLmFjbWUvYy9qc29uc2NoZW1hLzEtMC0wIiwg"
        "ImRhdGEiOiB7ImEiOiAi4oKsPj4-Pz8_In19XX0="
    )
    context = SelfDescribingJson("iglu:com.acme/c/jsonschema/1-0-0", {"a": "€>>>???"})
    assert decode(payload(cx=coded)).contexts == (context,)
    assert decode(payload(cx=coded.rstrip("="))).contexts == (context,)
    ordinary = coded.replace("-", "+").replace("_", "/")
    assert ordinary != coded
    assert decode(payload(cx=ordinary)).contexts == (context,)
    # ours writes no spaces; all the rest is the same
    ours = urlsafe_b64decode(encode(decode(payload(cx=coded)))["cx"]).decode()
    theirs = urlsafe_b64decode(coded).decode()
    assert ours == theirs.replace(", ", ",").replace(": ", ":")


REQUEST: dict[str, Any] = {
    "request_id": "r-1",
    "method": "GET",
    "route": "/products/<id>",
    "status": 200,
    "duration_ms": 12.5,
    "request_bytes": 0,
    "response_bytes": 5120,
}


@pytest.mark.parametrize("base64", [True, False])
def test_the_facts_of_a_request_travel_as_a_context_of_our_own(base64: bool) -> None:
    other = SelfDescribingJson("iglu:com.acme/c/jsonschema/1-0-0", {})
    event = Event(id=ID, name="unstruct", contexts=(other,), **REQUEST)
    sent = encode(event, base64=base64)
    assert set(sent) == {"eid", "e", "cx" if base64 else "co"}
    assert decode(sent, strict=False) == event
    text = urlsafe_b64decode(sent["cx"]).decode() if base64 else sent["co"]
    assert json.loads(text)["data"][1] == {
        "schema": REQUEST_SCHEMA,
        "data": {
            "requestId": "r-1",
            "method": "GET",
            "route": "/products/<id>",
            "status": 200,
            "durationMs": 12.5,
            "requestBytes": 0,
            "responseBytes": 5120,
        },
    }


@pytest.mark.parametrize(
    ("kind", "properties", "name"),
    [
        ("page_view", None, "page_view"),
        ("struct", None, "event"),
        ("transaction", None, "transaction"),
        ("unstruct", None, "unstruct"),
        ("unstruct", ("iglu:com.acme/signed_up/jsonschema/1-0-0", {}), "signed_up"),
        ("unstruct", (TRACK_SCHEMA, {"name": "Signed up"}), "Signed up"),
        ("unstruct", (TRACK_SCHEMA, {}), "track"),
        ("unstruct", (TRACK_SCHEMA, [1]), "track"),
    ],
)
def test_the_name_of_an_event_follows_from_its_kind_and_schema(
    kind: Any, properties: tuple[str, Any] | None, name: str
) -> None:
    described = None if properties is None else SelfDescribingJson(*properties)
    assert event_name(kind, described) == name


# Round trips ----------------------------------------------------------------------------------


def texts(most: int, exclude: str = "") -> st.SearchStrategy[str]:
    """Texts that arrive as they were sent: no control characters, no lone surrogates."""
    letters = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=exclude)
    return st.text(letters, min_size=1, max_size=most)


UUIDS = st.uuids().map(str)
MILLISECONDS = st.integers(0, 253_402_300_799_999)
INT32 = st.integers(-(2**31), 2**31 - 1)
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
SIZES = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)).map(
    lambda pair: f"{pair[0]}x{pair[1]}"
)
JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=3
        )
    ),
    max_leaves=6,
)
SCHEMAS = st.from_regex(
    r"iglu:[A-Za-z0-9\-_.]{1,12}/[A-Za-z0-9\-_]{1,12}/jsonschema/[1-9]-[0-9]-[0-9]", fullmatch=True
)
DESCRIBED = st.builds(SelfDescribingJson, SCHEMAS, JSONS)
TRACKED = st.builds(
    lambda name, data: SelfDescribingJson(TRACK_SCHEMA, {"name": name, "properties": data}),
    texts(20),
    st.dictionaries(texts(8), JSONS, max_size=2),
)
KNOWN_KEYS = {row[0] for row in (*FIELDS, *ITEM_FIELDS, *OLD_FIELDS)} | {
    "e", "ue_px", "ue_pr", "cx", "co",
}  # fmt: skip
EXTRA = st.dictionaries(texts(8).filter(lambda key: key not in KNOWN_KEYS), texts(12), max_size=2)

#: Every field that a tracker sets, with what it may hold.
TRACKER_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "created": MILLISECONDS,
    "true": MILLISECONDS,
    "sent": MILLISECONDS,
    "app_id": texts(255),
    "namespace": texts(128),
    "platform": st.sampled_from(sorted(PLATFORMS)),
    "tracker": texts(100),
    "user_id": texts(255),
    "anonymous_id": texts(128),
    "network_id": texts(128),
    "fingerprint": texts(128),
    "session_id": UUIDS,
    "session_index": INT32,
    "language": texts(255),
    "time_zone": texts(255),
    "viewport": SIZES,
    "resolution": SIZES,
    "document_size": SIZES,
    "color_depth": texts(12),
    "charset": texts(128),
    "cookies": st.booleans(),
    "page_url": texts(300),
    "page_title": texts(300),
    "referrer": texts(300),
    "x_min": INT32,
    "x_max": INT32,
    "y_min": INT32,
    "y_max": INT32,
    "ip": texts(128, exclude=",| "),
    "user_agent": texts(300),
    "request_id": texts(40),
    "method": texts(10),
    "route": texts(40),
    "status": st.integers(100, 999),
    "duration_ms": st.floats(0, 1e12),
    "request_bytes": st.integers(0, 2**63 - 1),
    "response_bytes": st.integers(0, 2**63 - 1),
    "category": texts(300),
    "action": texts(300),
    "label": texts(300),
    "property_": texts(300),
    "value": NUMBERS,
    "order_id": texts(255),
    "affiliation": texts(255),
    "total": NUMBERS,
    "tax": NUMBERS,
    "shipping": NUMBERS,
    "city": texts(255),
    "state": texts(255),
    "country": texts(255),
    "currency": texts(3),
    "sku": texts(255),
    "item_name": texts(255),
    "item_category": texts(255),
    "price": NUMBERS,
    "quantity": INT32,
    "properties": DESCRIBED | TRACKED,
    "contexts": st.lists(DESCRIBED, min_size=1, max_size=3).map(tuple),
    "extra": EXTRA,
}


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Events with about a fifth of their fields set, so that all sorts of pairs come up."""
    names = draw(st.sets(st.sampled_from(sorted(TRACKER_FIELDS)), max_size=12))
    facts = {name: draw(TRACKER_FIELDS[name]) for name in sorted(names)}
    kind = draw(st.sampled_from(sorted(set(KINDS.values()))))
    name = event_name(kind, facts.get("properties"))
    return Event(id=draw(UUIDS), kind=kind, name=name, **facts)


def test_the_generated_events_set_every_field_that_a_tracker_sets() -> None:
    full = Event(
        id="i",
        user_agent="Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0",
        page_url="http://x.example/a?utm_source=s&utm_medium=m&utm_term=t&utm_content=c"
        "&utm_campaign=n&gclid=1#f",
        referrer="https://www.google.com/search?q=w",
    )
    enriched = enrichment(agent_facts, source_facts)(full)
    added = {
        name
        for name in Event.__struct_fields__
        if getattr(enriched, name) != getattr(full, name) or name in ("is_bot", "visitor")
    }
    of_the_collector = {"received", "site"}
    assert set(Event.__struct_fields__) == (
        set(TRACKER_FIELDS) | {"id", "kind", "name"} | added | of_the_collector
    )


@given(events(), st.booleans())
@settings(max_examples=300)
def test_an_event_comes_back_as_it_was_sent(event: Event, base64: bool) -> None:
    sent = encode(event, base64=base64)
    assert all(type(text) is str for text in sent.values())
    assert decode(sent, strict=False) == event


@given(events())
@settings(max_examples=100)
def test_an_event_comes_back_without_padding(event: Event) -> None:
    sent = encode(event)
    bare = {k: v.rstrip("=") if k in ("cx", "ue_px") else v for k, v in sent.items()}
    assert decode(bare, strict=False) == event


@given(st.lists(events(), min_size=1, max_size=3), st.booleans())
@settings(max_examples=100)
def test_events_come_back_through_the_body_of_a_post(several: list[Event], base64: bool) -> None:
    body = encode_body(msgspec.json.encode(encode(event, base64=base64)) for event in several)
    assert json.loads(body)["schema"] == PAYLOAD_SCHEMA
    again = [decode(decode_payload(raw), strict=False) for raw in decode_body(body)]
    assert again == several


@given(events(), st.booleans(), st.sampled_from(["+", "%20"]))
@settings(max_examples=100)
def test_an_event_comes_back_through_the_query_of_a_get(
    event: Event, base64: bool, space: str
) -> None:
    sent = encode(event, base64=base64)
    query = urlencode(sent) if space == "+" else urlencode(sent, quote_via=quote)
    assert decode(decode_query(query.encode()), strict=False) == event


# Bodies recorded from the real client ----------------------------------------------------------


def recorded() -> list[Any]:
    """Every payload of the recorded requests, and whether its JSON is base64-coded."""
    found = []
    for path in sorted(RECORDED.glob("*-*.json")) + sorted(RECORDED.glob("*-*.txt")):
        for number, line in enumerate(path.read_bytes().splitlines()):
            if path.suffix == ".txt":
                payloads = [decode_query(line)]
            else:
                payloads = [decode_payload(raw) for raw in decode_body(line)]
                assert payloads == json.loads(line)["data"]
            for place, one in enumerate(payloads):
                name = f"{path.stem}-{number}-{place}-{one['e']}"
                found.append(pytest.param(one, "base64" in path.name, id=name))
    return found


def comparable(payload: dict[str, str]) -> dict[str, Any]:
    """A payload whose inner JSON is compared as JSON: blanks in it mean nothing."""
    read: dict[str, Any] = dict(payload)
    for key in ("ue_px", "cx"):
        if key in read:
            read[key] = json.loads(urlsafe_b64decode(read[key]))
    for key in ("ue_pr", "co"):
        if key in read:
            read[key] = json.loads(read[key])
    return read


def test_the_recordings_hold_every_kind_of_event_in_four_ways() -> None:
    kinds = {one.id.rpartition("-")[2] for one in recorded()}
    assert kinds == {"pv", "pp", "se", "ue", "tr", "ti"}
    assert len({one.id.split("-")[0] + one.id.split("-")[1] for one in recorded()}) == 4
    assert len(recorded()) == 4 * 24


@pytest.mark.parametrize(("sent", "base64"), recorded())
def test_what_a_real_client_sent_is_written_again_as_it_was(
    sent: dict[str, str], base64: bool
) -> None:
    again = encode(decode(sent), base64=base64)
    assert comparable(again) == comparable(sent)


# What is refused ------------------------------------------------------------------------------

CONTEXT = {"schema": "iglu:com.acme/c/jsonschema/1-0-0", "data": {}}


def request_context(**facts: Any) -> str:
    return envelope("contexts/jsonschema/1-0-1", [{"schema": REQUEST_SCHEMA, "data": facts}])


BAD_PAYLOADS: list[tuple[dict[str, str | None], str, str]] = [
    ({"e": None}, "missing_field", "e is missing"),
    ({"p": None}, "missing_field", "p is missing"),
    ({"tv": None}, "missing_field", "tv is missing"),
    ({"tv": ""}, "missing_field", "tv is missing"),
    ({"e": "xx"}, "unknown_event", "e is 'xx'"),
    ({"e": "PV"}, "unknown_event", "e is 'PV'"),
    ({"p": "Web"}, "wrong_type", "p is 'Web': expected one of"),
    ({"eid": "1"}, "wrong_type", "eid is '1': expected a UUID"),
    ({"eid": f"{{{ID}}}"}, "too_long", "eid has 38 characters"),
    ({"sid": "x"}, "wrong_type", "sid is 'x': expected a UUID"),
    ({"dtm": "yesterday"}, "wrong_type", "dtm is 'yesterday': expected milliseconds"),
    ({"dtm": "1e12"}, "wrong_type", "dtm"),
    ({"dtm": "1_000"}, "wrong_type", "dtm"),
    ({"dtm": " 5"}, "wrong_type", "dtm"),
    ({"dtm": "-1"}, "wrong_type", "dtm is '-1': expected milliseconds since 1970"),
    ({"ttm": "253402300800000"}, "wrong_type", "before the year 10000"),
    ({"vid": "2147483648"}, "wrong_type", "expected a whole number of 32 bits"),
    ({"vid": "1.5"}, "wrong_type", "vid"),
    ({"vid": "\u0661"}, "wrong_type", "vid"),
    ({"ti_qu": "1.5"}, "wrong_type", "ti_qu"),
    ({"se_va": "nan"}, "wrong_type", "se_va is 'nan': expected a number"),
    ({"se_va": "1e999"}, "wrong_type", "expected a finite number"),
    ({"se_va": "12,50"}, "wrong_type", "se_va"),
    ({"se_va": "0x10"}, "wrong_type", "se_va"),
    ({"res": "1366"}, "wrong_type", "expected WIDTHxHEIGHT"),
    ({"res": "1x9999999999"}, "wrong_type", "expected WIDTHxHEIGHT"),
    ({"cookie": "2"}, "wrong_type", "expected 0 or 1"),
    ({"tr_cu": "EURO"}, "too_long", "tr_cu has 4 characters, 3 are the most"),
    ({"uid": "x" * 256}, "too_long", "uid has 256 characters, 255 are the most"),
    ({"url": "x" * 10_001}, "too_long", "url has 10001 characters"),
    ({"cx": "!"}, "invalid_json_field", "cx"),
    ({"cx": "é"}, "invalid_json_field", "cx is not base64"),
    ({"cx": urlsafe_b64encode(b"\xff\xfe").decode()}, "invalid_json_field", "cx"),
    ({"co": "{"}, "invalid_json_field", "co"),
    ({"co": '{"a": NaN}'}, "invalid_json_field", "co"),
    ({"co": "[]"}, "invalid_json_field", "co: Expected `object`"),
    ({"co": '{"schema": "x"}'}, "invalid_json_field", "missing required field `data`"),
    ({"co": '{"schema": "x", "data": [], "y": 1}'}, "invalid_json_field", "unknown field `y`"),
    ({"co": envelope("unstruct_event/jsonschema/1-0-0", [])}, "invalid_json_field", "not contexts"),
    ({"co": envelope("contexts/jsonschema/2-0-0", [])}, "invalid_json_field", "not contexts"),
    ({"co": envelope("contexts/jsonschema/1-0-0", {})}, "invalid_json_field", "expected a list"),
    ({"co": envelope("contexts/jsonschema/1-0-0", [1])}, "invalid_json_field", "exactly 'schema'"),
    (
        {"co": envelope("contexts/jsonschema/1-0-0", [CONTEXT | {"more": 1}])},
        "invalid_json_field",
        "exactly 'schema'",
    ),
    (
        {"co": envelope("contexts/jsonschema/1-0-0", [CONTEXT | {"schema": "c/1"}])},
        "invalid_json_field",
        "no schema reference",
    ),
    ({"e": "ue", "ue_pr": "x"}, "invalid_json_field", "ue_pr"),
    ({"ue_pr": envelope("unstruct_event/jsonschema/1-0-0", {})}, "invalid_json_field", "exactly"),
    (
        {"ue_pr": envelope("unstruct_event/jsonschema/1-0-0", "\ud800")},
        "invalid_json_field",
        "ue_pr",
    ),
    ({"co": request_context(status="200")}, "invalid_json_field", "request context"),
    ({"co": request_context(status=100_000)}, "invalid_json_field", "request context"),
    ({"co": request_context(durationMs=1e300)}, "invalid_json_field", "request context"),
    ({"co": request_context(requestBytes=2**64 - 1)}, "invalid_json_field", "request context"),
    ({"co": request_context(responseBytes=-1)}, "invalid_json_field", "request context"),
    ({"co": request_context(other=1)}, "invalid_json_field", "unknown field `other`"),
]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    BAD_PAYLOADS,
    ids=[f"{reason}-{next(iter(bad))}-{n}" for n, (bad, reason, _) in enumerate(BAD_PAYLOADS)],
)
def test_a_bad_payload_is_refused_with_its_reason(
    changes: dict[str, str | None], reason: str, words: str
) -> None:
    bad = {k: v for k, v in {**payload(), **changes}.items() if v is not None}
    with pytest.raises(InvalidEvent) as caught:
        decode(bad)
    assert caught.value.reason == reason
    assert words in str(caught.value)


def test_a_get_needs_neither_platform_nor_tracker() -> None:
    assert decode({"e": "pv"}, strict=False).kind == "page_view"
    with pytest.raises(InvalidEvent, match="e is missing"):
        decode({"p": "web", "tv": "x"}, strict=False)


def body(*raws: bytes, schema: str = PAYLOAD_SCHEMA) -> bytes:
    return b'{"schema":"%b","data":[%b]}' % (schema.encode(), b",".join(raws))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"e=pv", "invalid_json"),
        (body(b'{"e":"pv"}') + b"x", "invalid_json"),
        (body(b'{"e":}'), "invalid_json"),
        (body(b"[" * 100_000 + b"]" * 100_000), "invalid_json"),
        (b"[]", "invalid_envelope"),
        (b"NaN", "invalid_envelope"),
        (b'{"data":[]}', "invalid_envelope"),
        (b'{"schema":1,"data":[]}', "invalid_envelope"),
        (b'{"schema":"x","data":{}}', "invalid_envelope"),
        (body(b"{}", schema="iglu:com.acme/payload_data/jsonschema/1-0-4"), "unknown_schema"),
        (body(b"{}", schema=PAYLOAD_SCHEMA.replace("1-0-4", "2-0-0")), "unknown_schema"),
        (body(), "empty_batch"),
    ],
)
def test_a_body_that_holds_no_events_is_refused_with_its_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        decode_body(raw)
    assert caught.value.reason == reason


@pytest.mark.parametrize("version", ["1-0-0", "1-0-1", "1-0-2", "1-0-3", "1-0-4"])
def test_all_versions_of_the_payload_schema_are_understood(version: str) -> None:
    schema = PAYLOAD_SCHEMA.replace("1-0-4", version)
    assert decode_body(body(b'{"e":"pv"}', schema=schema)) == [b'{"e":"pv"}']


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"e":"pv","vid":3,"se_va":1.5}', {"e": "pv", "vid": "3", "se_va": "1.5"}),
        (b'{"e":"pv","page":null}', {"e": "pv"}),
        (b'{"page":"\\ud800x"}', {"page": "?x"}),
        (b'{"\\ud800":"x"}', {"?": "x"}),
        (b'{"page":"a\xffb"}', {"page": "a\ufffdb"}),
        (b'{"page":"\\u20ac \\ud83c\\udf89"}', {"page": "€ 🎉"}),
    ],
)
def test_one_event_of_a_body_is_read_as_texts(raw: bytes, expected: dict[str, str]) -> None:
    assert decode_payload(raw) == expected


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"1", "not_an_object"),
        (b"null", "not_an_object"),
        (b'["e"]', "not_an_object"),
        (b'{"page":true}', "wrong_type"),
        (b'{"page":["x"]}', "wrong_type"),
        (b'{"page":{"x":1}}', "wrong_type"),
        (b'{"se_va":NaN}', "wrong_type"),
        (b'{"se_va":1e999}', "wrong_type"),
        (b'{"page":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
        (b'{"vid":' + b"1" * 5000 + b"}", "invalid_json"),
    ],
)
def test_one_event_that_is_no_object_of_texts_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode_payload(raw)
    assert caught.value.reason == reason


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8")))
@settings(max_examples=300)
def test_no_bytes_at_all_raise_anything_but_a_reason(raw: bytes) -> None:
    for text in (raw, body(raw), body(b'{"e":"pv","p":"web","tv":"x","co":"%b"}' % raw)):
        try:
            for one in decode_body(text):
                decode(decode_payload(one))
        except InvalidEvent as error:
            assert error.reason
    try:
        decode(decode_query(raw), strict=False)
    except InvalidEvent as error:
        assert error.reason
