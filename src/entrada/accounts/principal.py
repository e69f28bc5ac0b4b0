"""Who is asking, as every walk answers it: a person with an account here, or an application for itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from entrada.accounts.groups import UNKNOWN, Membership
from entrada.accounts.identity import EntraIdentity, User, UserId
from entrada.entra.authority import ObjectId, TenantId
from entrada.entra.callers import CallerKind


@dataclass(frozen=True, kw_only=True)
class UserPrincipal:
    """A verified person. Made only from an enabled user by `principal_of`.

    `client_id` is the application or agent that asks in their name; None where they ask themselves.
    """

    user_id: UserId
    identity: EntraIdentity
    name: str
    email: str | None
    username: str | None
    roles: frozenset[str]
    caller: CallerKind = CallerKind.PERSON
    client_id: str | None = None
    membership: Membership = field(default=UNKNOWN, repr=False)

    @property
    def groups(self) -> frozenset[str]:
        """Object ids, and `group:NAME` of those asked about by name; of groups asked about alone."""
        return self.membership.held

    @property
    def tenant_id(self) -> TenantId:
        return self.identity.tenant_id

    @property
    def object_id(self) -> ObjectId:
        return self.identity.object_id

    def has_any_role(self, *roles: str) -> bool:
        """True if one of `roles` is held. Asking for none is never granted."""
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, kw_only=True)
class AppPrincipal:
    """A verified application or agent that asks for itself. `identity` names its service principal."""

    client_id: str
    identity: EntraIdentity
    name: str
    roles: frozenset[str]
    caller: CallerKind
    membership: Membership = field(default=UNKNOWN, repr=False)

    @property
    def groups(self) -> frozenset[str]:
        """As `UserPrincipal.groups`."""
        return self.membership.held

    @property
    def user_id(self) -> None:
        """None: it has no account here."""

    @property
    def email(self) -> None:
        """None: it reads no mail."""

    @property
    def tenant_id(self) -> TenantId:
        return self.identity.tenant_id

    @property
    def object_id(self) -> ObjectId:
        return self.identity.object_id

    def has_any_role(self, *roles: str) -> bool:
        """True if one of `roles` is held. Asking for none is never granted."""
        return not self.roles.isdisjoint(roles)


Principal = UserPrincipal | AppPrincipal
"""How someone came in makes no difference to it."""


def principal_of(
    user: User,
    identity: EntraIdentity,
    *,
    caller: CallerKind = CallerKind.PERSON,
    client_id: str | None = None,
    membership: Membership | None = None,
) -> UserPrincipal:
    """The person. `membership` is what their token says of their groups; None: what is stored."""
    return UserPrincipal(
        user_id=user.id,
        identity=identity,
        name=user.profile.name,
        email=user.profile.email,
        username=user.profile.username,
        roles=user.roles,
        caller=caller,
        client_id=client_id,
        membership=user.membership_of(identity) if membership is None else membership,
    )
