"""The package snowplow-tracker: a Tracker over its AsyncEmitter with its defaults."""

from typing import Any

from snowplow_tracker import AsyncEmitter, StructuredEvent, Tracker


def make(url: str, **options: Any) -> Any:
    emitter = AsyncEmitter(url.removeprefix("http://"), protocol="http", **options)
    return Tracker("lost", emitter, app_id="lost")


def send(client: Any, marker: str) -> None:
    client.track(StructuredEvent(category="e", action="e", label=marker))
