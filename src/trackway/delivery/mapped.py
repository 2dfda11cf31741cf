"""A spool that is written through mapped memory: no system call for an event."""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from pathlib import Path

from trackway.delivery.spool import Spool
from trackway.errors import SpoolError


class MappedSpool(Spool):
    """A Spool whose segments are written by copying into memory that is mapped to the file.

    The bytes are in the page cache as soon as they are copied, so they survive the process, for
    about half a microsecond instead of two. A segment has its whole size on the disk from the
    start: a full disk is noticed when a segment begins, and not by a signal that ends the process
    when the kernel finds no room for a page. When the segment ends it is cut to what was written;
    zeros behind the last frame of a segment whose writer died are no frame and are passed over.
    """

    _map: mmap.mmap | None = None

    def has_room(self, length: int) -> bool:
        """Whether the active segment takes so many bytes more."""
        return self._map is not None and self.written + length <= len(self._map)

    def is_full(self, length: int) -> bool:
        """Whether there is no room for another segment that a record of this length needs."""
        return self.size + max(self.segment_bytes, length) > self.max_bytes

    def append(self, frames: bytes) -> tuple[Path, int]:
        if not self.has_room(len(frames)):
            self._next(len(frames))
        assert self._map is not None and self.active is not None
        end = self.written + len(frames)
        self._map[self.written : end] = frames
        self.written = end
        return self.active, end

    def _next(self, length: int) -> None:
        """Begin a segment that has room for a record of this length."""
        if self.is_full(length):
            raise SpoolError(errno.EDQUOT, f"it is full ({self.max_bytes} bytes)")
        self._reserved = max(self.segment_bytes, length)
        try:
            self._begin()
            self._map = mmap.mmap(self._file, self._reserved)
        except OSError as error:
            path = self.active
            self._end()
            if path is not None:
                with suppress(OSError):
                    path.unlink()
            raise SpoolError(error.errno, error.strerror) from error

    def _open(self, path: Path) -> int:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._reserved)
        except OSError:
            os.close(file)
            raise
        return file

    def _end(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
            with suppress(OSError):  # the zeros stay, and are passed over
                os.ftruncate(self._file, self.written)
        super()._end()

    def forget(self) -> None:
        """Close the files without touching them: in a forked child they are the parent's."""
        if self._map is not None:
            self._map.close()
            self._map = None
        self.let_go()
