"""The Snowplow tracker protocol, version 2 (tp2): Events to its key-value payloads and back.

``decode(encode(event)) == event`` for every field that a tracker sets; what enrichment adds and
the time of receipt do not travel. What tp2 has no key for travels as a self-describing context
of our own (``iglu:dev.trackway/request/jsonschema/1-0-0``) and is unfolded again by ``decode``.
Keys, types and limits: Snowplow tracker protocol and the ``payload_data`` schema 1-0-4.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec

from trackway.errors import InvalidEvent
from trackway.event import JSON_NAMES, Event, Kind, SelfDescribingJson, json_form
from trackway.ids import new_id
from trackway.wires.snowplow_keys import (
    BY_HAND,
    CODES,
    KEYS,
    KINDS,
    OLDER_KEYS,
    flag,
    integer,
    milliseconds,
    number,
)

VENDOR = "iglu:com.snowplowanalytics.snowplow"
PAYLOAD_SCHEMA = f"{VENDOR}/payload_data/jsonschema/1-0-4"
CONTEXTS_SCHEMA = f"{VENDOR}/contexts/jsonschema/1-0-1"
UNSTRUCT_SCHEMA = f"{VENDOR}/unstruct_event/jsonschema/1-0-0"
TRACK_SCHEMA = "iglu:dev.trackway/track/jsonschema/1-0-0"
REQUEST_SCHEMA = "iglu:dev.trackway/request/jsonschema/1-0-0"

#: What stands around the payloads in the body of a POST.
BODY_START = b'{"schema":"%b","data":[' % PAYLOAD_SCHEMA.encode()
BODY_END = b"]}"
#: What stands before the data in the JSON of contexts and of a self-describing event.
_CONTEXTS_START = b'{"schema":"%b","data":' % CONTEXTS_SCHEMA.encode()
_UNSTRUCT_START = b'{"schema":"%b","data":' % UNSTRUCT_SCHEMA.encode()

#: The longest name of an event, as our schema of it says.
_NAME_LENGTH = 255

#: A schema reference as Iglu writes it: vendor, name, format, version.
SCHEMA_REFERENCE = re.compile(
    r"iglu:([A-Za-z0-9\-_.]+)/([A-Za-z0-9\-_]+)/([A-Za-z0-9\-_]+)/([1-9]\d*-\d+-\d+)"
)

#: The key of each field whose name in the JSON of an Event is not the key already.
_ORDER_KEYS = {
    "order_id": "tr_id",
    "affiliation": "tr_af",
    "total": "tr_tt",
    "tax": "tr_tx",
    "shipping": "tr_sh",
    "city": "tr_ci",
    "state": "tr_st",
    "country": "tr_co",
    "currency": "tr_cu",
}
_ITEM_KEYS = _ORDER_KEYS | {
    "order_id": "ti_id",
    "sku": "ti_sk",
    "item_name": "ti_nm",
    "item_category": "ti_ca",
    "price": "ti_pr",
    "quantity": "ti_qu",
    "currency": "ti_cu",
}
_NUMBERS = {
    name: name
    for name in JSON_NAMES.values()
    if KEYS[name].read in (integer, milliseconds, number, flag) and name != "dtm"
}
_ORDER_KEYS = _ITEM_KEYS | _ORDER_KEYS | _NUMBERS
_ITEM_KEYS |= _NUMBERS
#: Names in the JSON of an Event that are keys with texts, which need nothing further.
_TEXT_KEYS = frozenset(JSON_NAMES.values()) - _NUMBERS.keys() | {"e", "dtm", "ip"}
_OTHER_NAMES = frozenset(Event.__struct_encode_fields__) - _TEXT_KEYS - {"kind", "name"}


_Status = Annotated[int, msgspec.Meta(ge=100, le=999)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3e38)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Request(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, rename="camel"):
    """Our request context: field names are those of Event, on the wire in camel case.

    A number outside of its bounds must not get any further: the column could not hold it, and
    what cannot be loaded stands in the way of everything behind it.
    """

    request_id: str | None = None
    method: str | None = None
    route: str | None = None
    status: _Status | None = None
    duration_ms: _Milliseconds | None = None
    request_bytes: _Bytes | None = None
    response_bytes: _Bytes | None = None


_REQUEST_FIELDS = frozenset(_Request.__struct_fields__)
_REQUEST_WIRE = dict(
    zip(_Request.__struct_fields__, _Request.__struct_encode_fields__, strict=True)
)
_TEXT: dict[type, Callable[[Any], str]] = {float: repr, bool: "01".__getitem__}
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


_to_json = msgspec.json.Encoder(enc_hook=json_form).encode
_to_builtins = msgspec.to_builtins


def encode(event: Event, *, base64: bool = True) -> dict[str, str]:
    """The tp2 payload of an event: wire keys to text values.

    ``base64``: whether the JSON of properties and contexts is base64-coded (``ue_px``, ``cx``)
    or plain (``ue_pr``, ``co``).
    """
    return encode_facts(event.kind, facts_of(event), base64=base64)


def facts_of(event: Event) -> dict[str, Any]:
    """The facts of an event that are set, by the names of its fields in JSON."""
    facts: dict[str, Any] = _to_builtins(event, enc_hook=json_form)
    facts.pop("kind", None)
    facts.pop("name", None)
    return facts


def encode_facts(kind: Kind, facts: dict[str, Any], *, base64: bool = True) -> dict[str, str]:
    """The tp2 payload of the facts of an event, by the names of its fields in JSON.

    The dictionary itself becomes the payload. When it raises, because something has no JSON form,
    the facts are what they were.
    """
    # This is the fast path of every tracker: most facts have the keys and texts of the wire.
    if others := _OTHER_NAMES.intersection(facts):
        _encode_others(kind, facts, others, base64)
    facts["e"] = CODES[kind]
    if (created := facts.get("dtm")) is not None:
        facts["dtm"] = str(created)
    return facts


def _encode_others(
    kind: Kind, payload: dict[str, Any], others: frozenset[str], base64: bool
) -> None:
    """Numbers, orders, JSON and the request; what is not for the wire goes."""
    keys = _ITEM_KEYS if kind == "transaction_item" else _ORDER_KEYS
    wire: dict[str, str] = {}
    for name in others:
        if (key := keys.get(name)) is not None:
            value = payload[name]
            wire[key] = _TEXT.get(value.__class__, str)(value)
    if "properties" in others:
        _put_json(wire, "ue_px", "ue_pr", _UNSTRUCT_START, payload["properties"], base64)
    contexts = payload.get("contexts", ())
    if not _REQUEST_FIELDS.isdisjoint(others):
        request = {k: payload[f] for f, k in _REQUEST_WIRE.items() if f in others}
        contexts = [*contexts, {"schema": REQUEST_SCHEMA, "data": request}]
    if contexts:
        _put_json(wire, "cx", "co", _CONTEXTS_START, contexts, base64)
    if "extra" in others:
        wire.update(payload["extra"])
    for name in others:
        del payload[name]
    payload.update(wire)


def without_own_schemas(kind: Kind, facts: dict[str, Any]) -> tuple[Kind, dict[str, Any]]:
    """The same for collectors that do not know the schemas of our own: facts of the request are
    left out, and what ``track("name", {...})`` made becomes a structured event with the name as
    its action and the properties, as JSON, as its label."""
    facts = {name: value for name, value in facts.items() if name not in _REQUEST_FIELDS}
    event = facts.get("properties")
    if isinstance(event, SelfDescribingJson):
        event = event.to_json()
    if not event or event["schema"] != TRACK_SCHEMA:
        return kind, facts
    del facts["properties"]
    name, properties = event["data"]["name"], event["data"]["properties"]
    label = _to_json(properties).decode() if properties else None
    facts |= {"se_ca": "track", "se_ac": name}
    if label and len(label) <= KEYS["se_la"].limit:
        facts["se_la"] = label
    return "struct", facts


def _put_json(
    payload: dict[str, str], coded: str, plain: str, start: bytes, value: Any, base64: bool
) -> None:
    text = start + _to_json(value) + b"}"
    if base64:
        # The same as urlsafe_b64encode, at half the cost.
        payload[coded] = b2a_base64(text, newline=False).translate(_URL_SAFE).decode("ascii")
    else:
        payload[plain] = text.decode()


def encode_body(payloads: Iterable[bytes]) -> bytes:
    """The body of a POST from payloads that are JSON already."""
    return BODY_START + b",".join(payloads) + BODY_END


def decode(payload: Mapping[str, str], *, strict: bool = True) -> Event:
    """The event of a tp2 payload; see ``decode_facts``."""
    return Event(**decode_facts(payload, strict=strict))


def decode_facts(payload: Mapping[str, str], *, strict: bool = True) -> dict[str, Any]:
    """The fields of the event of a tp2 payload, for who wants to add some before making it.

    ``strict``: ``tv``, ``p`` and ``e`` are required, as ``payload_data`` demands of a POST; the
    GET form demands only ``e``. Raises InvalidEvent with the reason ``missing_field``,
    ``unknown_event``, ``wrong_type``, ``too_long`` or ``invalid_json_field``.
    """
    kind = _kind(payload, strict)
    facts: dict[str, Any] = {"kind": kind}
    extra: dict[str, str] = {}
    for key, text in payload.items():
        meaning = KEYS.get(key)
        if meaning is None:
            if key not in BY_HAND:
                extra[key] = text
            continue
        field, limit, read = meaning
        text = _printable(text)
        if not text or (key in OLDER_KEYS and field in facts):
            continue
        if len(text) > limit:
            raise InvalidEvent(
                "too_long", f"{key} has {len(text)} characters, {limit} are the most"
            )
        if read is None:
            facts[field] = text
            continue
        try:
            value = read(text)
        except ValueError as error:
            raise InvalidEvent("wrong_type", f"{key} is {text[:80]!r}: {error}") from None
        if value is not None:
            facts[field] = value
    if (properties := read_json(payload, "ue_px", "ue_pr", "unstruct_event")) is not None:
        facts["properties"] = self_describing(properties, "ue_pr")
    if (contexts := read_json(payload, "cx", "co", "contexts")) is not None:
        unfold_contexts(contexts, facts)
    if extra:
        facts["extra"] = extra
    if "id" not in facts:
        facts["id"] = new_id()
    facts["name"] = event_name(kind, facts.get("properties"))
    return facts


def event_name(kind: Kind, properties: SelfDescribingJson | None) -> str:
    """The column ``event_name``: our own name of a native ``track`` call, else Snowplow's."""
    if kind == "struct":
        return "event"
    if kind != "unstruct" or properties is None:
        return kind
    if properties.schema == TRACK_SCHEMA and isinstance(properties.data, dict):
        name = _printable(str(properties.data.get("name") or "track"))
        return name[:_NAME_LENGTH]
    return properties.schema.split("/")[1]


