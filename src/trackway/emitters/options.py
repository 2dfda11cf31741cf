"""The options that all emitters to a collector share, and what their values may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, cast

from trackway.errors import SettingError

if TYPE_CHECKING:
    import logging
    from pathlib import Path

    from trackway.delivery.queue import Overflow
    from trackway.emitters.callbacks import OnDrop
    from trackway.emitters.stored import EventStore


class EmitterOptions(TypedDict, total=False):
    """The options that all emitters to a collector share; times are seconds. None is the default
    of each."""

    byte_limit: int
    """The most bytes of one request body (500,000); a larger event goes alone."""
    interval: float
    """How long an event waits at most for company (1.0)."""
    buffer_size: int | None
    """Another name for ``batch_size``."""
    connect_timeout: float
    """(5.0)"""
    read_timeout: float
    """(10.0)"""
    request_timeout: float | tuple[float, float] | None
    """Both time-outs, as the requests library writes them."""
    max_queue_bytes: int
    """Bound of what is not delivered yet (32 MiB), in memory."""
    buffer_capacity: int | None
    """Bound of the number of events that are not delivered yet (None: bytes alone count)."""
    overflow: Overflow
    """What gives way when a bound is reached: the ``"newest"`` or the ``"oldest"`` events."""
    custom_retry_codes: Mapping[int, bool] | None
    """Statuses that are tried again (True) or given up (False), other than the usual ones."""
    max_retry_delay_seconds: float
    """The longest wait before an event is tried again (60.0)."""
    retry_for: float
    """How long an event that keeps failing is tried (12 hours); with a spool, spool_max_age."""
    gzip: bool
    """Whether bodies are compressed; the collector must understand it, ours does (False)."""
    headers: Mapping[str, str] | None
    """Further request headers, such as an Authorization or SP-Anonymous."""
    event_store: EventStore | None
    """Keeps events until they are sent, instead of our queue."""
    session: Any
    """A session as the requests library has it, instead of our connections."""
    logger: logging.Logger | None
    """Instead of the logger ``trackway.delivery``."""
    on_drop: OnDrop | None
    """Called with the payload and the reason of each event that is given up."""
    spool: str | Path | None
    """A folder that keeps events over the end of the process; several processes may share it."""
    spool_sync: float
    """A power cut loses at most what the last so many seconds brought (1.0)."""
    spool_max_bytes: int
    """Bound of the whole folder of the spool (1 GiB)."""
    spool_max_age: float
    """Events that could not be delivered for so long are given up (7 days)."""
    exit_budget: float
    """How long the end of the process may be held up to send what is left (2.0)."""
    sigterm: bool
    """Whether SIGTERM sends what is left before it ends the process (False)."""


#: Options that are whole numbers from 1 on.
_COUNTS = ("byte_limit", "buffer_capacity", "max_queue_bytes", "spool_max_bytes")
#: Options that are seconds: from 0 on, and those that must be more than 0.
_SECONDS = ("interval", "retry_for", "spool_sync", "spool_max_age", "exit_budget")
_MORE_THAN_0 = ("connect_timeout", "read_timeout", "max_retry_delay_seconds")
#: No wait may be longer: threads could not sleep for so long (seconds, 31 years).
_LONGEST = 1e9


def checked(owner: str, options: EmitterOptions) -> EmitterOptions:
    """The options that are given. Raises TypeError for a name that is none of them, because a
    setting that is ignored would be relied on, and SettingError for a value that cannot work."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if unknown := options.keys() - EmitterOptions.__annotations__.keys():
        hint = "; AsyncEmitter has it" if unknown == {"thread_count"} else ""
        raise TypeError(f"{owner}() has no option {min(unknown)!r}{hint}")
    for name in _COUNTS:
        _check(given, name, "a whole number from 1 on", is_count)
    for name in _SECONDS:
        _check(given, name, "seconds from 0 on", lambda s: s >= 0)
    for name in _MORE_THAN_0:
        _check(given, name, "seconds above 0", lambda s: 0 < s <= _LONGEST)
    for name in ("interval", "spool_sync", "exit_budget"):
        _check(given, name, "seconds, less than 31 years", lambda s: s <= _LONGEST)
    _check(given, "request_timeout", "seconds above 0, or a pair of them", _are_timeouts)
    _check(given, "overflow", "'newest' or 'oldest'", lambda word: word in ("newest", "oldest"))
    _check(given, "custom_retry_codes", "a mapping of statuses to True or False", _are_codes)
    _check(given, "headers", "a mapping of texts without line breaks", _are_headers)
    _check(given, "on_drop", "a function", callable)
    methods = "add_event", "get_events_batch", "cleanup", "size"
    _check(given, "event_store", f"an object with {', '.join(methods)}", _has(*methods))
    if "event_store" in given and "spool" in given:
        raise SettingError("event_store and spool both keep the events; give one of them")
    return cast(EmitterOptions, given)


def _check(
    given: Mapping[str, Any], name: str, expected: str, is_right: Callable[[Any], bool]
) -> None:
    if name not in given:
        return
    try:
        right = is_right(given[name])
    except Exception:  # a type that cannot even be compared
        right = False
    if not right:
        raise SettingError(f"{name} is {given[name]!r}; expected {expected}")


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1 on."""
    return isinstance(value, int) and type(value) is not bool and value >= 1


def _are_timeouts(value: Any) -> bool:
    several = value if isinstance(value, tuple) else (value, value)
    return len(several) == 2 and all(0 < seconds <= _LONGEST for seconds in several)


def _are_codes(value: Any) -> bool:
    return all(type(code) is int and type(again) is bool for code, again in value.items())


def _are_headers(value: Any) -> bool:
    for text in (text for header in value.items() for text in header):
        text.encode("latin-1")
        if "\n" in text or "\r" in text:
            return False
    return True


def _has(*methods: str) -> Callable[[Any], bool]:
    return lambda value: all(callable(getattr(value, method)) for method in methods)
