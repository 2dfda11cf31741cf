"""What all events of version 1.x have: a payload, a subject, contexts and a true time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trackway import subject as native
from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.constants import CONTEXT_SCHEMA
from trackway.compat.snowplow_tracker.describing import Describing, to_native
from trackway.compat.snowplow_tracker.events.fields import Field
from trackway.compat.snowplow_tracker.payload import Payload
from trackway.compat.snowplow_tracker.subject import Subject, wire_pairs
from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction
from trackway.event import SelfDescribingJson


class Event:
    """``event_subject``: whom it is about, completed by the tracker's subject. ``context``: a
    list of self-describing JSONs. ``true_timestamp``: when it happened, milliseconds since 1970.

    An event can be tracked more than once: each time makes an event with an id of its own, and
    changes nothing here.
    """

    event_subject = Field("event_subject", rules.OPTIONAL_SUBJECT, "_around")
    context = Field("context", rules.CONTEXT, "_around")
    true_timestamp = Field("true_timestamp", rules.TIMESTAMP, "_around")

    def __init__(
        self,
        dict_: Mapping[str, Any] | None = None,
        event_subject: Subject | None = None,
        context: Sequence[Describing] | None = None,
        true_timestamp: float | None = None,
    ) -> None:
        self._around: dict[str, Any] = {}
        self.payload = Payload(dict_)
        self.event_subject = event_subject
        self.context = context
        self.true_timestamp = true_timestamp

    def build_payload(
        self,
        encode_base64: bool,
        json_encoder: JsonEncoderFunction | None = None,
        subject: native.Subject | None = None,
    ) -> Payload:
        """A new payload of everything that the event says; ``subject`` fills what its own subject
        leaves open."""
        payload = Payload(self.payload.get())
        for about in (subject, self.event_subject):
            if isinstance(about, native.Subject):
                payload.add_dict(wire_pairs(about))
        if contexts := self._contexts():
            envelope = {"schema": CONTEXT_SCHEMA, "data": contexts}
            payload.add_json(envelope, encode_base64, "cx", "co", json_encoder)
        true = getattr(self.true_timestamp, "value", self.true_timestamp)
        if isinstance(true, int | float) and math.isfinite(true):
            payload.add("ttm", int(true))
        return payload

    def _contexts(self) -> list[dict[str, Any]]:
        """The contexts in their envelopes; what is none is left out."""
        place = f"{type(self).__name__}:build_payload()"
        given = self.context if isinstance(self.context, list | tuple) else ()
        found = [to_native(one, place, "context") for one in given]
        return [one.to_json() for one in found if isinstance(one, SelfDescribingJson)]
