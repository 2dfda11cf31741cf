"""A queue of encoded events, bounded in bytes, whose settled items can be waited for."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Literal

Overflow = Literal["newest", "oldest"]
Lost = Callable[[list[bytes], str, int], None]
"""Told of items that are given up: the items, the reason, and how many of their batch arrived."""


class Batch:
    """Items that were fetched together: in flight, or put back to be tried again.

    ``since``: when they were fetched first (monotonic seconds), which bounds how long they are
    tried. ``origin``: what the queue needs to know when they are settled.
    """

    __slots__ = ("items", "origin", "since")

    def __init__(self, items: list[bytes], since: float, origin: Any = None) -> None:
        self.items = items
        self.since = since
        self.origin = origin

    def part(self, items: list[bytes]) -> Batch:
        """A batch of some of the items, which can be settled by itself."""
        return Batch(items, self.since, self.origin)


class DeliveryQueue:
    """Bytes on their way out: accepted, then settled (sent, or dropped with a counted reason).

    The bound holds for everything that is not settled, queued and in flight alike. Waiting goes
    by counts, not by items, so that an item which is dropped can never hang a flush.

    ``max_bytes``, ``max_items``: bounds of all unsettled items together. What does not fit is
    dropped as ``queue_full``: the newest item, or with ``overflow="oldest"`` those that have
    waited longest. ``lost``: told of every item that is dropped, and why; no lock is held.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        max_items: int | None = None,
        overflow: Overflow = "newest",
        lost: Lost | None = None,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_items = max_items
        self.overflow = overflow
        self.lost = lost
        self.stats: Counter[str] = Counter()
        self._items: deque[bytes] = deque()
        self._again: deque[Batch] = deque()
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
    def lock(self) -> threading.RLock:
        """The lock of all that callers and workers share; nobody holds it during I/O."""
        return self._lock

    @property
    def queued_bytes(self) -> int:
        """How many bytes are not settled."""
        return self._bytes

    def put(self, item: bytes) -> int:
        """Take an item; how many wait to be fetched, or 0 if it was dropped as ``queue_full``."""
        size = len(item)
        with self._lock:
            if self._bytes + size <= self.max_bytes and not self.max_items:
                self._bytes += size
                self._accepted += 1
                self._items.append(item)
                return len(self._items)
        return self._put_bounded(item, size)

    def _put_bounded(self, item: bytes, size: int) -> int:
        """Where a bound stands in the way, or the number of items is bounded."""
        dropped: list[bytes] = []
        with self._lock:
            if self.overflow == "oldest" and size <= self.max_bytes:
                while self._is_full(size) and (oldest := self._pop_oldest()) is not None:
                    self._count([oldest], "dropped:queue_full")
                    dropped.append(oldest)
            fits = not self._is_full(size)
            if fits:
                self._bytes += size
                self._accepted += 1
                self._items.append(item)
            if not fits:
                self.stats["dropped:queue_full"] += 1
                dropped.append(item)
            waiting = len(self._items)
        if dropped and self.lost:
            self.lost(dropped, "queue_full", 0)
        return waiting if fits else 0

    def _pop_oldest(self) -> bytes | None:
        """The item that has waited longest and is not in flight."""
        try:
            batch = self._again.popleft()
        except IndexError:
            try:
                return self._items.popleft()
            except IndexError:
                return None
        first, *others = batch.items
        if others:
            self._again.appendleft(batch.part(others))
        return first

    def _is_full(self, size: int) -> bool:
        if self.max_items and len(self) >= self.max_items:
            return True
        return self._bytes + size > self.max_bytes

    def take(self, count: int, size: int, *, extra: int = 1) -> Batch | None:
        """Fetch up to ``count`` items of together up to ``size`` bytes, at least one if any.

        ``extra``: bytes that each item will take beyond its own, such as the comma behind it.
        What was put back comes first, as it was.
        """
        try:
            return self._again.popleft()
        except IndexError:
            pass
        # Without the lock, so that no caller ever waits for this loop: taking from either end of
        # a deque is atomic, and the counts do not change before the items are settled.
        items: list[bytes] = []
        fetch = self._items.popleft
        try:
            while len(items) < count:
                item = fetch()
                size -= len(item) + extra
                if size < 0 and items:
                    self._items.appendleft(item)
                    break
                items.append(item)
        except IndexError:
            pass
        return Batch(items, monotonic()) if items else None

    def waiting(self) -> int:
        """How many items, or batches that were put back, wait to be fetched."""
        return len(self._items) + len(self._again)

    def put_back(self, *batches: Batch) -> None:
        """Give fetched batches back to be fetched again before everything else, in this order."""
        self._again.extendleft(reversed(batches))

    def settle(self, batch: Batch, outcome: str, *, beside: int = 0) -> None:
        """Count fetched items as ``sent`` or ``dropped:<reason>`` and let go of their bytes.

        ``beside``: how many items of the same request arrived.
        """
        if self.lost and outcome.startswith("dropped:"):
            # First: who flushes and then looks must find it told.
            self.lost(batch.items, outcome.removeprefix("dropped:"), beside)
        self._count(batch.items, outcome)

    def _count(self, items: list[bytes], outcome: str) -> None:
        size = sum(map(len, items))
        with self._settled:
            self.stats[outcome] += len(items)
            self._done += len(items)
            self._bytes -= size
            self._settled.notify_all()

    def drop_queued(self, reason: str) -> int:
        """Settle everything that no worker has fetched yet as dropped; how many that were."""
        # All are fetched first: who is told of a loss may put the event in again, without end.
        batches: list[Batch] = []
        while (batch := self.take(10_000, 1 << 62)) is not None:
            batches.append(batch)
        for batch in batches:
            self.settle(batch, f"dropped:{reason}")
        return sum(len(batch.items) for batch in batches)

    def wait(self, timeout: float | None) -> int:
        """Wait until all that was accepted before this call is settled; how many are left."""
        bounded = timeout is not None and timeout < threading.TIMEOUT_MAX
        end = monotonic() + timeout if timeout is not None and bounded else None
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

    def close(self, reason: str) -> int:
        """Let go of what is left; how many items that lost (``dropped:<reason>``)."""
        return self.drop_queued(reason)

    def adopt(self) -> int:
        """Take over what an ended process has left; how much there is to do."""
        return 0

    def forget(self) -> None:
        """Let go of files in a forked child, whose parent owns them and everything in here."""
