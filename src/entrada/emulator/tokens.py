"""Minting: ID tokens, access tokens and the token endpoint's answer.

Tokens for Graph look like any other but cannot be checked by anybody: Entra signs a header other than the
one it sends, and so does the emulator, which moreover saves the RSA operation for a keyed hash of the same
length.  Tokens from the token endpoint carry no `at_hash` or `c_hash`.
Source: Microsoft, "ID token claims reference", "Access token claims reference"; observed members of the
live service are listed in docs/how-to/emulator.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import struct
from base64 import urlsafe_b64decode
from typing import Any

from . import identity_claims as person_claims
from .directory import App, Person, Tenant
from .discovery import issuer
from .grant import REFRESH, Grant
from .keys import b64url, compact_json
from .scopes import RequestedScope, Resource
from .tampering import sign_token, tamper_document
from .world import World, read_claims_parameter

BACKDATED_SECONDS = 300
ID_TOKEN_SECONDS = 3600
_SIGNATURE_BYTES = 256
_filler = random.Random()  # noqa: S311 it decides nothing, and asking the system four times a token costs


def access_token_seconds(*, continuous: bool) -> int:
    """A random life as at Entra: 60 to 90 minutes, 20 to 28 hours under continuous access evaluation."""
    # Jitter, not secrecy.
    return random.randint(72_000, 100_800) if continuous else random.randint(3_600, 5_400)  # noqa: S311


def wants_continuous_access(claims_parameter: str) -> bool:
    """Whether the client said `xms_cc` with `cp1`: it understands claims challenges."""
    asked = read_claims_parameter(claims_parameter).get("access_token")
    capabilities = asked.get("xms_cc") if isinstance(asked, dict) else None
    return isinstance(capabilities, dict) and "cp1" in capabilities.get("values", ())


def _opaque(prefix: str, size: int) -> str:
    """Filler where Entra writes something only it can read: different each time, and no secret."""
    return prefix + b64url(_filler.randbytes(size))


_NOTE = struct.Struct(">d?")


def _note(now: float, *, mfa: bool) -> str:
    """`aio`, the service's own note on a token: to the fraction of a second when, and how strongly."""
    return _opaque("A" + b64url(_NOTE.pack(now, mfa)), 31)


