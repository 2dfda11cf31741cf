"""Enrichment: what follows from the facts that an event has, added in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from trackway.event import Event

Part = Callable[[Event], Mapping[str, Any]]
"""A pure function from an event to fields that follow from it; it raises nothing."""


def enrichment(*parts: Part) -> Callable[[Event], Event]:
    """The pipeline step that adds what all parts find.

    Every part sees the event as it came, so the visitor is found by the whole address although
    another part cuts it. One copy of the event for all parts: an Event is wide, and to copy it
    costs more than to find out what to add.
    """

    def enrich(event: Event) -> Event:
        facts: dict[str, Any] = {}
        for part in parts:
            facts.update(part(event))
        return replace(event, **facts)

    return enrich
