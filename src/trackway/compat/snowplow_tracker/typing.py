"""The names of types that the old tracker gives to callbacks, payloads and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

PayloadDict = dict[str, Any]
PayloadDictList = list[PayloadDict]
JsonEncoderFunction = Callable[[Any], Any]
"""Called for a value that JSON cannot say; returns one that it can."""

SuccessCallback = Callable[[Any], object]
"""Gets the number of events; under ``compatibility="1.1"`` the list of their payloads."""

FailureCallback = Callable[[int, Any], object]
"""Gets the number of events sent and the payloads of those that are given up."""

HttpProtocol = Literal["http", "https"]
Method = Literal["get", "post"]
FormNodeName = Literal["INPUT", "TEXTAREA", "SELECT"]
SupportedPlatform = Literal["web", "iot", "app", "mob", "pc", "cnsl", "tv", "srv", "headset"]


class EmitterProtocol(Protocol):
    """All that a tracker needs of an emitter."""

    def input(self, payload: PayloadDict) -> Any:
        """Take the payload of one event."""


class RedisProtocol(Protocol):
    """All that a RedisEmitter needs of its client."""

    def rpush(self, name: Any, *values: Any) -> Any:
        """Append values to a list."""
