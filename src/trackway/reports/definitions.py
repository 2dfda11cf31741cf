"""What the numbers mean, one sentence each: the page shows them, and so do the documents."""

from __future__ import annotations

DEFINITIONS: dict[str, tuple[str, str]] = {
    "visitors": (
        "Visitors",
        "Different people who looked at at least one page in the period; whoever logs in stays the "
        "same person across devices and days.",
    ),
    "page_views": (
        "Page views",
        "Pages (and screens of apps) that were looked at in the period.",
    ),
    "visits": (
        "Visits",
        "Visits that began in the period and had at least one page view; a visit ends when nothing "
        "happens for 30 minutes.",
    ),
    "views_per_visit": (
        "Views per visit",
        "Page views divided by visits.",
    ),
    "bounce_rate": (
        "Bounce rate",
        "The share of visits that consist of one single event.",
    ),
    "visit_duration": (
        "Visit duration",
        "The mean time between the first and the last event of a visit; a bounce lasts 0 seconds.",
    ),
    "live": (
        "Live",
        "Different people who did anything in the last five minutes.",
    ),
}
