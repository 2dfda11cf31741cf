"""Trackers of the process by their namespaces."""

from __future__ import annotations

import threading
from typing import ClassVar

from trackway.compat.snowplow_tracker.emitter_configuration import EmitterConfiguration
from trackway.compat.snowplow_tracker.emitters import AsyncEmitter, Emitter
from trackway.compat.snowplow_tracker.logs import logger
from trackway.compat.snowplow_tracker.subject import Subject
from trackway.compat.snowplow_tracker.tracker import Tracker
from trackway.compat.snowplow_tracker.tracker_configuration import TrackerConfiguration
from trackway.compat.snowplow_tracker.typing import Method


class Snowplow:
    """Makes trackers and finds them again; all methods are class methods."""

    _trackers: ClassVar[dict[str, Tracker]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def create_tracker(
        cls,
        namespace: str,
        endpoint: str,
        method: Method = "post",
        app_id: str | None = None,
        subject: Subject | None = None,
        tracker_config: TrackerConfiguration | None = None,
        emitter_config: EmitterConfiguration | None = None,
    ) -> Tracker:
        """A new tracker with one emitter to ``endpoint``, https unless that names a scheme.

        The emitter is synchronous, or with ``EmitterConfiguration(thread_count=...)`` an
        AsyncEmitter. Raises TypeError if the namespace is in use.
        """
        config = tracker_config or TrackerConfiguration()
        options = {"protocol": "https", **(emitter_config or EmitterConfiguration()).arguments()}
        cls._refuse_if_used(namespace)
        make = AsyncEmitter if "thread_count" in options else Emitter
        tracker = Tracker(
            namespace,
            make(endpoint, method=method, **options),
            subject,
            app_id,
            config.encode_base64,
            config.json_encoder,
            compatibility=options.get("compatibility"),
        )
        return cls.add_tracker(tracker)

    @classmethod
    def add_tracker(cls, tracker: Tracker) -> Tracker:
        """Keep a tracker. Raises TypeError if it is none, has no namespace, or that is in use."""
        if not isinstance(tracker, Tracker):
            raise TypeError(f"expected a Tracker, not {type(tracker).__name__}")
        namespace = tracker.get_namespace()
        if not namespace:
            raise TypeError("the tracker has no namespace to be found by")
        with cls._lock:
            if namespace in cls._trackers:
                raise TypeError(f"the namespace {namespace!r} is in use")
            cls._trackers[namespace] = tracker
        return tracker

    @classmethod
    def remove_tracker(cls, tracker: Tracker) -> None:
        """Forget a tracker; it can still be used."""
        cls.remove_tracker_by_namespace(tracker.get_namespace() or "")

    @classmethod
    def remove_tracker_by_namespace(cls, namespace: str) -> None:
        """Forget the tracker of a namespace; where there is none, that is only logged."""
        with cls._lock:
            known = cls._trackers.pop(namespace, None)
        if known is None:
            logger.info("there is no tracker with the namespace %r", namespace)

    @classmethod
    def reset(cls) -> None:
        """Forget all trackers."""
        with cls._lock:
            cls._trackers.clear()

    @classmethod
    def get_tracker(cls, namespace: str) -> Tracker | None:
        """The tracker of a namespace, or None."""
        with cls._lock:
            return cls._trackers.get(namespace)

    @classmethod
    def _refuse_if_used(cls, namespace: str) -> None:
        if cls.get_tracker(namespace) is not None:
            raise TypeError(f"the namespace {namespace!r} is in use")
