"""Who sent a request, as far as budgets are concerned: one name for each network neighbour.

An IPv4 address is a peer; of IPv6 the /64 is, because whoever has one address there has all of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

UNKNOWN_PEER = ""
"""A unix socket, or a server that does not say."""

_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{0,5})?")


@lru_cache(4096)
def peer_of(address: str | None) -> str:
    """The peer at this address. Never raises: what is no address is the unknown peer."""
    parsed = address_in(address or "")
    return UNKNOWN_PEER if parsed is None else str(_network(parsed))


def address_in(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a server or a proxy has written, without the zone and the port; None: it is none.

    Some proxies put the client's port behind it: 203.0.113.9:50412, [2001:db8::1]:50412.
    """
    text = text.strip()
    match = _WITH_PORT.fullmatch(text)
    alone = text if match is None else match[1] or match[2] or ""
    try:
        return ip_address(alone.partition("%")[0])
    except ValueError:
        return None


def _network(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Network:
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Network((address, 64), strict=False)
