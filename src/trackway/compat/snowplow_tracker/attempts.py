"""The attempts of an emitter to send: seen by overridden methods, callbacks and the log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

import msgspec

from trackway.delivery.http import Answer
from trackway.delivery.worker import Sender
from trackway.wires.snowplow import encode_body

if TYPE_CHECKING:
    import logging

OnAttempt = Callable[[int, list[dict[str, Any]]], object]
"""Told of every attempt that failed: the status (-1: no answer) and the payloads, which are
tried again or given up later on."""


class Status(int):
    """An HTTP status, -1 if there was no answer; true if it is one of success.

    Answers ``status_code`` as well, so that it can stand for the Response of older versions.
    """

    @property
    def status_code(self) -> int:
        return int(self)

    def __bool__(self) -> bool:
        return 200 <= self < 300

    @classmethod
    def of(cls, answer: Answer) -> Status:
        """The status of our own answer."""
        return cls(answer.status or -1)


class Attempts:
    """A sender around the native one.

    ``own_method``: asked at each attempt for the overridden ``http_post`` or ``http_get`` of the
    emitter; None leaves it to the native sender. ``posts``: which of the two it would be.
    ``on_attempt``: called after each failure.
    """

    def __init__(
        self,
        inner: Sender,
        logger: logging.Logger,
        *,
        posts: bool,
        own_method: Callable[[], Callable[[Any], Any] | None],
        on_attempt: OnAttempt | None = None,
    ) -> None:
        self.inner = inner
        self.name = inner.name
        self.logger = logger
        self.posts = posts
        self.own_method = own_method
        self.on_attempt = on_attempt
        self._last = threading.local()

    def send(self, items: list[bytes], *, within: float | None) -> Answer:
        method = self.own_method()
        if method is None:
            answer = self.inner.send(items, within=within)
        elif self.posts:
            answer = self._called(method, encode_body(map(_stamped, items)).decode())
        else:
            answer = self._each(method, items)
        self._last.status = answer.status or None
        self._tell(items, answer)
        return answer

    def close(self) -> None:
        self.inner.close()

    def taken_status(self) -> int | None:
        """The status of what this thread has sent since it asked last; None: nothing."""
        status: int | None = getattr(self._last, "status", None)
        self._last.status = None
        return status

    def _each(self, get: Callable[[dict[str, Any]], Any], items: list[bytes]) -> Answer:
        each = [self._called(get, msgspec.json.decode(_stamped(item))) for item in items]
        last = next((a for a in reversed(each) if not 200 <= a.status < 300), each[-1])
        return Answer(last.status, last.retry_after, last.error, each)

    def _called(self, method: Callable[[Any], Any], argument: Any) -> Answer:
        """What an overridden method says: a status, a bool, or a response with status_code."""
        try:
            said = method(argument)
        except Exception as error:  # as if nobody had answered: the event is tried again
            return Answer(0, error=f"{type(error).__name__}: {error}")
        said = getattr(said, "status_code", said)
        if said is None or isinstance(said, bool):
            status = 0 if said is False else 200
        else:
            status = max(0, int(said))
        return Answer(status, error="" if 200 <= status < 300 else f"HTTP {status}")

    def _tell(self, items: list[bytes], answer: Answer) -> None:
        if not self.logger.isEnabledFor(10) and self.on_attempt is None:
            return
        for part, one in _requests(items, answer):
            self.logger.debug("%d events to %s: status %d", len(part), self.name, one.status)
            if self.on_attempt is not None and not 200 <= one.status < 300:
                self._call_back(one.status or -1, part)

    def _call_back(self, status: int, items: list[bytes]) -> None:
        payloads = [msgspec.json.decode(item + b"}") for item in items]
        try:
            if self.on_attempt is not None:
                self.on_attempt(status, payloads)
        except Exception:  # a callback must not stop the delivery
            self.logger.exception("on_attempt failed")


def _stamped(item: bytes) -> bytes:
    """The item closed, with the time of sending."""
    return b'%b,"stm":"%d"}' % (item, int(time() * 1000))


def _requests(items: list[bytes], answer: Answer) -> list[tuple[list[bytes], Answer]]:
    """Which items shared a request, and what it was answered."""
    if answer.each:
        return [([item], one) for item, one in zip(items, answer.each, strict=True)]
    return [(items, answer)]
