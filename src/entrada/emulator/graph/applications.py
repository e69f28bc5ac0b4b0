"""Applications and service principals at Graph: read, create, change, secrets, role assignments.

A service principal here is the other face of a registration: both exist together.
Source: Microsoft Graph v1.0, resource types application, servicePrincipal, appRoleAssignment.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..directory.mappings import RecordError
from ..directory.records import GRAPH_APP_ID, App, AppRole, Certificate, RoleAssignment, Secret, new_id
from ..directory.registration import check_registration
from ..protocol.http import Request, Response, json_response
from ..state.world import World
from . import query, shapes
from .access import Caller, GraphError

_READ = ("Application.Read.All", "Application.ReadWrite.All", "Application.ReadWrite.OwnedBy")
_WRITE = ("Application.ReadWrite.All", "Application.ReadWrite.OwnedBy", "Directory.ReadWrite.All")
_ASSIGN = ("AppRoleAssignment.ReadWrite.All",)
_TWO_YEARS_SECONDS = 2 * 365 * 24 * 3600


def _missing(name: str) -> GraphError:
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{name[:100]}' does not exist, or an object it refers to does not.",
    )


def _app(world: World, who: Caller, name: str, *, key: str) -> App:
    """The tenant's application by object id, service principal id, or `appid=` application id."""
    wanted = name.lower()
    if wanted.startswith("appid="):
        key, wanted = "client_id", wanted.removeprefix("appid=")
    for app in list(world.directory.apps.values()):
        if getattr(app, key) == wanted and (app.tenant_id == who.tenant_id or key == "service_principal_id"):
            return app
    raise _missing(name)


def _page(request: Request, records: list[dict[str, Any]], context: str) -> Response:
    return json_response(
        query.collection(records, request, path=request.path, base_url=request.base_url, context=context)
    )


def _body(request: Request) -> dict[str, Any]:
    body = request.json()
    if not isinstance(body, dict):
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.")
    return body


def service_principals(world: World, request: Request, who: Caller) -> Response:
    """The enterprise applications of the tenant, Graph's own included."""
    who.need(*_READ)
    records = [
        shapes.service_principal(app)
        for app in list(world.directory.apps.values())
        if app.tenant_id == who.tenant_id or app.multi_tenant
    ]
    return _page(request, [*records, shapes.graph_principal()], "servicePrincipals")


def service_principal(world: World, request: Request, who: Caller, name: str) -> Response:
    """One enterprise application."""
    who.need(*_READ)
    if name.lower() in (shapes.GRAPH_PRINCIPAL_ID, f"appid={GRAPH_APP_ID}"):
        return json_response(query.shaped(shapes.graph_principal(), request))
    return json_response(
        query.shaped(shapes.service_principal(_app(world, who, name, key="service_principal_id")), request)
    )


def update_service_principal(world: World, request: Request, who: Caller, name: str) -> Response:
    """Switch sign-in or the need for an assignment on or off."""
    who.need(*_WRITE)
    app = _app(world, who, name, key="service_principal_id")
    body = _body(request)
    world.directory.put(
        replace(
            app,
            enabled=bool(body.get("accountEnabled", app.enabled)),
            assignment_required=bool(body.get("appRoleAssignmentRequired", app.assignment_required)),
        )
    )
    return Response(status=204)


def create_service_principal(world: World, request: Request, who: Caller) -> Response:
    """The enterprise application of an existing registration."""
    who.need(*_WRITE)
    app = world.directory.apps.get(str(_body(request).get("appId", "")).lower())
    if app is None:
        raise GraphError(400, "Request_BadRequest", "The appId names no application.")
    return json_response(shapes.service_principal(app), status=201)


def app_roles(world: World, request: Request, who: Caller, name: str) -> Response:
    """The roles an application defines."""
    who.need(*_READ)
    app = _app(world, who, name, key="service_principal_id")
    return _page(request, [shapes.app_role(role) for role in app.app_roles], "appRoles")


