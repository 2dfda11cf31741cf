"""The ways in which a process multiplies and ends, and what its deliveries do then.

What the parent has accepted, the parent sends: a forked child starts with empty queues. At the
end, everything that is queued is sent within one budget: by ``atexit``, in children of
``multiprocessing`` (which skip it) by its finalisers, in Celery's pool workers (which skip both)
by Celery's signal, and if the application wishes so, by a handler of SIGTERM.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from functools import cache, partial
from time import monotonic
from types import FrameType
from typing import Any, Protocol

from trackway.delivery import http


class Ending(Protocol):
    """What this module has to know of a delivery."""

    exit_budget: float

    def forked(self) -> None:
        """This is a new child: begin afresh."""

    def left(self) -> int:
        """How many events are not settled."""

    def hurry(self) -> None:
        """Send what there is now, in the background."""

    def close(self, timeout: float | None = None) -> int:
        """Send within ``timeout`` seconds, then count what is left."""


#: How much of the budget is left to what comes after the sending (seconds).
_LAST_STEPS = 0.15

#: Living deliveries of this process. Weak: a hook that cannot be unregistered must not keep one.
_deliveries: weakref.WeakSet[Any] = weakref.WeakSet()
#: Those that must not go away with the last reference of the application.
_held: set[Ending] = set()


def register(delivery: Ending) -> None:
    """See to it that this delivery is told of forks and of the end."""
    _install()
    _deliveries.add(delivery)


def hold(delivery: Ending) -> None:
    """Keep a delivery that has something to send and no thread of its own that would keep it."""
    _held.add(delivery)


def release(delivery: Ending) -> None:
    """It has nothing to send any more."""
    _held.discard(delivery)


def close_all() -> None:
    """Send what is queued; all deliveries together stay within the longest of their budgets."""
    deliveries: list[Ending] = list(_deliveries)
    budget = max((d.exit_budget for d in deliveries if d.left()), default=0.0)
    end = monotonic() + max(0.0, budget - _LAST_STEPS)
    for delivery in deliveries:
        delivery.hurry()  # all at once: a dead collector must cost the others nothing
    for delivery in deliveries:
        delivery.close(max(0.0, end - monotonic()))


# -- children


def arm() -> None:
    """See to the ends that ``atexit`` does not see, for libraries that are loaded by now."""
    global _finalized_in
    for name in ("multiprocessing", "billiard"):
        if (util := sys.modules.get(f"{name}.util")) is None:
            continue
        if name not in _registered:
            # For children that it forks later. It forgets the finalisers of a parent in its child
            # before it calls what is registered here.
            _registered.add(name)
            util.register_after_fork(close_all, partial(_finalize, util))
        process = sys.modules.get(f"{name}.process")
        is_child = getattr(process.current_process() if process else None, "_parent_pid", None)
        if is_child and _finalized_in != os.getpid():
            _finalized_in = os.getpid()
            _finalize(util)
    if (signals := sys.modules.get("celery.signals")) is not None:
        signals.worker_process_shutdown.connect(
            _celery_worker_ends, weak=False, dispatch_uid="trackway.delivery"
        )


#: Libraries whose children we are told of, in this process and all that come from it.
_registered: set[str] = set()
#: The process whose own end we are told of.
_finalized_in = 0


def _finalize(util: Any, _: object = None) -> None:
    util.Finalize(None, close_all, exitpriority=100)


def _celery_worker_ends(**_: Any) -> None:
    close_all()


# -- SIGTERM


def close_on_sigterm() -> bool:
    """Send what is queued before SIGTERM ends the process; whether the handler is in place.

    Only over the default handler and from the main thread: a handler of the host application is
    never replaced. Afterwards the process ends by the signal, as it would have.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    present = signal.getsignal(signal.SIGTERM)
    if present is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    return present in (signal.SIG_DFL, _terminate)


def _terminate(number: int, _: FrameType | None) -> None:
    try:
        close_all()
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


# -- forks

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
        delivery.forked()
    if _deliveries:
        arm()


@cache
def _install() -> None:
    """Hang ourselves on the end and the forks of this process, once, before there is a thread."""
    # Later than logging's own hooks, because those before a fork run last come first served: the
    # import that we wait for takes logging's lock, which logging's hook must not have yet.
    import logging  # noqa: F401

    atexit.register(close_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )
