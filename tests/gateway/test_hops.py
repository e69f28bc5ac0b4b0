"""Trusted hops: none by default, never everything (D3)."""

from __future__ import annotations

import pytest

from entrada.gateway.hops import TrustedHops, parse_trusted_hops


def test_d3_nobody_is_trusted_by_default() -> None:
    """Not loopback, not a private network, not a unix socket."""
    for peer in ("127.0.0.1", "::1", "10.0.0.1", None):
        assert not TrustedHops().trust(peer)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("127.0.0.2", False),
        ("10.1.2.200", True),
        ("10.1.3.1", False),
        ("fd00::1", True),
        ("fd01::1", False),
        ("fe80::1%eth0", False),
        ("not an address", False),
        ("", False),
        (None, False),
    ],
)
def test_listed_hops_are_trusted_and_no_others(peer: str | None, trusted: bool) -> None:
    """An address, a network, an IPv4 address in IPv6's clothes."""
    assert parse_trusted_hops(["127.0.0.1", " 10.1.2.0/24", "fd00::/32"]).trust(peer) is trusted


def test_whoever_may_open_the_socket_is_trusted_when_listed() -> None:
    """A peer without an address came by the unix socket."""
    assert parse_trusted_hops(["unix"]).trust(None)


@pytest.mark.parametrize(
    "text", ["0.0.0.0/0", "::/0", "10.0.0.0/8", "*", "proxy", "", "10.1.2.3/24", "2001::/16"]
)
def test_d3_everything_is_no_hop(text: str) -> None:
    """A network that believes strangers, or what is no network, stops the start."""
    with pytest.raises(ValueError):
        parse_trusted_hops([text])
