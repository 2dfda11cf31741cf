"""What the URL of the site's page says, and the URLs that lead on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from trackway.errors import SettingError
from trackway.periods import Period
from trackway.reports.question import DIMENSIONS, Question, read_filters

#: Panel of lists -> the dimensions that its tabs show; the first one unless the URL says another.
PANELS: dict[str, tuple[str, ...]] = {
    "sources": ("source", "channel", "campaign"),
    "pages": ("page",),
    "landing": ("entry", "exit"),
    "devices": ("device", "browser", "os"),
}
METRICS = (
    "visitors",
    "visits",
    "page_views",
    "views_per_visit",
    "bounce_rate",
    "visit_duration",
)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the page shows follows from this, and all of it stands in the URL.

    ``root`` is the path that the dashboard is mounted at. ``metric`` None draws visitors and page
    views.
    """

    question: Question
    root: str
    params: Mapping[str, str]
    metric: str | None
    compare: bool
    search: str

    @property
    def period(self) -> Period:
        """The period that is looked at."""
        return self.question.period

    def tab(self, panel: str) -> str:
        """The dimension that a panel shows."""
        return self.params.get(panel, PANELS[panel][0])

    def url(self, path: str = "", **changes: str | None) -> str:
        """This state's URL with some parameters changed, or removed (None)."""
        return self.url_with(changes, path)

    def url_with(self, changes: Mapping[str, str | None], path: str = "") -> str:
        """As ``url``, for parameters whose names are only known at run time."""
        merged: dict[str, str | None] = {**self.params, **changes}
        query = urlencode([(key, value) for key, value in merged.items() if value is not None])
        return f"{site_path(self.root, self.question.site)}{path}{'?' if query else ''}{query}"

    def period_url(self, period: Period) -> str:
        """This state in another period."""
        none: dict[str, str | None] = {"period": None, "from": None, "to": None}
        return self.url_with({**none, **period.query()})

    def without_filters(self) -> str:
        """This state without any filter."""
        return self.url_with(dict.fromkeys(DIMENSIONS))


def site_path(root: str, site: str) -> str:
    """The path of a site's page; a site is called what its events say, so anything can come."""
    return f"{root}/s/{quote(site, safe='')}"


def read_state(
    site: str, query: Mapping[str, str], *, root: str, now: int, time_zone: str
) -> State:
    """Read the parameters of a URL. Raises SettingError with one sentence; parameters that we do
    not know are ignored, because mail programs and link shorteners add their own."""
    period = Period.parse(query, now=now, time_zone=time_zone)
    filters = read_filters(query)
    metric = _one_of(query, "metric", METRICS)
    bots = _one_of(query, "bots", ("in", "out"))
    compare = _one_of(query, "compare", ("previous", "off"))
    params = period.query() if "period" in query else {}
    if "tz" in query:
        params["tz"] = period.time_zone
    params |= filters
    for key, value in (("metric", metric), ("bots", bots), ("compare", compare)):
        if value:
            params[key] = value
    for panel, tabs in PANELS.items():
        if tab := _one_of(query, panel, tabs):
            params[panel] = tab
    return State(
        question=Question(site, period, now, filters, bots == "in"),
        root=root,
        params=params,
        metric=metric,
        compare=compare != "off",
        search=query.get("search", "")[:200],
    )


def _one_of(query: Mapping[str, str], key: str, known: tuple[str, ...]) -> str | None:
    value = query.get(key)
    if value is not None and value not in known:
        raise SettingError(f"{key}={value!r} is not known; use one of {', '.join(known)}")
    return value
