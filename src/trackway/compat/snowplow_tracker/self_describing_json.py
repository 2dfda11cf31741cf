"""Data together with the schema that describes it, as the old tracker's users make it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.contracts import contract
from trackway.compat.snowplow_tracker.json_text import json_text
from trackway.compat.snowplow_tracker.typing import PayloadDict


class SelfDescribingJson:
    """``schema`` has the form ``iglu:vendor/name/jsonschema/1-0-0`` (``iglu:`` may be missing);
    ``data`` is anything that JSON can say."""

    @contract(schema=rules.NON_EMPTY_TEXT)
    def __init__(self, schema: str, data: Mapping[str, Any] | list[Any]) -> None:
        self.schema = schema
        self.data = data

    def to_json(self) -> PayloadDict:
        """A dictionary with exactly the keys ``schema`` and ``data``."""
        return {"schema": self.schema, "data": self.data}

    def to_string(self) -> str:
        """The dictionary as JSON text."""
        return json_text(self.to_json())

    def __repr__(self) -> str:
        return f"SelfDescribingJson({self.schema!r}, {self.data!r})"
