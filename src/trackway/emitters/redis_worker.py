"""The worker that empties a Redis list into an emitter, and loses nothing on the way."""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from types import FrameType
from typing import Any

from trackway.delivery.retry import Backoff
from trackway.emitters.handover import Handover, Outcome
from trackway.emitters.redis import address, connected
from trackway.emitters.redis_list import RedisList
from trackway.errors import SettingError

#: How long the worker listens for an element before it looks whether it shall end (seconds).
_LISTEN = 1.0


class RedisWorker:
    """Takes events from a Redis list and hands them to an emitter.

    ``emitter``: ours, or anything with ``input(dict)``. ``rdb``: a ``redis.Redis``, a URL, or None
    for the server on this machine; ``key``: the list. A text in the second place is the key; the
    names of older documents, ``_consumer`` and ``dbr``, are understood too. Redis 6.2 or newer.

    An element moves to a list of this worker and leaves that when its event has been delivered. A
    worker that is killed shows no sign of life for ``dead_after`` seconds; then the others, or the
    next one to start, take over what it held. ``batch_size``: how many events it holds at most.
    ``grace``: how long delivery may take when the worker shall end (seconds). ``keep``: how many
    elements ``key:rejected`` and ``key:unreadable`` keep at most, each.
    """

    def __init__(
        self,
        emitter: Any = None,
        rdb: Any = None,
        key: Any = "snowplow",
        *,
        _consumer: Any = None,
        dbr: Any = None,
        batch_size: int = 500,
        dead_after: float = 30.0,
        grace: float = 5.0,
        keep: int = 10_000,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        logger: logging.Logger | None = None,
    ) -> None:
        self.emitter = _consumer if emitter is None else emitter
        if not callable(getattr(self.emitter, "input", None)):
            raise TypeError(f"emitter is {self.emitter!r}; expected an object with input(dict)")
        if batch_size < 1 or dead_after <= 0 or read_timeout <= _LISTEN:
            raise SettingError(
                f"batch_size is {batch_size}, dead_after {dead_after}, read_timeout {read_timeout};"
                f" expected at least 1, more than 0 and more than {_LISTEN}"
            )
        rdb, self.key = _server_and_list(rdb, key, dbr)
        self.client = connected(rdb, connect_timeout=connect_timeout, read_timeout=read_timeout)
        self.batch_size = batch_size
        self.dead_after = dead_after
        self.grace = grace
        self.keep = keep
        self.logger = logger or logging.getLogger("trackway.delivery")
        # Plain flags, because a signal handler may set them at any moment; it could not wait for
        # the lock of an Event that the very thread it interrupts is holding.
        self._stopping = False
        self._ending = False
        self._counts: Counter[str] = Counter()
        self._logged: set[str] = set()

    def request_shutdown(self) -> None:
        """Let ``run`` finish what it has in hand and return; from any thread."""
        self._stopping = True

    def stats(self) -> dict[str, int]:
        """Counters: delivered, rejected, unreadable, adopted (taken over from dead workers),
        put_back (when the worker ended) and redis_errors."""
        names = ("delivered", "rejected", "unreadable", "adopted", "put_back", "redis_errors")
        return {name: self._counts[name] for name in names}

    def run(self, *, until_empty: bool = False) -> None:
        """Deliver until SIGINT, SIGTERM, SIGQUIT or ``request_shutdown``; what is not delivered
        then goes back to the head of the list. Waits for a Redis that is away.

        Signals are caught only in the main thread, and while this runs. ``until_empty``: return
        as soon as the list is empty; what an emitter cannot deliver keeps it waiting as ever.
        """
        source = RedisList(self.client, self.key, dead_after=self.dead_after, keep=self.keep)
        handover = Handover(
            self.emitter,
            stopping=lambda: self._stopping,
            ending=lambda: self._ending,
            grace=self.grace,
            logger=self.logger,
        )
        ended = threading.Event()
        alive = threading.Thread(target=self._stay_alive, args=(source, ended), daemon=True)
        with self._signals():
            alive.start()
            try:
                last = self._work(source, handover, until_empty)
                ended.set()
                alive.join(_LISTEN)
                self._leave(source, last)
            finally:
                ended.set()
                handover.end()
                self._stopping = self._ending = False

    def _work(self, source: RedisList, handover: Handover, until_empty: bool) -> Outcome:
        """The loop; an outcome that Redis does not know yet, because it was away at the end."""
        outcome = Outcome()
        away, idle = Backoff(0.5, 10.0), Backoff(0.5, 5.0)
        next_look = 0.0
        while not self._stopping:
            try:
                self._settle(source, outcome)
                outcome = Outcome()
                if monotonic() >= next_look:
                    self._counts["adopted"] += source.adopt()
                    next_look = monotonic() + self.dead_after / 3
                elements = source.take(self.batch_size)
                self._is_back(away)
                if not elements and not until_empty:
                    self._listen(source)
            except Exception as error:  # whatever it is, it passes: a worker waits for its Redis
                self._is_away(source, error)
                self._pause(away.failed())
                continue
            if not elements and until_empty:
                break
            outcome = handover.deliver(elements)
            self._count(outcome)
            if any(outcome):
                idle.succeeded()
            elif elements:
                self._pause(idle.failed())
        return outcome

    def _listen(self, source: RedisList) -> None:
        """Wait for an element. That is worth no alarm if it fails: taking will tell."""
        start = monotonic()
        with suppress(Exception):
            source.wait(_LISTEN)
            return
        self._pause(start + _LISTEN - monotonic())

    def _settle(self, source: RedisList, outcome: Outcome) -> None:
        source.settle(outcome.unreadable, aside="unreadable")
        source.settle(outcome.rejected, aside="rejected")
        source.settle(outcome.delivered)

    def _leave(self, source: RedisList, outcome: Outcome) -> None:
        """Settle, then give back what is left; if Redis is away, as long as ``grace`` allows."""
        end = monotonic() + self.grace
        while True:
            try:
                self._settle(source, outcome)
                self._counts["put_back"] += source.leave()
            except Exception as error:
                if monotonic() > end:
                    self.logger.warning(
                        "cannot give back what is left to %s (%r); another worker will take it "
                        "over in %g seconds, and may deliver again what was delivered",
                        address(self.client), error, self.dead_after,
                    )  # fmt: skip
                    return
                sleep(0.1)
            else:
                return

    def _count(self, outcome: Outcome) -> None:
        for name, elements in zip(outcome._fields, outcome, strict=True):
            self._counts[name] += len(elements)
        for name, elements in (("rejected", outcome.rejected), ("unreadable", outcome.unreadable)):
            if elements and name not in self._logged:
                self._logged.add(name)
                self.logger.warning(
                    "%d elements of %r are %s and were set aside in %r (logged once; see stats())",
                    len(elements), self.key, name, f"{self.key}:{name}",
                )  # fmt: skip

    # -- Redis goes away and comes back

    def _is_away(self, source: RedisList, error: Exception) -> None:
        source.forget_looks()
        self._counts["redis_errors"] += 1
        if "away" not in self._logged:
            self._logged.add("away")
            where = address(self.client)
            self.logger.warning(
                "cannot use Redis %s: %r; trying again until it works", where, error
            )

    def _is_back(self, away: Backoff) -> None:
        if "away" in self._logged:
            self._logged.discard("away")
            away.succeeded()
            self.logger.warning("Redis %s works again", address(self.client))

    def _stay_alive(self, source: RedisList, ended: threading.Event) -> None:
        """Give a sign of life again and again, however long a delivery takes."""
        pause = 0.0
        while not ended.wait(pause):
            pause = self.dead_after / 3
            try:
                source.beat()
            except Exception:  # the loop notices as well; here only be quick when it is back
                pause = min(pause, 0.5)

    def _pause(self, seconds: float) -> None:
        end = monotonic() + seconds
        while not self._stopping and (rest := end - monotonic()) > 0:
            sleep(min(0.1, rest))

    # -- signals

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._stopping = self._ending = True

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Catch the signals that end a process, if this is the thread that may."""
        before: dict[int, Callable[[int, FrameType | None], Any] | int] = {}
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGQUIT"):
                if (number := getattr(signal, name, None)) is not None:
                    handler = signal.signal(number, self._on_signal)
                    before[number] = signal.SIG_DFL if handler is None else handler
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _server_and_list(rdb: Any, key: Any, dbr: Any) -> tuple[Any, str]:
    """The server and the key of the list, in whichever order and by whichever name."""

    def is_server(value: Any) -> bool:
        return value is not None and (not isinstance(value, str) or "://" in value)

    if rdb is not None and not is_server(rdb):
        rdb, key = (key if is_server(key) else None), rdb
    rdb = rdb if dbr is None else dbr
    key = "snowplow" if key is None else key
    if not isinstance(key, str) or not key:
        raise TypeError(f"key is {key!r}; expected the name of a list")
    return rdb, key
