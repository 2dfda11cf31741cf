"""Top lists: the values of a dimension by how many people they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from trackway.errors import SettingError
from trackway.reports.question import DIMENSIONS, Question
from trackway.reports.sql import views, visits
from trackway.sinks import Warehouse

#: How many rows a list has where nobody says otherwise.
ROWS = 9


class Row(NamedTuple):
    """A value (empty: none), its distinct visitors, and its page views (of a page) or visits."""

    value: str
    visitors: int
    times: int


@dataclass(frozen=True, slots=True)
class TopList:
    """The first rows, by visitors; ``rest`` is how many values more there are, and ``times`` the
    page views or visits of all values together."""

    rows: list[Row]
    rest: int = 0
    times: int = 0


def top(
    warehouse: Warehouse, question: Question, key: str, *, limit: int = ROWS, search: str = ""
) -> TopList:
    """The values of the dimension ``key`` by visitors, in one pass.

    ``search`` keeps the values that contain a text, whatever the case of its letters. Raises
    SettingError if there is no such dimension.
    """
    dimension = DIMENSIONS.get(key)
    if dimension is None:
        raise SettingError(f"there is no list {key!r}; use one of {', '.join(DIMENSIONS)}")
    start, end = question.period.bounds()
    if dimension.of_views:
        source, column = views(question, start, end, f"e.{dimension.column}"), "value"
    else:
        source, column = visits(question, start, end), dimension.column
    conditions, params = ["TRUE"], list(source.params)
    if dimension.blank is None:
        conditions.append(f"{column} <> ''")
    if search:
        conditions.append(f"contains(lower({column}), lower(?))")
        params.append(search)
    # The order leaves nothing open, so that every engine and every run cuts off the same rows.
    answer = warehouse.query(
        f"""SELECT coalesce({column}, '') AS name, count(DISTINCT person) AS visitors,
            count(*) AS times, count(*) OVER () AS names, sum(count(*)) OVER () AS all_times
        FROM ({source.sql}) AS found WHERE {" AND ".join(conditions)}
        GROUP BY 1 ORDER BY visitors DESC, times DESC, name LIMIT {int(limit)}""",
        params,
    )
    if not answer.rows:
        return TopList([])
    rows = [Row(name, visitors, times) for name, visitors, times, _, _ in answer.rows]
    names, all_times = answer.rows[0][3:]
    return TopList(rows, names - len(rows), int(all_times))
