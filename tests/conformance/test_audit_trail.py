"""What the audit trail promises, of every implementation: nothing changes without its entry, and no entry
changes unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from conformance.samples import ADA, LATER, NOW, at_once, from_entra, identity, session, user_id
from conformance.stores import Stores
from entrada.accounts.identity import User
from entrada.audit.acts import ENTRADA, Act, Action, Actor, ActorKind, Cause, Subject
from entrada.audit.chain import AuditEntry, read_object
from entrada.audit.trail import AuditQuery
from entrada.audit.verify import verify
from entrada.errors import IdentityAlreadyLinked
from entrada.sessions.session import SessionId

ADMIN = Cause(
    actor=Actor(kind=ActorKind.COMMAND, id="root"), at=NOW + timedelta(minutes=5), reason="asked for"
)


def create(stores: Stores, number: int = 1, *roles: str) -> User:
    return stores.accounts.create(
        user_id=user_id(number),
        identity=identity(number),
        profile=ADA,
        entra_grants=[from_entra(role) for role in roles],
        now=NOW,
    )


def entries(stores: Stores) -> Sequence[AuditEntry]:
    return stores.audit.following(0)


def details_of(entry: AuditEntry) -> dict[str, object]:
    return read_object(entry.details)


# What is entered


def test_a_first_sign_in_is_an_account_its_roles_and_a_session(stores: Stores) -> None:
    """Each is an entry: the account by the person, the roles by Entra with what gave them."""
    create(stores, 1, "Editor")
    opened = session(user_id(1))
    stores.sessions.open(opened)
    made, given, in_ = entries(stores)
    assert (made.action, made.actor_id, made.user_id) == ("account_created", user_id(1), user_id(1))
    assert (made.tenant_id, made.object_id) == (identity().tenant_id, identity().object_id)
    assert (given.action, given.actor_kind) == ("role_granted", "entra")
    assert details_of(given) == {
        "granted_by": "app role",
        "reason": "sign-in",
        "role": "Editor",
        "source": "entra",
    }
    assert (in_.action, in_.session_id, in_.at) == ("sign_in_completed", opened.id, opened.created_at)
    assert verify(stores.audit).fault is None


def test_roles_that_entra_changes_are_entered_one_by_one(stores: Stores) -> None:
    """A later sign-in that brings the same roles enters nothing; each that came or went is an entry."""
    user = create(stores, 1, "Editor", "Reader")
    before = len(entries(stores))
    for grants in (["Editor", "Reader"], ["Reader", "Admin"]):
        stores.accounts.record_sign_in(
            user_id=user.id,
            identity=identity(),
            profile=ADA,
            entra_grants=[from_entra(role, granted_at=LATER) for role in grants],
            now=LATER,
        )
    changed = entries(stores)[before:]
    assert [(each.action, details_of(each)["role"], each.at) for each in changed] == [
        ("role_revoked", "Editor", LATER),
        ("role_granted", "Admin", LATER),
    ]


def test_what_an_administrator_does_is_entered_with_who_and_why(stores: Stores) -> None:
    """Granting, taking back, disabling, enabling, ending, deleting: each with actor and reason."""
    user = create(stores)
    stores.sessions.open(session(user.id))
    before = len(entries(stores))
    accounts, by = stores.accounts, {"cause": ADMIN}
    accounts.grant_role(user.id, role="Admin", granted_by="root", now=LATER, **by)
    accounts.revoke_role(user.id, role="Admin", **by)
    stores.sessions.end_of_user(user.id, **by)
    stores.sessions.open(session(user.id))
    accounts.set_disabled(user.id, disabled=True, now=LATER, **by)
    accounts.set_disabled(user.id, disabled=False, now=LATER, **by)
    accounts.delete(user.id, **by)
    found = [each for each in entries(stores)[before:] if each.action != "sign_in_completed"]
    assert [each.action for each in found] == [
        "role_granted",
        "role_revoked",
        "sessions_ended",
        "account_disabled",
        "account_enabled",
        "account_deleted",
    ]
    assert {(each.actor_kind, each.actor_id, details_of(each)["reason"]) for each in found} == {
        ("command", "root", "asked for")
    }
    assert details_of(found[3])["count"] == 1  # the session that ended with the account
    assert {each.user_id for each in found} == {user.id}


def test_what_changes_nothing_is_not_entered(stores: Stores) -> None:
    """A role twice, one that is not there, somebody who is not there, a session that is over: no entry."""
    user = create(stores)
    stores.accounts.grant_role(user.id, role="Admin", granted_by="root", now=NOW, cause=ADMIN)
    before = len(entries(stores))
    stores.accounts.grant_role(user.id, role="Admin", granted_by="root", now=NOW, cause=ADMIN)
    stores.accounts.revoke_role(user.id, role="Reader", cause=ADMIN)
    stores.accounts.set_disabled(user.id, disabled=False, now=NOW, cause=ADMIN)
    stores.accounts.link(user_id=user.id, identity=identity(), now=NOW)
    for nobody in (user_id(9), user_id(9)):
        assert stores.accounts.set_disabled(nobody, disabled=True, now=NOW, cause=ADMIN) is None
        assert stores.accounts.delete(nobody, cause=ADMIN) is None
        assert stores.sessions.end_of_user(nobody, cause=ADMIN) == 0
    assert not stores.sessions.end(SessionId("A" * 22), cause=ADMIN)
    assert stores.sessions.end_by_entra_session("nobody's", cause=ADMIN) == 0
    assert len(entries(stores)) == before


def test_each_way_a_session_ends_says_which_and_why(stores: Stores) -> None:
    """One ended, one replaced, one that Entra named, everybody's: with the session where it was one."""
    one, two, three = session(), session(), session(entra_session_id="sid-3")
    stores.sessions.open(one)
    stores.sessions.open(two, replaces=one.id)
    stores.sessions.end(two.id, cause=ADMIN)
    stores.sessions.open(three)
    stores.sessions.end_by_entra_session("sid-3", cause=Cause(actor=ENTRADA, reason="signed out at Entra"))
    stores.sessions.end_all(cause=ADMIN)
    endings = [each for each in entries(stores) if each.action != "sign_in_completed"]
    assert [(each.action, each.session_id, details_of(each)["reason"]) for each in endings] == [
        ("session_ended", one.id, "replaced by a new sign-in"),
        ("session_ended", two.id, "asked for"),
        ("session_ended", three.id, "signed out at Entra"),
        ("all_sessions_ended", None, "asked for"),
    ]


