"""What a tracker makes of its arguments: each fitted to its field of Event, or complained of."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from trackway.contracts import Contracts
from trackway.event import ENCODED_NAMES, SelfDescribingJson
from trackway.ids import new_id
from trackway.wires.snowplow import SCHEMA_REFERENCE
from trackway.wires.snowplow_keys import INT32, KEYS, LAST_MILLISECOND, PLATFORMS

#: Names in the JSON of an Event whose value is a whole number, and its bounds: an event with a
#: number beyond them would be refused as a whole (protocol; our schema of the request).
_WHOLE: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("vid", "pp_mix", "pp_max", "pp_miy", "pp_may"), (-INT32 - 1, INT32)),
    "quantity": (-INT32 - 1, INT32),
    "status": (100, 999),
    "request_bytes": (0, 2**63 - 1),
    "response_bytes": (0, 2**63 - 1),
}
#: Those that may be broken; the bounds of the duration (milliseconds) are those of our schema.
_NUMBER: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("se_va", "total", "tax", "shipping", "price"), (-math.inf, math.inf)),
    "duration_ms": (0, 3e38),
}
_TIME = frozenset(("dtm", "stm", "ttm", "received"))
_FLAG = frozenset(("cookie", "is_bot"))
#: Names whose value is checked elsewhere, or is the tracker's own affair.
_OTHERS = frozenset(("properties", "contexts", "extra", "kind", "name", "eid"))
_ORDER = {"currency": 3} | dict.fromkeys(
    ("order_id", "affiliation", "city", "state", "country", "sku", "item_name", "item_category"),
    255,
)
#: The most characters of each text (the protocol's limits; source: Snowplow's enrichment).
LIMITS = dict.fromkeys(ENCODED_NAMES.values(), 10_000) | _ORDER
LIMITS |= {name: KEYS[name].limit for name in ENCODED_NAMES.values() if name in KEYS}
LIMITS |= dict.fromkeys((*_WHOLE, *_NUMBER, *_TIME, *_FLAG, *_OTHERS), 0)  # no text fits
#: The texts that only their length is asked about, by field: the name in JSON, and the limit.
_PLAIN = {
    field: (name, LIMITS[name])
    for field, name in ENCODED_NAMES.items()
    if LIMITS[name] and name != "p" and (name not in KEYS or KEYS[name].read is None)
}
#: What an argument is called where it is called otherwise than the field.
_ARGUMENTS = {
    "total": "total_value",
    "tax": "tax_value",
    "item_name": "name",
    "item_category": "category",
    "pp_mix": "min_x",
    "pp_max": "max_x",
    "pp_miy": "min_y",
    "pp_may": "max_y",
}
_FIELDS = {name: field for field, name in ENCODED_NAMES.items()}

# Names in the data of Snowplow's own self-describing events whose value is no text.
_DATA_NUMBERS = frozenset(("quantity", "unitPrice"))
_DATA_COUNTS = frozenset(("totalResults", "pageResults"))
_DATA_TEXTS = frozenset(("elementClasses", "formClasses", "terms"))
_NODES = ("INPUT", "SELECT", "TEXTAREA")
#: What their arguments are called where it is not the name in snake case.
_DATA_ARGUMENTS = {
    ("track_form_change", "type"): "type_",
    ("track_mobile_screen_view", "id"): "id_",
    ("track_screen_view", "id"): "id_",
}


class Arguments:
    """Fits what the application gives to the fields of Event, by the types and limits of the
    protocol. ``contracts`` says what happens to what does not fit."""

    def __init__(self, contracts: Contracts) -> None:
        self.contracts = contracts
        self._schemas: set[str] = set()  # of contexts that were found to be right

    def name(self, name: str) -> str:
        """What people call the field that JSON calls ``name``."""
        return _ARGUMENTS.get(name) or _FIELDS[name]

    def fit(self, place: str, name: str, value: Any, argument: str = "") -> Any:
        """The value for the field that JSON calls ``name``; None if there is none. ``argument``:
        what the caller calls it."""
        argument = argument or self.name(name)
        contracts = self.contracts
        if name in _WHOLE:
            return contracts.whole(place, argument, value, *_WHOLE[name])
        if name in _NUMBER:
            return contracts.number(place, argument, value, *_NUMBER[name])
        if name in _TIME:
            return self.time(place, argument, value)
        if name in _FLAG:
            return contracts.flag(place, argument, value)
        if name == "p":
            return contracts.one_of(place, argument, value, PLATFORMS)
        if name in ("eid", "sid"):
            return contracts.uuid(place, argument, value)
        return self._fit_text(place, name, value, argument)

    def _fit_text(self, place: str, name: str, value: Any, argument: str) -> str | None:
        text = self.contracts.text(place, argument, value, LIMITS[name])
        key = KEYS.get(name)
        if text is None or key is None or key.read is None:
            return text
        try:
            return key.read(text) or None
        except ValueError as error:
            self.contracts.breach(place, argument, str(error).removeprefix("expected "), value)
            return None

    def fit_facts(self, place: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Facts by the fields of Event, fitted and by their names in JSON."""
        fitted: dict[str, Any] = {}
        for field, value in facts.items():
            plain = _PLAIN.get(field)
            if plain is not None and type(value) is str and 0 < len(value) <= plain[1]:
                fitted[plain[0]] = value
                continue
            name = ENCODED_NAMES.get(field)
            if name is None or name in _OTHERS:
                self.contracts.breach(place, field, "the name of a field of Event", value)
            elif value is not None and (found := self.fit(place, name, value, field)) is not None:
                fitted[name] = found
        return fitted

    def fit_data(
        self, verb: str, data: Mapping[str, Any], required: Collection[str] = ()
    ) -> dict[str, Any]:
        """The data of one of Snowplow's own self-describing events, by the names of its schema."""
        fitted: dict[str, Any] = {}
        for name, value in data.items():
            broken = self.contracts.broken
            if value is not None and (found := self._fit_datum(verb, name, value)) is not None:
                fitted[name] = found
            elif name in required and self.contracts.broken == broken:
                self.contracts.breach(verb, _data_argument(verb, name), "given", value)
        if "value" in data:  # a field of a form that has none says so
            fitted.setdefault("value", None)
        return fitted

    def _fit_datum(self, verb: str, name: str, value: Any) -> Any:
        argument = _data_argument(verb, name)
        contracts = self.contracts
        if name in _DATA_TEXTS:
            return self._texts(verb, argument, value) or None
        if name in _DATA_NUMBERS:
            return contracts.number(verb, argument, value)
        if name in _DATA_COUNTS:
            return contracts.whole(verb, argument, value, 0, INT32)
        if name == "nodeName":
            return contracts.one_of(verb, argument, value, _NODES)
        if (verb, name) == ("track_mobile_screen_view", "id"):
            return contracts.uuid(verb, argument, value) or new_id()  # the schema needs one
        if name == "elements":
            return self._mappings(verb, argument, value) or None
        if name == "filters":
            return self._filters(verb, argument, value) or None
        return contracts.text(verb, argument, value)

    def _texts(self, verb: str, argument: str, value: Any) -> list[str]:
        try:
            is_one = isinstance(value, str | bytes | Mapping)
            several = [value] if is_one else list(value)
        except Exception:  # not iterable, or by fault of its own methods
            is_one, several = True, []
        if is_one:
            self.contracts.breach(verb, argument, "a list of texts", value)
        found = (self.contracts.text(verb, argument, one) for one in several)
        return [text for text in found if text is not None]

    def _mappings(self, verb: str, argument: str, value: Any) -> list[dict[Any, Any]]:
        try:
            several = [value] if isinstance(value, Mapping) else list(value)
            return [dict(one) for one in several]
        except Exception:
            self.contracts.breach(verb, argument, "a list of mappings", value)
            return []

    def _filters(self, verb: str, argument: str, value: Any) -> dict[Any, Any]:
        try:
            pairs = [(key, value[key]) for key in value]
        except Exception:
            self.contracts.breach(verb, argument, "a mapping of texts to texts or bool", value)
            return {}
        return {
            key: one if type(one) is bool else self.contracts.text(verb, argument, one)
            for key, one in pairs
        }

    def time(self, place: str, argument: str, value: Any) -> int | None:
        """Milliseconds since 1970, before the year 10000."""
        number = self.contracts.number(place, argument, value, 0, LAST_MILLISECOND)
        return None if number is None else int(number)

    def event_id(self, place: str, value: Any) -> str | None:
        """A UUID, as text in lower case."""
        return self.contracts.uuid(place, "event_id", value)

    def contexts(self, place: str, value: Any) -> tuple[SelfDescribingJson, ...]:
        """Contexts as the caller may write them: a list of ours, of mappings, of look-alikes."""
        if type(value) is list and value and all(map(self._is_known, value)):
            return tuple(value)
        given = (one for one in self._listed(place, value) if one is not None)
        found = (self.describing(place, "context", one) for one in given)
        return tuple(one for one in found if one is not None)

    def _listed(self, place: str, value: Any) -> list[Any]:
        try:
            is_one = isinstance(value, Mapping | SelfDescribingJson)
            several = not is_one and not isinstance(value, str | bytes)
            given = list(value) if several else [value] if is_one else []
        except Exception:  # the value's own methods
            is_one, given = False, []
        if is_one or not given:
            self.contracts.breach(place, "context", "a list of at least one context", value)
        return given

    def _is_known(self, value: Any) -> bool:
        try:
            return type(value) is SelfDescribingJson and value.schema in self._schemas
        except Exception:  # not even hashable
            return False

    def describing(self, place: str, argument: str, value: Any) -> SelfDescribingJson | None:
        """Self-describing JSON; ``iglu:`` is added where only that is missing."""
        try:
            if isinstance(value, Mapping):
                given, data = value["schema"], value["data"]
            else:
                given, data = value.schema, value.data
            schema = str.__str__(given) if isinstance(given, str) else ""
        except Exception:  # no such parts, or the value's own methods
            self.contracts.breach(place, argument, "a SelfDescribingJson", value)
            return None
        if SCHEMA_REFERENCE.fullmatch(schema) is None:
            schema = f"iglu:{schema}"
            if SCHEMA_REFERENCE.fullmatch(schema) is None:
                expected = "described by a schema such as iglu:com.acme/name/jsonschema/1-0-0"
                self.contracts.breach(place, argument, expected, given)
                return None
        elif type(value) is SelfDescribingJson and type(given) is str:
            if len(self._schemas) < 1000:  # who makes up schemas must not fill the memory
                self._schemas.add(schema)
            return value
        return SelfDescribingJson(schema, data)


