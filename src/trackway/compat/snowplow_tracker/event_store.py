"""Where an emitter keeps payloads until they are sent: the protocol, and a list in memory."""

from __future__ import annotations

import logging
import threading
from typing import Protocol, runtime_checkable

from trackway.compat.snowplow_tracker.typing import PayloadDict, PayloadDictList


@runtime_checkable
class EventStore(Protocol):
    """Keeps payloads; one of your own may keep them on disk or in a database."""

    def add_event(self, payload: PayloadDict) -> bool:
        """Keep one payload; False if there is no room."""

    def get_events_batch(self) -> PayloadDictList:
        """Hand out everything that is to be sent."""

    def cleanup(self, batch: PayloadDictList, need_retry: bool) -> None:
        """Let go of payloads that were handed out, or (``need_retry``) take them back."""

    def size(self) -> int:
        """How many payloads are kept."""


class InMemoryEventStore:
    """A list of payloads in memory, bounded by their number.

    ``buffer_capacity``: the most payloads that it keeps; one more is refused and logged.
    """

    def __init__(self, logger: logging.Logger, buffer_capacity: int = 10_000) -> None:
        self.logger = logger
        self.buffer_capacity = buffer_capacity
        self.event_buffer: PayloadDictList = []
        self._full = False
        self._lock = threading.Lock()

    def add_event(self, payload: PayloadDict) -> bool:
        """Keep one payload; False if there is no room."""
        with self._lock:
            fits = len(self.event_buffer) < self.buffer_capacity
            if fits:
                self.event_buffer.append(payload)
            # One line per time that it fills up, and not one per payload.
            is_news = not fits and not self._full
            self._full = not fits
        if is_news:
            self.logger.error("the event store is full: new events are refused")
        return fits

    def get_events_batch(self) -> PayloadDictList:
        """Hand out all payloads; the store is empty afterwards."""
        with self._lock:
            batch, self.event_buffer = self.event_buffer, []
        return batch

    def cleanup(self, batch: PayloadDictList, need_retry: bool) -> None:
        """Take payloads back, before those that came since; without ``need_retry`` nothing is
        left to do. What has no room any more is lost, the newest first."""
        if not need_retry:
            return
        with self._lock:
            together = [*batch, *self.event_buffer]
            self.event_buffer = together[: self.buffer_capacity]
        lost = len(together) - len(self.event_buffer)
        if lost:
            self.logger.error("the event store is full: %d events are lost", lost)

    def size(self) -> int:
        """How many payloads are kept."""
        with self._lock:
            return len(self.event_buffer)
