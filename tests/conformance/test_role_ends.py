"""Roles that are given by hand until a moment, of every implementation of the store."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from conformance.samples import ADA, CONTOSO, from_entra, identity, session, user_id
from conformance.stores import SHARED, Stores
from entrada.accounts.administration import AdministrationRules
from entrada.accounts.identity import GrantSource, User
from entrada.accounts.people import PeopleQuery
from entrada.audit.acts import Action, ActorKind
from entrada.audit.trail import AuditQuery
from entrada.compatibility import UTC
from entrada.errors import AdministrationRefused, LastAdministrator
from entrada.sessions.revocation import RevocationKind

LONG_AGO = datetime(2020, 1, 1, 12, tzinfo=UTC)
ENDED = LONG_AGO + timedelta(hours=8)
FAR = datetime(2999, 1, 1, tzinfo=UTC)
WHO = user_id(1)
RULES = AdministrationRules(roles=frozenset({"Admin"}))


def person(stores: Stores, number: int = 1, *roles: str) -> User:
    return stores.accounts.create(
        user_id=user_id(number),
        identity=identity(number, tenant_id=CONTOSO),
        profile=ADA,
        entra_grants=[from_entra(role) for role in roles],
        now=LONG_AGO,
    )


def given(stores: Stores, role: str, until: datetime | None, number: int = 1) -> User:
    user = stores.accounts.grant_role(
        user_id(number), role=role, granted_by="root", now=LONG_AGO, until=until
    )
    assert user is not None
    return user


def test_a_role_is_given_until_a_moment(stores: Stores) -> None:
    """The end is stored and given out; the same end changes nothing; another end, or none, replaces it."""
    person(stores)
    for until in (FAR, FAR + timedelta(days=1), None, FAR):
        user = given(stores, "Editor", until)
        assert [(grant.role, grant.until) for grant in user.grants] == [("Editor", until)]
        assert stores.another().accounts.get(WHO) == user
        since = stores.sessions.revocations(None).position
        assert given(stores, "Editor", until) == user
        assert stores.sessions.revocations(since).entries == ()
    told = stores.audit.newest(AuditQuery(user_id=WHO, actions=[Action.ROLE_GRANTED]), limit=1)
    assert '"until":"2999-01-01T00:00:00Z"' in told[0].details.replace(" ", "")
    revoked = stores.accounts.revoke_role(WHO, role="Editor")
    assert revoked is not None
    assert revoked.grants == ()
    assert stores.accounts.get(WHO) == revoked


def test_what_has_ended_is_given_out_by_no_method(stores: Stores) -> None:
    """Nobody gains by a server that takes nothing back: not signing in, not being looked up or listed."""
    person(stores, 1, "Reader")
    given(stores, "Editor", ENDED)
    accounts = stores.accounts
    signed_in = accounts.record_sign_in(
        user_id=WHO, identity=identity(1), profile=ADA, entra_grants=None, now=LONG_AGO
    )
    found = [
        accounts.get(WHO),
        accounts.find_by_identity(identity(1)),
        signed_in,
        *accounts.search(ADA.name),
        *accounts.find_whole(ADA.name),
        *accounts.find_people(PeopleQuery()),
        *accounts.list_users(),
    ]
    assert len(found) == 7
    assert [user and user.roles for user in found] == [{"Reader"}] * 7


def test_what_has_ended_is_taken_back_once(stores: Stores) -> None:
    """By whichever server looks: an entry in the log for what lives, and one with the cause in the trail."""
    person(stores, 1, "Reader")
    given(stores, "Editor", ENDED)
    given(stores, "Admin", FAR)
    given(stores, "Owner", None)
    stores.sessions.open(session(WHO))
    since = stores.sessions.revocations(None).position
    assert stores.accounts.end_grants(now=ENDED - timedelta(seconds=1)) == 0
    servers = [stores.another(), stores.another()]
    assert [server.accounts.end_grants(now=ENDED) for server in servers] == [1, 0]
    entries = servers[1].sessions.revocations(since).entries
    assert [(entry.kind, entry.subject) for entry in entries] == [(RevocationKind.RIGHTS, WHO)]
    user = stores.accounts.get(WHO)
    assert user is not None
    assert user.at(LONG_AGO).roles == {"Reader", "Admin", "Owner"}
    assert len(stores.sessions.list_sessions(user_id=WHO)) == 1
    [told] = stores.audit.newest(AuditQuery(user_id=WHO, actions=[Action.ROLE_REVOKED]), limit=5)
    assert (told.actor_kind, told.at) == (ActorKind.ENTRADA, ENDED)
    assert "its time was over" in told.details


def test_an_end_that_has_passed_is_refused(stores: Stores) -> None:
    """With a sentence; nothing is changed."""
    person(stores)
    for until in (LONG_AGO, LONG_AGO - timedelta(days=1)):
        with pytest.raises(AdministrationRefused, match="has passed"):
            given(stores, "Editor", until)
    user = stores.accounts.get(WHO)
    assert user is not None
    assert user.grants == ()


def test_c22_the_last_administrator_has_no_end(stores: Stores) -> None:
    """C22: the only one is given no end, and one whose role ends is no other; until then they administer."""
    accounts = stores.accounts
    for number in (1, 2):
        person(stores, number)
        given(stores, "Admin", None if number == 1 else FAR, number)
    with pytest.raises(LastAdministrator):
        accounts.grant_role(WHO, role="Admin", granted_by="x", now=LONG_AGO, until=FAR, rules=RULES)
    with pytest.raises(LastAdministrator):
        accounts.revoke_role(WHO, role="Admin", rules=RULES)
    by_two = AdministrationRules(roles=RULES.roles, by=user_id(2))
    assert accounts.grant_role(WHO, role="X", granted_by="x", now=LONG_AGO, rules=by_two) is not None
    given(stores, "Admin", None, 2)
    ending = accounts.grant_role(WHO, role="Admin", granted_by="x", now=LONG_AGO, until=FAR, rules=RULES)
    assert ending is not None
    assert ending.roles_until == FAR


def test_c22_who_administered_until_a_moment_administers_no_longer(stores: Stores) -> None:
    """C22: also before anything is taken back."""
    for number in (1, 2):
        person(stores, number)
    given(stores, "Admin", ENDED, 2)
    rules = AdministrationRules(roles=RULES.roles, by=user_id(2))
    with pytest.raises(AdministrationRefused):
        stores.accounts.grant_role(WHO, role="X", granted_by="x", now=LONG_AGO, rules=rules)


def test_c22_whose_access_entra_has_ended_is_no_other_administrator(stores: Stores) -> None:
    """C22: who left may not come back; who is still there stays until the other has signed in again."""
    for number in (1, 2):
        person(stores, number, "Admin")
    theirs = identity(2, tenant_id=CONTOSO)

    def signs_in(at: datetime) -> None:
        stores.accounts.record_sign_in(
            user_id=user_id(2), identity=theirs, profile=ADA, entra_grants=None, now=at
        )
        stores.sealed_sign_ins.remember(
            theirs, user_id=user_id(2), sealed_sign_in=f"sealed {at}", now=at, next_check_at=FAR
        )

    signs_in(LONG_AGO)
    (link,) = stores.sealed_sign_ins.of_user(user_id(2))
    assert stores.sealed_sign_ins.end_access(link, because="disabled in the directory", now=ENDED)
    for change in (
        lambda: stores.accounts.set_disabled(WHO, disabled=True, now=ENDED, rules=RULES),
        lambda: stores.accounts.delete(WHO, rules=RULES),
    ):
        with pytest.raises(LastAdministrator):
            change()
    signs_in(ENDED + timedelta(minutes=1))
    assert stores.accounts.set_disabled(WHO, disabled=True, now=FAR, rules=RULES) is not None


@pytest.mark.parametrize("stores", SHARED, indirect=True)
def test_fault_18_a_version_without_ends_does_not_know_such_a_role(stores: Stores) -> None:
    """While servers restart in turn: the role has a source which those of before count for nothing."""
    from sqlalchemy import create_engine, text

    person(stores)
    given(stores, "Editor", FAR)
    assert stores.database_url is not None
    engine = create_engine(stores.database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        [source] = connection.execute(text("SELECT source FROM entrada_role_grant")).scalars()
    engine.dispose()
    assert source not in {each.value for each in GrantSource}
