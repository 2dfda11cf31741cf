"""The old tracker's CeleryEmitter."""

from __future__ import annotations

from typing import Any

from trackway.compat.snowplow_tracker.compatibility import Compatibility, chosen
from trackway.compat.snowplow_tracker.emitting import Emitting
from trackway.compat.snowplow_tracker.http_emitters import DEFAULT_BUFFER_SIZES
from trackway.compat.snowplow_tracker.logs import logger
from trackway.emitters import celery as native


class CeleryEmitter(Emitting, native.CeleryEmitter):
    """Leaves sending to a Celery worker, with the settings of ``snowplow_celery_config`` if there
    is such a module, else with Redis on this machine.

    ``protocol``, ``method`` and ``buffer_size`` that are None: http, get and 1 (10 for post).
    ``options``: those of ``trackway.emitters.celery.CeleryEmitter``. Callbacks cannot be given.
    """

    def __init__(
        self,
        endpoint: str,
        protocol: str | None = None,
        port: int | None = None,
        method: Any = None,
        buffer_size: int | None = None,
        byte_limit: int | None = None,
        **options: Any,
    ) -> None:
        self.compatibility: Compatibility = chosen(options.pop("compatibility", None))
        method = (method or "get").lower()
        if byte_limit is not None:
            options["byte_limit"] = byte_limit
        if buffer_size is None:
            buffer_size = options.pop("batch_size", None) or DEFAULT_BUFFER_SIZES.get(method)
        options = {"logger": logger, **options}
        super().__init__(endpoint, protocol or "http", port, method, buffer_size, **options)
