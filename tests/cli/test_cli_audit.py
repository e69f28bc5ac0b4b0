"""`entrada audit`, as an operator uses it: each test reads as a session."""

from __future__ import annotations

import getpass
import json
import sqlite3
from pathlib import Path

import pytest

from cli.test_cli_people import GUEST, NORA, NORMAN, Entrada, entrada, stores
from conformance.samples import NOW, identity
from entrada.audit.acts import Act, Action, Actor, ActorKind, Cause, Subject
from entrada.build import Stores

__all__ = ["entrada", "stores"]  # fixtures: Nora and Norman, each signed in, and a guest

ME = getpass.getuser()


def numbers(shown: str) -> list[int]:
    return [int(line.split("  ")[1]) for line in shown.splitlines()]


def test_what_happened_is_shown_the_newest_first(entrada: Entrada) -> None:
    """When, its number, what, to whom, by whom and why, one line each."""
    entrada("users", "grant", "Nora", "Admin")
    status, shown, _ = entrada("audit")
    first = shown.splitlines()[0].split("  ")
    assert status == 0
    assert numbers(shown) == [7, 6, 5, 4, 3, 2, 1]
    assert first[2:] == [
        "role_granted",
        f"Nora North ({NORA})",
        f"granted_by=command line, {ME}",
        "role=Admin",
        "source=manual",
        f"by command {ME}",
    ]
    assert "sign_in_completed  Nora North" in shown
    assert "\x1b" not in shown


def test_a_persons_entries_are_what_happened_to_them_and_what_they_did(
    entrada: Entrada, stores: Stores
) -> None:
    """By id, name or part of one; who may be several is asked back; with an action, and since when."""
    by_norman = Cause(actor=Actor(kind=ActorKind.PERSON, id=NORMAN), reason="left us")
    stores.accounts.delete(GUEST, cause=by_norman)  # type: ignore[arg-type]
    shown = entrada("audit", "--person", "norman")[1]
    assert [line.split("  ")[2] for line in shown.splitlines()] == [
        "account_deleted",
        "sign_in_completed",
        "account_created",
    ]
    assert f"{GUEST}  count=0  by person Norman Ng ({NORMAN})  because: left us" in shown
    assert entrada("audit", "--person", "Nora", "--action", "role_granted")[1].count("\n") == 1
    assert "granted_by=app role Editors" in entrada("audit", "--person", NORA)[1]
    assert numbers(entrada("audit", "--since", "1h", "--action", "account_deleted")[1]) == [7]
    assert entrada("audit", "--until", "2020-01-01")[2] == "No entries.\n"
    status, _, said = entrada("audit", "--person", "n")
    assert status == 1
    assert "may be 2 people" in said or "may be 3 people" in said


def test_why_somebody_without_an_account_cannot_come_in(entrada: Entrada, stores: Stores) -> None:
    """Found by account, name or object ID, with what they were refused for and the roles they had."""
    subject = Subject(**vars(identity(9)), name="Mia\x1b[2J Moe", account="mia@contoso.test")
    details = {"code": "role_required", "roles": "Guest", "incident": "abcd"}
    stores.audit.record(Act(action=Action.SIGN_IN_REFUSED, subject=subject, details=details))
    for name in ("mia@contoso", "MOE", identity(9).object_id):
        status, shown, _ = entrada("audit", "--person", name)
        assert status == 0
        (line,) = shown.splitlines()
        assert "sign_in_refused  Mia\N{REPLACEMENT CHARACTER}[2J Moe (mia@contoso.test)" in line
        assert "code=role_required  incident=abcd  roles=Guest" in line
    assert entrada("audit", "--person", "nobody@contoso.test")[2] == "No entries.\n"


def test_why_somebody_with_an_account_cannot_come_in(entrada: Entrada, stores: Stores) -> None:
    """`explain` has the last refusals of a person, with why and the incident."""
    details = {"code": "account_disabled", "roles": "Editor", "incident": "abcd"}
    for at_page in (Subject(**vars(identity(1))), Subject()):
        user_id = None if at_page.object_id else NORA
        refused = Act(action=Action.SIGN_IN_REFUSED, subject=at_page, user_id=user_id, details=details)
        stores.audit.record(refused)
    shown = entrada("explain", "nora")[1]
    assert shown.count(": disabled here. Incident abcd.") == 2
    assert len(json.loads(entrada("explain", "nora", "--json")[1])["refused"]) == 2
    assert "Refused" not in entrada("explain", "norman")[1]


def test_what_was_done_to_others_is_in_nobodys_export(entrada: Entrada, stores: Stores) -> None:
    """An administrator's own export says what happened to them, not what they did to whom."""
    by_norman = Cause(actor=Actor(kind=ActorKind.PERSON, id=NORMAN))
    stores.accounts.revoke_role(NORA, role="Editor", cause=by_norman)
    stores.accounts.set_disabled(NORA, disabled=True, now=NOW, cause=by_norman)
    assert NORA not in entrada("users", "export", NORMAN)[1]
    assert "account_disabled" in entrada("users", "export", NORA)[1]


