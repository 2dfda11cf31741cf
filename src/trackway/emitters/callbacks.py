"""What an emitter tells its application: how many events arrived, and which ones never will."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import logging

OnSuccess = Callable[[int], Any]
OnFailure = Callable[[int, list[dict[str, Any]]], Any]
OnDrop = Callable[[dict[str, Any], str], Any]


class Callbacks:
    """Calls the application back; whatever it raises is counted and logged once.

    ``on_success(count)``: so many events have arrived. ``on_failure(sent_count, unsent)``: these
    events are given up for good, and so many of the same request arrived, which ``on_success`` is
    not told of. ``on_drop(payload, reason)``: the same for each event by itself, with the reason as
    ``stats()`` counts it.

    They are called on the thread that finds out: one that sends, or one that tracks into a full
    queue. What is to be told while a callback runs on the same thread is only counted
    (``skipped:<name>``).
    """

    def __init__(
        self,
        on_success: OnSuccess | None,
        on_failure: OnFailure | None,
        on_drop: OnDrop | None,
        logger: logging.Logger,
    ) -> None:
        self.on_success = on_success
        self.on_failure = on_failure
        self.on_drop = on_drop
        self.logger = logger
        self.stats: Counter[str] = Counter()
        self._busy = threading.local()

    def sent(self, items: list[bytes]) -> None:
        """These events have arrived."""
        if self.on_success:
            self._call("on_success", self.on_success, len(items))

    def lost(self, items: list[bytes], reason: str, beside: int) -> None:
        """These events are given up; ``beside`` of the same request arrived."""
        if not (self.on_failure or self.on_drop):
            return
        unsent = [msgspec.json.decode(item + b"}") for item in items]
        if self.on_failure:
            self._call("on_failure", self.on_failure, beside, unsent)
        if self.on_drop:
            for payload in unsent:
                self._call("on_drop", self.on_drop, payload, reason)

    def _call(self, name: str, callback: Callable[..., Any], *arguments: Any) -> None:
        # A callback that tracks into a full queue would be called back for that event, and so on.
        if getattr(self._busy, "inside", False):
            self.stats[f"skipped:{name}"] += 1
            return
        self._busy.inside = True
        try:
            callback(*arguments)
        except Exception:
            key = f"failed:{name}"
            self.stats[key] += 1
            if self.stats[key] == 1:
                self.logger.exception("%s failed; logged once, counted from now on", name)
        finally:
            self._busy.inside = False
