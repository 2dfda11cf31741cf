"""A page was shown."""

from __future__ import annotations

from collections.abc import Sequence

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.describing import Describing
from trackway.compat.snowplow_tracker.events.event import Event
from trackway.compat.snowplow_tracker.events.fields import Field
from trackway.compat.snowplow_tracker.subject import Subject


class PageView(Event):
    """The view of the page at ``page_url``."""

    page_url = Field("url", rules.NON_EMPTY_TEXT)
    page_title = Field("page", rules.OPTIONAL_TEXT)
    referrer = Field("refr", rules.OPTIONAL_TEXT)

    def __init__(
        self,
        page_url: str,
        page_title: str | None = None,
        referrer: str | None = None,
        event_subject: Subject | None = None,
        context: Sequence[Describing] | None = None,
        true_timestamp: float | None = None,
    ) -> None:
        super().__init__(
            event_subject=event_subject, context=context, true_timestamp=true_timestamp
        )
        self.payload.add("e", "pv")
        self.page_url = page_url
        self.page_title = page_title
        self.referrer = referrer
