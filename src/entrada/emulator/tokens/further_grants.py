"""The less common grants: device code, on-behalf-of, password."""

from __future__ import annotations

from ..directory.records import App, Person
from ..protocol.errors import EntraError, correlation_id, error_response, incident
from ..protocol.http import Request, Response, json_response
from ..protocol.scopes import RequestedScope, read_scope
from ..state.device_codes import INTERVAL_SECONDS, LIFE_SECONDS, DeviceCode
from ..state.grant import Grant
from ..state.sessions import SignedIn
from ..state.world import World
from . import admission
from .identity_claims import by_login_hint
from .opaque import read_note
from .tenants import find_tenant
from .token_request import TokenRequest
from .token_response import token_response


def begin_device_code(world: World, request: Request, segment: str) -> Response:
    """The device's first request: a code to show and a code to wait with."""
    form = request.form()
    try:
        tenant = find_tenant(world, segment)
        app = admission.find_application(world, form.get("client_id"), where=segment)
        admission.check_application(app, tenant)
        if not form.get("scope").strip():
            raise EntraError(900144, "The parameter is 'scope'.")
        read_scope(form.get("scope"), world.directory, world.own_urls)
        code = world.device_codes.begin(
            client_id=app.client_id, segment=segment, scope=form.get("scope"), now=world.clock.now()
        )
    except EntraError as error:
        happened = incident(error, clock=world.clock, correlation_id=correlation_id(request))
        return error_response(happened, base_url=request.base_url)
    address = f"{world.http_url}/devicelogin"
    return json_response(
        {
            "user_code": code.user_code,
            "device_code": code.device_code,
            "verification_uri": address,
            "expires_in": LIFE_SECONDS,
            "interval": INTERVAL_SECONDS,
            "message": f"To sign in, open {address} in a browser and enter the code {code.user_code}.",
        }
    )


def device_code(world: World, asked: TokenRequest) -> Response:
    """The waiting device asks again."""
    app = asked.client.app
    if not app.public_client and not asked.client.confidential:
        raise EntraError(7000218)
    code: DeviceCode | None = world.device_codes.find(asked.form.get("device_code") or asked.form.get("code"))
    if code is None or code.client_id != app.client_id:
        raise EntraError(70018)
    if code.expired(world.clock.now()):
        raise EntraError(70020)
    if code.state == "declined":
        raise EntraError(65004, error="authorization_declined")
    if code.account is None:
        raise EntraError(70016)
    world.device_codes.end(code)
    person = world.directory.people.get(code.account.object_id)
    if person is None:
        raise EntraError(50034)
    return _tokens_for(world, asked, person, code.account, code.scope)


def on_behalf_of(world: World, asked: TokenRequest) -> Response:
    """A web API trades the token it received for one of another API, in the same person's name."""
    asked.need_confidential()
    if asked.form.get("requested_token_use") != "on_behalf_of":
        raise EntraError(90023, "The parameter is 'requested_token_use'.")
    from .client_assertion import read_own_token

    app = asked.client.app
    claims = read_own_token(world, asked.required("assertion"))
    audiences = (app.client_id, f"api://{app.client_id}", *app.identifier_uris)
    if claims.get("aud") not in audiences:
        raise EntraError(500131, f"The application is '{app.client_id}'.")
    if claims.get("exp", 0) < world.clock.now():
        raise EntraError(500133)
    if "scp" not in claims:
        raise EntraError(50013, "An application's own token cannot be exchanged.")
    person = world.directory.people.get(str(claims.get("oid")))
    if person is None:
        raise EntraError(50034)
    made, mfa = read_note(claims)
    account = SignedIn(
        object_id=person.object_id,
        auth_time=made,
        mfa=mfa,
        sid=str(claims.get("sid", "")),
    )
    scope_text = asked.required("scope")
    admission.check_account(world, app, asked.tenant, person)
    admission.check_policy(world, app, person, mfa=mfa, claims_parameter="")
    return _tokens_for(world, asked, person, account, scope_text)


def password(world: World, asked: TokenRequest) -> Response:
    """Name and password sent by the application itself: off unless the emulator was told."""
    if not world.password_grant:
        raise EntraError(70003, "The password grant is switched off in this emulator.")
    app = asked.client.app
    if not app.public_client:
        asked.need_confidential()
    name, given = asked.required("username"), asked.required("password")
    tenant_id = asked.tenant.tenant_id if asked.tenant else ""
    person = by_login_hint(world, name, tenant_id=tenant_id)
    if person is None:
        raise EntraError(50034, f"The account was '{name[:100]}'.")
    if given != person.password:
        raise EntraError(50126)
    if person.password_expired:
        raise EntraError(50055)
    try:
        admission.check_account(world, app, asked.tenant, person)
        admission.check_policy(world, app, person, mfa=False, claims_parameter="")
    except EntraError as error:
        error.error, error.status = "invalid_grant", 400
        raise
    account = SignedIn(object_id=person.object_id, auth_time=world.clock.now(), mfa=False)
    return _tokens_for(world, asked, person, account, asked.form.get("scope") or "openid")


def _tokens_for(
    world: World, asked: TokenRequest, person: Person, account: SignedIn, scope_text: str
) -> Response:
    app: App = asked.client.app
    resource = asked.form.get("resource") if asked.version == 2 else ""
    scope: RequestedScope = read_scope(scope_text, world.directory, world.own_urls, resource=resource)
    admission.check_consent(world, app, person, scope)
    now = world.clock.now()
    grant = Grant(
        tenant_id=person.tenant_id,
        client_id=app.client_id,
        object_id=person.object_id,
        scope=scope_text,
        sid=account.sid,
        auth_time=account.auth_time,
        mfa=account.mfa,
        issued_at=now,
        family_at=now,
        platform="web" if asked.client.confidential else "public",
        version=asked.version,
    )
    return json_response(
        token_response(
            world,
            base_url=asked.request.base_url,
            client=app,
            person=person,
            grant=grant,
            scope=scope,
            authentication=asked.client.method,
            grant_type=asked.grant_type,
            client_info=asked.form.get("client_info") == "1",
            claims_parameter=asked.form.get("claims"),
        )
    )
