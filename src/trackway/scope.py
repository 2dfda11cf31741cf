"""Facts that hold for a stretch of one thread or one asyncio task, kept in a context variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from trackway.event import SelfDescribingJson

Late = Callable[[], Mapping[str, Any] | None]


class Scope:
    """Fields of Event and contexts that events get while the scope is open.

    ``late``: asked at each event for facts that are known only then, such as the user who logs
    in during the request; None leaves a field as it is, and None instead of facts means that
    nothing is to be tracked here.
    """

    __slots__ = ("contexts", "facts", "fitted", "late", "outer")

    def __init__(
        self,
        facts: Mapping[str, Any],
        contexts: tuple[SelfDescribingJson, ...] = (),
        late: Late | None = None,
        outer: Scope | None = None,
    ) -> None:
        self.facts = facts
        self.contexts = contexts
        self.late = late
        self.outer = outer
        #: The facts as a tracker has fitted them to its events; it keeps them here.
        self.fitted: dict[str, Any] | None = None

    def current_facts(self) -> Mapping[str, Any] | None:
        """The facts as they are now; None: drop the event."""
        if self.late is None:
            return self.facts
        late = self.late()
        return None if late is None else {**self.facts, **_known(late)}


_current: ContextVar[Scope | None] = ContextVar("trackway_scope", default=None)

#: The scope that is open here, or None.
current = _current.get


@contextmanager
def scope(
    facts: Mapping[str, Any],
    contexts: tuple[SelfDescribingJson, ...] = (),
    late: Late | None = None,
) -> Iterator[Scope]:
    """Open a scope inside the one that is open here; the inner facts win."""
    outer = _current.get()
    if outer is not None:
        if outer.late is not None:
            late = _above(outer.late, facts, late)
        facts = {**outer.facts, **facts}
        contexts = outer.contexts + contexts
    inner = Scope(facts, contexts, late, outer)
    _current.set(inner)
    try:
        yield inner
    finally:
        _leave(inner)


def _leave(scope: Scope) -> None:
    """Go back to what was open around the scope, if the scope is still open here.

    Not by the token of the context variable: with a generator a scope may end in another context
    than it began in, where a token raises, or after the one around it, which a token would open
    again for good.
    """
    here = _current.get()
    while here is not None and here is not scope:
        here = here.outer
    if here is scope:
        _current.set(scope.outer)


def _above(outer: Late, facts: Mapping[str, Any], late: Late | None) -> Late:
    """Late facts of two scopes: what the inner one says at all wins over the outer one's."""

    def both() -> Mapping[str, Any] | None:
        below = outer()
        own = late() if late is not None else {}
        if below is None or own is None:
            return None
        return {**_known(below), **facts, **_known(own)}

    return both


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in facts.items() if value is not None}
