"""Emitters: sinks that send events to a collector."""

from trackway.emitters.encoded import Encoded
from trackway.emitters.http import AsyncEmitter

__all__ = ["AsyncEmitter", "Encoded"]
