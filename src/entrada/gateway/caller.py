"""Who asks at the gateway, as its rules and its headers see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from entrada.accounts.principal import UserPrincipal
from entrada.entra.callers import CallerKind


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A verified caller. Everything here has been believed before; nothing is looked up by name or e-mail.

    `groups` are the object ids of those groups that the gateway knows of; an application has no `email`.
    """

    user_id: str
    tenant_id: str
    object_id: str
    name: str
    email: str | None
    username: str | None
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()
    kind: CallerKind | None = None
    """Who acts in the access token that they came with; None: they came with a session."""

    @property
    def stands_for_itself(self) -> bool:
        """An application or agent without an account: it is let in where a rule names its role, only."""
        return self.kind is not None and not self.kind.has_account


def caller_of(
    principal: UserPrincipal, groups: Iterable[str] = (), *, kind: CallerKind | None = None
) -> Caller:
    return Caller(
        user_id=principal.user_id,
        tenant_id=principal.identity.tenant_id,
        object_id=principal.identity.object_id,
        name=principal.name,
        email=principal.email,
        username=principal.username,
        roles=principal.roles,
        groups=frozenset(groups),
        kind=kind,
    )
