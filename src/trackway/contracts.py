"""Contracts of public arguments: what is expected, what becomes of what came, and the complaint."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable
from typing import Any

from trackway.errors import ContractNotRespected

logger = logging.getLogger("trackway")

#: Types that have one obvious text, by the names of their classes and modules: importing them
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
        message = f"{place}: {argument} must be {expected}, not {shown(value)}"
        if self.strict or (self.strict is None and "PYTEST_CURRENT_TEST" in os.environ):
            raise ContractNotRespected(message)
        self.broken += 1
        if (place, argument) not in self._logged:
            self._logged.add((place, argument))
            logger.warning("%s (logged once; counted as invalid_argument)", message)

    def text(self, place: str, argument: str, value: Any, limit: int = 0) -> str | None:
        """Text. Numbers, UUIDs, dates, paths, Decimals and bytes (UTF-8) have one; what is longer
        than ``limit`` characters is cut."""
        if not isinstance(value, str):
            found = _text(value)
            if found is None:
                if value is not None:
                    self.breach(place, argument, "a text", value)
                return None
            value = found
        if limit and len(value) > limit:
            self.breach(place, argument, f"at most {limit} characters long", value)
            value = value[:limit]
        return value or None

    def number(self, place: str, argument: str, value: Any) -> int | float | None:
        """A finite number. Decimals and numbers written as text are converted."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            found: int | float | None = value
        else:
            found = _number(value)
        if found is None or not math.isfinite(found):
            if value is not None:
                self.breach(place, argument, "a finite number", value)
            return None
        return found

    def whole(self, place: str, argument: str, value: Any, least: int | None = None) -> int | None:
        """A whole number, at least ``least``."""
        found = value if value.__class__ is int else _number(value)
        if found is None or not math.isfinite(found) or found != int(found):
            if value is not None:
                self.breach(place, argument, "a whole number", value)
            return None
        if least is not None and found < least:
            self.breach(place, argument, f"a whole number, at least {least}", value)
            return None
        return int(found)

    def flag(self, place: str, argument: str, value: Any) -> bool | None:
        """True or False."""
        if value is None or isinstance(value, bool):
            return value
        self.breach(place, argument, "True or False", value)
        return None

    def one_of(self, place: str, argument: str, value: Any, choices: Iterable[str]) -> str | None:
        """One of some words."""
        if value is None or (isinstance(value, str) and value in choices):
            return value
        self.breach(place, argument, f"one of {', '.join(sorted(choices))}", value)
        return None


def shown(value: Any) -> str:
    """A value as a message shows it: short, with its type, and never failing itself."""
    try:
        text = repr(value)
    except Exception:  # somebody else's __repr__
        text = "?"
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return f"{short} ({type(value).__name__})"


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "__fspath__"):
        return os.fsdecode(value)
    kind = type(value)
    if (kind.__module__.partition(".")[0], kind.__name__) in _HAVE_TEXT:
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    return None


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) or type(value).__name__ in ("Decimal", "Fraction"):
        try:
            return int(value) if isinstance(value, str) and value.isdecimal() else float(value)
        except (ValueError, OverflowError):
            return None
    # NumPy's and others' numbers say themselves what they are.
    try:
        found: object = value.item() if hasattr(value, "item") else value.__index__()
    except Exception:
        return None
    return found if isinstance(found, int | float) else None
