"""Claims about a person, as Entra words them for ID tokens and access tokens.

Source: Microsoft, "ID token claims reference", "Access token claims reference", "Optional claims".
"""

from __future__ import annotations

import hashlib
from typing import Any

from ..directory.records import App, Person
from ..protocol.encoding import b64url
from ..state.world import World

JWT_GROUP_LIMIT = 200
IMPLICIT_GROUP_LIMIT = 6


def pairwise_subject(person: Person, client_id: str) -> str:
    """The person's `sub` for one application: stable there, different everywhere else."""
    return b64url(hashlib.sha256(f"{person.tenant_id}|{person.object_id}|{client_id}".encode()).digest())


def login_hint(person: Person) -> str:
    """The opaque `login_hint` claim, which signing out takes back as `logout_hint`."""
    return f"O.{b64url(person.object_id.encode())}"


def by_login_hint(world: World, hint: str, *, tenant_id: str = "") -> Person | None:
    """The person a `login_hint` or `logout_hint` names: the opaque claim, a name or an address."""
    if hint.startswith("O."):
        return next((p for p in list(world.directory.people.values()) if login_hint(p) == hint), None)
    return world.directory.person(hint, tenant_id=tenant_id) if hint else None


def home_account(person: Person) -> tuple[str, str]:
    """Object id and tenant id that name the account across tenants, as `client_info` carries them."""
    return person.object_id, person.home_tenant_id or person.tenant_id


def identity_provider(person: Person) -> str:
    """The `idp` of a guest: the home tenant, in the form of version 1 issuers."""
    return f"https://sts.windows.net/{person.home_tenant_id}/"


def group_claims(world: World, person: Person, client: App, *, implicit: bool = False) -> dict[str, Any]:
    """`groups`, or where to ask for them when there are too many for the token."""
    if client.group_claims == "None":
        return {}
    ids = world.directory.group_ids_of(person)
    if client.group_claims == "ApplicationGroup":
        assigned = {
            a.principal_id
            for a in list(world.directory.assignments.values())
            if a.client_id == client.client_id
        }
        ids = [group_id for group_id in ids if group_id in assigned]
    ids = [group_id for group_id in ids if world.directory.groups[group_id].security_enabled]
    if not ids:
        return {}
    if implicit and len(ids) > IMPLICIT_GROUP_LIMIT:
        return {"hasgroups": True}
    if len(ids) > JWT_GROUP_LIMIT:
        # The host is retired; the live service names it still, and clients must not follow it.
        endpoint = f"https://graph.windows.net/{person.tenant_id}/users/{person.object_id}/getMemberObjects"
        return {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": endpoint}}}
    return {"groups": ids}


def role_claims(world: World, person: Person, client: App) -> dict[str, Any]:
    """`roles`, absent when none is assigned."""
    roles = world.directory.roles_of(client, person.object_id, person.groups)
    return {"roles": roles} if roles else {}


def email_claims(person: Person, client: App, *, asked: bool) -> dict[str, Any]:
    """`email` when the person has one and it was asked for, with `xms_edov` where configured."""
    if not person.mail or not (asked or "email" in client.optional_claims):
        return {}
    claims: dict[str, Any] = {"email": person.mail}
    if "xms_edov" in client.optional_claims:
        claims["xms_edov"] = person.mail_verified
    return claims


def optional_claims(person: Person, client: App, *, sid: str, auth_time: float) -> dict[str, Any]:
    """The optional claims the registration asks for."""
    values: dict[str, Any] = {
        "acct": 1 if person.guest else 0,
        "login_hint": login_hint(person),
        "sid": sid,
        "auth_time": int(auth_time),
        "upn": person.user_principal_name,
        "given_name": person.given_name,
        "family_name": person.surname,
    }
    return {name: values[name] for name in client.optional_claims if name in values and values[name] != ""}


def v1_name_claims(person: Person) -> dict[str, Any]:
    """Names as version 1 tokens carry them; `unique_name` of a guest is the home name with its provider."""
    claims: dict[str, Any] = {
        "family_name": person.surname,
        "given_name": person.given_name,
        "name": person.display_name,
        "unique_name": person.sign_in_name,
    }
    if person.guest:
        claims["email"] = person.mail
        claims["idp"] = identity_provider(person)
        claims["unique_name"] = person.mail
    else:
        claims["upn"] = person.user_principal_name
    return {name: value for name, value in claims.items() if value}
