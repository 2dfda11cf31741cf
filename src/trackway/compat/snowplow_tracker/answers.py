"""What the ``track`` methods have in common: their last arguments, and what they return."""

from __future__ import annotations

from random import randrange
from typing import Any, Self

from trackway import tracker as native
from trackway.compat.snowplow_tracker.arguments import contexts, subject_of, times, told_apart
from trackway.compat.snowplow_tracker.compatibility import Compatibility
from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction
from trackway.event import Kind


class Answering(native.Tracker):
    """The ``track`` methods return the tracker; in version 0.4 the HTTP status of what they made
    a synchronous emitter send, if they did.

    They share the arguments ``context``, a list of self-describing JSONs (a number in its place
    is meant as ``tstamp``); ``tstamp``, milliseconds since 1970, sent as ``dtm`` (in 1.1 as
    ``ttm``), or a Timestamp that says which; ``event_subject``, instead of the tracker's subject
    (in 1.1 completed by it). Further keywords, such as ``true_timestamp``, are those of the
    native tracker.
    """

    compatibility: Compatibility
    json_encoder: JsonEncoderFunction | None = None

    def _common(
        self, context: Any, tstamp: Any, event_subject: Any, options: dict[str, Any]
    ) -> dict[str, Any]:
        """The last arguments of a call, as keyword arguments of the native method."""
        self._statuses()
        context, tstamp = told_apart(context, tstamp)
        created, true = times(tstamp, self.compatibility)
        more = {"tstamp": created, "context": contexts(context, self.json_encoder), **options}
        if true is not None:
            more.setdefault("true_timestamp", true)
        if event_subject is not None:
            more["event_subject"] = subject_of(event_subject, self.subject, self.compatibility)
        return more

    def _answer(self) -> Any:
        """What a ``track`` method returns."""
        statuses = self._statuses()
        return statuses[-1] if statuses else self

    def _statuses(self) -> list[int]:
        """The statuses of what this thread has sent since the last call, for version 0.4."""
        if self.compatibility != "0.4":
            return []
        asked = (getattr(emitter, "taken_status", None) for emitter in self.emitters)
        found = (ask() for ask in asked if ask is not None)
        return [status for status in found if status is not None]

    def _known(self, verb: str, options: dict[str, Any]) -> dict[str, Any] | None:
        """The native tracker's, with the keys that no field of Event has."""
        extra = options.pop("extra", None) or {}
        if self.compatibility == "0.4":
            extra = {"tid": str(self.get_transaction_id()), **extra}
        known = super()._known(verb, options)
        if known is not None and extra:
            known["extra"] = extra
        return known

    def _capture(
        self,
        verb: str,
        kind: Kind,
        required: tuple[str, ...],
        facts: dict[str, Any],
        context: Any,
        tstamp: float | None,
        options: dict[str, Any],
    ) -> str:
        """The native tracker's; an empty text says nothing."""
        facts = {name: None if _is_empty(value) else value for name, value in facts.items()}
        return super()._capture(verb, kind, required, facts, context, tstamp, options)

    def _describe(
        self,
        verb: str,
        schema: str,
        required: tuple[str, ...],
        data: dict[str, Any],
        context: Any,
        tstamp: float | None,
        options: dict[str, Any],
    ) -> Self:
        """The native tracker's; an empty text says nothing."""
        data = {name: None if _is_empty(value) else value for name, value in data.items()}
        return super()._describe(verb, schema, required, data, context, tstamp, options)

    @staticmethod
    def get_transaction_id() -> int:
        """A random number of six digits, which version 0.4 gives to every event."""
        return randrange(100_000, 999_999)


def _is_empty(value: object) -> bool:
    return isinstance(value, str) and not value
