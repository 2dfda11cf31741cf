"""Payloads that others have made, as JSON of the Snowplow wire: every value a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from trackway.event import plain

_encode = msgspec.json.Encoder().encode


def payload_json(payload: Mapping[str, Any]) -> bytes:
    """The payload as JSON bytes; empty if there is nothing in it.

    Unknown keys are kept. Numbers become text and true ``1``, because one value that is no text
    makes a collector refuse the whole POST; None, empty text, NaN and infinities are left out;
    what is a structure becomes JSON text. The time of sending (``stm``) is left out: who sends
    says it. What is no mapping has nothing in it.
    """
    try:
        texts = {text(key): text(value) for key, value in payload.items()}
    except Exception:  # no mapping, or one whose own methods fail
        return b""
    texts.pop("stm", None)
    known = {key: value for key, value in texts.items() if key and value}
    if not known:
        return b""
    try:
        return _encode(known)
    except UnicodeEncodeError:  # lone surrogates have no UTF-8 form
        return _encode(plain(known))


def text(value: Any) -> str:
    """A value as the wire writes it; empty text for what it cannot say. Raises nothing."""
    if type(value) is str:
        return value
    try:
        return _text(value)
    except Exception:  # the value's own methods, or a number of thousands of digits
        return ""


def _text(value: Any) -> str:
    if issubclass(type(value), str):
        # Of an Enum that is a str, this is the value; str() would give the name.
        return str.__str__(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "01"[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    simple = plain(value)
    if isinstance(simple, dict | list):
        return _encode(simple).decode()
    return _text(simple)
