"""Which argument of ``Tracker(...)`` is which, in both of the orders that its versions had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ORDER_0_7 = ("emitters", "subject", "namespace", "app_id", "encode_base64", "json_encoder")
_ORDER_1_1 = ("namespace", "emitters", "subject", "app_id", "encode_base64", "json_encoder")


def named_arguments(args: Sequence[Any], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments by their names; those taken from ``options`` are taken out of it.

    A text in front means the order of 1.x, an emitter or a list of them that of 0.x. Raises
    TypeError for anything else, for an argument that is given twice and for one too many.
    """
    order = _ORDER_1_1 if args and isinstance(args[0], str) else _ORDER_0_7
    if len(args) > len(order):
        raise TypeError(f"Tracker takes at most {len(order)} arguments by position")
    given = dict(zip(order, args, strict=False))
    for name, place in [*((name, name) for name in order), ("emitter", "emitters")]:
        if name in options:
            if place in given:
                raise TypeError(f"Tracker got several values for {place!r}")
            given[place] = options.pop(name)
    return given


def several_emitters(emitters: Any) -> list[Any]:
    """One emitter or several as a list. Raises TypeError for what is none, ValueError for an
    empty list."""
    several = list(emitters) if isinstance(emitters, list | tuple) else [emitters]
    if not several:
        raise ValueError("a Tracker needs at least one emitter")
    for emitter in several:
        if not callable(getattr(emitter, "input", None)):
            raise TypeError(
                f"expected a namespace (text), an emitter with an input method or a list of "
                f"these, not {type(emitter).__name__}"
            )
    return several
