"""Timestamps that say which time of the event they are, as version 0.8 had them."""

from __future__ import annotations


class Timestamp:
    """``value`` in milliseconds since 1970; ``ts_type`` is the key that it is sent as."""

    def __init__(self, ts_type: str, value: float) -> None:
        self.ts_type = ts_type
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class TrueTimestamp(Timestamp):
    """When the event really happened: sent as ``ttm``."""

    def __init__(self, value: float) -> None:
        super().__init__("ttm", value)


class DeviceTimestamp(Timestamp):
    """When the device's clock says that it happened: sent as ``dtm``."""

    def __init__(self, value: float) -> None:
        super().__init__("dtm", value)