def test_a_refused_change_leaves_no_entry(stores: Stores) -> None:
    """What is rolled back is not entered, neither now nor with the next change."""
    create(stores)
    before = entries(stores)
    with pytest.raises(IdentityAlreadyLinked):
        stores.accounts.create(
            user_id=user_id(2), identity=identity(1), profile=ADA, entra_grants=[from_entra("X")], now=NOW
        )
    opened = session()
    stores.sessions.open(opened)
    with pytest.raises(ValueError, match="open already"):
        stores.sessions.open(replace(opened, user_id=user_id(2)))
    stores.audit.record(Act(action=Action.ACCOUNT_ENABLED))
    assert [each.action for each in entries(stores)[len(before) :]] == [
        "sign_in_completed",
        "account_enabled",
    ]


def test_other_processes_read_the_same_entries(stores: Stores) -> None:
    """The chain is one, whoever wrote its entries."""
    stores.sessions.open(session())
    stores.another().sessions.open(session())
    assert stores.another().audit.following(0) == entries(stores)
    assert [each.number for each in entries(stores)] == [1, 2]


# What an entry holds


def test_nothing_secret_is_in_an_entry(stores: Stores) -> None:
    """No hash of a secret, no sid, no sign-out hint; no e-mail address or name of who has an account."""
    create(stores)
    opened = session(user_id(1), entra_session_id="the-sid", logout_hint="the-hint")
    stores.sessions.open(opened)
    stores.sessions.end_by_entra_session("the-sid")
    text = json.dumps([each.documented() for each in entries(stores)])
    for secret in ("the-sid", "the-hint", opened.secret_hash.hex(), ADA.name, "ada@contoso"):
        assert secret.lower() not in text.lower()


def test_details_are_those_of_the_action(stores: Stores) -> None:
    """Whatever is on no list is a mistake of ours, and is not written."""
    with pytest.raises(ValueError, match="may not have: \\['token'\\]"):
        stores.audit.record(Act(action=Action.ROLE_GRANTED, details={"token": "eyJ"}))
    assert entries(stores) == []


