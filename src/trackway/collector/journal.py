"""The write-ahead log of the collector: many requests share one write and one fdatasync."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from trackway.delivery.spool import Spool, frame
from trackway.errors import SpoolError
from trackway.warehouse.load import BAD_ROWS, EVENTS

#: About how large a frame may get (bytes); the spool's own bound is far above.
FRAME_BYTES = 8 * 1024 * 1024

logger = logging.getLogger("trackway.collector")


class _Group:
    """What arrives while the disk is busy with the group before it."""

    __slots__ = ("bad", "events", "kept")

    def __init__(self, kept: asyncio.Future[None]) -> None:
        self.kept = kept
        self.events: list[bytes] = []
        self.bad: list[bytes] = []


class Journal:
    """Keeps lines of JSON in a spool; ``keep`` returns when they are on the disk.

    Group commit: while one fdatasync runs, the lines of all other requests gather and go with
    the next, so that the disk's latency is paid once for all of them.

    ``keep`` belongs to one event loop; the spool belongs to the journal's own thread.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        #: Up to where the active segment is durable; only that may be loaded.
        self.durable: tuple[Path, int] | None = None
        self.last_error: str = ""
        self._group: _Group | None = None
        self._condition = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="trackway-journal", daemon=True)
        self._thread.start()

    def keep(self, events: list[bytes], bad: list[bytes]) -> asyncio.Future[None]:
        """Lines of JSON, each with its line end. The future fails with SpoolError if they could
        not be kept; the group that shares a write fails as a whole."""
        with self._condition:
            group = self._group
            if group is None:
                group = self._group = _Group(asyncio.get_running_loop().create_future())
                self._condition.notify()
            group.events += events
            group.bad += bad
            return group.kept

    def close(self) -> None:
        """Keep what has been handed in, then stop; idempotent."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._group is None and not self._closing:
                    self._condition.wait()
                group, self._group = self._group, None
            if group is None:
                break
            error: SpoolError | None = None
            try:
                self._write(group)
                self.last_error = ""
            except SpoolError as failure:
                error = failure
                if str(error) != self.last_error:  # once per kind of trouble, not per request
                    logger.error("events are refused: %s", error)
                self.last_error = str(error)
            group.kept.get_loop().call_soon_threadsafe(_settle, group.kept, error)
        try:
            self.spool.close()
        except SpoolError as failure:
            logger.error("%s", failure)

    def _write(self, group: _Group) -> None:
        frames = b"".join(
            frame(b"".join(lines), kind=kind, records=len(lines))
            for kind, all_lines in ((EVENTS, group.events), (BAD_ROWS, group.bad))
            for lines in _portions(all_lines)
        )
        place = self.spool.append(frames)
        self.spool.sync()
        self.durable = place


def _portions(lines: list[bytes]) -> Iterator[list[bytes]]:
    """The lines in frames that a reader does not take for damage: many large bodies may share one
    write, and together they can be larger than any frame may be."""
    portion: list[bytes] = []
    size = 0
    for line in lines:
        size += len(line)
        if portion and size > FRAME_BYTES:
            yield portion
            portion, size = [], len(line)
        portion.append(line)
    if portion:
        yield portion


def _settle(kept: asyncio.Future[None], error: SpoolError | None) -> None:
    if kept.cancelled():
        return
    if error is None:
        kept.set_result(None)
    else:
        kept.set_exception(error)
        kept.exception()  # a group whose clients have all hung up is no unhandled error
