"""What each panel of a site's page shows: answers of reports, made ready for a template."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from trackway.dashboard import format
from trackway.dashboard.state import METRICS, PANELS, State
from trackway.periods import span_of, weekday_date
from trackway.reports.definitions import DEFINITIONS
from trackway.reports.question import DIMENSIONS, Dimension
from trackway.reports.top import Row, TopList, top
from trackway.reports.traffic import Totals, Traffic, traffic
from trackway.sinks import Warehouse

#: How the six numbers are written; the names are those of the chart's script too.
_WRITTEN = {
    "views_per_visit": format.decimal,
    "bounce_rate": format.percent,
    "visit_duration": format.duration,
}
_DRAWN_BY_DEFAULT = ("visitors", "page_views")


class Figure(NamedTuple):
    """One of the six numbers: ``value`` as the machine reads it, ``text`` as people do."""

    key: str
    label: str
    meaning: str
    value: float | None
    text: str
    exact: str
    before: str
    change: format.Change | None
    drawn: bool
    url: str


class Line(NamedTuple):
    """A row of a list, ready to show; ``share`` is its part of all views or visits, ``width`` of
    the longest bar, both from 0 to 1."""

    label: str
    value: str
    visitors: int
    times: int
    share: float
    width: float
    url: str
    active: bool


def traffic_panel(warehouse: Warehouse, state: State) -> dict[str, Any]:
    """The six numbers, the chart and the table behind it."""
    found = traffic(warehouse, state.question)
    drawn = (state.metric,) if state.metric else _DRAWN_BY_DEFAULT
    period, before = state.period, state.period.previous()
    return {
        "span": span_of(period.start, period.end),
        "span_before": span_of(before.start, before.end),
        "figures": [_figure(state, key, found, drawn) for key in METRICS],
        "chart": msgspec.json.encode(_chart(state, found, drawn)).decode(),
        "drawn": [DEFINITIONS[key][0] for key in drawn],
        "table": [
            (bucket, [_write(key, getattr(one, key)) for key in drawn])
            for bucket, one in zip(found.buckets, found.series, strict=True)
            if not bucket.future
        ],
        "empty": not (found.totals.page_views or found.totals.visits),
    }


def list_panel(
    warehouse: Warehouse, state: State, panel: str, key: str, *, limit: int
) -> dict[str, Any]:
    """A list with the tabs that lead to its sisters."""
    dimension = DIMENSIONS[key]
    found = top(warehouse, state.question, key, limit=limit, search=state.search)
    return {
        "panel": panel,
        "tabs": [(DIMENSIONS[tab], state.url_with({panel: tab})) for tab in PANELS[panel]],
        "dimension": dimension,
        "lines": [_line(state, dimension, row, found) for row in found.rows],
        "rest": found.rest,
        "counted": "Views" if dimension.of_views else "Visits",
    }


def label(dimension: Dimension, value: str) -> str:
    """A value of a dimension as people read it."""
    if not value:
        return dimension.blank or "(none)"
    # Device kinds are kept in small letters; everything else is a name or an address.
    return value.capitalize() if dimension.key == "device" else value


def _figure(state: State, key: str, found: Traffic, drawn: tuple[str, ...]) -> Figure:
    name, meaning = DEFINITIONS[key]
    now, before = getattr(found.totals, key), getattr(found.previous, key)
    is_rate = key == "bounce_rate"
    return Figure(
        key=key,
        label=name,
        meaning=meaning,
        value=now,
        text=_write(key, now),
        exact=format.exact(now) if isinstance(now, int) else _write(key, now),
        before=format.exact(before) if isinstance(before, int) else _write(key, before),
        change=format.change(now, before, better=-1 if is_rate else 1, points=is_rate)
        if state.compare
        else None,
        drawn=key in drawn,
        url=state.url(metric=None if state.metric == key else key),
    )


def _write(key: str, value: float | None) -> str:
    return _WRITTEN.get(key, format.number)(value)


def _chart(state: State, found: Traffic, drawn: tuple[str, ...]) -> dict[str, Any]:
    length = timedelta(days=state.period.days)
    by_hour = state.period.unit == "hour"

    def titles_before(first: Any, label: str) -> str:
        day = weekday_date(first - length)
        return f"{day}, {label}" if by_hour else day

    return {
        "labels": [b.label for b in found.buckets],
        "titles": [b.title for b in found.buckets],
        "before": [titles_before(b.first, b.label) for b in found.buckets],
        "partial": [b.partial for b in found.buckets],
        "urls": [] if by_hour else [_zoom(state, b.first, b.last) for b in found.buckets],
        "lines": [
            {
                "key": key,
                "name": DEFINITIONS[key][0],
                "now": [
                    None if bucket.future else getattr(one, key)
                    for bucket, one in zip(found.buckets, found.series, strict=True)
                ],
                "before": _values(key, found.previous_series) if state.compare else None,
            }
            for key in drawn
        ],
    }


def _values(key: str, series: list[Totals]) -> list[float | None]:
    return [getattr(one, key) for one in series]


def _zoom(state: State, first: Any, last: Any) -> str:
    return state.url_with({"period": "custom", "from": str(first), "to": str(last)})


def _line(state: State, dimension: Dimension, row: Row, found: TopList) -> Line:
    active = state.question.filters.get(dimension.key) == row.value
    return Line(
        label=label(dimension, row.value),
        value=row.value,
        visitors=row.visitors,
        times=row.times,
        share=row.times / found.times if found.times else 0.0,
        width=row.visitors / found.rows[0].visitors if found.rows[0].visitors else 0.0,
        url=state.url_with({dimension.key: None if active else row.value, "search": None}),
        active=active,
    )
