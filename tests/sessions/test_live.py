"""The table in memory: bounded, and steered by nobody."""

from __future__ import annotations

import pytest

from entra.tokens import NOW, OBJECT_ID, TENANT
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.principal import UserPrincipal
from entrada.entra.authority import ObjectId
from entrada.sessions import live as live_module
from entrada.sessions.live import LiveSession, LiveSessions
from entrada.sessions.session import Session, SessionId

IDENTITY = EntraIdentity(tenant_id=TENANT, object_id=ObjectId(OBJECT_ID))


def entry(number: int = 0, *, idle: float = 100.0, absolute: float = 200.0) -> LiveSession:
    user = UserId(f"{number:032x}")
    return LiveSession(
        session=Session(
            id=SessionId(f"{number:022d}"),
            secret_hash=b"",
            user_id=user,
            identity=IDENTITY,
            created_at=NOW,
            last_seen_at=NOW,
            idle_expires_at=NOW,
            absolute_expires_at=NOW,
        ),
        principal=UserPrincipal(
            user_id=user, identity=IDENTITY, name="Ada", email=None, username=None, roles=frozenset()
        ),
        idle_deadline=idle,
        absolute_deadline=absolute,
        touch_due=50.0,
    )


@pytest.mark.parametrize(
    ("idle", "absolute", "now", "stands"),
    [
        (100.0, 200.0, 99.9, True),
        (100.0, 200.0, 100.0, False),
        (300.0, 200.0, 199.9, True),
        (300.0, 200.0, 200.0, False),
    ],
)
def test_F5_a_session_stands_until_the_nearer_limit(
    idle: float, absolute: float, now: float, stands: bool
) -> None:
    """At the very moment of either limit a session is over."""
    assert entry(idle=idle, absolute=absolute).stands(now) is stands


def test_what_was_put_in_is_found_until_it_is_forgotten() -> None:
    """put, find and forget speak of the same cookie value."""
    table, kept = LiveSessions(), entry()
    table.put("a", kept)
    assert table.find("a") is kept
    assert table.find("b") is None
    table.forget("a")
    assert table.find("a") is None
    table.forget("a")


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its size the table drops what was put in longest ago."""
    monkeypatch.setattr(live_module, "MOST_LIVE_SESSIONS", 3)
    table = LiveSessions()
    for number in range(5):
        table.put(str(number), entry(number))
    assert [number for number in range(5) if table.find(str(number))] == [2, 3, 4]


def test_no_cookie_value_stands_in_the_table() -> None:
    """The table's keys are keyed hashes: memory shows no secret, and two processes have different keys."""
    one, other = LiveSessions(), LiveSessions()
    one.put("the-cookie", entry())
    other.put("the-cookie", entry())
    assert one._entries.keys() != other._entries.keys()
    assert "the-cookie" not in repr(one)
    assert all(len(key) == 16 for key in one._entries)


@pytest.mark.parametrize("value", ["", "\ud800", "\x00", "é" * 10_000])
def test_F4_odd_cookie_values_are_only_unknown(value: str) -> None:
    """No text makes the look-up raise."""
    assert LiveSessions().find(value) is None
