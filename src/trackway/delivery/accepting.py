"""The half of a durable queue that callers see: into the spool, or into memory if need be."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from trackway import logs
from trackway.delivery import claims
from trackway.delivery.lane import PAYLOAD, Lane
from trackway.delivery.orphans import Orphans
from trackway.delivery.queue import Batch, DeliveryQueue
from trackway.delivery.reading import Reader
from trackway.delivery.spool import frame
from trackway.delivery.syncing import Syncer
from trackway.delivery.writing import Outcome, Writer
from trackway.errors import SpoolError
from trackway.forks import witness

#: How many items are brought from memory to the spool at a time.
_AT_ONCE = 256


class AcceptingQueue(DeliveryQueue):
    """What ``SpoolQueue`` says, but for reading and the end.

    Callers share ``_lock``, and the lanes are held by one thread at a time (``Reader.alone``). No
    caller waits for a worker's disk: reading needs no ``_lock``, and where both are needed, the
    lanes come first.
    """

    def __init__(
        self,
        folder: str | Path,
        max_bytes: int,
        *,
        collector: str = "",
        sync: float = 1.0,
        spool_max_bytes: int = 1024 * 1024 * 1024,
        spool_max_age: float = 7 * 86400.0,
        logger: logging.Logger | None = None,
        **bounds: Any,
    ) -> None:
        super().__init__(max_bytes, **bounds)
        self.folder = Path(folder).absolute()  # the process may change its working directory
        self._syncs_at_once = sync <= 0
        self.sync_seconds = sync
        self.spool_max_age = spool_max_age
        self.logger = logger or logs.logger("trackway.delivery")
        self._same_process = witness()
        self._written = self._read = 0  # items of the own lane; each count belongs to one lock
        self._writer = Writer(
            self.folder,
            collector,
            self,
            max_bytes=spool_max_bytes,
            lock=self._lock,
            logger=self.logger,
        )
        self._late: deque[bytes] = deque()  # came in the middle of an append
        self._syncer = self._new_syncer()
        self._orphans = Orphans(self.folder, collector, self)
        self._reader = Reader(self._orphans, self._writer, lock=self._lock)

    # -- writing, on the caller's thread

    def put(self, item: bytes) -> int:
        try:
            framed = frame(item + b"}", kind=PAYLOAD, records=1)
        except SpoolError:  # larger than any reader would believe
            return self._put_in_memory(item)
        with self._lock:
            try:
                self._writer.write(framed)
                self._accepted += 1
                self._written += 1
                kept = True
            except ValueError:  # no segment, or no room in it
                kept = False
        if not kept:
            return self._put_slowly(item, framed)
        if self._syncs_at_once or not self._syncer.dirty.is_set():
            self._touch()
        unread = self._written - self._read
        return unread if unread > 0 else 1  # it may have been fetched before it was counted

    def _put_slowly(self, item: bytes, framed: bytes) -> int:
        """Begin a segment, make room, or do without."""
        outcome, given_up = self._append(framed), list[bytes]()
        if outcome == "gone":
            self._abandon()
            outcome = self._append(framed)
        while outcome == "full" and (oldest := self._drop_oldest(len(framed))) is not None:
            given_up += oldest
            outcome = self._append(framed)
        if outcome == "interrupted":
            self._late.append(item)
            return 1
        if given_up:
            self._count_spooled(given_up, "dropped:queue_full", 0)
        self._writer.complain()
        self._put_late()
        if outcome == "kept":
            with self._lock:
                self._accepted += 1
            self._touch()
            return max(1, self._written - self._read)
        if outcome != "full":
            self._tend_soon()
            return self._put_in_memory(item)
        with self._lock:
            self.stats["dropped:queue_full"] += 1
        if self.lost:
            self.lost([item], "queue_full", 0)
        return 0

    def _put_in_memory(self, item: bytes) -> int:
        with self._lock:
            self.stats["unspooled"] += 1
        return super().put(item)

    def _is_full(self, size: int) -> bool:
        # The bounds of memory; what is in the spool takes no room there, nor makes any.
        too_many = self.max_items and len(self._items) >= self.max_items
        return bool(too_many) or self._bytes + size > self.max_bytes

    def _pop_oldest(self) -> bytes | None:
        try:
            return self._items.popleft()
        except IndexError:
            return None

    def _append(self, framed: bytes) -> Outcome:
        """Write where that takes more than a copy."""
        outcome = self._writer.append(framed, self._orphans.bytes)
        if outcome == "kept":
            with self._lock:
                self._written += 1
        return outcome

    def _put_late(self) -> None:
        while self._late:
            with suppress(IndexError):  # another thread was faster
                self.put(self._late.popleft())

    def _drop_oldest(self, needed: int) -> list[bytes] | None:
        """Give up the oldest segment; what nobody had fetched of it, or None if that is no help."""
        if self.overflow != "oldest" or self._writer.is_hopeless(needed, self._orphans.elsewhere):
            return None
        with self._reader.alone() as alone:
            found = self._reader.drop_oldest() if alone else None
            if found is not None:
                self._count_read(found[0], len(found[1]))
        return found and found[1]

    # -- the disk

    def _new_syncer(self) -> Syncer:
        seconds = 1.0 if self._syncs_at_once else self.sync_seconds
        longest = self.spool_max_age / 8
        return Syncer(seconds, longest, self._tend, lock=self._lock, logger=self.logger)

    def _touch(self) -> None:
        """There is something to be brought to the disk."""
        if self._syncs_at_once:
            self._syncer.start()
            self._sync()
            self._writer.complain()
        else:
            self._tend_soon()

    def _tend_soon(self) -> None:
        self._syncer.start()
        self._syncer.dirty.set()

    def _tend(self) -> None:
        """What has to be done now and then, beside the sync."""
        self._sync()
        self._writer.retire_if_older(self.spool_max_age / 8)
        self._put_late()
        while self._bytes and self._spool_what_waits():
            pass
        if self._bytes:  # there is still something in memory
            self._tend_soon()
        self._writer.complain()

    def _sync(self) -> None:
        if not self._writer.sync():
            self._abandon()

    def _abandon(self) -> None:
        """Leave a lane that somebody has deleted: what is still mapped goes to memory, as if the
        folder could not have been written, and from there to another lane."""
        with self._reader.alone() as alone, self._lock:
            found = self._writer.leave_if_gone() if alone else None
            if found is None:
                return
            lane, items = found
            self._items.extend(items)
            self._bytes += sum(map(len, items))
            self.stats["unspooled"] += len(items)
            self._count_lost(self._written - self._read - len(items))
            self._written = self._read = 0
            lane.close()
            claims.release(lane.folder)

    def _spool_what_waits(self) -> bool:
        """Bring some of what had to be kept in memory to the spool; whether to go on."""
        with self._reader.alone() as alone:
            if not alone:
                return False
            again = self._take_again()
            for batch in list(again):
                if batch.origin is None and self._bring(batch.items[0]):
                    again.remove(batch)
                    self._items.extendleft(reversed(batch.items[1:]))
            self.put_back(*again)
            for _ in range(_AT_ONCE):
                try:
                    item = self._items.popleft()
                except IndexError:
                    return False
                if not self._bring(item):
                    self._items.appendleft(item)
                    return False
            return True

    def _take_again(self) -> list[Batch]:
        again: list[Batch] = []
        with suppress(IndexError):
            while True:
                again.append(self._again.popleft())
        return again

    def _bring(self, item: bytes) -> bool:
        """Bring an item from memory to the spool."""
        try:
            framed = frame(item + b"}", kind=PAYLOAD, records=1)
        except SpoolError:
            return False
        if self._append(framed) != "kept":
            return False
        with self._lock:
            self._bytes -= len(item)
        return True

    # -- counting

    def _count_read(self, lane: Lane, number: int) -> None:
        if lane is self._writer.lane:
            self._read += number
        else:
            with self._lock:
                self._accepted += number
                self.stats["adopted"] += number

    def _count_lost(self, number: int) -> None:
        """Items of our own that nobody can read any more: all that is left of them is a number."""
        if number > 0:
            self._read += number
            self._count_done(number, "dropped:damaged")

    def _count_done(self, number: int, outcome: str) -> None:
        with self._settled:
            self.stats[outcome] += number
            self._done += number
            self._settled.notify_all()

    def _count_spooled(self, items: list[bytes], outcome: str, beside: int) -> None:
        self._count_done(len(items), outcome)
        if items and self.lost and outcome.startswith("dropped:"):
            self.lost(items, outcome.removeprefix("dropped:"), beside)
