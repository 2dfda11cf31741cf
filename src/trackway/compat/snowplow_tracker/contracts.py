"""Type and value checks of public arguments, which can be switched off and then cost nothing."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Container, Sized
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from trackway.compat.snowplow_tracker.compatibility import chosen
from trackway.compat.snowplow_tracker.constants import FORM_NODE_NAMES, FORM_TYPES
from trackway.errors import ContractNotRespected

__all__ = [
    "ContractNotRespected",
    "contract",
    "contracts_enabled",
    "disable_contracts",
    "enable_contracts",
    "form_element",
    "greater_than",
    "non_empty",
    "non_empty_string",
    "one_of",
    "satisfies",
]

_F = TypeVar("_F", bound=Callable[..., Any])

#: Longest text of a value in a message.
_SHOWN = 120


class Rule(NamedTuple):
    """What an argument must be.

    ``expected``: the rule in the words of a message. ``holds``: whether a value keeps it.
    ``coerced``: what version 1.1 makes of a value that does not. ``holds_in_1_1``: what that
    must keep all the same.
    """

    expected: str
    holds: Callable[[Any], bool]
    coerced: Callable[[Any], Any] = lambda value: value
    holds_in_1_1: Callable[[Any], bool] = lambda value: True


class _Contract:
    """Stands in a class body for a checked method until the class is made.

    Then the class gets the checked function or the plain one; ``disable_contracts`` and
    ``enable_contracts`` change the one for the other, so that a check that is off is not called.
    """

    def __init__(self, method: Any, rules: dict[str, Rule]) -> None:
        self.static = isinstance(method, staticmethod)
        self.plain = method.__func__ if self.static else method
        self.rules = rules

    def __set_name__(self, owner: type, name: str) -> None:
        place = f"{getattr(owner, 'contract_name', owner.__name__)}:{name}()"
        checked = _checked(self.plain, place, self.rules, self.static)
        wrap = staticmethod if self.static else _as_it_is
        swap = _Swap(owner, name, wrap(checked), wrap(self.plain))
        _swaps.append(swap)
        swap.set(_enabled)


class _Swap(NamedTuple):
    owner: type
    name: str
    checked: Any
    plain: Any

    def set(self, enabled: bool) -> None:
        setattr(self.owner, self.name, self.checked if enabled else self.plain)


_enabled = True
_swaps: list[_Swap] = []


def contract(**rules: Rule) -> Callable[[_F], _F]:
    """Check the arguments named in ``rules`` at each call of the decorated method.

    Raises ContractNotRespected. Where the object's ``compatibility`` is ``"1.1"``, a value of the
    wrong type is converted instead.
    """

    def decorate(method: Any) -> Any:
        return _Contract(method, rules)

    return decorate


def _as_it_is(function: Any) -> Any:
    return function


def _checked(plain: Any, place: str, rules: dict[str, Rule], static: bool) -> Any:
    names = tuple(inspect.signature(plain).parameters)
    ruled = [(index, name, rules[name]) for index, name in enumerate(names) if name in rules]

    @functools.wraps(plain)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not _enabled:  # a bound method that somebody kept from before
            return plain(*args, **kwargs)
        owner = None if static else args[0]
        version = getattr(owner, "compatibility", None) or chosen()
        for index, name, rule in ruled:
            if index < len(args):
                value = kept(place, name, args[index], rule, version, owner)
                if value is not args[index]:
                    args = (*args[:index], value, *args[index + 1 :])
            elif name in kwargs:
                kwargs[name] = kept(place, name, kwargs[name], rule, version, owner)
        return plain(*args, **kwargs)

    return checked


def kept(place: str, name: str, value: Any, rule: Rule, version: str, owner: object) -> Any:
    """The value, or what the version makes of it; raises what the document shows.

    While contracts are disabled it is the value, whatever that is.
    """
    if not _enabled or _holds(rule.holds, value):
        return value
    if version == "1.1":
        with suppress(Exception):  # of the value's own methods
            converted = rule.coerced(value)
            if rule.holds_in_1_1(converted):
                return converted
    raise breach(place, name, value, rule.expected, owner)


def _holds(check: Callable[[Any], bool], value: Any) -> bool:
    try:
        return check(value)
    except Exception:  # of the value's own methods
        return False


def breach(
    place: str, name: str, value: object, expected: str, owner: object = None
) -> ContractNotRespected:
    """The error that tells which argument of which method broke its contract."""
    text = _clip(value)
    kind = type(value).__name__
    said = f"got {kind!r}." if not isinstance(value, str) or value else "got ''."
    lines = [
        f"Breach for argument {name!r} to {place}.",
        f"Expected type {expected!r}, {said}",
        f"checking: {expected}   for value: Instance of {kind}: {text}",
    ]
    if owner is not None:
        lines += [
            "Variables bound in inner context:",
            f"- self: Instance of {type(owner).__name__}: {_clip(owner)}",
        ]
    return ContractNotRespected("\n".join(lines))


def _clip(value: object) -> str:
    """The value as text; one whose own ``__repr__`` fails must not hide the breach."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<unprintable: {type(error).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... [clip]"


# Switching --------------------------------------------------------------------------------------


def disable_contracts() -> None:
    """Check nothing from now on, in the whole process."""
    _switch(False)


def enable_contracts() -> None:
    """Check again, as at the start."""
    _switch(True)


def contracts_enabled() -> bool:
    """Whether arguments are checked."""
    return _enabled


def _switch(enabled: bool) -> None:
    global _enabled
    _enabled = enabled
    for swap in _swaps:
        swap.set(enabled)


# Checks of version 1.x, for those who call them -------------------------------------------------


def greater_than(value: float, compared_to: float) -> None:
    """Raises ContractNotRespected unless ``value`` is greater than ``compared_to``."""
    if _enabled and not value > compared_to:
        raise ContractNotRespected(f"{value!r} must be greater than {compared_to!r}")


def non_empty(seq: Sized) -> None:
    """Raises ContractNotRespected for a collection without elements."""
    if _enabled and not len(seq):
        raise ContractNotRespected(f"{_clip(seq)} is empty")


def non_empty_string(s: Any) -> None:
    """Raises ContractNotRespected for anything but a text with at least one character."""
    if _enabled and not (isinstance(s, str) and s):
        raise ContractNotRespected(f"{_clip(s)} is no text, or empty")


def one_of(value: Any, supported: Container[Any]) -> None:
    """Raises ContractNotRespected unless ``value`` is among ``supported``."""
    if _enabled and value not in supported:
        raise ContractNotRespected(f"{_clip(value)} is not supported")


def satisfies(value: Any, check: Callable[[Any], bool]) -> None:
    """Raises ContractNotRespected unless ``check(value)`` is true."""
    if _enabled and not check(value):
        raise ContractNotRespected(f"{_clip(value)} is not allowed")


def form_element(element: dict[str, Any]) -> None:
    """Raises ContractNotRespected unless it describes an element of a form.

    It needs ``name``, ``value`` and ``nodeName`` (INPUT, TEXTAREA or SELECT); the ``type`` of an
    INPUT must be one that HTML knows. Source: the schema submit_form 1-0-0 of Iglu Central.
    """
    satisfies(element, is_form_element)


def is_form_element(element: object) -> bool:
    """Whether it describes an element of a form."""
    if not isinstance(element, dict) or not {"name", "value", "nodeName"} <= element.keys():
        return False
    if element["nodeName"] not in FORM_NODE_NAMES:
        return False
    known_type = element.get("type") is None or str(element["type"]).lower() in FORM_TYPES
    return element["nodeName"] != "INPUT" or known_type
