"""The contracts of version 0.7, by their names in its documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from trackway.compat.snowplow_tracker.constants import FORM_NODE_NAMES, SUPPORTED_PLATFORMS
from trackway.compat.snowplow_tracker.contracts import Rule, is_form_element
from trackway.compat.snowplow_tracker.timestamp import Timestamp
from trackway.subject import Subject

Check = Callable[[Any], bool]


def _same(value: Any) -> Any:
    return value


def _always(expected: str, holds: Check, coerced: Callable[[Any], Any] = _same) -> Rule:
    """A rule that version 1.1 has as well, if only after its conversion."""
    return Rule(expected, holds, coerced, holds)


def _optional(rule: Rule) -> Rule:
    return Rule(
        f"{rule.expected}|None",
        lambda value: value is None or rule.holds(value),
        lambda value: None if value is None else rule.coerced(value),
        lambda value: value is None or rule.holds_in_1_1(value),
    )


def _as_text(value: Any) -> Any:
    return value if value is None else str(value)


def _as_number(value: Any) -> Any:
    """A number written as text is one. Anything else becomes NaN, which the native tracker leaves
    out and counts."""
    for kind in (int, float):
        try:
            return kind(value)
        except (TypeError, ValueError):
            continue
    return float("nan")


def _as_timestamp(value: Any) -> Any:
    """What is no time is now, as in version 1.1."""
    number = _as_number(value)
    return number if math.isfinite(number) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_timestamp(value: object) -> bool:
    return value is None or _is_number(value) or isinstance(value, Timestamp)


TEXT = _always("str", lambda value: isinstance(value, str), _as_text)
NON_EMPTY_TEXT = _always(
    "non-empty str", lambda value: isinstance(value, str) and value != "", _as_text
)
OPTIONAL_TEXT = _optional(TEXT)
WHOLE = Rule("int", _is_whole, _as_number)
OPTIONAL_WHOLE = _optional(WHOLE)
POSITIVE = _always("int, >0", lambda value: _is_whole(value) and value > 0, _as_number)
NUMBER = Rule("int|float", _is_number, _as_number)
OPTIONAL_NUMBER = _optional(NUMBER)
TIMESTAMP = Rule("int|float|None", _is_timestamp, _as_timestamp)
YES_OR_NO = Rule("bool", lambda value: isinstance(value, bool), bool)
PLATFORM = _always(
    "|".join(sorted(SUPPORTED_PLATFORMS)),
    lambda value: isinstance(value, str) and value in SUPPORTED_PLATFORMS,
)
SUBJECT = _always("Subject", lambda value: isinstance(value, Subject))
OPTIONAL_SUBJECT = _optional(SUBJECT)
NODE_NAME = _always(
    "INPUT|TEXTAREA|SELECT", lambda value: isinstance(value, str) and value in FORM_NODE_NAMES
)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


def is_describing(value: object) -> bool:
    """Whether it can be a self-describing JSON: an object, a dictionary or a pair."""
    if isinstance(value, tuple):
        return len(value) == 2 and isinstance(value[0], str)
    try:
        if isinstance(value, Mapping):
            return "schema" in value and "data" in value
        return hasattr(value, "schema") and hasattr(value, "data")
    except Exception:  # of the value's own methods
        return False


_are_describing = _list_of(is_describing)


def _is_item(item: object) -> bool:
    return (
        isinstance(item, Mapping)
        and isinstance(item.get("sku"), str)
        and item["sku"] != ""
        and _is_number(item.get("price"))
        and _is_whole(item.get("quantity"))
        and _are_describing(item.get("context") or ())
    )


def _has_item_keys(item: object) -> bool:
    return isinstance(item, Mapping) and {"sku", "price", "quantity"} <= item.keys()


def _is_filter(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(chosen, str | bool) for name, chosen in value.items()
    )


DESCRIBING = _always("SelfDescribingJson", is_describing)
CONTEXT = _always(
    "list(SelfDescribingJson)|None",
    # A number here is meant as tstamp: the 0.7 manual counts the arguments wrongly.
    lambda value: value is None or _is_number(value) or _are_describing(value),
)
ITEMS = Rule(
    "list(item with sku, price and quantity)|None",
    lambda value: value is None or _list_of(_is_item)(value),
    holds_in_1_1=lambda value: value is None or _list_of(_has_item_keys)(value),
)
TEXTS = _always("list(str)", _list_of(lambda item: isinstance(item, str)))
OPTIONAL_TEXTS = _optional(TEXTS)
NON_EMPTY_TEXTS = _always(
    "non-empty list(str)", lambda value: TEXTS.holds(value) and len(value) > 0
)
FORM_ELEMENTS = _optional(_always("list(form element)", _list_of(is_form_element)))
FILTERS = _optional(_always("dict(str: str|bool)", _is_filter))


def texts(*names: str) -> dict[str, Rule]:
    """The rule of a text that may be missing, for several arguments."""
    return dict.fromkeys(names, OPTIONAL_TEXT)


#: The arguments that every ``track`` method has.
OF_EVERY_EVENT = {
    "context": CONTEXT,
    "tstamp": TIMESTAMP,
    "event_subject": OPTIONAL_SUBJECT,
}
