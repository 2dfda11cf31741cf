"""What tests of an application need to see the events that it sends."""

from trackway.testing.capture import Captured, capture

__all__ = ["Captured", "capture"]
