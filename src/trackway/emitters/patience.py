"""Clients of a broker, one for each length of patience."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

Client = TypeVar("Client")

#: Less than this is no time in which anything could be done over a network (seconds).
_SHORTEST = 0.05


class Patience(Generic[Client]):
    """Makes clients that wait for at most so many seconds, and keeps them.

    Libraries fix the time-outs of a client when it connects, while a sender hears at each call
    how long it may take: at the end of the process, seldom the usual time. So there is one client
    for ``longest`` seconds and, when it is needed, one for the half of that, and so on.

    ``make(seconds)`` gives a client, ``end(client)`` closes it.
    """

    def __init__(
        self, make: Callable[[float], Client], end: Callable[[Client], object], longest: float
    ) -> None:
        self.make = make
        self.end = end
        self.longest = longest
        self._clients: dict[float, Client] = {}
        self._process = os.getpid()

    def within(self, seconds: float | None) -> Client:
        """A client that waits for no longer than this (None: ``longest``)."""
        patience = self.longest
        while seconds is not None and patience > max(seconds, _SHORTEST):
            patience /= 2
        client = self._clients.get(patience)
        if client is None:
            client = self._clients[patience] = self.make(patience)
        return client

    def close(self) -> None:
        """Let go of the clients; in a forked child without a word to the broker, because the
        connections are those of the parent."""
        clients, self._clients = self._clients, {}
        inherited, self._process = self._process != os.getpid(), os.getpid()
        for client in clients.values() if not inherited else ():
            try:
                self.end(client)
            except Exception:  # a connection that is broken already has nothing to close
                continue
