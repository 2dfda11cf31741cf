"""The package sentry-sdk with its defaults; an event is a message."""

from typing import Any

import sentry_sdk  # type: ignore[import-not-found, unused-ignore]


def make(url: str, **options: Any) -> Any:
    sentry_sdk.init(dsn=url.replace("http://", "http://key@") + "/1", **options)
    return sentry_sdk


def send(client: Any, marker: str) -> None:
    client.capture_message(marker)
