"""A generator of events with known truth, to check and to measure reports and collectors with."""

from trackway.errors import MissingExtra

try:
    import numpy  # noqa: F401, asked for here so that its absence has one clear message
except ImportError:
    raise MissingExtra("numpy", "workload") from None

from trackway.testing.workload.agents import AGENTS, BOTS
from trackway.testing.workload.generator import Workload
from trackway.testing.workload.parameters import PLAIN, STEPS
from trackway.testing.workload.sources import SOURCES
from trackway.testing.workload.truth import Cohort, DayCount, PageCount, Share, Step, Truth

__all__ = [
    "AGENTS",
    "BOTS",
    "PLAIN",
    "SOURCES",
    "STEPS",
    "Cohort",
    "DayCount",
    "PageCount",
    "Share",
    "Step",
    "Truth",
    "Workload",
]
