"""How a tracker made by ``Snowplow.create_tracker`` writes its events."""

from __future__ import annotations

from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction


class TrackerConfiguration:
    """``encode_base64``: whether JSON inside a payload is base64-coded. ``json_encoder``: called
    for a value that JSON cannot say; returns one that it can."""

    def __init__(
        self, encode_base64: bool | None = None, json_encoder: JsonEncoderFunction | None = None
    ) -> None:
        self.encode_base64 = True if encode_base64 is None else encode_base64
        self.json_encoder = json_encoder
