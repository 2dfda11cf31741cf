"""The tracker: builds Events of subject, scope and arguments, and sends them through a pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from time import time_ns
from typing import TYPE_CHECKING, Any, Self, overload

from trackway import scope as scopes
from trackway._version import __version__
from trackway.arguments import LIMITS, Arguments, named_arguments
from trackway.contracts import Contracts
from trackway.delivery.worker import FLUSH_SECONDS
from trackway.emitters import AsyncEmitter, Encoded
from trackway.emitters.endpoint import DEFAULT_ENDPOINT
from trackway.errors import ContractNotRespected
from trackway.event import ENCODED_NAMES, Kind
from trackway.ids import new_id
from trackway.pipeline import Pipeline, Step
from trackway.sinks import Sink
from trackway.subject import Subject
from trackway.verbs import Context, Describing, Verbs

if TYPE_CHECKING:
    from pathlib import Path

TRACKER_VERSION = f"trackway-{__version__}"


class Tracker(Verbs):
    """Makes Events and sends them through a pipeline to emitters. Its methods raise nothing that
    comes from delivery.

    ``emitters``: one emitter or several (anything with ``input(dict)`` will do); none: an
    ``AsyncEmitter`` to ``endpoint``, which is ``TRACKWAY_ENDPOINT`` or the local server, with the
    spool ``spool`` or ``TRACKWAY_SPOOL``. ``subject``: facts about the actor; ``namespace``,
    ``app_id``: names of this tracker and of the application. The order of the Snowplow tracker 1.x
    (namespace first) is told apart by type.

    ``strict``: True raises ContractNotRespected for an argument that cannot be; False counts it
    (``invalid_argument``), logs it once and sends what is valid; None raises while pytest runs a
    test. ``own_contexts``: False for collectors that do not know Trackway's schemas. ``steps``:
    called with each event before it is sent; one that returns None drops it. ``sinks``: further
    sinks that take the events themselves.
    """

    @overload
    def __init__(
        self,
        emitters: Any = None,
        subject: Subject | None = None,
        namespace: str | None = None,
        app_id: str | None = None,
        encode_base64: bool = True,
        **options: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        namespace: str,
        emitters: Any,
        subject: Subject | None = None,
        app_id: str | None = None,
        encode_base64: bool = True,
        **options: Any,
    ) -> None: ...

    def __init__(
        self,
        *positional: Any,
        endpoint: str | None = None,
        spool: str | Path | None = None,
        strict: bool | None = None,
        own_contexts: bool = True,
        steps: Iterable[Step] = (),
        sinks: Iterable[Sink] = (),
        **named: Any,
    ) -> None:
        given = named_arguments(positional, named)
        emitters = given.get("emitters")
        sinks = tuple(sinks)
        if emitters is None and not sinks:
            emitters = AsyncEmitter(
                endpoint or os.environ.get("TRACKWAY_ENDPOINT") or DEFAULT_ENDPOINT,
                spool=spool or os.environ.get("TRACKWAY_SPOOL") or None,
            )
        base64 = given.get("encode_base64", True)
        self._encoded = Encoded(_several(emitters), base64=base64, own_schemas=own_contexts)
        mine = (self._encoded,) if self._encoded.emitters else ()
        self.pipeline = Pipeline(steps, (*mine, *sinks))
        self.contracts = Contracts(strict)
        self.subject = self._subject("Tracker", given.get("subject"))
        self._arguments = Arguments(self.contracts)
        self._fixed = {"tv": TRACKER_VERSION}
        if namespace := self.contracts.text("Tracker", "namespace", given.get("namespace"), 128):
            self._fixed["tna"] = namespace
        app_id = given.get("app_id") or os.environ.get("TRACKWAY_APP_ID")
        if app_id := self.contracts.text("Tracker", "app_id", app_id, 255):
            self._fixed["aid"] = app_id
        #: What the subject adds to every event, fitted, and the facts that it was made of.
        self._base: tuple[Mapping[str, Any], dict[str, Any]] = ({}, {})

    # -- orders, which are several events

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
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """An order, and one event for each of its items; all have the same time.

        An item is a mapping with ``sku``, ``price``, ``quantity`` and, if known, ``name``,
        ``category`` and ``context``.
        """
        tstamp = _now() if tstamp is None else tstamp
        facts: dict[str, Any] = {
            "order_id": order_id,
            "total": total_value,
            "affiliation": affiliation,
            "tax": tax_value,
            "shipping": shipping,
            "city": city,
            "state": state,
            "country": country,
            "currency": currency,
        }
        verb, required = "track_ecommerce_transaction", ("order_id", "total")
        self._capture(verb, "transaction", required, facts, context, tstamp, dict(options))
        options.pop("event_id", None)
        try:
            for item in self._order_items(verb, items):
                self.track_ecommerce_transaction_item(
                    order_id,
                    item.get("sku"),
                    item.get("price"),
                    item.get("quantity"),
                    item.get("name"),
                    item.get("category"),
                    item.get("currency", currency),
                    item.get("context"),
                    tstamp,
                    **options,
                )
        except ContractNotRespected:
            raise
        except Exception as error:  # the items' own methods
            self._failed(verb, error)
        return self

    def _order_items(self, verb: str, items: Any) -> Iterator[Mapping[str, Any]]:
        if items is None:
            return
        if not isinstance(items, Iterable) or isinstance(items, str | bytes | Mapping):
            self._breach(verb, "items", "a list of mappings", items)
            return
        for item in items:
            if isinstance(item, Mapping):
                yield item
            else:
                self._breach(verb, "items", "a list of mappings", item)

    def track_ecommerce_transaction_item(
        self,
        order_id: str,
        sku: str | None,
        price: float | None,
        quantity: int | None,
        name: str | None = None,
        category: str | None = None,
        currency: str | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """One item of an order."""
        facts = {
            "order_id": order_id,
            "sku": sku,
            "price": price,
            "quantity": quantity,
            "item_name": name,
            "item_category": category,
            "currency": currency,
        }
        verb, required = (
            "track_ecommerce_transaction_item",
            ("order_id", "sku", "price", "quantity"),
        )
        self._capture(verb, "transaction_item", required, facts, context, tstamp, options)
        return self

    # -- around it

    def set_subject(self, subject: Subject | None) -> Self:
        """Facts about the actor of the events from now on; None: nothing but the platform."""
        self.subject = self._subject("set_subject", subject)
        return self

    @property
    def emitters(self) -> list[Any]:
        """The emitters, in a list of its own."""
        return list(self._encoded.emitters)

    def add_emitter(self, emitter: Any) -> Self:
        """Send to one emitter more."""
        self._encoded.add(*_several(emitter))
        if self._encoded not in self.pipeline.sinks:
            self.pipeline.sinks = (self._encoded, *self.pipeline.sinks)
        return self

    addEmitter = add_emitter  # noqa: N815 - the name in the Snowplow tracker's manual

    def scope(
        self,
        *,
        contexts: Iterable[Describing] | None = (),
        late: scopes.Late | None = None,
        **facts: Any,
    ) -> AbstractContextManager[scopes.Scope]:
        """``with tracker.scope(user_id="u1"):`` gives facts to the events inside.

        The facts are fields of Event. They hold for this thread or asyncio task only, so users
        never mix. ``late`` is asked at each event for facts that are known only then; where it
        answers None instead of facts, events are dropped (counted as ``dropped:scope``).
        """
        nothing = contexts is None or (type(contexts) in (tuple, list) and not contexts)
        described = () if nothing else self._arguments.contexts("scope", contexts)
        return scopes.scope(facts, described, late)

    def flush(self, timeout: float | None = FLUSH_SECONDS) -> int:
        """Deliver what is queued within ``timeout`` seconds; how many events are left."""
        return self.pipeline.flush(timeout)

    async def aflush(self, timeout: float | None = FLUSH_SECONDS) -> int:
        """``flush`` for asyncio: the event loop goes on meanwhile."""
        from asyncio import to_thread  # who awaits has it; nobody else should pay for it

        return await to_thread(self.flush, timeout)

    def close(self, timeout: float | None = 2.0) -> int:
        """Deliver within ``timeout`` seconds and let go of threads; how many events are left."""
        return self.pipeline.close(timeout)

    def stats(self) -> dict[str, int]:
        """Counters of the way to the emitters: ``captured``, ``invalid_argument``,
        ``dropped:<step>``, ``failed:<role>:<part>``, ``replaced_surrogates``, ``repaired_data``.
        What became of the events after that, each emitter's own ``stats()`` tells."""
        invalid = self.contracts.broken + self.subject.contracts.broken
        counted = {**self.pipeline.stats, **self._encoded.stats}
        return counted | ({"invalid_argument": invalid} if invalid else {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the way of every event

    def _fit_data(
        self, verb: str, data: dict[str, Any], required: tuple[str, ...]
    ) -> dict[str, Any]:
        return self._arguments.fit_data(verb, data, required)

    def _text(self, verb: str, argument: str, value: Any, limit: int = 0) -> str | None:
        return self.contracts.text(verb, argument, value, limit)

    def _subject(self, verb: str, subject: Any) -> Subject:
        if issubclass(type(subject), Subject):  # of a value that is not, nothing is asked
            return subject  # type: ignore[no-any-return]
        if subject is not None:
            self._breach(verb, "subject", "a Subject or None", subject)
        return Subject()

    def _breach(self, verb: str, argument: str, expected: str, value: Any) -> None:
        self.contracts.breach(verb, argument, expected, value)

    def _failed(self, verb: str, error: Exception) -> None:
        self.pipeline.failed("verb", verb, error)

    def _capture(
        self,
        verb: str,
        kind: Kind,
        required: tuple[str, ...],
        facts: dict[str, Any],
        context: Context,
        tstamp: float | None,
        options: dict[str, Any],
    ) -> str:
        """Build the event: subject, then scope, then the arguments of the call; the last wins.

        ``required``: names of facts that must not be empty. The id of the event.
        """
        id_ = new_id()
        try:
            known = self._known(verb, options)
            if known is None:
                self.pipeline.stats["dropped:scope"] += 1
                return id_
            for name, value in facts.items():
                if type(value) is str and 0 < len(value) <= LIMITS[name]:
                    known[name] = value
                elif value is not None:
                    self._put(verb, known, name, value)
            for name in required:
                if not known.get(name) and known.get(name) != 0:
                    self._breach(verb, self._arguments.name(name), "given", facts[name])
            if context is not None:
                given = self._arguments.contexts(verb, context)
                known["contexts"] = known.get("contexts", ()) + given
            if tstamp is None:
                known["dtm"] = _now()
            else:
                when = self._arguments.time(verb, "tstamp", tstamp)
                known["dtm"] = _now() if when is None else when
            if options:
                id_ = self._put_options(verb, known, options) or id_
            known["eid"] = id_
            self.pipeline.capture_facts(kind, known)
        except ContractNotRespected:
            raise
        except Exception as error:  # whatever an argument made of itself, it must not hurt the host
            self._failed(verb, error)
        return id_

    def _known(self, verb: str, options: dict[str, Any]) -> dict[str, Any] | None:
        """The facts of subject and scope; None: nothing is to be tracked here."""
        subject = self.subject
        if options:
            other = options.pop("event_subject", None)
            if issubclass(type(other), Subject):
                subject = other
            elif other is not None:
                self._breach(verb, "event_subject", "a Subject or None", other)
        made_of, base = self._base
        if subject.facts is not made_of:
            base = self._made_of(subject)
            if subject is self.subject:
                self._base = subject.facts, base
        scope = scopes.current()
        if scope is None:
            return base.copy()
        here = scope.fitted
        if scope.late is not None:
            late = scope.current_facts()
            if late is None:
                return None
            here = self._arguments.fit_facts("scope", late)
        elif here is None:
            here = scope.fitted = self._arguments.fit_facts("scope", scope.facts)
        known = base | here
        if scope.contexts:
            known["contexts"] = scope.contexts
        return known

    def _made_of(self, subject: Subject) -> dict[str, Any]:
        """What the tracker and a subject say of every event, with places for its id and time, in
        the order of Event's fields, in which msgspec finds them fastest."""
        said = {"eid": "", "dtm": 0} | self._fixed
        said |= self._arguments.fit_facts("Subject", subject.facts)
        return {name: said[name] for name in ENCODED_NAMES.values() if name in said}

    def _put(self, verb: str, known: dict[str, Any], name: str, value: Any) -> None:
        """A fact that is not simply a text of a fitting length."""
        if name == "properties":
            value = self._arguments.describing(verb, "event_json", value)
        else:
            value = self._arguments.fit(verb, name, value)
        if value is not None:
            known[name] = value

    def _put_options(self, verb: str, known: dict[str, Any], options: dict[str, Any]) -> str | None:
        """Facts that a call names by the fields of Event; the id, if it names one."""
        id_ = self._arguments.event_id(verb, options.pop("event_id", None))
        true = options.pop("true_timestamp", None)
        true = self._arguments.time(verb, "true_timestamp", true)
        if true is not None:
            known["ttm"] = true
        if (contexts := options.pop("contexts", None)) is not None:
            given = self._arguments.contexts(verb, contexts)
            known["contexts"] = known.get("contexts", ()) + given
        known.update(self._arguments.fit_facts(verb, options))
        return id_


def _now() -> int:
    return time_ns() // 1_000_000


def _several(emitters: Any) -> Sequence[Any]:
    if emitters is None:
        return ()
    several = emitters if isinstance(emitters, list | tuple) else [emitters]
    for emitter in several:
        if not hasattr(emitter, "input"):
            raise TypeError(f"an emitter must have a method input(dict); {emitter!r} has none")
    return several
