"""A flag that threads wait for, whose lock may be interrupted by a signal handler."""

from __future__ import annotations

import threading


class Flag:
    """What ``threading.Event`` is, on a re-entrant lock that it shares with others.

    The lock of an Event is not re-entrant: a signal handler that sets an Event while it interrupts
    the same Event's ``set`` waits for itself for ever. And because all flags of a delivery share
    the lock of its queue, a handler that waits for the queue lets go of it entirely, so that the
    workers go on wherever their caller was interrupted.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._condition = threading.Condition(lock)
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with self._condition:
            self._set = True
            self._condition.notify_all()

    def clear(self) -> None:
        with self._condition:
            self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        with self._condition:
            # Who waited when it was set goes on, even if another one clears it before that.
            return self._set or self._condition.wait(timeout)
