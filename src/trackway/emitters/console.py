"""The emitter that prints events: for a look at what an application tracks."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self, TextIO

import msgspec

from trackway.errors import InvalidEvent
from trackway.event import SelfDescribingJson
from trackway.wires.snowplow import TRACK_SCHEMA, decode_facts
from trackway.wires.snowplow_payload import payload_json

#: Said at the beginning of a line, or of no use to somebody who looks at one tracker.
_NOT_SHOWN = frozenset({"kind", "name", "id", "created", "tracker", "platform", "namespace"})


class ConsoleEmitter:
    """Prints each event on a line: when, what, and its facts by the names of ``Event``.

    ``stream``: where to; None is ``sys.stderr`` as it is when an event comes. ``pretty``: all
    facts as JSON over several lines instead. A payload that a collector would refuse is printed
    with the reason. Nothing is raised; what cannot be printed is counted as
    ``dropped:unprintable``.
    """

    def __init__(self, stream: TextIO | None = None, *, pretty: bool = False) -> None:
        self.stream = stream
        self.pretty = pretty
        self._counts: Counter[str] = Counter({"accepted": 0, "sent": 0, "queued": 0})

    def put(self, payload: bytes) -> bool:
        self._counts["accepted"] += 1
        stream = self.stream or sys.stderr
        try:
            text = _harmless(self._text(msgspec.json.decode(payload))) + "\n"
            encoding = getattr(stream, "encoding", None) or "utf-8"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except Exception:  # a stream that is closed must not hurt who tracks
            self._counts["dropped:unprintable"] += 1
            return False
        self._counts["sent"] += 1
        return True

    def input(self, payload: Mapping[str, Any]) -> None:
        """Print one payload; values become text as on their way to a collector."""
        if encoded := payload_json(payload):
            self.put(encoded)

    def flush(self, timeout: float | None = None) -> int:
        """Nothing is ever left: 0."""
        return 0

    def close(self, timeout: float | None = None) -> int:
        """The stream stays open; 0."""
        return 0

    async def aflush(self, timeout: float | None = None) -> int:
        return 0

    def stats(self) -> dict[str, int]:
        """Counters: accepted, sent, queued (always 0), ``dropped:unprintable``."""
        return dict(self._counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The stream stays open."""

    def _text(self, payload: dict[str, str]) -> str:
        try:
            facts = decode_facts(payload, strict=False)
        except InvalidEvent as error:
            return f"invalid ({error.reason}: {error}) {json.dumps(payload, ensure_ascii=False)}"
        if self.pretty:
            return json.dumps(msgspec.to_builtins(facts), ensure_ascii=False, indent=2)
        shown = {name: value for name, value in facts.items() if name not in _NOT_SHOWN}
        pairs = [f"{name}={_short(value)}" for name, value in shown.items()]
        name = facts["kind"] if facts["kind"] == "struct" else _short(facts["name"])
        return " ".join([_clock(facts.get("created")), name, *pairs, f"id={facts['id']}"])


def _harmless(text: str) -> str:
    """Without what would steer a terminal."""
    lines = text.split("\n")
    return "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in s) for s in lines)


def _clock(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(value: Any) -> str:
    """A value on one line: bare where it can be, else as JSON; of contexts only the names."""
    if isinstance(value, SelfDescribingJson):
        is_track = value.schema == TRACK_SCHEMA and isinstance(value.data, dict)
        value = value.data.get("properties") if is_track else value.data
    elif isinstance(value, tuple | list):
        value = [one.schema.split("/")[1] for one in value]
    if isinstance(value, str) and value.isprintable() and not set(value) & {" ", '"'}:
        return value
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