@pytest.mark.parametrize(
    "text", ["a\nb", "\x1b[2J", "\u202eabc", "\ud800", "\0", "x" * 10_000, '"}\\', "Ω" * 600, ""]
)
def test_no_text_breaks_an_entry_or_its_line(stores: Stores, text: str) -> None:
    """Line breaks, escape sequences, bidi controls, NUL, half pairs, giant names: one line each."""
    stores.audit.record(
        Act(
            action=Action.SIGN_IN_REFUSED,
            cause=Cause(actor=Actor(kind=ActorKind.PERSON, id=text), at=NOW, reason=text),
            user_id=text,
            session_id=text,
            subject=Subject(tenant_id=text, object_id=text, name=text, account=text),
            details={"code": text},
        )
    )
    (entry,) = stores.another().audit.following(0)
    line = json.dumps(entry.documented())
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 20_000
    assert verify(stores.audit).fault is None


# Who somebody is goes, the chain stays


def test_whoever_is_deleted_is_in_no_entry_and_the_chain_is_whole(stores: Stores) -> None:
    """Nothing says any more who the id was, in entries of before the account, too; other people's stay."""
    refused = Act(
        action=Action.SIGN_IN_REFUSED,
        subject=Subject(**vars(identity(1)), name="Ada Lovelace", account="ada@contoso.test"),
    )
    stores.audit.record(refused, replace(refused, subject=Subject(**vars(identity(2)), name="Ed")))
    user = create(stores, 1, "Editor")
    stores.sessions.open(session(user.id))
    stores.accounts.delete(user.id, cause=ADMIN)
    assert stores.accounts.delete(user.id, cause=ADMIN) is None
    found = stores.another().audit.following(0)
    text = json.dumps([each.documented() for each in found])
    assert identity(1).object_id not in text
    assert "Ada" not in text
    assert identity(2).object_id in text
    assert "salt" not in text
    assert [each.is_erased for each in found] == [True, False, True, False, True, False]
    verdict = verify(stores.audit)
    assert (verdict.fault, verdict.erased) == (None, 3)


def test_a_deleted_administrator_stays_the_actor_of_what_they_did(stores: Stores) -> None:
    """By the id, which is nobody's any more: what happened to others is still somebody's doing."""
    admin, user = create(stores, 1), create(stores, 2)
    by_admin = Cause(actor=Actor(kind=ActorKind.PERSON, id=admin.id))
    stores.accounts.grant_role(user.id, role="X", granted_by=admin.id, now=NOW, cause=by_admin)
    stores.accounts.delete(admin.id, cause=ADMIN)
    granted = stores.audit.newest(AuditQuery(actions=["role_granted"]))
    assert [each.actor_id for each in granted] == [admin.id]
    assert verify(stores.audit).fault is None


# Reading


def test_entries_are_found_by_person_action_and_time(stores: Stores) -> None:
    """Whom it happened to or who did it; of one identity; by action; between two times; the newest first."""
    nora, admin = create(stores, 1), create(stores, 2)
    by_admin = Cause(actor=Actor(kind=ActorKind.PERSON, id=admin.id), at=LATER)
    stores.accounts.grant_role(nora.id, role="X", granted_by=admin.id, now=LATER, cause=by_admin)
    stores.audit.record(
        Act(
            action=Action.SIGN_IN_REFUSED,
            cause=Cause(actor=ENTRADA, at=LATER),
            subject=Subject(object_id="oid-9", name="Mia Ünlü", account="mia@x.test"),
        )
    )

    def found(**asked: object) -> list[int]:
        return [each.number for each in stores.audit.newest(AuditQuery(**asked))]  # type: ignore[arg-type]

    assert found() == [4, 3, 2, 1]
    assert found(user_id=nora.id) == [3, 1]
    assert found(user_id=admin.id) == [3, 2]
    assert found(object_ids=["oid-9"]) == [4]
    assert found(user_id=nora.id, object_ids=["oid-9"]) == [4, 3, 1]
    assert found(called="MIA@") == [4]
    assert found(called="mia Ü") == [4]
    assert found(tenant_id=identity(1).tenant_id) == [2, 1]
    assert found(called="mia", tenant_id=identity(1).tenant_id) == []
    assert found(called="%") == found(called="ada") == []
    assert found(actions=["role_granted", "account_created"]) == [3, 2, 1]
    assert found(since=LATER) == [4, 3]
    assert found(until=LATER) == [2, 1]
    assert found(since=LATER, until=LATER) == []
    assert [each.number for each in stores.audit.newest(limit=2)] == [4, 3]
    assert [each.number for each in stores.audit.newest(limit=2, before=3)] == [2, 1]
    assert [each.number for each in stores.audit.following(1, limit=2)] == [2, 3]


