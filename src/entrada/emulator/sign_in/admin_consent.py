"""The administrator's consent endpoint: grant an application's permissions for the whole tenant."""

from __future__ import annotations

from ..protocol.errors import EntraError, correlation_id
from ..protocol.http import Request, Response
from ..protocol.redirect_uris import checked_redirect_uri
from ..protocol.return_address import ReturnAddress
from ..protocol.scopes import read_scope
from ..state.world import World
from ..tokens.admission import check_application, find_application
from ..tokens.identity_claims import by_login_hint
from ..tokens.tenants import find_tenant
from .authorization_response import refuse, respond


def admin_consent(world: World, request: Request, segment: str) -> Response:
    """Grant what `scope` names, or what is registered, and go back with `admin_consent=True` and the tenant.

    `login_hint` names the administrator; without it the tenant's first administrator is taken to have agreed.
    At a shared endpoint the tenant is the administrator's own.  `_emulator_decline=1` is the one who cancels.
    """
    parameters = request.query
    to: ReturnAddress | None = None
    try:
        tenant = find_tenant(world, segment)
        app = find_application(world, parameters.get("client_id"), where=segment)
        state = parameters.get("state") if "state" in parameters else None
        uri = checked_redirect_uri(app, parameters.get("redirect_uri"))
        to = ReturnAddress(redirect_uri=uri, response_mode="query", state=state)
        hint = parameters.get("login_hint")
        if tenant is None:
            named = by_login_hint(world, hint) if hint else None
            tenant = world.directory.tenants[named.tenant_id if named else app.tenant_id]
        check_application(app, tenant)
        people = world.directory.people_of(tenant.tenant_id)
        hinted = by_login_hint(world, hint, tenant_id=tenant.tenant_id) if hint else None
        administrator = hinted or next((person for person in people if person.administrator), None)
        if administrator is None or not administrator.administrator:
            raise EntraError(90094)
        asked = parameters.get("scope").split() or sorted({*app.admin_consented, "User.Read"})
        granted = [permission for word in asked for permission in _granted(world, word)]
    except EntraError as error:
        return refuse(world, error, to=to, correlation_id=correlation_id(request))
    if parameters.get("_emulator_decline") == "1":
        told = "The admin canceled the request"
        return respond(world, to, {"error": "permission_denied", "error_description": told})
    world.directory.consent(app, tenant.tenant_id, "", granted)
    return respond(world, to, {"admin_consent": "True", "tenant": tenant.tenant_id})


def _granted(world: World, word: str) -> list[str]:
    """What one word of the scope grants, as `resource id/Permission`."""
    scope = read_scope(word, world.directory, world.own_urls)
    return [*scope.qualified, *(f"{scope.resource.resource_id}/{name}" for name in scope.oidc)]
