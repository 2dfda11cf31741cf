"""What can be asked of a workload: sizes, shapes and traps, all with defaults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trackway.errors import SettingError

#: The steps of the planted funnel, by the names of their events.
STEPS = ("Viewed product", "Added to cart", "Started checkout", "Placed order")

_SHARES = (
    "bounces",
    "logins",
    "late_logins",
    "second_devices",
    "shared_devices",
    "logged_out",
    "bots",
    "duplicates",
    "late",
    "malformed",
    "edge_gaps",
    "equal_times",
    "silent_visits",
    "leading_events",
    "other_events",
    "repeated_steps",
    "stray_steps",
)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The sizes of a workload and the traps in it. Shares are numbers from 0 to 1.

    Sizes
        ``people`` or ``events`` says how much: with ``events`` alone, as many people are made as
        will give about that many events (within a few per cent); ``people`` wins.
        ``days`` local days from ``start`` on in ``time_zone``. ``growth`` is how many times more
        new people come on the last day than on the first. ``pages`` pages, at least five.
    Behaviour
        ``returns[k - 1]``: share of the people first seen on a day who return ``k`` days later;
        exactly ``round(people of that day * share)`` of them do (halves to even). None: 12 % on
        the next day, falling with the power 0.8 of the days. ``activity``: exponent of the Pareto
        law that says who returns, above 1; near 1 few people make most visits.
        ``funnel``: share of all people who do the first of STEPS, then of those who do the next;
        exactly ``round(people * c1 * ... * ci)`` do step i, on their first day, in one visit.
        ``bounces``: share of visits with one page view.
    Identity
        ``logins``: share of people who log in, ``late_logins`` of them only on a later day;
        ``second_devices``: share of those who log in on their first day that use two devices from
        the next day on, sometimes at the same time; ``logged_out``: share of the later visits of
        such people that begin anonymously. ``shared_devices``: share of people who only ever use
        the device of somebody who logged in there on an earlier day.
    Traps
        ``bots``: crawler visits per visit of a person. ``duplicates``: share of events resent one
        hour to six days later with a later time. ``late``: share of events that arrive ten
        minutes to three days late. ``malformed``: further events that break the protocol, per
        event. ``edge_gaps``: share of visits with a gap of exactly 29 or 30 minutes, and of
        pauses between visits of exactly 31 minutes or 30 minutes and a millisecond.
        ``equal_times``: share of page pings and structured events at the very millisecond of the
        event before. ``silent_visits``: share of second visits without a page view.
        ``leading_events``: share of visits that begin with an event before the first page view.
        ``other_events``: share of events after the first that are no page views.
        ``repeated_steps``: share of the funnel's people who do the first step twice.
        ``stray_steps``: share of people who do only the second step.

    Raises SettingError if a value cannot work.
    """

    seed: int = 1
    site: str = "shop"
    host: str = "shop.example"
    start: date = date(2026, 1, 1)
    days: int = 14
    time_zone: str = "UTC"
    people: int | None = None
    events: int | None = None
    growth: float = 1.0
    pages: int = 200

    returns: tuple[float, ...] | None = None
    activity: float = 1.5
    funnel: tuple[float, float, float, float] = (0.4, 0.5, 0.6, 0.7)
    bounces: float = 0.4

    logins: float = 0.3
    late_logins: float = 0.3
    second_devices: float = 0.3
    shared_devices: float = 0.01
    logged_out: float = 0.2

    bots: float = 0.05
    duplicates: float = 0.01
    late: float = 0.02
    malformed: float = 0.005
    edge_gaps: float = 0.05
    equal_times: float = 0.05
    silent_visits: float = 0.1
    leading_events: float = 0.03
    other_events: float = 0.2
    repeated_steps: float = 0.2
    stray_steps: float = 0.02

    def __post_init__(self) -> None:
        for name in _SHARES:
            _check(0 <= getattr(self, name) <= 1, name, "a share from 0 to 1", self)
        _check(all(0 <= r <= 1 for r in self.return_rates), "returns", "shares from 0 to 1", self)
        _check(
            len(self.funnel) == len(STEPS) and all(0 <= c <= 1 for c in self.funnel),
            "funnel",
            f"{len(STEPS)} shares from 0 to 1",
            self,
        )
        strays_fit = self.funnel[0] + self.stray_steps <= 1
        _check(strays_fit, "stray_steps", "at most 1 together with the funnel's first", self)
        _check(self.days >= 1, "days", "at least 1", self)
        _check(self.pages >= 5, "pages", "at least 5", self)
        _check(self.growth > 0, "growth", "above 0", self)
        _check(self.activity > 1, "activity", "above 1", self)
        _check(self.people is None or self.people >= 1, "people", "at least 1", self)
        _check(self.events is None or self.events >= 1, "events", "at least 1", self)
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingError(f"time_zone is {self.time_zone!r}: {error}") from None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone whose days the plan is made in."""
        return ZoneInfo(self.time_zone)

    @property
    def return_rates(self) -> tuple[float, ...]:
        """``returns``, or the default curve, for 1, 2, ... days after the first."""
        if self.returns is not None:
            return self.returns
        return tuple(0.12 * k**-0.8 for k in range(1, self.days))


#: Every trap off: one kind of event, everybody anonymous on one device, all events in order.
PLAIN: dict[str, Any] = {name: 0.0 for name in _SHARES if name != "bounces"}


def _check(holds: bool, name: str, expected: str, parameters: Parameters) -> None:
    if not holds:
        raise SettingError(f"{name} is {getattr(parameters, name)!r}: expected {expected}")
