"""The chain against somebody who writes to the database with a tool of their own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.samples import ADA, NOW, from_entra, identity, session, user_id
from entrada.audit.acts import ENTRADA, Act, Action, Cause
from entrada.audit.chain import AuditEntry, Place, hash_of
from entrada.audit.export import line_of
from entrada.audit.verify import verify
from entrada.errors import StoreUnavailable
from entrada.storage.sql import Database, SqlAccountStore, SqlAuditTrail, SqlSessionStore

Attack = Callable[[sqlite3.Connection], object]


@pytest.fixture
def trail(database: Database) -> SqlAuditTrail:
    """Twelve entries: an account with a role, and ten sessions."""
    SqlAccountStore(database).create(
        user_id=user_id(1), identity=identity(), profile=ADA, entra_grants=[from_entra("Editor")], now=NOW
    )
    for _ in range(10):
        SqlSessionStore(database).open(session(user_id(1)))
    return SqlAuditTrail(database)


def sql(*statements: str) -> Attack:
    def attack(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    return attack


def at_hand(path: Path, attack: Attack) -> None:
    connection = sqlite3.connect(path)
    with connection:
        attack(connection)
    connection.close()


E = "entrada_audit_entry"
ATTACKS = {
    "a detail changed": (
        sql(f"UPDATE {E} SET details = replace(details, 'Editor', 'Reader') WHERE number = 2"),
        "entry 2 was changed",
    ),
    "the time changed": (sql(f"UPDATE {E} SET at = at + 1 WHERE number = 5"), "entry 5 was changed"),
    "what is no time": (sql(f"UPDATE {E} SET at = 'noon' WHERE number = 5"), "entry 5 was changed"),
    "what is no text": (sql(f"UPDATE {E} SET details = x'00' WHERE number = 5"), "entry 5 was changed"),
    "a person who is no text": (
        sql(f"UPDATE {E} SET object_id = x'00' WHERE number = 5"),
        "what entry 5 says of a person was changed",
    ),
    "a salt that is no text": (
        sql(f"UPDATE {E} SET salt = x'00' WHERE number = 5"),
        "what entry 5 says of a person was changed",
    ),
    "a hash that is no text": (sql(f"UPDATE {E} SET hash = x'00' WHERE number = 5"), "entry 5 was changed"),
    "another actor": (sql(f"UPDATE {E} SET actor_id = 'x' WHERE number = 5"), "entry 5 was changed"),
    "the account taken off": (sql(f"UPDATE {E} SET user_id = NULL WHERE number = 5"), "entry 5 was changed"),
    "the person exchanged": (
        sql(f"UPDATE {E} SET object_id = 'another' WHERE number = 5"),
        "what entry 5 says of a person was changed",
    ),
    "a person added": (
        sql(f"UPDATE {E} SET personal = '{{}}' WHERE number = 2"),
        "what entry 2 says of a person was added",
    ),
    "one removed": (sql(f"DELETE FROM {E} WHERE number = 5"), "entry 5 is missing"),
    "two removed": (sql(f"DELETE FROM {E} WHERE number IN (5, 6)"), "entry 5 is missing, and 1 behind it"),
    "the first removed": (sql(f"DELETE FROM {E} WHERE number = 1"), "entry 1 is missing"),
    "one removed, the others moved up": (
        sql(f"DELETE FROM {E} WHERE number = 5", f"UPDATE {E} SET number = number - 1 WHERE number > 5"),
        "entry 5 was changed",
    ),
    "two exchanged": (
        sql(
            f"UPDATE {E} SET number = 99 WHERE number = 5",
            f"UPDATE {E} SET number = 5 WHERE number = 6",
            f"UPDATE {E} SET number = 6 WHERE number = 99",
        ),
        "entry 5 was changed",
    ),
    "the end cut off": (
        sql(f"DELETE FROM {E} WHERE number > 9"),
        "the entries from 10 to 12, the last one, are missing",
    ),
    "one added behind the end": (
        sql(f"INSERT INTO {E} SELECT 13, at, action, actor_kind, actor_id, user_id, session_id, details, "
            f"commitment, hash, tenant_id, object_id, personal, salt FROM {E} WHERE number = 12"),
        "entry 13 stands behind the last one, which is 12",
    ),
    "one added before the beginning": (
        sql(f"UPDATE {E} SET number = 0 WHERE number = 1"),
        "entry 0 stands before the first one, which is 1",
    ),
    "the beginning cut off, and the anchor moved": (
        sql(
            f"UPDATE entrada_audit_head SET cut_number = 3, "
            f"cut_hash = (SELECT hash FROM {E} WHERE number = 3)",
            f"DELETE FROM {E} WHERE number <= 3",
        ),
        "the entries up to 3 are missing, and no entry says that retention cut them",
    ),
    "another head": (
        sql(f"UPDATE entrada_audit_head SET hash = '{'a' * 64}'"),
        "entry 12, the last one, is not the one that was written last",
    ),
    "everything removed": (
        sql(f"DELETE FROM {E}"),
        "the entries from 1 to 12, the last one, are missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_what_was_done_to_the_chain_is_named(trail: SqlAuditTrail, path: Path, name: str) -> None:
    """Changed, removed, moved, added, cut off: `verify` names the first entry that is not as it should be."""
    attack, fault = ATTACKS[name]
    assert verify(trail).fault is None
    at_hand(path, attack)
    found = verify(trail).fault
    assert found is not None
    assert found.startswith(fault)


def rewritten_from(number: int) -> Attack:
    """Every entry from this one on anew, with hashes that fit, as whoever knows this code can."""

    def attack(connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.execute(f"UPDATE {E} SET user_id = 'somebody else' WHERE number = ?", (number,))
        (before,) = connection.execute(f"SELECT hash FROM {E} WHERE number = ?", (number - 1,)).fetchall()
        place = Place(number=number - 1, hash=before["hash"])
        for row in connection.execute(f"SELECT * FROM {E} WHERE number >= ? ORDER BY number", (number,)):
            values = {**dict(row), "at": NOW}
            hash = hash_of(AuditEntry(**values), after=place)
            connection.execute(f"UPDATE {E} SET hash = ? WHERE number = ?", (hash, row["number"]))
            place = Place(number=row["number"], hash=hash)
        connection.execute("UPDATE entrada_audit_head SET hash = ?", (place.hash,))

    return attack


def test_a_tail_written_anew_is_told_by_a_place_kept_elsewhere(trail: SqlAuditTrail, path: Path) -> None:
    """By itself the chain fits; a place of before the change, or of the end, that was kept does not."""
    kept = [each.place for each in trail.following(0)]
    at_hand(path, rewritten_from(7))
    assert verify(trail).fault is None
    assert verify(trail, expect=kept[:6]).fault is None
    for place in kept[6:]:
        fault = verify(trail, expect=[place]).fault
        assert fault == (
            f"entry {place.number} is not the one that you expect: it, or one before it, was written anew"
        )


def test_a_tail_cut_off_with_its_head_is_told_by_a_place_kept_elsewhere(
    trail: SqlAuditTrail, path: Path
) -> None:
    """So is a database that was put back from a backup, and a place of another chain."""
    head = trail.extent().head
    at_hand(
        path,
        sql(
            f"DELETE FROM {E} WHERE number > 9",
            f"UPDATE entrada_audit_head SET number = 9, hash = (SELECT hash FROM {E} WHERE number = 9)",
        ),
    )
    assert verify(trail).fault is None
    fault = verify(trail, expect=[head]).fault
    assert fault == "the chain ends at entry 9; entry 12, which you expect, is missing"


def test_a_place_that_retention_cut_off_proves_nothing_any_more(trail: SqlAuditTrail) -> None:
    """It is said so, rather than passed."""
    third = trail.following(0)[2].place
    for _ in range(2):
        trail.prune(before=NOW.replace(year=2030), cause=Cause(actor=ENTRADA), limit=3)
    fault = verify(trail, expect=[third]).fault
    assert fault == "entry 3, which you expect, is past its time of retention; the chain begins at 7"


DAMAGES = {
    "no head": sql("DELETE FROM entrada_audit_head"),
    "an entry behind it": sql(f"UPDATE {E} SET number = 13 WHERE number = 12"),
    "an entry far behind it": sql(f"UPDATE {E} SET number = 99 WHERE number = 12"),
    "an entry whose number is none": sql(f"UPDATE {E} SET number = 'x' WHERE number = 12"),
    "a head that is no number": sql("UPDATE entrada_audit_head SET number = 'x'"),
    "a head beyond all numbers": sql("UPDATE entrada_audit_head SET number = 9223372036854775807"),
    "a hash that is no text": sql("UPDATE entrada_audit_head SET hash = x'ff'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_fault_23_what_cannot_be_entered_does_not_begin(
    trail: SqlAuditTrail, path: Path, database: Database, damage: str
) -> None:
    """With a damaged chain no session opens, no account is made and no role is given: nothing half done."""
    at_hand(path, DAMAGES[damage])
    opened, accounts, sessions = session(user_id(1)), SqlAccountStore(database), SqlSessionStore(database)
    with pytest.raises(StoreUnavailable, match="damaged"):
        sessions.open(opened)
    with pytest.raises(StoreUnavailable, match="damaged"):
        accounts.create(user_id=user_id(2), identity=identity(2), profile=ADA, entra_grants=[], now=NOW)
    with pytest.raises(StoreUnavailable, match="damaged"):
        accounts.grant_role(user_id(1), role="Admin", granted_by="x", now=NOW)
    assert sessions.find(opened.id) is None
    assert accounts.get(user_id(2)) is None
    assert [each.role for each in accounts.get(user_id(1)).grants] == ["Editor"]  # type: ignore[union-attr]


@pytest.mark.parametrize("column", ["details", "personal"])
def test_what_is_nested_without_end_is_read_as_nothing(trail: SqlAuditTrail, path: Path, column: str) -> None:
    """Somebody else has written it: the list, the lines that are written out and `verify` go on."""
    at_hand(path, sql(f"UPDATE {E} SET {column} = '{'[' * 100_000}' WHERE number = 5"))
    assert len([json.loads(line_of(entry)) for entry in trail.newest()]) == 12
    assert "entry 5" in str(verify(trail).fault)


@pytest.mark.parametrize("damage", ["an entry whose number is none", "a head that is no number"])
def test_what_is_no_number_is_said_to_be_damaged(trail: SqlAuditTrail, path: Path, damage: str) -> None:
    """Neither `verify` nor retention ends with a mistake of ours."""
    at_hand(path, DAMAGES[damage])
    with pytest.raises(StoreUnavailable, match="damaged"):
        verify(trail)
    with pytest.raises(StoreUnavailable, match="damaged"):
        trail.prune(before=NOW.replace(year=2030), cause=Cause(actor=ENTRADA))


@pytest.mark.parametrize("damage", DAMAGES)
def test_fault_23_an_ending_is_never_stopped_by_the_trail(
    trail: SqlAuditTrail, path: Path, database: Database, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever damages the chain keeps nobody signed in: it is done, and the log says that no entry is."""
    at_hand(path, DAMAGES[damage])
    accounts, sessions = SqlAccountStore(database), SqlSessionStore(database)
    one, *_ = sessions.list_sessions()
    assert sessions.end(one.id)
    assert sessions.end_of_user(user_id(1)) == 9
    disabled = accounts.set_disabled(user_id(1), disabled=True, now=NOW)
    assert disabled is not None
    assert not disabled.is_enabled
    assert accounts.delete(user_id(1)) is not None
    for action in ("session_ended", "sessions_ended", "account_disabled", "account_deleted"):
        assert f"{action} has no entry" in caplog.text


