"""Any value as JSON text."""

from __future__ import annotations

from typing import Any

import msgspec

from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction
from trackway.event import plain


def json_text(value: Any, json_encoder: JsonEncoderFunction | None = None) -> str:
    """Compact JSON of a value, non-ASCII characters as they are.

    ``json_encoder`` is called for a value that JSON cannot say; without it such a value becomes
    text. NaN and infinities become null, lone surrogates a question mark; what is nested without
    end is cut.
    """
    try:
        return msgspec.json.encode(value, enc_hook=json_encoder or str).decode()
    except Exception:  # whatever is wrong with it, the rest of the event is worth sending
        return msgspec.json.encode(plain(value)).decode()
