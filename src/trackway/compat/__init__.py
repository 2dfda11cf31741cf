"""The modules of older libraries under their old names, on top of Trackway."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from types import ModuleType

from trackway.errors import SettingError, TrackwayError

#: Old top-level package, and the package of ours that stands in for it.
REPLACED = {
    "snowplow_tracker": "trackway.compat.snowplow_tracker",
}


def install(name: str) -> ModuleType:
    """Put our replacement of the library ``name`` into ``sys.modules`` under that name.

    From then on ``import snowplow_tracker`` and ``from snowplow_tracker.redis_worker import
    RedisWorker`` give our modules, in this process only. Installing twice changes nothing.
    Returns the replacing package. Raises SettingError for a name that we do not know, and
    TrackwayError if the library itself is installed or imported already: two versions of one
    module in one process would not know each other's classes.
    """
    if name not in REPLACED:
        known = ", ".join(sorted(REPLACED))
        raise SettingError(f"there is no replacement for {name!r}; there is one for: {known}")
    ours = importlib.import_module(REPLACED[name])
    if sys.modules.get(name) is not ours:
        _refuse_if_taken(name)
        for module in _with_submodules(ours):
            sys.modules[name + module.__name__.removeprefix(ours.__name__)] = module
    return ours


def _with_submodules(package: ModuleType) -> list[ModuleType]:
    """All of them are imported now: a second import under the old name would make a second copy."""
    inner = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [package, *(importlib.import_module(found.name) for found in inner)]


def _refuse_if_taken(name: str) -> None:
    if name in sys.modules:
        place = getattr(sys.modules[name], "__file__", None) or "an unknown place"
        raise TrackwayError(f"{name} is imported already, from {place}: call install() before")
    found = importlib.util.find_spec(name)
    if found is not None:
        place = found.origin or ", ".join(found.submodule_search_locations or ())
        raise TrackwayError(
            f"the package {name} itself is installed ({place}): uninstall it, "
            f"or import {REPLACED[name]} instead"
        )
