"""Whose request it is behind proxies: only what trusted hops say counts (K21, D3)."""

from __future__ import annotations

import pytest

from entrada.gateway.clients import client_behind
from entrada.gateway.hops import parse_trusted_hops

HOPS = parse_trusted_hops(["10.0.0.0/24"])


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([], None),
        ([b"203.0.113.9"], "203.0.113.9"),
        ([b"198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ([b"198.51.100.1, 203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ([b"198.51.100.1", b"203.0.113.9"], "203.0.113.9"),
        ([b"203.0.113.9, made-up"], None),
        ([b"[2001:db8::1]"], "2001:db8::1"),
        ([b"10.0.0.1, 10.0.0.2"], None),
        ([b"203.0.113.9:50412"], "203.0.113.9"),
        ([b"[2001:db8::1]:50412"], "2001:db8::1"),
        ([b"2001:db8::1:5041"], "2001:db8::1:5041"),
        ([b"198.51.100.1:1, 203.0.113.9:50412, 10.0.0.7:443"], "203.0.113.9"),
        ([b"198.51.100.1, 203.0.113.9:http"], None),
        ([b"198.51.100.1, 203.0.113.9:504129"], None),
        ([b"198.51.100.1, [203.0.113.9"], None),
        ([b"198.51.100.1, :50412"], None),
        ([b"198.51.100.1, []"], None),
    ],
)
def test_K21_the_client_is_the_last_hop_that_is_not_ours(lines: list[bytes], client: str | None) -> None:
    """What a client has written in front of it is never looked at."""
    scope = {"headers": [(b"x-forwarded-for", line) for line in lines]}
    assert client_behind(scope, HOPS) == client
