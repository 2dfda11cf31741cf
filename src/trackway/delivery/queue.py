"""A queue of encoded events, bounded in bytes, whose settled items can be waited for."""

from __future__ import annotations

import threading
from collections import Counter, deque
from time import monotonic


class DeliveryQueue:
    """Bytes on their way out: accepted, then settled (sent, or dropped with a counted reason).

    The bound holds for everything that is not settled, queued and in flight alike. Waiting goes
    by counts, not by items, so that an item which is dropped can never hang a flush.

    ``max_bytes``: bound of all unsettled items together; what does not fit is dropped as
    ``queue_full``.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.stats: Counter[str] = Counter()
        self._items: deque[bytes] = deque()
        # Re-entrant: a signal handler or a finaliser that tracks an event while this very thread
        # is inside `put` must not wait for itself.
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        self._accepted = 0
        self._done = 0
        self._bytes = 0

    def __len__(self) -> int:
        """How many items are not settled."""
        return self._accepted - self._done

    @property
    def queued_bytes(self) -> int:
        """How many bytes are not settled."""
        return self._bytes

    def put(self, item: bytes) -> int:
        """Take an item; how many wait to be fetched, or 0 if it was dropped as ``queue_full``."""
        size = len(item)
        with self._lock:
            if self._bytes + size > self.max_bytes:
                self.stats["dropped:queue_full"] += 1
                return 0
            self._bytes += size
            self._accepted += 1
            self._items.append(item)
            return len(self._items)

    def take(self, count: int, size: int, *, extra: int = 1) -> list[bytes]:
        """Fetch up to ``count`` items of together up to ``size`` bytes, at least one if any.

        ``extra``: bytes that each item will take beyond its own, such as the comma behind it.
        """
        batch: list[bytes] = []
        with self._lock:
            while self._items and len(batch) < count:
                size -= len(self._items[0]) + extra
                if size < 0 and batch:
                    break
                batch.append(self._items.popleft())
        return batch

    def settle(self, items: list[bytes], outcome: str) -> None:
        """Count fetched items as ``sent`` or ``dropped:<reason>`` and let go of their bytes."""
        with self._settled:
            self.stats[outcome] += len(items)
            self._done += len(items)
            self._bytes -= sum(map(len, items))
            self._settled.notify_all()

    def drop_queued(self, reason: str) -> int:
        """Settle everything that no worker has fetched yet as dropped; how many that were."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
        if items:
            self.settle(items, f"dropped:{reason}")
        return len(items)

    def wait(self, timeout: float | None) -> int:
        """Wait until all that was accepted before this call is settled; how many are left."""
        end = None if timeout is None else monotonic() + timeout
        with self._settled:
            target = self._accepted
            while self._done < target:
                rest = None if end is None else end - monotonic()
                if rest is not None and rest <= 0:
                    break
                self._settled.wait(rest)
            return max(0, target - self._done)

    def snapshot(self) -> dict[str, int]:
        """The counters at this moment: accepted, sent, queued, ``dropped:<reason>`` and so on."""
        with self._lock:
            return {
                "accepted": self._accepted,
                "sent": 0,
                "queued": self._accepted - self._done,
                "queued_bytes": self._bytes,
                **self.stats,
            }
