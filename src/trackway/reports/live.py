"""Who is here now."""

from __future__ import annotations

from trackway.reports.sql import EVENTS, PERSON, moment
from trackway.sinks import Warehouse

#: Who did anything within this span counts as present.
LIVE_MS = 5 * 60 * 1000


def live(warehouse: Warehouse, site: str, now: int) -> int:
    """How many distinct people did anything on the site in the five minutes before ``now`` (ms
    UTC); any event counts, since somebody who reads a long page sends only pings. No bots."""
    answer = warehouse.query(
        f"""SELECT count(DISTINCT {PERSON}) FROM {EVENTS}
        WHERE e.site = ? AND e.derived_tstamp > {moment(now - LIVE_MS)}
            AND e.derived_tstamp <= {moment(now)} AND NOT e.is_bot""",
        (site,),
    )
    return int(answer.rows[0][0])
