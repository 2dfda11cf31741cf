"""Fields of events as read-write properties over the payload that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackway.compat.snowplow_tracker import contracts
from trackway.compat.snowplow_tracker.compatibility import chosen
from trackway.compat.snowplow_tracker.contracts import Rule

if TYPE_CHECKING:
    from trackway.compat.snowplow_tracker.payload import Payload


class Field:
    """An attribute that lies in ``payload`` under a wire key; None where it is not set.

    Setting it checks ``rule`` (unless contracts are disabled), and None takes it away.
    """

    def __init__(self, key: str, rule: Rule, store: str = "payload") -> None:
        self.key = key
        self.rule = rule
        self.store = store
        self.name = key

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, event: Any, owner: type | None = None) -> Any:
        return self if event is None else self._facts(event).get(self.key)

    def __set__(self, event: Any, value: Any) -> None:
        value = contracts.kept(
            f"{type(event).__name__}:{self.name}", self.name, value, self.rule, chosen(), event
        )
        facts = self._facts(event)
        if value is None:
            facts.pop(self.key, None)
        else:
            facts[self.key] = value

    def _facts(self, event: Any) -> dict[str, Any]:
        store: Payload | dict[str, Any] = getattr(event, self.store)
        return store if isinstance(store, dict) else store.get()
