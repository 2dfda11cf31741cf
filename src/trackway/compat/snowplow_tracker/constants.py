"""Schema references and sets of names that the old tracker keeps in its constants."""

from __future__ import annotations

from trackway.compat.snowplow_tracker._version import __version__
from trackway.wires.snowplow import CONTEXTS_SCHEMA, PAYLOAD_SCHEMA, UNSTRUCT_SCHEMA, VENDOR
from trackway.wires.snowplow_keys import PLATFORMS

VERSION = f"trackway-{__version__}"
DEFAULT_ENCODE_BASE64 = True

BASE_SCHEMA_PATH = VENDOR
MOBILE_SCHEMA_PATH = "iglu:com.snowplowanalytics.mobile"
SCHEMA_TAG = "jsonschema"
CONTEXT_SCHEMA = CONTEXTS_SCHEMA
UNSTRUCT_EVENT_SCHEMA = UNSTRUCT_SCHEMA
PAYLOAD_DATA_SCHEMA = PAYLOAD_SCHEMA

SUPPORTED_PLATFORMS = PLATFORMS
HTTP_PROTOCOLS = frozenset(("http", "https"))
METHODS = frozenset(("get", "post"))

# Source of the next two: the schemas change_form and submit_form 1-0-0 of Iglu Central.
FORM_NODE_NAMES = frozenset(("INPUT", "TEXTAREA", "SELECT"))
FORM_TYPES = frozenset(
    (
        *("button", "checkbox", "color", "date", "datetime", "datetime-local", "email", "file"),
        *("hidden", "image", "month", "number", "password", "radio", "range", "reset", "search"),
        *("submit", "tel", "text", "time", "url", "week"),
    )
)