def test_pages_follow_one_another(entrada: Entrada) -> None:
    """What a page ends with is where the next begins; every limit is kept."""
    status, shown, said = entrada("audit", "--limit", "4")
    assert (status, numbers(shown), said) == (0, [6, 5, 4, 3], "Older ones: --before 3\n")
    assert numbers(entrada("audit", "--limit", "4", "--before", "3")[1]) == [2, 1]
    assert entrada("audit", "--limit", "0")[1] == ""


def test_json_is_a_list_of_entries(entrada: Entrada) -> None:
    """Also where there are none; each has the hash that it stands in the chain by."""
    found = json.loads(entrada("audit", "--json", "--limit", "2")[1])
    assert [each["number"] for each in found] == [6, 5]
    assert {"number", "at", "action", "actor", "user_id", "hash"} <= found[0].keys()
    assert len(found[0]["hash"]) == 64
    assert json.loads(entrada("audit", "--json", "--until", "2020-01-01")[1]) == []


def test_the_chain_is_verified_and_its_end_can_be_kept(entrada: Entrada) -> None:
    """What `verify` prints is what `--expect` takes, then and later."""
    status, shown, _ = entrada("audit", "verify")
    assert status == 0
    assert "6 entries are as they were written.\n" in shown
    head = json.loads(entrada("audit", "verify", "--json")[1])["head"]
    assert f"ends at {head}" in shown
    entrada("users", "disable", "Nora")
    assert entrada("audit", "verify", "--expect", head)[0] == 0
    forgotten = entrada("users", "delete", "Nora", "--yes")
    assert forgotten[0] == 0
    status, shown, _ = entrada("audit", "verify", "--expect", head)
    assert status == 0
    assert "2 of them without the person" in shown


def test_a_chain_that_was_changed_ends_with_status_1(entrada: Entrada, tmp_path: Path) -> None:
    """And a sentence that names the first bad entry; so does one that is not as expected."""
    head = json.loads(entrada("audit", "verify", "--json")[1])["head"]
    number, hash = head.split(":")
    status, _, said = entrada("audit", "verify", "--expect", f"{number}:{'0' * 64}")
    assert (status, "entry 6 is not the one that you expect" in said) == (1, True)
    assert entrada("audit", "verify", "--expect", f"9:{hash}")[0] == 1
    connection = sqlite3.connect(tmp_path / "entrada.db")
    with connection:
        connection.execute("UPDATE entrada_audit_entry SET at = at + 1 WHERE number = 4")
    connection.close()
    status, shown, said = entrada("audit", "verify")
    assert (status, shown) == (1, "")
    assert "The audit trail is not whole: entry 4 was changed, or what stood before it was." in said
    status, shown, _ = entrada("audit", "verify", "--json")
    assert (status, json.loads(shown)["ok"]) == (1, False)


def test_db_check_looks_at_the_end_of_the_chain(entrada: Entrada, tmp_path: Path) -> None:
    """Where nobody could sign in any more, it says why and what to do."""
    assert "the audit trail ends at entry 6" in entrada("db", "check")[1]
    connection = sqlite3.connect(tmp_path / "entrada.db")
    with connection:
        connection.execute("DELETE FROM entrada_audit_entry WHERE number = 6")
    connection.close()
    status, _, said = entrada("db", "check")
    assert status == 1
    assert "the audit trail ends at entry 5, and should at 6" in said
    assert "entrada audit verify" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--since", "yesterday"), "'yesterday' is no time."),
        (("--since", "99999999999d"), "is no time."),
        (("--since", "0001-01-01T00:00+14:00"), "is no time."),
        (("--until", "9999-12-31T23:59-14:00"), "is no time."),
        (("verify", "--expect", "12"), "'12' is no place in the chain."),
        (("verify", "--expect", "12:xyz"), "is no place in the chain."),
        (("--action", "dancing"), "invalid choice: 'dancing'"),
    ],
)
def test_a_wrong_word_is_one_sentence(entrada: Entrada, words: tuple[str, ...], sentence: str) -> None:
    """Nothing is listed, and the status says so."""
    status, shown, said = entrada("audit", *words)
    assert (status in (1, 2), shown) == (True, "")
    assert sentence in said


def test_a_restored_backup_is_an_entry_that_says_what_it_replaced(
    entrada: Entrada, stores: Stores, tmp_path: Path
) -> None:
    """The chain of the backup goes on: by whom it was put back, and where the other one had come."""
    assert entrada("db", "backup", "copy.db")[0] == 0
    entrada("users", "disable", "Nora")
    head = json.loads(entrada("audit", "verify", "--json")[1])["head"]
    stores.close()
    assert entrada("db", "restore", "copy.db", "--yes")[0] == 0
    shown = entrada("audit", "--limit", "2")[1]
    assert f"database_restored  replaced={head}  by command {ME}" in shown
    assert f"all_sessions_ended  count=2  by command {ME}" in shown
    assert "account_disabled" not in entrada("audit")[1]
    assert entrada("audit", "verify")[0] == 0
    assert entrada("audit", "verify", "--expect", head)[0] == 1
    assert entrada("db", "check")[0] == 0
