"""The old tracker's two emitters to a collector, with its defaults and its versions' meanings."""

from __future__ import annotations

import copy
import gzip
from collections.abc import Callable, Mapping
from time import time
from typing import Any
from urllib.parse import urlencode

import msgspec

from trackway.compat.snowplow_tracker.attempts import Attempts, OnAttempt, Status
from trackway.compat.snowplow_tracker.compatibility import Compatibility, chosen
from trackway.compat.snowplow_tracker.emitting import Emitting
from trackway.compat.snowplow_tracker.json_text import json_text
from trackway.compat.snowplow_tracker.logs import logger
from trackway.compat.snowplow_tracker.typing import (
    FailureCallback,
    PayloadDict,
    PayloadDictList,
    SuccessCallback,
)
from trackway.emitters import http as native
from trackway.emitters.endpoint import collector_url
from trackway.wires.snowplow_payload import payload_json

#: Events that are gathered before they are sent, unless the caller says otherwise.
DEFAULT_BUFFER_SIZES = {"get": 1, "post": 10}
#: Most events that wait at a time in version 1.1.
BUFFER_CAPACITY_1_1 = 10_000


class Emitter(Emitting, native.Emitter):
    """Sends events on the calling thread.

    The arguments are those of versions 0.4 to 1.1 in their order, and every option of
    ``trackway.emitters.http.EmitterOptions``. ``protocol``, ``method``, ``buffer_size`` and
    ``buffer_capacity`` that are None are those of ``compatibility``: http, get, 1 (10 for post)
    and no bound, or in 1.1 https, post, 10 and 10,000. ``on_attempt(status, payloads)`` is called
    after each attempt that failed, while ``on_failure`` is called once, at the end.
    """

    #: What version 1.1 takes where no protocol is given.
    protocol_1_1 = "https"
    _other_sender: Any = None

    def __init__(
        self,
        endpoint: str,
        protocol: str | None = None,
        port: int | None = None,
        method: Any = None,
        buffer_size: int | None = None,
        on_success: SuccessCallback | None = None,
        on_failure: FailureCallback | None = None,
        byte_limit: int | None = None,
        request_timeout: float | tuple[float, float] | None = None,
        max_retry_delay_seconds: float | None = None,
        buffer_capacity: int | None = None,
        custom_retry_codes: Mapping[int, bool] | None = None,
        event_store: Any = None,
        session: Any = None,
        **options: Any,
    ) -> None:
        self.compatibility: Compatibility = chosen(options.pop("compatibility", None))
        self._on_attempt: OnAttempt | None = options.pop("on_attempt", None)
        self._on_success = on_success
        newest = self.compatibility == "1.1"
        method = (method or ("post" if newest else "get")).lower()
        protocol = protocol or (self.protocol_1_1 if newest else "http")
        options |= {
            "byte_limit": byte_limit,
            "request_timeout": request_timeout,
            "max_retry_delay_seconds": max_retry_delay_seconds,
            "buffer_capacity": buffer_capacity or (BUFFER_CAPACITY_1_1 if newest else None),
            "custom_retry_codes": custom_retry_codes,
            "event_store": event_store,
            "session": session,
        }
        if buffer_size is None and options.get("batch_size") is None:
            buffer_size = DEFAULT_BUFFER_SIZES.get(method)
        self._place = endpoint, protocol, port
        options = {"logger": logger, "buffer_size": buffer_size, **options}
        self._options: Any = {name: v for name, v in options.items() if v is not None}
        callbacks: dict[str, Any] = {
            "on_success": on_success,
            "on_failure": self._failure(on_failure, method),
        }
        super().__init__(endpoint, protocol, port, method, **callbacks, **self._options)
        if newest and on_success is not None:
            self.delivery.sent = self._sent_payloads

    # -- one request, which subclasses may replace

    def http_post(self, data: str) -> Any:
        """POST a body. A replacement answers a status, a bool, or what has a ``status_code``."""
        sender = self._plain_sender("post")
        body = data.encode("utf-8", "replace")
        body = gzip.compress(body) if sender.compress else body
        return Status.of(sender.exchange.request("POST", sender.name, body))

    def http_get(self, payload: PayloadDict) -> Any:
        """GET with a payload as the query. A replacement answers as that of ``http_post``."""
        sender = self._plain_sender("get")
        query = urlencode(msgspec.json.decode(payload_json(payload) or b"{}"))
        return Status.of(sender.exchange.request("GET", f"{sender.name}?{query}"))

    def taken_status(self) -> int | None:
        """The status of what the calling thread has sent since it asked last; None: nothing."""
        return self._attempts.taken_status()

    @property
    def endpoint(self) -> str:
        """The URL that requests go to."""
        return self.url

    @property
    def buffer_size(self) -> int:
        """How many events are gathered before they are sent, and the most of one request."""
        return self.batch_size

    @staticmethod
    def as_collector_uri(
        endpoint: str, protocol: str = "http", port: int | None = None, method: str = "get"
    ) -> str:
        """The URL of a collector for requests of a method."""
        return collector_url(endpoint, protocol=protocol, port=port, method=method.lower())

    @staticmethod
    def is_good_status_code(status_code: int) -> bool:
        """Whether an HTTP status is one of success."""
        return 200 <= status_code < 300

    @staticmethod
    def attach_sent_timestamp(events: PayloadDictList) -> None:
        """Set the time of sending (``stm``) of payloads to now."""
        for payload in events:
            payload["stm"] = str(int(time() * 1000))

    # -- how it fits onto the native emitter

    def _sender(self, options: Any) -> Any:
        posts = self.method == "post"
        name, original = ("http_post", _HTTP_POST) if posts else ("http_get", _HTTP_GET)

        def own_method() -> Callable[[Any], Any] | None:
            method = getattr(self, name)
            return None if getattr(method, "__func__", None) is original else method

        self._attempts = Attempts(
            super()._sender(options),
            options.get("logger") or logger,
            posts=posts,
            own_method=own_method,
            on_attempt=self._on_attempt,
        )
        return self._attempts

    def _plain_sender(self, method: str) -> Any:
        """The native sender of a method, which need not be that of the emitter."""
        if method == self.method:
            return self._attempts.inner
        if self._other_sender is None:
            other = copy.copy(self)
            other.method = method
            endpoint, protocol, port = self._place
            other.url = collector_url(endpoint, protocol=protocol, port=port, method=method)
            self._other_sender = native.Emitter._sender(other, self._options)
        return self._other_sender

    def _sent_payloads(self, items: list[bytes]) -> None:
        """Version 1.1 tells which events have arrived, not how many."""
        if self._on_success is not None:
            payloads = [msgspec.json.decode(item + b"}") for item in items]
            self.callbacks._call("on_success", self._on_success, payloads)

    def _failure(self, on_failure: FailureCallback | None, method: str) -> FailureCallback | None:
        """Version 0.4 hands over the unsent events of a POST as a JSON text."""
        if on_failure is None or self.compatibility != "0.4" or method != "post":
            return on_failure
        return lambda sent_count, unsent: on_failure(sent_count, json_text(unsent))


_HTTP_POST = Emitter.http_post
_HTTP_GET = Emitter.http_get


class AsyncEmitter(Emitter, native.AsyncEmitter):
    """Sends events from ``thread_count`` threads, so that the caller waits for nothing."""

    protocol_1_1 = "http"

    def __init__(
        self,
        endpoint: str,
        protocol: str | None = None,
        port: int | None = None,
        method: str | None = None,
        buffer_size: int | None = None,
        on_success: SuccessCallback | None = None,
        on_failure: FailureCallback | None = None,
        thread_count: int = 1,
        *further: Any,
        **options: Any,
    ) -> None:
        # Emitter passes it on to native.AsyncEmitter, which is its next class here.
        self.thread_count = thread_count
        super().__init__(
            endpoint,
            protocol,
            port,
            method,
            buffer_size,
            on_success,
            on_failure,
            *further,
            thread_count=thread_count,
            **options,
        )
