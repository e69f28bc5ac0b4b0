"""Access tokens: for a person, for an application, and for Graph.

Tokens for Graph look like any other but cannot be checked by anybody: Entra signs a header other than the
one it sends, and so does the emulator, which moreover saves the RSA operation for a keyed hash of the same
length.
Source: Microsoft, "Access token claims reference"; observed members of the live service are listed in
docs/how-to/emulator.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from random import SystemRandom
from typing import Any

from ..directory.records import App, Person, Tenant
from ..faults.tampering import sign_token
from ..protocol.encoding import b64url, compact_json
from ..protocol.scopes import Resource
from ..state.grant import Grant
from ..state.world import World
from . import identity_claims as person_claims
from .opaque import BACKDATED_SECONDS, note, opaque
from .tenants import issuer

_SIGNATURE_BYTES = 256
_lives = SystemRandom()


def access_token_seconds(*, continuous: bool) -> int:
    """A random life as at Entra: 60 to 90 minutes, 20 to 28 hours under continuous access evaluation."""
    return _lives.randint(72_000, 100_800) if continuous else _lives.randint(3_600, 5_400)


def delegated_access_token(
    world: World,
    *,
    base_url: str,
    client: App,
    person: Person,
    grant: Grant,
    resource: Resource,
    permissions: list[str],
    authentication: str,
    grant_type: str,
    seconds: int,
    continuous: bool,
) -> str:
    """An access token for the resource in the person's name."""
    moment = world.clock.now()
    now = int(moment)
    version = 1 if resource.app is None else resource.app.access_token_version
    claims: dict[str, Any] = {
        "aud": resource.audience,
        "iss": issuer(world, base_url, person.tenant_id, version=version),
        "iat": now - BACKDATED_SECONDS,
        "nbf": now - BACKDATED_SECONDS,
        "exp": now + seconds,
        "aio": note(moment, mfa=grant.mfa),
        "oid": person.object_id,
        "rh": opaque("1.A", 24),
        "scp": " ".join(permissions),
        "sid": grant.sid,
        "sub": person_claims.pairwise_subject(person, resource.resource_id),
        "tid": person.tenant_id,
        "uti": opaque("", 16),
        "ver": f"{version}.0",
    }
    if version == 1:
        claims.update(person_claims.v1_name_claims(person))
        claims.update(
            acr="1",
            amr=["pwd", "mfa"] if grant.mfa else ["pwd"],
            app_displayname=client.display_name,
            appid=client.client_id,
            appidacr=authentication,
            ipaddr="127.0.0.1",
        )
    else:
        claims.update(
            azp=client.client_id,
            azpacr=authentication,
            name=person.display_name,
            preferred_username=person.sign_in_name,
        )
        if person.guest:
            claims["idp"] = person_claims.identity_provider(person)
    if resource.is_graph:
        claims["acct"] = 1 if person.guest else 0
        claims["idtyp"] = "user"
    if grant.acrs:
        claims["acrs"] = list(grant.acrs)
    if continuous:
        claims["xms_cc"] = ["CP1"]
    if resource.app is not None:
        claims.update(person_claims.role_claims(world, person, resource.app))
        claims.update(person_claims.group_claims(world, person, resource.app))
        if "idtyp" in resource.app.optional_claims:
            claims["idtyp"] = "user"
    return _access_token(world, claims, resource, client, grant_type)


def application_access_token(
    world: World,
    *,
    base_url: str,
    client: App,
    tenant: Tenant,
    resource: Resource,
    authentication: str,
    roles: list[str],
    seconds: int,
) -> str:
    """An access token in the application's own name."""
    now = int(world.clock.now())
    version = 1 if resource.app is None else resource.app.access_token_version
    claims: dict[str, Any] = {
        "aud": resource.audience,
        "iss": issuer(world, base_url, tenant.tenant_id, version=version),
        "iat": now - BACKDATED_SECONDS,
        "nbf": now - BACKDATED_SECONDS,
        "exp": now + seconds,
        "aio": opaque("k2", 30),
    }
    if version == 2:
        claims.update(azp=client.client_id, azpacr=authentication)
    else:
        claims.update(
            appid=client.client_id,
            appidacr=authentication,
            idp=issuer(world, base_url, tenant.tenant_id, version=1),
        )
    if resource.is_graph:
        claims.update(app_displayname=client.display_name, idtyp="app")
    elif resource.app is not None and "idtyp" in resource.app.optional_claims:
        claims["idtyp"] = "app"
    claims.update(oid=client.service_principal_id, rh=opaque("1.A", 24))
    if roles:
        claims["roles"] = roles
    claims.update(
        sub=client.service_principal_id,
        tid=tenant.tenant_id,
        uti=opaque("", 16),
        ver=f"{version}.0",
        xms_ftd=opaque("", 30),
    )
    return _access_token(world, claims, resource, client, "client_credentials")


def _access_token(
    world: World, claims: dict[str, Any], resource: Resource, client: App, grant_type: str
) -> str:
    if resource.is_graph:
        return graph_token(world, claims)
    return sign_token(world, claims, target="access_token", client=client, grant=grant_type)


def graph_token(world: World, claims: dict[str, Any]) -> str:
    """A token only Graph can check: its header carries a nonce that was hashed before signing."""
    header = {"typ": "JWT", "nonce": opaque("", 32), "alg": "RS256", "kid": world.keys.current.kid}
    signed = f"{b64url(compact_json(header))}.{b64url(compact_json(claims))}"
    return f"{signed}.{b64url(_graph_signature(world, signed))}"


def _graph_signature(world: World, signed: str) -> bytes:
    return hashlib.shake_256(world.graph_key + signed.encode()).digest(_SIGNATURE_BYTES)


def read_graph_token(world: World, token: str) -> dict[str, Any] | None:
    """The claims of a Graph token this emulator made, expired or not; None for anything else."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(b64url(_graph_signature(world, signed)).encode(), signature.encode()):
        return None
    payload = signed.partition(".")[2]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
