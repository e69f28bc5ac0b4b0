"""Who is asking, as every walk answers it."""

from __future__ import annotations

from dataclasses import dataclass

from entrada.accounts.identity import EntraIdentity, User, UserId


@dataclass(frozen=True, kw_only=True)
class UserPrincipal:
    """A verified person. Made only from an enabled user by `principal_of`."""

    user_id: UserId
    identity: EntraIdentity
    name: str
    email: str | None
    username: str | None
    roles: frozenset[str]

    def has_any_role(self, *roles: str) -> bool:
        """True if one of `roles` is held. Asking for none is never granted."""
        return not self.roles.isdisjoint(roles)


def principal_of(user: User, identity: EntraIdentity) -> UserPrincipal:
    return UserPrincipal(
        user_id=user.id,
        identity=identity,
        name=user.profile.name,
        email=user.profile.email,
        username=user.profile.username,
        roles=user.roles,
    )
