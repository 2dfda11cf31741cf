"""Who there is: the people of a workload, numbered in the order of their first day.

Nothing is stored for a person. Everything is a function of the person's number, so that millions
of people need no memory and any day can be made on its own.
"""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta

import numpy as np

from trackway.errors import SettingError
from trackway.testing.workload.dice import Dice, Flags, Floats, Ints
from trackway.testing.workload.parameters import Parameters

ANONYMOUS, PROMPT, LATER, GUEST = range(4)
"""How a person gets known: never, by a login on the first day, by one on a later day, or always
known but without a device of their own."""

#: New people and visits of Monday to Sunday.
_WEEKDAYS = (1.1, 1.15, 1.1, 1.05, 0.95, 0.8, 0.85)
#: No person's day is longer than 19 hours, with 35 minutes of rest before or after.
_SHORTEST_DAY = 22 * 60 * 60 * 1000


class Population:
    """People with first days, return days, devices, logins and places in the funnel."""

    def __init__(self, parameters: Parameters, people: int) -> None:
        self.parameters = parameters
        self.people = people
        self.dice = Dice(parameters.seed)
        #: The first instant of each local day, and of the day after the last (milliseconds UTC).
        self.midnights = _midnights(parameters)
        if np.diff(self.midnights).min() < _SHORTEST_DAY:
            raise SettingError(f"a day of {parameters.time_zone} is shorter than 22 hours")
        #: ``starts[d]`` is the number of the first person of day d; the last item is ``people``.
        self.starts = _shares_of(people, parameters)
        self._stride = _stride(people)
        self._offset = int(self.dice.below("funnel", np.zeros(1, dtype=np.int64), people)[0])

    def first_day(self, person: Ints) -> Ints:
        """The day on which each person is first seen."""
        return np.searchsorted(self.starts, person, side="right") - 1

    def active(self, day: int) -> Ints:
        """Everybody who comes on a day: its new people, and those of earlier days who return."""
        sizes = np.diff(self.starts[: day + 1])
        counts = returning(sizes, self.parameters, day)
        new = np.arange(self.starts[day], self.starts[day + 1], dtype=np.int64)
        return np.concatenate((new, self._chosen(day, sizes, counts)))

    def _chosen(self, day: int, sizes: Ints, counts: Ints) -> Ints:
        """``counts[c]`` different people of each earlier day, the more active ones more often.

        Activity falls with a person's place among those of the same first day, as a Pareto law
        has it: the first x of them account for x ** (1 - 1 / activity) of all returns. One draw
        in each of ``counts[c]`` equal slices of that sum gives places in rising order, and as the
        slices get wider, never too few people are left for the rest.
        """
        cohort = np.repeat(np.arange(len(counts)), counts)
        turn = np.arange(len(cohort)) - np.repeat(np.cumsum(counts) - counts, counts)
        size, count = sizes[cohort], counts[cohort]
        slices = (turn + self.dice.uniform("return", cohort << 40 | day << 24 | turn)) / count
        place = (size * slices ** (1 / (1 - 1 / self.parameters.activity))).astype(np.int64)
        # Where two draws fall on one person, the later one moves on to the next.
        apart = cohort * (self.people + 1)
        place = np.maximum.accumulate(place - turn + apart) - apart + turn
        place = np.minimum(place, size - count + turn)  # a draw may be rounded up to the end
        chosen: Ints = self.starts[cohort] + place
        return chosen

    def identity(self, person: Ints) -> Ints:
        """ANONYMOUS, PROMPT, LATER or GUEST."""
        wishes = self.parameters
        known = self.dice.chance("login", person, wishes.logins)
        later = self.dice.chance("late login", person, wishes.late_logins)
        kind = np.where(known, np.where(later, LATER, PROMPT), ANONYMOUS)
        asks, host = self._host(person)
        return np.where(asks & self._is_host(host), GUEST, kind)

    def owner(self, person: Ints, identity: Ints) -> Ints:
        """Whose device each person uses."""
        return np.where(identity == GUEST, self._host(person)[1], person)

    def _host(self, person: Ints) -> tuple[Flags, Ints]:
        """Who would like to use somebody else's device, and whose: of an earlier first day."""
        earlier = self.starts[self.first_day(person)]
        asks = self.dice.chance("guest", person, self.parameters.shared_devices) & (earlier > 0)
        return asks, self.dice.below("host", person, earlier)

    def _is_host(self, person: Ints) -> Flags:
        """Logs in on the first day, and uses a device of their own."""
        wishes = self.parameters
        return (
            self.dice.chance("login", person, wishes.logins)
            & ~self.dice.chance("late login", person, wishes.late_logins)
            & ~self.dice.chance("guest", person, wishes.shared_devices)
        )

    def login_delay(self, person: Ints) -> Ints:
        """After how many days people of the kind LATER are logged in."""
        return 1 + self.dice.below("login delay", person, 21)

    def funnel_depth(self, person: Ints) -> Ints:
        """How many steps of the funnel each person does; -1: only the second, as a stray."""
        # A walk over all people in a scrambled order, in which the first so many are taken.
        place = (person * self._stride + self._offset) % self.people
        quotas = np.array(self.funnel_quotas(), dtype=np.int64)
        depth = (place[:, None] < quotas).sum(axis=1)
        strays = round(self.people * self.parameters.stray_steps)
        return np.where((depth == 0) & (place >= self.people - strays), -1, depth)

    def funnel_quotas(self) -> list[int]:
        """How many people do at least step 1, 2, ..."""
        return [round(float(q)) for q in self.people * np.cumprod(self.parameters.funnel)]


def returning(sizes: Ints, parameters: Parameters, day: int) -> Ints:
    """How many people of each earlier first day (of ``sizes`` people) return on ``day``."""
    rates = np.zeros(day)
    known = np.array(parameters.return_rates[:day])
    rates[: len(known)] = known
    return np.rint(sizes * rates[::-1]).astype(np.int64)


def _midnights(parameters: Parameters) -> Ints:
    zone = parameters.zone
    days = (parameters.start + timedelta(days=n) for n in range(parameters.days + 1))
    instants = [datetime.combine(day, time(), zone).timestamp() for day in days]
    return np.array([round(instant * 1000) for instant in instants], dtype=np.int64)


def _shares_of(people: int, parameters: Parameters) -> Ints:
    """The people divided over the days by growth and weekday, as cumulative numbers from 0."""
    days = np.arange(parameters.days)
    weekdays = np.array(_WEEKDAYS)[(parameters.start.weekday() + days) % 7]
    weights = weekdays * np.interp(days, [0, max(1, parameters.days - 1)], [1, parameters.growth])
    edges = np.concatenate(([0.0], np.cumsum(weights)))
    starts: Ints = np.rint(people * edges / edges[-1]).astype(np.int64)
    return starts


def _stride(people: int) -> int:
    """A number near the golden section of ``people``, without a common divisor."""
    stride = max(1, int(people * 0.6180339887))
    while math.gcd(stride, people) != 1:
        stride += 1
    return stride


def hours_of_day(chance: Floats) -> Floats:
    """Where in a day, from 0 to 1, visits begin: few at night, most in the evening."""
    weights = np.array(
        [3, 2, 1, 1, 1, 2, 4, 6, 8, 9, 10, 10, 10, 10, 10, 10, 10, 11, 12, 14, 15, 14, 10, 6],
        dtype=np.float64,
    )
    steps = np.concatenate(([0.0], np.cumsum(weights)))
    moments: Floats = np.interp(chance * steps[-1], steps, np.arange(25) / 24)
    return moments
