"""One process's part of a shared spool, as it is read: in order, up to what has been settled."""

from __future__ import annotations

import os
import re
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import time

from trackway.delivery.spool import own, read_frames, segments

#: The kind of a frame that holds one payload of the Snowplow wire.
PAYLOAD = 16

#: The folder of a lane: unique, so that no two processes ever make the same one.
_LANE = re.compile(r"lane-[0-9a-f]{16}")
#: How much of a segment is read at once (bytes).
_CHUNK = 1024 * 1024


def new_lane(folder: Path) -> Path:
    """The folder of a new lane; it does not exist yet."""
    return folder / f"lane-{secrets.token_hex(8)}"


def lanes(folder: Path) -> list[Path]:
    """The lanes in a shared spool, whoever owns them."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _LANE.fullmatch(path.name))


class Taken:
    """Records that were read together; the lane moves on when all of them are settled."""

    __slots__ = ("end", "lane", "left", "segment")

    def __init__(self, lane: Lane, segment: Path, end: int, left: int) -> None:
        self.lane = lane
        self.segment = segment
        self.end = end  # -1: the segment is finished
        self.left = left


class Lane:
    """A folder of segments with the position up to which everything has been settled.

    ``writing``: the active segment and how far it is written, for the lane of this process; for
    a lane that was adopted, none: its segments do not grow any more. ``remove``: deletes a segment.
    ``lock``: the lock of an adopted lane. One thread at a time may use it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lock: int = -1,
        writing: Callable[[], tuple[Path | None, int]] = lambda: (None, 0),
        remove: Callable[[Path], None] = Path.unlink,
    ) -> None:
        self.folder = folder
        self.gaps = 0  # damaged places that were passed over
        self._lock = lock
        self._writing = writing
        self._remove = remove
        self._taken: deque[Taken] = deque()
        self._segment: Path | None = None
        self._at = 0
        self._last = ""
        self._position = os.open(folder / "position", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        name, _, offset = os.pread(self._position, 100, 0).decode("ascii", "replace").partition(" ")
        self._resume = (name, int(offset)) if offset.strip().isdigit() else ("", 0)

    @classmethod
    def adopt(cls, folder: Path) -> Lane | None:
        """The lane of a process that has ended; None if it lives or another was faster."""
        lock = None
        try:
            lock = own(folder)
            return None if lock is None else cls(folder, lock=lock)
        except OSError:  # gone meanwhile, or not ours to read
            if lock is not None:
                os.close(lock)
            return None

    def read(self, count: int, size: int, extra: int) -> tuple[list[bytes], Taken | None]:
        """The next payloads, at most ``count`` of together ``size`` bytes, but one if any."""
        while (segment := self._segment or self._next()) is not None:
            active, written = self._writing()
            growing = segment == active
            items = self._read_segment(segment, written if growing else None, count, size, extra)
            if items:
                taken = Taken(self, segment, self._at, len(items))
                self._taken.append(taken)
                return items, taken
            if growing:
                return [], None
            self._finish_segment(segment)
        return [], None

    def drop_oldest(self) -> list[bytes]:
        """Delete the oldest segment that has ended; the payloads in it that nobody has taken."""
        segment = self._segment or self._next()
        active, _ = self._writing()
        if segment is None or segment == active:
            return []
        items: list[bytes] = []
        while more := self._read_segment(segment, None, 1 << 62, 1 << 62, 0):
            items += more
        self._finish_segment(segment)
        with suppress(OSError):
            self._remove(segment)
        return items

    def _finish_segment(self, segment: Path) -> None:
        self._taken.append(Taken(self, segment, -1, 0))
        self._segment = None
        self._settle_front()

    def _read_segment(
        self, segment: Path, written: int | None, count: int, size: int, extra: int
    ) -> list[bytes]:
        items: list[bytes] = []
        # A record may be larger than a chunk: what a chunk cuts in two, the whole rest shows.
        for end in (self._at + min(size, _CHUNK), None):
            limit = end if written is None else min(end or written, written)
            try:
                for frame in read_frames(segment, self._at, limit):
                    size -= len(frame.payload) + extra
                    if items and (size < 0 or len(items) >= count):
                        return items
                    self.gaps += frame.start > self._at
                    self._at = frame.end
                    if frame.kind == PAYLOAD:
                        items.append(frame.payload[:-1])
            except FileNotFoundError:  # somebody has tidied up; there is nothing left to lose
                return items
            if items:
                break
        return items

    def _next(self) -> Path | None:
        """The segment after the last one, at the position where an earlier owner stopped."""
        for segment in segments(self.folder):
            if segment.name > self._last and segment.name >= self._resume[0]:
                self._segment, self._last = segment, segment.name
                self._at = self._resume[1] if segment.name == self._resume[0] else 0
                return segment
            if segment.name < self._resume[0]:  # settled long ago, its owner died before this
                with suppress(OSError):
                    self._remove(segment)
        return None

    def is_expired(self, max_age: float) -> bool:
        """Whether the segment that is being read was written longer ago than ``max_age``."""
        if self._segment is None:
            return False
        try:
            return self._segment.stat().st_mtime < time() - max_age
        except OSError:
            return False

    def settle(self, taken: Taken, number: int) -> None:
        """So many of the records that were taken need not be kept any longer."""
        taken.left -= number
        self._settle_front()

    def _settle_front(self) -> None:
        done: Taken | None = None
        while self._taken and self._taken[0].left <= 0:
            done = self._taken.popleft()
            if done.end < 0:
                with suppress(OSError):
                    self._remove(done.segment)
        if done is not None and done.end >= 0:
            place = f"{done.segment.name} {done.end}".ljust(80).encode()
            with suppress(OSError):  # a position that is not kept costs repetitions, not events
                os.pwrite(self._position, place, 0)

    @property
    def in_flight(self) -> bool:
        """Whether records were taken and are not settled."""
        return bool(self._taken)

    @property
    def is_done(self) -> bool:
        """Whether everything in it has been settled."""
        return not self._taken and not segments(self.folder)

    def close(self) -> None:
        """Let go of the lane; what is not settled stays for whoever adopts it."""
        for file in (self._position, self._lock):
            if file >= 0:
                os.close(file)
        self._position = self._lock = -1

    def delete(self) -> None:
        """Delete a lane that is done, the lock last: until then nobody else takes it."""
        for path in [*segments(self.folder), self.folder / "position", self.folder / "owner"]:
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self.folder.rmdir()
        self.close()
