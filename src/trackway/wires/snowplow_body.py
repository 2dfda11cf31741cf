"""Request bodies of the Snowplow tracker protocol: many events at once, read fast and leniently.

What one event says is ``snowplow``'s matter; here it is taken out of a POST or a GET.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import msgspec

from trackway.errors import InvalidBody, InvalidEvent
from trackway.ids import new_id
from trackway.wires.snowplow import (
    VENDOR,
    decode_facts,
    event_name,
    read_json,
    self_describing,
    unfold_contexts,
)
from trackway.wires.snowplow_keys import (
    INT32,
    KEYS,
    KINDS,
    LAST_MILLISECOND,
    OLDER_KEYS,
    PLATFORMS,
    UUID,
    address,
    flag,
    integer,
    milliseconds,
    number,
    platform,
    size,
    uuid,
)


@cache  # made by the first event that is decoded; a tracker never needs it
def _typed_reader() -> Callable[[bytes], msgspec.Struct]:
    """Reads JSON into a struct with a typed field for each wire key, so that msgspec checks types
    and limits while it parses. Required are the keys that ``payload_data`` requires."""
    types: dict[Callable[[str], Any] | None, Any] = {
        integer: Annotated[int, msgspec.Meta(ge=-INT32 - 1, le=INT32)],
        milliseconds: Annotated[int, msgspec.Meta(ge=0, le=LAST_MILLISECOND)],
        number: int | Annotated[float, msgspec.Meta(ge=-1e308, le=1e308)],  # no NaN, no infinity
        flag: Literal["0", "1"],
        platform: Literal[tuple(PLATFORMS)],
    }
    fields: list[Any] = [("e", Literal[tuple(KINDS)]), ("tv", str), ("p", types[platform])]
    fields += [(key, str | None, None) for key in ("ue_px", "ue_pr", "cx", "co")]
    for key, meaning in KEYS.items():
        if key not in OLDER_KEYS and key not in ("tv", "p"):
            text = Annotated[str, msgspec.Meta(max_length=meaning.limit)]
            fields.append((key, types.get(meaning.read, text) | None, None))
    payload = msgspec.defstruct(
        "TypedPayload", fields, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
    )
    return msgspec.json.Decoder(payload, strict=False).decode


_FIELDS = {key: meaning.field for key, meaning in KEYS.items()}
_known_size = lru_cache(maxsize=4096)(size)
_SIZES = ("resolution", "viewport", "document_size")
_JSON_KEYS = frozenset(("ue_px", "ue_pr", "cx", "co"))


def decode_json(raw: bytes) -> dict[str, Any]:
    """The fields of the event of one JSON object of a POST body; raises as ``decode_facts`` does.

    Nearly every event can be read in C, by types. Whatever is unusual in the least (escapes,
    control characters, empty texts, older keys, anything wrong) goes the way of ``decode_facts``,
    which knows what to do or what to say.
    """
    # In valid UTF-8 a control character beyond ASCII begins with C2.
    if not (b"\\" in raw or b'""' in raw or b"\x7f" in raw or b"\xc2" in raw):
        try:
            return _from_typed(msgspec.to_builtins(_typed_reader()(raw)))
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            pass  # InvalidEvent is a ValueError too: the long way says it best
    return decode_facts(decode_payload(raw))


def _from_typed(payload: dict[str, Any]) -> dict[str, Any]:
    kind = KINDS[payload.pop("e")]
    properties = contexts = None
    if not _JSON_KEYS.isdisjoint(payload):
        properties = read_json(payload, "ue_px", "ue_pr", "unstruct_event")
        contexts = read_json(payload, "cx", "co", "contexts")
        for key in _JSON_KEYS:
            payload.pop(key, None)
    facts = {_FIELDS[key]: value for key, value in payload.items()}
    if "id" not in facts:
        facts["id"] = new_id()
    elif not UUID.fullmatch(facts["id"]):
        facts["id"] = uuid(facts["id"])
    for field in _SIZES:
        if field in facts:
            _known_size(facts[field])
    if "session_id" in facts:
        facts["session_id"] = uuid(facts["session_id"])
    if "ip" in facts:
        facts["ip"] = address(facts["ip"])
    if "cookies" in facts:
        facts["cookies"] = facts["cookies"] == "1"
    if properties:
        facts["properties"] = self_describing(properties, "ue_pr")
    if contexts:
        unfold_contexts(contexts, facts)
    facts["kind"] = kind
    facts["name"] = event_name(kind, facts.get("properties"))
    return facts


class _Body(msgspec.Struct):
    schema: str
    data: list[msgspec.Raw]


_read_body = msgspec.json.Decoder(_Body).decode
_read_texts = msgspec.json.Decoder(dict[str, str]).decode


def decode_body(body: bytes) -> list[bytes]:
    """The JSON of each event of a POST body, for ``decode_payload``.

    Raises InvalidBody with the reason ``invalid_json``, ``invalid_envelope``, ``unknown_schema``
    or ``empty_batch``.
    """
    try:
        envelope = _read_body(body)
    except msgspec.ValidationError as error:
        raise InvalidBody("invalid_envelope", f"body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        envelope = _read_body_leniently(body)
    if not envelope.schema.startswith(f"{VENDOR}/payload_data/jsonschema/1-0-"):
        raise InvalidBody("unknown_schema", f"body has the schema {envelope.schema[:120]!r}")
    if not envelope.data:
        raise InvalidBody("empty_batch", "body: data holds no event")
    return [bytes(raw) for raw in envelope.data]


def _read_body_leniently(body: bytes) -> _Body:
    """Read what is almost JSON (NaN, lone surrogates, broken UTF-8), so that one event which
    holds such a thing does not take its neighbours with it."""
    try:
        value = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise InvalidBody("invalid_json", f"body: {error}") from None
    match value:
        case {"schema": str(schema), "data": list(data)}:
            return _Body(schema, [msgspec.Raw(json.dumps(item).encode()) for item in data])
    raise InvalidBody("invalid_envelope", "body: expected an object with 'schema' and 'data'")


def decode_payload(raw: bytes) -> dict[str, str]:
    """One event of a POST body as wire keys to text values.

    ``payload_data`` demands text; numbers, as trackers of version 0.4 sent them, are read too.
    Raises InvalidEvent with the reason ``invalid_json``, ``not_an_object`` or ``wrong_type``.
    """
    try:
        return _read_texts(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        payload = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise InvalidEvent("invalid_json", f"an event of the body: {error}") from None
    if not isinstance(payload, dict):
        raise InvalidEvent("not_an_object", "an event of the body is not an object")
    return {
        _encodable(key): _text(key, value) for key, value in payload.items() if value is not None
    }


def _encodable(text: str) -> str:
    """A lone surrogate has no UTF-8 form, so it could not be kept."""
    return text.encode("utf-8", "replace").decode()


def _text(key: str, value: Any) -> str:
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidEvent("wrong_type", f"{key[:80]} is a JSON {type(value).__name__}, not text")
    if not math.isfinite(value):
        raise InvalidEvent("wrong_type", f"{key[:80]} is {value}, not a finite number")
    return repr(value)


def decode_query(query: bytes) -> dict[str, str]:
    """The payload of a GET, from its raw query string."""
    pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")
    return dict(pairs)