def assigned_to(world: World, request: Request, who: Caller, name: str) -> Response:
    """Who holds roles of the application."""
    who.need(*_READ)
    app = _app(world, who, name, key="service_principal_id")
    records = [a for a in list(world.directory.assignments.values()) if a.client_id == app.client_id]
    return _page(request, [shapes.role_assignment(a, world.directory) for a in records], "appRoleAssignments")


def assignments_of(world: World, request: Request, who: Caller, name: str) -> Response:
    """The roles the application itself holds elsewhere."""
    who.need(*_READ)
    app = _app(world, who, name, key="service_principal_id")
    records = [
        a for a in list(world.directory.assignments.values()) if a.principal_id == app.service_principal_id
    ]
    return _page(request, [shapes.role_assignment(a, world.directory) for a in records], "appRoleAssignments")


def assign(world: World, request: Request, who: Caller, name: str) -> Response:
    """Give a role to a person, group or application."""
    who.need(*_ASSIGN)
    app = _app(world, who, name, key="service_principal_id")
    body = _body(request)
    principal, role_id = str(body.get("principalId", "")).lower(), str(body.get("appRoleId", "")).lower()
    holders = {a.service_principal_id for a in list(world.directory.apps.values())}
    if principal not in {*world.directory.people, *world.directory.groups, *holders}:
        raise _missing(principal)
    if role_id not in {role.role_id for role in app.app_roles}:
        raise GraphError(400, "Request_BadRequest", "Permission being assigned was not found on application.")
    if any(
        a.principal_id == principal and a.role_id == role_id and a.client_id == app.client_id
        for a in list(world.directory.assignments.values())
    ):
        raise GraphError(400, "Request_BadRequest", "Permission being assigned already exists on the object.")
    record = RoleAssignment(client_id=app.client_id, principal_id=principal, role_id=role_id)
    world.directory.put(record)
    return json_response(shapes.role_assignment(record, world.directory), status=201)


def unassign(world: World, _request: Request, who: Caller, name: str, assignment: str) -> Response:
    """Take a role away."""
    who.need(*_ASSIGN)
    app = _app(world, who, name, key="service_principal_id")
    known = world.directory.assignments.get(assignment.lower())
    if known is None or known.client_id != app.client_id:
        raise _missing(assignment)
    del world.directory.assignments[known.assignment_id]
    world.directory.changes += 1
    return Response(status=204)


def applications(world: World, request: Request, who: Caller) -> Response:
    """The tenant's registrations."""
    who.need(*_READ)
    own = [app for app in list(world.directory.apps.values()) if app.tenant_id == who.tenant_id]
    return _page(request, [shapes.application(app) for app in own], "applications")


def application(world: World, request: Request, who: Caller, name: str) -> Response:
    """One registration."""
    who.need(*_READ)
    return json_response(query.shaped(shapes.application(_app(world, who, name, key="object_id")), request))


def create(world: World, request: Request, who: Caller) -> Response:
    """A new registration."""
    who.need(*_WRITE)
    body = _body(request)
    if not isinstance(body.get("displayName"), str) or not body["displayName"]:
        raise GraphError(
            400, "Request_BadRequest", "A value is required for property 'displayName' of resource."
        )
    # Like the live service's, a registration that does not say otherwise gets access tokens of version 1.
    app = _changed(App(tenant_id=who.tenant_id, access_token_version=1), body)
    world.directory.put(app)
    return json_response(shapes.application(app), status=201)


def update(world: World, request: Request, who: Caller, name: str) -> Response:
    """Change a registration."""
    who.need(*_WRITE)
    app = _app(world, who, name, key="object_id")
    world.directory.put(_changed(app, _body(request)))
    return Response(status=204)


def delete(world: World, _request: Request, who: Caller, name: str) -> Response:
    """Remove a registration."""
    who.need(*_WRITE)
    app = _app(world, who, name, key="object_id")
    del world.directory.apps[app.client_id]
    world.directory.changes += 1
    return Response(status=204)


