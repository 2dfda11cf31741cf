"""The kinds of event of version 1.x, which ``Tracker.track`` takes."""

from trackway.compat.snowplow_tracker.events.event import Event
from trackway.compat.snowplow_tracker.events.page_ping import PagePing
from trackway.compat.snowplow_tracker.events.page_view import PageView
from trackway.compat.snowplow_tracker.events.screen_view import ScreenView
from trackway.compat.snowplow_tracker.events.self_describing import SelfDescribing
from trackway.compat.snowplow_tracker.events.structured_event import StructuredEvent

__all__ = ["Event", "PagePing", "PageView", "ScreenView", "SelfDescribing", "StructuredEvent"]
