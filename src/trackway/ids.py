"""Event ids: random UUIDs (version 4), made fast and never twice, also over forked processes."""

from __future__ import annotations

from collections import deque
from os import urandom

from trackway.forks import witness

#: How many ids are drawn from the kernel at once.
_AT_ONCE = 64
#: The characters of a UUID whose digits are random; the others are the hyphens, the version digit
#: 4 and the variant digit.
_LENGTH = 36
_FIXED = {8: b"-", 13: b"-", 14: b"4", 18: b"-", 19: b"a", 23: b"-"}
_RANDOM = [at for at in range(_LENGTH) if at not in _FIXED]

#: The next ids. A deque, because taking from it is atomic under threads.
_ids: deque[str] = deque()
_same_process = witness()


def new_id() -> str:
    """A new random UUID as lower-case text (RFC 9562, version 4).

    The randomness is the kernel's; what is in store is thrown away in a forked child, which would
    otherwise repeat its parent's ids. The variant digit is always ``a`` (it may be 8, 9, a or b),
    so 120 bits are random.
    """
    if not _same_process[0]:
        _start_afresh()
    try:
        return _ids.pop()
    except IndexError:
        first, *others = _draw()
        _ids.extend(others)
        return first


def _draw() -> list[str]:
    """Many ids at once: column by column over all of them, which costs a fifth of one by one."""
    digits = urandom(_AT_ONCE * len(_RANDOM) // 2).hex().encode()
    text = bytearray(_AT_ONCE * _LENGTH)
    for at, character in _FIXED.items():
        text[at::_LENGTH] = character * _AT_ONCE
    for column, at in enumerate(_RANDOM):
        text[at::_LENGTH] = digits[column * _AT_ONCE : (column + 1) * _AT_ONCE]
    ids = text.decode()
    return [ids[at : at + _LENGTH] for at in range(0, len(ids), _LENGTH)]


def _start_afresh() -> None:
    global _same_process
    _ids.clear()
    _same_process = witness()
