"""Runs a real RedisWorker, which kills itself at a chosen point of its work.

``worker_kill_points.py REDIS KEY COLLECTOR``. KILL_POINT names a point and how often it is passed
before it kills, as in ``after-take:3``; without, the worker works. It prints ``ready`` when it
catches signals, and its counters when it ends.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from trackway import AsyncEmitter
from trackway.emitters.handover import Handover
from trackway.emitters.redis_list import RedisList
from trackway.emitters.redis_worker import RedisWorker

#: Everything that a worker does with an element, in order.
POINTS = (
    "before-take",
    "after-take",
    "in-give",
    "before-flush",
    "after-flush",
    "before-settle",
    "after-settle",
)

_point, _, _count = os.environ.get("KILL_POINT", ":0").partition(":")
_passages = {_point: int(_count)}


def passed(point: str) -> None:
    if point in _passages:
        _passages[point] -= 1
        if _passages[point] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, method: str, before: str, after: str) -> None:
    real: Callable[..., Any] = getattr(owner, method)

    def watched(*arguments: Any, **options: Any) -> Any:
        if method == "settle" and not arguments[1]:  # nothing to settle
            return real(*arguments, **options)
        passed(before)
        answer = real(*arguments, **options)
        passed(after)
        return answer

    setattr(owner, method, watched)


def main(url: str, key: str, endpoint: str) -> None:
    logging.basicConfig()
    around(RedisList, "take", "before-take", "after-take")
    around(AsyncEmitter, "input", "", "in-give")
    around(Handover, "_follow", "before-flush", "after-flush")
    around(RedisList, "settle", "before-settle", "after-settle")
    worker = RedisWorker(
        AsyncEmitter(endpoint, batch_size=10, max_retry_delay_seconds=0.2),
        url,
        key,
        batch_size=40,
        dead_after=float(os.environ.get("DEAD_AFTER", "1.2")),
        grace=float(os.environ.get("GRACE", "5")),
    )
    real_take = RedisList.take

    def take(self: RedisList, count: int) -> list[bytes]:
        print("ready", flush=True)
        setattr(RedisList, "take", real_take)  # noqa: B010 - mypy knows that it is a method
        return real_take(self, count)

    setattr(RedisList, "take", take)  # noqa: B010
    worker.run()
    print(worker.stats(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
