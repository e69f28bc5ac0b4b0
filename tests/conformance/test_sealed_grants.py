"""What `SealedGrants` promises: one for each session, gone with it, refreshed by one alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from conformance.samples import NOW, at_once, session, user_id
from conformance.stores import Stores
from entrada.sessions.sealed_grants import SealedGrant
from entrada.sessions.session import SessionId

UNTIL = NOW + timedelta(seconds=30)


def with_grant(stores: Stores, sealed: str = "sealed") -> SessionId:
    opened = session(user_id(1))
    stores.sessions.open(opened)
    assert stores.sealed_grants.put(opened.id, sealed)
    return opened.id


def found(stores: Stores, session_id: SessionId) -> SealedGrant:
    grant = stores.sealed_grants.find(session_id)
    assert grant is not None
    return grant


def hold(stores: Stores, grant: SealedGrant, holder: str, *, after: float = 0) -> bool:
    now = NOW + timedelta(seconds=after)
    return stores.sealed_grants.hold(grant, holder=holder, now=now, until=now + (UNTIL - NOW))


def test_what_was_put_is_found_and_the_newest_counts(stores: Stores) -> None:
    """By session; one that has none, and one that there is not, have none."""
    session_id = with_grant(stores)
    assert found(stores, session_id).sealed == "sealed"
    assert stores.sealed_grants.put(session_id, "newer")
    assert found(stores.another(), session_id).sealed == "newer"
    assert stores.sealed_grants.find(SessionId("x" * 22)) is None
    assert not stores.sealed_grants.put(SessionId("x" * 22), "sealed")


ENDINGS: list[Callable[[Stores, SessionId], object]] = [
    lambda stores, session_id: stores.sessions.end(session_id),
    lambda stores, _: stores.sessions.end_of_user(user_id(1)),
    lambda stores, _: stores.sessions.end_all(),
    lambda stores, _: stores.sessions.prune(now=NOW + timedelta(days=400)),
    lambda stores, session_id: stores.sessions.open(session(user_id(1)), replaces=session_id),
]


@pytest.mark.parametrize("end", ENDINGS)
def test_it_is_gone_with_its_session_and_nothing_is_stored_for_one_that_ended(
    stores: Stores, end: Callable[[Stores, SessionId], object]
) -> None:
    """Whatever ends the session, whoever holds the grant at that moment."""
    session_id = with_grant(stores)
    grant = found(stores, session_id)
    assert hold(stores, grant, "a")
    end(stores, session_id)
    assert stores.sealed_grants.find(session_id) is None
    assert not stores.sealed_grants.renew(session_id, holder="a", sealed="late")
    assert not stores.sealed_grants.put(session_id, "late")
    assert not hold(stores, grant, "b", after=60)
    assert stores.another().sealed_grants.find(session_id) is None


def test_a_clock_that_was_set_back_keeps_nobody_out_for_long(stores: Stores) -> None:
    """Held until a moment that lies further ahead than anybody holds: the next may, at once."""
    grant = found(stores, with_grant(stores))
    assert hold(stores, grant, "a", after=3_600)
    assert hold(stores, grant, "b")


def test_one_holds_it_until_the_time_is_over(stores: Stores) -> None:
    """Then the next may; whoever held it before stores nothing any more."""
    session_id = with_grant(stores)
    grant = found(stores, session_id)
    assert hold(stores, grant, "a")
    assert not hold(stores, grant, "b", after=29)
    assert found(stores, session_id).held_until == UNTIL
    assert hold(stores, grant, "b", after=30)
    assert not stores.sealed_grants.renew(session_id, holder="a", sealed="a's")
    assert stores.sealed_grants.renew(session_id, holder="b", sealed="b's")
    assert found(stores, session_id) == SealedGrant(session_id=session_id, sealed="b's")
    assert not stores.sealed_grants.renew(session_id, holder="b", sealed="twice")


def test_who_found_an_older_one_does_not_hold_the_newer(stores: Stores) -> None:
    """Somebody else refreshed it meanwhile: there is nothing to refresh any more."""
    session_id = with_grant(stores)
    old = found(stores, session_id)
    assert hold(stores, old, "a")
    assert stores.sealed_grants.renew(session_id, holder="a", sealed="newer")
    assert not hold(stores, old, "b")
    assert hold(stores, found(stores, session_id), "b")


def test_it_is_let_go_as_it_was(stores: Stores) -> None:
    """By who holds it; anybody else's letting go changes nothing."""
    session_id = with_grant(stores)
    assert hold(stores, found(stores, session_id), "a")
    stores.sealed_grants.let_go(session_id, holder="b")
    assert not hold(stores, found(stores, session_id), "b")
    stores.sealed_grants.let_go(session_id, holder="a")
    assert found(stores, session_id) == SealedGrant(session_id=session_id, sealed="sealed")
    assert hold(stores, found(stores, session_id), "b")


def test_of_many_at_once_one_holds_it(stores: Stores) -> None:
    """Whoever comes, and from wherever: one."""
    session_id = with_grant(stores)
    grant = found(stores, session_id)
    processes = [stores.another() for _ in range(8)]
    won = at_once(8, lambda number: hold(processes[number], grant, str(number)))
    assert won.count(True) == 1, won
