"""Reading the lanes of a shared spool: those of ended processes, and one's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from trackway.delivery import claims
from trackway.delivery.lane import Lane, Taken
from trackway.delivery.orphans import Orphans
from trackway.delivery.queue import Batch
from trackway.delivery.writing import Writer

#: How long a signal handler or a finaliser that has interrupted a writer waits for the lanes
#: (seconds).
_PATIENCE = 0.5


class Reader:
    """Reads lanes for several threads. Everything but ``alone`` is for who holds the lanes.

    ``lock``: of writing and counting. Who holds the lanes may take it, so who has it must not
    wait for the lanes for ever.
    """

    def __init__(self, orphans: Orphans, writer: Writer, *, lock: threading.RLock) -> None:
        self.orphans = orphans
        self.writer = writer
        self.damaged = 0  # places in segments that were passed over
        self._lock = lock
        self._lanes = threading.RLock()
        self._busy = False
        self._leaving: list[Lane] = []  # closed, but for what a sender has of them

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the lanes; false if this thread does so already, in code that was interrupted by a
        signal handler or a finaliser, or if that code holds what the lanes' holder waits for."""
        interrupted = self._lock._is_owned()  # type: ignore[attr-defined]
        if not self._lanes.acquire(timeout=_PATIENCE if interrupted else -1):
            yield False
            return
        try:
            if self._busy:
                yield False
            else:
                self._busy = True
                try:
                    yield True
                finally:
                    self._busy = False
        finally:
            self._lanes.release()

    def lanes(self) -> list[Lane]:
        """All lanes that are read, the older ones first."""
        own = self.writer.lane
        return [*self.orphans.lanes, *([own] if own else [])]

    def read(self, count: int, size: int, extra: int) -> Batch | None:
        """The next payloads of one lane; None if there are none."""
        while True:
            self.orphans.look_if_due()
            for lane in self.lanes():
                try:
                    items, taken = lane.read(count, size, extra)
                except OSError:  # too many files are open, for one; read on later
                    return None
                self.damaged += lane.damaged
                lane.damaged = 0
                if taken is not None:
                    return Batch(items, lane.written(), taken)
                if lane is not self.writer.lane:
                    self.orphans.let_go_if_done(lane)
            if not self.orphans.have_next:
                return None

    def drop_oldest(self) -> tuple[Lane, list[bytes]] | None:
        """Give up the oldest segment that has ended; what nobody had fetched of it."""
        with suppress(OSError):
            for lane in self.lanes():
                if (items := lane.drop_oldest()) is not None:
                    return lane, items
        return None

    def settle(self, taken: Taken, number: int, *, advance: bool) -> None:
        """So many records that were fetched need not be kept any longer."""
        taken.lane.settle(taken, number)
        if advance:
            taken.lane.advance()
            self._let_go_of_leaving()

    def leave(self, own: Lane | None) -> None:
        """Let go of all lanes, as soon as no sender has anything of them any more. Until then
        nobody may adopt them, who would send the same once more."""
        self._leaving += [*self.orphans.leave(), *([own] if own else [])]
        self._let_go_of_leaving()

    def _let_go_of_leaving(self) -> None:
        for lane in [lane for lane in self._leaving if not lane.flying]:
            self._leaving.remove(lane)
            lane.let_go()
            claims.release(lane.folder)

    def forget(self) -> None:
        """Close the files in a forked child."""
        for lane in [*self.lanes(), *self._leaving]:
            lane.forget()
