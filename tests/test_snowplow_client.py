"""A thousand events of the real snowplow-tracker, compared field by field with what was sent."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, clean_environment
from trackway.warehouse.schema import COLUMNS

CLIENT = Path(__file__).parent / "recorded" / "client.py"
WAYS = [("post", "base64"), ("post", "plain"), ("get", "base64"), ("get", "plain")]
EACH = 250

VENDOR = "iglu:com.snowplowanalytics.snowplow"
#: What enrichment adds; the rest of a row is what the client sent.
ADDED = {
    "visitor", "derived_tstamp", "collector_tstamp", "dvce_created_tstamp", "dvce_sent_tstamp",
    "br_name", "br_version", "os_name", "os_version", "dvce_type", "is_bot", "channel", "source",
    "page_urlscheme", "page_urlhost", "page_urlpath", "page_urlquery", "page_urlfragment",
    "refr_urlhost", "refr_urlpath", "refr_medium", "refr_source", "refr_term",
    "mkt_medium", "mkt_source", "mkt_term", "mkt_content", "mkt_campaign", "mkt_clickid",
    "mkt_network",
}  # fmt: skip
COMPARED = ", ".join(
    f"epoch_ms({column.name}) AS {column.name}" if "TIMESTAMP" in column.type else column.name
    for column in COLUMNS
)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def sent_and_stored(
    tmp_path_factory: pytest.TempPathFactory, peer_python: Path
) -> Iterator[tuple[list[Row], dict[str, Row], tuple[int, int]]]:
    """The client's notes about its calls, the rows by their ids, and when it all happened."""
    server = Server(tmp_path_factory.mktemp("client") / "data")
    notes: list[Row] = []
    begun = int(time.time() * 1000)
    for method, coding in WAYS:
        done = subprocess.run(
            [peer_python, CLIENT, server.url, method, coding, str(EACH)],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        notes += [json.loads(line) for line in done.stdout.splitlines()]
    ended = int(time.time() * 1000)
    assert server.stop() == 0
    rows = server.sql(f"SELECT {COMPARED} FROM events")
    assert server.sql("SELECT reason, message FROM bad_rows") == []
    yield notes, {row["event_id"]: row for row in rows}, (begun, ended)


# What each call should leave, by the tracker's manual -------------------------------------------


def subject(facts: Row) -> Row:
    width, height = facts.get("viewport", (None, None))
    screen_width, screen_height = facts.get("screen_resolution", (None, None))
    return {
        "platform": facts.get("platform", "pc"),  # what a new Subject has
        "user_id": facts.get("user_id"),
        "domain_userid": facts.get("domain_user_id"),
        "network_userid": facts.get("network_user_id"),
        "domain_sessionid": facts.get("domain_session_id"),
        "domain_sessionidx": facts.get("domain_session_index"),
        "br_lang": facts.get("lang"),
        "os_timezone": facts.get("timezone"),
        "br_colordepth": str(facts["color_depth"]) if facts else None,
        "br_viewwidth": width,
        "br_viewheight": height,
        "dvce_screenwidth": screen_width,
        "dvce_screenheight": screen_height,
        "user_ipaddress": "203.0.113.0" if facts else None,  # less its last part
        "useragent": facts.get("useragent"),
    }


def page(a: Row) -> Row:
    return {
        "event": "page_view",
        "event_name": "page_view",
        "page_url": a["page_url"],
        "page_title": a.get("page_title"),
        "page_referrer": a.get("referrer"),
    }


def ping(a: Row) -> Row:
    offsets = {
        f"pp_{axis}offset_{end}": a[f"{end}_{axis}"] for axis in "xy" for end in ("min", "max")
    }
    return page(a) | {"event": "page_ping", "event_name": "page_ping"} | offsets


def struct(a: Row) -> Row:
    return {
        "event": "struct",
        "event_name": "event",
        "se_category": a["category"],
        "se_action": a["action"],
        "se_label": a.get("label"),
        "se_property": a.get("property_"),
        "se_value": a.get("value"),
    }


def described(schema: str, data: Any) -> Row:
    name = schema.split("/")[1]
    properties = {"schema": schema, "data": data}
    return {"event": "unstruct", "event_name": name, "properties": properties}


def of_schema(reference: str, **names: str) -> Callable[[Row], Row]:
    """A call whose arguments become the data of a schema, under the schema's names."""
    return lambda a: described(
        reference if reference.startswith("iglu:") else f"{VENDOR}/{reference}",
        {names[key]: value for key, value in a.items() if key in names},
    )


def self_describing(a: Row) -> Row:
    return described(a["event_json"]["schema"], a["event_json"]["data"])


def transaction(a: Row) -> Row:
    return {
        "event": "transaction",
        "event_name": "transaction",
        "tr_orderid": a["order_id"],
        "tr_total": a["total_value"],
        "tr_affiliation": a["affiliation"],
        "tr_tax": a["tax_value"],
        "tr_shipping": a["shipping"],
        "tr_city": a["city"],
        "tr_state": a["state"],
        "tr_country": a["country"],
        "tr_currency": a["currency"],
    }


def item(a: Row) -> Row:
    return {
        "event": "transaction_item",
        "event_name": "transaction_item",
        "ti_orderid": a["order_id"],
        "ti_sku": a["sku"],
        "ti_price": a["price"],
        "ti_quantity": a["quantity"],
        "ti_name": a.get("name"),
        "ti_category": a.get("category"),
        "ti_currency": a.get("currency"),
    }


CART = {"sku": "sku", "quantity": "quantity", "name": "name", "category": "category"}
CART |= {"unit_price": "unitPrice", "currency": "currency"}
MOBILE = of_schema(
    "iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0",
    name="name", id_="id", type="type", previous_name="previousName", previous_id="previousId",
    previous_type="previousType", transition_type="transitionType",
)  # fmt: skip
LEAVES: dict[str, Callable[[Row], Row]] = {
    "track_page_view": page,
    "track_page_ping": ping,
    "track_screen_view": of_schema("screen_view/jsonschema/1-0-0", name="name", id_="id"),
    "track_mobile_screen_view": MOBILE,
    "track_struct_event": struct,
    "track_self_describing_event": self_describing,
    "track_unstruct_event": self_describing,
    "track_ecommerce_transaction": transaction,
    "track_ecommerce_transaction_item": item,
    "track_link_click": of_schema(
        "link_click/jsonschema/1-0-1",
        target_url="targetUrl", element_id="elementId", element_classes="elementClasses",
        element_target="elementTarget", element_content="elementContent",
    ),
    "track_add_to_cart": of_schema("add_to_cart/jsonschema/1-0-0", **CART),
    "track_remove_from_cart": of_schema("remove_from_cart/jsonschema/1-0-0", **CART),
    "track_form_change": of_schema(
        "change_form/jsonschema/1-0-0",
        form_id="formId", element_id="elementId", node_name="nodeName", value="value",
        type_="type", element_classes="elementClasses",
    ),
    "track_form_submit": of_schema(
        "submit_form/jsonschema/1-0-0",
        form_id="formId", form_classes="formClasses", elements="elements",
    ),
    "track_site_search": of_schema(
        "site_search/jsonschema/1-0-0",
        terms="terms", filters="filters", total_results="totalResults",
        page_results="pageResults",
    ),
    "PageView": page,
    "PagePing": ping,
    "ScreenView": MOBILE,
    "SelfDescribing": self_describing,
    "StructuredEvent": struct,
}  # fmt: skip


def expected(note: Row) -> Iterator[tuple[str, Row]]:
    """Each event that a call made, by its id, as far as the client determines it."""
    arguments = note["arguments"]
    empty = {column.name: None for column in COLUMNS if column.name not in ADDED}
    common = empty | {
        "site": "shop-app",
        "app_id": "shop-app",
        "name_tracker": "recorder",
        "v_tracker": "py-1.1.0",
        "true_tstamp": arguments.get("tstamp"),
        **subject(note["subject"]),
    }
    common["contexts"] = arguments.get("context")
    first, *others = note["ids"]
    yield first, common | {"event_id": first} | LEAVES[note["method"]](arguments)
    # The client gives the items of an order the context of the order, and always a true time.
    common["true_tstamp"] = arguments.get("tstamp", "now")
    for event_id, one in zip(others, arguments.get("items", []), strict=True):
        in_order = one | {key: arguments[key] for key in ("order_id", "currency")}
        yield event_id, common | {"event_id": event_id} | item(in_order)


def as_sent(row: Row) -> Row:
    """A row without what enrichment added, its JSON read."""
    kept = {name: value for name, value in row.items() if name not in ADDED}
    for name in ("properties", "contexts", "extra"):
        kept[name] = None if kept[name] is None else json.loads(kept[name])
    return kept


def test_every_call_and_every_event_class_of_the_client_is_used(
    sent_and_stored: tuple[list[Row], dict[str, Row], tuple[int, int]],
) -> None:
    notes, _, _ = sent_and_stored
    assert {note["method"] for note in notes} == set(LEAVES)
    assert {bool(note["subject"]) for note in notes} == {True, False}
    assert {"tstamp" in note["arguments"] for note in notes} == {True, False}
    assert {"context" in note["arguments"] for note in notes} == {True, False}


def test_a_thousand_events_of_the_real_client_are_stored_field_by_field(
    sent_and_stored: tuple[list[Row], dict[str, Row], tuple[int, int]],
) -> None:
    notes, rows, (begun, ended) = sent_and_stored
    wanted = dict(one for note in notes for one in expected(note))
    assert len(wanted) >= 4 * EACH
    assert rows.keys() == wanted.keys()
    for event_id, row in wanted.items():
        if row["true_tstamp"] == "now":
            row["true_tstamp"] = rows[event_id]["true_tstamp"]
            assert begun <= row["true_tstamp"] <= ended
        assert as_sent(rows[event_id]) == row


def test_the_clients_clocks_are_stored_and_give_the_time_of_the_event(
    sent_and_stored: tuple[list[Row], dict[str, Row], tuple[int, int]],
) -> None:
    _, rows, (begun, ended) = sent_and_stored
    for row in rows.values():
        assert begun <= row["dvce_created_tstamp"] <= ended
        # whole seconds, so that it may lie before the creation
        assert begun - 1000 <= row["dvce_sent_tstamp"] <= ended
        assert begun <= row["collector_tstamp"] <= ended
        waited = max(0, row["dvce_sent_tstamp"] - row["dvce_created_tstamp"])
        by_clocks = row["collector_tstamp"] - waited
        assert row["derived_tstamp"] == (row["true_tstamp"] or by_clocks)


def test_enrichment_reads_the_page_and_the_subject_not_the_clients_own_request(
    sent_and_stored: tuple[list[Row], dict[str, Row], tuple[int, int]],
) -> None:
    notes, rows, _ = sent_and_stored
    seen = set()
    for note in notes:
        row = rows[note["ids"][0]]
        if note["subject"]:
            agent = (row["br_name"], row["br_version"], row["os_name"], row["dvce_type"])
            assert agent == ("Chrome", "126.0", "Windows", "desktop")
        else:
            assert (row["br_name"], row["useragent"]) == (None, None)  # not python-requests
        assert row["is_bot"] is False
        if note["arguments"].get("page_title"):
            seen.add(note["method"])
            assert (row["page_urlscheme"], row["page_urlhost"]) == ("https", "shop.example")
            assert (row["page_urlpath"], row["page_urlfragment"]) == ("/caf%C3%A9/lamps", "top")
            assert row["page_urlquery"] == "utm_source=news&q=a+b"
            assert (row["refr_urlhost"], row["refr_medium"]) == ("www.google.de", "search")
            assert (row["refr_source"], row["refr_term"]) == ("Google", "lamps")
            assert (row["mkt_source"], row["source"]) == ("news", "news")
    assert seen == {"track_page_view", "track_page_ping", "PageView", "PagePing"}
