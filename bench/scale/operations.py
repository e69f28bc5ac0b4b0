"""What is done at one person's request, over a database with so many others in it.

Each operation leaves the database as it found it, or as good as; what puts things back is not timed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bench.scale.seeding import POLICY, SEALED, TENANT, Filled, Person, everybody
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, UserId
from entrada.accounts.people import PeopleQuery
from entrada.clock import SystemClock
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId
from entrada.flows.session_check import SessionCheck
from entrada.sessions.session import Session
from entrada.sessions.token import new_session_token

Timed = Callable[[], AbstractContextManager[object]]
PAGE = 51
LATER = timedelta(days=1)


@dataclass(kw_only=True)
class Subject:
    """One database, a process that checks sessions over it, and whose turn it is."""

    filled: Filled
    check: SessionCheck
    persons: Iterator[Person]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)


def subject(filled: Filled) -> Subject:
    check = SessionCheck(
        accounts=filled.accounts, sessions=filled.sessions, policy=POLICY, clock=SystemClock()
    )
    made = Subject(filled=filled, check=check, persons=everybody(filled))
    for person in filled.known:
        assert check.check(person.cookie) is not None
    return made


def check_live(on: Subject, timed: Timed) -> None:
    """A session that this process knows."""
    person = next(on.persons)
    on.check.check(person.cookie)
    with timed():
        assert on.check.check(person.cookie) is not None


def check_first(on: Subject, timed: Timed) -> None:
    """A session that this process reads for the first time."""
    person = next(on.persons)
    on.check.live.drop_session(person.session.id)
    with timed():
        assert on.check.check(person.cookie) is not None


def sign_in(on: Subject, timed: Timed) -> None:
    """The store's part of the sign-in of somebody who is known."""
    person, stores, now = next(on.persons), on.filled, on.now
    opened = _session(person.user_id, person.identity, now)
    with timed():
        stores.sessions.spend_sign_in(opened.id, expires_at=now + LATER)
        assert stores.accounts.find_by_identity(person.identity) is not None
        stores.accounts.record_sign_in(
            user_id=person.user_id,
            identity=person.identity,
            profile=person.profile,
            entra_grants=_editor(now),
            now=now,
        )
        _remember(on, person.user_id, person.identity, now)
        stores.sessions.open(opened)
    stores.sessions.end(opened.id)


def first_sign_in(on: Subject, timed: Timed) -> None:
    """The store's part of the sign-in of somebody new."""
    stores, now, number = on.filled, on.now, next(on.numbers)
    identity = EntraIdentity(
        tenant_id=TENANT, object_id=ObjectId(f"{number:08x}-0000-4000-9000-000000000000")
    )
    email = f"new.comer.{number}@contoso.example"
    opened = _session(UserId(f"{number:032x}"), identity, now)
    with timed():
        stores.sessions.spend_sign_in(opened.id, expires_at=now + LATER)
        assert stores.accounts.find_by_identity(identity) is None
        stores.accounts.create(
            user_id=opened.user_id,
            identity=identity,
            profile=Profile(name="New Comer", email=email, username=email),
            entra_grants=_editor(now),
            now=now,
        )
        _remember(on, opened.user_id, identity, now)
        stores.sessions.open(opened)
    stores.accounts.delete(opened.user_id)


def end_session(on: Subject, timed: Timed) -> None:
    """One session, by its id."""
    person = next(on.persons)
    with timed():
        assert on.filled.sessions.end(person.session.id)
    on.filled.sessions.open(person.session)


def end_person(on: Subject, timed: Timed) -> None:
    """Disabled here, with all sessions."""
    person = next(on.persons)
    with timed():
        on.filled.accounts.set_disabled(person.user_id, disabled=True, now=on.now)
    on.filled.accounts.set_disabled(person.user_id, disabled=False, now=on.now)
    on.filled.sessions.open(person.session)


def first_page(on: Subject, timed: Timed) -> None:
    """The first page of the list of people, by name."""
    with timed():
        assert len(on.filled.accounts.find_people(PeopleQuery(), limit=PAGE)) == PAGE


def deep_page(on: Subject, timed: Timed) -> None:
    """A page behind somebody who is anywhere in the list."""
    after = next(on.persons).user_id
    with timed():
        on.filled.accounts.find_people(PeopleQuery(), limit=PAGE, after=after)


def page_of_role(on: Subject, timed: Timed) -> None:
    """The same of those who hold a role, which all do."""
    with timed():
        assert on.filled.accounts.find_people(PeopleQuery(role="Editor"), limit=PAGE)


def page_of_all_filters(on: Subject, timed: Timed) -> None:
    """The same with every filter that many pass."""
    query = PeopleQuery(role="Editor", tenant_id=TENANT, is_enabled=True, signed_in_at=on.now)
    with timed():
        assert on.filled.accounts.find_people(query, limit=PAGE)


