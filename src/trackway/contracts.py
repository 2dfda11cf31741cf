"""Contracts of public arguments: what is expected, what becomes of what came, and the complaint."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from typing import Any

from trackway.errors import ContractNotRespected
from trackway.logs import logger

#: Types that have one obvious text, by the names of their modules and classes: importing them
#: only to compare would cost every application.
_HAVE_TEXT = frozenset(
    (
        ("uuid", "UUID"),
        ("decimal", "Decimal"),
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("ipaddress", "IPv4Address"),
        ("ipaddress", "IPv6Address"),
    )
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
#: Whole numbers from here on are sent as floats, because a wire bounds the digits of a number.
_MANY_DIGITS = 10**200
#: So many different breaches are logged; arguments may have names that users make up.
_MOST_LOGGED = 1000
#: The most characters of a value in a message.
_MOST_SHOWN = 80


class Contracts:
    """Fits arguments to what is expected, and complains of those that cannot be fitted.

    ``strict``: True raises ContractNotRespected; False counts the breach in ``broken``, logs the
    first one of each argument, and the event goes on with what is valid; None raises while
    pytest runs a test, so that mistakes are found there, and counts otherwise.
    """

    def __init__(self, strict: bool | None = None) -> None:
        self.strict = strict
        self.broken = 0
        self._logged: set[tuple[str, str]] = set()

    def breach(self, place: str, argument: str, expected: str, value: Any) -> None:
        """Complain of an argument. Raises ContractNotRespected if strict."""
        if self.strict or (self.strict is None and "PYTEST_CURRENT_TEST" in os.environ):
            raise ContractNotRespected(_message(place, argument, expected, value))
        self.broken += 1
        if (place, argument) not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add((place, argument))
            message = _message(place, argument, expected, value)
            logger().warning("%s (logged once; counted as invalid_argument)", message)

    def text(self, place: str, argument: str, value: Any, limit: int = 0) -> str | None:
        """Text. Numbers, UUIDs, dates, paths, Decimals, addresses and bytes (UTF-8) have one;
        what is longer than ``limit`` characters is cut."""
        found = value if type(value) is str else _guarded(_text, value)
        if found is None:
            if value is not None:
                self.breach(place, argument, "a text", value)
            return None
        if limit and len(found) > limit:
            self.breach(place, argument, f"at most {limit} characters long", value)
            found = found[:limit]
        return found or None

    def number(
        self,
        place: str,
        argument: str,
        value: Any,
        least: float = -math.inf,
        most: float = math.inf,
    ) -> int | float | None:
        """A finite number, from ``least`` to ``most``. Numbers written as text, Decimals and the
        numbers of NumPy are converted."""
        small = type(value) is int and -_MANY_DIGITS < value < _MANY_DIGITS
        found: int | float | None = value if small else _guarded(_number, value)
        if found is not None and least <= found <= most:
            return found
        if value is not None:
            self.breach(place, argument, "a finite number" + _range(least, most), value)
        return None

    def whole(
        self,
        place: str,
        argument: str,
        value: Any,
        least: float = -math.inf,
        most: float = math.inf,
    ) -> int | None:
        """A whole number, from ``least`` to ``most``."""
        found: int | float | None = value if type(value) is int else _guarded(_number, value)
        if found is not None and least <= found <= most and found == int(found):
            return int(found)
        if value is not None:
            self.breach(place, argument, "a whole number" + _range(least, most), value)
        return None

    def uuid(self, place: str, argument: str, value: Any) -> str | None:
        """A UUID, as text in lower case."""
        text: str | None = _guarded(_text, value)
        if text is not None and _UUID.fullmatch(text.lower()):
            return text.lower()
        if value is not None:
            self.breach(place, argument, "a UUID", value)
        return None

    def flag(self, place: str, argument: str, value: Any) -> bool | None:
        """True or False."""
        if value is None or type(value) is bool:
            return value
        self.breach(place, argument, "True or False", value)
        return None

    def one_of(self, place: str, argument: str, value: Any, choices: Iterable[str]) -> str | None:
        """One of some words."""
        found: str | None = _guarded(_text, value)
        if found is not None and found in choices:
            return found
        if value is not None:
            self.breach(place, argument, f"one of {', '.join(sorted(choices))}", value)
        return None


def shown(value: Any) -> str:
    """A value as a message shows it: short, with its type, and never failing itself."""
    try:
        short = value[:_MOST_SHOWN] if type(value) in (str, bytes) else value
        text = repr(short)
    except Exception:  # somebody else's __repr__
        text = "?"
    if len(text) > _MOST_SHOWN:
        text = f"{text[: _MOST_SHOWN - 3]}..."
    return f"{text} ({type(value).__name__})"


def _message(place: str, argument: str, expected: str, value: Any) -> str:
    return f"{place}: {argument} must be {expected}, not {shown(value)}"


def _range(least: float, most: float) -> str:
    if math.isfinite(most):
        return f" from {least} to {most}"
    return f", at least {least}" if math.isfinite(least) else ""


def _guarded(convert: Any, value: Any) -> Any:
    """The value converted; None where it cannot be, also by fault of the value's own methods."""
    try:
        return convert(value)
    except Exception:
        return None


def _text(value: Any) -> str | None:
    if issubclass(type(value), str):
        # Of an Enum that is a str, this is the value; str() would give the name.
        return str.__str__(value)
    if isinstance(value, str):  # a proxy of one
        return str(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "__fspath__"):
        return os.fsdecode(value)
    kinds = [(kind.__module__, kind.__name__) for kind in type(value).__mro__]
    if not _HAVE_TEXT.isdisjoint(kinds):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    if ("enum", "Enum") in kinds:
        return _text(value.value)
    # NumPy's values say what they are; others may have an ``item`` without end.
    plain = value.item() if hasattr(value, "item") else value
    return None if hasattr(plain, "item") or plain is value else _text(plain)


def _number(value: Any) -> int | float | None:
    """The value as a finite number; of thousands of digits there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            value = float(value)
    elif not isinstance(value, int | float):
        # Numbers of NumPy say what they are; Decimals, Fractions and others become floats.
        value = value.item() if hasattr(value, "item") else float(value)
        if type(value) not in (int, float):
            return None
    if isinstance(value, int):
        whole = int.__pos__(value)
        return whole if -_MANY_DIGITS < whole < _MANY_DIGITS else float(whole)
    broken = float.__pos__(value)
    return broken if math.isfinite(broken) else None
