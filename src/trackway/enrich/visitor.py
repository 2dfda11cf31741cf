"""Who an event counts for: the best id it carries, else a hash that is forgotten after a day."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from trackway.event import Event

_DAY_MS = 86_400_000
#: What trackers and collectors write when a person asked to stay unknown.
_NOBODY = "00000000-0000-0000-0000-000000000000"


def visitor_of(event: Event, secret: bytes) -> str:
    """The visitor: user id, else anonymous id, else network id, else a daily hash.

    A pure function: collectors that share the secret agree. The prefix keeps a user ``5`` apart
    from a device ``5``. The hash joins secret, date (UTC), site, address and user agent, so it
    tells nothing without the secret, and nobody can be followed over midnight by it.
    """
    if event.user_id:
        return f"u:{event.user_id}"
    if event.anonymous_id:
        return f"a:{event.anonymous_id}"
    if event.network_id and event.network_id != _NOBODY:
        return f"n:{event.network_id}"
    day = (event.time or 0) // _DAY_MS
    facts = "\0".join((str(day), event.site or "", event.ip or "", event.user_agent or ""))
    return (
        "d:" + hmac.new(secret, facts.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
    )


def visitor_facts(secret: bytes) -> Callable[[Event], Mapping[str, Any]]:
    """For the enrichment step: ``visitor``."""
    return lambda event: {"visitor": visitor_of(event, secret)}
