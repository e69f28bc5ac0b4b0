"""The token endpoint's response for a person: tokens as far as the scope asks for them.

Source: RFC 6749, 5.1; OpenID Connect Core 1.0, 3.1.3.3.
"""

from __future__ import annotations

from typing import Any

from ..directory.records import App, Person
from ..faults.tampering import tamper_document
from ..protocol.encoding import b64url, compact_json
from ..protocol.scopes import RequestedScope
from ..state.grant import REFRESH, Grant
from ..state.world import World
from . import identity_claims as person_claims
from .access_token import access_token_seconds, delegated_access_token
from .claims_parameter import wants_continuous_access
from .id_token import id_token


def token_response(
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
    """The token endpoint's response for a person: tokens as far as the scope asks for them."""
    continuous = scope.resource.is_graph and wants_continuous_access(claims_parameter or grant.claims)
    seconds = access_token_seconds(continuous=continuous)
    permissions = granted_permissions(world, client, person, scope)
    response: dict[str, Any] = {
        "token_type": "Bearer",
        "scope": _scope_text(scope, permissions),
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
        response["expires_in"] = response["ext_expires_in"] = str(seconds)
        response["expires_on"] = str(int(world.clock.now()) + seconds)
        response["resource"] = scope.resource.audience
    if "offline_access" in scope.oidc or grant.version == 1:
        carried_on = grant.for_refreshing(now=world.clock.now())
        response["refresh_token"] = world.sealer.seal(REFRESH, carried_on)
    if "openid" in scope.oidc or grant.version == 1:
        response["id_token"] = id_token(
            world,
            base_url=base_url,
            client=client,
            person=person,
            grant=grant,
            scope=scope,
            grant_type=grant_type,
            access_token=response["access_token"],
        )
    if client_info:
        response["client_info"] = client_info_of(person)
    return tamper_document(world, "token_response", response)


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


def _scope_text(scope: RequestedScope, permissions: list[str]) -> str:
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
