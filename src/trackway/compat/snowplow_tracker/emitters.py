"""All emitters of the old tracker, its logger, and the Celery application of its worker."""

from __future__ import annotations

from typing import Any

from trackway.compat.snowplow_tracker.celery_emitter import CeleryEmitter
from trackway.compat.snowplow_tracker.http_emitters import AsyncEmitter, Emitter
from trackway.compat.snowplow_tracker.logs import logger
from trackway.compat.snowplow_tracker.redis_emitter import RedisEmitter
from trackway.emitters import celery as _celery

__all__ = ["AsyncEmitter", "CeleryEmitter", "Emitter", "RedisEmitter", "logger"]


def __getattr__(name: str) -> Any:
    """``app``, for ``celery -A trackway.compat.snowplow_tracker.emitters worker``; Celery is not
    imported before it is asked for."""
    if name == "app":
        return _celery.app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
