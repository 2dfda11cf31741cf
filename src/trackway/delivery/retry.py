"""When to try again: exponential back-off with full jitter, and the server's own wish."""

from __future__ import annotations

from time import time

#: Answers that may turn into success later. Everything else outside 2xx is final.
RETRIED = frozenset((408, 425, 429)) | (frozenset(range(500, 600)) - {501, 505, 511})

#: No server can make us wait longer than this for one retry (seconds).
LONGEST_WAIT = 300.0


class Backoff:
    """Full-jitter back-off: the n-th wait is uniform between 0 and ``first * 2**n``, capped.

    Full jitter spreads the clients of a collector that comes back over the whole span; source:
    "Exponential Backoff And Jitter", AWS Architecture Blog. ``first`` and ``longest`` in seconds.
    """

    def __init__(self, first: float = 1.0, longest: float = 60.0) -> None:
        self.first = first
        self.longest = longest
        self.failures = 0

    def succeeded(self) -> None:
        """Start again from the shortest wait."""
        self.failures = 0

    def failed(self, retry_after: float | None = None) -> float:
        """Count a failure; how many seconds to wait. ``retry_after`` is a minimum."""
        from random import uniform  # only who fails needs it; imports cost the host's start

        ceiling = min(self.longest, self.first * 2.0**self.failures)
        self.failures = min(self.failures + 1, 30)
        return max(uniform(0.0, ceiling), retry_after or 0.0)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header (a number or a date, RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        from email.utils import parsedate_to_datetime  # brings in the socket module

        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, OverflowError):
            return None
    return None if seconds != seconds else min(max(seconds, 0.0), LONGEST_WAIT)  # not a number
