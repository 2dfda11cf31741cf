"""The workload as a Parquet file says the same as its payloads."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb

from tests.oracle import Oracle
from trackway.enrich import enrichment
from trackway.enrich.agent import agent_facts
from trackway.enrich.source import source_facts
from trackway.event import Event
from trackway.testing.workload import Workload
from trackway.warehouse.schema import COLUMNS
from trackway.wires.snowplow import decode


def half(size: str | None, part: int) -> int:
    assert size is not None
    return int(size.split("x")[part])


def instant(milliseconds: int | None) -> datetime:
    assert milliseconds is not None
    return datetime(1970, 1, 1) + timedelta(milliseconds=milliseconds)


#: What enrichment makes of an event, for each column of the Parquet file; the address is left out,
#: because enrichment shortens it.
ENRICHED: dict[str, Callable[[Event], Any]] = {
    "event_id": lambda event: UUID(event.id),
    "event": lambda event: event.kind,
    "event_name": lambda event: event.name,
    "derived_tstamp": lambda event: instant(event.time),
    "dvce_created_tstamp": lambda event: instant(event.created),
    "dvce_sent_tstamp": lambda event: instant(event.sent),
    "true_tstamp": lambda event: instant(event.true),
    "app_id": lambda event: event.app_id,
    "platform": lambda event: event.platform,
    "name_tracker": lambda event: event.namespace,
    "v_tracker": lambda event: event.tracker,
    "user_id": lambda event: event.user_id,
    "domain_userid": lambda event: event.anonymous_id,
    "useragent": lambda event: event.user_agent,
    "br_name": lambda event: event.browser,
    "br_lang": lambda event: event.language,
    "br_viewwidth": lambda event: half(event.viewport, 0),
    "br_viewheight": lambda event: half(event.viewport, 1),
    "os_name": lambda event: event.os,
    "os_timezone": lambda event: event.time_zone,
    "dvce_type": lambda event: event.device,
    "dvce_screenwidth": lambda event: half(event.resolution, 0),
    "dvce_screenheight": lambda event: half(event.resolution, 1),
    "page_url": lambda event: event.page_url,
    "page_title": lambda event: event.page_title,
    "page_referrer": lambda event: event.referrer,
    "page_urlscheme": lambda event: event.page_scheme,
    "page_urlhost": lambda event: event.page_host,
    "page_urlpath": lambda event: event.page_path,
    "page_urlquery": lambda event: event.page_query,
    "refr_urlhost": lambda event: event.referrer_host,
    "mkt_medium": lambda event: event.campaign_medium,
    "mkt_source": lambda event: event.campaign_source,
    "mkt_campaign": lambda event: event.campaign_name,
    "pp_xoffset_min": lambda event: event.x_min,
    "pp_xoffset_max": lambda event: event.x_max,
    "pp_yoffset_min": lambda event: event.y_min,
    "pp_yoffset_max": lambda event: event.y_max,
    "se_category": lambda event: event.category,
    "se_action": lambda event: event.action,
    "se_label": lambda event: event.label,
    "se_value": lambda event: event.value,
    "tr_orderid": lambda event: event.order_id if event.kind == "transaction" else None,
    "tr_total": lambda event: event.total,
    "tr_tax": lambda event: event.tax,
    "tr_currency": lambda event: event.currency if event.kind == "transaction" else None,
    "ti_orderid": lambda event: event.order_id if event.kind == "transaction_item" else None,
    "ti_sku": lambda event: event.sku,
    "ti_name": lambda event: event.item_name,
    "ti_price": lambda event: event.price,
    "ti_quantity": lambda event: event.quantity,
    "ti_currency": lambda event: event.currency if event.kind == "transaction_item" else None,
    "channel": lambda event: event.channel,
    "source": lambda event: event.source,
    "is_bot": lambda event: event.is_bot,
    "properties": lambda event: event.properties and event.properties.to_json(),
}


def test_the_parquet_file_holds_what_enrichment_makes_of_the_payloads(tmp_path: Path) -> None:
    workload = Workload.small(host="shop's.example")
    path = workload.parquet(tmp_path / "a folder's.parquet")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    rows = read(path)
    payloads = Oracle(workload.payloads()).stored
    assert [str(row["event_id"]) for row in rows] == [payload["eid"] for payload in payloads]
    for row, payload in zip(rows, payloads, strict=True):
        event = enrichment(agent_facts, source_facts)(decode(payload))
        row["properties"] = row["properties"] and json.loads(row["properties"])
        expected = {column: value(event) for column, value in ENRICHED.items()}
        assert {column: row[column] for column in ENRICHED} == expected
        assert row["user_ipaddress"] == event.ip
        assert row["site"] == workload.site


def test_the_parquet_file_has_the_columns_of_the_warehouse(tmp_path: Path) -> None:
    path = Workload.small().parquet(tmp_path / "workload.parquet")
    columns = read(path)[0].keys()
    assert columns - {column.name for column in COLUMNS} == {"person"}
    more = {"site", "visitor", "person", "user_ipaddress", "collector_tstamp"}
    assert columns == ENRICHED.keys() | more


def test_the_parquet_file_numbers_visitors_and_the_people_that_they_are(tmp_path: Path) -> None:
    workload = Workload.small(shared_devices=0.1)
    rows = [row for row in read(workload.parquet(tmp_path / "w.parquet")) if not row["is_bot"]]
    person_of = {str(row["event_id"]): row["person"] for row in rows}
    numbers = {(row["person"], row["visitor"]) for row in rows}
    assert len({visitor for _, visitor in numbers}) == len(numbers)
    oracle = Oracle(workload.payloads())
    people = {(seen.person, person_of[seen.payload["eid"]]) for seen in oracle.events}
    assert len(people) == len({name for name, _ in people}) == len({n for _, n in people})
    ids = {(row["visitor"], row["user_id"] or row["domain_userid"]) for row in rows}
    assert len(ids) == len({number for number, _ in ids}) == len({text for _, text in ids})


def read(path: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        found = connection.execute("FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
