"""Trackway records what people do in a Python web application, on the server.

This is the face of the package: what most applications need, and nothing of its own.
"""

from trackway._version import __version__
from trackway.emitters import AsyncEmitter, Emitter
from trackway.errors import ContractNotRespected, TrackwayError
from trackway.event import Event, SelfDescribingJson
from trackway.pipeline import Pipeline
from trackway.sinks import MemorySink, Sink
from trackway.subject import Subject
from trackway.tracker import Tracker

__all__ = [
    "AsyncEmitter",
    "ContractNotRespected",
    "Emitter",
    "Event",
    "MemorySink",
    "Pipeline",
    "SelfDescribingJson",
    "Sink",
    "Subject",
    "Tracker",
    "TrackwayError",
    "__version__",
]
