"""Who administers: for pages and commands alike."""

from __future__ import annotations

from collections.abc import Collection

from entrada.accounts.identity import User
from entrada.entra.authority import TenantId


def tenant_administered_by(user: User, admin_roles: Collection[str]) -> TenantId | None:
    """The tenant whose people this user administers; None: nobody's.

    Of somebody with identities of several tenants it is not known which of them brought the role.
    """
    tenants = {linked.identity.tenant_id for linked in user.identities}
    if not user.is_enabled or user.roles.isdisjoint(admin_roles) or len(tenants) != 1:
        return None
    return next(iter(tenants))
