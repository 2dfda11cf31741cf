"""The background emitter: sends events to a collector over HTTP from a thread of its own."""

from __future__ import annotations

import json
from typing import Any

from trackway.delivery.http import HttpSender
from trackway.delivery.worker import Delivery
from trackway.emitters.endpoint import collector_url
from trackway.wires.snowplow import encode_body


class AsyncEmitter:
    """Delivers events to a Snowplow collector (ours or any other) in the background.

    ``endpoint``: host, host:port, host/path or URL; https unless it names a scheme.
    ``batch_size``, ``batch_bytes``: the most events and bytes of one POST; ``interval``: seconds
    an event waits for company; ``max_queue_bytes``: bound of what is not delivered yet;
    ``connect_timeout``, ``read_timeout``, ``exit_budget``: seconds.

    Delivery is tried again with jittered back-off for what may succeed later; everything that
    is given up is counted in ``stats()`` with its reason.
    """

    def __init__(
        self,
        endpoint: str,
        protocol: str = "https",
        port: int | None = None,
        *,
        batch_size: int = 500,
        batch_bytes: int = 500_000,
        interval: float = 1.0,
        max_queue_bytes: int = 32 * 1024 * 1024,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        exit_budget: float = 2.0,
    ) -> None:
        self.url = collector_url(endpoint, protocol=protocol, port=port)
        self._delivery = Delivery(
            HttpSender(self.url, connect_timeout=connect_timeout, read_timeout=read_timeout),
            encode_body,
            batch_size=batch_size,
            batch_bytes=batch_bytes,
            interval=interval,
            max_queue_bytes=max_queue_bytes,
            exit_budget=exit_budget,
        )
        #: Takes one encoded payload; the delivery's own method, to save a call on the hot path.
        self.put = self._delivery.put

    def input(self, payload: dict[str, Any]) -> None:
        """Take one payload as it is, keys that we do not know included."""
        self.put(json.dumps(payload, separators=(",", ":")).encode())

    def flush(self, timeout: float | None = None) -> int:
        """Try to deliver everything within ``timeout`` seconds; how many events are left."""
        return self._delivery.flush(timeout)

    def close(self, timeout: float | None = None) -> int:
        """Flush and stop; what is left is counted as ``dropped:exit`` and returned."""
        return self._delivery.close(timeout)

    def stats(self) -> dict[str, int]:
        """Counters: accepted, sent, retried, queued, queued_bytes, ``dropped:<reason>``."""
        return self._delivery.stats()
