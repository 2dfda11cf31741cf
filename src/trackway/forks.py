"""Noticing that the process has been forked, whoever forked it, without a system call."""

from __future__ import annotations

import mmap
import os
from typing import Protocol

#: Linux 4.14: a forked child finds the page filled with zeros. Python has no name for it before
#: 3.13; the number is that of every architecture that CPython is built for on Linux.
_WIPE_ON_FORK = 18


class Witness(Protocol):
    """``witness[0]`` is true in the process that called ``witness()``, false in its children."""

    def __getitem__(self, index: int, /) -> int: ...


class _Pid:
    """The witness where the kernel offers no better: a system call each time."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, index: int) -> int:
        return os.getpid() == self._pid


def witness() -> Witness:
    """A witness of this process.

    ``os.register_at_fork`` misses forks that are made in C (uWSGI does that), and asking for the
    process id at each event costs more than anything else that putting it into a queue does.
    """
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (AttributeError, OSError, ValueError):  # not Linux, or older than that
        return _Pid()
    page[0] = 1
    return page
