"""The first screen as one value: totals, series, top lists and who is here now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trackway.reports.live import live
from trackway.reports.question import DIMENSIONS, Question
from trackway.reports.top import ROWS, TopList, top
from trackway.reports.traffic import Totals, Traffic, traffic
from trackway.sinks import Warehouse


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the first screen can show; ``lists`` has one for each dimension."""

    question: Question
    traffic: Traffic
    lists: dict[str, TopList]
    live: int

    def to_dict(self) -> dict[str, Any]:
        """As the HTTP API serves it: times in ms UTC, rates from 0 to 1, durations in seconds."""
        question, period = self.question, self.question.period
        return {
            "site": question.site,
            "from": str(period.start),
            "to": str(period.end),
            "time_zone": period.time_zone,
            "unit": period.unit,
            "filters": dict(question.filters),
            "bots": question.bots,
            "live": self.live,
            "totals": _totals(self.traffic.totals),
            "previous": _totals(self.traffic.previous),
            "series": [
                {"start": b.start, "end": b.end, "partial": b.partial or b.future, **_totals(one)}
                for b, one in zip(self.traffic.buckets, self.traffic.series, strict=True)
            ],
            "previous_series": [_totals(one) for one in self.traffic.previous_series],
            "lists": {key: _rows(key, found) for key, found in self.lists.items()},
        }


def overview(warehouse: Warehouse, question: Question, *, limit: int = ROWS) -> Overview:
    """Ask everything, one query after the other."""
    return Overview(
        question=question,
        traffic=traffic(warehouse, question),
        lists={key: top(warehouse, question, key, limit=limit) for key in DIMENSIONS},
        live=live(warehouse, question.site, question.now),
    )


def count_name(key: str) -> str:
    """What the second number of a list's rows counts."""
    return "page_views" if DIMENSIONS[key].of_views else "visits"


def _totals(totals: Totals) -> dict[str, float | None]:
    return {
        "visitors": totals.visitors,
        "visits": totals.visits,
        "page_views": totals.page_views,
        "views_per_visit": totals.views_per_visit,
        "bounce_rate": totals.bounce_rate,
        "visit_duration": totals.visit_duration,
    }


def _rows(key: str, found: TopList) -> list[dict[str, str | int]]:
    second = count_name(key)
    return [{"value": r.value, "visitors": r.visitors, second: r.times} for r in found.rows]
