"""The loader: every event once, each field in its column, people and sessions as an oracle says."""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackway.delivery.spool import Spool, frame
from trackway.enrich.visitor import visitor_of
from trackway.errors import WarehouseError
from trackway.event import Event, SelfDescribingJson
from trackway.warehouse import DuckWarehouse
from trackway.warehouse.load import BAD_ROWS, EVENTS, Loaded, Loader
from trackway.warehouse.schema import COLUMNS, SESSION_GAP_MS

NOW = 1_790_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Folder:
    """A data folder with a spool and a loader, as the collector has them."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.options = options
        self.spool = Spool(path / "spool")
        self.open()

    def open(self) -> None:
        self.warehouse = DuckWarehouse(self.path)
        self.loader = Loader(self.warehouse, **self.options)

    def restart(self) -> None:
        self.warehouse.close()
        self.open()

    def close(self) -> None:
        self.warehouse.close()
        self.spool.close()

    def append(self, *events: Event) -> tuple[Path, int]:
        lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        return self.spool.append(frame(lines, kind=EVENTS, records=len(events)))

    def load(self, *events: Event) -> Loaded:
        return self.loader.load(*self.append(*events))

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return self.warehouse.query(sql, params).rows

    def one(self, sql: str, *params: Any) -> Any:
        ((value,),) = self.rows(sql, *params)
        return value


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    one = Folder(tmp_path)
    yield one
    one.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """A folder for generated examples, each of which uses a site of its own."""
    one = Folder(tmp_path_factory.mktemp("shared"))
    yield one
    one.close()


def event(received: int = NOW, **facts: Any) -> Event:
    """A page view as enrichment hands it on."""
    facts = {"id": str(uuid4()), "kind": "page_view", "name": "page_view", "site": "s"} | facts
    made = Event(received=received, **facts)
    if made.visitor is None:
        made = msgspec.structs.replace(made, visitor=visitor_of(made, b"secret"))
    return made


# Exactly once ---------------------------------------------------------------------------------


def test_a_segment_is_loaded_once_however_often_it_is_offered(folder: Folder) -> None:
    segment, end = folder.append(event(), event())
    assert folder.loader.load(segment, end) == Loaded(stored=2)
    assert folder.loader.load(segment, end) == Loaded()
    assert folder.loader.load(segment) == Loaded()
    assert folder.loader.position(segment) == end


def test_a_segment_that_grows_is_loaded_from_where_it_was(folder: Folder) -> None:
    _, first = folder.append(event())
    segment, second = folder.append(event())
    assert folder.loader.load(segment, first) == Loaded(stored=1)
    assert folder.loader.position(segment) == first
    assert folder.loader.load(segment, second) == Loaded(stored=1)
    assert folder.one("SELECT count(*) FROM events") == 2


def test_the_position_survives_a_restart(folder: Folder) -> None:
    segment, _ = folder.append(event(), event())
    folder.loader.load(segment)
    folder.restart()
    assert folder.loader.load(segment) == Loaded()
    assert folder.one("SELECT count(*) FROM events") == 2


def test_a_segment_that_is_gone_is_forgotten(folder: Folder) -> None:
    segment, _ = folder.append(event())
    folder.loader.load(segment)
    folder.loader.forget(segment)
    assert folder.one("SELECT count(*) FROM segments") == 0


def test_a_large_segment_is_loaded_in_several_transactions(tmp_path: Path) -> None:
    folder = Folder(tmp_path, batch_bytes=2_000)
    events = [event() for _ in range(100)]
    for one in events:
        segment, _ = folder.append(one)
    assert folder.loader.load(segment) == Loaded(stored=100)
    assert folder.loader.load(segment) == Loaded()
    assert folder.one("SELECT count(DISTINCT event_id) FROM events") == 100
    folder.close()


def test_the_first_of_two_events_with_one_id_is_kept(folder: Folder) -> None:
    twice = event(page_title="first")
    again = msgspec.structs.replace(twice, received=NOW + 5, page_title="second")
    assert folder.load(again, twice) == Loaded(stored=1, duplicates=1)
    assert folder.one("SELECT page_title FROM events") == "first"
    assert folder.load(again) == Loaded(duplicates=1)
    assert folder.one("SELECT page_title FROM events") == "first"


def test_an_id_that_came_before_a_restart_is_a_duplicate_after_it(folder: Folder) -> None:
    twice = event()
    folder.load(twice)
    folder.restart()
    later = msgspec.structs.replace(twice, received=NOW + 6 * DAY)
    assert folder.load(event(), later) == Loaded(stored=1, duplicates=1)


@pytest.mark.parametrize(
    ("distance", "is_duplicate"),
    [
        (7 * DAY - 1, True),
        (7 * DAY, False),
        (30 * DAY, False),
        (-7 * DAY + 1, True),  # the collector's clock was set back
        (-7 * DAY, False),
    ],
)
def test_an_id_is_the_same_event_within_seven_days(
    folder: Folder, distance: int, is_duplicate: bool
) -> None:
    first = event()
    again = msgspec.structs.replace(first, received=NOW + distance)
    folder.load(first)
    done = folder.load(again, event(NOW + 40 * DAY), event(NOW - 40 * DAY))
    assert done.duplicates == is_duplicate
    assert done.stored == 3 - is_duplicate


def test_the_same_id_on_another_site_is_another_event(folder: Folder) -> None:
    here = event(site="here")
    there = msgspec.structs.replace(here, site="there")
    assert folder.load(here, there) == Loaded(stored=2)
    assert folder.load(here, there) == Loaded(duplicates=2)


def test_repeated_events_change_neither_sessions_nor_people(folder: Folder) -> None:
    events = [event(NOW + n * MINUTE, user_id="u", anonymous_id="a") for n in range(5)]
    folder.load(*events)
    before = [folder.rows(f"SELECT * FROM {table}") for table in ("sessions", "people")]
    folder.load(*events)
    after = [folder.rows(f"SELECT * FROM {table}") for table in ("sessions", "people")]
    assert before == after


def test_damage_in_a_segment_costs_only_what_is_damaged(folder: Folder) -> None:
    first, end = folder.append(event())
    _, middle = folder.append(event())
    folder.append(event())
    text = bytearray(first.read_bytes())
    text[end + 20 : middle - 1] = b"\0" * (middle - 1 - end - 20)
    first.write_bytes(text)
    assert folder.loader.load(first) == Loaded(stored=2)
    assert folder.loader.load(first) == Loaded()
    folder.restart()
    assert folder.loader.found_damage(first)  # so that it will be set aside, not removed
    folder.loader.forget(first)
    assert not folder.loader.found_damage(first)


def test_a_load_that_fails_leaves_nothing_behind_and_can_be_repeated(folder: Folder) -> None:
    segment, start = folder.append(event())
    folder.loader.load(segment)
    folder.append(event(), event())
    folder.warehouse.close()  # as bad as a disk that is gone
    with pytest.raises(WarehouseError):
        folder.loader.load(segment)
    folder.open()
    assert folder.loader.position(segment) == start
    assert list(folder.warehouse.staging.iterdir()) == []
    assert folder.loader.load(segment) == Loaded(stored=2)


def test_a_line_that_cannot_be_loaded_becomes_a_bad_row_and_holds_nothing_back(
    folder: Folder,
) -> None:
    good = [msgspec.json.encode(event()) + b"\n" for _ in range(20)]
    refused = [b'{"eid": "no uuid", "received": 1}\n', b'{"id": tor\n']
    lines = [*good[:7], refused[0], *good[7:], refused[1]]
    segment, end = folder.spool.append(frame(b"".join(lines), kind=EVENTS, records=len(lines)))
    assert folder.loader.load(segment) == Loaded(stored=20, bad=2)
    assert folder.loader.position(segment) == end
    assert folder.rows("SELECT raw, reason FROM bad_rows ORDER BY raw") == [
        (line, "unloadable") for line in sorted(refused)
    ]
    assert folder.load(event()) == Loaded(stored=1)


def test_what_a_killed_load_left_in_the_staging_folder_is_removed(folder: Folder) -> None:
    leftover = folder.warehouse.staging / "1790000000000-00000000-events.ndjson"
    leftover.write_text("half a lin")
    folder.restart()
    assert not leftover.exists()


# Columns --------------------------------------------------------------------------------------

#: Each field of an event, a value, and the columns that hold it.
LANDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "id": ("5e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d", {
        "event_id": UUID("5e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d")}),
    "kind": ("struct", {"event": "struct"}),
    "name": ("event", {"event_name": "event"}),
    "created": (NOW - 9_000, {"dvce_created_tstamp": NOW - 9_000}),
    "true": (NOW - 5_000, {"true_tstamp": NOW - 5_000, "derived_tstamp": NOW - 5_000}),
    "sent": (NOW - 1_000, {"dvce_sent_tstamp": NOW - 1_000}),
    "received": (NOW, {"collector_tstamp": NOW}),
    "app_id": ("shop-app", {"app_id": "shop-app"}),
    "namespace": ("main", {"name_tracker": "main"}),
    "platform": ("web", {"platform": "web"}),
    "tracker": ("py-1.1.0", {"v_tracker": "py-1.1.0"}),
    "site": ("shop", {"site": "shop"}),
    "user_id": ("anna ü", {"user_id": "anna ü"}),
    "anonymous_id": ("device", {"domain_userid": "device"}),
    "network_id": ("net", {"network_userid": "net"}),
    "fingerprint": ("finger", {"user_fingerprint": "finger"}),
    "session_id": ("6e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d", {
        "domain_sessionid": "6e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d"}),
    "session_index": (2**31 - 1, {"domain_sessionidx": 2**31 - 1}),
    "language": ("de-DE", {"br_lang": "de-DE"}),
    "time_zone": ("Europe/Berlin", {"os_timezone": "Europe/Berlin"}),
    "viewport": ("1280x720", {"br_viewwidth": 1280, "br_viewheight": 720}),
    "resolution": ("1920x1080", {"dvce_screenwidth": 1920, "dvce_screenheight": 1080}),
    "document_size": ("1279x9000", {"doc_width": 1279, "doc_height": 9000}),
    "color_depth": ("24", {"br_colordepth": "24"}),
    "charset": ("UTF-8", {"doc_charset": "UTF-8"}),
    "cookies": (False, {"br_cookies": False}),
    "page_url": ("https://shop.example/a?b=c#d", {"page_url": "https://shop.example/a?b=c#d"}),
    "page_title": ('"Öfen"\n🎉', {"page_title": '"Öfen"\n🎉'}),
    "referrer": ("https://google.de/s?q=x", {"page_referrer": "https://google.de/s?q=x"}),
    "x_min": (-1, {"pp_xoffset_min": -1}),
    "x_max": (2, {"pp_xoffset_max": 2}),
    "y_min": (3, {"pp_yoffset_min": 3}),
    "y_max": (4, {"pp_yoffset_max": 4}),
    "ip": ("203.0.113.0", {"user_ipaddress": "203.0.113.0"}),
    "user_agent": ("UA", {"useragent": "UA"}),
    "request_id": ("r-1", {"request_id": "r-1"}),
    "method": ("PATCH", {"method": "PATCH"}),
    "route": ("/p/<id>", {"route": "/p/<id>"}),
    "status": (999, {"status": 999}),
    "duration_ms": (12.5, {"duration_ms": 12.5}),
    "request_bytes": (2**63 - 1, {"request_bytes": 2**63 - 1}),
    "response_bytes": (0, {"response_bytes": 0}),
    "category": ("cat", {"se_category": "cat"}),
    "action": ("act", {"se_action": "act"}),
    "label": ("lab", {"se_label": "lab"}),
    "property_": ("prop", {"se_property": "prop"}),
    "value": (-0.1, {"se_value": -0.1}),
    "order_id": ("o-1", {"tr_orderid": None, "ti_orderid": None}),
    "affiliation": ("aff", {"tr_affiliation": "aff"}),
    "total": (35, {"tr_total": 35.0}),
    "tax": (5.75, {"tr_tax": 5.75}),
    "shipping": (1e16, {"tr_shipping": 1e16}),
    "city": ("Köln", {"tr_city": "Köln"}),
    "state": ("NRW", {"tr_state": "NRW"}),
    "country": ("DE", {"tr_country": "DE"}),
    "currency": ("EUR", {"tr_currency": None, "ti_currency": None}),
    "sku": ("s-1", {"ti_sku": "s-1"}),
    "item_name": ("Lamp", {"ti_name": "Lamp"}),
    "item_category": ("light", {"ti_category": "light"}),
    "price": (19.99, {"ti_price": 19.99}),
    "quantity": (2, {"ti_quantity": 2}),
    "properties": (SelfDescribingJson("iglu:a/b/jsonschema/1-0-0", {"k": [1, None, "ö"]}), {
        "properties": {"schema": "iglu:a/b/jsonschema/1-0-0", "data": {"k": [1, None, "ö"]}}}),
    "contexts": ((SelfDescribingJson("iglu:a/c/jsonschema/1-0-0", {}),), {
        "contexts": [{"schema": "iglu:a/c/jsonschema/1-0-0", "data": {}}]}),
    "visitor": ("u:anna ü", {"visitor": 2}),  # the first is the device
    "browser": ("Firefox", {"br_name": "Firefox"}),
    "browser_version": ("128.0", {"br_version": "128.0"}),
    "os": ("macOS", {"os_name": "macOS"}),
    "os_version": ("14", {"os_version": "14"}),
    "device": ("desktop", {"dvce_type": "desktop"}),
    "is_bot": (True, {"is_bot": True}),
    "page_scheme": ("https", {"page_urlscheme": "https"}),
    "page_host": ("shop.example", {"page_urlhost": "shop.example"}),
    "page_path": ("/a", {"page_urlpath": "/a"}),
    "page_query": ("b=c", {"page_urlquery": "b=c"}),
    "page_fragment": ("d", {"page_urlfragment": "d"}),
    "referrer_host": ("google.de", {"refr_urlhost": "google.de"}),
    "referrer_path": ("/s", {"refr_urlpath": "/s"}),
    "referrer_medium": ("search", {"refr_medium": "search"}),
    "referrer_source": ("Google", {"refr_source": "Google"}),
    "referrer_term": ("x", {"refr_term": "x"}),
    "campaign_medium": ("cpc", {"mkt_medium": "cpc"}),
    "campaign_source": ("news", {"mkt_source": "news"}),
    "campaign_term": ("lamp", {"mkt_term": "lamp"}),
    "campaign_content": ("top", {"mkt_content": "top"}),
    "campaign_name": ("spring", {"mkt_campaign": "spring"}),
    "click_id": ("g1", {"mkt_clickid": "g1"}),
    "click_network": ("Google", {"mkt_network": "Google"}),
    "channel": ("Paid Search", {"channel": "Paid Search"}),
    "source": ("Google", {"source": "Google"}),
    "extra": ({"tid": "5"}, {"extra": {"tid": "5"}}),
}  # fmt: skip

#: Columns as Python compares them: times as milliseconds, JSON as JSON.
COMPARED = ", ".join(
    f"epoch_ms({column.name}) AS {column.name}" if "TIMESTAMP" in column.type else column.name
    for column in COLUMNS
)


def stored(folder: Folder, event_id: str) -> dict[str, Any]:
    (row,) = folder.warehouse.query(
        f"SELECT {COMPARED} FROM events WHERE event_id = ?", [event_id]
    ).dicts()
    for name in ("properties", "contexts", "extra"):
        row[name] = None if row[name] is None else json.loads(row[name])
    return row


def test_every_field_of_an_event_lands_in_its_column(folder: Folder) -> None:
    assert set(LANDS) == set(Event.__struct_fields__)
    full = Event(**{field: value for field, (value, _) in LANDS.items()})
    assert folder.load(full) == Loaded(stored=1)
    expected: dict[str, Any] = {}
    for _, columns in LANDS.values():
        assert not expected.keys() & columns.keys()
        expected |= columns
    assert stored(folder, full.id) == expected


def test_orders_and_items_have_columns_of_their_own(folder: Folder) -> None:
    order = event(kind="transaction", order_id="o", currency="EUR")
    item = event(kind="transaction_item", order_id="o", currency="USD")
    folder.load(order, item)
    row = stored(folder, order.id)
    assert (row["tr_orderid"], row["tr_currency"]) == ("o", "EUR")
    assert (row["ti_orderid"], row["ti_currency"]) == (None, None)
    row = stored(folder, item.id)
    assert (row["tr_orderid"], row["tr_currency"]) == (None, None)
    assert (row["ti_orderid"], row["ti_currency"]) == ("o", "USD")


def test_an_event_of_nothing_but_its_id_leaves_the_other_columns_empty(folder: Folder) -> None:
    bare = event(visitor="d:1")
    folder.load(bare)
    row = {name: value for name, value in stored(folder, bare.id).items() if value is not None}
    assert row == {
        "site": "s",
        "derived_tstamp": NOW,
        "event_id": UUID(bare.id),
        "event": "page_view",
        "event_name": "page_view",
        "visitor": 1,
        "collector_tstamp": NOW,
        "is_bot": False,
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [("unstruct", "signed_up"), ("struct", "event"), ("transaction", "transaction")],
)
def test_every_kind_of_event_is_stored_with_its_kind_and_name(
    folder: Folder, kind: str, name: str
) -> None:
    # An event's JSON leaves out what is a default, and the default kind is one of them.
    one = event(kind=kind, name=name)
    folder.load(one)
    row = stored(folder, one.id)
    assert (row["event"], row["event_name"]) == (kind, name)


YEARS = st.integers(0, 253_402_300_799_999)
NEAR = st.integers(NOW - 3 * DAY, NOW + 3 * DAY)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"received": NEAR},
            optional={"created": NEAR | YEARS, "sent": NEAR | YEARS, "true": NEAR | YEARS},
        ),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=30)
def test_the_derived_time_is_the_time_of_the_event(
    shared: Folder, times: list[dict[str, int]]
) -> None:
    events = [event(site="times", visitor=f"d:{n}", **facts) for n, facts in enumerate(times)]
    shared.load(*events)
    found = dict(
        shared.rows("SELECT event_id::VARCHAR, epoch_ms(derived_tstamp) FROM events WHERE site = ?",
                    "times")
    )  # fmt: skip
    assert {one.id: found[one.id] for one in events} == {one.id: one.time for one in events}


def test_a_true_time_more_than_a_day_ahead_is_not_believed(folder: Folder) -> None:
    ahead, too_far = event(true=NOW + DAY), event(true=NOW + DAY + 1)
    folder.load(ahead, too_far)
    assert stored(folder, ahead.id)["derived_tstamp"] == NOW + DAY
    assert stored(folder, too_far.id)["derived_tstamp"] == NOW
    assert stored(folder, too_far.id)["true_tstamp"] == NOW + DAY + 1


# Bad rows and counts --------------------------------------------------------------------------


def bad_row(raw: bytes, **facts: Any) -> bytes:
    row = {
        "id": str(uuid4()),
        "received": NOW,
        "reason": "invalid_json",
        "message": "body: what is this",
        "path": "/i",
        "content_type": None,
        "raw": base64.b64encode(raw).decode(),
    }
    return msgspec.json.encode(row | facts) + b"\n"


def test_bad_rows_keep_every_byte_of_what_came(folder: Folder) -> None:
    raws = [bytes(range(256)), b"", b"\0" * 10, "ö€".encode() * 100_000]
    lines = b"".join(bad_row(raw, message=f"{n}") for n, raw in enumerate(raws))
    segment, end = folder.spool.append(frame(lines, kind=BAD_ROWS, records=len(raws)))
    assert folder.loader.load(segment, end) == Loaded(bad=4)
    assert folder.loader.load(segment, end) == Loaded()
    found = folder.rows("SELECT raw FROM bad_rows ORDER BY message")
    assert [raw for (raw,) in found] == raws
    assert folder.rows(
        "SELECT DISTINCT reason, path, content_type, epoch_ms(received) FROM bad_rows"
    ) == [("invalid_json", "/i", None, NOW)]


def test_events_and_bad_rows_of_one_write_are_loaded_together(folder: Folder) -> None:
    events = msgspec.json.encode(event()) + b"\n"
    both = frame(events, kind=EVENTS, records=1) + frame(bad_row(b"x"), kind=BAD_ROWS, records=1)
    assert folder.loader.load(*folder.spool.append(both)) == Loaded(stored=1, bad=1)


def test_ingest_counts_what_came_by_minute_and_outcome(folder: Folder) -> None:
    minute = NOW - NOW % MINUTE
    twice = event(minute)
    folder.load(twice, twice, event(minute + MINUTE - 1), event(minute + MINUTE, site="t"))
    folder.load(twice)
    lines = bad_row(b"x", received=minute) + bad_row(b"y", received=minute, reason="too_long")
    folder.loader.load(*folder.spool.append(frame(lines, kind=BAD_ROWS, records=2)))
    counts = folder.rows(
        """SELECT coalesce(site, '-'), epoch_ms(minute), outcome, sum(events)::INTEGER FROM ingest
        GROUP BY ALL ORDER BY ALL"""
    )
    assert counts == [
        ("-", minute, "bad:invalid_json", 1),
        ("-", minute, "bad:too_long", 1),
        ("s", minute, "duplicate", 2),
        ("s", minute, "stored", 2),
        ("t", minute + MINUTE, "stored", 1),
    ]


# People ---------------------------------------------------------------------------------------


def people(folder: Folder, site: str = "s") -> dict[str, str]:
    """Each visitor and the person that it turned out to be, by their names."""
    return dict(
        folder.rows(
            """SELECT v.visitor_id, p.visitor_id
            FROM people v JOIN people p ON v.person = p.visitor WHERE v.site = ?""",
            site,
        )
    )


def persons_of_events(folder: Folder) -> list[str]:
    """The person that each event counts for, in the order of their times."""
    found = folder.rows(
        """SELECT p.visitor_id FROM events e JOIN people v ON v.visitor = e.visitor
        JOIN people p ON p.visitor = v.person ORDER BY derived_tstamp"""
    )
    return [name for (name,) in found]


def at(minute: int, **facts: Any) -> Event:
    return event(NOW + minute * MINUTE, **facts)


def test_visitors_are_numbered_from_one_without_a_gap_over_all_sites(folder: Folder) -> None:
    folder.load(at(0, anonymous_id="a"), at(1, anonymous_id="b"), at(2, anonymous_id="a"))
    folder.load(at(3, anonymous_id="a", site="t"), at(4, user_id="u"), at(5, anonymous_id="b"))
    found = folder.rows("SELECT visitor, site, visitor_id, person FROM people ORDER BY visitor")
    assert found == [
        (1, "s", "a:a", 1),
        (2, "s", "a:b", 2),
        (3, "t", "a:a", 3),
        (4, "s", "u:u", 4),
    ]
    assert folder.rows("SELECT visitor FROM events ORDER BY derived_tstamp") == [
        (1,), (2,), (1,), (3,), (4,), (2,),
    ]  # fmt: skip


@pytest.mark.parametrize("batches", ["at once", "one by one"])
@pytest.mark.parametrize(
    ("events", "persons"),
    [
        pytest.param(
            [{"anonymous_id": "d"}, {"anonymous_id": "d", "user_id": "anna"}],
            ["u:anna", "u:anna"],
            id="who identifies takes the past of the device over",
        ),
        pytest.param(
            [{"anonymous_id": "d", "user_id": "anna"}, {"anonymous_id": "d"}],
            ["u:anna", "u:anna"],
            id="later anonymous events of the device are the person's",
        ),
        pytest.param(
            [
                {"anonymous_id": "d"},
                {"anonymous_id": "d", "user_id": "anna"},
                {"anonymous_id": "d", "user_id": "ben"},
                {"anonymous_id": "d"},
            ],
            ["u:anna", "u:anna", "u:ben", "u:anna"],
            id="a shared device stays with the first who identified",
        ),
        pytest.param(
            [
                {"anonymous_id": "phone"},
                {"anonymous_id": "laptop"},
                {"anonymous_id": "phone", "user_id": "anna"},
                {"anonymous_id": "laptop", "user_id": "anna"},
            ],
            ["u:anna"] * 4,
            id="a person has many devices",
        ),
        pytest.param(
            [{"user_id": "anna"}, {"anonymous_id": "d"}, {"anonymous_id": "e"}],
            ["u:anna", "a:d", "a:e"],
            id="without an event that has both nobody is anybody else",
        ),
        pytest.param(
            [{"anonymous_id": "d"}, {"anonymous_id": "d", "user_id": "anna", "site": "t"}],
            ["a:d", "u:anna"],
            id="another site knows nothing of it",
        ),
        pytest.param(
            [{"network_id": "n"}, {"network_id": "n", "user_id": "anna"}, {"user_id": "n"}],
            ["n:n", "u:anna", "u:n"],
            id="a network id is nobody's device",
        ),
    ],
)
def test_a_visitor_becomes_a_person(
    folder: Folder, events: list[dict[str, Any]], persons: list[str], batches: str
) -> None:
    made = [at(n, **facts) for n, facts in enumerate(events)]
    for batch in [made] if batches == "at once" else [[one] for one in made]:
        folder.load(*batch)
    assert persons_of_events(folder) == persons


def test_of_two_who_identify_in_one_batch_the_earlier_gets_the_device(folder: Folder) -> None:
    folder.load(
        at(9, anonymous_id="d", user_id="ben"),
        at(3, anonymous_id="d", user_id="anna"),
        at(1, anonymous_id="d"),
    )
    assert people(folder)["a:d"] == "u:anna"


def test_a_visitor_keeps_the_time_it_was_first_seen_in_a_batch(folder: Folder) -> None:
    folder.load(at(5, anonymous_id="d"), at(2, anonymous_id="d"))
    assert folder.one("SELECT epoch_ms(first_seen) FROM people") == NOW + 2 * MINUTE


# Sessions -------------------------------------------------------------------------------------


def sessions(folder: Folder) -> list[tuple[int, int, int, int]]:
    """Sessions as minutes from NOW: begin, end, events, views."""
    return [
        ((started - NOW) // MINUTE, (ended - NOW) // MINUTE, events, views)
        for started, ended, events, views in folder.rows(
            """SELECT epoch_ms(started), epoch_ms(ended), events, views FROM sessions
            ORDER BY started"""
        )
    ]


@pytest.mark.parametrize("batches", ["at once", "one by one", "backwards"])
@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([0], [(0, 0, 1, 1)]),
        ([0, 10, 20], [(0, 20, 3, 3)]),
        ([0, 30], [(0, 30, 2, 2)]),
        ([0, 31], [(0, 0, 1, 1), (31, 31, 1, 1)]),
        ([0, 30, 60, 90], [(0, 90, 4, 4)]),
        ([0, 60, 30], [(0, 60, 3, 3)]),
        ([0, 50, 100, 25], [(0, 50, 3, 3), (100, 100, 1, 1)]),
        ([0, 50, 100, 25, 75], [(0, 100, 5, 5)]),
    ],
)
def test_a_session_ends_where_half_an_hour_is_silent(
    folder: Folder, minutes: list[int], expected: list[tuple[int, int, int, int]], batches: str
) -> None:
    events = [at(minute, anonymous_id="d") for minute in minutes]
    ordered = events[::-1] if batches == "backwards" else events
    for batch in [ordered] if batches == "at once" else [[one] for one in ordered]:
        folder.load(*batch)
    assert sessions(folder) == expected


def test_a_gap_of_one_millisecond_too_many_parts_two_sessions(folder: Folder) -> None:
    folder.load(event(NOW, anonymous_id="a"), event(NOW + SESSION_GAP_MS, anonymous_id="a"))
    folder.load(event(NOW, anonymous_id="b"), event(NOW + SESSION_GAP_MS + 1, anonymous_id="b"))
    counts = folder.rows("SELECT person, count(*)::INTEGER FROM sessions GROUP BY 1 ORDER BY 1")
    assert counts == [(1, 1), (2, 2)]


def test_identifying_joins_the_sessions_before_and_after_the_login(folder: Folder) -> None:
    folder.load(at(0, anonymous_id="d"), at(10, anonymous_id="d"))
    assert sessions(folder) == [(0, 10, 2, 2)]
    folder.load(at(20, anonymous_id="d", user_id="anna"))
    assert sessions(folder) == [(0, 20, 3, 3)]
    assert people(folder) == {"a:d": "u:anna", "u:anna": "u:anna"}
    assert folder.one("SELECT visitor_id FROM people JOIN sessions USING (person) "
                      "WHERE people.visitor = people.person") == "u:anna"  # fmt: skip


def test_a_claim_joins_sessions_that_the_identifying_event_does_not_touch(folder: Folder) -> None:
    folder.load(at(0, anonymous_id="d"), at(20, user_id="anna"), at(500, anonymous_id="d"))
    assert sessions(folder) == [(0, 0, 1, 1), (20, 20, 1, 1), (500, 500, 1, 1)]
    folder.load(at(1000, anonymous_id="d", user_id="anna"))
    assert sessions(folder) == [(0, 20, 2, 2), (500, 500, 1, 1), (1000, 1000, 1, 1)]


def test_a_session_describes_how_it_began_and_where_it_ended(folder: Folder) -> None:
    view: dict[str, Any] = {"anonymous_id": "d"}
    ping = view | {"kind": "page_ping", "name": "page_ping", "page_path": "/ping"}
    folder.load(at(9, **view, page_path="/last", source="Late"), at(0, **ping))
    folder.load(at(5, **view, page_path="/first", channel="Email", campaign_name="spring"))
    folder.load(at(12, **ping))
    (row,) = folder.warehouse.query(
        "SELECT *, epoch_ms(entered) AS entered_ms, epoch_ms(left_at) AS left_ms FROM sessions"
    ).dicts()
    assert (row["entry_page"], row["exit_page"]) == ("/first", "/last")
    assert (row["channel"], row["mkt_campaign"], row["source"]) == ("Email", "spring", None)
    assert (row["entered_ms"], row["left_ms"]) == (NOW + 5 * MINUTE, NOW + 9 * MINUTE)
    assert (row["events"], row["views"]) == (4, 2)


def test_a_session_without_a_view_describes_its_first_event(folder: Folder) -> None:
    folder.load(
        at(1, kind="struct", name="event", visitor="d:1", channel="Email"),
        at(0, kind="struct", name="event", visitor="d:1", channel="Direct"),
    )
    (row,) = folder.warehouse.query("SELECT * FROM sessions").dicts()
    assert (row["channel"], row["views"], row["entered"], row["exit_page"]) == (
        "Direct", 0, None, None,
    )  # fmt: skip


def test_one_robot_event_marks_the_session(folder: Folder) -> None:
    folder.load(at(0, visitor="d:1"), at(1, visitor="d:1", is_bot=True), at(0, visitor="d:2"))
    found = folder.rows("SELECT person, is_bot FROM sessions ORDER BY person")
    assert sorted(bot for _, bot in found) == [False, True]


# The oracle -----------------------------------------------------------------------------------


class Visit(NamedTuple):
    """A session as the oracle and the warehouse both describe it."""

    person: str
    started: int
    ended: int
    events: int
    views: int
    entered: int | None
    left_at: int | None
    exit_page: str | None
    entry_page: str | None
    is_bot: bool


def expected_people(batches: Iterable[list[Event]]) -> dict[str, str]:
    """Who is who after these batches: an anonymous id goes to the first who identifies with it,
    by time within a batch, and stays there."""
    person: dict[str, str] = {}
    for batch in batches:
        for one in batch:
            assert one.visitor is not None
            person.setdefault(one.visitor, one.visitor)
            if one.user_id and one.anonymous_id:
                person.setdefault(f"a:{one.anonymous_id}", f"a:{one.anonymous_id}")
        for one in sorted(batch, key=lambda one: one.time or 0):
            device = f"a:{one.anonymous_id}"
            if one.user_id and one.anonymous_id and person[device] == device:
                person[device] = f"u:{one.user_id}"
    return person


def expected_visits(events: Iterable[Event], person: dict[str, str]) -> set[Visit]:
    by_person: dict[str, list[Event]] = defaultdict(list)
    for one in events:
        by_person[person[one.visitor or ""]].append(one)
    visits = set()
    for name, theirs in by_person.items():
        theirs.sort(key=lambda one: one.time or 0)
        starts = [0]
        for n, (a, b) in enumerate(itertools.pairwise(theirs), 1):
            if (b.time or 0) - (a.time or 0) > SESSION_GAP_MS:
                starts.append(n)
        for start, end in itertools.pairwise([*starts, len(theirs)]):
            visits.add(visit(name, theirs[start:end]))
    return visits


def visit(person: str, events: list[Event]) -> Visit:
    views = [one for one in events if one.name == "page_view"]
    return Visit(
        person,
        events[0].time or 0,
        events[-1].time or 0,
        len(events),
        len(views),
        views[0].time if views else None,
        views[-1].time if views else None,
        views[-1].page_path if views else None,
        (views or events)[0].page_path,
        any(one.is_bot for one in events),
    )


def loaded_visits(folder: Folder, site: str) -> list[Visit]:
    found = folder.rows(
        """SELECT p.visitor_id, epoch_ms(started), epoch_ms(ended), events, views,
            epoch_ms(entered), epoch_ms(left_at), exit_page, entry_page, is_bot
        FROM sessions s JOIN people p ON p.visitor = s.person WHERE s.site = ?""",
        site,
    )
    return [Visit(*row) for row in found]


def random_events(dice: random.Random, site: str, count: int) -> list[Event]:
    """Events of a few devices and users on few sites of time, so that everything collides: gaps
    of exactly half an hour and a millisecond more, shared devices, and late events."""
    moments: set[int] = set()
    events = []
    for _ in range(count):
        moment = dice.randrange(0, 60) * 10 * MINUTE
        moment += dice.choice([0, 0, 0, 1, 2, 3, 5 * MINUTE])
        while moment in moments:  # equal times would leave open which event comes first
            moment += 1
        moments.add(moment)
        facts: dict[str, Any] = {}
        if dice.random() < 0.8:
            facts["anonymous_id"] = dice.choice("abc")
        if dice.random() < 0.25:
            facts["user_id"] = dice.choice("xy")
        if dice.random() < 0.3:
            facts |= {"kind": "page_ping", "name": "page_ping"}
        if dice.random() < 0.05:
            facts["is_bot"] = True
        if not facts.keys() & {"anonymous_id", "user_id"}:
            facts["visitor"] = "d:nobody"
        events.append(
            event(NOW, true=NOW - 11 * HOUR + moment, site=site, page_path=f"/{moment}", **facts)
        )
    return events


@pytest.mark.parametrize("seed", range(30))
def test_people_and_sessions_are_what_the_oracle_says(shared: Folder, seed: int) -> None:
    dice = random.Random(seed)
    site = f"oracle-{seed}"
    events = random_events(dice, site, dice.randrange(5, 60))
    batches: list[list[Event]] = []
    rest = list(events)
    while rest:
        size = dice.randrange(1, 25)
        batches.append(rest[:size])
        rest = rest[size:]
    for number, batch in enumerate(batches):
        again = dice.sample(events[: sum(map(len, batches[:number]))], k=min(number, 3))
        done = shared.load(*batch, *again)
        assert done == Loaded(stored=len(batch), duplicates=len(again))
    person = expected_people(batches)
    assert people(shared, site) == person
    found = loaded_visits(shared, site)
    assert len(set(found)) == len(found)
    assert set(found) == expected_visits(events, person)


def test_the_oracle_meets_every_hard_case() -> None:
    met: Counter[str] = Counter()
    for seed in range(30):
        dice = random.Random(seed)
        events = random_events(dice, "s", dice.randrange(5, 60))
        person = expected_people([events])
        met["claims"] += sum(a != b for a, b in person.items())
        met["shared"] += len({(one.anonymous_id, one.user_id) for one in events}) > len(person)
        by_person: dict[str, list[int]] = defaultdict(list)
        for one in events:
            by_person[person[one.visitor or ""]].append(one.time or 0)
        for times in by_person.values():
            times.sort()
            gaps = [b - a for a, b in itertools.pairwise(times)]
            met["exactly half an hour"] += gaps.count(SESSION_GAP_MS)
            met["a millisecond more"] += gaps.count(SESSION_GAP_MS + 1)
        met["late"] += sum((b.time or 0) < (a.time or 0) for a, b in itertools.pairwise(events))
    assert len(met) == 5
    assert min(met.values()) >= 5
