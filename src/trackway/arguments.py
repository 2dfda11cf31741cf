"""What a tracker makes of its arguments: each fitted to its field of Event, or complained of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trackway.contracts import Contracts
from trackway.event import ENCODED_NAMES, SelfDescribingJson
from trackway.wires.snowplow import SCHEMA_REFERENCE
from trackway.wires.snowplow_keys import KEYS, LAST_MILLISECOND

#: Names in the JSON of an Event whose value is no text.
_WHOLE = frozenset(
    ("dtm", "stm", "ttm", "received", "vid", "status", "request_bytes", "response_bytes")
) | {"pp_mix", "pp_max", "pp_miy", "pp_may", "quantity"}
_NUMBER = frozenset(("duration_ms", "se_va", "total", "tax", "shipping", "price"))
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
#: What an argument is called where it is called otherwise than the field.
_ARGUMENTS = {"total": "total_value", "tax": "tax_value", "item_name": "name"}
_FIELDS = {name: field for field, name in ENCODED_NAMES.items()}


class Arguments:
    """Fits what the application gives to the fields of Event, by the types and limits of the
    protocol. ``contracts`` says what happens to what does not fit."""

    def __init__(self, contracts: Contracts) -> None:
        self.contracts = contracts
        self._schemas: set[str] = set()  # of contexts that were found to be right

    def name(self, name: str) -> str:
        """What people call the field that JSON calls ``name``."""
        return _ARGUMENTS.get(name) or _FIELDS[name]

    def fit(self, place: str, name: str, value: Any) -> Any:
        """The value for the field that JSON calls ``name``; None if there is none."""
        argument = self.name(name)
        contracts = self.contracts
        if name in _WHOLE:
            return contracts.whole(place, argument, value)
        if name in _NUMBER:
            return contracts.number(place, argument, value)
        if name in _FLAG:
            return contracts.flag(place, argument, value)
        text = contracts.text(place, argument, value, LIMITS[name])
        key = KEYS.get(name)
        if text is None or key is None or key.read is None:
            return text
        try:
            return key.read(text)
        except ValueError as error:
            contracts.breach(place, argument, str(error).removeprefix("expected "), value)
            return None

    def fit_facts(self, place: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Facts by the fields of Event, fitted and by their names in JSON."""
        fitted: dict[str, Any] = {}
        for field, value in facts.items():
            name = ENCODED_NAMES.get(field)
            if name is None or name in _OTHERS:
                self.contracts.breach(place, field, "the name of a field of Event", value)
            elif value is not None and (found := self.fit(place, name, value)) is not None:
                fitted[name] = found
        return fitted

    def time(self, place: str, argument: str, value: Any) -> int | None:
        """Milliseconds since 1970, before the year 10000."""
        number = self.contracts.number(place, argument, value)
        if number is None:
            return None
        if not 0 <= number <= LAST_MILLISECOND:
            self.contracts.breach(place, argument, "milliseconds since 1970", value)
            return None
        return int(number)

    def event_id(self, place: str, value: Any) -> str | None:
        """A UUID, as text in lower case."""
        return None if value is None else self.fit(place, "eid", value)

    def contexts(self, place: str, value: Any) -> tuple[SelfDescribingJson, ...]:
        """Contexts as the caller may write them: a list of ours, of mappings, of look-alikes."""
        if value.__class__ is list and value and all(map(self._is_known, value)):
            return tuple(value)
        if isinstance(value, Mapping | SelfDescribingJson):
            self.contracts.breach(place, "context", "a list of contexts", value)
            value = [value]
        if not isinstance(value, Iterable) or isinstance(value, str | bytes):
            self.contracts.breach(place, "context", "a list of contexts", value)
            return ()
        given = list(value)
        if not given:
            self.contracts.breach(place, "context", "None or a list of at least one context", value)
        found = (self.describing(place, "context", one) for one in given if one is not None)
        return tuple(one for one in found if one is not None)

    def _is_known(self, value: Any) -> bool:
        return value.__class__ is SelfDescribingJson and value.schema in self._schemas

    def describing(self, place: str, argument: str, value: Any) -> SelfDescribingJson | None:
        """Self-describing JSON; ``iglu:`` is added where only that is missing."""
        try:
            if isinstance(value, Mapping):
                schema, data = value["schema"], value["data"]
            else:
                schema, data = value.schema, value.data
        except (AttributeError, KeyError):
            self.contracts.breach(place, argument, "a SelfDescribingJson", value)
            return None
        if not isinstance(schema, str) or SCHEMA_REFERENCE.fullmatch(schema) is None:
            if SCHEMA_REFERENCE.fullmatch(f"iglu:{schema}") is None:
                expected = "described by a schema such as iglu:com.acme/name/jsonschema/1-0-0"
                self.contracts.breach(place, argument, expected, schema)
                return None
            schema = f"iglu:{schema}"
        elif type(value) is SelfDescribingJson:
            if len(self._schemas) < 1000:  # who makes up schemas must not fill the memory
                self._schemas.add(schema)
            return value
        return SelfDescribingJson(schema, data)
