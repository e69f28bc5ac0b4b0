"""The audit trail on the real way: what a person does, and what is done to them, with who and why."""

from __future__ import annotations

import json
from typing import Any

from entrada.audit.chain import AuditEntry, read_object
from entrada.audit.verify import verify
from entrada.sessions.token import ID_LENGTH
from walks.conftest import NewVisitor, Serve
from walks.site import ROLES, Site


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
