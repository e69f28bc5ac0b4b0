"""K21: failures are counted for each peer and for all; who succeeds spends nothing."""

from __future__ import annotations

import pytest

from entrada.errors import TooManyRequests
from entrada.web.budgets import Allowance, FailureBudget
from entrada.web.peers import UNKNOWN_PEER, peer_of


def budget() -> FailureBudget:
    return FailureBudget(
        per_peer=Allowance(burst=10, per_second=1), overall=Allowance(burst=40, per_second=2)
    )


def spend(one: FailureBudget, peer: str, times: int, now: float = 0.0) -> int:
    """How many of so many failing attempts were let through."""
    through = 0
    for _ in range(times):
        try:
            one.take(peer, now=now)
        except TooManyRequests:
            continue
        through += 1
    return through


def test_K21_a_peer_gets_its_burst_and_then_its_pace() -> None:
    """Ten at once, then one a second, and the refusal says how long to wait."""
    one = budget()
    assert spend(one, "192.0.2.1", 100) == 10
    with pytest.raises(TooManyRequests) as refused:
        one.take("192.0.2.1", now=0.0)
    assert refused.value.retry_after_seconds == 1
    assert spend(one, "192.0.2.1", 100, now=3.0) == 3


def test_K21_another_peer_is_not_locked_out() -> None:
    """One stranger's failures are that stranger's."""
    one = budget()
    spend(one, "192.0.2.1", 1000)
    assert spend(one, "192.0.2.2", 1) == 1


def test_K21_when_everybody_fails_only_they_wait() -> None:
    """Many strangers spend the budget of all; who has not failed lately gets in all the same."""
    one = budget()
    assert sum(spend(one, f"192.0.2.{number}", 100) for number in range(100)) < 40 + 100 * 6
    assert spend(one, "192.0.2.1", 100, now=0.4) == 0
    assert spend(one, "198.51.100.7", 1, now=0.4) == 1


def test_K21_success_spends_nothing() -> None:
    """A thousand people behind one address sign in one after the other."""
    one = budget()
    for _ in range(1000):
        one.take("192.0.2.1", now=0.0)
        one.give_back("192.0.2.1", now=0.0)
    assert spend(one, "192.0.2.1", 100) == 10


def test_K21_the_first_refusal_alone_is_news() -> None:
    """So that the log has one line, and again one after the peer was let in."""
    one = budget()
    spend(one, "192.0.2.1", 10)
    news = []
    for now in (0.0, 0.1, 0.2, 1.5, 1.6, 1.7):
        try:
            one.take("192.0.2.1", now=now)
        except TooManyRequests as refused:
            news.append(refused.is_news)
    assert news == [True, False, False, True, False]


def test_K21_strangers_do_not_fill_the_memory() -> None:
    """However many peers come by, so many are remembered and no more."""
    one = budget()
    for number in range(30_000):
        spend(one, f"peer {number}", 1)
    assert len(one._peers) <= 10_000


def test_K21_who_is_seen_often_is_not_forgotten_for_strangers() -> None:
    """A peer that waits goes on waiting, however many strangers come by in between."""
    one = budget()
    spend(one, "192.0.2.1", 10)
    for number in range(30_000):
        spend(one, f"peer {number}", 1)
        if number % 5_000 == 0:
            assert spend(one, "192.0.2.1", 1) == 0


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, UNKNOWN_PEER),
        ("", UNKNOWN_PEER),
        ("testclient", UNKNOWN_PEER),
        ("203.0.113.9:50412", "203.0.113.9"),
        ("[2001:db8::1]:50412", "2001:db8::/64"),
        ("[2001:db8::1", UNKNOWN_PEER),
        ("203.0.113.9:http", UNKNOWN_PEER),
    ],
)
def test_K21_a_network_of_ipv6_is_one_peer(address: str | None, peer: str) -> None:
    """Whoever has one address of a /64 has all of them."""
    assert peer_of(address) == peer
