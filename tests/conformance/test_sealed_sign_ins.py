"""What `SealedSignIns` promises beyond `RecheckStore`, of every store of our own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from conformance.samples import (
    ADA,
    ED,
    LATER,
    NOW,
    at_once,
    counted,
    from_entra,
    identity,
    log_length,
    session,
    user_id,
)
from conformance.stores import Stores
from entrada.accounts.admission import Newcomer
from entrada.accounts.groups import UNKNOWN, Membership
from entrada.accounts.identity import UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.sessions.revocation import RevocationKind

NEXT = LATER + timedelta(minutes=15)


def signed_in(
    stores: Stores, number: int = 1, *, sealed: str | None = "sealed", opens: bool = True
) -> UserId:
    """Somebody with an account, something kept, and a session."""
    who, user = identity(number), user_id(number)
    stores.accounts.create(
        user_id=user, identity=who, profile=ADA, entra_grants=[from_entra("Editor")], now=NOW
    )
    stores.sealed_sign_ins.remember(who, user_id=user, sealed_sign_in=sealed, now=NOW, next_check_at=NOW)
    if opens:
        stores.sessions.open(session(user, identity=who))
    return user


def claim(stores: Stores) -> SealedSignIn | None:
    return stores.sealed_sign_ins.claim_due(now=LATER, next_check_at=NEXT)


def renew(  # type: ignore[no-untyped-def]
    stores: Stores, link: SealedSignIn, *roles: str, profile=ADA, membership=UNKNOWN
) -> None:
    stores.sealed_sign_ins.renew(
        link,
        newcomer=Newcomer(
            identity=link.identity, profile=profile, home_tenant=None, grants=(), membership=membership
        ),
        entra_grants=[from_entra(role) for role in roles],
        sealed_sign_in="sealed anew",
        next_check_at=NEXT,
    )


def test_k12_end_access_ends_every_session_of_the_user(stores: Stores) -> None:
    """All of theirs and nobody else's, with one entry in the log by which every process learns of it."""
    user, other = signed_in(stores), signed_in(stores, 2)
    second = session(user)
    stores.sessions.open(second)
    since = stores.sessions.revocations(None).position
    link = claim(stores)
    assert link is not None
    assert stores.sealed_sign_ins.end_access(link, because="AADSTS50057", now=LATER)
    assert stores.sessions.find(second.id) is None
    learnt = stores.sessions.revocations(since)
    assert [(entry.kind, entry.subject) for entry in learnt.entries] == [(RevocationKind.USER, link.user_id)]
    assert stores.sessions.end_of_user(other if link.user_id == user else user) >= 1
    (kept,) = stores.sealed_sign_ins.of_user(link.user_id)
    assert (kept.ended_at, kept.ended_because, kept.sealed_sign_in) == (LATER, "AADSTS50057", None)


def test_k12_the_next_sign_in_is_a_new_beginning(stores: Stores) -> None:
    """What was kept and ended makes room for what the sign-in brings."""
    user = signed_in(stores)
    link = claim(stores)
    assert link is not None
    stores.sealed_sign_ins.end_access(link, because="AADSTS50057", now=LATER)
    stores.sealed_sign_ins.remember(
        identity(), user_id=user, sealed_sign_in="newer", now=LATER, next_check_at=NEXT
    )
    (kept,) = stores.sealed_sign_ins.of_user(user)
    assert (kept.sealed_sign_in, kept.ended_at, kept.last_sign_in_at) == ("newer", None, LATER)