def _data_argument(verb: str, name: str) -> str:
    snake = re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name)
    return _DATA_ARGUMENTS.get((verb, name), snake)


#: The order of a Tracker's arguments, and that of the Snowplow tracker since 1.0.
_OURS = ("emitters", "subject", "namespace", "app_id", "encode_base64")
_SINCE_1 = ("namespace", "emitters", "subject", "app_id", "encode_base64")


def named_arguments(positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a Tracker by name, whichever of the two orders they came in.

    Raises TypeError for one that is unknown, given twice or too many.
    """
    order = _SINCE_1 if positional and isinstance(positional[0], str) else _OURS
    if "emitter" in named:
        if "emitters" in named:
            raise TypeError("Tracker() got emitter and emitters, which are one argument")
        named["emitters"] = named.pop("emitter")
    given = dict(zip(order, positional, strict=False))
    unknown = named.keys() - set(_OURS)
    twice = given.keys() & named.keys()
    if len(positional) > len(order) or unknown or twice:
        problem = (
            f"got {sorted(unknown)[0]!r}, which it does not know"
            if unknown
            else f"got {sorted(twice)[0]!r} twice"
            if twice
            else f"takes {len(order)} positional arguments, got {len(positional)}"
        )
        raise TypeError(f"Tracker() {problem}")
    return given | named
