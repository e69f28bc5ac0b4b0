"""Hops whose word about a request is believed. The list is empty by default, and never everything (D3).

    127.0.0.1, ::1      an address
    10.1.2.0/24         a network of at most 2**16 addresses of IPv4, or a /32 of IPv6
    unix                whoever may open our unix socket

What an unlisted hop forwards is as if it had not been sent: no path, host, method or address is taken from
it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

UNIX = "unix"

_SHORTEST_PREFIX = {4: 16, 6: 32}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class TrustedHops:
    networks: tuple[Network, ...] = ()
    unix: bool = False

    def trust(self, peer: str | None) -> bool:
        """Whether the peer of a connection is listed; None is a peer on a unix socket."""
        return self.unix if peer is None else _is_within(peer, self.networks)


def parse_trusted_hops(texts: Iterable[str]) -> TrustedHops:
    """
    Raises:
        ValueError: an entry is none, or so wide that it would believe strangers; says what to write instead.
    """
    networks: list[Network] = []
    unix = False
    for text in (text.strip() for text in texts):
        if text == UNIX:
            unix = True
            continue
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is no address or network; write 127.0.0.1, 10.1.2.0/24 or unix"
            ) from None
        if network.prefixlen < _SHORTEST_PREFIX[network.version]:
            raise ValueError(f"{text} would believe strangers; name the addresses of your proxies alone")
        networks.append(network)
    return TrustedHops(networks=tuple(networks), unix=unix)


@lru_cache(maxsize=1024)
def _is_within(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in networks)
