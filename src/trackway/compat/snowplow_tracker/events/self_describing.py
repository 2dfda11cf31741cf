"""Something whose shape a schema describes."""

from __future__ import annotations

from collections.abc import Sequence

from trackway import subject as native
from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.constants import UNSTRUCT_EVENT_SCHEMA
from trackway.compat.snowplow_tracker.describing import Describing, to_native
from trackway.compat.snowplow_tracker.events.event import Event
from trackway.compat.snowplow_tracker.events.fields import Field
from trackway.compat.snowplow_tracker.payload import Payload
from trackway.compat.snowplow_tracker.subject import Subject
from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction
from trackway.event import SelfDescribingJson


class SelfDescribing(Event):
    """An event that consists of one self-describing JSON."""

    event_json = Field("event_json", rules.DESCRIBING, "_own")

    def __init__(
        self,
        event_json: Describing,
        event_subject: Subject | None = None,
        context: Sequence[Describing] | None = None,
        true_timestamp: float | None = None,
    ) -> None:
        super().__init__(
            event_subject=event_subject, context=context, true_timestamp=true_timestamp
        )
        self._own: dict[str, Describing] = {}
        self.payload.add("e", "ue")
        self.event_json = event_json

    def build_payload(
        self,
        encode_base64: bool,
        json_encoder: JsonEncoderFunction | None = None,
        subject: native.Subject | None = None,
    ) -> Payload:
        """As ``Event.build_payload``, with the JSON in its envelope."""
        payload = super().build_payload(encode_base64, json_encoder, subject)
        place = f"{type(self).__name__}:build_payload()"
        event = to_native(self.event_json, place, "event_json")
        if isinstance(event, SelfDescribingJson):
            envelope = {"schema": UNSTRUCT_EVENT_SCHEMA, "data": event.to_json()}
            payload.add_json(envelope, encode_base64, "ue_px", "ue_pr", json_encoder)
        return payload
