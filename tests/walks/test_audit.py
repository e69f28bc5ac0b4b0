"""The audit trail on the real way: what a person does, and what is done to them, with who and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from entrada.audit.chain import AuditEntry, read_object
from entrada.audit.verify import verify
from entrada.errors import ConfigurationError
from entrada.sessions.token import ID_LENGTH
from walks.conftest import NewVisitor, Serve
from walks.site import ROLES, Site, wait_until


def entries_of(site: Site) -> list[AuditEntry]:
    auditing = site.auth.relying_party.auditing
    assert auditing is not None
    auditing.refusals.settle()
    return list(auditing.trail.following(0))


def told(entry: AuditEntry) -> tuple[str, str, object]:
    """What, by whom, and why, or which role or code."""
    details = read_object(entry.details)
    return entry.action, entry.actor_kind, details.get("role") or details.get("code") or details.get("reason")


def test_a_sign_in_and_a_sign_out_are_entered(serve: Serve, new_visitor: NewVisitor, pat: Any) -> None:
    """Account, roles, session and its end, of one person, in a chain that is whole."""
    site = serve(ENTRADA_ROLES_MAPPING=ROLES)
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    visitor.sign_out()
    found = entries_of(site)
    account = site.account_of(pat)
    assert account is not None
    roles = [("role_granted", "entra", role) for role in sorted(account.roles)]
    assert [told(each) for each in found] == [
        ("account_created", "person", "sign-in"),
        *roles,
        ("sign_in_completed", "person", None),
        ("session_ended", "person", "signed out"),
    ]
    assert {each.user_id for each in found} == {account.id}
    assert found[-1].session_id == found[-2].session_id
    assert verify(site.auth.relying_party.auditing.trail).fault is None  # type: ignore[union-attr]


def test_K29_a_refused_person_is_entered_with_the_roles_they_had(
    serve: Serve, new_visitor: NewVisitor, pat: Any
) -> None:
    """Who it was, what they came with, and the number on their page."""
    site = serve(ENTRADA_ROLES_MAPPING='{"Nothing": "Nobody"}', ENTRADA_ROLES_REQUIRED="true")
    page = new_visitor(site).sign_in_as(pat)
    assert page.status_code == 403
    (entry,) = entries_of(site)
    details = read_object(entry.details)
    assert (entry.action, entry.object_id, details["code"]) == (
        "sign_in_refused",
        pat.object_id,
        "role_required",
    )
    assert read_object(entry.personal)["account"] == pat.user_principal_name
    assert details["incident"] in page.text
    assert "roles" in details
    assert entry.user_id is None


def test_nothing_secret_of_a_whole_sign_in_is_entered(
    serve: Serve, new_visitor: NewVisitor, pat: Any
) -> None:
    """No cookie, and no sid, of a sign-in and a sign-out."""
    site = serve(ENTRADA_ROLES_MAPPING=ROLES)
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    cookie = visitor.session_cookie
    assert cookie is not None
    sessions = site.auth.relying_party.sessions.list_sessions()
    (sid,) = [session.entra_session_id for session in sessions]
    assert sid is not None
    visitor.sign_out()
    text = json.dumps([[each.documented(), each.commitment] for each in entries_of(site)])
    for secret in (sid, cookie.value, cookie.value[ID_LENGTH:].strip(".")):
        assert len(secret) > 8
        assert secret not in text


def test_entries_are_written_out_while_the_server_runs(
    serve: Serve, new_visitor: NewVisitor, pat: Any, tmp_path: Path
) -> None:
    """The setting is all it takes; a second or so later they are there, in order."""
    path = tmp_path / "audit.jsonl"
    site = serve(ENTRADA_ROLES_MAPPING=ROLES, ENTRADA_AUDIT_LOG=str(path))
    new_visitor(site).sign_in_as(pat)
    expected = [each.number for each in entries_of(site)]
    wait_until(lambda: len(path.read_text().splitlines()) >= len(expected))
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == expected


def test_a_log_that_cannot_be_written_stops_the_start(serve: Serve, tmp_path: Path) -> None:
    """With a sentence that names the setting, and who can mend it."""
    with pytest.raises(ConfigurationError) as refused:
        serve(ENTRADA_AUDIT_LOG=str(tmp_path / "nowhere" / "audit.jsonl"))
    assert "ENTRADA_AUDIT_LOG names" in refused.value.sentence
    assert "No such file or directory" in refused.value.sentence
    assert refused.value.setting == "ENTRADA_AUDIT_LOG"


def test_what_is_kept_long_enough_goes_while_people_sign_in(
    serve: Serve, new_visitor: NewVisitor, pat: Any
) -> None:
    """As ENTRADA_AUDIT_KEEP says: cut at the beginning, with an entry, and the chain is whole."""
    site = serve(ENTRADA_AUDIT_KEEP="30d")
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    before = entries_of(site)
    site.clock.pass_by(days=31)
    for _ in range(2):
        new_visitor(site).sign_in_as(pat)
        site.auth.relying_party.prune.wait()
        site.clock.pass_by(minutes=2)
    found = entries_of(site)
    assert found[0].number > before[-1].number
    assert any(told(each) == ("audit_pruned", "entrada", "kept for 30d") for each in found)
    assert verify(site.auth.relying_party.auditing.trail).fault is None  # type: ignore[union-attr]
