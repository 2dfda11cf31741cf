"""The workload as a Parquet file, with the columns that the warehouse would have filled."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from trackway.errors import MissingExtra
from trackway.testing.workload.arrivals import Arrivals
from trackway.testing.workload.devices import ALL_AGENTS, PLACES, SCREENS, Devices, uuid_words
from trackway.testing.workload.events import ITEM, ORDER, PING, STEP, STRUCT, TRACK, VIEW
from trackway.testing.workload.pages import Pages
from trackway.testing.workload.parameters import STEPS
from trackway.testing.workload.payloads import (
    CURRENCY,
    NAMESPACE,
    TRACKED,
    TRACKER,
    price_text,
    sku,
    track_call,
)
from trackway.testing.workload.population import ANONYMOUS, Population
from trackway.testing.workload.sources import SOURCES

try:
    import duckdb
except ImportError:
    raise MissingExtra("duckdb", "workload") from None

_EVENTS = {VIEW: "page_view", PING: "page_ping", STRUCT: "struct", TRACK: "unstruct"}
_EVENTS |= {STEP + n: "unstruct" for n in range(len(STEPS))}
_EVENTS |= {ORDER: "transaction", ITEM: "transaction_item"}
_NAMES = _EVENTS | TRACKED | {STRUCT: "event"}

#: Columns of the file as expressions over the staged numbers; ``$name[n]`` looks a text up.
_COLUMNS: dict[str, str] = {
    "site": "$site",
    "derived_tstamp": "epoch_ms(time)::TIMESTAMP_MS",
    "event_id": "(id_high::UHUGEINT << 64 | id_low)::UUID",
    "event": "$events[kind + 1]",
    "event_name": "$names[kind + 1]",
    "visitor": "visitor",
    "person": "person",
    "app_id": "$site",
    "platform": "'web'",
    "name_tracker": "$namespace",
    "v_tracker": "$tracker",
    "collector_tstamp": "epoch_ms(arrival)::TIMESTAMP_MS",
    "dvce_created_tstamp": "epoch_ms(time)::TIMESTAMP_MS",
    "dvce_sent_tstamp": "epoch_ms(arrival)::TIMESTAMP_MS",
    "true_tstamp": "epoch_ms(time)::TIMESTAMP_MS",
    "user_id": "CASE WHEN identified THEN 'user-' || plan_person END",
    "domain_userid": "CASE WHEN NOT is_bot THEN "
    "(device_high::UHUGEINT << 64 | device_low)::UUID::VARCHAR END",
    "user_ipaddress": "concat_ws('.', address >> 24, address >> 16 & 255, address >> 8 & 255, "
    "address & 255)",
    "useragent": "$agents[agent + 1]",
    "br_name": "$browsers[agent + 1]",
    "br_lang": "$languages[place + 1]",
    "br_viewwidth": "$view_widths[screen + 1]",
    "br_viewheight": "$view_heights[screen + 1]",
    "os_name": "$systems[agent + 1]",
    "os_timezone": "$time_zones[place + 1]",
    "dvce_type": "$devices[agent + 1]",
    "dvce_screenwidth": "$screen_widths[screen + 1]",
    "dvce_screenheight": "$screen_heights[screen + 1]",
    "page_url": "$urls[page + 1] || coalesce('?' || $queries[source + 1], '')",
    "page_title": "$titles[page + 1]",
    "page_referrer": "CASE WHEN before < 0 THEN $referrers[source + 1] ELSE $urls[before + 1] END",
    "page_urlscheme": "'https'",
    "page_urlhost": "$host",
    "page_urlpath": "$paths[page + 1]",
    "page_urlquery": "$queries[source + 1]",
    "refr_urlhost": "CASE WHEN before < 0 THEN $referrer_hosts[source + 1] ELSE $host END",
    "mkt_medium": "$mediums[source + 1]",
    "mkt_source": "$campaign_sources[source + 1]",
    "mkt_campaign": "$campaigns[source + 1]",
    "pp_xoffset_min": f"CASE kind WHEN {PING} THEN 0 END",
    "pp_xoffset_max": f"CASE kind WHEN {PING} THEN 0 END",
    "pp_yoffset_min": f"CASE kind WHEN {PING} THEN 0 END",
    "pp_yoffset_max": f"CASE kind WHEN {PING} THEN page * 7 END",
    "se_category": f"CASE kind WHEN {STRUCT} THEN 'catalogue' END",
    "se_action": f"CASE kind WHEN {STRUCT} THEN 'sort' END",
    "se_label": f"CASE kind WHEN {STRUCT} THEN 'price' END",
    "se_value": f"CASE kind WHEN {STRUCT} THEN $prices[page + 1] END",
    "tr_orderid": f"CASE kind WHEN {ORDER} THEN 'order-' || plan_person END",
    "tr_total": f"CASE kind WHEN {ORDER} THEN $prices[page + 1] END",
    "tr_tax": f"CASE kind WHEN {ORDER} THEN 0::DOUBLE END",
    "tr_currency": f"CASE kind WHEN {ORDER} THEN $currency END",
    "ti_orderid": f"CASE kind WHEN {ITEM} THEN 'order-' || plan_person END",
    "ti_sku": f"CASE kind WHEN {ITEM} THEN $skus[page + 1] END",
    "ti_name": f"CASE kind WHEN {ITEM} THEN $titles[page + 1] END",
    "ti_price": f"CASE kind WHEN {ITEM} THEN $prices[page + 1] END",
    "ti_quantity": f"CASE kind WHEN {ITEM} THEN 1 END",
    "ti_currency": f"CASE kind WHEN {ITEM} THEN $currency END",
    "channel": "coalesce($channels[source + 1], 'Direct')",
    "source": "$sources[source + 1]",
    "is_bot": "is_bot",
    "properties": f"CASE WHEN kind BETWEEN {TRACK} AND {ORDER - 1} "
    f"THEN $calls[(kind - {TRACK}) * $page_count + page + 1] END",
}


def write_parquet(
    path: Path, population: Population, pages: Pages, stream: Iterable[Arrivals]
) -> Path:
    """Write the good events of a stream to one file, each once, in order of arrival.

    The columns have the names of the warehouse's table ``events``, and its types as far as
    Parquet knows them; those that the workload has nothing for are left out. ``visitor`` is a
    number for each user and each device that was used anonymously, ``person`` (no column of
    ``events``) a number for whoever that is. As in the warehouse, only the first page view of a
    visit names a source, and a channel other than Direct.

    The numbers of the plan are staged in a temporary DuckDB file beside ``path``, so memory does
    not grow with the length of the stream.
    """
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".workload-") as folder,
        duckdb.connect(str(Path(folder, "staged.duckdb"))) as connection,
    ):
        # One thread keeps the rows in order without holding back those of the others.
        connection.execute("SET threads = 1; SET memory_limit = '1GB'")
        for number, arrivals in enumerate(stream):
            connection.register("part", _staged(population, arrivals))
            verb = "INSERT INTO staged" if number else "CREATE TABLE staged AS"
            connection.execute(f"{verb} SELECT * FROM part")
        columns = ", ".join(f"{value} AS {name}" for name, value in _COLUMNS.items())
        target = str(path).replace("'", "''")
        connection.execute(
            f"COPY (SELECT {columns} FROM staged) TO '{target}' (FORMAT parquet, CODEC zstd)",
            _texts(population, pages),
        )
    return path


def _staged(population: Population, arrivals: Arrivals) -> dict[str, Any]:
    """What has to be known of each event, as narrow numbers."""
    arrivals = arrivals.take(np.flatnonzero(~arrivals.is_copy & (arrivals.flaw == 0)))
    events = arrivals.events
    devices = Devices.of(population.dice, events.device)
    id_high, id_low = uuid_words(population.dice, "event id", events.key)
    # Numbers for visitors: three for each person, their two devices and their account.
    is_known = population.identity(events.person) != ANONYMOUS
    device = events.device // 2 * 3 + events.device % 2
    visitor = np.where(events.identified, events.person * 3 + 2, device)
    person = events.person * 3 + 2 * is_known
    crawler = population.people * 3 - events.device
    return {
        "time": events.time,
        "arrival": arrivals.arrival,
        "id_high": id_high,
        "id_low": id_low,
        "plan_person": events.person.astype(np.int32),
        "visitor": np.where(events.is_bot, crawler, visitor).astype(np.int32),
        "person": np.where(events.is_bot, crawler, person).astype(np.int32),
        "kind": events.kind.astype(np.int8),
        "page": events.page.astype(np.int32),
        "before": events.before.astype(np.int32),
        "source": events.source.astype(np.int8),
        "identified": events.identified,
        "is_bot": events.is_bot,
        "device_high": devices.id_high,
        "device_low": devices.id_low,
        "agent": devices.agent.astype(np.int8),
        "place": devices.place.astype(np.int8),
        "screen": devices.screen.astype(np.int8),
        "address": devices.address.astype(np.uint32),
    }


def _texts(population: Population, pages: Pages) -> dict[str, Any]:
    """The texts that the staged numbers stand for."""
    host = population.parameters.host
    calls = [
        json.dumps(track_call(kind, page, price_text(int(cents))))
        for kind in range(TRACK, ORDER)
        for page, cents in enumerate(pages.cents)
    ]
    screens = [[int(n) for size in pair for n in size.split("x")] for pair in SCREENS]
    return {
        "site": population.parameters.site,
        "namespace": NAMESPACE,
        "tracker": TRACKER,
        "currency": CURRENCY,
        "host": host,
        "page_count": len(pages.paths),
        "calls": calls,
        "events": [_EVENTS[kind] for kind in sorted(_EVENTS)],
        "names": [_NAMES[kind] for kind in sorted(_EVENTS)],
        "agents": [agent.text for agent in ALL_AGENTS],
        "browsers": [agent.browser for agent in ALL_AGENTS],
        "systems": [agent.os for agent in ALL_AGENTS],
        "devices": [agent.device for agent in ALL_AGENTS],
        "languages": [language for language, _, _ in PLACES],
        "time_zones": [time_zone for _, time_zone, _ in PLACES],
        "screen_widths": [screen[0] for screen in screens],
        "screen_heights": [screen[1] for screen in screens],
        "view_widths": [screen[2] for screen in screens],
        "view_heights": [screen[3] for screen in screens],
        "urls": [f"https://{host}{path}" for path in pages.paths],
        "paths": list(pages.paths),
        "titles": list(pages.titles),
        "prices": [int(cents) / 100 for cents in pages.cents],
        "skus": [sku(page) for page in range(len(pages.paths))],
        "queries": [source.query or None for source in SOURCES],
        "referrers": [source.referrer or None for source in SOURCES],
        "referrer_hosts": [urlsplit(source.referrer).hostname for source in SOURCES],
        "mediums": [source.campaign.get("medium") for source in SOURCES],
        "campaign_sources": [source.campaign.get("source") for source in SOURCES],
        "campaigns": [source.campaign.get("campaign") for source in SOURCES],
        "channels": [source.channel for source in SOURCES],
        "sources": [source.source for source in SOURCES],
    }