def mapping_of_few(on: Subject, timed: Timed) -> None:
    """Another mapping that concerns nobody: what gives roles today, and whom it would concern."""
    with timed():
        assert on.filled.accounts.list_lines()
        assert not on.filled.accounts.find_people(PeopleQuery(given_for=frozenset({"nothing"})))


def sessions_of_user(on: Subject, timed: Timed) -> None:
    """The sessions of one person."""
    person = next(on.persons)
    with timed():
        assert on.filled.sessions.list_sessions(user_id=person.user_id)


def whole_id(on: Subject, timed: Timed) -> None:
    """Somebody by the object id."""
    _found(on, next(on.persons), lambda person: person.identity.object_id, timed)


def whole_email(on: Subject, timed: Timed) -> None:
    """Somebody by the e-mail address."""
    _found(on, next(on.persons), lambda person: person.profile.email or "", timed)


def search_for_part(on: Subject, timed: Timed) -> None:
    """Whoever has this surname, as part of the name."""
    surname = next(on.persons).profile.name.split()[-1]
    with timed():
        assert on.filled.accounts.search(surname)


def search_for_nobody(on: Subject, timed: Timed) -> None:
    """A name that nobody has."""
    with timed():
        assert not on.filled.accounts.search("Wolfeschlegel")


def explain(on: Subject, timed: Timed) -> None:
    """What `entrada explain` reads of a person, who is named by the e-mail address."""
    person = next(on.persons)
    with timed():
        (user,) = on.filled.accounts.find_whole(person.profile.email or "", limit=11)
        assert on.filled.sealed_sign_ins.of_user(user.id)


def claim(on: Subject, timed: Timed) -> None:
    """Whom to ask Entra about next, when everybody is due."""
    now = on.now + timedelta(hours=1)
    with timed():
        claimed = on.filled.sealed_sign_ins.claim_due(now=now, next_check_at=now + LATER)
    if claimed is None:
        raise AssertionError("nobody is due")


def nobody_due(on: Subject, timed: Timed) -> None:
    """The look that finds nobody due."""
    with timed():
        assert on.filled.sealed_sign_ins.claim_due(now=on.now - LATER, next_check_at=on.now + LATER) is None


def prune(on: Subject, timed: Timed) -> None:
    """Twenty sessions that are over are forgotten."""
    now = on.now
    for _ in range(20):
        person = next(on.persons)
        over = _session(person.user_id, person.identity, now - 2 * POLICY.absolute)
        on.filled.sessions.open(over)
    with timed():
        assert on.filled.sessions.prune(now=now) >= 20


def count(on: Subject, timed: Timed) -> None:
    """How many sessions there are, as /metrics says it."""
    with timed():
        on.filled.sessions.count(now=on.now)


OPERATIONS: Mapping[str, Callable[[Subject, Timed], None]] = {
    "check, live": check_live,
    "check, first read": check_first,
    "sign-in, the store's part": sign_in,
    "first sign-in, the store's part": first_sign_in,
    "end one session": end_session,
    "disable one person": end_person,
    "list of people, first page": first_page,
    "list of people, any page": deep_page,
    "list of people with a role": page_of_role,
    "list of people, all filters": page_of_all_filters,
    "mapping trial that concerns nobody": mapping_of_few,
    "sessions of one person": sessions_of_user,
    "found by object id": whole_id,
    "found by e-mail": whole_email,
    "explain": explain,
    "search: part of a name": search_for_part,
    "search: nobody": search_for_nobody,
    "re-check: claim one": claim,
    "re-check: nobody due": nobody_due,
    "prune twenty": prune,
    "count sessions": count,
}


def _found(on: Subject, person: Person, text_of: Callable[[Person], str], timed: Timed) -> None:
    text = text_of(person)
    with timed():
        found = on.filled.accounts.find_whole(text)
    assert person.user_id in [user.id for user in found]


def _session(user_id: UserId, identity: EntraIdentity, at: datetime) -> Session:
    token = new_session_token()
    return Session(
        id=token.id,
        secret_hash=token.secret_hash,
        user_id=user_id,
        identity=identity,
        created_at=at,
        last_seen_at=at,
        idle_expires_at=at + POLICY.idle,
        absolute_expires_at=at + POLICY.absolute,
    )


def _editor(now: datetime) -> list[RoleGrant]:
    return [RoleGrant(role="Editor", source=GrantSource.ENTRA, granted_by="Editor", granted_at=now)]


def _remember(on: Subject, user_id: UserId, identity: EntraIdentity, now: datetime) -> None:
    on.filled.sealed_sign_ins.remember(
        identity, user_id=user_id, sealed_sign_in=SEALED, now=now, next_check_at=now + timedelta(minutes=14)
    )
