"""Who is asking, as every walk answers it: a person with an account here, or an application for itself.

A principal that a guard let in also knows with what its caller came: a session here, or an access token
(`Evidence`), so that tokens of other APIs can be had for them. That is no field: it stands in no `repr` and
no `asdict`, makes no difference in comparing, and a copy is without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TypeVar

from entrada.accounts.groups import UNKNOWN, Membership
from entrada.accounts.identity import EntraIdentity, User, UserId
from entrada.entra.authority import ObjectId, TenantId
from entrada.entra.callers import CallerKind
from entrada.entra.jws import RawAccessToken


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """With what a caller came: one of the two. `session_id` is that of a session here, and no secret."""

    session_id: str | None = None
    access_token: RawAccessToken | None = field(default=None, repr=False)


class _Verified:
    """What both have in common."""

    identity: EntraIdentity
    roles: frozenset[str]
    membership: Membership

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

    def __getstate__(self) -> dict[str, object]:
        """Copies and pickles hold the fields alone."""
        return {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class UserPrincipal(_Verified):
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


@dataclass(frozen=True, kw_only=True)
class AppPrincipal(_Verified):
    """A verified application or agent that asks for itself. `identity` names its service principal."""

    client_id: str
    identity: EntraIdentity
    name: str
    roles: frozenset[str]
    caller: CallerKind
    membership: Membership = field(default=UNKNOWN, repr=False)

    @property
    def user_id(self) -> None:
        """None: it has no account here."""

    @property
    def email(self) -> None:
        """None: it reads no mail."""


Principal = UserPrincipal | AppPrincipal
"""How someone came in makes no difference to it."""

PrincipalT = TypeVar("PrincipalT", bound=Principal)
_EVIDENCE = "_evidence"


def with_evidence(principal: PrincipalT, evidence: Evidence) -> PrincipalT:
    """The same principal as an object of its own, who came with that."""
    own = object.__new__(type(principal))
    vars(own).update(vars(principal))
    return mark_with_evidence(own, evidence)


def mark_with_evidence(principal: PrincipalT, evidence: Evidence) -> PrincipalT:
    """As `with_evidence`, for a principal that has just been made and that nobody else holds."""
    object.__setattr__(principal, _EVIDENCE, evidence)
    return principal


def evidence_of(principal: Principal) -> Evidence:
    """With what this caller came; empty for a principal that no guard has let in."""
    found: Evidence = vars(principal).get(_EVIDENCE, Evidence())
    return found


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
