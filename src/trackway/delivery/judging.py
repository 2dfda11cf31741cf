"""What becomes of a batch by the answer that came back: arrived, tried again, or given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING

from trackway.delivery.http import Answer
from trackway.delivery.queue import Batch, DeliveryQueue
from trackway.delivery.retry import RETRIED, Backoff

if TYPE_CHECKING:
    import logging


class Judging:
    """The part of a Delivery that settles batches or puts them back; it sends nothing itself."""

    queue: DeliveryQueue
    backoff: Backoff
    retry_codes: Mapping[int, bool]
    max_age: float
    sent: Callable[[list[bytes]], None] | None
    logger: logging.Logger
    place: str  # where it goes, for messages
    _closed: bool
    _not_before: float
    _logged: set[str]

    def _arrived(self, batch: Batch) -> None:
        if self.sent and batch.items:  # first: who flushes and then looks must find it told
            self.sent(batch.items)
        self.queue.settle(batch, "sent")

    def _judge_each(self, batch: Batch, answers: list[Answer]) -> bool:
        """Every item was sent by itself and is judged by its own answer."""
        parts: dict[int, list[bytes]] = {}
        by_status = {answer.status: answer for answer in answers}
        for item, answer in zip(batch.items, answers, strict=True):
            parts.setdefault(answer.status, []).append(item)
        good = [item for status in parts if 200 <= status < 300 for item in parts[status]]
        bad = {status: items for status, items in parts.items() if not 200 <= status < 300}
        again = {status for status in bad if self._is_retried(status)}
        beside = 0
        if good and bad.keys() - again:
            beside = len(good)
            self.queue.settle(batch.part(good), "sent")
        elif good:
            self._arrived(batch.part(good))
        # Those that are given up first: with them it is told, once, how many arrived.
        for status in sorted(bad, key=again.__contains__):
            part = batch.part(bad[status])
            self._judge(part, by_status[status], beside=beside, alone=True)
            beside = 0
        if not again:
            self.backoff.succeeded()
            self._not_before = 0.0
        return not again

    def _judge(self, batch: Batch, answer: Answer, *, beside: int = 0, alone: bool = False) -> bool:
        """What becomes of items that were not taken; False if they will be tried again later.

        ``beside``: how many of the same round arrived. ``alone``: each was sent by itself.
        """
        if answer.status == 413:
            middle = 0 if alone else len(batch.items) // 2
            if middle:
                halves = batch.items[:middle], batch.items[middle:]
                self.queue.put_back(*map(batch.part, halves))
            else:
                self.log_once("too_large", "an event is too large for the collector")
                self.queue.settle(batch, "dropped:too_large", beside=beside)
            return True
        if not self._is_retried(answer.status):
            self.log_once("rejected", f"{self.place} refuses events: {answer.error}")
            self.queue.settle(batch, "dropped:rejected", beside=beside)
            return True
        wait = self.backoff.failed(answer.retry_after)
        self._not_before = monotonic() + wait
        if self._not_before > batch.since + self.max_age:
            self.queue.settle(batch, "dropped:expired", beside=beside)
            return False
        self.log_once("retried", f"cannot deliver to {self.place}: {answer.error}")
        self.queue.stats["retried"] += 1
        self.queue.put_back(batch)
        if self._closed:  # nobody will fetch it any more
            self.queue.close("exit")
        return False

    def _is_retried(self, status: int) -> bool:
        return self.retry_codes.get(status, not status or status in RETRIED)

    def log_once(self, key: str, message: str) -> None:
        """One line per kind of trouble; the counters tell how often it happened."""
        if key not in self._logged:
            self._logged.add(key)
            self.logger.warning("%s (logged once; see stats())", message)
