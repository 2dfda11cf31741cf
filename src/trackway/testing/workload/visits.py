"""Who comes when: the visits of one day, and how many events each of them has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trackway.testing.workload.dice import Dice, Flags, Ints
from trackway.testing.workload.pages import Pages
from trackway.testing.workload.parameters import STEPS
from trackway.testing.workload.population import Population
from trackway.testing.workload.sources import DIRECT, SOURCES

#: How many people come once, twice and three times on a day on which they come.
VISITS_A_DAY = (0.87, 0.10, 0.03)
#: Page views of a visit that goes on after the first: two, and a geometric number above that.
MEAN_DEPTH, MOST_VIEWS = 2.5, 20
#: Events of a visit without a page view, at most.
_MOST_SILENT = 3
#: Page views of a crawler's visit, at most.
_MOST_CRAWLED = 5


@dataclass(frozen=True)
class Visits:
    """The visits of a day, one item in each array; those of one person follow each other."""

    person: Ints  # from Population.people on: a crawler
    number: Ints  # 0, 1, 2 among the person's visits of this day
    key: Ints  # unlike that of any other visit of the workload
    is_new: Flags  # on the person's first day
    is_bot: Flags
    is_silent: Flags  # no page view in it
    leading: Ints  # events before the first page view
    script: Ints  # events of the funnel, right after the first page view
    depth: Ints  # steps of the funnel, -1: a stray
    repeats: Ints  # 1 if the first step is done twice
    size: Ints  # events, of whatever kind
    source: Ints  # in SOURCES
    landing: Ints  # page, in Pages
    first: Ints  # number of the visit's first event within the day


def visits_of(population: Population, pages: Pages, day: int) -> Visits:
    """The visits of one day of the plan."""
    dice, wishes = population.dice, population.parameters
    people = population.active(day)
    times = 1 + dice.choice("visits", people << 16 | day, np.array(VISITS_A_DAY))
    crawlers = population.people + np.arange(round(float(times.sum()) * wishes.bots))
    person = np.concatenate((np.repeat(people, times), crawlers))
    number = np.concatenate((_count_up(times), np.zeros(len(crawlers), dtype=np.int64)))
    key = (day << 36 | person) << 2 | number
    is_bot = person >= population.people
    is_new = ~is_bot & (person >= population.starts[day])
    is_silent = (number > 0) & dice.chance("silent", key, wishes.silent_visits)
    leading = ~is_silent & ~is_bot & dice.chance("leading", key, wishes.leading_events)

    depth = np.zeros(len(key), dtype=np.int64)
    funnel = np.flatnonzero(is_new & (number == 0))
    depth[funnel] = population.funnel_depth(person[funnel])
    repeats = (depth > 0) & dice.chance("repeat", key, wishes.repeated_steps)
    # The last step is followed by the order as a transaction with one item.
    script = np.abs(depth) + repeats + 2 * (depth == len(STEPS))

    size = leading + script + _views(dice, key, wishes.bounces)
    size = np.where(is_silent, 1 + dice.below("silent events", key, _MOST_SILENT), size)
    size = np.where(is_bot, 1 + dice.below("crawled", key, _MOST_CRAWLED), size)
    source = dice.choice("source", key, np.array([s.weight for s in SOURCES]))
    return Visits(
        person=person,
        number=number,
        key=key,
        is_new=is_new,
        is_bot=is_bot,
        is_silent=is_silent,
        leading=leading.astype(np.int64),
        script=script,
        depth=depth,
        repeats=repeats.astype(np.int64),
        size=size,
        source=np.where(is_bot | is_silent, DIRECT, source),
        landing=_landing(dice, key, script > 0, pages),
        first=np.cumsum(size) - size,
    )


def _views(dice: Dice, key: Ints, bounces: float) -> Ints:
    further = dice.exponential("views", key, MEAN_DEPTH).astype(np.int64)
    views = np.minimum(2 + further, MOST_VIEWS)
    return np.where(dice.chance("bounce", key, bounces), 1, views)


def _landing(dice: Dice, key: Ints, in_funnel: Flags, pages: Pages) -> Ints:
    """Visits land on the first page more often than it is viewed later; funnels on a product."""
    page = dice.choice("landing", key, pages.weights)
    page[dice.chance("home", key, 0.3)] = 0
    product = pages.products[dice.choice("product", key, pages.weights[pages.products])]
    return np.where(in_funnel, product, page)


def _count_up(counts: Ints) -> Ints:
    """0, 1, ... for each count, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
