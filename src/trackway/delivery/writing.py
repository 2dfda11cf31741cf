"""Writing a lane of one's own, as long as the disk lets us."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Literal

from trackway.delivery import claims
from trackway.delivery.lane import Lane
from trackway.delivery.mapped import MappedSpool, is_missing, no_room
from trackway.delivery.syncing import sync_segment
from trackway.errors import SpoolError

#: Size of a segment (bytes): what a full spool lets go of at once.
_SEGMENT = 1024 * 1024
#: Seconds before a folder that could not be written is tried again.
_TRY_AGAIN = 1.0
#: Seconds before the same trouble is logged again.
_LOG_AGAIN = 600.0

#: What became of a record: it is in the page cache; it is beyond the bound; it cannot be written
#: now; somebody has deleted the lane; or this very thread is appending already, and a signal
#: handler or a finaliser has interrupted it.
Outcome = Literal["kept", "full", "refused", "gone", "interrupted"]


class Writer:
    """Appends records to a lane in a shared folder, which is made with the first of them.

    ``collector``: whom the records are for. ``holder``: who claims the lane. ``max_bytes``: bound
    of this and all other lanes. ``lock``: held by whoever calls ``write``; everything else takes
    it where it has to be taken.
    """

    #: Copies a record into the active segment; raises ValueError where there is no room.
    write: Callable[[bytes], int]

    def __init__(
        self,
        folder: Path,
        collector: str,
        holder: object,
        *,
        max_bytes: int,
        lock: threading.RLock,
        logger: logging.Logger,
    ) -> None:
        self.folder = folder
        self.collector = collector
        self.holder = holder
        self.max_bytes = max_bytes
        self.logger = logger
        self.write = no_room
        self.lane: Lane | None = None
        self._spool: MappedSpool | None = None
        self._lock = lock
        self._appending = False
        self._try_again = 0.0
        self._trouble: Exception | None = None  # not told yet
        self._told = ("", 0.0)
        self._unsynced: set[Path] = set()
        self._named: set[Path] = set()  # segments whose names are on the disk

    @property
    def size(self) -> int:
        """Bytes in the lane."""
        spool = self._spool
        return 0 if spool is None else spool.size

    def append(self, framed: bytes, elsewhere: int) -> Outcome:
        """Append a record, to a new segment if need be; ``elsewhere``: bytes in other lanes."""
        with self._lock:
            if self._appending:
                return "interrupted"
            self._appending = True
            try:
                return self._append(framed, elsewhere)
            finally:
                self._appending = False

    def _append(self, framed: bytes, elsewhere: int) -> Outcome:
        if monotonic() < self._try_again:
            return "refused"
        try:
            spool = self._spool or self._open_lane()
            if not spool.has_room(len(framed)) and spool.is_full(len(framed), elsewhere):
                return "full"
            segment, _ = spool.append(framed, elsewhere)
        except (OSError, ValueError) as error:  # ValueError: a folder's name with a zero byte
            if self._is_gone():
                return "gone"
            self._refuse(error)
            return "refused"
        self._unsynced.add(segment)
        self.write = spool.write
        return "kept"

    def is_hopeless(self, length: int, elsewhere: int) -> bool:
        """Whether there would be no room even if all that is ours were gone."""
        return elsewhere + length > self.max_bytes

    def _open_lane(self) -> MappedSpool:
        attempts = 3
        while True:
            path = claims.new_lane(self.folder, self.collector, self.holder)
            try:
                path.mkdir(0o700, parents=True)
                spool = MappedSpool(path, segment_bytes=_SEGMENT, max_bytes=self.max_bytes)
                break
            except (OSError, ValueError) as error:
                claims.release(path)
                cause = error.__cause__ or error
                attempts -= 1
                # Another process has adopted the folder before it was locked, and may have
                # deleted it again.
                if attempts and isinstance(cause, SpoolError | FileNotFoundError):
                    continue
                with suppress(OSError, ValueError):
                    (path / "owner").unlink(missing_ok=True)
                    path.rmdir()
                raise cause from None
        spool.label(self.collector)
        self.lane = Lane(path, writer=spool)
        self._spool = spool
        return spool

    def leave(self) -> Lane | None:
        """Write no more into the lane; it may be read on. The lock has to be held."""
        lane, spool = self.lane, self._spool
        self.lane = self._spool = None
        if spool is not None:
            spool.retire()
        return lane

    def leave_if_gone(self) -> tuple[Lane, list[bytes]] | None:
        """Leave the lane if somebody has deleted it; what can still be read of it. The lock has
        to be held, and the lane."""
        if self.lane is None or not self._is_gone():
            return None
        items: list[bytes] = []
        with suppress(OSError):
            items = self.lane.drain()
        self._trouble = FileNotFoundError(errno.ENOENT, "somebody has deleted what was in it")
        lane = self.leave()
        assert lane is not None
        return lane, items

    def _is_gone(self) -> bool:
        spool = self._spool
        return spool is not None and is_missing(spool.active or spool.folder)

    # -- trouble

    def _refuse(self, error: Exception) -> None:
        """Let the folder rest for a while."""
        self._try_again = monotonic() + _TRY_AGAIN
        self._trouble = error

    def try_now(self) -> None:
        """Do not wait any longer: this is the end."""
        self._try_again = 0.0

    def complain(self) -> None:
        """Log what went wrong, once. No lock may be held: a handler of the log may track."""
        trouble, self._trouble = self._trouble, None
        if trouble is None:
            return
        what = getattr(trouble, "strerror", None) or str(trouble)
        told, since = self._told
        if what != told or monotonic() - since > _LOG_AGAIN:
            self._told = what, monotonic()
            message = "the spool %s cannot be written (%s): events are kept in memory meanwhile"
            self.logger.error(message, self.folder, what)

    # -- the disk

    def sync(self) -> bool:
        """Wait until what was written is on the disk; false if somebody has deleted it."""
        with self._lock:
            active = None if self._spool is None else self._spool.active
            paths, self._unsynced = self._unsynced, set()
            if active is not None:
                self._unsynced.add(active)  # it grows on
                paths.add(active)
            self._named &= paths
        for path in paths:
            try:
                sync_segment(path, is_new=path not in self._named)
                self._named.add(path)
            except FileNotFoundError:  # delivered and removed, or deleted by somebody
                continue
            except OSError as error:
                self._give_up(path, error)
        with self._lock:
            return not self._is_gone()

    def _give_up(self, segment: Path, error: OSError) -> None:
        """End a segment that the disk may have lost something of: after a failed sync the kernel
        does not report the same pages again."""
        with self._lock:
            if self._spool is not None and self._spool.active == segment:
                self._spool.retire()
            self._refuse(error)

    def retire_if_older(self, seconds: float) -> None:
        """End a segment that was begun so long ago: all of one segment has one age."""
        with self._lock:
            spool = self._spool
            if spool is not None and spool.active and monotonic() - spool.began > seconds:
                spool.retire()
