"""The spool: an append-only log of records in segment files, which survives the process.

A segment is a sequence of frames. A frame is a 16-byte header and a payload::

    magic "TW"   version u8   kind u8   payload length u32   CRC-32 u32   records u32   payload

(little endian; the checksum covers kind, length, records and payload). A frame is whole or it
does not exist: what a crash tore off at the end of a segment is recognised by length and checksum
and left out. A writer never appends to a segment that an earlier process began.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import struct
import threading
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from time import time_ns
from typing import NamedTuple

from trackway.errors import SpoolError

VERSION = 1
_MAGIC = b"TW"
_HEADER = struct.Struct("<2sBBIII")
_NAME = re.compile(r"\d{13}-[0-9a-f]{8}\.segment")

#: A single frame above this size is taken for damage, not for data.
MAX_FRAME = 64 * 1024 * 1024


class Frame(NamedTuple):
    """One frame as read: where it starts and ends in its segment, and what it holds."""

    start: int
    end: int
    kind: int
    records: int
    payload: bytes


def _checksum(kind: int, length: int, records: int, payload: bytes) -> int:
    return zlib.crc32(payload, _checksum_of_header(kind, length, records))


@lru_cache(4096)  # frames of single events are many and of few sizes
def _checksum_of_header(kind: int, length: int, records: int) -> int:
    return zlib.crc32(b"%d %d %d" % (kind, length, records))


def frame(payload: bytes, *, kind: int, records: int) -> bytes:
    """The bytes of one frame; ``kind`` is between 0 and 255 and means what the writer says.

    Raises SpoolError for a payload above MAX_FRAME, which no reader would believe.
    """
    length = len(payload)
    if length > MAX_FRAME:
        raise SpoolError(f"a record of {length} bytes is too large for the spool ({MAX_FRAME})")
    checksum = _checksum(kind, length, records, payload)
    return _HEADER.pack(_MAGIC, VERSION, kind, length, checksum, records) + payload


def read_frames(path: Path, start: int = 0, end: int | None = None) -> Iterator[Frame]:
    """The whole frames of a segment from byte ``start``, up to byte ``end`` if given.

    Bytes that are no frame are passed over up to the next frame that is whole; a gap between the
    ``end`` of one frame and the ``start`` of the next shows where. A torn tail simply ends it.
    """
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(-1 if end is None else max(0, end - start))
    yield from frames_in(data, start)


def frames_in(data: bytes, start: int = 0) -> Iterator[Frame]:
    """The whole frames in bytes that begin at byte ``start`` of their segment."""
    at = 0
    while at + _HEADER.size <= len(data):
        magic, version, kind, length, checksum, records = _HEADER.unpack_from(data, at)
        body = at + _HEADER.size
        end = body + length
        if magic == _MAGIC and version == VERSION and length <= MAX_FRAME and end <= len(data):
            payload = data[body:end]
            if _checksum(kind, length, records, payload) == checksum:
                yield Frame(start + at, start + end, kind, records, payload)
                at = end
                continue
        at = data.find(_MAGIC, at + 1)
        if at < 0:
            return


def is_newer(path: Path) -> bool:
    """Whether a segment was written by a version of Trackway that is newer than this one."""
    with path.open("rb", buffering=0) as file:
        head = file.read(3)
    return head[:2] == _MAGIC and head[2:] > bytes([VERSION])


def own(folder: Path, *, create: bool = False) -> int | None:
    """Become the owner of a spool's folder; the lock's file, to be kept open, or None if another
    process owns it. Raises OSError.

    A POSIX record lock: it ends with the process that took it, however that ends, and a forked
    child does not hold it. (It also ends when the process closes any other descriptor of the
    file, and the process that holds it is never refused: nobody may ask twice.)
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    file = os.open(folder / "owner", flags, 0o600)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever owned it before may have deleted it while we waited to be let in.
        if os.fstat(file).st_nlink:
            return file
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            os.close(file)
            raise
    os.close(file)
    return None


