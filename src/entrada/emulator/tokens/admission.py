"""Who may enter: the checks between a known account and its tokens, in Entra's order.

Account, tenant, application, assignment, policy, consent; each refusal is one AADSTS code with a real cause
in the directory.
"""

from __future__ import annotations

import json

from ..directory.policies import BLOCK, demanded
from ..directory.records import App, Person, Tenant
from ..protocol.errors import EntraError
from ..protocol.scopes import RequestedScope, needs_administrator
from ..state.world import World
from .claims_parameter import asks_for_step_up

_NO_ID = "00000000-0000-0000-0000-000000000000"


def find_application(world: World, client_id: str, *, where: str) -> App:
    """The application with this client id; `where` is the directory that was asked, for the error's text.

    Raises:
        EntraError: 900144 no id, 700038 one that nothing can have, 700016 unknown.
    """
    if not client_id:
        raise EntraError(900144, "The parameter is 'client_id'.")
    if client_id == _NO_ID:
        raise EntraError(700038, f"The client id was '{client_id}'.")
    app = world.directory.apps.get(client_id.lower())
    if app is None:
        raise EntraError(700016, f"The client id was '{client_id[:100]}', the directory '{where[:100]}'.")
    return app


def check_application(client: App, tenant: Tenant | None) -> None:
    """The application is enabled and belongs where it is asked for.

    Raises:
        EntraError: 7000112, 50194, 700016.
    """
    if not client.enabled:
        raise EntraError(7000112, f"The application is '{client.client_id}'.")
    if client.multi_tenant:
        return
    if tenant is None:
        raise EntraError(50194, f"The application is '{client.client_id}'.")
    if tenant.tenant_id != client.tenant_id:
        raise EntraError(700016, f"The client id was '{client.client_id}', the directory '{tenant.domain}'.")


def check_account(world: World, client: App, tenant: Tenant | None, person: Person) -> None:
    """The account exists in the tenant, is enabled and assigned, and no switch refuses it.

    Raises:
        EntraError: 50020, 50057, 500213, 50105, or the person's own `error`.
    """
    if tenant is not None and person.tenant_id != tenant.tenant_id:
        raise EntraError(
            50020, f"The account was '{person.sign_in_name}', the tenant '{tenant.display_name}'."
        )
    if person.error:
        raise EntraError(person.error)
    if not person.enabled:
        raise EntraError(50057)
    home = world.directory.tenants.get(person.tenant_id)
    if home is not None and home.blocks_foreign_apps and client.tenant_id != home.tenant_id:
        raise EntraError(500212)
    if client.assignment_required and not world.directory.assigned(client, person):
        raise EntraError(50105, f"The account was '{person.sign_in_name}'.")


def check_policy(world: World, client: App, person: Person, *, mfa: bool, claims_parameter: str) -> None:
    """Conditional Access lets the person into the application, given what has been proved so far.

    Raises:
        EntraError: 53003 when blocked, 50076 when a second factor is missing; with the claims challenge.
    """
    demand = demanded(world.directory, client, person)
    if demand is not None and demand.control == BLOCK:
        raise EntraError(53003, claims=_challenge(demand.policy_id))
    if mfa:
        return
    if demand is not None:
        raise EntraError(50076, claims=_challenge(demand.policy_id))
    if asks_for_step_up(claims_parameter):
        raise EntraError(50076, claims=claims_parameter)


def _challenge(policy_id: str) -> str:
    return json.dumps({"access_token": {"capolids": {"essential": True, "values": [policy_id]}}})


def missing_permissions(world: World, client: App, person: Person, scope: RequestedScope) -> list[str]:
    """Requested permissions that nobody has consented to yet, as `resource id/Permission`."""
    if scope.resource.app is not None and scope.resource.app.client_id == client.client_id:
        return []
    held = world.directory.consented(client, person.tenant_id, person.object_id)
    missing = [permission for permission in scope.qualified if permission not in held]
    home = person.tenant_id == client.tenant_id
    if not missing and not held and not home:
        # An application of another tenant is new here until somebody consents to anything.
        return [f"{scope.resource.resource_id}/{name}" for name in scope.oidc or ("openid",)]
    return missing


def check_consent(world: World, client: App, person: Person, scope: RequestedScope) -> None:
    """Every requested permission is granted.

    Raises:
        EntraError: 65001.
    """
    missing = missing_permissions(world, client, person, scope)
    if missing:
        names = ", ".join(permission.rpartition("/")[2] for permission in missing)
        raise EntraError(65001, f"Not granted: {names[:200]}.")


def check_consentable(missing: list[str]) -> None:
    """The person can consent to these without an administrator.

    Raises:
        EntraError: 90094.
    """
    above = [permission for permission in missing if needs_administrator(permission)]
    if above:
        names = ", ".join(permission.rpartition("/")[2] for permission in above)
        raise EntraError(90094, f"The permissions were: {names[:200]}.")
