"""How the emitter of a tracker made by ``Snowplow.create_tracker`` sends its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackway.compat.snowplow_tracker.event_store import EventStore
from trackway.compat.snowplow_tracker.logs import logger
from trackway.compat.snowplow_tracker.typing import FailureCallback, SuccessCallback


class EmitterConfiguration:
    """The options of the emitter; None leaves one as the emitter has it.

    ``options``: every further option of ``Emitter``, and ``thread_count`` to send in the
    background with an ``AsyncEmitter``.
    """

    def __init__(
        self,
        batch_size: int | None = None,
        on_success: SuccessCallback | None = None,
        on_failure: FailureCallback | None = None,
        byte_limit: int | None = None,
        request_timeout: float | tuple[float, float] | None = None,
        buffer_capacity: int | None = None,
        custom_retry_codes: Mapping[int, bool] | None = None,
        event_store: EventStore | None = None,
        session: Any = None,
        **options: Any,
    ) -> None:
        self.batch_size = batch_size
        self.on_success = on_success
        self.on_failure = on_failure
        self.byte_limit = byte_limit
        self.request_timeout = request_timeout
        self.buffer_capacity = buffer_capacity
        self.custom_retry_codes: dict[int, bool] = dict(custom_retry_codes or {})
        self.event_store = event_store
        self.session = session
        self.options = options

    def set_retry_code(self, status_code: Any, retry: Any = True) -> bool:
        """Whether an event answered with this HTTP status is tried again.

        Returns False, and logs why, for what is no status, no bool or a status of success.
        """
        if not isinstance(status_code, int) or isinstance(status_code, bool):
            return _refused("the status code must be an int", status_code)
        if not isinstance(retry, bool):
            return _refused("retry must be a bool", retry)
        if 200 <= status_code < 300:
            return _refused("a request that succeeded is never tried again", status_code)
        self.custom_retry_codes[status_code] = retry
        return True

    def arguments(self) -> dict[str, Any]:
        """What was said, as keyword arguments for an emitter."""
        said = {name: value for name, value in vars(self).items() if name != "options"}
        said["custom_retry_codes"] = dict(self.custom_retry_codes) or None
        return {name: value for name, value in said.items() if value is not None} | self.options


def _refused(why: str, value: object) -> bool:
    logger.warning("%s, not %r: the retry codes stay as they are", why, value)
    return False
