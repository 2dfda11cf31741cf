"""Emitters: sinks that send events to a collector."""

from trackway.emitters.encoded import Encoded
from trackway.emitters.http import AsyncEmitter, Emitter

__all__ = ["AsyncEmitter", "Emitter", "Encoded"]
