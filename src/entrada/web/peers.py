"""Who sent a request, as far as budgets are concerned: one name for each network neighbour.

An IPv4 address is a peer; of IPv6 the /64 is, because whoever has one address there has all of them.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

UNKNOWN_PEER = ""
"""A unix socket, or a server that does not say."""


@lru_cache(4096)
def peer_of(address: str | None) -> str:
    """The peer at this address. Never raises: what is no address is the unknown peer."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return UNKNOWN_PEER
    return str(_network(parsed))


def _network(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Network:
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Network((address, 64), strict=False)
