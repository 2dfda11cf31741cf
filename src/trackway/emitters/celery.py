"""The emitter that leaves sending to a Celery worker, and the task that this worker runs.

``celery -A trackway.emitters.celery worker`` runs a worker with the settings of the module
``snowplow_celery_config``, if there is one, else with Redis on this machine as the broker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from time import time
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from trackway.delivery.http import Answer, Connection
from trackway.delivery.retry import LONGEST_WAIT, RETRIED, Backoff
from trackway.emitters.http import Emitter, Method
from trackway.emitters.options import EmitterOptions
from trackway.emitters.patience import Patience
from trackway.emitters.senders import GetSender, PostSender
from trackway.errors import MissingExtra, SettingError

if TYPE_CHECKING:
    import celery

logger = logging.getLogger("trackway.delivery")

#: The name of the task; workers and applications agree on it, whatever their versions.
TASK = "trackway.deliver"
#: The module with Celery's settings, as the documents of the Snowplow tracker name it.
SETTINGS = "snowplow_celery_config"

#: What holds where that module says nothing else, with the names that Celery 3 had for it. A queue
#: of our own, because a worker of another application that shares the broker would throw our tasks
#: away as unknown.
_DEFAULTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "broker_url": ("redis://localhost:6379/0", ("BROKER_URL", "broker_host", "BROKER_HOST")),
    "broker_connection_retry_on_startup": (True, ()),
    # How long what a killed worker had in hand stays hidden (Redis): longer than the longest wait.
    "broker_transport_options": ({"visibility_timeout": 900}, ("BROKER_TRANSPORT_OPTIONS",)),
    "task_default_queue": ("trackway", ("CELERY_DEFAULT_QUEUE",)),
    # While a collector is away, tasks wait in the worker's memory; so many of them at most.
    "worker_eta_task_limit": (100, ()),
    "worker_prefetch_multiplier": (1, ("CELERYD_PREFETCH_MULTIPLIER",)),
}


def register(app: celery.Celery) -> Any:
    """Add our task to a Celery application, for its workers and for a CeleryEmitter with ``app=``.

    The task is acknowledged when it is done, so that a worker which dies does not take it along.
    """
    return app.task(
        deliver,
        name=TASK,
        bind=True,
        lazy=False,
        shared=False,  # not for every other application of this process
        acks_late=True,
        reject_on_worker_lost=True,
        ignore_result=True,
        max_retries=None,  # bounded by age, see below
    )


@cache
def default_app() -> celery.Celery:
    """The application that is used where none is given; it does not become the current one."""
    app = _celery().Celery("trackway", set_as_current=False)
    settings = import_module(SETTINGS) if find_spec(SETTINGS) else None
    if settings is not None:
        app.config_from_object(settings)
    # Celery's own add_defaults would win over the module.
    for name, (value, older) in _DEFAULTS.items():
        if not any(hasattr(settings, known) for known in (name, *older)):
            app.conf[name] = value
    register(app)
    return app


def __getattr__(name: str) -> Any:
    """``app``, for the command ``celery``; made when it is first asked for."""
    if name == "app":
        return default_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class CeleryEmitter(Emitter):
    """Hands batches of events to Celery workers, which send them to a collector.

    ``app``: your own Celery application instead of the default one; its workers must know our
    task, which importing the module that makes this emitter, or ``register(app)``, sees to.
    ``queue``: the queue of the tasks, if it is not the one that Celery's routes give.
    ``broker_timeout``: how long the broker may take for a batch (seconds).

    The other options are those of ``AsyncEmitter``: a thread of ours talks to the broker, so one
    that is slow or away holds nobody up. Time-outs, headers, gzip, ``custom_retry_codes``,
    ``max_retry_delay_seconds`` and ``retry_for`` travel with the events and hold in the worker.
    ``on_success``, ``on_failure`` and ``session`` cannot be given: TypeError.
    """

    thread_count = 1

    def __init__(
        self,
        endpoint: str,
        protocol: str = "https",
        port: int | None = None,
        method: Method = "post",
        batch_size: int | None = None,
        *,
        app: celery.Celery | None = None,
        queue: str | None = None,
        broker_timeout: float = 5.0,
        **options: Unpack[EmitterOptions],
    ) -> None:
        for name in ("on_success", "on_failure", "session"):
            if options.pop(name, None) is not None:  # type: ignore[misc]
                raise TypeError(
                    f"CeleryEmitter takes no {name}: the Celery worker sends the events, "
                    "and nothing of this process is there to be called"
                )
        _celery()
        self._task = register(default_app() if app is None else app)
        self._publishing = {"queue": queue} if queue else {}
        self._broker_timeout = broker_timeout
        super().__init__(endpoint, protocol, port, method, batch_size, **options)
        if options.get("spool") is not None:
            self.delivery.adopt()

    def _sender(self, options: EmitterOptions) -> Any:
        sender = super()._sender(options)
        exchange = sender.exchange
        assert isinstance(exchange, Connection)
        codes = options.get("custom_retry_codes") or {}
        way = {
            "url": sender.name,
            "method": self.method,
            "headers": exchange.headers,
            "gzip": isinstance(sender, PostSender) and sender.compress,
            "connect_timeout": exchange.connect_timeout,
            "read_timeout": exchange.read_timeout,
            "retry_codes": {str(code): retried for code, retried in codes.items()},
            "max_retry_delay": options.get("max_retry_delay_seconds", 60.0),
            "retry_for": options.get("retry_for", 12 * 3600.0),
        }
        return CelerySender(self._task, way, self._broker_timeout, self._publishing)


class CelerySender:
    """Publishes a batch as one task, over a connection of its own.

    Celery's own pool would try again for ever and knows no time limit; here every attempt ends,
    and the delivery engine decides when the next one is due.
    """

    def __init__(
        self, task: Any, way: dict[str, Any], timeout: float, publishing: Mapping[str, Any]
    ) -> None:
        self.task = task
        self.way = way
        self.publishing = publishing
        self._connections: Patience[Any] = Patience(self._connect, lambda c: c.release(), timeout)
        try:
            connection = self._connections.within(None)
            self.name = f"Celery's broker {connection.as_uri()}"
            # Its imports are done here, where a fork does not find them half done.
            _ = connection.transport
        except ImportError as error:
            raise SettingError(f"Celery cannot use its broker: {error}") from None
        "".encode("idna")

    def _connect(self, seconds: float) -> Any:
        limits = ("socket_timeout", "socket_connect_timeout", "read_timeout", "write_timeout")
        options: dict[str, Any] = {**dict.fromkeys(limits, seconds), "max_retries": 0}
        # RabbitMQ has a message when it confirms it; without, a broken connection loses some.
        options["confirm_publish"] = True
        return self.task.app.connection_for_write(
            connect_timeout=seconds, transport_options=options
        )

    def send(self, items: list[bytes], *, within: float | None) -> Answer:
        events = [(item + b"}").decode() for item in items]
        limit = self._connections.longest if within is None else within
        try:
            self.task.apply_async(
                (events, self.way),
                connection=self._connections.within(within),
                retry=False,
                serializer="json",
                argsrepr=f"({len(events)} events)",  # what they say has no place in a log
                timeout=limit,
                confirm_timeout=limit,
                **self.publishing,
            )
        except Exception as error:  # whatever it is, it must not end the worker: try again
            self._connections.close()
            return Answer(0, error=f"{type(error).__name__}: {error}")
        return Answer(200)

    def close(self) -> None:
        self._connections.close()


# -- in the Celery worker


def deliver(
    task: Any, events: list[str], way: dict[str, Any], since: float | None = None
) -> dict[str, int]:
    """Send events (JSON texts) on their way; how many were sent and how many refused.

    What may succeed later is tried again by Celery until it is ``retry_for`` seconds old, and
    only that: events that have arrived are not sent twice.
    """
    since = since or time()
    codes = {int(code): retried for code, retried in way["retry_codes"].items()}
    key = tuple(sorted(way["headers"].items()))
    sender = _sender(
        way["url"], way["method"], way["gzip"], key, way["connect_timeout"], way["read_timeout"]
    )
    left, refused, answer = _send(sender, [event.encode()[:-1] for event in events], codes)
    if refused:
        logger.warning("%s refuses %d events", way["url"], refused)
    if left:
        backoff = Backoff(longest=min(way["max_retry_delay"], LONGEST_WAIT))
        backoff.failures = task.request.retries
        wait = backoff.failed(answer.retry_after)
        if task.request.is_eager or time() + wait > since + way["retry_for"]:
            logger.error("%d events were given up: %s %s", len(left), way["url"], answer.error)
        else:
            again = [(item + b"}").decode() for item in left]
            _try_again(task, (again, way, since), wait, answer.error)
    return {"sent": len(events) - len(left) - refused, "refused": refused}


def _try_again(task: Any, args: tuple[Any, ...], wait: float, error: str) -> NoReturn:
    from celery.exceptions import Reject

    try:
        raise task.retry(args=args, kwargs={}, countdown=wait, exc=ConnectionError(error))
    except Reject as reject:  # the new task could not be published: keep the old one
        raise Reject(reject.reason, requeue=True) from None


@lru_cache(maxsize=16)
def _sender(
    url: str,
    method: str,
    gzip: bool,
    headers: tuple[tuple[str, str], ...],
    connect_timeout: float,
    read_timeout: float,
) -> PostSender | GetSender:
    """The sender for these settings, which keeps its connection from task to task."""
    exchange = Connection(
        headers=dict(headers), connect_timeout=connect_timeout, read_timeout=read_timeout
    )
    if method == "get":
        return GetSender(exchange, url)
    return PostSender(exchange, url, compress=gzip)


def _send(
    sender: PostSender | GetSender, items: list[bytes], codes: Mapping[int, bool]
) -> tuple[list[bytes], int, Answer]:
    """Send everything once; what to try again, how many were refused, and the last trouble.

    Too large is halved. After a failure that may pass, the rest waits as well.
    """
    waiting, again, refused, trouble = [items], [], 0, Answer(0)
    while waiting:
        batch = waiting.pop(0)
        answer = sender.send(batch, within=None)
        parts = zip(([item] for item in batch), answer.each, strict=True) if answer.each else None
        for part, verdict in parts or [(batch, answer)]:
            status = verdict.status
            if 200 <= status < 300:
                continue
            if status == 413 and len(part) > 1:
                middle = len(part) // 2
                waiting[:0] = [part[:middle], part[middle:]]
            elif codes.get(status, not status or status in RETRIED):
                again += part
                trouble = verdict
            else:
                refused += len(part)
        if again:
            again += [item for later in waiting for item in later]
            break
    return again, refused, trouble


def _celery() -> Any:
    try:
        import celery
    except ImportError:
        raise MissingExtra("celery", "celery") from None
    return celery
