"""The package rudder-sdk-python with its defaults."""

from typing import Any

from rudderstack.analytics.client import (  # type: ignore[import-not-found, unused-ignore]
    Client,
)


def make(url: str, **options: Any) -> Any:
    return Client("key", host=url, **options)


def send(client: Any, marker: str) -> None:
    client.track("u1", "e", {"marker": marker})
