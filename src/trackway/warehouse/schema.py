"""The tables of the warehouse: which columns there are, and which field of an Event fills each."""

from __future__ import annotations

from typing import NamedTuple

#: Raised by one whenever a table changes.
SCHEMA_VERSION = 1

#: A gap between two events of one visitor that is longer than this starts a new session.
SESSION_GAP_MS = 30 * 60 * 1000

#: An event id seen on the same site within this span of collector time is the same event.
DUPLICATE_WINDOW_MS = 7 * 24 * 60 * 60 * 1000


class Column(NamedTuple):
    """A column of ``events``: its name, its type, and the expression over an Event's fields.

    ``computed`` columns are not stored: their expression is over other columns of the row.
    """

    name: str
    type: str
    source: str
    computed: bool = False


#: Times are kept in the milliseconds that they were measured in; that is also smaller on disk.
_TIME = "TIMESTAMP_MS"


def _millis(field: str) -> str:
    return f"epoch_ms({field})"


def _before(name: str, lag: str) -> Column:
    """A time that is stored as how long before ``derived_tstamp`` it was (often 0)."""
    millis = f"epoch_ms(derived_tstamp) - {lag}"
    return Column(name, _TIME, f"CAST(epoch_ms({millis}) AS {_TIME})", computed=True)


def _half(name: str, size: str, part: int) -> Column:
    """Width or height of a size that is stored as the text it came as, of which few differ."""
    source = f"TRY_CAST(split_part({size}, 'x', {part}) AS INTEGER)"
    return Column(name, "INTEGER", source, computed=True)


#: When it happened, in milliseconds; the same rule as ``Event.time``, a test holds them equal.
DERIVED_MS = """CASE
    WHEN "true" IS NOT NULL AND "true" <= received + 86400000 THEN "true"
    WHEN "true" IS NOT NULL THEN received
    WHEN created < sent THEN received - (sent - created)
    ELSE received END"""

#: A page URL from its parts, as they are stored.
_URL = """page_urlscheme || '://' || page_urlhost || page_urlpath
    || coalesce('?' || page_urlquery, '') || coalesce('#' || page_urlfragment, '')"""
_URL_OF_FIELDS = """page_scheme || '://' || page_host || page_path
    || coalesce('?' || page_query, '') || coalesce('#' || page_fragment, '')"""

#: What is stored in place of computed columns; together they save a quarter of the file.
PACKED: tuple[Column, ...] = (
    Column("created_lag", "BIGINT", "derived - created"),
    Column("sent_lag", "BIGINT", "derived - sent"),
    Column("true_lag", "BIGINT", 'derived - "true"'),
    Column("viewport", "VARCHAR", "viewport"),
    Column("resolution", "VARCHAR", "resolution"),
    Column("document_size", "VARCHAR", "document_size"),
    # only if it is not the sum of its parts
    Column("odd_url", "VARCHAR", f"nullif(page_url, {_URL_OF_FIELDS})"),
)

