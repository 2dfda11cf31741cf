"""Emitters to a Snowplow collector: on the calling thread, or in the background."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, Self, Unpack

from trackway import logs
from trackway.delivery import exits
from trackway.delivery.http import Connection
from trackway.delivery.queue import DeliveryQueue
from trackway.delivery.retry import Backoff
from trackway.delivery.worker import FLUSH_SECONDS, Delivery
from trackway.emitters.callbacks import Callbacks, OnFailure, OnSuccess
from trackway.emitters.endpoint import collector_url
from trackway.emitters.options import EmitterOptions as EmitterOptions
from trackway.emitters.options import checked, is_count
from trackway.emitters.senders import STAMP_BYTES, Exchange, GetSender, PostSender, SessionExchange
from trackway.emitters.stored import StoreQueue
from trackway.errors import SettingError
from trackway.wires.snowplow import BODY_END, BODY_START
from trackway.wires.snowplow_payload import payload_json

Method = Literal["post", "get", "POST", "GET"]


class Emitter:
    """Sends events to a Snowplow collector (ours or any other) on the calling thread.

    ``endpoint``: host, host:port, host/path or URL; ``protocol`` counts only if it names no
    scheme. ``method``: "post", many events in a request, or "get", one. ``batch_size``: how many
    events are gathered before they are sent, and the most of one request (500; 1 for "get").
    ``on_success(count)``, ``on_failure(sent_count, unsent)``: called when events have arrived,
    and when they are given up for good. The other options: ``EmitterOptions``.

    What is not sent when a batch is full goes with a later one, with ``flush()`` or at the end of
    the process. Delivery is tried again with jittered back-off for what may succeed later;
    everything that is given up is counted in ``stats()`` with its reason.
    """

    #: How many threads send; with none the caller does.
    thread_count = 0

    def __init__(
        self,
        endpoint: str,
        protocol: str = "https",
        port: int | None = None,
        method: Method = "post",
        batch_size: int | None = None,
        on_success: OnSuccess | None = None,
        on_failure: OnFailure | None = None,
        **options: Unpack[EmitterOptions],
    ) -> None:
        options = checked(type(self).__name__, options)
        self.method = _method(method)
        self.url = collector_url(endpoint, protocol=protocol, port=port, method=self.method)
        self.batch_size = _batch_size(batch_size, options, self.method)
        self.logger = options.get("logger") or logs.logger("trackway.delivery")
        for name, function in (("on_success", on_success), ("on_failure", on_failure)):
            if function is not None and not callable(function):
                raise SettingError(f"{name} is {function!r}; expected a function")
        self.callbacks = Callbacks(on_success, on_failure, options.get("on_drop"), self.logger)
        spooled = "spool" in options
        self.delivery = Delivery(
            self._sender(options),
            queue=self._queue(options),
            threads=self.thread_count,
            batch_size=self.batch_size,
            batch_bytes=options.get("byte_limit", 500_000) - len(BODY_START) - len(BODY_END),
            extra=STAMP_BYTES,
            interval=options.get("interval", 1.0),
            retry_codes=dict(options.get("custom_retry_codes") or {}),
            max_age=_spool_age(options) if spooled else options.get("retry_for", 12 * 3600.0),
            exit_budget=options.get("exit_budget", 2.0),
            backoff=Backoff(longest=options.get("max_retry_delay_seconds", 60.0)),
            sent=self.callbacks.sent if on_success else None,
            logger=self.logger,
        )
        #: Takes one encoded payload; the delivery's own method, to save a call on the hot path.
        self.put = self.delivery.put
        if "event_store" in options:
            self.delivery.adopt()
        if options.get("sigterm"):
            exits.close_on_sigterm()

    def input(self, payload: Mapping[str, Any]) -> None:
        """Take one payload as it is, keys that we do not know included; values become text.

        Raises nothing; what is no payload is counted as ``invalid_payload``.
        """
        if encoded := payload_json(payload):
            self.delivery.put(encoded)
        else:
            self.callbacks.stats["invalid_payload"] += 1

    def flush(self, timeout: float | None = FLUSH_SECONDS) -> int:
        """Try to deliver everything within ``timeout`` seconds; how many events are left.

        None: until everything is settled; without threads, each batch once.
        """
        return self.delivery.flush(timeout)

    async def aflush(self, timeout: float | None = FLUSH_SECONDS) -> int:
        """``flush`` for asyncio: the event loop goes on meanwhile."""
        from asyncio import to_thread  # who awaits has it; nobody else should pay for it

        return await to_thread(self.flush, timeout)

    def close(self, timeout: float | None = None) -> int:
        """Flush within ``timeout`` seconds (None: ``exit_budget``) and stop; how many are left.

        What is left stays in the spool if there is one, else it is counted as ``dropped:exit``.
        """
        return self.delivery.close(timeout)

    def stats(self) -> dict[str, int]:
        """Counters: accepted, sent, retried, queued, queued_bytes, ``dropped:<reason>``, and of
        callbacks ``failed:<name>`` and ``skipped:<name>``."""
        return {**self.delivery.stats(), **self.callbacks.stats}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sender(self, options: EmitterOptions) -> PostSender | GetSender:
        compress = options.get("gzip", False)
        headers = dict(options.get("headers") or {})
        if self.method == "post":
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
            if compress:
                headers["Content-Encoding"] = "gzip"
        timeouts = _timeouts(options)
        session = options.get("session")
        exchange: Exchange
        if session is not None:
            if not callable(getattr(session, self.method, None)):
                raise SettingError(f"session is {session!r}; expected an object with get and post")
            exchange = SessionExchange(session, headers=headers, **timeouts)
        else:
            several = max(1, self.thread_count)
            exchange = Connection(headers=headers, connections=several, **timeouts)
        if self.method == "post":
            return PostSender(exchange, self.url, compress=compress)
        return GetSender(exchange, self.url)

    def _queue(self, options: EmitterOptions) -> Any:
        """What makes the queue, in this process and in each forked child."""
        bounds: dict[str, Any] = {
            "max_items": options.get("buffer_capacity"),
            "overflow": options.get("overflow", "newest"),
            "lost": self.callbacks.lost,
        }
        max_bytes = options.get("max_queue_bytes", 32 * 1024 * 1024)
        if (store := options.get("event_store")) is not None:
            return partial(StoreQueue, store, lost=self.callbacks.lost, logger=self.logger)
        if (folder := options.get("spool")) is None:
            return partial(DeliveryQueue, max_bytes, **bounds)
        from trackway.delivery.durable import SpoolQueue  # who keeps no spool needs no files

        return partial(
            SpoolQueue,
            folder,
            max_bytes,
            **bounds,
            sync=options.get("spool_sync", 1.0),
            spool_max_bytes=options.get("spool_max_bytes", 1024 * 1024 * 1024),
            spool_max_age=_spool_age(options),
            logger=self.logger,
        )


class AsyncEmitter(Emitter):
    """Sends events to a Snowplow collector (ours or any other) in the background.

    ``put`` and ``input`` cost microseconds, wait for nothing and raise nothing. ``thread_count``:
    how many requests may be under way at a time; the threads start with the first event, again
    in a forked child. Everything else as in ``Emitter``.
    """

    def __init__(
        self,
        endpoint: str,
        protocol: str = "https",
        port: int | None = None,
        method: Method = "post",
        batch_size: int | None = None,
        on_success: OnSuccess | None = None,
        on_failure: OnFailure | None = None,
        thread_count: int = 1,
        **options: Unpack[EmitterOptions],
    ) -> None:
        if not is_count(thread_count):
            raise SettingError(f"thread_count is {thread_count!r}; expected 1 or more")
        self.thread_count = thread_count
        super().__init__(
            endpoint, protocol, port, method, batch_size, on_success, on_failure, **options
        )
        if options.get("spool") is not None:
            self.delivery.adopt()


def _method(method: str) -> str:
    name = str(method).lower()
    if name not in ("get", "post"):
        raise SettingError(f"method is {method!r}; expected 'get' or 'post'")
    return name


def _batch_size(batch_size: int | None, options: EmitterOptions, method: str) -> int:
    buffer_size = options.get("buffer_size")
    if batch_size is not None and buffer_size is not None and batch_size != buffer_size:
        raise SettingError(
            f"batch_size is {batch_size} and buffer_size is {buffer_size}; they are two names "
            "for the same number, give one of them"
        )
    size = batch_size if batch_size is not None else buffer_size
    if size is None:
        size = 500 if method == "post" else 1
    if not is_count(size):
        raise SettingError(f"batch_size is {size!r}; expected 1 or more")
    # A batch that never gets full, because the queue is full before, would not be sent in time.
    return min(size, options.get("buffer_capacity") or size)


def _timeouts(options: EmitterOptions) -> dict[str, float]:
    connect, read = options.get("connect_timeout", 5.0), options.get("read_timeout", 10.0)
    both = options.get("request_timeout")
    if both is not None:
        connect, read = both if isinstance(both, tuple) else (both, both)
    return {"connect_timeout": connect, "read_timeout": read}


def _spool_age(options: EmitterOptions) -> float:
    return options.get("spool_max_age", 7 * 86400.0)