def test_k12_tokens_of_before_an_ending_are_over_for_good(stores: Stores) -> None:
    """Let in again, a person brings no access token of before along: the moment outlives the next sign-in."""
    user = signed_in(stores)
    link = claim(stores)
    assert link is not None
    assert link.tokens_from is None
    stores.sealed_sign_ins.end_access(link, because="AADSTS50057", now=LATER)
    for _ in range(2):
        (kept,) = stores.another().sealed_sign_ins.of_user(user)
        assert kept.tokens_from == LATER
        stores.sealed_sign_ins.remember(
            identity(), user_id=user, sealed_sign_in="newer", now=NEXT, next_check_at=NEXT
        )
    forgotten = stores.sealed_sign_ins.claim_due(now=NEXT, next_check_at=NEXT + timedelta(minutes=15))
    assert forgotten is None  # signed out: nobody asks any more
    (kept,) = stores.sealed_sign_ins.of_user(user)
    assert (kept.tokens_from, kept.sealed_sign_in, kept.next_check_at) == (LATER, None, None)


@pytest.mark.parametrize("was_kept", [True, False])
def test_k12_tokens_of_before_a_disabling_by_hand_are_over_for_good(stores: Stores, was_kept: bool) -> None:
    """Also of somebody of whom nothing was stored; nothing is left to ask Entra, and Entra ended nothing."""
    if was_kept:
        user = signed_in(stores)
    else:
        user = user_id(1)
        stores.accounts.create(user_id=user, identity=identity(), profile=ADA, entra_grants=[], now=NOW)
    stores.accounts.set_disabled(user, disabled=True, now=LATER)
    (kept,) = stores.another().sealed_sign_ins.of_user(user)
    assert (kept.tokens_from, kept.ended_at, kept.sealed_sign_in) == (LATER, None, None)
    assert claim(stores) is None
    stores.accounts.set_disabled(user, disabled=False, now=NEXT)
    stores.sealed_sign_ins.remember(
        identity(), user_id=user, sealed_sign_in="newer", now=NEXT, next_check_at=NEXT
    )
    (kept,) = stores.sealed_sign_ins.of_user(user)
    assert (kept.tokens_from, kept.sealed_sign_in) == (LATER, "newer")


def test_a_claim_of_an_older_sign_in_ends_no_newer_session(stores: Stores) -> None:
    """Signed in again between claim and ending: nothing ends."""
    user = signed_in(stores)
    link = claim(stores)
    assert link is not None
    stores.sealed_sign_ins.remember(
        identity(), user_id=user, sealed_sign_in="newer", now=LATER, next_check_at=NEXT
    )
    newer = session(user)
    stores.sessions.open(newer)
    assert not stores.sealed_sign_ins.end_access(link, because="AADSTS50057", now=LATER)
    assert stores.sessions.find(newer.id) == newer


def test_whoever_has_no_session_is_not_asked_about(stores: Stores) -> None:
    """And what was kept of them is forgotten: no token of theirs lies about."""
    user = signed_in(stores, opens=False)
    assert claim(stores) is None
    assert stores.sealed_sign_ins.of_user(user) == []


@pytest.mark.parametrize("at_most", [0, 3, 5_000])
def test_nobody_waits_for_those_who_have_no_session(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, at_most: int
) -> None:
    """One who has a session is found in the first call behind however many have none; those are forgotten a
    bounded number in a call, and all of them in the end. Nothing is forgotten of whoever has one."""
    monkeypatch.setattr("entrada.storage.sql.sealed_sign_ins.FORGOTTEN_AT_MOST", at_most)
    gone = [signed_in(stores, number, opens=False) for number in range(2, 9)]
    here = [signed_in(stores, number) for number in (1, 9)]
    claimed = [claim(stores), claim(stores)]
    assert {each.user_id for each in claimed if each is not None} == set(here)
    monkeypatch.undo()
    assert claim(stores) is None
    assert all(stores.sealed_sign_ins.of_user(user) == [] for user in gone)
    assert all(len(stores.sealed_sign_ins.of_user(user)) == 1 for user in here)


def test_a_session_past_its_limits_is_none(stores: Stores) -> None:
    """It opens nothing, pruned or not, so nobody is asked."""
    user = signed_in(stores, opens=False)
    stores.sessions.open(session(user, idle_expires_at=LATER))
    assert claim(stores) is None