def test_fault_19_a_clock_that_was_set_back_hides_no_entry_from_a_look_by_time(stores: Stores) -> None:
    """An hour that was lived through twice is found twice, wherever the look begins or ends."""
    for _ in range(2):
        for minute in range(0, 60, 10):
            at = NOW + timedelta(minutes=minute)
            stores.audit.record(Act(action=Action.ACCOUNT_ENABLED, cause=Cause(actor=ENTRADA, at=at)))
    half = NOW + timedelta(minutes=30)
    assert [each.number for each in stores.audit.newest(AuditQuery(since=half))] == [12, 11, 10, 6, 5, 4]
    assert [each.number for each in stores.audit.newest(AuditQuery(until=half))] == [9, 8, 7, 3, 2, 1]
    assert stores.audit.newest(AuditQuery(since=LATER)) == []
    assert stores.audit.newest(AuditQuery(until=NOW)) == []


# Retention


def test_retention_cuts_the_oldest_and_the_chain_stays_whole(stores: Stores) -> None:
    """Where the chain begins then is remembered, and is an entry itself."""
    for hour in range(10):
        at = NOW + timedelta(hours=hour)
        stores.audit.record(Act(action=Action.ACCOUNT_ENABLED, cause=Cause(actor=ENTRADA, at=at)))
    fourth = entries(stores)[3].place
    cause = Cause(actor=ENTRADA, at=LATER, reason="kept for 6h")
    assert stores.audit.prune(before=NOW + timedelta(hours=4), cause=cause) == 4
    assert stores.audit.extent().anchor == fourth
    assert [each.number for each in entries(stores)] == [5, 6, 7, 8, 9, 10, 11]
    newest = entries(stores)[-1]
    assert newest.action == "audit_pruned"
    assert details_of(newest) == {"count": 4, "hash": fourth.hash, "reason": "kept for 6h", "through": 4}
    assert verify(stores.audit).fault is None
    assert verify(stores.audit, expect=[fourth, newest.place]).fault is None
    assert stores.audit.prune(before=NOW + timedelta(hours=4), cause=cause) == 0
    assert len(entries(stores)) == 7


def test_fault_19_a_clock_that_went_back_makes_retention_keep_more_and_never_less(stores: Stores) -> None:
    """The chain is cut at its beginning only: an old time behind a newer one waits for that one."""
    for hour in (5, 1, 7):
        at = NOW + timedelta(hours=hour)
        stores.audit.record(Act(action=Action.ACCOUNT_ENABLED, cause=Cause(actor=ENTRADA, at=at)))
    cause = Cause(actor=ENTRADA, at=LATER)
    assert stores.audit.prune(before=NOW + timedelta(hours=3), cause=cause) == 0
    assert stores.audit.prune(before=NOW + timedelta(hours=6), cause=cause) == 2
    assert verify(stores.audit).fault is None


def test_retention_cuts_a_bounded_number_at_once(stores: Stores) -> None:
    """So that no transaction grows with the trail."""
    for _ in range(5):
        stores.audit.record(Act(action=Action.ACCOUNT_ENABLED, cause=Cause(actor=ENTRADA, at=NOW)))
    cause = Cause(actor=ENTRADA, at=LATER)
    assert [stores.audit.prune(before=LATER, cause=cause, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert verify(stores.audit).fault is None


# At once


def test_writers_at_once_never_fork_the_chain(stores: Stores) -> None:
    """Threads of two databases opened alike sign in, grant and end at once: one chain, no number lost."""
    create(stores, 1)
    others = [stores, stores.another()]

    def work(number: int) -> None:
        here = others[number % 2]
        opened = session(user_id(1))
        here.sessions.open(opened)
        here.accounts.grant_role(user_id(1), role=f"R{number}", granted_by="x", now=NOW, cause=ADMIN)
        here.sessions.end(opened.id, cause=ADMIN)

    assert at_once(8, work) == [None] * 8
    assert [each.number for each in entries(stores)] == list(range(1, 1 + 1 + 3 * 8))
    assert verify(stores.audit).fault is None


def test_a_session_that_reaches_its_limits_ends_without_an_entry(stores: Stores) -> None:
    """Nobody ended it: forgotten when it is over, it leaves the trail as it was."""
    opened = session()
    stores.sessions.open(opened)
    head = stores.audit.extent().head
    assert stores.sessions.prune(now=opened.absolute_expires_at) >= 1
    assert stores.sessions.find(opened.id) is None
    assert stores.audit.extent().head == head
