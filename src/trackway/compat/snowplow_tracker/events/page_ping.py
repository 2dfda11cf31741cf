"""A page is still being looked at."""

from __future__ import annotations

from collections.abc import Sequence

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.describing import Describing
from trackway.compat.snowplow_tracker.events.event import Event
from trackway.compat.snowplow_tracker.events.fields import Field
from trackway.compat.snowplow_tracker.subject import Subject


class PagePing(Event):
    """A ping of the page at ``page_url``; scroll offsets in pixels since the last ping."""

    page_url = Field("url", rules.NON_EMPTY_TEXT)
    page_title = Field("page", rules.OPTIONAL_TEXT)
    referrer = Field("refr", rules.OPTIONAL_TEXT)
    min_x = Field("pp_mix", rules.OPTIONAL_WHOLE)
    max_x = Field("pp_max", rules.OPTIONAL_WHOLE)
    min_y = Field("pp_miy", rules.OPTIONAL_WHOLE)
    max_y = Field("pp_may", rules.OPTIONAL_WHOLE)

    def __init__(
        self,
        page_url: str,
        page_title: str | None = None,
        referrer: str | None = None,
        min_x: int | None = None,
        max_x: int | None = None,
        min_y: int | None = None,
        max_y: int | None = None,
        event_subject: Subject | None = None,
        context: Sequence[Describing] | None = None,
        true_timestamp: float | None = None,
    ) -> None:
        super().__init__(
            event_subject=event_subject, context=context, true_timestamp=true_timestamp
        )
        self.payload.add("e", "pp")
        self.page_url = page_url
        self.page_title = page_title
        self.referrer = referrer
        self.min_x = min_x
        self.max_x = max_x
        self.min_y = min_y
        self.max_y = max_y
