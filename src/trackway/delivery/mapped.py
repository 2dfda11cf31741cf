"""A spool that is written through mapped memory: no system call for an event."""

from __future__ import annotations

import errno
import mmap
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from trackway.delivery.spool import Spool
from trackway.errors import SpoolError

#: What the first segment takes of the disk (bytes); each one takes twice as much as the one
#: before, up to the size of a segment. So a process that tracks little, or dies again and again,
#: holds little.
_FIRST = 64 * 1024

#: What file systems say that cannot set space aside.
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def no_room(_: bytes) -> int:
    """Writes nothing, as a segment that is full."""
    raise ValueError("no segment has been begun")


def is_missing(path: Path) -> bool:
    """Whether a file has been deleted; not if it is only out of reach just now."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


class MappedSpool(Spool):
    """A Spool whose segments are written by copying into memory that is mapped to the file.

    The bytes are in the page cache as soon as they are copied, so they survive the process, for
    about a quarter of a microsecond instead of one, and without letting go of the interpreter,
    which a busy thread would not give back at once. A segment has its whole size on the disk from
    the start: a full disk is noticed when a segment begins, and not by a signal that ends the
    process when the kernel finds no room for a page. When the segment ends it is cut to what was
    written; zeros behind the last frame of a segment whose writer died are no frame and are passed
    over.

    ``write`` copies whole frames behind the last one and raises ValueError where they do not fit.
    It is one call of C, so a signal handler or a finaliser that interrupts a writer and writes
    itself never writes in its place, and who reads sees all of a frame or nothing.
    """

    write: Callable[[bytes], int]

    def __init__(self, folder: Path, *, segment_bytes: int, max_bytes: int) -> None:
        super().__init__(folder, segment_bytes=segment_bytes, max_bytes=max_bytes, sync_names=False)
        self.write = no_room
        self._map: mmap.mmap | None = None
        self._usual = min(_FIRST, self.segment_bytes)
        self._reserved = 0
        #: Segments that nobody has begun to read, and when they were begun (monotonic seconds).
        self.begun: deque[tuple[Path, float]] = deque()
        self.began = 0.0  # the active one

    @property
    def size(self) -> int:
        """Bytes in all segments together."""
        return self._older + self.position

    @property
    def position(self) -> int:
        """How far the active segment is written."""
        try:
            return 0 if self._map is None else self._map.tell()
        except ValueError:  # it ended this very moment
            return 0

    def has_room(self, length: int) -> bool:
        """Whether the active segment takes so many bytes more."""
        return self._map is not None and self._map.tell() + length <= len(self._map)

    def is_full(self, length: int, elsewhere: int = 0) -> bool:
        """Whether a segment for a record of this length would be beyond the bound.

        ``elsewhere``: bytes that count against the bound beside ours.
        """
        return self.size + elsewhere + length > self.max_bytes

    def append(self, frames: bytes, elsewhere: int = 0) -> tuple[Path, int]:
        try:
            self.write(frames)
        except ValueError:
            room = self.max_bytes - self.size - elsewhere
            self._next(max(len(frames), min(self._usual, room)))
            self.write(frames)
        assert self.active is not None
        return self.active, self.position

    def look(self, segment: Path, start: int, size: int) -> bytes | None:
        """What the active segment holds from ``start``, at most ``size`` bytes (-1: all); None if
        this one has ended and has to be read from its file.

        No lock is needed: the map's position moves when the bytes are there.
        """
        map_ = self._map
        if segment != self.active or map_ is None:
            return None
        try:
            end = map_.tell()
            return map_[start : end if size < 0 else min(end, start + size)]
        except ValueError:  # closed meanwhile
            return None

    def retire(self) -> None:
        """End the active segment; the next record begins a new one."""
        self._end()

    def label(self, text: str) -> None:
        """Write into the lock's file what this is, for people who look around."""
        with suppress(OSError):
            os.pwrite(self._lock, text.encode() + b"\n", 0)

    def forget(self) -> None:
        """Close the files without touching them: in a forked child they are the parent's.

        Takes no lock, because a thread that the child does not have may hold it.
        """
        self.write = no_room
        map_, self._map = self._map, None
        if map_ is not None:
            map_.close()
        files = self._file, self._lock
        self._file = self._lock = -1
        for file in files:
            if file >= 0:
                with suppress(OSError):
                    os.close(file)

    def _next(self, reserved: int) -> None:
        """Begin a segment that takes so many bytes of the disk."""
        if self.active is not None and is_missing(self.active):
            # Somebody has deleted it, and what it holds is in the map alone.
            raise SpoolError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._reserved = reserved
        try:
            self._begin()
            assert self.active is not None
            self._map = mmap.mmap(self._file, self._reserved)
            # Else the kernel reads ahead: the first write would wait until all of it is zeroed.
            with suppress(OSError):
                self._map.madvise(mmap.MADV_RANDOM)
        except (OSError, ValueError) as error:  # ValueError: the file is not as long as reserved
            if self.active is not None:
                with suppress(OSError):
                    self.active.unlink()
            self._end()
            # The next try asks for less: there may be room for that.
            self._usual = max(min(_FIRST, self._usual), self._usual // 2)
            code = error.errno if isinstance(error, OSError) else None
            raise SpoolError(code, getattr(error, "strerror", None) or str(error)) from error
        self._usual = min(2 * self._usual, self.segment_bytes)
        self.began = monotonic()
        self.begun.append((self.active, self.began))
        self.write = self._map.write

    def _open(self, path: Path) -> int:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _reserve(file, self._reserved)
        except OSError:
            os.close(file)
            with suppress(OSError):
                path.unlink()
            raise
        return file

    def _end(self) -> None:
        map_ = self._map
        if map_ is not None:
            self.write = no_room
            self.written = map_.tell()
            with suppress(OSError):  # the zeros stay, and are passed over
                os.ftruncate(self._file, self.written)
            # Last: until here whoever reads finds what was written in the map, after it in the
            # file. Nobody touches the pages that were cut off.
            self._map = None
            map_.close()
        super()._end()


def _reserve(file: int, size: int) -> None:
    """Set so much of the disk aside for a new file; raises OSError if there is no room."""
    try:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(file, 0, size)
            return
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise
    zeros = bytes(64 * 1024)
    while size > 0:
        size -= os.write(file, zeros[:size])
