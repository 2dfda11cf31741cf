"""A delivery queue on disk: what it has accepted survives the end of its process."""

from __future__ import annotations

import errno
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from trackway.delivery.lane import PAYLOAD, Lane, lanes, new_lane
from trackway.delivery.mapped import MappedSpool
from trackway.delivery.queue import Batch, DeliveryQueue
from trackway.delivery.spool import frame, sync_folder
from trackway.errors import SpoolError

#: Size of a segment (bytes): what a full spool lets go of at once, and an idle one holds.
_SEGMENT = 4 * 1024 * 1024
#: Seconds between two looks for lanes whose process has ended.
_LOOK = 20.0

#: Seconds before a spool that could not be written is tried again.
_TRY_AGAIN = 1.0

#: Lanes that this process holds. A POSIX lock does not keep its own process out, and ends when
#: the process closes any descriptor of the file, so nobody here may even try.
_held: set[Path] = set()


class SpoolQueue(DeliveryQueue):
    """A DeliveryQueue that keeps its items in a folder which several processes may share.

    Each process writes a lane of its own, and adopts the lanes of processes that have ended. An
    item is in the page cache when ``put`` returns: the end of the process loses nothing. Every
    ``sync`` seconds it goes to the disk: a power cut loses at most that. Where the folder cannot
    be written, items are kept in memory (counted as ``unspooled``), bounded by ``max_bytes``.

    ``spool_max_bytes``: bound of this process's lane; what does not fit is dropped as
    ``queue_full``, the newest item or the oldest segment as ``overflow`` says.
    ``spool_max_age``: seconds after which what was not delivered is dropped as ``expired``.
    """

    def __init__(
        self,
        folder: str | Path,
        max_bytes: int,
        *,
        sync: float = 1.0,
        spool_max_bytes: int = 1024 * 1024 * 1024,
        spool_max_age: float = 7 * 86400.0,
        logger: logging.Logger | None = None,
        **bounds: Any,
    ) -> None:
        super().__init__(max_bytes, **bounds)
        self.folder = Path(folder)
        self.sync_seconds = sync
        self.spool_max_bytes = spool_max_bytes
        self.spool_max_age = spool_max_age
        self.logger = logger or logging.getLogger("trackway.delivery")
        self._spool: MappedSpool | None = None
        self._own: Lane | None = None
        self._adopted: list[Lane] = []
        self._writing = False
        self._unread = 0
        self._refused: SpoolError | None = None  # why the last segment could not be begun
        self._try_again = 0.0
        self._next_look = 0.0
        self._reading = threading.RLock()
        self._unsynced: set[Path] = set()
        self._dirty = threading.Event()
        self._named: set[Path] = set()  # segments whose names are on the disk
        self._syncer: threading.Thread | None = None
        self._stop_syncing = threading.Event()

    # -- writing, on the caller's thread

    def put(self, item: bytes) -> int:
        framed = frame(item + b"}", kind=PAYLOAD, records=1)
        with self._lock:
            # A signal handler or a finaliser that interrupts a write must not write in its place.
            if self._writing:
                return super().put(item)
            self._writing = True
            try:
                spool = self._spool
                if spool is not None and spool.has_room(len(framed)):
                    spool.append(framed)
                elif (refused := self._begin_segment(framed)) is not None:
                    return self._put_elsewhere(item, refused)
            finally:
                self._writing = False
            self._accepted += 1
            self._unread += 1
        if self.sync_seconds <= 0:
            self._sync()
        elif not self._dirty.is_set():
            self._dirty.set()
        return self._unread

    def _put_elsewhere(self, item: bytes, refused: SpoolError) -> int:
        """Drop what is beyond the bound; keep in memory what cannot be written."""
        if refused.errno == errno.EDQUOT:
            self.stats["dropped:queue_full"] += 1
            if self.lost:
                self.lost([item], "queue_full", 0)
            return 0
        self.stats["unspooled"] += 1
        return super().put(item)

    def _begin_segment(self, framed: bytes) -> SpoolError | None:
        """Write into a new segment, or say why that is impossible."""
        if self._refused is not None and monotonic() < self._try_again:
            return self._refused
        try:
            spool = self._spool or self._open_lane()
            if self.overflow == "oldest" and spool.is_full(len(framed)):
                self._drop_oldest_segment()
            spool.append(framed)
        except SpoolError as error:
            self._try_again = monotonic() + (0.0 if error.errno == errno.EDQUOT else _TRY_AGAIN)
            if self._refused is None or error.errno != self._refused.errno:
                why = error.strerror or error
                self.logger.error("the spool %s cannot be written: %s", self.folder, why)
            self._refused = error
            return error
        self._refused = None
        assert spool.active is not None
        self._unsynced.add(spool.active)
        if self._syncer is None and self.sync_seconds > 0:
            self._syncer = threading.Thread(
                target=self._keep_syncing,
                args=(self._stop_syncing,),
                name="trackway-spool-sync",
                daemon=True,
            )
            with suppress(RuntimeError):  # the interpreter is shutting down; close() syncs
                self._syncer.start()
        return None

    def _open_lane(self) -> MappedSpool:
        path = new_lane(self.folder)
        _held.add(path)
        try:
            spool = MappedSpool(
                path, segment_bytes=_SEGMENT, max_bytes=self.spool_max_bytes, sync_names=False
            )
            self._own = Lane(path, writing=self._active, remove=spool.remove)
        except OSError as error:
            _held.discard(path)
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise SpoolError(cause.errno, cause.strerror or str(error)) from error
        self._spool = spool
        return spool

    def _active(self) -> tuple[Path | None, int]:
        with self._lock:
            spool = self._spool
            return (None, 0) if spool is None else (spool.active, spool.written)

    def _drop_oldest_segment(self) -> None:
        # A worker that is reading now must not be waited for: it may wait for us.
        if self._own is not None and self._reading.acquire(blocking=False):
            try:
                items = self._own.drop_oldest()
            finally:
                self._reading.release()
            self._unread -= len(items)
            self._count_spooled(items, "dropped:queue_full", 0)

    # -- reading, on the workers' threads

    def take(self, count: int, size: int, *, extra: int = 1) -> Batch | None:
        if self._again or self._items:
            return super().take(count, size, extra=extra)
        with self._reading:
            if monotonic() >= self._next_look:
                self.adopt()
            for lane in [*self._adopted, *filter(None, [self._own])]:
                while (batch := self._read(lane, count, size, extra)) is not None:
                    if not lane.is_expired(self.spool_max_age):
                        return batch
                    self.settle(batch, "dropped:expired")
        return None

    def _read(self, lane: Lane, count: int, size: int, extra: int) -> Batch | None:
        items, taken = lane.read(count, size, extra)
        if taken is None:
            if lane in self._adopted and lane.is_done:
                self._adopted.remove(lane)
                lane.delete()
                _held.discard(lane.folder)
            return None
        with self._lock:
            if lane is self._own:
                self._unread -= len(items)
            else:
                self._accepted += len(items)
                self.stats["adopted"] += len(items)
        return Batch(items, monotonic(), taken)

    def settle(self, batch: Batch, outcome: str, *, beside: int = 0) -> None:
        if batch.origin is None:
            super().settle(batch, outcome, beside=beside)
            return
        with self._reading:
            batch.origin.lane.settle(batch.origin, len(batch.items))
        self._count_spooled(batch.items, outcome, beside)

    def _count_spooled(self, items: list[bytes], outcome: str, beside: int) -> None:
        with self._settled:
            self.stats[outcome] += len(items)
            self._done += len(items)
            self._settled.notify_all()
        if items and self.lost and outcome.startswith("dropped:"):
            self.lost(items, outcome.removeprefix("dropped:"), beside)

    def adopt(self) -> int:
        """Take over the lanes of processes that have ended; how many are being read now."""
        with self._reading:
            self._next_look = monotonic() + _LOOK
            try:
                others = [path for path in lanes(self.folder) if path not in _held]
            except OSError:
                return 0
            for path in others:
                _held.add(path)
                if (lane := Lane.adopt(path)) is not None:
                    self._adopted.append(lane)
                else:
                    _held.discard(path)
            return len(self._adopted)

    # -- the disk

    def _keep_syncing(self, stop: threading.Event) -> None:
        while True:
            self._dirty.wait()
            if stop.wait(self.sync_seconds):
                return
            self._dirty.clear()
            self._sync()

    def _sync(self) -> None:
        with self._lock:
            paths, self._unsynced = self._unsynced, set()
            spool = self._spool
            if spool is not None and spool.active is not None:
                self._unsynced.add(spool.active)  # it grows on
                paths.add(spool.active)
        for path in paths:
            # By name, because the writer may end a segment and close its file at any moment.
            with suppress(OSError):
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(file)
                finally:
                    os.close(file)
                if path not in self._named:
                    sync_folder(path.parent)
        self._named = paths

    # -- counting and the end

    def __len__(self) -> int:
        """How many items are not settled; a lane that is being adopted counts as one more."""
        return super().__len__() + len(self._adopted)

    def wait(self, timeout: float | None) -> int:
        end = None if timeout is None else monotonic() + timeout
        with self._settled:
            while self._adopted and (end is None or monotonic() < end):
                self._settled.wait(0.05)
        return super().wait(None if end is None else end - monotonic()) + len(self._adopted)

    def snapshot(self) -> dict[str, int]:
        spool = self._spool
        spooled = 0 if spool is None else spool.size
        return {**super().snapshot(), "spooled_bytes": spooled}

    def close(self, reason: str) -> int:
        """Leave what is spooled to the next start; how many items in memory were lost."""
        lost = 0
        with self._reading:
            again = [self._again.popleft() for _ in range(len(self._again))]
            for batch in again:
                if batch.origin is None:
                    lost += len(batch.items)
                    super().settle(batch, f"dropped:{reason}")
            while self._items and (batch_or_none := super().take(10_000, 1 << 62)):
                lost += len(batch_or_none.items)
                super().settle(batch_or_none, f"dropped:{reason}")
            self._sync()
            with self._lock:
                self._let_go()
        return lost

    def _let_go(self) -> None:
        """Close the lanes; delete those that are done."""
        self._stop_syncing.set()
        self._dirty.set()
        self._stop_syncing = threading.Event()
        self._syncer = None
        if self._spool is not None:
            self._spool.let_go()
        for lane in [*self._adopted, *filter(None, [self._own])]:
            if lane.is_done or (lane is self._own and not self._unread and not lane.in_flight):
                lane.delete()
            else:
                lane.close()
            _held.discard(lane.folder)
        self._adopted, self._own, self._spool = [], None, None
        self._unread = 0

    def forget(self) -> None:
        """Let go of the parent's files in a forked child."""
        if self._spool is not None:
            self._spool.forget()
        for lane in [*self._adopted, *filter(None, [self._own])]:
            lane.close()
            _held.discard(lane.folder)
