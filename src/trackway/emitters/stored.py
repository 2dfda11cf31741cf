"""A queue on top of an event store that the application brings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from trackway import logs
from trackway.delivery.queue import Batch, DeliveryQueue, Lost
from trackway.wires.snowplow_payload import payload_json

if TYPE_CHECKING:
    import logging


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
    settled, and at the close with what is to be kept for later. One thread at a time calls the
    store. What it raises is counted (``failed:store``) and logged once; an event that it could
    not take is dropped as ``store_failed``.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        lost: Lost | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(0, lost=lost)
        self.store = store
        self.logger = logger or logs.logger("trackway.delivery")
        self._asking = threading.RLock()
        self._fetched = 0

    def put(self, item: bytes) -> int:
        kept = self._ask(self.store.add_event, msgspec.json.decode(item + b"}"))
        with self._lock:
            if kept:
                self._accepted += 1
            else:
                reason = "store_failed" if kept is None else "queue_full"
                self.stats[f"dropped:{reason}"] += 1
        if kept:
            return self._size() or 1
        if self.lost:
            self.lost([item], reason, 0)
        return 0

    def adopt(self) -> int:
        """Count what a store that outlives its process has kept; how much there is to do."""
        kept = self._size()
        with self._lock:
            self._accepted += kept
        return kept

    def take(self, count: int, size: int, *, extra: int = 1) -> Batch | None:
        with self._asking:
            if not self._items and not self._again:
                self._fetch()
        batch = super().take(count, size, extra=extra)
        if batch is not None:
            batch.origin = self.store  # says that the end of the process does not lose it
        return batch

    def _fetch(self) -> None:
        payloads = self._ask(lambda: list(self.store.get_events_batch())) or ()
        items = [encoded[:-1] for encoded in map(payload_json, payloads) if encoded]
        empty = len(payloads) - len(items)
        with self._lock:
            self._fetched += len(payloads)
            # A store that others fill as well hands out what this process never accepted.
            self._accepted = max(self._accepted, self._fetched)
            self._bytes += sum(map(len, items))
            self._items.extend(items)
            if empty:
                self._done += empty
                self.stats["dropped:empty"] += empty

    def settle(self, batch: Batch, outcome: str, *, beside: int = 0) -> None:
        self._clean_up(batch.items, need_retry=False)
        super().settle(batch, outcome, beside=beside)

    def close(self, reason: str) -> int:
        """Give back what is left; nothing is lost of it."""
        items = [item for batch in self._again for item in batch.items]
        items += self._items
        self._again.clear()
        self._items.clear()
        if items:
            with self._lock:
                self._fetched -= len(items)
                self._bytes -= sum(map(len, items))
            self._clean_up(items, need_retry=True)
        return 0

    def _clean_up(self, items: list[bytes], *, need_retry: bool) -> None:
        batch = [msgspec.json.decode(item + b"}") for item in items]
        self._ask(self.store.cleanup, batch, need_retry)

    def _size(self) -> int:
        size = self._ask(self.store.size)
        return size if isinstance(size, int) else 0

    def _ask(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """What the store answers; None if it fails."""
        with self._asking:
            try:
                return method(*arguments)
            except Exception:
                self.stats["failed:store"] += 1
                if self.stats["failed:store"] == 1:
                    self.logger.exception("the event store failed; logged once, then counted")
                return None
