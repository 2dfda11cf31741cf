"""Tracking of what is made already: a Payload of 0.x, or an Event of 1.x."""

from __future__ import annotations

from time import time_ns
from typing import Any

from trackway.compat.snowplow_tracker.answers import Answering
from trackway.compat.snowplow_tracker.events.event import Event
from trackway.compat.snowplow_tracker.logs import logger
from trackway.compat.snowplow_tracker.payload import Payload
from trackway.compat.snowplow_tracker.subject import Subject, wire_pairs
from trackway.errors import InvalidEvent
from trackway.event import ENCODED_NAMES
from trackway.ids import new_id
from trackway.wires.snowplow import decode_facts
from trackway.wires.snowplow_payload import text


class Payloads(Answering):
    """``track`` and ``complete_payload`` in all of their meanings, told apart by type."""

    def track(  # type: ignore[override]  # 0.x calls its first argument pb
        self, pb: Any, properties: Any = None, **options: Any
    ) -> Any:
        """A Payload of 0.x, completed where something is missing; the tracker (in 0.4 a status).
        An Event of 1.x; its id. A text: the native ``track(name, properties)``; the id."""
        if isinstance(pb, Event):
            return self._track_payload(pb.build_payload(False, self.json_encoder), options)
        if isinstance(pb, Payload):
            self._track_payload(pb, self._common(None, None, None, options))
            return self._answer()
        return super().track(pb, properties, **options)

    def complete_payload(
        self,
        payload: Any,
        context: Any = None,
        tstamp: Any = None,
        event_subject: Subject | None = None,
    ) -> Any:
        """A Payload of 0.x: complete and track it; the tracker. An Event of 1.x: the Payload that
        it would be sent as, which is not sent."""
        if isinstance(payload, Event):
            built = payload.build_payload(self._encoded.base64, self.json_encoder, self.subject)
            return self._completed(built)
        self._track_payload(payload, self._common(context, tstamp, event_subject, {}))
        return self._answer()

    def _track_payload(self, payload: Payload, more: dict[str, Any]) -> str:
        """Make an event of wire keys, so that scopes, steps and sinks know it. What cannot be
        read goes to the emitters as it is. The id of the event."""
        texts = {key: text(value) for key, value in payload.get().items()}
        try:
            facts = decode_facts(texts, strict=False)
        except InvalidEvent as error:
            logger.warning("a payload goes out as it is, because it cannot be read: %s", error)
            return self._send_as_it_is(self._completed(payload))
        kind, id_ = facts.pop("kind"), facts.pop("id")
        created, true = facts.pop("created", None), facts.pop("true", None)
        options = {"extra": facts.pop("extra", None), **more}
        tstamp = options.pop("tstamp", None)
        context = [*facts.pop("contexts", ()), *(options.pop("context", None) or ())]
        if "eid" in texts:
            options["event_id"] = id_
        if true is not None:
            options.setdefault("true_timestamp", true)
        named = {ENCODED_NAMES[f]: v for f, v in facts.items() if f not in ("name", "sent")}
        when = created if tstamp is None else tstamp
        return self._capture("track", kind, (), named, context or None, when, options)

    def _completed(self, payload: Payload) -> Payload:
        """A new payload with what every event has."""
        own = {"eid": new_id(), "dtm": str(time_ns() // 1_000_000), **self._fixed}
        return Payload({**wire_pairs(self.subject), **own, **payload.get()})

    def _send_as_it_is(self, payload: Payload) -> str:
        for emitter in self.emitters:
            try:
                emitter.input(dict(payload.get()))
            except Exception as error:  # of an emitter of the application
                self.pipeline.failed("emitter", emitter, error)
        return str(payload.get()["eid"])
