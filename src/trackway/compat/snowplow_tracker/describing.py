"""The forms in which users hand over self-describing JSON, made one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trackway import event as native
from trackway.compat.snowplow_tracker.contracts import breach, contracts_enabled
from trackway.compat.snowplow_tracker.json_text import json_text
from trackway.compat.snowplow_tracker.rules import is_describing
from trackway.compat.snowplow_tracker.self_describing_json import SelfDescribingJson
from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction
from trackway.wires.snowplow import SCHEMA_REFERENCE

Describing = SelfDescribingJson | native.SelfDescribingJson | Mapping[str, Any] | tuple[str, Any]
"""An object with ``schema`` and ``data``, a dictionary with these keys, or a pair of them."""


def to_native(
    value: Describing,
    place: str,
    name: str,
    json_encoder: JsonEncoderFunction | None = None,
) -> Any:
    """Our own self-describing JSON of any of the forms, its schema completed with ``iglu:``.

    ``json_encoder`` is called for what JSON cannot say. What has none of the forms is given back
    as it is. Raises ContractNotRespected, while contracts are enabled, for a schema that is no
    reference.
    """
    if not is_describing(value):
        return value
    schema, data = _parts(value)
    reference = schema if schema.startswith("iglu:") else f"iglu:{schema}"
    if SCHEMA_REFERENCE.fullmatch(reference):
        schema = reference
    elif contracts_enabled():
        raise breach(place, name, schema, "iglu:vendor/name/format/version")
    if json_encoder is not None:
        data = msgspec.json.decode(json_text(data, json_encoder))
    return native.SelfDescribingJson(schema, data)


def _parts(value: Any) -> tuple[str, Any]:
    if isinstance(value, Mapping):
        return str(value["schema"]), value["data"]
    if isinstance(value, tuple):
        return str(value[0]), value[1]
    return str(value.schema), value.data
