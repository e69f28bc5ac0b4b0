"""Why somebody has the roles they have, and what keeps them out: the sentences of page and command alike.

What Entra says is as of the last sign-in, or the last look at who is signed in. Settings stand as markers.
Values in, words out; only names of administrators are looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from entrada.accounts.admission import AdmissionPolicy
from entrada.accounts.identity import GrantSource, RoleGrant, User, UserId
from entrada.accounts.roles import RoleMapping, RolesSync
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.accounts.store import AccountStore
from entrada.audit.chain import AuditEntry, read_object
from entrada.audit.trail import AuditQuery
from entrada.compatibility import UTC
from entrada.entra.authority import parse_guid

BY_ADMINISTRATOR = "administrator "
"""How `RoleGrant.granted_by` begins, before the account's id: a name would outlive its person's account."""


def given_by(grant: RoleGrant, accounts: AccountStore) -> str:
    """Who or what gave a role; of an administrator who has an account, the name."""
    user_id = grant.granted_by.removeprefix(BY_ADMINISTRATOR)
    if grant.source is not GrantSource.MANUAL or user_id == grant.granted_by:
        return grant.granted_by
    user = accounts.get(UserId(user_id))
    return f"administrator {user_id}, whose account is deleted" if user is None else in_words(user)


def in_words(user: User) -> str:
    """Who somebody is, for people: names alone are not unique."""
    account = user.profile.email or user.profile.username or user.id
    return f"{user.profile.name} ({account})"


def audit_of(user: User) -> AuditQuery:
    """What happened to somebody, or was done by them."""
    return AuditQuery(user_id=user.id, object_ids=[linked.identity.object_id for linked in user.identities])


def audit_of_stranger(called: str) -> AuditQuery:
    """What happened to somebody without an account: by object ID, or part of a name."""
    object_id = parse_guid(called)
    return AuditQuery(called=called) if object_id is None else AuditQuery(object_ids=[object_id])


def obstacles(user: User, policy: AdmissionPolicy) -> Sequence[str]:
    """What keeps this person from signing in, as far as it is known here."""
    found = []
    if not user.is_enabled:
        found.append(f"Cannot sign in: disabled here since {_moment(user.disabled_at)}.")
    homes = policy.guests.homes
    if user.profile.is_guest and homes is not None and not homes:
        found.append("Cannot sign in: a guest, and $[guests] lets none in.")
    if policy.roles.required and not user.grants:
        found.append("Cannot sign in without a role ($[roles_required]), unless Entra gives one then.")
    return found


def endings(kept: Sequence[SealedSignIn]) -> Sequence[str]:
    """What Entra said as it ended this person's access."""
    return [
        f"Signed out {_moment(each.ended_at)}, because Entra said of {each.identity.object_id}: "
        f"{each.ended_because or 'nothing'}. The next sign-in shows whether that still holds."
        for each in kept
        if each.ended_at is not None
    ]


def reason_of(grant: RoleGrant, roles: RoleMapping, accounts: AccountStore) -> str:
    """Why somebody has a role, and what takes it back."""
    since, by = f"since {_moment(grant.granted_at)}", given_by(grant, accounts)
    if grant.source is GrantSource.MANUAL:
        ends = "" if grant.until is None else f" It ends {_moment(grant.until)}."
        return f"given by hand ({by}), {since}. No sign-in takes it back.{ends}"
    if any(by == reason and grant.role in given for reason, given in roles.lines):
        return f"Entra gives it ({by}), by that line of $[roles_mapping], {since}."
    when = (
        "It goes with the next sign-in or look."
        if roles.sync is RolesSync.EVERY_SIGN_IN
        else "It stays, because roles follow the first sign-in alone ($[roles_sync])."
    )
    return f"Entra gave it ({by}), {since}, but no line of $[roles_mapping] does so today. {when}"


def refusal_in_words(entry: AuditEntry, policy: AdmissionPolicy) -> str:
    """When and why somebody was refused, and what would let them in, from the entry in the audit trail."""
    details = read_object(entry.details)
    code, roles = str(details.get("code") or "refused"), str(details.get("roles") or "none")
    said = f"Refused {_moment(entry.at)}: {_why(code, details, roles, policy)}"
    incident = details.get("incident")
    return f"{said} Incident {incident}." if incident else said


def who_was_refused(entry: AuditEntry) -> str:
    """Who an entry about a refusal is about, as far as Entra vouched for them."""
    personal = read_object(entry.personal)
    account = personal.get("account") or entry.object_id or "no account"
    return f"{personal.get('name') or 'Somebody'} ({account})"


def _why(code: str, details: Mapping[str, object], roles: str, policy: AdmissionPolicy) -> str:
    if code == "role_required":
        lines = ", ".join(reason for reason, _ in policy.roles.lines) or "nothing"
        return (
            f"no role that is asked for. Entra's roles for them: {roles}. $[roles_mapping] gives roles for: "
            f"{lines}."
        )
    if code == "guest_refused":
        return "a guest, and $[guests] does not let them in."
    if code == "account_disabled":
        return "disabled here."
    if code == "tenant_refused":
        return "of another tenant than those that may sign in ($[tenant_id], $[allowed_tenants])."
    if code == "entra_refused":
        number = details.get("aadsts")
        return f"Microsoft said {f'AADSTS{number}' if number else details.get('error') or 'no'}."
    return f"{code}{f' ({details[key]})' if (key := 'check') in details else ''}."


def ways_to(role: str, roles: RoleMapping) -> Sequence[str]:
    """What of Entra's would give this role."""
    return [reason for reason, given in roles.lines if role in given]


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
