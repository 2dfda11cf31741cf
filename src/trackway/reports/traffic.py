"""How many came: totals of a period beside the period before, and the same per bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trackway.periods import Bucket
from trackway.reports.question import Question
from trackway.reports.sql import bucket, millis, moment, views, visits
from trackway.sinks import Warehouse


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of some span of time; what they mean stands in ``docs/definitions.md``."""

    visitors: int = 0
    page_views: int = 0
    visits: int = 0
    bounces: int = 0
    duration_ms: int = 0  # of all visits together

    @property
    def views_per_visit(self) -> float | None:
        """Page views divided by visits; None without visits."""
        return self.page_views / self.visits if self.visits else None

    @property
    def bounce_rate(self) -> float | None:
        """The share (0 to 1) of visits that were one single event; None without visits."""
        return self.bounces / self.visits if self.visits else None

    @property
    def visit_duration(self) -> float | None:
        """The mean duration of a visit in seconds; None without visits."""
        return self.duration_ms / self.visits / 1000 if self.visits else None


@dataclass(frozen=True, slots=True)
class Traffic:
    """``buckets``, ``series`` and ``previous_series`` have the same length; a bucket that the
    period before does not have (the 25th hour of a day) counts as nothing there."""

    totals: Totals
    previous: Totals
    buckets: list[Bucket]
    series: list[Totals]
    previous_series: list[Totals]


#: Numbers that no bucket has: the row that stands for the whole of a period.
_PERIOD, _PREVIOUS = -1, -2


def traffic(warehouse: Warehouse, question: Question) -> Traffic:
    """Totals and series in two passes: one over the views, one over the visits."""
    before, now = question.period.previous_edges(), question.period.edges()
    # The two periods touch, so one row of buckets covers both.
    edges, turn = (*before, *now[1:]), len(before) - 1
    seen = _seen(warehouse, question, edges, turn)
    visited = _visited(warehouse, question, edges, turn)

    def totals(number: int) -> Totals:
        visitors, views = seen.get(number, (0, 0))
        return Totals(visitors, views, *visited.get(number, (0, 0, 0)))

    buckets = question.period.buckets(question.now)
    return Traffic(
        totals=totals(_PERIOD),
        previous=totals(_PREVIOUS),
        buckets=buckets,
        series=[totals(turn + i) for i in range(len(buckets))],
        previous_series=[totals(i) if i < turn else Totals() for i in range(len(buckets))],
    )


def _seen(
    warehouse: Warehouse, question: Question, edges: Sequence[int], turn: int
) -> dict[int, tuple[int, int]]:
    """Visitors and page views by the number of the bucket."""
    rows = views(question, edges[0], edges[-1])
    # A row per person and bucket, so buckets count those; visitors of buckets do not add up to
    # those of a period, so the periods count persons. ``early``: the views that are not late.
    answer = warehouse.query(
        f"""WITH seen AS (
            SELECT {bucket("time", edges)} AS bucket, person, count(*) AS views,
                count(*) - sum({_late("time", question)}) AS early
            FROM ({rows.sql}) AS found GROUP BY 1, 2)
        SELECT bucket, count(person), sum(views) FROM seen GROUP BY bucket
        UNION ALL SELECT {_PERIOD}, count(DISTINCT person), sum(views)
            FROM seen WHERE bucket >= {turn}
        UNION ALL SELECT {_PREVIOUS}, count(DISTINCT person), sum(early)
            FROM seen WHERE bucket < {turn} AND early > 0""",
        rows.params,
    )
    return {number: (visitors, int(count or 0)) for number, visitors, count in answer.rows}


def _visited(
    warehouse: Warehouse, question: Question, edges: Sequence[int], turn: int
) -> dict[int, tuple[int, int, int]]:
    """Visits, bounces and the sum of durations by the number of the bucket."""
    rows = visits(question, edges[0], edges[-1])
    answer = warehouse.query(
        f"""SELECT {bucket("started", edges)} AS bucket, {_late("started", question)} AS late,
            count(*), count(CASE WHEN events = 1 THEN 1 END),
            sum({millis("ended")} - {millis("started")})
        FROM ({rows.sql}) AS found GROUP BY 1, 2""",
        rows.params,
    )
    found: dict[int, tuple[int, int, int]] = {}
    for number, late, *counts in answer.rows:
        whole = [_PERIOD] if number >= turn else [] if late else [_PREVIOUS]
        for key in (number, *whole):
            old = found.get(key, (0, 0, 0))
            found[key] = (old[0] + counts[0], old[1] + counts[1], old[2] + int(counts[2]))
    return found


def _late(time: str, question: Question) -> str:
    """1 for what lies in the previous period, but later than the present does in this one."""
    start, until = question.period.bounds()[0], question.period.comparable_until(question.now)
    if until >= start:
        return "0"
    return f"CASE WHEN {time} >= {moment(until)} AND {time} < {moment(start)} THEN 1 ELSE 0 END"