def _changed(app: App, body: dict[str, Any]) -> App:
    """The registration with the members that the body names."""
    changes: dict[str, Any] = {}
    direct = {
        "displayName": "display_name",
        "signInAudience": "audience",
        "isFallbackPublicClient": "public_client",
    }
    changes.update({ours: body[theirs] for theirs, ours in direct.items() if theirs in body})
    if "identifierUris" in body:
        changes["identifier_uris"] = tuple(body["identifierUris"])
    if "groupMembershipClaims" in body:
        changes["group_claims"] = body["groupMembershipClaims"] or "None"
    if "appRoles" in body:
        changes["app_roles"] = tuple(_role(one) for one in body["appRoles"])
    if "keyCredentials" in body:
        changes["certificates"] = tuple(_certificate(one) for one in body["keyCredentials"])
    web = body.get("web") or {}
    if "redirectUris" in web:
        changes["web_redirect_uris"] = tuple(web["redirectUris"])
    if "logoutUrl" in web:
        changes["logout_url"] = web["logoutUrl"] or ""
    implicit = web.get("implicitGrantSettings") or {}
    if "enableIdTokenIssuance" in implicit:
        changes["id_token_issuance"] = bool(implicit["enableIdTokenIssuance"])
    for theirs, ours in (("spa", "spa_redirect_uris"), ("publicClient", "public_redirect_uris")):
        if "redirectUris" in (body.get(theirs) or {}):
            changes[ours] = tuple(body[theirs]["redirectUris"])
    id_token = (body.get("optionalClaims") or {}).get("idToken")
    if id_token is not None:
        changes["optional_claims"] = tuple(one["name"] for one in id_token)
    api = body.get("api") or {}
    if "oauth2PermissionScopes" in api:
        changes["scopes"] = tuple(one["value"] for one in api["oauth2PermissionScopes"])
    if "requestedAccessTokenVersion" in api:
        changes["access_token_version"] = api["requestedAccessTokenVersion"] or 1
    try:
        return check_registration(replace(app, **changes), where="the application")
    except RecordError as error:
        raise GraphError(400, "Request_BadRequest", f"Invalid value for identifierUris: {error}.") from None


def _role(body: dict[str, Any]) -> AppRole:
    return AppRole(
        value=str(body.get("value", "")),
        role_id=str(body.get("id") or new_id()).lower(),
        display_name=str(body.get("displayName", "")),
        description=str(body.get("description", "")),
        allowed_member_types=tuple(body.get("allowedMemberTypes", ("User",))),
        enabled=bool(body.get("isEnabled", True)),
    )


def _certificate(body: dict[str, Any]) -> Certificate:
    key = str(body.get("key", ""))
    wrapped = "\n".join(key[start : start + 64] for start in range(0, len(key), 64))
    pem = f"-----BEGIN CERTIFICATE-----\n{wrapped}\n-----END CERTIFICATE-----\n"
    return Certificate(pem=pem, display_name=str(body.get("displayName") or ""))


def add_password(world: World, request: Request, who: Caller, name: str) -> Response:
    """A new client secret, its text in this one answer."""
    who.need(*_WRITE)
    app = _app(world, who, name, key="object_id")
    wanted = _body(request).get("passwordCredential") or {}
    now = world.clock.now()
    try:
        expires = (
            datetime.fromisoformat(wanted["endDateTime"]).timestamp() if "endDateTime" in wanted else 0.0
        )
    except (TypeError, ValueError):
        raise GraphError(
            400, "Request_BadRequest", "Invalid value specified for property 'endDateTime'."
        ) from None
    secret = Secret(
        value=f"emu~{secrets.token_urlsafe(27)}",
        display_name=str(wanted.get("displayName") or ""),
        starts=now,
        expires=expires or now + _TWO_YEARS_SECONDS,
    )
    world.directory.put(replace(app, secrets=(*app.secrets, secret)))
    return json_response({**shapes.password(secret), "secretText": secret.value})


def remove_password(world: World, request: Request, who: Caller, name: str) -> Response:
    """Remove a client secret by its key id."""
    who.need(*_WRITE)
    app = _app(world, who, name, key="object_id")
    wanted = str(_body(request).get("keyId", "")).lower()
    kept = tuple(secret for secret in app.secrets if secret.key_id != wanted)
    if len(kept) == len(app.secrets):
        raise GraphError(400, "Request_BadRequest", "No password credential found with this keyId.")
    world.directory.put(replace(app, secrets=kept))
    return Response(status=204)