#: Names from Snowplow's canonical event model where it has one, then our own.
COLUMNS: tuple[Column, ...] = (
    Column("site", "VARCHAR", "site"),
    Column("derived_tstamp", _TIME, _millis("derived")),
    Column("event_id", "UUID", "id"),
    Column("event", "VARCHAR", "coalesce(kind, 'unstruct')"),
    Column("event_name", "VARCHAR", "name"),
    Column("visitor", "INTEGER", "visitor_number"),
    Column("app_id", "VARCHAR", "app_id"),
    Column("platform", "VARCHAR", "platform"),
    Column("name_tracker", "VARCHAR", "namespace"),
    Column("v_tracker", "VARCHAR", "tracker"),
    Column("collector_tstamp", _TIME, _millis("received")),
    _before("dvce_created_tstamp", "created_lag"),
    _before("dvce_sent_tstamp", "sent_lag"),
    _before("true_tstamp", "true_lag"),
    Column("user_id", "VARCHAR", "user_id"),
    Column("domain_userid", "VARCHAR", "anonymous_id"),
    Column("network_userid", "VARCHAR", "network_id"),
    Column("user_fingerprint", "VARCHAR", "fingerprint"),
    Column("domain_sessionid", "VARCHAR", "session_id"),
    Column("domain_sessionidx", "INTEGER", "session_index"),
    Column("user_ipaddress", "VARCHAR", "ip"),
    Column("useragent", "VARCHAR", "user_agent"),
    Column("br_name", "VARCHAR", "browser"),
    Column("br_version", "VARCHAR", "browser_version"),
    Column("br_lang", "VARCHAR", "language"),
    Column("br_colordepth", "VARCHAR", "color_depth"),
    Column("br_cookies", "BOOLEAN", "cookies"),
    _half("br_viewwidth", "viewport", 1),
    _half("br_viewheight", "viewport", 2),
    Column("os_name", "VARCHAR", "os"),
    Column("os_version", "VARCHAR", "os_version"),
    Column("os_timezone", "VARCHAR", "time_zone"),
    Column("dvce_type", "VARCHAR", "device"),
    _half("dvce_screenwidth", "resolution", 1),
    _half("dvce_screenheight", "resolution", 2),
    _half("doc_width", "document_size", 1),
    _half("doc_height", "document_size", 2),
    Column("doc_charset", "VARCHAR", "charset"),
    Column("page_url", "VARCHAR", f"coalesce(odd_url, {_URL})", computed=True),
    Column("page_title", "VARCHAR", "page_title"),
    Column("page_referrer", "VARCHAR", "referrer"),
    Column("page_urlscheme", "VARCHAR", "page_scheme"),
    Column("page_urlhost", "VARCHAR", "page_host"),
    Column("page_urlpath", "VARCHAR", "page_path"),
    Column("page_urlquery", "VARCHAR", "page_query"),
    Column("page_urlfragment", "VARCHAR", "page_fragment"),
    Column("refr_urlhost", "VARCHAR", "referrer_host"),
    Column("refr_urlpath", "VARCHAR", "referrer_path"),
    Column("refr_medium", "VARCHAR", "referrer_medium"),
    Column("refr_source", "VARCHAR", "referrer_source"),
    Column("refr_term", "VARCHAR", "referrer_term"),
    Column("mkt_medium", "VARCHAR", "campaign_medium"),
    Column("mkt_source", "VARCHAR", "campaign_source"),
    Column("mkt_term", "VARCHAR", "campaign_term"),
    Column("mkt_content", "VARCHAR", "campaign_content"),
    Column("mkt_campaign", "VARCHAR", "campaign_name"),
    Column("mkt_clickid", "VARCHAR", "click_id"),
    Column("mkt_network", "VARCHAR", "click_network"),
    Column("pp_xoffset_min", "INTEGER", "x_min"),
    Column("pp_xoffset_max", "INTEGER", "x_max"),
    Column("pp_yoffset_min", "INTEGER", "y_min"),
    Column("pp_yoffset_max", "INTEGER", "y_max"),
    Column("se_category", "VARCHAR", "category"),
    Column("se_action", "VARCHAR", "action"),
    Column("se_label", "VARCHAR", "label"),
    Column("se_property", "VARCHAR", "property_"),
    Column("se_value", "DOUBLE", "value"),
    Column("tr_orderid", "VARCHAR", "CASE kind WHEN 'transaction' THEN order_id END"),
    Column("tr_affiliation", "VARCHAR", "affiliation"),
    Column("tr_total", "DOUBLE", "total"),
    Column("tr_tax", "DOUBLE", "tax"),
    Column("tr_shipping", "DOUBLE", "shipping"),
    Column("tr_city", "VARCHAR", "city"),
    Column("tr_state", "VARCHAR", "state"),
    Column("tr_country", "VARCHAR", "country"),
    Column("tr_currency", "VARCHAR", "CASE kind WHEN 'transaction' THEN currency END"),
    Column("ti_orderid", "VARCHAR", "CASE kind WHEN 'transaction_item' THEN order_id END"),
    Column("ti_sku", "VARCHAR", "sku"),
    Column("ti_name", "VARCHAR", "item_name"),
    Column("ti_category", "VARCHAR", "item_category"),
    Column("ti_price", "DOUBLE", "price"),
    Column("ti_quantity", "INTEGER", "quantity"),
    Column("ti_currency", "VARCHAR", "CASE kind WHEN 'transaction_item' THEN currency END"),
    Column("channel", "VARCHAR", "channel"),
    Column("source", "VARCHAR", "source"),
    Column("is_bot", "BOOLEAN", "coalesce(is_bot, false)"),
    Column("request_id", "VARCHAR", "request_id"),
    Column("method", "VARCHAR", "method"),
    Column("route", "VARCHAR", "route"),
    Column("status", "SMALLINT", "status"),
    Column("duration_ms", "REAL", "duration_ms"),
    Column("request_bytes", "BIGINT", "request_bytes"),
    Column("response_bytes", "BIGINT", "response_bytes"),
    Column("properties", "JSON", "properties"),
    Column("contexts", "JSON", "contexts"),
    Column("extra", "JSON", "extra"),
)