def segments(folder: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk: a new file is durable only with them."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class Spool:
    """A folder of segments with one writer.

    ``folder`` is made if missing. ``segment_bytes``: a segment above this size is closed and the
    next one begun. ``max_bytes``: bound of all segments together; ``append`` refuses beyond it.
    ``sync_names``: whether a new segment's name is made durable at once, or by who uses the spool.
    The writer holds a POSIX record lock on a file beside the segments, so two processes cannot
    own one folder, and a forked child does not own it.

    One thread writes (``append``, ``sync``, ``close``); any thread may read, and remove segments
    that have ended.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 64 * 1024 * 1024,
        max_bytes: int = 4 * 1024 * 1024 * 1024,
        sync_names: bool = True,
    ) -> None:
        self.folder = folder
        self.sync_names = sync_names
        # Only a segment that has ended can be removed: one alone must never fill the spool.
        self.segment_bytes = min(segment_bytes, max_bytes // 4)
        self.max_bytes = max_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = own(folder, create=True)
        except OSError as error:
            raise SpoolError(f"the spool {folder} cannot be used: {error.strerror}") from error
        if lock is None:
            raise SpoolError(f"the spool {folder} is in use by another process")
        self._lock = lock
        self._file = -1
        self._sizes = threading.Lock()
        self.active: Path | None = None
        self.written = 0  # bytes in the active segment
        there = self.segments()
        self._older = sum(path.stat().st_size for path in there)
        self._stamp = int(there[-1].name[:13]) if there else 0

    def segments(self) -> list[Path]:
        """The segments in the folder, oldest first."""
        return segments(self.folder)

    @property
    def size(self) -> int:
        """Bytes in all segments together."""
        return self._older + self.written

    def append(self, frames: bytes) -> tuple[Path, int]:
        """Append whole frames to the active segment; where they end, as segment and position.

        The bytes are in the page cache then: they survive the process, not yet a power cut.
        Raises SpoolError if they cannot be kept; the segment then holds none of them.
        """
        if self.size + len(frames) > self.max_bytes:
            raise SpoolError(f"the spool {self.folder} is full ({self.max_bytes} bytes)")
        try:
            if self.active is None or self.written >= self.segment_bytes:
                self._begin()
            view = memoryview(frames)
            while view:  # a write may stop short when the disk is nearly full
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._take_back()
            raise SpoolError(f"cannot write to the spool: {error.strerror}") from error
        self.written += len(frames)
        assert self.active is not None
        return self.active, self.written

    def sync(self) -> None:
        """Wait until everything appended is on the disk.

        Raises SpoolError. After a failed fdatasync the kernel may have let go of the dirty pages
        and will not report them again, so the segment is abandoned and the next append begins a
        new one; nothing in the doubtful tail has been acknowledged.
        """
        if self._file < 0:
            return
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._end()
            raise SpoolError(f"cannot sync the spool: {error.strerror}") from error

    def remove(self, segment: Path) -> None:
        """Delete a segment that has ended and is not needed any more."""
        size = segment.stat().st_size
        segment.unlink()
        with self._sizes:
            self._older -= size

    def set_aside(self, segment: Path) -> None:
        """Keep a damaged segment, which has been read as far as it can be, for a person to see."""
        size = segment.stat().st_size
        segment.rename(segment.with_suffix(".damaged"))
        with self._sizes:
            self._older -= size

    def close(self) -> None:
        """Sync and let go of the files and the lock."""
        try:
            self.sync()
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close the files and the lock without a sync; all that a forked child may do."""
        self._end()
        # Forgotten first, closed then: whoever is forked in between must not close the number,
        # which another file may have by then. The same in _end.
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _begin(self) -> None:
        self._end()
        # Later than the one before, even within a millisecond or when the clock is set back; and
        # unique for ever: the warehouse remembers segments by name when their file is gone.
        self._stamp = max(time_ns() // 1_000_000, self._stamp + 1)
        path = self.folder / f"{self._stamp:013d}-{secrets.token_hex(4)}.segment"
        # Active before it exists: who lists the folder from another thread takes a segment that
        # is not the active one for ended, and removes it.
        self.active, self.written = path, 0
        try:
            self._file = self._open(path)
            if self.sync_names:
                sync_folder(self.folder)
        except OSError:
            self._end()
            raise

    def _open(self, path: Path) -> int:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def _end(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
        with self._sizes:
            self._older += self.written
        self.active, self.written = None, 0

    def _take_back(self) -> None:
        """Cut off what a failed append left, so that later frames follow a whole one."""
        if self._file < 0:
            return
        try:
            os.ftruncate(self._file, self.written)
        except OSError:
            self._end()  # the torn frame stays at the end of a segment that nobody appends to
