"""The one tree of errors; whatever goes wrong in Trackway is one of these.

TrackwayError
├── MissingExtra            an optional package is not installed; names the pip command
├── SettingError            a setting or option has a value that cannot work
├── ContractNotRespected    an argument is not what a public method expects
├── InvalidEvent            one event breaks its wire's rules (carries a reason code)
├── InvalidBody             a whole request body breaks its wire's rules (carries a reason code)
├── SpoolError              the spool cannot keep a record (disk full, over its bound, not writable)
└── WarehouseError          the warehouse cannot be opened, read or written
    └── QueryRefused        a query is not a read-only SELECT, took too long or is wrong SQL
"""

from __future__ import annotations


class TrackwayError(Exception):
    """Base of every error that Trackway raises on purpose."""


class MissingExtra(TrackwayError, ImportError):
    """An optional dependency is missing; the message names the pip command that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed: pip install 'trackway[{extra}]'")


class SettingError(TrackwayError, ValueError):
    """A setting or option has a value that cannot work."""


class ContractNotRespected(TrackwayError, ValueError):
    """An argument is not what a public method expects; the message names the argument, what was
    expected and what came."""


class InvalidEvent(TrackwayError, ValueError):
    """One event breaks the rules of its wire.

    ``reason`` is a stable code in ``snake_case`` (the table stands in the collector's guide);
    the message says which field and what was expected.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class InvalidBody(InvalidEvent):
    """A whole request body breaks the rules of its wire, so that no event can be read from it."""


class SpoolError(TrackwayError, OSError):
    """The spool cannot keep a record: disk full, over its bound, or not writable."""


class WarehouseError(TrackwayError):
    """The warehouse cannot be opened, read or written."""


class QueryRefused(WarehouseError):
    """A query is not a read-only SELECT, took too long, or is not valid SQL."""
