"""What a test expects of an event, and in which words an event differs from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from difflib import SequenceMatcher
from functools import lru_cache
from reprlib import Repr
from typing import Any

from trackway.event import Event, SelfDescribingJson
from trackway.wires.snowplow import TRACK_SCHEMA

#: How many events a failure lists at most, and how long a line about one is (characters).
LISTED = 20
LINE = 160

#: What all events of an application have, or what is shown in other words.
_NOISE = {"id", "kind", "name", "created", "tracker", "app_id", "namespace", "platform"}
_NOISE |= {"properties", "contexts"}
_FIELDS = frozenset(Event.__struct_fields__)

#: Comparing texts takes quadratic time, and names differ early (characters).
_COMPARED = 100

_short = Repr()
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = 10
_short.maxstring = _short.maxother = 80


class Expected:
    """A name, or None for any, and fields of Event with the values that they should have."""

    def __init__(self, name: str | None, fields: Mapping[str, Any]) -> None:
        if unknown := fields.keys() - _FIELDS:
            raise TypeError(
                f"Event has no field {sorted(unknown)[0]!r}; "
                f"what was given to track() is in properties={{...}}"
            )
        self.name = name
        self.fields = fields

    def __str__(self) -> str:
        asked = ", ".join(f"{field}={_shown(value)}" for field, value in self.fields.items())
        name = _shown(self.name)
        return f"{name} with {asked}" if asked else name

    def among(self, events: Iterable[Event]) -> list[Event]:
        """Those of the events that are as expected."""
        return [event for event in events if not any(self.differences(event))]

    def is_named(self, event: Event) -> bool:
        """Whether the event has the name, or no name is asked for."""
        return self.name is None or self.name in _names(event)

    def differences(self, event: Event) -> Iterator[str]:
        """In what the event is not as expected, one line each."""
        if not self.is_named(event):
            yield f"the name is {event.name!r}, expected {_shown(self.name)}"
        for field, value in self.fields.items():
            actual = getattr(event, field)
            if field == "properties" and isinstance(value, Mapping):
                yield from _differing(field, _own_properties(event), value)
            elif field == "contexts" and isinstance(value, Collection):
                yield from _differing_contexts(actual, value)
            elif value != actual:
                yield f"{field} is {_shown(actual)}, expected {_shown(value)}"


def listing(events: list[Event], expected: Expected | None = None) -> str:
    """The events for the message of a failure: with ``expected`` the closest first, and how those
    of its name, and at least the closest, differ from it."""
    if not events:
        return "nothing was tracked"
    numbered = list(enumerate(events, 1))
    total = f"{len(events)} event{'s were' if len(events) > 1 else ' was'} tracked"
    if expected is not None:
        numbered.sort(key=lambda one: _distance(expected, one[1]))
        total += ", the closest first" if len(events) > 1 else ""
    lines = [f"{total}:"]
    for place, (number, event) in enumerate(numbered[:LISTED]):
        if expected is not None and (place == 0 or expected.is_named(event)):
            lines.append(f"  {number}. {event.name!r}")
            lines += (f"       {line}" for line in expected.differences(event))
        else:
            lines.append(f"  {number}. {event.name!r} {_summary(event)}"[:LINE].rstrip())
    if len(events) > LISTED:
        lines.append(f"  ... and {len(events) - LISTED} more")
    return "\n".join(lines)


def _names(event: Event) -> Collection[str]:
    """Every name by which a test may call the event."""
    properties = event.properties
    if properties is None:
        return (event.name, event.kind)
    if properties.schema != TRACK_SCHEMA:
        return (event.name, *_schema_names(properties.schema))
    # The event's name may be a cut or cleaned form of what track() was given.
    given = properties.data.get("name") if isinstance(properties.data, Mapping) else None
    return (event.name, given or event.name)


def _schema_names(schema: str) -> Collection[str]:
    bare = schema.removeprefix("iglu:")
    vendor, _, rest = bare.partition("/")
    name = rest.partition("/")[0]
    return (schema, bare, f"{vendor}/{name}", name)


def _schemas(contexts: Iterable[SelfDescribingJson]) -> list[str]:
    return [context.schema for context in contexts]


def _own_properties(event: Event) -> Any:
    """What ``track()`` was given, or the data of a self-describing event."""
    if event.properties is None:
        return {}
    data = event.properties.data
    if event.properties.schema == TRACK_SCHEMA and isinstance(data, Mapping):
        return data.get("properties") or {}
    return data


def _differing(what: str, actual: Any, expected: Any) -> Iterator[str]:
    """Where ``expected`` is no part of ``actual``; an empty one is a part of nothing only."""
    both = isinstance(actual, Mapping) and isinstance(expected, Mapping)
    if not both or (actual and not expected):
        if expected != actual:
            yield f"{what} is {_shown(actual)}, expected {_shown(expected)}"
        return
    for key, value in expected.items():
        if key not in actual:
            yield f"{what}[{key!r}] is missing, expected {_shown(value)}"
        elif value != actual[key]:
            yield f"{what}[{key!r}] is {_shown(actual[key])}, expected {_shown(value)}"


def _differing_contexts(
    actual: tuple[SelfDescribingJson, ...], expected: Collection[Any]
) -> Iterator[str]:
    schemas = _schemas(actual)
    if actual and not expected:
        yield f"contexts are {_shown(schemas)}, expected none"
    for name, data in _wanted_contexts(expected):
        named = [context for context in actual if name in _schema_names(context.schema)]
        if not named:
            yield f"no context {name!r}, there are {_shown(schemas)}"
        elif data is not None:
            # Of several contexts of one schema one must fit; the words are about the first.
            differing = [list(_differing(f"context {name!r}", one.data, data)) for one in named]
            if all(differing):
                yield from differing[0]


def _wanted_contexts(expected: Collection[Any]) -> Iterator[tuple[str, Any]]:
    """Names of schemas, each with the data it must have, or None for any."""
    if isinstance(expected, str):
        yield expected, None
    elif isinstance(expected, Mapping):
        yield from expected.items()
    else:
        for one in expected:
            is_whole = isinstance(one, SelfDescribingJson)
            yield (one.schema, one.data) if is_whole else (one, None)


def _distance(expected: Expected, event: Event) -> tuple[bool, float]:
    """How far the event is from what is expected, to sort by."""
    wrong = len(list(expected.differences(event)))
    if expected.name is None or expected.is_named(event):
        return False, wrong
    return True, wrong - 2 * _likeness(expected.name[:_COMPARED], event.name[:_COMPARED])


@lru_cache(maxsize=1024)
def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _summary(event: Event) -> str:
    """The facts of an event that may tell it from others."""
    facts = {"properties": _own_properties(event), "contexts": _schemas(event.contexts)}
    facts |= {f: getattr(event, f) for f in Event.__struct_fields__ if f not in _NOISE}
    return " ".join(f"{f}={_shown(value)}" for f, value in facts.items() if not _is_empty(value))


def _is_empty(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, Sized) and not len(value))


def _shown(value: Any) -> str:
    return " ".join(_short.repr(value).split("\n"))
