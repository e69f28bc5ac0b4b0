"""Who asks at the gateway, as its rules and its headers see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from entrada.accounts.groups import UNKNOWN, Group, Membership
from entrada.accounts.principal import UserPrincipal
from entrada.entra.callers import CallerKind
from entrada.sessions.live import LiveSession


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A verified caller. Everything here has been believed before; nothing is looked up by name or e-mail.

    An application has no `email`.
    """

    user_id: str
    tenant_id: str
    object_id: str
    name: str
    email: str | None
    username: str | None
    roles: frozenset[str]
    membership: Membership = UNKNOWN
    kind: CallerKind | None = None
    """Who acts in the access token that they came with; None: they came with a session."""
    expires_at: datetime | None = None
    """When that token expires."""
    is_usual: bool = True
    """Whether $[bearer_callers] lets this kind in where a rule does not say."""

    @property
    def groups(self) -> frozenset[str]:
        """Object ids, and `group:NAME` for those asked about by name."""
        return self.membership.held

    def is_in_one_of(self, groups: Iterable[Group]) -> bool | None:
        """None: not in one of those that are known, and some are not."""
        answers = {
            False if group.tenant_id not in (None, self.tenant_id) else self.membership.has(group.name)
            for group in groups
        }
        return True if True in answers else (None if None in answers else False)

    @property
    def stands_for_itself(self) -> bool:
        """An application or agent without an account: it is let in where a rule names its role, only."""
        return self.kind is not None and not self.kind.has_account


def caller_of(
    principal: UserPrincipal,
    *,
    kind: CallerKind | None = None,
    expires_at: datetime | None = None,
    is_usual: bool = True,
) -> Caller:
    return Caller(
        user_id=principal.user_id,
        tenant_id=principal.identity.tenant_id,
        object_id=principal.identity.object_id,
        name=principal.name,
        email=principal.email,
        username=principal.username,
        roles=principal.roles,
        membership=principal.membership,
        kind=kind,
        expires_at=expires_at,
        is_usual=is_usual,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What the gateway has made of a live session, to say it again: it goes when the entry goes."""

    caller: Caller
    texts: dict[tuple[str, ...], bytes] = field(default_factory=dict)
    """Identity fields as bytes, by whom they are for and in which styles."""


def prepared(live: LiveSession) -> Prepared:
    made: Prepared | None = live.prepared
    if made is None:
        made = live.prepared = Prepared(caller=caller_of(live.principal))
    return made
