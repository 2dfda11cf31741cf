"""Which version of the old tracker is meant where its versions contradict each other."""

from __future__ import annotations

from typing import Literal

from trackway.errors import SettingError

Compatibility = Literal["0.4", "0.7", "1.1"]

VERSIONS: tuple[Compatibility, ...] = ("0.4", "0.7", "1.1")

_process_wide: Compatibility = "0.7"


def set_compatibility(version: Compatibility) -> None:
    """Choose the meanings of ``"0.4"``, ``"0.7"`` (the default) or ``"1.1"`` for this process.

    Holds for trackers, subjects and emitters made from now on without ``compatibility=`` of
    their own. Raises SettingError for anything else.
    """
    global _process_wide
    _process_wide = chosen(version)


def chosen(version: str | None = None) -> Compatibility:
    """The version as given, or the one that holds for the process."""
    if version is None:
        return _process_wide
    for known in VERSIONS:
        if version == known:
            return known
    raise SettingError(f"compatibility is {version!r}; expected one of {', '.join(VERSIONS)}")
