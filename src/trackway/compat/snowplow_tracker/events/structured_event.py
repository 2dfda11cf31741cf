"""Something with a category and an action."""

from __future__ import annotations

from collections.abc import Sequence

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.describing import Describing
from trackway.compat.snowplow_tracker.events.event import Event
from trackway.compat.snowplow_tracker.events.fields import Field
from trackway.compat.snowplow_tracker.subject import Subject


class StructuredEvent(Event):
    """An event with up to five fields, of which ``category`` and ``action`` are needed."""

    category = Field("se_ca", rules.NON_EMPTY_TEXT)
    action = Field("se_ac", rules.NON_EMPTY_TEXT)
    label = Field("se_la", rules.OPTIONAL_TEXT)
    property_ = Field("se_pr", rules.OPTIONAL_TEXT)
    value = Field("se_va", rules.OPTIONAL_NUMBER)

    def __init__(
        self,
        category: str,
        action: str,
        label: str | None = None,
        property_: str | None = None,
        value: float | None = None,
        event_subject: Subject | None = None,
        context: Sequence[Describing] | None = None,
        true_timestamp: float | None = None,
    ) -> None:
        super().__init__(
            event_subject=event_subject, context=context, true_timestamp=true_timestamp
        )
        self.payload.add("e", "se")
        self.category = category
        self.action = action
        self.label = label
        self.property_ = property_
        self.value = value
