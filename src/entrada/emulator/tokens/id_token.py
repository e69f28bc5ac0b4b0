"""ID tokens: which claims, in the order in which Entra writes them.

Those of the token endpoint carry no `at_hash` or `c_hash`.
Source: Microsoft, "ID token claims reference"; observed members of the live service are listed in
docs/how-to/emulator.md.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ..directory.records import App, Person
from ..faults.tampering import sign_token
from ..protocol.encoding import b64url
from ..protocol.scopes import RequestedScope
from ..state.grant import Grant
from ..state.world import World
from . import identity_claims as person_claims
from .opaque import BACKDATED_SECONDS, opaque
from .tenants import issuer

ID_TOKEN_SECONDS = 3600


def id_token(
    world: World,
    *,
    base_url: str,
    client: App,
    person: Person,
    grant: Grant,
    scope: RequestedScope,
    grant_type: str,
    implicit: bool = False,
    extra: dict[str, Any] | None = None,
    access_token: str = "",
) -> str:
    """A signed ID token in the version of the endpoint that is asked.

    `access_token` is what comes with it; only a fault says its hash.
    """
    now = int(world.clock.now())
    claims: dict[str, Any] = {
        "aud": client.client_id,
        "iss": issuer(world, base_url, person.tenant_id, version=grant.version),
        "iat": now - BACKDATED_SECONDS,
        "nbf": now - BACKDATED_SECONDS,
        "exp": now + ID_TOKEN_SECONDS,
    }
    if grant.acrs:
        claims["acrs"] = list(grant.acrs)
    claims["aio"] = opaque("A", 40)
    if person.guest:
        claims["idp"] = person_claims.identity_provider(person)
    if grant.nonce:
        claims["nonce"] = grant.nonce
    if grant.version == 1:
        claims.update(person_claims.v1_name_claims(person), oid=person.object_id)
        claims["amr"] = ["pwd", "mfa"] if grant.mfa else ["pwd"]
    elif "profile" in scope.oidc:
        claims.update(name=person.display_name, oid=person.object_id, preferred_username=person.sign_in_name)
    claims.update(person_claims.email_claims(person, client, asked="email" in scope.oidc))
    claims.update(person_claims.group_claims(world, person, client, implicit=implicit))
    claims.update(person_claims.role_claims(world, person, client))
    claims.update(person_claims.optional_claims(person, client, sid=grant.sid, auth_time=grant.auth_time))
    if grant.max_age:
        claims["auth_time"] = int(grant.auth_time)
    claims["rh"] = opaque("1.A", 24)
    claims["sub"] = person_claims.pairwise_subject(person, client.client_id)
    claims["tid"] = person.tenant_id
    claims["uti"] = opaque("", 16)
    claims["ver"] = f"{grant.version}.0"
    claims.update(extra or {})
    right = {"at_hash": half_hash(access_token)} if world.faults and access_token else {}
    return sign_token(world, claims, target="id_token", client=client, grant=grant_type, right=right)


def half_hash(text: str) -> str:
    """`at_hash` of an access token, `c_hash` of a code.

    Source: OpenID Connect Core 1.0, 3.1.3.6, 3.3.2.11.
    """
    return b64url(hashlib.sha256(text.encode()).digest()[:16])
