"""A queue on top of an event store that the application brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from trackway.delivery.queue import Batch, DeliveryQueue, Lost
from trackway.wires.snowplow_payload import payload_json


class EventStore(Protocol):
    """Keeps payloads until they are sent; the protocol of the Snowplow tracker 1.x."""

    def add_event(self, payload: dict[str, str], /) -> bool:
        """Keep one payload; False if there is no room."""

    def get_events_batch(self) -> Sequence[Mapping[str, Any]]:
        """Hand out payloads to be sent."""

    def cleanup(self, batch: list[dict[str, str]], need_retry: bool, /) -> None:
        """Let go of payloads that were handed out, or take them back."""

    def size(self) -> int:
        """How many payloads are kept."""


class StoreQueue(DeliveryQueue):
    """A DeliveryQueue whose waiting items are kept by an event store.

    What the store hands out is split by our limits. ``cleanup`` is called with what has been
    settled, and at the close with what is to be kept for later.
    """

    def __init__(self, store: EventStore, *, lost: Lost | None = None) -> None:
        super().__init__(0, lost=lost)
        self.store = store
        self._fetched = 0

    def put(self, item: bytes) -> int:
        with self._lock:
            if not self.store.add_event(msgspec.json.decode(item + b"}")):
                self.stats["dropped:queue_full"] += 1
                fits = False
            else:
                self._accepted += 1
                fits = True
        if not fits and self.lost:
            self.lost([item], "queue_full", 0)
        return max(1, self.store.size()) if fits else 0

    def take(self, count: int, size: int, *, extra: int = 1) -> Batch | None:
        with self._lock:
            if not self._items and not self._again:
                payloads = self.store.get_events_batch()
                self._items.extend(filter(None, (payload_json(p)[:-1] for p in payloads)))
                self._fetched += len(self._items)
                self._bytes += sum(map(len, self._items))
                # A store that outlives its process hands out what this one never accepted.
                self._accepted = max(self._accepted, self._fetched)
            return super().take(count, size, extra=extra)

    def settle(self, batch: Batch, outcome: str, *, beside: int = 0) -> None:
        self.store.cleanup([msgspec.json.decode(item + b"}") for item in batch.items], False)
        super().settle(batch, outcome, beside=beside)

    def close(self, reason: str) -> int:
        """Give back what is left; nothing is lost of it."""
        items = [item for batch in self._again for item in batch.items]
        items += self._items
        self._again.clear()
        self._items.clear()
        if items:
            self.store.cleanup([msgspec.json.decode(item + b"}") for item in items], True)
        return 0
