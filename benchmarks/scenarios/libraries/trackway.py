"""Trackway: a Tracker over an AsyncEmitter with its defaults."""

from typing import Any

import trackway
from trackway import Tracker


def make(url: str, *, emitter: str = "AsyncEmitter", **options: Any) -> Tracker:
    # Not in base64, so that the server can read the markers.
    one = getattr(trackway, emitter)(url, **options)
    return Tracker(one, app_id="lost", encode_base64=False)


def send(client: Tracker, marker: str) -> None:
    client.track("e", {"marker": marker})


def stats(client: Tracker) -> dict[str, int]:
    counted: dict[str, int] = client.emitters[0].stats()
    return counted
