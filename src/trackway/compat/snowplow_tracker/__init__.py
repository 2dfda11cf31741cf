"""The Snowplow Python tracker's public names, versions 0.4 to 1.1, on top of Trackway."""

from trackway.compat.snowplow_tracker._version import __version__
from trackway.compat.snowplow_tracker.compatibility import set_compatibility
from trackway.compat.snowplow_tracker.contracts import disable_contracts, enable_contracts
from trackway.compat.snowplow_tracker.emitter_configuration import EmitterConfiguration
from trackway.compat.snowplow_tracker.emitters import (
    AsyncEmitter,
    CeleryEmitter,
    Emitter,
    RedisEmitter,
    logger,
)
from trackway.compat.snowplow_tracker.event_store import EventStore
from trackway.compat.snowplow_tracker.events import (
    Event,
    PagePing,
    PageView,
    ScreenView,
    SelfDescribing,
    StructuredEvent,
)
from trackway.compat.snowplow_tracker.payload import Payload
from trackway.compat.snowplow_tracker.redis_worker import RedisWorker
from trackway.compat.snowplow_tracker.self_describing_json import SelfDescribingJson
from trackway.compat.snowplow_tracker.snowplow import Snowplow
from trackway.compat.snowplow_tracker.subject import Subject
from trackway.compat.snowplow_tracker.timestamp import DeviceTimestamp, TrueTimestamp
from trackway.compat.snowplow_tracker.tracker import Tracker
from trackway.compat.snowplow_tracker.tracker_configuration import TrackerConfiguration

__all__ = [
    "AsyncEmitter",
    "CeleryEmitter",
    "DeviceTimestamp",
    "Emitter",
    "EmitterConfiguration",
    "Event",
    "EventStore",
    "PagePing",
    "PageView",
    "Payload",
    "RedisEmitter",
    "RedisWorker",
    "ScreenView",
    "SelfDescribing",
    "SelfDescribingJson",
    "Snowplow",
    "StructuredEvent",
    "Subject",
    "Tracker",
    "TrackerConfiguration",
    "TrueTimestamp",
    "__version__",
    "disable_contracts",
    "enable_contracts",
    "logger",
    "set_compatibility",
]
