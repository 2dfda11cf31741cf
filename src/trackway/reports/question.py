"""What is asked: a site, a period and filters; and the list of things one can filter by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trackway.errors import SettingError
from trackway.periods import Period

_LONGEST_VALUE = 2000


class Dimension(NamedTuple):
    """Something that views or visits are told apart by.

    ``column`` stands in ``sessions``, or in ``events`` if ``of_views``. ``blank`` is how people
    read rows that have no value; None leaves such rows out of lists.
    """

    key: str
    name: str
    plural: str
    column: str
    blank: str | None = None
    of_views: bool = False


#: The order is that of the chips on the page.
DIMENSIONS: dict[str, Dimension] = {
    dimension.key: dimension
    for dimension in (
        Dimension("page", "Page", "Pages", "page_urlpath", "(no address)", of_views=True),
        Dimension("entry", "Entry page", "Entry pages", "entry_page", "(no address)"),
        Dimension("exit", "Exit page", "Exit pages", "exit_page", "(no address)"),
        Dimension("channel", "Channel", "Channels", "channel", "(unknown)"),
        Dimension("source", "Source", "Sources", "source", "Direct / none"),
        Dimension("campaign", "Campaign", "Campaigns", "mkt_campaign"),
        Dimension("device", "Device", "Devices", "dvce_type", "(unknown)"),
        Dimension("browser", "Browser", "Browsers", "br_name", "(unknown)"),
        Dimension("os", "System", "Systems", "os_name", "(unknown)"),
    )
}


@dataclass(frozen=True, slots=True)
class Question:
    """A site, a period and what is kept of them.

    ``now`` (ms UTC) is the present: a period that still runs is compared with the same part of the
    one before. ``filters`` maps keys of DIMENSIONS to the value that is kept; an empty text keeps
    what has no value. ``bots`` counts known bots too.
    """

    site: str
    period: Period
    now: int
    filters: Mapping[str, str] = field(default_factory=dict)
    bots: bool = False

    def __post_init__(self) -> None:
        for key, value in self.filters.items():
            if key not in DIMENSIONS:
                raise SettingError(f"{key!r} is no filter; use one of {', '.join(DIMENSIONS)}")
            if len(value) > _LONGEST_VALUE:
                raise SettingError(f"the filter {key} is longer than {_LONGEST_VALUE} characters")

    def visit_filters(self) -> Iterable[tuple[Dimension, str]]:
        """The filters that tell whole visits apart."""
        return ((d, v) for d, v in self._dimensions() if not d.of_views)

    def view_filters(self) -> Iterable[tuple[Dimension, str]]:
        """The filters that tell single views apart."""
        return ((d, v) for d, v in self._dimensions() if d.of_views)

    def _dimensions(self) -> Iterable[tuple[Dimension, str]]:
        return ((DIMENSIONS[key], value) for key, value in self.filters.items())


def read_filters(query: Mapping[str, str]) -> dict[str, str]:
    """The filters among the parameters of a URL, in the order of DIMENSIONS."""
    return {key: query[key] for key in DIMENSIONS if key in query}
