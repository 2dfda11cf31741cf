"""Lanes whose process has ended, as they are found, adopted and let go of."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from trackway.delivery import claims
from trackway.delivery.lane import Lane

#: Seconds between two looks.
_LOOK = 20.0
#: How many lanes are adopted at a time; each holds a file or two open.
_MOST = 16


class Orphans:
    """The lanes for one collector that ``holder`` has adopted in a folder.

    One thread at a time may use it, but for what can be asked.
    """

    def __init__(self, folder: Path, collector: str, holder: object) -> None:
        self.folder = folder
        self.holder = holder
        self._prefix = claims.prefix(collector)
        self.lanes: list[Lane] = []
        self._more = False  # there are more of them than are adopted at a time
        self._left_alone: set[str] = set()
        self.elsewhere = 0  # bytes in lanes that others hold, as of the last look
        self._next_look = 0.0

    def __len__(self) -> int:
        """How many there are; those that wait for their turn count as one."""
        return len(self.lanes) + self._more

    @property
    def bytes(self) -> int:
        """Bytes in all lanes but the holder's own one."""
        return self.elsewhere + sum(lane.bytes for lane in self.lanes)

    def look_if_due(self) -> None:
        """Look around once in a while, or for the next ones when these are done."""
        if monotonic() >= self._next_look:
            self.look()
        elif self.have_next:
            self._adopt_some(self._all())

    @property
    def have_next(self) -> bool:
        """Whether these are done and others may wait for their turn."""
        return self._more and not self.lanes

    def look(self) -> None:
        """Adopt the lanes of processes that have ended, and see how much the others hold."""
        self._next_look = monotonic() + _LOOK
        lanes = self._all()
        self._adopt_some(lanes)
        others = (path for path in lanes if claims.holder_of(path) is not self.holder)
        self.elsewhere = sum(map(claims.size_of, others))

    def _all(self) -> list[Path]:
        try:
            return claims.lanes(self.folder)
        except (OSError, ValueError):  # the writer will say what is wrong with it
            return []

    def _adopt_some(self, lanes: list[Path]) -> None:
        self._more = False
        for path in lanes:
            if path.name in self._left_alone or not path.name.startswith(self._prefix):
                continue
            if len(self.lanes) >= _MOST:
                self._more = True
                break
            if not claims.claim(path, self.holder):
                continue
            if (lane := Lane.adopt(path)) is None:
                claims.release(path)
                continue
            self.lanes.append(lane)
            self.elsewhere = max(0, self.elsewhere - lane.bytes)

    def let_go_if_done(self, lane: Lane) -> None:
        """Let go of a lane in which nothing is left for us."""
        if not lane.is_done():
            return
        self.lanes.remove(lane)
        if lane.left_alone:
            self._left_alone.add(lane.folder.name)
        lane.let_go()
        claims.release(lane.folder)

    def leave(self) -> list[Lane]:
        """Hand all of them out, to be let go of."""
        lanes, self.lanes, self._more = self.lanes, [], False
        return lanes