def test_entries_that_are_added_while_it_looks_are_left_for_the_next_look(
    database: Database, trail: SqlAuditTrail
) -> None:
    """Other servers write on, and retention cuts, between two pages."""

    class Busy(SqlAuditTrail):
        cuts = 0

        def following(self, number: int, *, limit: int = 1000) -> list[AuditEntry]:
            trail.record(Act(action=Action.ACCOUNT_ENABLED))
            if number == 4 and self.cuts < 2:
                self.cuts += 1
                trail.prune(before=NOW.replace(year=2030), cause=Cause(actor=ENTRADA), limit=6)
            return list(trail.following(number, limit=4))

    busy = Busy(database)
    verdict = verify(busy)
    assert verdict.fault is None
    assert (verdict.anchor.number, busy.cuts) == (6, 1)
    assert verdict.entries == verdict.head.number - 6


def test_retention_that_never_rests_does_not_keep_it_for_ever(
    database: Database, trail: SqlAuditTrail
) -> None:
    """After some cuts under its hands it says what it saw."""

    class Restless(SqlAuditTrail):
        def following(self, number: int, *, limit: int = 1000) -> list[AuditEntry]:
            trail.record(Act(action=Action.ACCOUNT_ENABLED))
            trail.prune(before=NOW.replace(year=2030), cause=Cause(actor=ENTRADA), limit=1)
            return list(trail.following(number, limit=4))

    assert "is missing" in (verify(Restless(database)).fault or "")
