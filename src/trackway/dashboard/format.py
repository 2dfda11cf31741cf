"""Numbers as people read them."""

from __future__ import annotations

from typing import NamedTuple

NONE = "\N{EN DASH}"


def number(value: float | None) -> str:
    """Like ``812``, ``1.2k``, ``34k`` or ``5.6M``."""
    if value is None:
        return NONE
    for limit, divisor, unit in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        # 999 950 would be rounded to 1000k, so it belongs to the next unit already.
        if abs(value) < limit - limit / 20_000:
            return _short(value / divisor) + unit
    return _short(value / 1e9) + "G"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}".removesuffix(".0")


def exact(value: float | None) -> str:
    """Like ``1,234``."""
    return NONE if value is None else f"{value:,}"


def decimal(value: float | None) -> str:
    """Like ``2.85``."""
    return NONE if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def percent(value: float | None) -> str:
    """A share (0 to 1) like ``45 %``; below ten percent with one digit more."""
    if value is None:
        return NONE
    hundredths = value * 100
    text = f"{hundredths:.1f}" if 0 < abs(hundredths) < 9.95 else f"{hundredths:.0f}"
    return f"{text.removesuffix('.0')}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """Like ``42s``, ``2m 13s`` or ``1h 05m``."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


class Change(NamedTuple):
    """How a number moved: the text, the way (1, 0 or -1), and whether that is good, bad or
    neither."""

    text: str
    way: int
    mood: str


def change(
    current: float | None, previous: float | None, *, better: int = 1, points: bool = False
) -> Change | None:
    """From the previous number to the current one, relative, or in percentage points.

    ``better`` says which way is good. None where there is nothing to compare with.
    """
    if current is None or previous is None or (not points and not previous):
        return None
    moved = current - previous if points else (current - previous) / previous
    shown = round(moved * 100)
    way = (shown > 0) - (shown < 0)
    mood = {1: "good", 0: "even", -1: "bad"}[way * better]
    unit = "%" if not points else "pt" if abs(shown) == 1 else "pts"
    amount = f"{abs(shown):,}" if abs(shown) < 10_000 else number(abs(shown))
    return Change(f"{amount}\N{NO-BREAK SPACE}{unit}", way, mood)
