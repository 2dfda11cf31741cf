"""The background worker: takes batches off the queue, sends them, and tries again as needed."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic, time

from trackway.delivery import http
from trackway.delivery.http import Answer, HttpSender
from trackway.delivery.queue import DeliveryQueue
from trackway.delivery.retry import RETRIED, Backoff
from trackway.forks import witness

logger = logging.getLogger("trackway.delivery")


#: What ``stm``, the time of sending, adds to an event.
_STAMP_BYTES = len(',"stm":"1795159501000"')


class Delivery:
    """Delivers encoded events in batches from a thread of its own; ``put`` costs microseconds.

    The thread starts with the first event (and again in a forked child, whose queue starts
    empty: what the parent accepted, the parent sends). No lock is held during I/O, and nothing
    is raised at the caller.

    ``frame``: makes one request body of a list of encoded events.
    ``batch_size``, ``batch_bytes``: the most events and bytes of one request.
    ``interval``: seconds that an event waits at most for company.
    ``max_age``: seconds after which a batch that keeps failing is given up (``expired``).
    ``exit_budget``: seconds that the end of the process may be held up to send what is left.
    """

    def __init__(
        self,
        sender: HttpSender,
        frame: Callable[[list[bytes]], bytes],
        *,
        batch_size: int = 500,
        batch_bytes: int = 500_000,
        interval: float = 1.0,
        max_queue_bytes: int = 32 * 1024 * 1024,
        max_age: float = 12 * 3600.0,
        exit_budget: float = 2.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.sender = sender
        self.frame = frame
        self.batch_size = batch_size
        self.batch_bytes = batch_bytes
        self.interval = interval
        self.max_queue_bytes = max_queue_bytes
        self.max_age = max_age
        self.exit_budget = exit_budget
        self.backoff = backoff or Backoff()
        self.last_error = ""
        self._logged: set[str] = set()
        self._closed = False
        self._start_afresh()
        _deliveries.add(self)

    def _start_afresh(self) -> None:
        """State that belongs to one process; a forked child must not share any of it."""
        self.queue = DeliveryQueue(self.max_queue_bytes)
        self._same_process = witness()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._work = threading.Event()  # there is something to send
        self._hurry = threading.Event()  # a full batch, a flush or the end: do not wait for more
        self._impatient = threading.Event()  # a flush or the end: do not sit out a back-off
        self._deadline: float | None = None  # of a flush or the end, monotonic seconds

    # -- the caller's side

    def put(self, item: bytes) -> bool:
        """Take one encoded event; False if the queue is full (counted). Raises nothing."""
        if not self._same_process[0]:  # forked in C, where Python's fork hooks do not run
            self._forked()
        waiting = self.queue.put(item)
        if not waiting:
            self._log_once("dropped:queue_full", "the queue is full, events are dropped")
            return False
        if waiting >= self.batch_size and not self._hurry.is_set():
            self._hurry.set()
        if not self._work.is_set():
            self._work.set()
            if self._thread is None:
                self._start()
        return True

    def flush(self, timeout: float | None = None) -> int:
        """Try to send everything accepted so far, once even during a back-off.

        Waits at most ``timeout`` seconds (None: until every event is sent or given up); how many
        events are left.
        """
        if not len(self.queue):
            return 0
        if self._closed:  # the worker has ended; nobody would send what was put since then
            self.queue.drop_queued("closed")
            return len(self.queue)
        self._deadline = None if timeout is None else monotonic() + timeout
        if self._thread is None and not self._start():
            self._send_all()
        self._wake()
        left = self.queue.wait(timeout)
        self._deadline = None
        return left

    def close(self, timeout: float | None = None) -> int:
        """Flush within ``timeout`` seconds, then count what is left as ``dropped:exit``."""
        left = self.flush(timeout)
        self._closed = True
        self._wake()
        if left:
            self.queue.drop_queued("exit")
            logger.warning(
                "%d events could not be delivered to %s in time (%s)",
                left,
                self.sender.url,
                self.last_error or "no answer yet",
            )
        return left

    def stats(self) -> dict[str, int]:
        """Counters: accepted, sent, retried, queued, queued_bytes, ``dropped:<reason>``."""
        return {"retried": 0, **self.queue.snapshot()}

    def _wake(self) -> None:
        self._impatient.set()
        self._hurry.set()
        self._work.set()

    # -- the worker's side

    def _start(self) -> bool:
        with self._starting:
            if self._thread is not None:
                return True
            thread = threading.Thread(target=self._run, name="trackway-delivery", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down; flush sends on its own thread
                return False
            self._thread = thread
            return True

    def _run(self) -> None:
        while not self._closed:
            self._work.wait()
            if not self._hurry.wait(self.interval) and self._closed:
                break
            self._hurry.clear()
            self._work.clear()
            self._send_all()
        self.sender.close()

    def _send_all(self) -> None:
        room = self.batch_bytes - len(self.frame([]))
        while batch := self.queue.take(self.batch_size, room, extra=_STAMP_BYTES + 1):
            self._deliver(batch)

    def _deliver(self, batch: list[bytes]) -> None:
        """Send one batch until it is settled: sent, or given up with a counted reason."""
        given_up = monotonic() + self.max_age
        while True:
            answer = self._attempt(batch)
            if 200 <= answer.status < 300:
                self.backoff.succeeded()
                self.queue.settle(batch, "sent")
                return
            self.last_error = answer.error
            if answer.status == 413:
                self._halve(batch)
                return
            if answer.status and answer.status not in RETRIED:
                self._log_once("rejected", f"{self.sender.url} refuses events: {answer.error}")
                self.queue.settle(batch, "dropped:rejected")
                return
            wait = self.backoff.failed(answer.retry_after)
            if monotonic() + wait > given_up:
                self.queue.settle(batch, "dropped:expired")
                return
            if self._closed:
                self.queue.settle(batch, "dropped:exit")
                return
            self._log_once("retried", f"cannot deliver to {self.sender.url}: {answer.error}")
            self.queue.stats["retried"] += 1
            if self._deadline is not None:  # a flush waits; keep trying, but do not spin
                wait = min(wait, max(0.05, self._deadline - monotonic()))
            self._impatient.wait(wait)
            self._impatient.clear()

    def _attempt(self, batch: list[bytes]) -> Answer:
        stamp = b',"stm":"%d"}' % int(time() * 1000)
        body = self.frame([item[:-1] + stamp for item in batch])
        within = None
        if self._deadline is not None:
            within = max(0.05, self._deadline - monotonic())
        return self.sender.post(body, within=within)

    def _halve(self, batch: list[bytes]) -> None:
        """The server found the body too large: try the halves, and give up a single event."""
        if len(batch) == 1:
            self._log_once("too_large", "an event is too large for the collector")
            self.queue.settle(batch, "dropped:too_large")
            return
        middle = len(batch) // 2
        self._deliver(batch[:middle])
        self._deliver(batch[middle:])

    # -- the process's side

    def _log_once(self, key: str, message: str) -> None:
        """One line per kind of trouble; the counters tell how often it happened."""
        if key not in self._logged:
            self._logged.add(key)
            logger.warning("%s (logged once; see stats())", message)

    def _forked(self) -> None:
        self.sender.close()
        self.backoff.succeeded()
        self._start_afresh()


#: Living deliveries of this process. Weak: a hook that cannot be unregistered must not keep one.
_deliveries: weakref.WeakSet[Delivery] = weakref.WeakSet()


#: Whether the thread that forks holds the lock of the import.
_holding = False


def _before_fork() -> None:
    global _holding
    # Longer than any import, and yet a bound: nobody's fork may hang on us.
    _holding = http.importing.acquire(timeout=5.0)


def _after_fork_in_parent() -> None:
    if _holding:
        http.importing.release()


def _after_fork_in_child() -> None:
    http.importing = threading.Lock()
    for delivery in list(_deliveries):
        delivery._forked()


def _at_exit() -> None:
    """Send what is queued; all deliveries together stay within the longest of their budgets."""
    budgets = [d.exit_budget for d in _deliveries if len(d.queue)]
    end = monotonic() + max(budgets, default=0.0)
    for delivery in list(_deliveries):
        delivery.close(max(0.0, end - monotonic()))


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    # Here, below the import of logging, because the hooks before a fork run last come first served:
    # the import that we wait for takes logging's lock, which logging's own hook must not have yet.
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
