"""Event ids: random UUIDs (version 4), made fast and never twice, also over forked processes."""

from __future__ import annotations

from collections import deque
from os import urandom

from trackway.forks import witness

#: How many ids are drawn from the kernel at once.
_AT_ONCE = 64

#: Random digits for the next ids. A deque, because taking from it is atomic under threads.
_digits: deque[str] = deque()
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
        h = _digits.pop()
    except IndexError:
        drawn = urandom(16 * _AT_ONCE).hex()
        _digits.extend(drawn[at : at + 32] for at in range(32, len(drawn), 32))
        h = drawn[:32]
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def _start_afresh() -> None:
    global _same_process
    _digits.clear()
    _same_process = witness()
