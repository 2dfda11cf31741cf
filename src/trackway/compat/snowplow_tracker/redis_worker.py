"""The old tracker's RedisWorker, which empties a Redis list into an emitter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import sleep
from typing import Any

from trackway.compat.snowplow_tracker.logs import logger
from trackway.emitters import redis_worker as native

#: How long ``pop_payload`` waits before it looks at an empty list again (seconds).
EMPTY_SECONDS = 5.0


class RedisWorker(native.RedisWorker):
    """``RedisWorker(emitter, rdb=None, key="snowplow")``; ``run()`` delivers until it is told to
    end by SIGINT, SIGTERM, SIGQUIT or ``request_shutdown()``, and loses nothing on the way.

    A text in the second place is the key; ``_consumer`` and ``dbr`` are names of ``emitter`` and
    ``rdb``. ``options``: those of ``trackway.emitters.redis_worker.RedisWorker``.
    """

    def __init__(
        self, emitter: Any = None, rdb: Any = None, key: Any = "snowplow", **options: Any
    ) -> None:
        super().__init__(emitter, rdb, key, **{"logger": logger, **options})

    def send(self, payload: Mapping[str, Any]) -> None:
        """Hand one payload to the emitter."""
        self.emitter.input(dict(payload))

    def pop_payload(self) -> None:
        """Take one element off the list and send it; wait five seconds if there is none.

        Unlike ``run`` it cannot give an element back: what the emitter then loses is lost.
        """
        element: Any = self.client.lpop(self.key)
        if element is None:
            sleep(EMPTY_SECONDS)
        else:
            self.send(json.loads(element))
