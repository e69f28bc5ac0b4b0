"""Who administers, and what no administrator may do: for pages and commands alike.

    tenant_administered_by      whose people somebody administers
    AdministrationRules         asked by the store inside the transaction that makes a change, so that of two
                                administrators who remove each other at once one stays

What Entra takes away it takes away: the rules are about changes by hand. Whose access Entra has ended is no
other administrator until they have signed in again: nobody knows whether they can. Whoever runs the server
can always make an administrator: `entrada users grant`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from entrada.accounts.identity import User, UserId
from entrada.entra.authority import TenantId
from entrada.errors import AdministrationRefused, LastAdministrator


def tenant_administered_by(user: User, admin_roles: Collection[str]) -> TenantId | None:
    """The tenant whose people this user administers; None: nobody's.

    Of somebody with identities of several tenants it is not known which of them brought the role.
    """
    tenants = {linked.identity.tenant_id for linked in user.identities}
    if not user.is_enabled or user.roles.isdisjoint(admin_roles) or len(tenants) != 1:
        return None
    return next(iter(tenants))


def tenant_administered_for_good(user: User, admin_roles: Collection[str]) -> TenantId | None:
    """As `tenant_administered_by`, by a role without an end: time alone removes no last administrator."""
    lasting = tuple(grant for grant in user.grants if grant.until is None)
    return tenant_administered_by(replace(user, grants=lasting), admin_roles)


def answers_for(tenant_id: TenantId, person: User) -> bool:
    """Whether the administrators of that tenant answer for this person; nobody's is who has no identity."""
    return bool(person.identities) and all(
        linked.identity.tenant_id == tenant_id for linked in person.identities
    )


@dataclass(frozen=True, kw_only=True)
class AdministrationRules:
    """`roles` are those that administer. `by` is the administrator who asks; None: who runs the server."""

    roles: frozenset[str]
    by: UserId | None = None

    def check(
        self,
        before: User,
        after: User | None,
        *,
        get: Callable[[UserId], User | None],
        has_another: Callable[[TenantId], bool],
    ) -> None:
        """Passes if `before` may become `after`; None: deleted.

        `get` reads a user, and `has_another` says whether somebody beside this one administers that tenant by
        a role without an end, and Entra still answers for them: both as it is now, with every other change
        under these rules kept waiting.

        Raises:
            LastAdministrator: nobody would be left who administers this person's tenant for good.
            AdministrationRefused: who asks does not administer this person any more, or is this person.
        """
        if self.by is not None:
            actor = get(self.by)
            tenant_id = None if actor is None else tenant_administered_by(actor, self.roles)
            if tenant_id is None or not answers_for(tenant_id, before):
                raise AdministrationRefused(
                    "You do not administer this account any more, so nothing was changed.",
                    hint="Somebody has changed your own roles meanwhile. Ask another administrator.",
                )
        for_good = tenant_administered_for_good(before, self.roles)
        stays = after is not None and tenant_administered_for_good(after, self.roles)
        if for_good is not None and not stays and not has_another(for_good):
            raise LastAdministrator
        administers, still = (
            user is not None and tenant_administered_by(user, self.roles) is not None
            for user in (before, after)
        )
        if self.by == before.id and administers and not still:
            raise AdministrationRefused
