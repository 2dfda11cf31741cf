"""The SQL that every report is built from: which views and which visits a question is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from trackway.periods import runs
from trackway.reports.question import Dimension, Question
from trackway.warehouse.schema import IS_VIEW

#: Who a visitor turned out to be. Most are themselves, so only the others are joined.
PERSON = "coalesce(p.person, e.visitor)"
EVENTS = """events AS e LEFT JOIN
    (SELECT visitor, person FROM people WHERE visitor <> person) AS p ON p.visitor = e.visitor"""


class Part(NamedTuple):
    """A piece of SQL with the parameters for its question marks."""

    sql: str
    params: tuple[Any, ...] = ()


def moment(ms: int) -> str:
    """A time (ms UTC) as SQL."""
    at = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    return f"TIMESTAMP_MS '{at:%Y-%m-%d %H:%M:%S.%f}'"


def millis(time: str) -> str:
    """A time in SQL as milliseconds UTC."""
    return f"epoch_ms({time})"


def bucket(time: str, edges: Sequence[int]) -> str:
    """The number of the bucket that a time lies in; outside of the edges it has no meaning.

    Only whole numbers are computed, since no two engines agree about time zones.
    """
    stretches = runs(edges)
    cases = [f"({millis(time)} - {r.start}) // {max(r.step, 1)} + {r.number}" for r in stretches]
    whens = "".join(
        f"WHEN {time} < {moment(after.start)} THEN {case} "
        for case, after in zip(cases, stretches[1:], strict=False)
    )
    return f"CASE {whens}ELSE {cases[-1]} END" if whens else cases[-1]


def views(question: Question, start: int, end: int, column: str = "NULL") -> Part:
    """Rows (person, time, value) of the page views from ``start`` up to ``end`` (ms UTC).

    ``value`` is the events' ``column``. If visits are filtered, only views within such visits.
    """
    where, params = _that(question.site, question.view_filters(), "e.")
    found = f"""SELECT {PERSON} AS person, e.derived_tstamp AS time, {column} AS value
        FROM {EVENTS}
        WHERE {where} AND e.derived_tstamp >= {moment(start)} AND e.derived_tstamp < {moment(end)}
            AND {IS_VIEW}{_people(question, "e.")}"""
    if not any(question.visit_filters()):
        return Part(found, params)
    kept, kept_params = _that(question.site, question.visit_filters(), "")
    # A visit may have begun before the period whose views are asked for. One person's visits
    # never overlap, so the join keeps a view at most once.
    return Part(
        f"""SELECT v.person, v.time, v.value FROM ({found}) AS v
        JOIN (SELECT person, started, ended FROM sessions
            WHERE {kept} AND started < {moment(end)} AND ended >= {moment(start)}
                {_people(question)}) AS k
        ON k.person = v.person AND v.time BETWEEN k.started AND k.ended""",
        (*params, *kept_params),
    )


def visits(question: Question, start: int, end: int) -> Part:
    """Rows of ``sessions``: the visits that begin from ``start`` up to ``end`` (ms UTC).

    If views are filtered, only visits that contain such a view.
    """
    where, params = _that(question.site, question.visit_filters(), "s.")
    found = f"""SELECT s.* FROM sessions AS s
        WHERE {where} AND s.started >= {moment(start)} AND s.started < {moment(end)}
            AND s.views > 0{_people(question, "s.")}"""
    if not any(question.view_filters()):
        return Part(found, params)
    view, view_params = _that(question.site, question.view_filters(), "e.")
    # Such a view may come after the end of the period, but not after the last of the visits.
    return Part(
        f"""SELECT f.* FROM ({found}) AS f
        WHERE (f.person, f.started) IN (
            SELECT f.person, f.started FROM ({found}) AS f JOIN (
                SELECT {PERSON} AS person, e.derived_tstamp AS time FROM {EVENTS}
                WHERE {view} AND e.derived_tstamp >= {moment(start)}
                    AND e.derived_tstamp <= (SELECT max(f.ended) FROM ({found}) AS f)
                    AND {IS_VIEW}{_people(question, "e.")}) AS v
            ON v.person = f.person AND v.time BETWEEN f.started AND f.ended)""",
        (*params, *params, *view_params, *params),
    )


def _that(
    site: str, filters: Iterable[tuple[Dimension, str]], table: str
) -> tuple[str, tuple[str, ...]]:
    """A condition on the site and on dimensions."""
    conditions, params = [f"{table}site = ?"], [site]
    for dimension, value in filters:
        if value:
            conditions.append(f"{table}{dimension.column} = ?")
            params.append(value)
        else:
            conditions.append(f"coalesce({table}{dimension.column}, '') = ''")
    return " AND ".join(conditions), tuple(params)


def _people(question: Question, table: str = "") -> str:
    return "" if question.bots else f" AND NOT {table}is_bot"
