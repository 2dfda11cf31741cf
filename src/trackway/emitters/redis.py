"""The emitter that keeps events in a Redis list, for a RedisWorker or anybody else to fetch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from trackway.delivery.http import Answer
from trackway.delivery.queue import DeliveryQueue, Overflow
from trackway.delivery.retry import Backoff
from trackway.delivery.worker import FLUSH_SECONDS, Delivery
from trackway.emitters.callbacks import Callbacks, OnDrop
from trackway.emitters.options import checked
from trackway.emitters.patience import Patience
from trackway.errors import MissingExtra, SettingError
from trackway.wires.snowplow_payload import payload_json

if TYPE_CHECKING:
    import redis

#: What is taken over from a client: where the server is and how to get in. Not its time-outs, which
#: are ours; not its retries, because a command that is tried again behind our back doubles elements
#: and outlasts our limits; nor the encoding, because our elements are bytes.
_KEPT = frozenset(
    [
        *("host", "port", "db", "path", "username", "password", "credential_provider"),
        *("client_name", "protocol", "redis_connect_func"),
        *("socket_keepalive", "socket_keepalive_options", "socket_type"),
    ]
)


def connected(rdb: Any, *, connect_timeout: float, read_timeout: float) -> redis.Redis:
    """A client of our own to the same Redis: with these time-outs (seconds), without retries.

    ``rdb``: a client, a URL, or None for the server on this machine. A client whose pool is none
    of redis-py's usual ones (a cluster, a sentinel) is used as it is. Connects to nothing yet.
    Raises MissingExtra, SettingError for a bad URL, TypeError for what is no client.
    """
    from inspect import iscoroutinefunction

    try:
        import redis
    except ImportError:
        raise MissingExtra("redis", "redis") from None
    "".encode("idna")  # looked up by the first connection; a fork must not meet it half imported
    if isinstance(rdb, str):
        try:
            rdb = redis.Redis.from_url(rdb)
        except ValueError as error:
            raise SettingError(f"{rdb!r} is no URL of a Redis: {error}") from None
    elif rdb is None:
        rdb = redis.Redis()
    if iscoroutinefunction(getattr(rdb, "execute_command", None)):
        raise TypeError("rdb is a client for asyncio; expected a redis.Redis")
    if not hasattr(rdb, "rpush"):
        raise TypeError(f"rdb is {type(rdb).__name__}; expected a redis.Redis, a URL or None")
    pool: Any = getattr(rdb, "connection_pool", None)
    if type(pool) not in (redis.ConnectionPool, redis.BlockingConnectionPool):
        ours: redis.Redis = rdb
        return ours
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name in _KEPT or name.startswith("ssl_")
    }
    options["socket_timeout"] = read_timeout
    if "path" not in options:  # a socket in the file system knows no time to connect
        options["socket_connect_timeout"] = connect_timeout
    return redis.Redis(
        connection_pool=redis.ConnectionPool(connection_class=pool.connection_class, **options)
    )


def address(rdb: Any) -> str:
    """Where a client connects to, for messages; without the password."""
    known = getattr(getattr(rdb, "connection_pool", None), "connection_kwargs", {})
    if "path" in known:
        return str(known["path"])
    return f"{known.get('host', 'redis')}:{known.get('port', 6379)}/{known.get('db', 0)}"


class RedisSender:
    """Appends a batch to a Redis list with one command, so that it is there whole or not at all.

    Whatever Redis answers, the events are not to blame: all failures are tried again.
    """

    def __init__(
        self, rdb: Any, key: str, *, connect_timeout: float = 5.0, read_timeout: float = 10.0
    ) -> None:
        def connect(seconds: float) -> redis.Redis:
            return connected(
                rdb, connect_timeout=min(connect_timeout, seconds), read_timeout=seconds
            )

        def end(client: redis.Redis) -> None:
            if client is not rdb:
                client.connection_pool.disconnect()

        self.key = key
        self._clients = Patience(connect, end, read_timeout)
        # Here, so that what cannot work is said where the emitter is made.
        self.name = f"the list {key!r} of Redis {address(self._clients.within(None))}"

    def send(self, items: list[bytes], *, within: float | None) -> Answer:
        elements = [item + b"}" for item in items]
        try:
            self._clients.within(within).rpush(self.key, *elements)
        except Exception as error:  # whatever it is, it must not end the worker: try again
            self._clients.close()  # after a failover the name may lead elsewhere
            return Answer(0, error=f"{type(error).__name__}: {error}")
        return Answer(200)

    def close(self) -> None:
        self._clients.close()


class RedisEmitter:
    """Appends events to a Redis list as JSON texts, one for each event, first in first out.

    ``rdb``: an instance of ``redis.Redis`` or ``StrictRedis``, a URL, or None for the server on
    this machine; time-outs and retries are ours, its connections are not used. ``key``: the list.

    ``background``: whether a thread of ours talks to Redis, so that a Redis that is slow or away
    never holds up the caller; else the caller of ``put`` does it for every event. Nothing is
    raised in either case, what fails is tried again, with jittered back-off.

    ``batch_size``, ``byte_limit``: the most events and bytes of one RPUSH. ``interval``: how long
    an event waits at most for company. ``max_queue_bytes``, ``buffer_capacity``: bounds of what
    is not in Redis yet, in bytes and events; ``overflow``: whether the ``"newest"`` or the
    ``"oldest"`` give way. ``retry_for``: how long an event that keeps failing is tried.
    ``on_drop(payload, reason)``: told of each event that is given up. All times are seconds.

    At least once: an answer that is lost may leave an event in the list twice, with one id.
    """

    def __init__(
        self,
        rdb: Any = None,
        key: str = "snowplow",
        *,
        background: bool = True,
        batch_size: int = 500,
        byte_limit: int = 500_000,
        interval: float = 0.1,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        max_queue_bytes: int = 32 * 1024 * 1024,
        buffer_capacity: int | None = None,
        overflow: Overflow = "newest",
        max_retry_delay_seconds: float = 60.0,
        retry_for: float = 12 * 3600.0,
        exit_budget: float = 2.0,
        on_drop: OnDrop | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        if batch_size < 1:
            raise SettingError(f"batch_size is {batch_size}; expected 1 or more")
        checked(
            "RedisEmitter",
            {
                "byte_limit": byte_limit,
                "interval": interval,
                "connect_timeout": connect_timeout,
                "read_timeout": read_timeout,
                "max_queue_bytes": max_queue_bytes,
                "buffer_capacity": buffer_capacity,
                "overflow": overflow,
                "max_retry_delay_seconds": max_retry_delay_seconds,
                "retry_for": retry_for,
                "exit_budget": exit_budget,
                "on_drop": on_drop,
            },
        )
        self.key = key
        self.logger = logger or logging.getLogger("trackway.delivery")
        self.callbacks = Callbacks(None, None, on_drop, self.logger)
        self.delivery = Delivery(
            RedisSender(rdb, key, connect_timeout=connect_timeout, read_timeout=read_timeout),
            queue=partial(
                DeliveryQueue,
                max_queue_bytes,
                max_items=buffer_capacity,
                overflow=overflow,
                lost=self.callbacks.lost,
            ),
            threads=1 if background else 0,
            trigger=None if background else 1,
            batch_size=batch_size,
            batch_bytes=byte_limit,
            interval=interval,
            max_age=retry_for,
            exit_budget=exit_budget,
            backoff=Backoff(longest=max_retry_delay_seconds),
            logger=self.logger,
        )
        #: Takes one encoded payload; the delivery's own method, to save a call on the hot path.
        self.put = self.delivery.put

    def input(self, payload: Mapping[str, Any]) -> None:
        """Take one payload as it is, keys that we do not know included; values become text."""
        if encoded := payload_json(payload):
            self.put(encoded)

    def flush(self, timeout: float | None = FLUSH_SECONDS) -> int:
        """Wait at most ``timeout`` seconds until all events are in Redis; how many are not."""
        return self.delivery.flush(timeout)

    async def aflush(self, timeout: float | None = FLUSH_SECONDS) -> int:
        """``flush`` for asyncio: the event loop goes on meanwhile."""
        import asyncio

        return await asyncio.to_thread(self.flush, timeout)

    def close(self, timeout: float | None = None) -> int:
        """Flush within ``timeout`` seconds (None: ``exit_budget``) and stop; how many events are
        left, which are counted as ``dropped:exit``."""
        return self.delivery.close(timeout)

    def stats(self) -> dict[str, int]:
        """Counters: accepted, sent, retried, queued, queued_bytes, ``dropped:<reason>``."""
        return {**self.delivery.stats(), **self.callbacks.stats}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
