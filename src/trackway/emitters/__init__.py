"""Emitters: where a tracker's events go."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackway.emitters.encoded import Encoded
from trackway.emitters.http import AsyncEmitter, Emitter

if TYPE_CHECKING:
    from trackway.emitters.celery import CeleryEmitter
    from trackway.emitters.console import ConsoleEmitter
    from trackway.emitters.memory import MemoryEmitter
    from trackway.emitters.redis import RedisEmitter
    from trackway.emitters.redis_worker import RedisWorker

__all__ = [
    "AsyncEmitter",
    "CeleryEmitter",
    "ConsoleEmitter",
    "Emitter",
    "Encoded",
    "MemoryEmitter",
    "RedisEmitter",
    "RedisWorker",
]

#: What most applications do not use, and none should pay for at its start.
_LATE = {
    "CeleryEmitter": "celery",
    "ConsoleEmitter": "console",
    "MemoryEmitter": "memory",
    "RedisEmitter": "redis",
    "RedisWorker": "redis_worker",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
