"""A broker in a database enters into the audit trail what it does: with whom, where, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from broker.world import ADA, APP, START
from conformance.test_broker_store import SEALER, code_for, opened
from entrada.accounts.identity import Profile, UserId
from entrada.audit.acts import Actor, ActorKind, Cause, person
from entrada.audit.chain import AuditEntry, read_object
from entrada.audit.verify import verify
from entrada.broker.signing_keys import make_signing_key
from entrada.broker.sql_store import SqlBrokerStore
from entrada.compatibility import UTC
from entrada.gateway.assertion_keys import SqlAssertionKeys, new_assertion_key
from entrada.storage.sql import Database, SqlAccountStore, SqlAuditTrail, connect
from storage.prepared import prepared_copy

ADMIN = Cause(actor=person("a" * 32), reason="approved")
INSTALLATION = Cause(actor=Actor(kind=ActorKind.INSTALLATION, id=APP.client_id), reason="signed out there")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = connect(prepared_copy(tmp_path / "entrada.db"))
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> SqlBrokerStore:
    return SqlBrokerStore(database, sealer=SEALER)


def told(database: Database) -> list[tuple[str, str, dict[str, object]]]:
    return [
        (each.action, f"{each.actor_kind} {each.actor_id}".strip(), read_object(each.details))
        for each in entries(database)
    ]


def entries(database: Database) -> list[AuditEntry]:
    trail = SqlAuditTrail(database)
    assert verify(trail).fault is None
    return list(trail.following(0))


def test_a_sign_in_at_an_installation_and_its_end_are_entered(
    store: SqlBrokerStore, database: Database
) -> None:
    """Who as Entra names them, where, and who ended it; no code, no hash, no hint, no sid."""
    grant = opened(store)
    store.end_grants(now=START + timedelta(hours=1), grant_id=grant.id, cause=INSTALLATION)
    store.end_grants(now=START, grant_id=grant.id, cause=INSTALLATION)  # over: no entry
    begun, ended = entries(database)
    assert (begun.action, begun.object_id, begun.session_id) == ("sign_in_completed", ADA.object_id, grant.id)
    assert read_object(begun.details) == {"client_id": APP.client_id}
    assert (ended.action, ended.actor_kind, ended.actor_id) == (
        "session_ended",
        "installation",
        APP.client_id[:200],
    )
    assert ended.at == START + timedelta(hours=1)
    assert read_object(ended.details)["reason"] == "signed out there"
    text = json.dumps([each.documented() for each in entries(database)])
    for secret in ("entra-1", "hint", "sealed", code_for(grant).hash.hex()):
        assert secret not in text


@pytest.mark.parametrize("act", ["delete", "disable"])
def test_whoever_is_deleted_or_disabled_at_the_broker_has_no_grants(
    act: str, store: SqlBrokerStore, database: Database
) -> None:
    """Their installations are told; of whoever was deleted nothing stays, in no entry either."""
    accounts, user_id = SqlAccountStore(database), UserId("a" * 32)
    profile = Profile(name="Ada Anders", email="ada@contoso.test", username="ada@contoso.test")
    accounts.create(user_id=user_id, identity=ADA, profile=profile, entra_grants=[], now=START)
    grant = opened(store)
    if act == "delete":
        accounts.delete(user_id, cause=ADMIN)
    else:
        accounts.set_disabled(user_id, disabled=True, now=START, cause=ADMIN)
    assert store.grants_of_person(ADA) == []
    later = datetime.now(UTC) + timedelta(minutes=1)
    (told_of,) = store.due_deliveries(now=later, claim_until=later, limit=10)
    assert told_of.grant_id == grant.id
    ended = [each for each in entries(database) if each.action == "session_ended"]
    assert [(each.actor_id, each.session_id) for each in ended] == [("a" * 32, grant.id)]
    ids = {each.object_id for each in entries(database)}
    assert ids == ({None} if act == "delete" else {None, ADA.object_id})


def test_what_an_administrator_does_with_an_installation_is_entered(
    store: SqlBrokerStore, database: Database
) -> None:
    """Added, changed and removed, with whoever did it; what changed nothing is not."""
    store.add_installation(APP, cause=replace(ADMIN, reason="added"))
    assert not store.add_installation(APP, cause=replace(ADMIN, reason="added"))
    store.save_installation(APP, cause=replace(ADMIN, reason="approved"))
    opened(store)
    assert store.remove_installation(APP.client_id, now=START, cause=replace(ADMIN, reason="removed"))
    assert not store.remove_installation(APP.client_id, now=START, cause=replace(ADMIN, reason="removed"))
    by = f"person {'a' * 32}"
    where = {"client_id": APP.client_id}
    assert told(database) == [
        ("installation_changed", by, {**where, "reason": "added"}),
        ("installation_changed", by, {**where, "reason": "approved"}),
        ("sign_in_completed", "entra", where),
        ("session_ended", by, {**where, "reason": "removed"}),
        ("installation_changed", by, {**where, "reason": "removed"}),
    ]


def test_new_keys_are_entered_by_their_names_alone(store: SqlBrokerStore, database: Database) -> None:
    """Of the broker and of assertions; nothing of the key itself."""
    first, second = make_signing_key(START), make_signing_key(START + timedelta(days=1))
    store.add_signing_key(first)
    store.replace_signing_keys(second)
    assertion = new_assertion_key(START)
    keys = SqlAssertionKeys(database, sealer=SEALER)
    assert keys.add(assertion)
    assert not keys.add(replace(assertion, kid="another"))  # another server was faster
    assert [(action, details["kid"], details["key"]) for action, _, details in told(database)] == [
        ("keys_rotated", first.kid, "broker"),
        ("keys_rotated", second.kid, "broker"),
        ("keys_rotated", assertion.kid, "assertion"),
    ]
