"""The background workers: take batches off the queue, send them, and try again as needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from trackway import logs
from trackway.delivery import exits
from trackway.delivery.flag import Flag
from trackway.delivery.http import Answer
from trackway.delivery.judging import Judging
from trackway.delivery.queue import Batch, DeliveryQueue
from trackway.delivery.retry import Backoff
from trackway.forks import witness

if TYPE_CHECKING:
    import logging

#: How long ``flush`` waits unless told otherwise (seconds).
FLUSH_SECONDS = 30.0
#: Seconds after which idle workers look whether the queue has found something by itself.
_LOOK_AGAIN = 30.0


class Sender(Protocol):
    """One way out. An item is the JSON of a payload without its last brace: who sends it closes
    it, and may add what is known only then."""

    name: str

    def send(self, items: list[bytes], *, within: float | None) -> Answer:
        """Send the items within so many seconds. Raises nothing."""

    def close(self) -> None:
        """Let go of connections."""


class Delivery(Judging):
    """Delivers encoded events in batches from threads of its own; ``put`` costs microseconds.

    The threads start with the first event (and again in a forked child, whose queue starts
    empty: what the parent accepted, the parent sends). No lock is held during I/O, and nothing
    is raised at the caller.

    ``queue``: makes the queue, again in each process. ``threads``: how many send at a time; with
    none, the caller of ``put`` sends when a batch is full. ``batch_size``, ``batch_bytes``: the
    most events and bytes of one request. ``extra``: bytes that sending adds to each item.
    ``trigger``: how many events make haste (None: ``batch_size``). ``interval``: seconds that an
    event waits at most for company. ``retry_codes``: statuses that are retried (True) or not
    (False), beyond the usual ones. ``max_age``: seconds after which a batch that keeps failing is
    given up (``expired``). ``exit_budget``: seconds that the end of the process may be held up.
    ``sent``: told of every batch that has arrived.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        queue: Callable[[], DeliveryQueue] = lambda: DeliveryQueue(32 * 1024 * 1024),
        threads: int = 1,
        batch_size: int = 500,
        batch_bytes: int = 500_000,
        extra: int = 1,
        trigger: int | None = None,
        interval: float = 1.0,
        retry_codes: Mapping[int, bool] | None = None,
        max_age: float = 12 * 3600.0,
        exit_budget: float = 2.0,
        backoff: Backoff | None = None,
        sent: Callable[[list[bytes]], None] | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self.sender = sender
        self.place = sender.name
        self.threads = threads
        self.batch_size = batch_size
        self.batch_bytes = batch_bytes
        self.extra = extra
        self.trigger = trigger or batch_size
        self.interval = interval
        self.retry_codes = retry_codes or {}
        self.max_age = max_age
        self.exit_budget = exit_budget
        self.backoff = backoff or Backoff()
        self.sent = sent
        self.logger = logger or logs.logger("trackway.delivery")
        self.last_error = ""
        self.last_status = 0
        self._make_queue = queue
        self._logged: set[str] = set()
        self._closed = False
        self._start_afresh()
        exits.register(self)
        exits.arm()

    def _start_afresh(self) -> None:
        """State that belongs to one process; a forked child must not share any of it."""
        self.queue = self._make_queue()
        self._same_process = witness()
        self._workers: list[threading.Thread] = []
        # Re-entrant, because a signal handler that closes may interrupt who holds it.
        self._starting = threading.RLock()
        self._sending = threading.RLock()  # who sends without workers, one at a time
        self._probing = threading.RLock()  # who finds out whether an outage is over
        self._work = Flag(self.queue.lock)  # there is something to send
        self._hurry = Flag(self.queue.lock)  # a full batch, a flush or the end: wait for no more
        self._impatient = Flag(self.queue.lock)  # a flush or the end: do not sit out a back-off
        self._not_before = 0.0  # the back-off that all workers share, monotonic seconds
        self._oldest = 0.0  # without workers: when the buffer was begun
        self._in_flight: dict[int, Batch] = {}  # what each thread is sending
        self._deadlines: list[float] = []  # of flushes that are waiting, monotonic seconds

    # -- the caller's side

    def put(self, payload: bytes) -> bool:
        """Take the JSON of one payload; False if it was dropped (counted). Raises nothing."""
        if not self._same_process[0]:  # forked in C, where Python's fork hooks do not run
            self.forked()
        # A slice is a copy of the exact size. What an encoder returns holds on to more memory.
        waiting = self.queue.put(payload[:-1])
        if self._work.is_set() and waiting < self.trigger and waiting:
            return True
        return self._notice(waiting)

    def _notice(self, waiting: int) -> bool:
        """There is something to do for somebody: start, wake up, send or complain."""
        if not waiting:
            self.log_once("dropped:queue_full", "the queue is full, events are dropped")
            return False
        if not self.threads:
            self._send_if_due(waiting)
            return True
        if waiting >= self.trigger and not self._hurry.is_set():
            self._hurry.set()
        if not self._work.is_set():
            self._work.set()
            if not self._workers:
                self._start()
        return True

    def adopt(self) -> None:
        """Start the workers although nothing was put, if an ended process has left something."""
        if self.queue.adopt():
            self._work.set()
            if self.threads:
                self._start()

    def flush(self, timeout: float | None = FLUSH_SECONDS) -> int:
        """Try to send everything accepted so far, once even during a back-off.

        Waits at most ``timeout`` seconds (None: until every event is sent or given up); how many
        events are left. From inside a callback it does not wait.
        """
        if not len(self.queue):
            return 0
        if timeout is not None and timeout > threading.TIMEOUT_MAX:
            timeout = None
        if self._closed:  # the workers have ended; nobody would send what was put since then
            self.queue.close("closed")
            return len(self.queue)
        if threading.current_thread() in self._workers:
            return len(self.queue)
        deadline = float("inf") if timeout is None else monotonic() + timeout
        self._deadlines.append(deadline)
        try:
            if not self._workers and not (self.threads and self._start()):
                self._send_until(deadline if timeout is not None else 0.0)
                return len(self.queue)
            self._wake()
            return self.queue.wait(timeout)
        finally:
            self._deadlines.remove(deadline)

    def close(self, timeout: float | None = None) -> int:
        """Flush within ``timeout`` seconds (None: ``exit_budget``), then let go of what is left:
        it stays in the spool if there is one, else it is counted as ``dropped:exit``."""
        left = self.flush(self.exit_budget if timeout is None else timeout)
        if not self._closed:
            self._closed = True
            self._wake()
            lost = self.queue.close("exit")
            lost += self._write_off()
            if left:
                self.logger.warning(
                    "%d events could not be delivered to %s in time (%s); %s",
                    left,
                    self.sender.name,
                    self.last_error or "no answer yet",
                    "they are lost" if lost else "they are kept for the next start",
                )
            if not self._workers:
                self.sender.close()
            exits.release(self)
        return left

    def _write_off(self) -> int:
        """Give up what the workers are sending right now: nobody will hear the answer."""
        number = 0
        for thread, batch in list(self._in_flight.items()):
            # What is in the spool stays there unless the answer still comes.
            if batch.origin is None and self._in_flight.pop(thread, None) is batch:
                number += len(batch.items)
                self.queue.settle(batch, "dropped:exit")
        return number

    def left(self) -> int:
        """How many events are not settled."""
        return len(self.queue)

    def hurry(self) -> None:
        """Let the workers, if there are any, send what is queued now; does not wait."""
        if self.threads and len(self.queue) and not self._closed and self._start():
            self._wake()

    def stats(self) -> dict[str, int]:
        """Counters: accepted, sent, retried, queued, queued_bytes, ``dropped:<reason>``."""
        return {"retried": 0, **self.queue.snapshot()}

    def _wake(self) -> None:
        self._impatient.set()
        self._hurry.set()
        self._work.set()

    # -- without workers

    def _send_if_due(self, waiting: int) -> None:
        """Send on the caller's thread when a batch is full or has waited long enough."""
        now = monotonic()
        if waiting == 1:
            self._oldest = now
            exits.hold(self)
        full = waiting >= self.trigger or self.queue.queued_bytes >= self.batch_bytes
        due = full or now - self._oldest >= self.interval
        if due and now >= self._not_before and self._sending.acquire(blocking=False):
            try:
                # Who tracks pays for a backlog bit by bit, or a single call would for all of it.
                if self._send_batch():
                    self._send_batch()
                self._release()
            finally:
                self._sending.release()

    def _release(self) -> None:
        if not len(self.queue):
            exits.release(self)

    def _send_until(self, deadline: float) -> None:
        """Send on this thread: each batch once, and again until the deadline."""
        bounded = 0.0 < deadline < float("inf")
        rest = max(0.0, deadline - monotonic()) if bounded else -1
        if not self._sending.acquire(timeout=rest):  # another thread is sending
            return
        try:
            while self._send_round():
                pause = min(self._not_before, deadline) - monotonic()
                if monotonic() + 0.05 >= deadline:
                    return
                self._impatient.wait(max(0.05, pause))
            self._release()
        finally:
            self._sending.release()

    # -- the workers' side

    def _start(self) -> bool:
        with self._starting:
            if self._workers:
                return True
            exits.arm()
            try:
                for number in range(self.threads):
                    name = f"trackway-delivery-{number + 1}"
                    thread = threading.Thread(target=self._run, name=name, daemon=True)
                    thread.start()
                    self._workers.append(thread)
            except RuntimeError:  # the interpreter is shutting down; flush sends on its own thread
                return bool(self._workers)
            return True

    def _run(self) -> None:
        while not self._closed:
            self._work.wait(_LOOK_AGAIN)
            self._hurry.wait(self.interval)
            self._hurry.clear()
            self._work.clear()
            while self._send_round():
                pass
        self.sender.close()

    def _send_round(self) -> bool:
        """Send batch after batch until nothing is queued; whether to go on after a failure."""
        while True:
            if self.threads and not self._sit_out():
                return False
            failed_until = self._not_before
            if not failed_until:
                went_well = self._send_batch()
            else:
                # One worker finds out whether the outage is over; the others wait for it.
                with self._probing:
                    if self._not_before != failed_until:
                        continue
                    went_well = self._send_batch()
            if not went_well:
                return went_well is False

    def _send_batch(self) -> bool | None:
        """Send the next batch; False after a failure that may pass, None if there is none."""
        batch = self.queue.take(self.batch_size, self.batch_bytes, extra=self.extra)
        if batch is None:
            return None
        if self.threads > 1 and (waiting := self.queue.waiting()):  # another worker shall look
            self._work.set()
            if waiting >= self.trigger:
                self._hurry.set()
        return self._deliver(batch)

    def _sit_out(self) -> bool:
        """Wait until the back-off is over or somebody is impatient; False if it is all over."""
        if self._closed and self._workers:
            return False
        while self._workers and not self._closed:
            # Looked at again after each wait: another worker may have failed meanwhile.
            wait = self._not_before - monotonic()
            if wait <= 0:
                break
            # A flush waits: keep trying, but do not spin.
            deadline = max(self._deadlines, default=float("inf"))
            patience = min(wait, max(0.05, deadline - monotonic()))
            if self._impatient.wait(patience):
                self._impatient.clear()
                break
            if patience < wait:
                break
        return not self._closed or not self._workers

    def _deliver(self, batch: Batch) -> bool:
        """Send one batch and settle it, or put it back; False after a failure that may pass."""
        within = None
        deadline = max(self._deadlines, default=float("inf"))
        if deadline != float("inf"):
            within = max(0.05, deadline - monotonic())
        self._in_flight[threading.get_ident()] = batch
        try:
            answer = self.sender.send(batch.items, within=within)
        except Exception as error:  # a mistake in a sender must not end the worker
            answer = Answer(0, error=f"{type(error).__name__}: {error}")
        if self._in_flight.pop(threading.get_ident(), None) is None:  # written off meanwhile
            return False
        self.last_status = answer.status
        if 200 <= answer.status < 300 and not answer.each:
            self.backoff.succeeded()
            self._not_before = 0.0
            self._arrived(batch)
            return True
        self.last_error = answer.error
        if answer.each:
            return self._judge_each(batch, answer.each)
        return self._judge(batch, answer)

    # -- the process's side

    def forked(self) -> None:
        """Begin afresh in a new child."""
        self.sender.close()
        self.queue.forget()
        self.backoff.succeeded()
        self._start_afresh()
