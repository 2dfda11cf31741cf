"""The loader's thread: brings what the journal has kept into the warehouse, again and again."""

from __future__ import annotations

import logging
import threading

from trackway.collector.journal import Journal
from trackway.errors import WarehouseError
from trackway.warehouse.load import Loader

logger = logging.getLogger("trackway.collector")


class Loading:
    """Loads the journal's segments every ``interval`` seconds, and deletes those that are done.

    When the warehouse fails, events stay in the spool, the failure is shown by ``/sink-health``
    and the load is tried again.
    """

    def __init__(self, journal: Journal, loader: Loader, *, interval: float = 1.0) -> None:
        self.journal = journal
        self.loader = loader
        self.interval = interval
        self.last_error = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trackway-loader", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def close(self) -> None:
        """Load what is left, once the journal is closed, and stop."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self.interval):
            self._load_all()
        self._load_all()

    def _load_all(self) -> None:
        try:
            self.load_all()
            self.last_error = ""
        except (WarehouseError, OSError) as error:
            if str(error) != self.last_error:
                logger.error("loading failed, events stay in the spool: %s", error)
            self.last_error = str(error) or type(error).__name__

    def load_all(self) -> None:
        """One round over all segments."""
        # The order of these three matters. A segment that is listed and is not active by then
        # has ended, and what has ended never grows; up to where the active one is durable is
        # asked last, when it can only be further.
        segments = self.journal.spool.segments()
        active = self.journal.spool.active
        durable = self.journal.durable
        for segment in segments:
            if segment != active:
                self.loader.load(segment)
                if self.loader.found_damage(segment):
                    self.journal.spool.set_aside(segment)
                else:
                    self.journal.spool.remove(segment)
                self.loader.forget(segment)
            elif durable is not None and durable[0] == segment:
                self.loader.load(segment, durable[1])
