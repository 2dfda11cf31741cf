"""How long a flush waits, by what the versions' callers write, and flushes by the clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def seconds_to_wait(timeout: float | None, old: dict[str, Any]) -> float | None:
    """The seconds that a flush may wait; None: as long as it takes.

    ``timeout``: seconds; False or 0 does not wait, as the 0.7 manual says; None and True wait.
    ``old``: keywords ``is_async`` or ``async``; true means not to wait, as in the code of 0.7.
    Raises TypeError for any other keyword.
    """
    named = [old.pop(name) for name in ("async", "is_async") if name in old]
    if old:
        raise TypeError(f"flush() got an unexpected keyword argument {next(iter(old))!r}")
    if any(named):
        return 0.0
    if timeout is None or timeout is True:
        return None
    return float(timeout)


class FlushTimer:
    """Calls ``flush`` every ``interval`` seconds from a thread of its own, until cancelled."""

    def __init__(self, interval: float, flush: Callable[[], object]) -> None:
        self._over = threading.Event()
        self._interval = interval
        self._flush = flush
        threading.Thread(target=self._run, name="trackway-flush-timer", daemon=True).start()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            self._flush()

    def cancel(self) -> None:
        """Flush no more."""
        self._over.set()
