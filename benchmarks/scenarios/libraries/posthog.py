"""The package posthog with its defaults."""

from typing import Any

from posthog import Posthog  # type: ignore[import-not-found, unused-ignore]


def make(url: str, **options: Any) -> Any:
    return Posthog("key", host=url, **options)


def send(client: Any, marker: str) -> None:
    client.capture("e", distinct_id="u1", properties={"marker": marker})
