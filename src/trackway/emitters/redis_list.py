"""A Redis list that several workers empty together, without losing what one of them holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

# A Redis that is full refuses a script whose first writing command may need memory, and then the
# elements could never leave it. So all scripts begin with one that takes something away.

#: A worker takes elements and holds them in a list of its own. Its name is entered in the same
#: step, so that a list which holds something can always be found.
_TAKE = """
redis.call('SREM', KEYS[3], '')
redis.call('SADD', KEYS[3], ARGV[1])
local held = redis.call('LRANGE', KEYS[2], 0, -1)
local size = 0
for _, element in ipairs(held) do size = size + #element end
while #held < tonumber(ARGV[2]) and size < tonumber(ARGV[3]) do
  local element = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  if not element then break end
  held[#held + 1] = element
  size = size + #element
end
return held
"""

#: Elements are named by their value and not by their place, so that a command which is carried
#: out late or twice (its connection was lost) can take away only what has been settled.
_SETTLE = """
local held, aside = KEYS[1], KEYS[2]
for i = 2, #ARGV do
  if redis.call('LREM', held, 1, ARGV[i]) == 1 and aside then
    redis.call('RPUSH', aside, ARGV[i])
  end
end
if aside then redis.call('LTRIM', aside, -tonumber(ARGV[1]), -1) end
"""

#: What a worker holds goes back to the head, in order. Of another worker only if it is dead.
_GIVE_BACK = """
if ARGV[2] == 'if dead' and redis.call('EXISTS', KEYS[4]) == 1 then return -1 end
redis.call('DEL', KEYS[4])
local number = 0
while redis.call('LMOVE', KEYS[2], KEYS[1], 'RIGHT', 'LEFT') do number = number + 1 end
redis.call('SREM', KEYS[3], ARGV[1])
return number
"""

_BEAT = """
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
"""

#: The most that a worker takes at a time (bytes): it holds it in memory.
_TAKE_BYTES = 4_000_000


class Keys(NamedTuple):
    """The keys of one list and one worker; a {tag} in the list's key keeps them in one slot."""

    source: str
    held: str
    workers: str
    alive: str

    @classmethod
    def of(cls, key: str, worker: str) -> Keys:
        return cls(key, f"{key}:held:{worker}", f"{key}:workers", f"{key}:alive:{worker}")


class RedisList:
    """One worker's part in emptying a list: it takes, it settles, and it takes over from the dead.

    Elements move in one step from ``key`` to ``key:held:<worker>`` and leave that only when they
    are settled. ``key:alive:<worker>`` expires ``dead_after`` seconds after the last ``beat``; then
    any other worker gives back what is held. Whatever redis-py raises comes out.

    ``keep``: how many elements each list of what was set aside has at most; the newest stay.
    """

    def __init__(
        self, client: Any, key: str, *, dead_after: float = 30.0, keep: int = 10_000
    ) -> None:
        from socket import gethostname  # costs the start of those who have no worker

        self.client = client
        self.dead_after = dead_after
        self.keep = keep
        self.worker = f"{gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self.keys = Keys.of(key, self.worker)
        self._missing: set[str] = set()

    def take(self, count: int) -> list[bytes]:
        """Take up to ``count`` elements; what is held already comes first and counts."""
        found = self._run(_TAKE, self.keys[:3], [self.worker, count, _TAKE_BYTES])
        return [element if isinstance(element, bytes) else element.encode() for element in found]

    def wait(self, seconds: float) -> None:
        """Wait until there is an element, at most so long (longer than 0).

        Moves the first element to where it is: a blocking move to the held list might be carried
        out after we stopped listening for the answer.
        """
        self.client.blmove(self.keys.source, self.keys.source, seconds, "LEFT", "LEFT")

    def settle(self, elements: Sequence[bytes], *, aside: str = "") -> None:
        """Let go of held elements, or keep them in the list ``key:<aside>``. May be repeated."""
        if not elements:
            return
        keys = [self.keys.held]
        if aside and self.keep:
            keys.append(f"{self.keys.source}:{aside}")
        self._run(_SETTLE, keys, [self.keep, *elements])

    def beat(self) -> None:
        """Be alive for ``dead_after`` seconds from now."""
        self._run(_BEAT, [self.keys.alive], [int(self.dead_after * 1000)])

    def leave(self) -> int:
        """Give back what is held, to the head of the list and in order; how many elements."""
        return int(self._run(_GIVE_BACK, self.keys, [self.worker, ""]))

    def adopt(self) -> int:
        """Give back what dead workers hold; how many elements.

        Dead is who has shown no sign of life at two looks in a row: after an outage of Redis all
        signs have expired, and the living need a moment to renew theirs.
        """
        found = self.client.smembers(self.keys.workers)
        names = {name.decode() if isinstance(name, bytes) else name for name in found}
        others = {name: Keys.of(self.keys.source, name) for name in names - {self.worker}}
        missing = {name for name, keys in others.items() if not self.client.exists(keys.alive)}
        dead, self._missing = missing & self._missing, missing
        number = 0
        for name in dead:
            number += max(0, int(self._run(_GIVE_BACK, others[name], [name, "if dead"])))
        return number

    def forget_looks(self) -> None:
        """Redis was away: who was missing before may have been unable to show itself."""
        self._missing.clear()

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return self.client.eval(script, len(keys), *keys, *arguments)