def read_note(claims: dict[str, Any]) -> tuple[float, bool]:
    """When a token was made, and whether with a second factor; without the note, as its dates tell."""
    try:
        made, mfa = _NOTE.unpack(urlsafe_b64decode(str(claims["aio"])[1:13]))
    except (KeyError, ValueError, struct.error):
        return float(claims["iat"]) + BACKDATED_SECONDS, False
    return made, mfa


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
) -> str:
    """A signed ID token in the version of the endpoint that is asked."""
    now = int(world.clock.now())
    claims: dict[str, Any] = {
        "aud": client.client_id,
        "iss": issuer(base_url, person.tenant_id, version=grant.version),
        "iat": now - BACKDATED_SECONDS,
        "nbf": now - BACKDATED_SECONDS,
        "exp": now + ID_TOKEN_SECONDS,
    }
    if grant.acrs:
        claims["acrs"] = list(grant.acrs)
    claims["aio"] = _opaque("A", 40)
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
    claims["rh"] = _opaque("1.A", 24)
    claims["sub"] = person_claims.pairwise_subject(person, client.client_id)
    claims["tid"] = person.tenant_id
    claims["uti"] = _opaque("", 16)
    claims["ver"] = f"{grant.version}.0"
    claims.update(extra or {})
    return sign_token(world, claims, target="id_token", client=client, grant=grant_type)


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
        "iss": issuer(base_url, person.tenant_id, version=version),
        "iat": now - BACKDATED_SECONDS,
        "nbf": now - BACKDATED_SECONDS,
        "exp": now + seconds,
        "aio": _note(moment, mfa=grant.mfa),
        "oid": person.object_id,
        "rh": _opaque("1.A", 24),
        "scp": " ".join(permissions),
        "sid": grant.sid,
        "sub": person_claims.pairwise_subject(person, resource.resource_id),
        "tid": person.tenant_id,
        "uti": _opaque("", 16),
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
        "iss": issuer(base_url, tenant.tenant_id, version=version),
        "iat": now - BACKDATED_SECONDS,
        "nbf": now - BACKDATED_SECONDS,
        "exp": now + seconds,
        "aio": _opaque("k2", 30),
    }
    if version == 2:
        claims.update(azp=client.client_id, azpacr=authentication)
    else:
        claims.update(
            appid=client.client_id,
            appidacr=authentication,
            idp=issuer(base_url, tenant.tenant_id, version=1),
        )
    if resource.is_graph:
        claims.update(app_displayname=client.display_name, idtyp="app")
    elif resource.app is not None and "idtyp" in resource.app.optional_claims:
        claims["idtyp"] = "app"
    claims.update(oid=client.service_principal_id, rh=_opaque("1.A", 24))
    if roles:
        claims["roles"] = roles
    claims.update(
        sub=client.service_principal_id,
        tid=tenant.tenant_id,
        uti=_opaque("", 16),
        ver=f"{version}.0",
        xms_ftd=_opaque("", 30),
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
    header = {"typ": "JWT", "nonce": _opaque("", 32), "alg": "RS256", "kid": world.keys.current.kid}
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


def token_answer(
    world: World,
    *,
    base_url: str,
    client: App,
    person: Person,
    grant: Grant,
    scope: RequestedScope,
    authentication: str,
    grant_type: str,
    client_info: bool,
    claims_parameter: str = "",
) -> dict[str, Any]:
    """The token endpoint's answer for a person: tokens as far as the scope asks for them."""
    continuous = scope.resource.is_graph and wants_continuous_access(claims_parameter or grant.claims)
    seconds = access_token_seconds(continuous=continuous)
    permissions = granted_permissions(world, client, person, scope)
    answer: dict[str, Any] = {
        "token_type": "Bearer",
        "scope": _scope_answer(scope, permissions),
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": delegated_access_token(
            world,
            base_url=base_url,
            client=client,
            person=person,
            grant=grant,
            resource=scope.resource,
            permissions=permissions,
            authentication=authentication,
            grant_type=grant_type,
            seconds=seconds,
            continuous=continuous,
        ),
    }
    if grant.version == 1:
        answer["expires_in"] = answer["ext_expires_in"] = str(seconds)
        answer["expires_on"] = str(int(world.clock.now()) + seconds)
        answer["resource"] = scope.resource.audience
    if "offline_access" in scope.oidc or grant.version == 1:
        carried_on = grant.for_refreshing(now=world.clock.now())
        answer["refresh_token"] = world.sealer.seal(REFRESH, carried_on)
    if "openid" in scope.oidc or grant.version == 1:
        answer["id_token"] = id_token(
            world,
            base_url=base_url,
            client=client,
            person=person,
            grant=grant,
            scope=scope,
            grant_type=grant_type,
        )
    if client_info:
        answer["client_info"] = client_info_of(person)
    return tamper_document(world, "token_response", answer)


def client_info_of(person: Person) -> str:
    """The account's home identifiers, as MSAL keys its cache by them."""
    uid, utid = person_claims.home_account(person)
    return b64url(compact_json({"uid": uid, "utid": utid}))


def granted_permissions(world: World, client: App, person: Person, scope: RequestedScope) -> list[str]:
    """Every permission of the resource the application holds for this person, as `scp` lists them."""
    prefix = f"{scope.resource.resource_id}/"
    held = world.directory.consented(client, person.tenant_id, person.object_id)
    names = {permission.removeprefix(prefix) for permission in held if permission.startswith(prefix)}
    if scope.resource.app is not None and scope.resource.app.client_id == client.client_id:
        names.update(scope.permissions)
    if scope.resource.is_graph:
        names.update(name for name in scope.oidc if name != "offline_access")
    return sorted(names)


def _scope_answer(scope: RequestedScope, permissions: list[str]) -> str:
    words = [name for name in scope.oidc if name != "offline_access"]
    words += [
        scope.as_written.get(name, _full_name(scope, name)) for name in permissions if name not in words
    ]
    return " ".join(words)


def _full_name(scope: RequestedScope, name: str) -> str:
    if scope.resource.is_graph:
        return name
    identifiers = scope.resource.app.identifier_uris if scope.resource.app else ()
    return f"{identifiers[0] if identifiers else scope.resource.audience}/{name}"
