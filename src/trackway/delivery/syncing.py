"""Bringing what was written to the disk, a bounded time later and on a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trackway.delivery.flag import Flag
from trackway.delivery.spool import sync_folder


class Syncer:
    """Calls ``work`` at most ``seconds`` after something was marked as ``dirty``, and at least
    every ``longest`` seconds, until it is stopped. ``lock``: of those who mark."""

    def __init__(
        self,
        seconds: float,
        longest: float,
        work: Callable[[], None],
        *,
        lock: threading.RLock,
        logger: logging.Logger,
    ) -> None:
        self.seconds = seconds
        self.longest = min(max(longest, 0.01), threading.TIMEOUT_MAX)
        self.work = work
        self.logger = logger
        self.dirty = Flag(lock)
        self._ending = Flag(lock)
        self._started = threading.Lock()  # never let go of

    def start(self) -> None:
        """Start the thread, unless it was started or the interpreter is shutting down."""
        if self._started.acquire(blocking=False):
            name = "trackway-spool-sync"
            with suppress(RuntimeError):
                threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """End the thread soon."""
        self._ending.set()
        self.dirty.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            if self.dirty.wait(self.longest) and self._ending.wait(self.seconds):
                return
            self.dirty.clear()
            try:
                self.work()
            except Exception:  # a thread that is gone would not be missed until a power cut
                self.logger.exception("the spool could not be brought to the disk")


def sync_segment(path: Path, *, is_new: bool) -> None:
    """Wait until a segment is on the disk; a new one with its name and those of its folders.

    By name, because the writer may end it and close its file at any moment. Raises OSError.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        getattr(os, "fdatasync", os.fsync)(file)  # macOS has no fdatasync
    finally:
        os.close(file)
    if is_new:
        sync_folder(path.parent)
        # The lane, the collector's folder, and the spool may all have been made with it.
        for folder in list(path.parent.parents)[:3]:
            with suppress(OSError):  # folders further up need not be ours to read
                sync_folder(folder)