#: What a session keeps of the event that it began with.
SESSION_ENTRY: tuple[tuple[str, str], ...] = (
    ("entry_page", "page_urlpath"),
    ("channel", "channel"),
    ("source", "source"),
    ("refr_urlhost", "refr_urlhost"),
    ("mkt_medium", "mkt_medium"),
    ("mkt_source", "mkt_source"),
    ("mkt_campaign", "mkt_campaign"),
    ("br_name", "br_name"),
    ("os_name", "os_name"),
    ("dvce_type", "dvce_type"),
)

#: What counts as a view of a page (or of a screen in an app).
IS_VIEW = "event_name IN ('page_view', 'screen_view')"


def _definition(column: Column) -> str:
    computed = f" AS ({column.source})" if column.computed else ""
    return f"{column.name} {column.type}{computed}"


#: ``people``: one row for each visitor of a site. ``visitor`` is a dense number that never leaves
#: this file, ``visitor_id`` what enrichment calls the visitor, ``person`` the visitor number of the
#: person that this visitor turned out to be (at first itself).
#: ``sessions``: one row for each visit of a person; ``entered`` and ``left_at`` are the times of
#: its first and last view (stored as milliseconds after the start and before the end); entry
#: columns come from the first view, else from the first event.
#: ``bad_rows``: what could not become an event, with the reason and the bytes.
#: ``segments``: how far each spool segment has been loaded, committed together with its rows.
#: ``ingest``: events per site, minute of collector time and outcome (stored, duplicate, bad).
DUCKDB_TABLES = f"""
CREATE TABLE IF NOT EXISTS events ({", ".join(map(_definition, (*PACKED, *COLUMNS)))});
CREATE TABLE IF NOT EXISTS people (
    visitor INTEGER, site VARCHAR, visitor_id VARCHAR, person INTEGER, first_seen {_TIME});
CREATE TABLE IF NOT EXISTS sessions (
    site VARCHAR, started {_TIME}, ended {_TIME}, person INTEGER, events INTEGER, views INTEGER,
    entered_after BIGINT, left_before BIGINT, exit_page VARCHAR, is_bot BOOLEAN,
    {", ".join(f"{name} VARCHAR" for name, _ in SESSION_ENTRY)},
    entered {_TIME} AS (CAST(epoch_ms(epoch_ms(started) + entered_after) AS {_TIME})),
    left_at {_TIME} AS (CAST(epoch_ms(epoch_ms(ended) - left_before) AS {_TIME})));
CREATE TABLE IF NOT EXISTS bad_rows (
    id UUID, received {_TIME}, reason VARCHAR, message VARCHAR, site VARCHAR, path VARCHAR,
    content_type VARCHAR, raw BLOB);
CREATE TABLE IF NOT EXISTS segments (segment VARCHAR, position BIGINT);
CREATE TABLE IF NOT EXISTS ingest (site VARCHAR, minute {_TIME}, outcome VARCHAR, events BIGINT);
CREATE TABLE IF NOT EXISTS meta (key VARCHAR, value VARCHAR);
"""
