"""A screen of a mobile application was shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.constants import MOBILE_SCHEMA_PATH, SCHEMA_TAG
from trackway.compat.snowplow_tracker.describing import Describing
from trackway.compat.snowplow_tracker.events.fields import Field
from trackway.compat.snowplow_tracker.events.self_describing import SelfDescribing
from trackway.compat.snowplow_tracker.self_describing_json import SelfDescribingJson
from trackway.compat.snowplow_tracker.subject import Subject

_SCHEMA = f"{MOBILE_SCHEMA_PATH}/screen_view/{SCHEMA_TAG}/1-0-0"
_STORE = "screen_view_properties"


class ScreenView(SelfDescribing):
    """The view of the screen ``id_`` (a UUID) with the name ``name``; ``previous_*`` is the one
    before it."""

    id_ = Field("id", rules.NON_EMPTY_TEXT, _STORE)
    name = Field("name", rules.NON_EMPTY_TEXT, _STORE)
    type = Field("type", rules.OPTIONAL_TEXT, _STORE)
    previous_name = Field("previousName", rules.OPTIONAL_TEXT, _STORE)
    previous_id = Field("previousId", rules.OPTIONAL_TEXT, _STORE)
    previous_type = Field("previousType", rules.OPTIONAL_TEXT, _STORE)
    transition_type = Field("transitionType", rules.OPTIONAL_TEXT, _STORE)

    def __init__(
        self,
        id_: str,
        name: str,
        type: str | None = None,
        previous_name: str | None = None,
        previous_id: str | None = None,
        previous_type: str | None = None,
        transition_type: str | None = None,
        event_subject: Subject | None = None,
        context: Sequence[Describing] | None = None,
        true_timestamp: float | None = None,
    ) -> None:
        self.screen_view_properties: dict[str, Any] = {}
        # The event refers to these properties, so that what is set later is sent as well.
        shown = SelfDescribingJson(_SCHEMA, self.screen_view_properties)
        super().__init__(shown, event_subject, context, true_timestamp)
        self.id_ = id_
        self.name = name
        self.type = type
        self.previous_name = previous_name
        self.previous_id = previous_id
        self.previous_type = previous_type
        self.transition_type = transition_type
