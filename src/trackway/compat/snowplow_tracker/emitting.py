"""What all emitters of the old tracker can do: flush at once, without waiting, by the clock."""

from __future__ import annotations

import threading
from typing import Any

from trackway.compat.snowplow_tracker.flushing import FlushTimer, seconds_to_wait
from trackway.compat.snowplow_tracker.typing import PayloadDictList
from trackway.delivery.worker import FLUSH_SECONDS, Delivery


class Emitting:
    """Stands in front of a native emitter, which has made ``delivery`` in its constructor."""

    delivery: Delivery
    _timer: FlushTimer | None = None

    def flush(self, timeout: float | None = None, **old: Any) -> int:
        """Send what is gathered; how many events are left.

        ``timeout``: seconds to wait; None: until everything was tried; False or 0 does not wait.
        Keywords ``is_async`` and ``async``: true does not wait.
        """
        seconds = seconds_to_wait(timeout, old)
        if seconds is None:
            # On the calling thread a flush tries everything once; threads get a bounded time,
            # because they keep trying while the collector is down.
            return self.delivery.flush(FLUSH_SECONDS if self.delivery.threads else None)
        if seconds or self.delivery.threads:
            return self.delivery.flush(seconds)
        threading.Thread(target=self.delivery.flush, args=(None,), daemon=True).start()
        return self.delivery.left()

    def sync_flush(self) -> int:
        """Send what is gathered and wait; how many events are left."""
        return self.flush()

    def async_flush(self) -> None:
        """Does nothing, as in version 1.x."""

    def send_events(self, events: PayloadDictList) -> None:
        """Take payloads and send them now."""
        emitter: Any = self
        for payload in events:
            emitter.input(payload)
        self.flush()

    def set_flush_timer(self, timeout: float, flush_now: bool = False) -> None:
        """Flush every ``timeout`` seconds, and now as well if ``flush_now``."""
        self.cancel_flush_timer()
        if flush_now:
            self.flush()
        self._timer = FlushTimer(timeout, self.flush)

    def cancel_flush_timer(self) -> None:
        """Flush by the clock no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
