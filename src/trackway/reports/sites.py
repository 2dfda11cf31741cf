"""Which sites there are, and how each one does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from trackway.periods import Period, local_date
from trackway.reports.sql import EVENTS, PERSON, bucket, moment
from trackway.sinks import Warehouse
from trackway.warehouse.schema import IS_VIEW

#: How many local days, today among them, a site's small numbers cover.
DAYS = 28


@dataclass(frozen=True, slots=True)
class Site:
    """A site with its visitors and page views of the last 28 days, and page views per day."""

    name: str
    visitors: int
    page_views: int
    per_day: list[int]


def site_names(warehouse: Warehouse) -> list[str]:
    """Every site that ever had a visitor, by name."""
    answer = warehouse.query("SELECT DISTINCT site FROM people WHERE site <> '' ORDER BY site")
    return [name for (name,) in answer.rows]


def sites(warehouse: Warehouse, now: int, time_zone: str) -> list[Site]:
    """Every site with its small numbers; ``now`` is in ms UTC."""
    today = local_date(now, time_zone)
    edges = Period(today - timedelta(days=DAYS - 1), today, time_zone).edges()
    answer = warehouse.query(
        f"""WITH seen AS (
            SELECT e.site AS site, {bucket("e.derived_tstamp", edges)} AS day, {PERSON} AS person,
                count(*) AS views
            FROM {EVENTS}
            WHERE e.derived_tstamp >= {moment(edges[0])} AND e.derived_tstamp < {moment(edges[-1])}
                AND {IS_VIEW} AND NOT e.is_bot
            GROUP BY 1, 2, 3)
        SELECT site, -1 AS day, count(DISTINCT person) AS visitors, sum(views) AS views
            FROM seen GROUP BY site
        UNION ALL SELECT site, day, 0, sum(views) FROM seen GROUP BY site, day"""
    )
    found = {name: Site(name, 0, 0, [0] * DAYS) for name in site_names(warehouse)}
    for name, day, visitors, views in answer.rows:
        per_day = found[name].per_day if name in found else [0] * DAYS
        if day >= 0:
            per_day[day] = int(views)
            found.setdefault(name, Site(name, 0, 0, per_day))
        else:
            found[name] = Site(name, visitors, int(views), per_day)
    return list(found.values())
