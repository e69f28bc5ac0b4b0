"""The administrator's consent endpoint: grant an application's permissions for the whole tenant."""

from __future__ import annotations

from ..protocol.errors import EntraError, correlation_id
from ..protocol.http import Request, Response
from ..protocol.redirect_uris import checked_redirect_uri
from ..protocol.return_address import ReturnAddress
from ..protocol.scopes import read_scope
from ..state.world import World
from ..tokens.admission import find_application
from ..tokens.identity_claims import by_login_hint
from ..tokens.tenants import find_tenant
from .answers import answer, refuse


def admin_consent(world: World, request: Request, segment: str) -> Response:
    """Grant what `scope` names, or User.Read, and go back with `admin_consent=True`.

    `login_hint` names the administrator; without it the tenant's first administrator is taken to have agreed.
    """
    parameters = request.query
    to: ReturnAddress | None = None
    try:
        tenant = find_tenant(world, segment)
        app = find_application(world, parameters.get("client_id"), where=segment)
        state = parameters.get("state") if "state" in parameters else None
        uri = checked_redirect_uri(app, parameters.get("redirect_uri"))
        to = ReturnAddress(redirect_uri=uri, response_mode="query", state=state)
        home = tenant or world.directory.tenants[app.tenant_id]
        people = world.directory.people_of(home.tenant_id)
        hint = parameters.get("login_hint")
        hinted = by_login_hint(world, hint, tenant_id=home.tenant_id) if hint else None
        administrator = hinted or next((person for person in people if person.administrator), None)
        if administrator is None or not administrator.administrator:
            raise EntraError(90094)
        scope = read_scope(parameters.get("scope") or "User.Read", world.directory, world.own_urls)
    except EntraError as error:
        return refuse(world, error, to=to, correlation_id=correlation_id(request))
    granted = [*scope.qualified, *(f"{scope.resource.resource_id}/{name}" for name in scope.oidc)]
    world.directory.consent(app, home.tenant_id, "", granted)
    return answer(world, to, {"admin_consent": "True", "tenant": home.tenant_id})
