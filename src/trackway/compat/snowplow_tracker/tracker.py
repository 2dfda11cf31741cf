"""The old tracker on top of the native one."""

from __future__ import annotations

import threading
from time import time_ns
from typing import Any
from uuid import uuid4

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.compatibility import Compatibility, chosen
from trackway.compat.snowplow_tracker.construction import named_arguments, several_emitters
from trackway.compat.snowplow_tracker.contracts import contract, kept
from trackway.compat.snowplow_tracker.emitting import Emitting
from trackway.compat.snowplow_tracker.flushing import seconds_to_wait
from trackway.compat.snowplow_tracker.ordering import Ordering
from trackway.compat.snowplow_tracker.payloads import Payloads
from trackway.compat.snowplow_tracker.subject import Subject
from trackway.compat.snowplow_tracker.subject_setters import SubjectSetters
from trackway.compat.snowplow_tracker.tracking import Tracking
from trackway.delivery.worker import FLUSH_SECONDS


class Tracker(SubjectSetters, Payloads, Tracking, Ordering):
    """Makes events and hands them to emitters.

    ``Tracker(emitters, subject, namespace, app_id, encode_base64, json_encoder)``, or as in 1.x
    ``Tracker(namespace, emitters, subject, app_id, encode_base64, json_encoder)``; ``emitter`` is
    another name of ``emitters``. ``emitters``: one or a list of at least one, each anything with
    ``input(dict)``. ``subject``: None is a new Subject. ``compatibility``: see
    ``set_compatibility``. Further keywords are those of the native Tracker, such as ``steps``.

    Raises TypeError for what is no emitter, ValueError for an empty list, ContractNotRespected
    for other arguments of the wrong type.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.compatibility: Compatibility = chosen(options.pop("compatibility", None))
        given = named_arguments(args, options)
        if "emitters" not in given:
            raise TypeError("Tracker needs an emitter or a list of emitters")
        emitters = several_emitters(given.pop("emitters"))
        self.json_encoder = given.pop("json_encoder", None)
        for name, rule in _CONSTRUCTOR.items():
            if given.get(name) is not None:
                place = "Tracker:__init__()"
                given[name] = kept(place, name, given[name], rule, self.compatibility, None)
        if given.get("subject") is None:
            given["subject"] = Subject(compatibility=self.compatibility)
        super().__init__(emitters, **{"strict": False, **options}, **given)

    # -- around it

    @property
    def emitter(self) -> Any:
        """The first emitter; version 0.4 had no other."""
        return self.emitters[0]

    @property
    def encode_base64(self) -> bool:
        """Whether JSON inside a payload is base64-coded."""
        return self._encoded.base64

    def get_namespace(self) -> str | None:
        """The name of the tracker."""
        return self._fixed.get("tna")

    def add_emitter(self, emitter: Any) -> Any:
        """Send to one emitter, or a list of them, more; the tracker."""
        super().add_emitter(several_emitters(emitter))
        return self

    addEmitter = add_emitter  # noqa: N815 - the name in the 0.7 manual

    @staticmethod
    def get_uuid() -> str:
        """A new random UUID."""
        return str(uuid4())

    @contract(tstamp=rules.TIMESTAMP)
    @staticmethod
    def get_timestamp(tstamp: Any = None) -> int:
        """The timestamp in whole milliseconds; None is now."""
        tstamp = getattr(tstamp, "value", tstamp)
        return int(tstamp) if isinstance(tstamp, int | float) else time_ns() // 1_000_000

    def flush(self, timeout: float | None = None, **old: Any) -> Any:
        """Make all emitters send what they have gathered; the tracker.

        ``timeout``: seconds to wait for each; None: until everything was tried; False or 0 does
        not wait. Keywords ``is_async`` and ``async``: true does not wait.
        """
        seconds = seconds_to_wait(timeout, old)
        sinks = [sink for sink in self.pipeline.sinks if sink is not self._encoded]
        for part in [*self.emitters, *sinks]:
            try:
                _flush(part, seconds)
            except Exception as error:  # of an emitter or sink of the application
                self.pipeline.failed("emitter", part, error)
        return self


_CONSTRUCTOR = {
    "namespace": rules.TEXT,
    "app_id": rules.TEXT,
    "encode_base64": rules.YES_OR_NO,
    "subject": rules.SUBJECT,
}


def _flush(part: Any, seconds: float | None) -> None:
    """Emitters of this package know all the meanings; ours and sinks take seconds; a custom
    emitter takes nothing, and need not have a flush at all."""
    if isinstance(part, Emitting):
        part.flush(seconds)
    elif hasattr(part, "put") or hasattr(part, "send"):
        part.flush(FLUSH_SECONDS if seconds is None else seconds)
    elif callable(flush := getattr(part, "flush", None)):
        if seconds == 0:
            threading.Thread(target=flush, daemon=True).start()
        else:
            flush()
