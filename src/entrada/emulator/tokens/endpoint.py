"""The token endpoint: one grant type, one walk.

Errors are JSON in Entra's shape.  Everything that can be refused for a real cause is, with its code.
Source: RFC 6749, 4.1.3, 4.4, 6; RFC 7636, 4.6; Microsoft, "OAuth 2.0 authorization code flow", "client
credentials flow", "on-behalf-of flow", "device authorization grant", "resource owner password credentials".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..directory.records import GRAPH_APP_ID, Person, Tenant
from ..faults.switched_error import switched_error
from ..protocol.encoding import b64url
from ..protocol.errors import EntraError, correlation_id, error_response, incident
from ..protocol.http import Request, Response, json_response
from ..protocol.scopes import OIDC_SCOPES, RequestedScope, find_resource, read_scope
from ..state.grant import CODE_LIFE_SECONDS, REFRESH, REFRESH_LIFE_SECONDS, SPA_REFRESH_LIFE_SECONDS, Grant
from ..state.world import World
from . import further_grants
from .access_token import access_token_seconds, application_access_token
from .admission import check_account, check_application, check_consent, check_policy
from .claims_parameter import newest_allowed
from .client_authentication import AuthenticatedClient, authenticate
from .tenants import find_tenant
from .token_request import TokenRequest
from .token_response import token_response


def token(world: World, request: Request, segment: str, *, version: int = 2) -> Response:
    """Answer a token request."""
    try:
        asked = _read(world, request, segment, version)
        if world.loops.is_one(request.body, now=world.clock.now()):
            raise EntraError(50196)
        switch = _switch(world, asked.grant_type)
        if switch is not None:
            raise switch
        walk = _GRANT_TYPES.get(asked.grant_type)
        if walk is None:
            raise EntraError(70003, f"The value was '{asked.grant_type[:100]}'.")
        response = walk(world, asked)
    except EntraError as error:
        happened = incident(error, clock=world.clock, correlation_id=correlation_id(request))
        response = error_response(happened, base_url=request.base_url)
    if "origin" in request.headers:
        response.with_header("access-control-allow-origin", "*")
    return response


def _switch(world: World, grant_type: str) -> EntraError | None:
    if not world.faults:
        return None
    fault = world.faults.take(("aadsts",), "token", grant=grant_type, auth="")
    return switched_error(fault.parameters) if fault else None


def _read(world: World, request: Request, segment: str, version: int) -> TokenRequest:
    if request.method != "POST":
        raise EntraError(900561)
    form = request.form()
    if form.repeated:
        raise EntraError(9000411, f"The parameter was '{form.repeated[0][:50]}'.")
    tenant = find_tenant(world, segment)
    if "grant_type" not in form:
        raise EntraError(900144, "The parameter is 'grant_type'.")
    client = authenticate(world, request, form, segment)
    return TokenRequest(
        request=request,
        form=form,
        segment=segment,
        tenant=tenant,
        client=client,
        grant_type=form.get("grant_type"),
        version=version,
    )


def _authorization_code(world: World, asked: TokenRequest) -> Response:
    app = asked.client.app
    code = asked.required("code")
    grant = world.codes.grant_of(code)
    if grant is None:
        raise EntraError(70000, "The code cannot be read.", error="invalid_grant")
    now = world.clock.now()
    if grant.client_id != app.client_id:
        raise EntraError(700009)
    if asked.tenant is not None and asked.tenant.tenant_id != grant.tenant_id:
        raise EntraError(700005)
    if now > grant.issued_at + CODE_LIFE_SECONDS:
        raise EntraError(70008)
    if asked.form.get("redirect_uri") != grant.redirect_uri:
        raise EntraError(500112, status=400)
    _check_platform(asked, grant)
    _check_verifier(asked, grant)
    if not world.codes.redeem(code):
        raise EntraError(54005)
    person = person_of(world, grant)
    check_account(world, app, None, person)
    scope = _narrowed(world, asked, grant, default=grant.scope)
    return _tokens_for(world, asked, grant, person, scope)


def _check_platform(asked: TokenRequest, grant: Grant) -> None:
    cross_origin = "origin" in asked.request.headers
    if grant.platform == "spa":
        if not grant.challenge:
            raise EntraError(9002325)
        if not cross_origin:
            raise EntraError(9002327)
        return
    if cross_origin and not asked.client.confidential:
        raise EntraError(9002326)
    if grant.platform == "web":
        asked.need_confidential()
    elif asked.client.confidential and not asked.client.app.web_redirect_uris:
        raise EntraError(700025)


def _check_verifier(asked: TokenRequest, grant: Grant) -> None:
    verifier = asked.form.get("code_verifier")
    if not grant.challenge:
        if verifier:
            raise EntraError(50147)
        return
    if not verifier:
        raise EntraError(50148)
    made = verifier
    if grant.challenge_method == "S256":
        made = b64url(hashlib.sha256(verifier.encode()).digest())
    if made != grant.challenge:
        raise EntraError(501481)


def _refresh_token(world: World, asked: TokenRequest) -> Response:
    """A new refresh token each time; the old one stays good, as at Entra."""
    app = asked.client.app
    content = world.sealer.open(REFRESH, asked.required("refresh_token"))
    if content is None:
        raise EntraError(70000, "The refresh token cannot be read.")
    grant = Grant.opened(content)
    if grant.client_id != app.client_id:
        raise EntraError(70000, "The refresh token was issued to another client.")
    if asked.tenant is not None and asked.tenant.tenant_id != grant.tenant_id:
        raise EntraError(700005)
    if grant.platform == "web":
        asked.need_confidential()
    now = world.clock.now()
    if grant.platform == "spa" and now > grant.family_at + SPA_REFRESH_LIFE_SECONDS:
        raise EntraError(700084)
    if now > grant.issued_at + REFRESH_LIFE_SECONDS:
        raise EntraError(700082)
    person = person_of(world, grant)
    if grant.auth_time < max(person.sessions_valid_from, newest_allowed(asked.form.get("claims"))):
        raise EntraError(50173)
    if person.sign_in_frequency_seconds and now > grant.auth_time + person.sign_in_frequency_seconds:
        raise EntraError(70043)
    check_application(app, world.directory.tenants[person.tenant_id])
    try:
        check_account(world, app, None, person)
        check_policy(world, app, person, mfa=grant.mfa, claims_parameter=asked.form.get("claims"))
    except EntraError as error:
        raise as_grant_error(error) from None
    scope = _narrowed(world, asked, grant, default=grant.scope)
    return _tokens_for(world, asked, grant, person, scope)


def as_grant_error(error: EntraError) -> EntraError:
    """A refusal of a person as the token endpoint words it: `invalid_grant`, whatever the page says."""
    error.error, error.status = "invalid_grant", 400
    return error


def person_of(world: World, grant: Grant) -> Person:
    """The person the grant is from.

    Raises:
        EntraError: 50034, deleted since.
    """
    person = world.directory.people.get(grant.object_id)
    if person is None:
        raise EntraError(50034)
    return person


def _narrowed(world: World, asked: TokenRequest, grant: Grant, *, default: str) -> RequestedScope:
    """What this request's `scope` asks for, and the grant's own scope only when it has none.

    Literally: without `openid` no ID token, without `offline_access` no refresh token.
    """
    text = asked.form.get("scope").strip() or default
    if asked.version == 1 and (asked.form.get("resource") or grant.resource):
        resource = asked.form.get("resource") or grant.resource
        text = f"openid profile email offline_access {resource.rstrip('/')}/.default"
    granted = read_scope(
        grant.scope,
        world.directory,
        world.own_urls,
        resource=grant.resource if grant.version == asked.version == 2 else "",
    )
    named = asked.form.get("resource") if asked.version == 2 else ""
    if text == grant.scope and named in ("", grant.resource):
        return granted
    read = read_scope(text, world.directory, world.own_urls, resource=named)
    oidc = read.oidc
    if not read.names_resource and not named and not granted.resource.is_graph:
        read = granted
    return RequestedScope(
        oidc=oidc,
        resource=read.resource,
        permissions=read.permissions,
        default=read.default,
        as_written=read.as_written,
    )


def _tokens_for(
    world: World, asked: TokenRequest, grant: Grant, person: Person, scope: RequestedScope
) -> Response:
    check_consent(world, asked.client.app, person, scope)
    if asked.version != grant.version:
        grant = grant._replace(version=asked.version)
    return json_response(
        token_response(
            world,
            base_url=asked.request.base_url,
            client=asked.client.app,
            person=person,
            grant=grant,
            scope=scope,
            authentication=asked.client.method,
            grant_type=asked.grant_type,
            client_info=asked.form.get("client_info") == "1",
            claims_parameter=asked.form.get("claims"),
        )
    )


def _client_credentials(world: World, asked: TokenRequest) -> Response:
    asked.need_confidential()
    client: AuthenticatedClient = asked.client
    tenant = _credentials_tenant(world, asked)
    text = asked.form.get("scope")
    if asked.version == 1:
        text = f"{asked.form.get('resource')}/.default" if asked.form.get("resource") else text
    if not text.strip():
        raise EntraError(900144, "The parameter is 'scope'.")
    # The reserved scopes of OpenID, which several clients always send, mean nothing here.
    words = [word for word in text.split() if word not in OIDC_SCOPES]
    identifier, separator, name = words[0].rpartition("/") if len(words) == 1 else ("", "", "")
    if not separator or name != ".default":
        raise EntraError(1002012, f"The scope was '{text[:100]}'.")
    resource = find_resource(identifier, world.directory, world.own_urls)
    if asked.version == 2 and asked.form.get("resource"):
        named = asked.form.get("resource")
        resource = read_scope(words[0], world.directory, world.own_urls, resource=named).resource
    if resource.app is None:
        roles = [
            p.rpartition("/")[2]
            for p in client.app.application_permissions
            if "/" not in p or p.startswith(GRAPH_APP_ID)
        ]
    else:
        roles = world.directory.roles_of(resource.app, client.app.service_principal_id)
        if resource.app.assignment_required and not roles:
            raise EntraError(501051)
    seconds = access_token_seconds(continuous=False) if asked.version == 1 else 3599
    access_token = application_access_token(
        world,
        base_url=asked.request.base_url,
        client=client.app,
        tenant=tenant,
        resource=resource,
        authentication=client.method,
        roles=roles,
        seconds=seconds,
    )
    return json_response(
        {
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": access_token,
        }
    )


def _credentials_tenant(world: World, asked: TokenRequest) -> Tenant:
    app = asked.client.app
    check_application(app, asked.tenant)
    return asked.tenant or world.directory.tenants[app.tenant_id]


_GRANT_TYPES: dict[str, Callable[[World, TokenRequest], Response]] = {
    "authorization_code": _authorization_code,
    "refresh_token": _refresh_token,
    "client_credentials": _client_credentials,
    "urn:ietf:params:oauth:grant-type:device_code": further_grants.device_code,
    "device_code": further_grants.device_code,
    "urn:ietf:params:oauth:grant-type:jwt-bearer": further_grants.on_behalf_of,
    "password": further_grants.password,
}
