"""Addresses of clients: which one is the client's, and as much of it as may be stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from trackway.errors import SettingError
from trackway.event import Event


@lru_cache(maxsize=20_000)
def anonymize(address: str) -> str | None:
    """Cut an address to its network: /24 of IPv4, /48 of IPv6. None for what is no address.

    Within these networks sit up to 256 hosts, or one customer's whole site: enough for a country,
    too little for a person.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    parsed = mapped or parsed
    bits = 24 if parsed.version == 4 else 48
    return str(ip_network(f"{parsed}/{bits}", strict=False).network_address)


def network_facts(event: Event) -> Mapping[str, Any]:
    """For the enrichment step: of the address only its network."""
    return {} if event.ip is None else {"ip": anonymize(event.ip)}


class Proxies:
    """The proxies whose X-Forwarded-For is believed: addresses and networks, or ``*`` for all."""

    def __init__(self, trusted: str) -> None:
        self._all = trusted.strip() == "*"
        parts = [] if self._all else [part.strip() for part in trusted.split(",") if part.strip()]
        try:
            self._networks = [ip_network(part, strict=False) for part in parts]
        except ValueError as error:
            raise SettingError(f"trusted_proxies: {error}") from None
        self._trusts = lru_cache(maxsize=1024)(self._is_trusted)

    def client(self, peer: str | None, forwarded: str | None) -> str | None:
        """The client's address: read from the right, the first that is no proxy of ours.

        What stands further left was written by somebody we do not know and can be forged.
        """
        if not forwarded or peer is None or not self._trusts(peer):
            return peer
        hops = [_without_port(hop.strip()) for hop in forwarded.split(",") if hop.strip()]
        if self._all:
            return hops[0] if hops else peer
        for hop in reversed(hops):
            if not self._trusts(hop):
                return hop
        return hops[0] if hops else peer

    def _is_trusted(self, address: str) -> bool:
        if self._all:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _without_port(hop: str) -> str:
    """Some proxies write ``192.0.2.1:5678`` or ``[2001:db8::1]:5678``."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
