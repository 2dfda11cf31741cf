"""The tracker: one method for each kind of thing that can happen, all of which make Events."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from time import time_ns
from typing import Any

from trackway import scope as scopes
from trackway._version import __version__
from trackway.emitters import AsyncEmitter, Encoded
from trackway.emitters.endpoint import DEFAULT_ENDPOINT
from trackway.event import Event, Kind, SelfDescribingJson
from trackway.ids import new_id
from trackway.pipeline import Pipeline, Step
from trackway.sinks import Sink
from trackway.subject import Subject
from trackway.wires.snowplow import SCHEMA_REFERENCE, TRACK_SCHEMA, VENDOR, event_name

TRACKER_VERSION = f"trackway-{__version__}"
Describing = SelfDescribingJson | Mapping[str, Any]


class Tracker:
    """Makes Events and sends them through a pipeline to emitters. Its methods raise nothing that
    comes from delivery, and return the id of the event.

    ``emitters``: one emitter or several (anything with ``input(dict)`` will do); none: an
    ``AsyncEmitter`` to ``endpoint``, which is ``TRACKWAY_ENDPOINT`` or the local server.
    ``subject``: facts about the actor; ``namespace``, ``app_id``: names of this tracker and of the
    application. ``steps``: called with each event before it is sent; one that returns None drops
    it. ``sinks``: further sinks that take the events themselves.
    """

    def __init__(
        self,
        emitters: Any = None,
        subject: Subject | None = None,
        namespace: str | None = None,
        app_id: str | None = None,
        encode_base64: bool = True,
        *,
        endpoint: str | None = None,
        steps: Iterable[Step] = (),
        sinks: Iterable[Sink] = (),
    ) -> None:
        sinks = tuple(sinks)
        if emitters is None and not sinks:
            emitters = AsyncEmitter(
                endpoint or os.environ.get("TRACKWAY_ENDPOINT") or DEFAULT_ENDPOINT
            )
        if emitters is not None:
            several = emitters if isinstance(emitters, Sequence) else [emitters]
            sinks = (Encoded(several, base64=encode_base64), *sinks)
            self.emitters = list(several)
        else:
            self.emitters = []
        self.subject = subject or Subject()
        self.pipeline = Pipeline(steps, sinks)
        self._fixed = {"tracker": TRACKER_VERSION}
        if namespace:
            self._fixed["namespace"] = namespace
        if app_id := app_id or os.environ.get("TRACKWAY_APP_ID"):
            self._fixed["app_id"] = app_id

    # -- what can happen

    def track(self, name: str, properties: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Something happened, in the application's own words: ``track("Signed up", {...})``.

        Travels as a self-describing event of our schema ``dev.trackway/track``.
        """
        data = {"name": str(name), "properties": dict(properties or {})}
        event = SelfDescribingJson(TRACK_SCHEMA, data)
        return self._capture("unstruct", {"properties": event}, None, None, options)

    def track_page_view(
        self,
        page_url: str,
        page_title: str | None = None,
        referrer: str | None = None,
        context: Sequence[Describing] | None = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> str:
        """A page was shown."""
        facts = {"page_url": page_url, "page_title": page_title, "referrer": referrer}
        return self._capture("page_view", facts, context, tstamp, options)

    def track_page_ping(
        self,
        page_url: str,
        page_title: str | None = None,
        referrer: str | None = None,
        min_x: int | None = None,
        max_x: int | None = None,
        min_y: int | None = None,
        max_y: int | None = None,
        context: Sequence[Describing] | None = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> str:
        """A page is still being looked at; scroll offsets in pixels since the last ping."""
        facts = {
            "page_url": page_url,
            "page_title": page_title,
            "referrer": referrer,
            "x_min": min_x,
            "x_max": max_x,
            "y_min": min_y,
            "y_max": max_y,
        }
        return self._capture("page_ping", facts, context, tstamp, options)

    def track_screen_view(
        self,
        name: str | None = None,
        id_: str | None = None,
        context: Sequence[Describing] | None = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> str:
        """A screen of an application was shown; at least one of name and id."""
        data = {key: str(value) for key, value in (("name", name), ("id", id_)) if value}
        event = SelfDescribingJson(f"{VENDOR}/screen_view/jsonschema/1-0-0", data)
        return self.track_self_describing_event(event, context, tstamp, **options)

    def track_struct_event(
        self,
        category: str,
        action: str,
        label: str | None = None,
        property_: str | None = None,
        value: float | None = None,
        context: Sequence[Describing] | None = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> str:
        """Something with a category and an action, as Google Analytics once named events."""
        facts = {
            "category": category,
            "action": action,
            "label": label,
            "property_": property_,
            "value": _number(value),
        }
        return self._capture("struct", facts, context, tstamp, options)

    def track_self_describing_event(
        self,
        event_json: Describing,
        context: Sequence[Describing] | None = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> str:
        """Something whose shape a schema of your own describes."""
        return self._capture(
            "unstruct", {"properties": _describing(event_json)}, context, tstamp, options
        )

    def track_ecommerce_transaction(
        self,
        order_id: str,
        total_value: float,
        affiliation: str | None = None,
        tax_value: float | None = None,
        shipping: float | None = None,
        city: str | None = None,
        state: str | None = None,
        country: str | None = None,
        currency: str | None = None,
        items: Iterable[Mapping[str, Any]] | None = None,
        context: Sequence[Describing] | None = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> str:
        """An order, and one event for each of its items; all have the same time.

        An item is a mapping with ``sku``, ``price``, ``quantity`` and, if known, ``name``,
        ``category`` and ``context``.
        """
        created = _now() if tstamp is None else int(tstamp)
        facts = {
            "order_id": order_id,
            "total": _number(total_value),
            "affiliation": affiliation,
            "tax": _number(tax_value),
            "shipping": _number(shipping),
            "city": city,
            "state": state,
            "country": country,
            "currency": currency,
        }
        event_id = self._capture(
            "transaction", facts, context, tstamp, {"created": created, **options}
        )
        for item in items or ():
            self.track_ecommerce_transaction_item(
                order_id,
                item["sku"],
                item["price"],
                item["quantity"],
                item.get("name"),
                item.get("category"),
                currency,
                item.get("context"),
                tstamp,
                created=created,
                **options,
            )
        return event_id

    def track_ecommerce_transaction_item(
        self,
        order_id: str,
        sku: str,
        price: float,
        quantity: int,
        name: str | None = None,
        category: str | None = None,
        currency: str | None = None,
        context: Sequence[Describing] | None = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> str:
        """One item of an order."""
        facts = {
            "order_id": order_id,
            "sku": sku,
            "price": _number(price),
            "quantity": quantity,
            "item_name": name,
            "item_category": category,
            "currency": currency,
        }
        return self._capture("transaction_item", facts, context, tstamp, options)

    # -- around it

    def scope(
        self,
        *,
        contexts: Iterable[Describing] = (),
        late: scopes.Late | None = None,
        **facts: Any,
    ) -> AbstractContextManager[scopes.Scope]:
        """``with tracker.scope(user_id="u1"):`` gives facts to the events inside.

        The facts are fields of Event. They hold for this thread or asyncio task only, so users
        never mix. ``late`` is asked at each event for facts that are known only then; where it
        answers None instead of facts, events are dropped (counted as ``dropped:scope``).
        """
        return scopes.scope(facts, tuple(map(_describing, contexts)), late)

    def flush(self, timeout: float | None = None) -> int:
        """Deliver what is queued within ``timeout`` seconds; how many events are left."""
        return self.pipeline.flush(timeout)

    def close(self, timeout: float | None = 2.0) -> int:
        """Deliver within ``timeout`` seconds and let go of threads; how many events are left."""
        return self.pipeline.close(timeout)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _capture(
        self,
        kind: Kind,
        facts: dict[str, Any],
        context: Sequence[Describing] | None,
        tstamp: float | None,
        options: dict[str, Any],
    ) -> str:
        """Build the event: subject, then scope, then the arguments of the call; the last wins.

        ``tstamp``: when it was created (milliseconds since 1970). ``options``: ``true_timestamp``,
        when it counts as having happened; ``event_subject`` instead of the tracker's subject;
        ``event_id``; and any field of Event.
        """
        subject, id_ = self.subject, None
        if options:
            subject = options.pop("event_subject", None) or subject
            id_ = options.pop("event_id", None)
            if (true := options.pop("true_timestamp", None)) is not None:
                options["true"] = int(true)
        id_ = id_ or new_id()
        known = {**self._fixed, **subject.facts}
        contexts: tuple[SelfDescribingJson, ...] = ()
        if (scope := scopes.current()) is not None:
            here = scope.facts if scope.late is None else scope.current_facts()
            if here is None:
                self.pipeline.stats["dropped:scope"] += 1
                return id_
            known.update(here)
            contexts = scope.contexts
        for field, value in facts.items():
            if value is not None:
                known[field] = value
        if context:
            contexts += tuple(map(_describing, context))
        known["created"] = _now() if tstamp is None else int(tstamp)
        if options:
            known.update(options)
        name = kind if kind == "page_view" else event_name(kind, known.get("properties"))
        self.pipeline.capture(Event(id=id_, kind=kind, name=name, contexts=contexts, **known))
        return id_


def _now() -> int:
    return time_ns() // 1_000_000


def _number(value: float | None) -> float | None:
    """JSON and the protocol know no NaN and no infinity; such a value is left out."""
    return value if value is None or math.isfinite(value) else None


def _describing(value: Describing) -> SelfDescribingJson:
    """A context or event as the caller may write it: ours, a mapping, or a look-alike."""
    if isinstance(value, Mapping):
        value = SelfDescribingJson(value["schema"], value["data"])
    elif not isinstance(value, SelfDescribingJson):
        value = SelfDescribingJson(value.schema, value.data)
    if not value.schema.startswith("iglu:") and SCHEMA_REFERENCE.fullmatch(f"iglu:{value.schema}"):
        value = SelfDescribingJson(f"iglu:{value.schema}", value.data)
    return value
