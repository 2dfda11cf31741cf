"""One process's part of a shared spool, as it is read: in order, up to what has been settled."""

from __future__ import annotations

import errno
import os
import zlib
from collections import deque
from contextlib import suppress
from pathlib import Path
from time import monotonic, time

from trackway.delivery.mapped import MappedSpool
from trackway.delivery.spool import frames_in, is_newer, own, segments

#: The kind of a frame that holds one payload of the Snowplow wire. Who adds a kind raises the
#: version of the frames: what this release cannot read it must leave to one that can.
PAYLOAD = 16

#: More than there can be.
_ALL = 1 << 62
#: What lies in a lane beside its segments.
_FILES = ("position", "owner")
#: How much of a segment is read at once (bytes).
_CHUNK = 1024 * 1024
#: A shortage that passes, not a fault of the file: read on later.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class Taken:
    """Records that were read together; the lane moves on when all of them are settled."""

    __slots__ = ("count", "end", "lane", "left", "segment")

    def __init__(self, lane: Lane, segment: Path, end: int, count: int) -> None:
        self.lane = lane
        self.segment = segment
        self.end = end  # -1: nothing was read, the segment is finished
        self.count = self.left = count


class Lane:
    """A folder of segments with the position up to which everything has been settled.

    ``writer``: what writes this process's own lane. A lane that was adopted has none, and its
    segments do not grow any more; ``lock`` is the file whose lock holds it. One thread at a time
    may use a lane.
    """

    def __init__(self, folder: Path, *, lock: int = -1, writer: MappedSpool | None = None) -> None:
        self.folder = folder
        self.damaged = 0  # places that were passed over
        self.flying = 0  # records that a sender has
        self.bytes = 0  # in segments that were adopted
        self.left_alone: set[Path] = set()  # segments that stay: newer than we are, or unreadable
        self._lock = lock
        self._writer = writer
        self._taken: deque[Taken] = deque()
        self._position = -1
        self._is_closed = False
        self._segment: Path | None = None
        self._begun = 0.0
        self._at = 0
        self._resume: tuple[str, int] = ("", 0)
        self._segments = deque[tuple[Path, float]]()
        if writer is not None:
            self._segments = writer.begun
        else:
            self._take_stock()

    @classmethod
    def adopt(cls, folder: Path) -> Lane | None:
        """The lane of a process that has ended; None if it lives or another was faster."""
        lock = None
        try:
            # Made if it is missing: a power cut may have lost it, and what is in there without.
            lock = own(folder, create=True)
            return None if lock is None else cls(folder, lock=lock)
        except OSError:  # gone meanwhile, or not ours to read
            if lock is not None:
                os.close(lock)
            return None

    def _take_stock(self) -> None:
        """Find what an earlier owner left behind, from the position where it stopped."""
        self._resume = self._read_position()
        for segment in segments(self.folder):
            self.bytes += segment.stat().st_size
            if segment.name >= self._resume[0]:
                self._segments.append((segment, 0.0))
            elif not is_newer(segment):  # settled; its owner died before it was removed
                self._remove(segment)

    # -- reading

    def read(self, count: int, size: int, extra: int) -> tuple[list[bytes], Taken | None]:
        """The next payloads, at most ``count`` of together ``size`` bytes, but one if any.

        Raises OSError for a shortage that passes.
        """
        while (segment := self._segment or self._next()) is not None:
            items, end, may_grow = self._read_on(segment, count, size, extra)
            if items:
                taken = Taken(self, segment, end, len(items))
                self._taken.append(taken)
                # After that, in case of an interrupt in between: better twice than never.
                self._at = end
                self.flying += len(items)
                return items, taken
            if may_grow:
                break
            self._finish(segment)
        return [], None

    def drop_oldest(self) -> list[bytes] | None:
        """Delete the oldest segment; the payloads in it that nobody has taken, or None if there
        is no segment but the one that is being written. Raises OSError for a shortage."""
        segment = self._segment or self._next()
        if segment is None or (self._writer is not None and segment == self._writer.active):
            return None
        items = self._read_all(segment)
        self._finish(segment)
        self._remove(segment)  # what a sender has of it is in memory
        return items

    def drain(self) -> list[bytes]:
        """Everything that nobody has taken and that can be read. Raises OSError for a shortage."""
        items: list[bytes] = []
        while (segment := self._segment or self._next()) is not None:
            items += self._read_all(segment)
            if self._writer is not None and segment == self._writer.active:
                break
            self._finish(segment)
        return items

    def _read_all(self, segment: Path) -> list[bytes]:
        items: list[bytes] = []
        more = True
        while more:
            found, self._at, _ = self._read_on(segment, _ALL, _ALL, 0)
            items += found
            more = bool(found)
        return items

    def _read_on(
        self, segment: Path, count: int, size: int, extra: int
    ) -> tuple[list[bytes], int, bool]:
        """Payloads from where reading stands, where they end, and whether there may be more of
        the segment later."""
        items: list[bytes] = []
        at, may_grow = self._at, False
        # A record may be larger than a chunk: what a chunk cuts in two, the whole rest shows.
        for chunk in (min(size, _CHUNK, 64 * 1024 + 1024 * count), -1):
            try:
                data, may_grow = self._load(segment, at, chunk)
            except FileNotFoundError:  # somebody has tidied up; there is nothing left to lose
                return items, at, False
            except OSError as error:
                if error.errno in _SHORTAGES:
                    raise
                self._set_aside(segment)
                return items, at, False
            for frame in frames_in(data, at):
                size -= len(frame.payload) - 1 + extra
                if items and (size < 0 or len(items) >= count):
                    return items, at, may_grow
                self.damaged += frame.start > at
                at = frame.end
                if frame.kind == PAYLOAD:
                    items.append(frame.payload[:-1])
            if items or len(data) < chunk:
                break
        return items, at, may_grow

    def _load(self, segment: Path, start: int, size: int) -> tuple[bytes, bool]:
        """At most ``size`` bytes (-1: all) from ``start``; whether there may be more later."""
        if self._writer is not None:
            data = self._writer.look(segment, start, size)
            if data is not None:
                return data, True
        with segment.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(size), False

    def _next(self) -> Path | None:
        while self._segments:
            segment, self._begun = self._segments[0]
            if self._is_for_us(segment):
                self._at = self._resume[1] if segment.name == self._resume[0] else 0
                self._segment = segment
            self._segments.popleft()
            if self._segment is not None:
                break
        return self._segment

    def _is_for_us(self, segment: Path) -> bool:
        if self._writer is not None:
            return True
        try:
            newer = is_newer(segment)
        except OSError as error:
            if error.errno in _SHORTAGES:
                raise
            return True  # reading it will show what is wrong with it
        if newer:
            self.left_alone.add(segment)
        return not newer

    def written(self) -> float:
        """When what was read last was written, at the latest (monotonic seconds)."""
        now = monotonic()
        if self._segment is None or (self._writer and self._segment == self._writer.active):
            return now
        try:
            age = time() - self._segment.stat().st_mtime
        except OSError:
            return now
        # The wall clock may have been set meanwhile. Of our own segments we know better.
        return max(now - max(0.0, age), self._begun) if self._writer else now - max(0.0, age)

    @property
    def is_at_end(self) -> bool:
        """Whether everything that this process has written into its lane was read."""
        if self._segments or self._writer is None:
            return False
        if self._segment is None:
            return True
        return self._segment == self._writer.active and self._at == self._writer.position

    # -- settling

    def settle(self, taken: Taken, number: int) -> None:
        """So many of the records that were taken need not be kept any longer (see ``advance``)."""
        taken.left -= number
        self.flying -= number

    def advance(self) -> None:
        """Note how far everything is settled."""
        done: Taken | None = None
        while self._taken and self._taken[0].left <= 0:
            done = self._taken.popleft()
            if done.end < 0:
                self._remove(done.segment)
        if done is not None and done.end >= 0:
            self._write_position(done.segment.name, done.end)

    def is_settled_behind(self, taken: Taken) -> bool:
        """Whether some was settled that comes with or after this, which no position can tell."""
        return any(other.left < other.count for other in (taken, *self._taken))

    def is_done(self) -> bool:
        """Whether everything in it has been settled; of our own only when its writer has left."""
        if self._segment is not None:
            with suppress(OSError):
                if self._at >= self._segment.stat().st_size:
                    self._finish(self._segment)
        return not (self._taken or self._segment or self._segments)

    def _finish(self, segment: Path) -> None:
        self._taken.append(Taken(self, segment, -1, 0))
        self._segment = None
        self.advance()

    def _remove(self, segment: Path) -> None:
        if segment in self.left_alone:
            return
        with suppress(OSError):
            if self._writer is not None:
                self._writer.remove(segment)
                return
            size = segment.stat().st_size
            segment.unlink()
            self.bytes -= size

    def _set_aside(self, segment: Path) -> None:
        """Keep what cannot be read for a person to see, where no lane finds it again."""
        self.damaged += 1
        aside = self.folder.parent / f"{self.folder.name}-{segment.stem}.damaged"
        try:
            segment.rename(aside)
        except OSError:
            self.left_alone.add(segment)

    def _read_position(self) -> tuple[str, int]:
        with suppress(OSError, ValueError):
            name, end, check = (self.folder / "position").read_bytes()[:100].split()
            # What a power cut left of it must not make us skip anything.
            if int(check, 16) == zlib.crc32(name + b" " + end):
                return name.decode(), int(end)
        return "", 0

    def _write_position(self, name: str, end: int) -> None:
        if self._is_closed:  # it may have another owner by now
            return
        place = f"{name} {end}".encode()
        place += b" %08x" % zlib.crc32(place)
        # Whatever is not noted is sent again, which is better than lost.
        with suppress(OSError):
            if self._position < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._position = os.open(self.folder / "position", flags, 0o600)
            os.pwrite(self._position, place.ljust(80) + b"\n", 0)

    # -- the end

    def let_go(self) -> None:
        """Delete the lane if all is settled; else it stays for whoever adopts it."""
        if self.is_done() and not self.left_alone:
            with suppress(OSError):
                for path in [*segments(self.folder), *map(self.folder.joinpath, _FILES)]:
                    path.unlink(missing_ok=True)
                self.folder.rmdir()
        self.close()  # the lock last: until then nobody else takes the lane

    def close(self) -> None:
        """Close the files."""
        self._close_own()
        if self._writer is not None:
            self._writer.let_go()

    def forget(self) -> None:
        """Close the files in a forked child, whose parent holds the lane."""
        self._close_own()
        if self._writer is not None:
            self._writer.forget()

    def _close_own(self) -> None:
        self._is_closed = True
        files = self._position, self._lock
        self._position = self._lock = -1
        for file in files:
            if file >= 0:
                with suppress(OSError):
                    os.close(file)
