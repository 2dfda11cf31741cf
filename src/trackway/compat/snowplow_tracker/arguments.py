"""The arguments that every ``track`` method has, made those of the native tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trackway import subject as native
from trackway.compat.snowplow_tracker.compatibility import Compatibility
from trackway.compat.snowplow_tracker.contracts import breach, contracts_enabled
from trackway.compat.snowplow_tracker.describing import Describing, to_native
from trackway.compat.snowplow_tracker.subject import Subject
from trackway.compat.snowplow_tracker.timestamp import Timestamp
from trackway.compat.snowplow_tracker.typing import JsonEncoderFunction

Context = Sequence[Describing] | float | None
When = float | Timestamp | None


def contexts(value: Any, json_encoder: JsonEncoderFunction | None) -> Any:
    """The contexts as our own; what is no list of them is the native tracker's to complain of."""
    if not isinstance(value, list | tuple):
        return value
    return [to_native(one, "Tracker:track()", "context", json_encoder) for one in value]


def told_apart(context: Any, tstamp: Any) -> tuple[Any, Any]:
    """Context and timestamp, where a number in the place of the context is the timestamp."""
    if isinstance(context, int | float) and not isinstance(context, bool):
        if tstamp is not None and contracts_enabled():
            raise breach("Tracker:track()", "context", context, "list(SelfDescribingJson)|None")
        return None, context if tstamp is None else tstamp
    return context, tstamp


def times(tstamp: Any, version: Compatibility) -> tuple[Any, Any]:
    """When the event was created (``dtm``), and when it counts as having happened (``ttm``)."""
    if isinstance(tstamp, Timestamp):
        is_true = tstamp.ts_type == "ttm"
        tstamp = tstamp.value
    else:
        is_true = version == "1.1"
    return (None, tstamp) if is_true else (tstamp, None)


def subject_of(event_subject: Any, tracker_subject: Any, version: Compatibility) -> Any:
    """Whom one event is about: in version 1.1 the tracker's subject fills what is left open."""
    if version != "1.1" or not isinstance(event_subject, native.Subject):
        return event_subject
    combined = Subject()
    combined.facts = {**tracker_subject.facts, **event_subject.facts}
    return combined
