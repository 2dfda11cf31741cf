"""Payloads that others have made, as JSON of the Snowplow wire: every value a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(enc_hook=str).encode


def payload_json(payload: Mapping[str, Any]) -> bytes:
    """The payload as JSON bytes; empty if there is nothing in it.

    Unknown keys are kept. Numbers become text and true ``1``, because one value that is no text
    makes a collector refuse the whole POST; None, empty text, NaN and infinities are left out;
    what is a structure becomes JSON text. The time of sending (``stm``) is left out: who sends
    says it.
    """
    texts = {str(key): text(value) for key, value in payload.items() if key != "stm"}
    known = {key: value for key, value in texts.items() if value}
    if not known:
        return b""
    try:
        return _encode(known)
    except UnicodeEncodeError:  # lone surrogates have no UTF-8 form
        return _encode({_utf8(key): _utf8(value) for key, value in known.items()})


def text(value: Any) -> str:
    """A value as the wire writes it; empty text for what it cannot say."""
    if isinstance(value, str):
        return str(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "01"[value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict | list | tuple):
        try:
            return _encode(value).decode()
        except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
            return str(value)
    return str(value)


def _utf8(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
