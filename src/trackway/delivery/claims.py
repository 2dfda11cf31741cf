"""The lanes of a shared spool: whom they are for, and which of them this process holds."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit
from zlib import crc32

#: A lane's name says which collector its events are for, and is unique for ever, whatever folder
#: it lies in and however that is spelled.
_LANE = re.compile(r"lane-[0-9a-f]{8}-[0-9a-f]{16}")

#: Who holds which lane in this process. A POSIX lock does not keep its own process out, and ends
#: when the process closes any descriptor of the file: nobody here may even try a lane that is
#: held. There is no lock around this, because a forked child would inherit it: each use is one
#: operation of the dictionary.
_held: dict[str, tuple[object]] = {}


def prefix(collector: str) -> str:
    """How the names of lanes for one collector begin: events never go to another one.

    The scheme does not count, so that a change from http to https finds what was left.
    """
    parts = urlsplit(collector)
    place = parts.netloc.lower().removesuffix(":443" if parts.scheme == "https" else ":80")
    return f"lane-{crc32((place + parts.path.rstrip('/')).encode()):08x}-"


def lanes(folder: Path) -> list[Path]:
    """The lanes in a folder, whatever they are for and whoever holds them. Raises OSError."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - only names are needed
    except FileNotFoundError:
        return []
    return [folder / name for name in names if _LANE.fullmatch(name)]


def size_of(lane: Path) -> int:
    """Bytes on disk in a lane, as far as they can be seen."""
    try:
        with os.scandir(lane) as files:
            return sum(file.stat().st_size for file in files)
    except OSError:
        return 0


def new_lane(folder: Path, collector: str, holder: object) -> Path:
    """The folder of a new lane, which does not exist yet and is held already."""
    name = prefix(collector) + secrets.token_hex(8)
    _held[name] = (holder,)
    return folder / name


def claim(lane: Path, holder: object) -> bool:
    """Hold a lane, if nothing in this process does."""
    mine = (holder,)
    return _held.setdefault(lane.name, mine) is mine


def holder_of(lane: Path) -> object:
    """Who holds a lane in this process; None if nobody does."""
    return _held.get(lane.name, (None,))[0]


def release(lane: Path) -> None:
    """Let go of a lane."""
    _held.pop(lane.name, None)


def forget(holder: object) -> None:
    """Let go of everything that a holder has, in a forked child where it has nothing."""
    for name, (who,) in list(_held.items()):
        if who is holder:
            _held.pop(name, None)