def test_nothing_kept_is_never_due(stores: Stores) -> None:
    """Entra gave no refresh token: there is nothing to ask with."""
    signed_in(stores, sealed=None)
    assert claim(stores) is None


def test_keeping_for_nobody_is_an_error(stores: Stores) -> None:
    """LookupError: no such user."""
    with pytest.raises(LookupError):
        stores.sealed_sign_ins.remember(
            identity(), user_id=user_id(7), sealed_sign_in="x", now=NOW, next_check_at=NOW
        )


def test_new_roles_are_told_to_live_sessions(stores: Stores) -> None:
    """An entry about changed rights, where they changed; what was given by hand stays."""
    user = signed_in(stores)
    stores.accounts.grant_role(user, role="Admin", granted_by="root", now=NOW)
    since = stores.sessions.revocations(None).position
    link = claim(stores)
    assert link is not None
    renew(stores, link, "Viewer")
    found = stores.accounts.get(user)
    assert found is not None
    assert found.roles == {"Admin", "Viewer"}
    assert found.identities[0].last_sign_in_at == NOW
    entries = stores.sessions.revocations(since).entries
    assert [(entry.kind, entry.subject) for entry in entries] == [(RevocationKind.RIGHTS, user)]


def test_an_unchanged_person_costs_nobody_a_reading(stores: Stores) -> None:
    """The log does not grow: a re-check of everybody makes no process read anything."""
    signed_in(stores)
    before = log_length(stores.sessions)
    link = claim(stores)
    assert link is not None
    renew(stores, link, "Editor")
    assert log_length(stores.sessions) == before


def test_of_two_identities_the_last_to_sign_in_decides(stores: Stores) -> None:
    """The other's look changes neither roles nor name: they would take turns."""
    user = signed_in(stores)
    stores.accounts.link(user_id=user, identity=identity(2), now=NOW)
    stores.accounts.record_sign_in(
        user_id=user, identity=identity(2), profile=ADA, entra_grants=[from_entra("Viewer")], now=LATER
    )
    link = claim(stores)
    assert link is not None
    assert link.identity == identity()
    renew(stores, link, "Editor", profile=ED)
    found = stores.accounts.get(user)
    assert found is not None
    assert (found.roles, found.profile) == ({"Viewer"}, ADA)


def test_a_look_renews_the_groups_of_its_identity_alone(stores: Stores) -> None:
    """Also where another identity of the same user signed in last; live sessions learn of a change."""
    user = signed_in(stores)
    stores.accounts.link(user_id=user, identity=identity(2), now=NOW)
    others = Membership(held=frozenset({"b"}), asked=frozenset({"a", "b"}))
    stores.accounts.record_sign_in(
        user_id=user, identity=identity(2), profile=ADA, entra_grants=[from_entra("Editor")], now=LATER
    )
    stores.accounts.record_groups(user_id=user, identity=identity(2), membership=others)
    since = stores.sessions.revocations(None).position
    link = claim(stores)
    assert link is not None
    renewed = Membership(held=frozenset({"a"}), asked=frozenset({"a", "b"}))
    renew(stores, link, "Editor", membership=renewed)
    found = stores.accounts.get(user)
    assert found is not None
    assert found.membership_of(identity()) == renewed
    assert found.membership_of(identity(2)) == others
    entries = stores.sessions.revocations(since).entries
    assert [(entry.kind, entry.subject) for entry in entries] == [(RevocationKind.RIGHTS, user)]


def test_many_servers_share_the_people(stores: Stores) -> None:
    """Whoever is due is claimed by exactly one of all who ask at the same time."""
    for number in range(1, 9):
        signed_in(stores, number)
    servers = [stores, stores.another()]
    claimed = at_once(16, lambda caller: claim(servers[caller % 2]))
    assert counted(claimed) == {"SealedSignIn": 8, "NoneType": 8}
    assert len({link.identity for link in claimed if isinstance(link, SealedSignIn)}) == 8
