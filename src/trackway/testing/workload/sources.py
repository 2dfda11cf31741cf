"""Where the visits of the workload come from, and what a report must call each source."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """A way into the site: what the browser sends, and the names that reports must give it."""

    referrer: str  # the page before, "" if the browser names none
    query: str  # the query of the landing page's URL
    source: str | None  # None: direct
    channel: str
    weight: float

    @property
    def campaign(self) -> dict[str, str]:
        """The values of the ``utm_`` parameters, without that prefix."""
        pairs = (pair.split("=") for pair in self.query.split("&") if pair)
        return {key.removeprefix("utm_"): value for key, value in pairs if key.startswith("utm_")}


#: The one table of sources. A source is named by ``utm_source`` if there is one, else by the
#: referrer's host without ``www.``; a service that we know has one name, whichever way it came.
SOURCES: tuple[Source, ...] = (
    Source("", "", None, "Direct", 34),
    Source("https://www.google.com/", "", "Google", "Organic Search", 22),
    Source("https://duckduckgo.com/", "", "DuckDuckGo", "Organic Search", 5),
    Source("https://www.bing.com/search?q=chairs", "", "Bing", "Organic Search", 4),
    Source("https://t.co/a1B2c3", "", "Twitter", "Organic Social", 5),
    Source("https://www.facebook.com/", "", "Facebook", "Organic Social", 5),
    Source("https://news.ycombinator.com/item?id=1", "", "Hacker News", "Organic Social", 3),
    Source("https://www.some-blog.example/chairs", "", "some-blog.example", "Referral", 6),
    Source(
        "",
        "utm_source=newsletter&utm_medium=email&utm_campaign=weekly",
        "newsletter",
        "Email",
        7,
    ),
    Source(
        "https://www.google.com/",
        "utm_source=google&utm_medium=cpc&utm_campaign=spring-sale",
        "Google",
        "Paid Search",
        5,
    ),
    Source(
        "https://www.facebook.com/",
        "utm_source=facebook&utm_medium=paid_social&utm_campaign=spring-sale",
        "Facebook",
        "Paid Social",
        4,
    ),
)
DIRECT = 0
