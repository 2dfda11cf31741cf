"""What a request says, made into events: decoded, completed, enriched, or kept as bad rows."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from time import time_ns
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from trackway.enrich import Part, enrichment
from trackway.enrich.address import Proxies, network_facts
from trackway.enrich.agent import agent_facts
from trackway.enrich.source import source_facts
from trackway.enrich.visitor import visitor_facts
from trackway.errors import InvalidEvent
from trackway.event import Event
from trackway.ids import new_id
from trackway.pipeline import Pipeline, Step
from trackway.wires.snowplow import decode_facts
from trackway.wires.snowplow_body import decode_body, decode_json, decode_payload, decode_query

DEFAULT_SITE = "default"

#: Trackers that speak for somebody else: the address and user agent of their requests are those
#: of an application server, not of the visitor. Prefixes of ``tv``.
_SERVER_SIDE = (
    "trackway-", "py-", "java-", "rb-", "node-", "golang-", "php-", "net-", "scala-", "rust-",
    "cpp-", "lua-",
)  # fmt: skip


class Request(NamedTuple):
    """The facts of an HTTP request that complete an event."""

    path: str
    address: str | None = None
    user_agent: str | None = None
    referer: str | None = None
    content_type: str | None = None
    anonymous: bool = False  # the client sent SP-Anonymous


class Taken(NamedTuple):
    """Lines of JSON for the spool."""

    events: list[bytes]
    bad: list[bytes]


class _Lines:
    """The sink at the end of the collector's pipeline: lines of JSON for the journal."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode

    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            self.lines.append(self._encode(event) + b"\n")

    def flush(self, timeout: float | None = None) -> int:
        return 0

    def close(self, timeout: float | None = None) -> int:
        return 0


def _without_whole_address(event: Event) -> Event:
    """The pipeline passes over a step that fails, and then nobody has cut the address."""
    return event if event.visitor is not None else replace(event, ip=None)


class Intake:
    """Turns requests into lines for the spool. ``secret`` keys the daily visitor hash."""

    def __init__(
        self, *, secret: bytes, anonymize_ip: bool = True, trusted_proxies: str = "127.0.0.1,::1"
    ) -> None:
        self.proxies = Proxies(trusted_proxies)
        parts: list[Part] = [agent_facts, source_facts, visitor_facts(secret)]
        if anonymize_ip:
            parts.append(network_facts)
        self._sink = _Lines()
        steps: list[Step] = [enrichment(*parts)]
        if anonymize_ip:
            steps.append(_without_whole_address)
        self.pipeline = Pipeline(steps, [self._sink])
        self.stats: Counter[str] = Counter()

    def body(self, body: bytes, query: dict[str, str], request: Request) -> Taken:
        """The events of a tp2 POST. Fields of the query string override those of every event.

        Raises InvalidBody if nothing can be read at all; ``refuse`` keeps such a body.
        """
        now = _now()
        bad = []
        for raw in decode_body(body):
            try:
                facts = decode_facts(decode_payload(raw) | query) if query else decode_json(raw)
                self._take(facts, request, now)
            except InvalidEvent as error:
                bad.append(self._bad(error, raw, request, now))
        return self._taken(bad)

    def pixel(self, query: bytes, request: Request) -> Taken:
        """The one event of a GET."""
        now = _now()
        try:
            payload = decode_query(query)
            if not payload:
                raise InvalidEvent("missing_field", "the query string is empty")
            facts = decode_facts(payload, strict=False)
            if request.referer:
                facts.setdefault("page_url", request.referer)
            self._take(facts, request, now)
        except InvalidEvent as error:
            return self._taken([self._bad(error, query, request, now)])
        return self._taken([])

    def refuse(self, error: InvalidEvent, raw: bytes, request: Request) -> Taken:
        """A whole request that cannot be read, kept as one bad row."""
        return self._taken([self._bad(error, raw, request, _now())])

    def _take(self, facts: dict[str, Any], request: Request, now: int) -> None:
        facts["received"] = now
        facts["site"] = facts.get("app_id") or DEFAULT_SITE
        if not facts.get("tracker", "").startswith(_SERVER_SIDE):
            facts.setdefault("ip", request.address)
            facts.setdefault("user_agent", request.user_agent)
        if request.anonymous:
            facts["ip"] = facts["network_id"] = None
        before = len(self._sink.lines)
        sent = self.pipeline.capture(Event(**facts))
        if sent and len(self._sink.lines) == before:
            # the pipeline's guard swallows what the sink raises; here nobody would notice the loss
            raise InvalidEvent("not_storable", "the event cannot be written as JSON")

    def _taken(self, bad: list[bytes]) -> Taken:
        events, self._sink.lines = self._sink.lines, []
        self.stats["events"] += len(events)
        self.stats["bad"] += len(bad)
        return Taken(events, bad)

    def _bad(self, error: InvalidEvent, raw: bytes, request: Request, now: int) -> bytes:
        row = {
            "id": new_id(),
            "received": now,
            "reason": error.reason,
            "message": str(error),
            "path": request.path,
            "content_type": request.content_type,
            "raw": base64.b64encode(raw).decode("ascii"),
        }
        return msgspec.json.encode(_storable(row)) + b"\n"


def _storable(row: dict[str, object]) -> dict[str, object]:
    """Text that has no UTF-8 form (a lone surrogate in a message) in a form that has."""
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in row.items()
    }


def _now() -> int:
    return time_ns() // 1_000_000