def _kind(payload: Mapping[str, str], strict: bool) -> Kind:
    for key in ("e", "tv", "p") if strict else ("e",):
        if not payload.get(key):
            raise InvalidEvent("missing_field", f"{key} is missing; e, tv and p are required")
    kind = KINDS.get(payload["e"])
    if kind is None:
        raise InvalidEvent("unknown_event", f"e is {payload['e'][:80]!r}, not a known event type")
    return kind


def _printable(text: str) -> str:
    """Tabs become four spaces and control characters go, as Snowplow's enrichment does it."""
    if text.isprintable():
        return text
    return "".join(c for c in text.replace("\t", "    ") if c >= " " and not "\x7f" <= c <= "\x9f")


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    schema: str
    data: Any


_read_envelope = msgspec.json.Decoder(_Envelope).decode


def read_json(payload: Mapping[str, str], coded: str, plain: str, name: str) -> Any:
    """The ``data`` of a JSON field that is present either base64-coded or plain; None if absent."""
    if text := payload.get(coded):
        key = coded
        try:
            # Python's tracker pads, JavaScript's does not; some write the ordinary alphabet.
            padded = text.rstrip("=").replace("+", "-").replace("/", "_").encode("ascii")
            raw = urlsafe_b64decode(padded + b"=" * (-len(padded) % 4))
        except (binascii.Error, UnicodeEncodeError):
            raise InvalidEvent("invalid_json_field", f"{key} is not base64") from None
    elif text := payload.get(plain):
        key = plain
        raw = text.encode("utf-8", "replace")
    else:
        return None
    try:
        envelope = _read_envelope(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent("invalid_json_field", f"{key}: {error}") from None
    if not envelope.schema.startswith(f"{VENDOR}/{name}/jsonschema/1-0-"):
        raise InvalidEvent(
            "invalid_json_field", f"{key} has the schema {envelope.schema[:120]!r}, not {name}"
        )
    return envelope.data


def self_describing(value: Any, key: str) -> SelfDescribingJson:
    if not isinstance(value, dict) or value.keys() != {"schema", "data"}:
        raise InvalidEvent("invalid_json_field", f"{key}: expected exactly 'schema' and 'data'")
    schema = value["schema"]
    if not isinstance(schema, str) or not SCHEMA_REFERENCE.fullmatch(schema):
        raise InvalidEvent("invalid_json_field", f"{key}: {schema!r:.120} is no schema reference")
    return SelfDescribingJson(schema, value["data"])


def unfold_contexts(contexts: Any, facts: dict[str, Any]) -> None:
    """Put our request context back into the fields it came from, and keep the other contexts."""
    if not isinstance(contexts, list):
        raise InvalidEvent("invalid_json_field", "co: expected a list of contexts")
    kept = []
    for value in contexts:
        context = self_describing(value, "co")
        if context.schema != REQUEST_SCHEMA:
            kept.append(context)
            continue
        try:
            request = msgspec.convert(context.data, _Request)
        except msgspec.ValidationError as error:
            raise InvalidEvent("invalid_json_field", f"request context: {error}") from None
        for field in _REQUEST_FIELDS:
            value = getattr(request, field)
            if value is not None:
                facts[field] = _printable(value) if isinstance(value, str) else value
    if kept:
        facts["contexts"] = tuple(kept)
