"""The payload of one event as a dictionary of wire keys, which version 1.x shows to its users."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from trackway.compat.snowplow_tracker.json_text import json_text
from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction, PayloadDict


class Payload:
    """Wire keys and values of one event; a value that is None or empty is not kept."""

    def __init__(self, dict_: Mapping[str, Any] | None = None) -> None:
        self.nv_pairs: PayloadDict = {}
        if dict_ is not None:
            self.add_dict(dict_)

    def add(self, name: str, value: Any) -> None:
        """Set a key; None and ``""`` are left out, 0 is kept."""
        if value is not None and not (isinstance(value, str) and value == ""):
            self.nv_pairs[name] = value

    def add_dict(self, dict_: Mapping[str, Any], base64: bool = False) -> None:
        """Set every key of a dictionary. ``base64`` is taken for old callers and means nothing."""
        for name, value in dict_.items():
            self.add(name, value)

    def add_json(
        self,
        dict_: Mapping[str, Any] | None,
        encode_base64: bool,
        type_when_encoded: str,
        type_when_not_encoded: str,
        json_encoder: JsonEncoderFunction | None = None,
    ) -> None:
        """Set one of two keys to a dictionary as JSON: base64-coded under the one, plain under
        the other. An empty dictionary is left out. ``json_encoder`` is called for a value that
        JSON cannot say."""
        if not dict_:
            return
        text = json_text(dict_, json_encoder)
        if encode_base64:
            coded = urlsafe_b64encode(text.encode("utf-8", "replace"))
            self.add(type_when_encoded, coded.decode("ascii"))
        else:
            self.add(type_when_not_encoded, text)

    def get(self) -> PayloadDict:
        """The keys and values themselves, not a copy."""
        return self.nv_pairs

    def __repr__(self) -> str:
        return f"Payload({self.nv_pairs!r})"
