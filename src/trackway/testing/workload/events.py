"""What happens in the visits of one day: the events, their times, pages, devices and logins."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from trackway.testing.workload.dice import Flags, Ints
from trackway.testing.workload.pages import Pages
from trackway.testing.workload.parameters import STEPS
from trackway.testing.workload.population import GUEST, LATER, PROMPT, Population, hours_of_day
from trackway.testing.workload.visits import Visits, visits_of

VIEW, PING, STRUCT, TRACK, STEP = range(5)
"""Kinds of events; the steps of the funnel are STEP, STEP + 1, ..."""
ORDER = STEP + len(STEPS)
ITEM = ORDER + 1

MINUTE = 60_000
#: A person's day begins this late or ends this early, by turns, so that events of one day and of
#: the next are further apart than the gap that ends a session, while no hour is without events.
_REST = 35 * MINUTE
_MEAN_GAP, _LEAST_GAP, _MOST_GAP = 50_000, 1_000, 10 * MINUTE
#: How many crawlers there are, each with its own address.
CRAWLERS = 40


@dataclass(frozen=True)
class Events:
    """Events, one item in each array."""

    key: Ints  # unlike that of any other event of the workload
    visit: Ints  # number of the visit within its day
    person: Ints
    kind: Ints
    time: Ints  # milliseconds UTC
    page: Ints  # in Pages
    before: Ints  # the page that led here, -1: none of ours
    source: Ints  # in SOURCES for the visit's first page view, else -1
    device: Ints  # of people 0 and up, of crawlers below 0
    identified: Flags  # the event names the user
    is_bot: Flags
    is_prompt: Flags  # must not be late: it may be the first that names the device's owner

    def __len__(self) -> int:
        return len(self.key)

    def take(self, which: Ints) -> Self:
        """Some of the events, in the order asked for."""
        return type(self)(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True)
class Day:
    """One day of the plan."""

    number: int
    visits: Visits
    events: Events


def day_of(population: Population, pages: Pages, number: int) -> Day:
    """The plan of one day, made without looking at any other."""
    visits = visits_of(population, pages, number)
    visit = np.repeat(np.arange(len(visits.key)), visits.size)
    slot = np.arange(len(visit)) - visits.first[visit]
    key = visits.key[visit] << 6 | slot
    place = slot - visits.leading[visit]  # 0: the first page view
    kind = _kinds(population, visits, key, visit, place)
    page, before = _pages(population, pages, visits, key, visit, slot, kind)
    device, on_second = _devices(population, visits, key, visit, slot)
    identity = population.identity(visits.person)
    events = Events(
        key=key,
        visit=visit,
        person=visits.person[visit],
        kind=kind,
        time=_times(population, visits, number, key, visit, slot, kind),
        page=page,
        before=np.where((kind == VIEW) & (place > 0), before, -1),
        source=np.where((place == 0) & ~visits.is_silent[visit], visits.source[visit], -1),
        device=device,
        identified=_identified(population, visits, number, identity, visit, slot, on_second),
        is_bot=visits.is_bot[visit],
        is_prompt=(visits.is_new & (identity == PROMPT))[visit],
    )
    return Day(number, visits, events)


def _kinds(population: Population, visits: Visits, key: Ints, visit: Ints, place: Ints) -> Ints:
    dice, wishes = population.dice, population.parameters
    others = np.array([PING, STRUCT, TRACK])[dice.choice("kind", key, np.array([3.0, 2.0, 1.0]))]
    kind = np.where(dice.chance("other", key, wishes.other_events), others, VIEW)
    kind[(place <= 0) | visits.is_bot[visit]] = VIEW
    kind[(place < 0) | (visits.is_silent[visit])] = STRUCT
    kind[visits.is_silent[visit] & (place > 0)] = TRACK

    scripted = (place > 0) & (place <= visits.script[visit])
    step = np.maximum(place - 1 - visits.repeats[visit], 0)
    # The fifth and sixth event of a whole funnel are ORDER and ITEM, which follow the steps.
    kind = np.where(scripted, STEP + step, kind)
    return np.where(scripted & (visits.depth[visit] < 0), STEP + 1, kind)


def _times(
    population: Population,
    visits: Visits,
    day: int,
    key: Ints,
    visit: Ints,
    slot: Ints,
    kind: Ints,
) -> Ints:
    """When the events happen: gaps summed up for each person, then placed in the day."""
    dice, wishes = population.dice, population.parameters
    waits = dice.exponential("gap", key, _MEAN_GAP).astype(np.int64)
    gap = np.clip(waits, _LEAST_GAP, _MOST_GAP)
    gap[visits.is_bot[visit]] //= 10
    ties = (slot > 0) & ((kind == PING) | (kind == STRUCT))
    gap[ties & dice.chance("tie", key, wishes.equal_times)] = 0

    person = visits.number == 0  # where a person's visits begin
    edges = dice.chance("edge", visits.key, wishes.edge_gaps)
    odd = dice.chance("odd", visits.key, 0.5)
    # Just inside a session, on the second event of a visit ...
    inside = edges & (visits.size > 1) & ~visits.is_bot
    gap[visits.first[inside] + 1] = np.where(odd[inside], 29 * MINUTE, 30 * MINUTE)
    # ... and just outside, on the first event of a later visit.
    pause = (40 + dice.below("pause", visits.key, 140)) * MINUTE
    outside = np.where(odd, 31 * MINUTE, 30 * MINUTE + 1)
    gap[visits.first] = np.where(person, 0, np.where(edges, outside, pause))

    elapsed = np.cumsum(gap)
    begin = np.flatnonzero(person)
    owner = np.cumsum(person) - 1  # of visits, into begin
    elapsed -= elapsed[visits.first[begin]][owner[visit]]
    final = np.flatnonzero(np.append(person[1:], True)[: len(person)])
    length = elapsed[visits.first[final] + visits.size[final] - 1]

    late_riser = visits.person[begin] % 2
    midnight, next_midnight = population.midnights[day : day + 2]
    room = next_midnight - midnight - _REST - length
    moment = hours_of_day(dice.uniform("hour", visits.key[begin]))
    start = midnight + late_riser * _REST + (moment * room).astype(np.int64)
    times: Ints = start[owner[visit]] + elapsed
    return times


def _pages(
    population: Population,
    pages: Pages,
    visits: Visits,
    key: Ints,
    visit: Ints,
    slot: Ints,
    kind: Ints,
) -> tuple[Ints, Ints]:
    """The page of each event, and that of the event before in the same visit."""
    place = slot - visits.leading[visit]
    page = np.where(
        place <= 0, visits.landing[visit], population.dice.choice("page", key, pages.weights)
    )
    # What is no page view happens on the page viewed last.
    shows = (kind == VIEW) | (slot == 0)
    page = page[np.maximum.accumulate(np.where(shows, np.arange(len(page)), 0))]
    return page, np.concatenate((page[:1], page[:-1]))


def _devices(
    population: Population, visits: Visits, key: Ints, visit: Ints, slot: Ints
) -> tuple[Ints, Flags]:
    """The device of each event, and whether it is the person's second."""
    dice, wishes = population.dice, population.parameters
    identity = population.identity(visits.person)
    owner = population.owner(visits.person, identity)
    has_two = (
        ~visits.is_new
        & (identity == PROMPT)
        & dice.chance("second device", visits.person, wishes.second_devices)
    )
    # Some visits are made on the second device, some on both by turns.
    mode = dice.choice("device", visits.key, np.array([0.5, 0.35, 0.15]))
    second = has_two[visit] & ((mode[visit] == 1) | ((mode[visit] == 2) & (slot % 2 == 1)))
    crawler = -1 - dice.below("crawler", visits.key, CRAWLERS)
    device = np.where(visits.is_bot[visit], crawler[visit], owner[visit] * 2 + second)
    return device, second


def _identified(
    population: Population,
    visits: Visits,
    day: int,
    identity: Ints,
    visit: Ints,
    slot: Ints,
    on_second: Flags,
) -> Flags:
    """Which events name the user.

    Whoever owns an account logs in, on each device, before the visit ends in which it first
    matters. So each event belongs to one person: the user it names, or the first user who was
    ever named on the device.
    """
    dice, wishes = population.dice, population.parameters
    prompt, later = identity == PROMPT, identity == LATER
    # On the first day from some event of the first visit on.
    login = np.minimum(dice.below("login at", visits.person, 4), visits.size - 1)
    logged_in = ~visits.is_new[visit] | (visits.number > 0)[visit] | (slot >= login[visit])
    # Later visits may begin anonymously, on a second device only if more is to come on it.
    anonymous = ~visits.is_new & dice.chance("logged out", visits.key, wishes.logged_out)
    begins = (slot == 0) & anonymous[visit] & (~on_second | (visits.size > 1)[visit])
    since = population.first_day(visits.person) + population.login_delay(visits.person)
    always = (identity == GUEST) | (later & (day >= since))
    identified: Flags = always[visit] | (prompt[visit] & logged_in & ~begins)
    return identified & ~visits.is_bot[visit]
