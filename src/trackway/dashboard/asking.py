"""Blocking questions in threads: few at a time, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from trackway.errors import TrackwayError

logger = logging.getLogger("trackway.dashboard")

T = TypeVar("T")


class TookTooLong(TrackwayError):
    """A question was not answered in time."""


class Asking:
    """Runs work in at most ``at_once`` threads, so that the event loop stays free for ingest and
    the warehouse is not asked by everybody at once; waits ``timeout`` seconds for each answer."""

    def __init__(self, *, at_once: int = 2, timeout: float = 10.0) -> None:
        self.timeout = timeout
        self._at_once = at_once
        self._limiter: CapacityLimiter | None = None
        self._late: set[asyncio.Task[object]] = set()

    async def __call__(self, work: Callable[[], T], *, patient: bool = False) -> T:
        """The answer of ``work``; TookTooLong if it does not come in time, unless ``patient``.

        A thread cannot be stopped: what is late keeps its place until it ends, so that slow
        questions never add up. What had not begun by then is not begun at all.
        """
        # Made here, because a limiter belongs to the event loop that runs.
        limiter = self._limiter = self._limiter or CapacityLimiter(self._at_once)
        begun = False

        def begin() -> T:
            nonlocal begun
            begun = True
            return work()

        task = asyncio.create_task(to_thread.run_sync(begin, limiter=limiter))
        try:
            done, _ = await asyncio.wait({task}, timeout=None if patient else self.timeout)
        except asyncio.CancelledError:
            self._leave(task, begun)
            raise
        if not done:
            self._leave(task, begun)
            raise TookTooLong(f"no answer after {self.timeout:g} seconds")
        return task.result()

    def _leave(self, task: asyncio.Task[T], begun: bool) -> None:
        if not begun:
            task.cancel()
            return
        self._late.add(task)
        task.add_done_callback(self._ended_late)

    def _ended_late(self, task: asyncio.Task[object]) -> None:
        self._late.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.warning("a question that nobody waited for any more failed: %s", error)
