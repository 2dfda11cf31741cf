"""The one value of Trackway: an immutable Event, and the self-describing JSON it may carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set, ValuesView
from typing import Any, Literal

import msgspec

Kind = Literal[
    "page_view",
    "page_ping",
    "struct",
    "unstruct",
    "transaction",
    "transaction_item",
    "ad_impression",
]
"""The kinds of event of the Snowplow canonical event model (column ``event``)."""

#: A true time further ahead of the collector's clock than this is not believed (milliseconds).
FUTURE_TOLERANCE_MS = 24 * 60 * 60 * 1000


class SelfDescribingJson(msgspec.Struct, frozen=True):
    """Data together with the schema that describes it (Iglu self-describing JSON).

    ``schema`` has the form ``iglu:vendor/name/format/MODEL-REVISION-ADDITION``; ``data`` is
    anything JSON can say.
    """

    schema: str
    data: Any

    def to_json(self) -> dict[str, Any]:
        """The envelope as a dictionary with exactly the keys ``schema`` and ``data``."""
        return {"schema": self.schema, "data": self.data}

    def to_string(self) -> str:
        """The envelope as JSON text."""
        return msgspec.json.encode(self).decode()


#: The name of a field in JSON, where it is another: the key of the Snowplow tracker protocol, so
#: that the wire can take most of an event as msgspec writes it. Spool segments hold these names;
#: a name that changes must still be read.
JSON_NAMES = {
    "id": "eid",
    "created": "dtm",
    "sent": "stm",
    "true": "ttm",
    "app_id": "aid",
    "namespace": "tna",
    "platform": "p",
    "tracker": "tv",
    "user_id": "uid",
    "anonymous_id": "duid",
    "network_id": "tnuid",
    "fingerprint": "fp",
    "session_id": "sid",
    "session_index": "vid",
    "language": "lang",
    "time_zone": "tz",
    "viewport": "vp",
    "resolution": "res",
    "document_size": "ds",
    "color_depth": "cd",
    "charset": "cs",
    "cookies": "cookie",
    "page_url": "url",
    "page_title": "page",
    "referrer": "refr",
    "x_min": "pp_mix",
    "x_max": "pp_max",
    "y_min": "pp_miy",
    "y_max": "pp_may",
    "user_agent": "ua",
    "category": "se_ca",
    "action": "se_ac",
    "label": "se_la",
    "property_": "se_pr",
    "value": "se_va",
}


# gc=False: an event is made of plain values and cannot be part of a reference cycle; not to be
# looked at by the collector of cycles saves more time than making it costs.
class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, rename=JSON_NAMES
):
    """Something that happened, as plain facts.

    Every door makes Events and every sink takes them. All times are integer milliseconds since
    1970 in UTC. A field that is ``None`` (or empty) is not known. Field meanings follow the
    Snowplow canonical event model; the warehouse gives the columns its names.
    """

    # identity of the event
    id: str
    kind: Kind = "unstruct"
    name: str = ""

    # times, milliseconds UTC
    created: int | None = None  # by the tracker's clock, when it happened
    true: int | None = None  # set by the application: the time that counts
    sent: int | None = None  # by the tracker's clock, when the request left
    received: int | None = None  # by the collector's clock

    # who sends
    app_id: str | None = None
    namespace: str | None = None
    platform: str | None = None
    tracker: str | None = None
    site: str | None = None

    # the actor
    user_id: str | None = None
    anonymous_id: str | None = None  # first-party device id (Snowplow: domain_userid)
    network_id: str | None = None
    fingerprint: str | None = None
    session_id: str | None = None
    session_index: int | None = None

    # the device
    language: str | None = None
    time_zone: str | None = None
    viewport: str | None = None  # "1280x720", as are the next two
    resolution: str | None = None
    document_size: str | None = None
    color_depth: str | None = None
    charset: str | None = None
    cookies: bool | None = None

    # the page
    page_url: str | None = None
    page_title: str | None = None
    referrer: str | None = None
    x_min: int | None = None  # scroll offsets of a page ping, pixels
    x_max: int | None = None
    y_min: int | None = None
    y_max: int | None = None

    # the request that the event happened in
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    method: str | None = None
    route: str | None = None  # the pattern, "/products/<id>"
    status: int | None = None
    duration_ms: float | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None

    # structured event
    category: str | None = None
    action: str | None = None
    label: str | None = None
    property_: str | None = None
    value: int | float | None = None

    # commerce
    order_id: str | None = None
    affiliation: str | None = None
    total: int | float | None = None
    tax: int | float | None = None
    shipping: int | float | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    currency: str | None = None
    sku: str | None = None
    item_name: str | None = None
    item_category: str | None = None
    price: int | float | None = None
    quantity: int | None = None

    # what the application says in its own words
    properties: SelfDescribingJson | None = None
    contexts: tuple[SelfDescribingJson, ...] = ()

    # added by enrichment
    visitor: str | None = None
    browser: str | None = None
    browser_version: str | None = None
    os: str | None = None
    os_version: str | None = None
    device: str | None = None  # desktop, phone, tablet, bot, other
    is_bot: bool = False
    page_scheme: str | None = None
    page_host: str | None = None
    page_path: str | None = None
    page_query: str | None = None
    page_fragment: str | None = None
    referrer_host: str | None = None
    referrer_path: str | None = None
    referrer_medium: str | None = None
    referrer_source: str | None = None
    referrer_term: str | None = None
    campaign_medium: str | None = None
    campaign_source: str | None = None
    campaign_term: str | None = None
    campaign_content: str | None = None
    campaign_name: str | None = None
    click_id: str | None = None
    click_network: str | None = None
    channel: str | None = None
    source: str | None = None

    #: Wire keys that we do not know, kept as they came.
    extra: dict[str, str] = {}

    @property
    def time(self) -> int | None:
        """When it happened, by the best clock we have (milliseconds UTC).

        The true time if the application set one; else the collector's time less the time that
        the event waited on the client (``sent - created``), so that a wrong client clock cancels
        out; else the collector's time; before a collector saw it, the tracker's. Source: the
        derived timestamp of the Snowplow event model, plus one rule of our own: a true time more
        than a day in the collector's future is not believed.
        """
        received = self.received
        if self.true is not None:
            if received is None or self.true <= received + FUTURE_TOLERANCE_MS:
                return self.true
            return received
        if received is None:
            return self.created
        if self.sent is not None and self.created is not None and self.created < self.sent:
            return received - (self.sent - self.created)
        return received


#: The name in JSON of each field.
ENCODED_NAMES = dict(zip(Event.__struct_fields__, Event.__struct_encode_fields__, strict=True))

#: JSON that is nested deeper than this is cut; collectors refuse it (Snowplow's enrichment: 40).
_DEEPEST = 40


#: Python refuses to write whole numbers of more digits (about 4300).
_LONGEST_WHOLE = 10**4000


def json_form(value: Any) -> Any:
    """What JSON makes of a value of a type that msgspec does not know; its text if nothing else."""
    for kind in (str, int, float):
        if issubclass(type(value), kind):
            return {str: str.__str__, int: int.__pos__, float: float.__pos__}[kind](value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set | ValuesView) and not isinstance(value, str):
        return list(value)
    # Numbers and arrays of NumPy, dates of others: they say themselves what they are.
    for method in ("tolist", "isoformat"):
        if callable(getattr(value, method, None)):
            simple = getattr(value, method)()
            if type(simple).__module__ in ("builtins", "datetime"):  # and no other without end
                return simple
    return str(value)


def plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A value as JSON can say it, whatever it was: what has no JSON form becomes its text, lone
    surrogates (which have no UTF-8 form) become ``?``, and what contains itself or is nested
    without end is cut. ``above``: what it stands in, by identity."""
    try:
        return _plain(value, above)
    except Exception:  # the value's own methods
        return f"<{type(value).__name__}>"


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or type(value) in (bool, float):
        return value
    if type(value) is int:
        return value if -_LONGEST_WHOLE < value < _LONGEST_WHOLE else None
    if len(above) > _DEEPEST or id(value) in above:
        return None
    above += (id(value),)
    if isinstance(value, SelfDescribingJson):
        return SelfDescribingJson(plain(value.schema), plain(value.data, above))
    if isinstance(value, dict):
        return {plain(_key(key)): plain(item, above) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, above) for item in value]
    try:
        simple = msgspec.to_builtins(value)
    except Exception:  # not a type that msgspec knows
        simple = json_form(value)
    return plain(simple, above)


def _key(key: Any) -> str:
    try:
        return str.__str__(key) if isinstance(key, str) else str(key)
    except Exception:  # somebody else's __str__
        return f"<{type(key).__name__}>"
