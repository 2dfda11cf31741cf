"""The keys of the Snowplow tracker protocol: which field each fills, its limit, how it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from trackway.event import Kind

KINDS: dict[str, Kind] = {
    "pv": "page_view",
    "pp": "page_ping",
    "se": "struct",
    "ue": "unstruct",
    "tr": "transaction",
    "ti": "transaction_item",
    "ad": "ad_impression",
    "ev": "struct",  # the name of trackers before 2012
}
CODES: dict[str, str] = {kind: code for code, kind in KINDS.items() if code != "ev"}
PLATFORMS = frozenset(("web", "iot", "app", "mob", "pc", "cnsl", "tv", "srv", "headset"))

#: A UUID as it is stored: in lower case.
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ADDRESS_END = re.compile("[,| ]")
_SIZE = re.compile(r"[0-9]{1,10}x[0-9]{1,10}")
# Python's int() and float() read more than the protocol allows: 1_000, " 1", digits of any script.
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INT32 = 2**31 - 1
#: The end of the year 9999, the last that the canonical model can hold.
LAST_MILLISECOND = 253_402_300_799_999


def integer(text: str) -> int | None:
    """A whole number of 32 bits; ``null`` is none."""
    if text == "null":
        return None
    if not _WHOLE.fullmatch(text) or not -INT32 - 1 <= (value := int(text)) <= INT32:
        raise ValueError("expected a whole number of 32 bits")
    return value


def milliseconds(text: str) -> int | None:
    """Milliseconds since 1970; ``null`` is none."""
    if text == "null":
        return None
    if not _WHOLE.fullmatch(text) or not 0 <= (value := int(text)) <= LAST_MILLISECOND:
        raise ValueError("expected milliseconds since 1970, before the year 10000")
    return value


def number(text: str) -> int | float | None:
    """A finite number; ``null`` is none. Whole numbers stay whole."""
    if text == "null":
        return None
    if not _DECIMAL.fullmatch(text):
        raise ValueError("expected a number")
    value = int(text) if _WHOLE.fullmatch(text) else float(text)
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


def uuid(text: str) -> str:
    """A UUID in lower case."""
    text = text.lower()
    if not UUID.fullmatch(text):
        raise ValueError("expected a UUID")
    return text


def flag(text: str) -> bool:
    """``0`` or ``1``."""
    if text not in ("0", "1"):
        raise ValueError("expected 0 or 1")
    return text == "1"


def size(text: str) -> str:
    """``WIDTHxHEIGHT`` in digits."""
    if not _SIZE.fullmatch(text) or max(map(int, text.split("x"))) > INT32:
        raise ValueError("expected WIDTHxHEIGHT in digits")
    return text


def platform(text: str) -> str:
    """A platform that the protocol names."""
    if text not in PLATFORMS:
        raise ValueError(f"expected one of {', '.join(sorted(PLATFORMS))}")
    return text


def address(text: str) -> str:
    """Proxies append addresses; the first is the client's."""
    return _ADDRESS_END.split(text, 1)[0]


class Key(NamedTuple):
    """How one wire key becomes one field of an Event."""

    field: str
    limit: int
    read: Callable[[str], Any] | None = None


#: Every key that fills a field by itself. The first key of a field is the one that we write.
KEYS: dict[str, Key] = {
    "eid": Key("id", 36, uuid),
    "dtm": Key("created", 20, milliseconds),
    "stm": Key("sent", 20, milliseconds),
    "ttm": Key("true", 20, milliseconds),
    "tv": Key("tracker", 100),
    "tna": Key("namespace", 128),
    "aid": Key("app_id", 255),
    "p": Key("platform", 255, platform),
    "uid": Key("user_id", 255),
    "duid": Key("anonymous_id", 128),
    "tnuid": Key("network_id", 128),
    "fp": Key("fingerprint", 128),
    "sid": Key("session_id", 36, uuid),
    "vid": Key("session_index", 11, integer),
    "ip": Key("ip", 128, address),
    "ua": Key("user_agent", 1000),
    "url": Key("page_url", 10000),
    "page": Key("page_title", 2000),
    "refr": Key("referrer", 10000),
    "lang": Key("language", 255),
    "tz": Key("time_zone", 255),
    "cd": Key("color_depth", 12),
    "cs": Key("charset", 128),
    "res": Key("resolution", 21, size),
    "vp": Key("viewport", 21, size),
    "ds": Key("document_size", 21, size),
    "cookie": Key("cookies", 1, flag),
    "pp_mix": Key("x_min", 11, integer),
    "pp_max": Key("x_max", 11, integer),
    "pp_miy": Key("y_min", 11, integer),
    "pp_may": Key("y_max", 11, integer),
    "se_ca": Key("category", 1000),
    "se_ac": Key("action", 1000),
    "se_la": Key("label", 4096),
    "se_pr": Key("property_", 1000),
    "se_va": Key("value", 255, number),
    "tr_id": Key("order_id", 255),
    "tr_af": Key("affiliation", 255),
    "tr_tt": Key("total", 255, number),
    "tr_tx": Key("tax", 255, number),
    "tr_sh": Key("shipping", 255, number),
    "tr_ci": Key("city", 255),
    "tr_st": Key("state", 255),
    "tr_co": Key("country", 255),
    "tr_cu": Key("currency", 3),
    "ti_id": Key("order_id", 255),
    "ti_sk": Key("sku", 255),
    "ti_nm": Key("item_name", 255),
    "ti_ca": Key("item_category", 255),
    "ti_pr": Key("price", 255, number),
    "ti_qu": Key("quantity", 11, integer),
    "ti_cu": Key("currency", 3),
    # older spellings, read but never written
    "nuid": Key("network_id", 128),
    "ti_na": Key("item_name", 255),
    "ev_ca": Key("category", 1000),
    "ev_ac": Key("action", 1000),
    "ev_la": Key("label", 4096),
    "ev_pr": Key("property_", 1000),
    "ev_va": Key("value", 255, number),
}
#: When both spellings of a field are there, these give way to the first of KEYS.
OLDER_KEYS = frozenset(("nuid", "ti_na", "ev_ca", "ev_ac", "ev_la", "ev_pr", "ev_va"))
#: Keys that ``decode`` reads by hand.
BY_HAND = frozenset(("e", "ue_px", "ue_pr", "cx", "co"))
