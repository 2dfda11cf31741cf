"""A delivery queue on disk: what it has accepted survives the end of its process."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

from trackway.delivery import claims
from trackway.delivery.accepting import AcceptingQueue
from trackway.delivery.lane import PAYLOAD, Taken
from trackway.delivery.queue import Batch
from trackway.delivery.spool import frame


class SpoolQueue(AcceptingQueue):
    """A DeliveryQueue that keeps its items in a folder which several processes may share.

    Each process writes a lane of its own, and adopts the lanes of processes that have ended. An
    item is in the page cache when ``put`` returns: the end of the process loses nothing. ``sync``
    seconds later it is on the disk: a power cut loses at most that. Where the folder cannot be
    written, items are kept in memory (counted as ``unspooled``), bounded by ``max_bytes``, and
    brought to the spool when it can be.

    ``collector``: the URL that the items are for; queues with the same folder and different
    collectors never touch each other's lanes. ``spool_max_bytes``: bound of all lanes in the
    folder together; what does not fit is dropped as ``queue_full``, the newest item or the oldest
    segment as ``overflow`` says. ``spool_max_age``: seconds after which what was not delivered is
    dropped as ``expired``.
    """

    # -- reading, on the workers' threads

    def take(self, count: int, size: int, *, extra: int = 1) -> Batch | None:
        while self._same_process[0]:
            if (self._again or self._items) and (found := super().take(count, size, extra=extra)):
                return found
            with self._reader.alone() as alone:
                batch = self._read_lanes(count, size, extra) if alone else None
            if batch is None:
                # What was in memory may have been on its way to the spool, and have come back.
                if alone and (self._items or self._again):
                    continue
                return None
            if monotonic() - batch.since <= self.spool_max_age:
                return batch
            self.settle(batch, "dropped:expired")
        return None

    def _read_lanes(self, count: int, size: int, extra: int) -> Batch | None:
        written = self._written
        batch = self._reader.read(count, size, extra)
        if batch is not None:
            self._count_read(batch.origin.lane, len(batch.items))
        elif (own := self._writer.lane) is not None and own.is_at_end:
            # What was written and cannot be read, somebody has deleted or damaged.
            self._count_lost(written - self._read)
        return batch

    def settle(self, batch: Batch, outcome: str, *, beside: int = 0) -> None:
        taken: Taken | None = batch.origin
        if taken is None:
            super().settle(batch, outcome, beside=beside)
            return
        with self._reader.alone() as alone:
            self._reader.settle(taken, len(batch.items), advance=alone)
        self._count_spooled(batch.items, outcome, beside)

    def adopt(self) -> int:
        """Take over the lanes of processes that have ended; how many are being read now."""
        if self._same_process[0]:
            with self._reader.alone() as alone:
                if alone:
                    self._orphans.look()
        return len(self._orphans)

    # -- counting and the end

    def __len__(self) -> int:
        """How many items are not settled; a lane that is being adopted counts as one more."""
        return super().__len__() + len(self._orphans)

    def wait(self, timeout: float | None) -> int:
        end = None if timeout is None else monotonic() + timeout
        with self._settled:
            while len(self._orphans) and (end is None or monotonic() < end):
                self._settled.wait(0.05)
        left = super().wait(None if end is None else end - monotonic())
        return left + len(self._orphans)

    def snapshot(self) -> dict[str, int]:
        spooled = self._writer.size + sum(lane.bytes for lane in list(self._orphans.lanes))
        damaged = {"damaged": self._reader.damaged} if self._reader.damaged else {}
        return {**super().snapshot(), "spooled_bytes": spooled, **damaged}

    def close(self, reason: str) -> int:
        """Leave what is spooled to the next start; how many items in memory were lost."""
        if not self._same_process[0]:
            self.forget()
            return 0
        self._put_late()
        self._writer.try_now()
        while self._bytes and self._spool_what_waits():
            pass
        again = self._take_again()
        spooled = [batch for batch in again if batch.origin is not None]
        with self._reader.alone() as alone:
            if alone:
                self._leave(spooled)
        self._writer.complain()
        if not alone:  # they stay where they are, and so do the lanes, until the process ends
            self.put_back(*spooled)
        lost = [item for batch in again if batch.origin is None for item in batch.items]
        with suppress(IndexError):
            while True:
                lost.append(self._items.popleft())
        if lost:
            super().settle(Batch(lost, 0.0), f"dropped:{reason}")
        return len(lost)

    def _leave(self, again: list[Batch]) -> None:
        """Let go of all lanes, and of these batches that were to be tried again."""
        for batch in again:
            self._leave_behind(batch)
        with self._lock:
            own = self._writer.leave()
            self._written = self._read = 0
        if own is not None and not own.is_done():
            self._writer.sync()
        self._reader.leave(own)
        self._syncer.stop()
        self._syncer = self._new_syncer()

    def _leave_behind(self, batch: Batch) -> None:
        """Leave a batch to who adopts its lane. What was settled out of order would be sent again
        then, so a batch in front of that goes to the end of our lane."""
        taken: Taken = batch.origin
        if taken.lane.is_settled_behind(taken):
            framed = b"".join(frame(i + b"}", kind=PAYLOAD, records=1) for i in batch.items)
            if self._append(framed) == "kept":
                taken.lane.settle(taken, len(batch.items))
                taken.lane.advance()
                return
        taken.lane.flying -= len(batch.items)

    def forget(self) -> None:
        """Let go of the parent's files in a forked child."""
        self._reader.forget()
        claims.forget(self)
