"""Who is let in, and which account a verified person lands in.

One straight line: allowed here at all → the linked account → an account to link (only if switched on)
→ a new account. A person is found by (tenant_id, object_id); an e-mail address finds nobody unless the
operator said so and the tenant vouched for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from entrada.accounts.groups import UNKNOWN, Membership
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, User, UserId
from entrada.accounts.roles import RoleMapping, RolesSync
from entrada.accounts.store import AdmissionStore
from entrada.compatibility import StrEnum
from entrada.entra.authority import TenantId
from entrada.errors import AccountDisabled, GuestRefused, IdentityAlreadyLinked, RoleRequired


class LinkByEmail(StrEnum):
    NEVER = "never"
    VERIFIED = "verified"


@dataclass(frozen=True, kw_only=True)
class GuestRule:
    """`homes` None: every guest; empty: none; otherwise guests whose home tenant is named."""

    homes: frozenset[TenantId] | None = frozenset()


@dataclass(frozen=True, kw_only=True)
class AdmissionPolicy:
    roles: RoleMapping
    guests: GuestRule = GuestRule()
    link_by_email: LinkByEmail = LinkByEmail.NEVER


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """A verified person at the door, with the roles Entra gives them."""

    identity: EntraIdentity
    profile: Profile
    home_tenant: TenantId | None
    """Where a guest's account lives, when Entra says."""
    grants: Sequence[RoleGrant]
    membership: Membership = UNKNOWN
    """Of the groups that were asked about."""


def admit(newcomer: Newcomer, *, policy: AdmissionPolicy, accounts: AdmissionStore, now: datetime) -> User:
    """The account this person uses from here on, with profile and roles brought up to date.

    Raises:
        GuestRefused, RoleRequired, AccountDisabled: not let in; nothing was created or changed.
    """
    _refuse_unwanted(newcomer, policy)
    user = accounts.find_by_identity(newcomer.identity)
    if user is not None:
        return _welcome_back(user, newcomer, policy, accounts, now)
    user = _find_by_verified_email(newcomer, policy, accounts)
    if user is None:
        return _create(newcomer, policy, accounts, now)
    _refuse_unwelcome(user, newcomer, policy)
    user = accounts.link(user_id=user.id, identity=newcomer.identity, now=now)
    return _welcome_back(user, newcomer, policy, accounts, now)


def check_still_welcome(user: User, newcomer: Newcomer, *, policy: AdmissionPolicy) -> None:
    """Passes if this person, as Entra sees them today, would be let into that account again.

    Raises:
        GuestRefused, RoleRequired, AccountDisabled: they would not be.
    """
    _refuse_unwanted(newcomer, policy)
    _refuse_unwelcome(user, newcomer, policy)


def _refuse_unwanted(newcomer: Newcomer, policy: AdmissionPolicy) -> None:
    homes = policy.guests.homes
    if newcomer.profile.is_guest and homes is not None and newcomer.home_tenant not in homes:
        raise GuestRefused


def _create(newcomer: Newcomer, policy: AdmissionPolicy, accounts: AdmissionStore, now: datetime) -> User:
    _require_role(newcomer.grants, policy)
    try:
        return accounts.create(
            user_id=UserId(secrets.token_hex(16)),
            identity=newcomer.identity,
            profile=newcomer.profile,
            entra_grants=newcomer.grants,
            now=now,
        )
    except IdentityAlreadyLinked:
        # Another tab of the same person was faster; theirs is the account.
        user = accounts.find_by_identity(newcomer.identity)
        if user is None:
            raise
        return _welcome_back(user, newcomer, policy, accounts, now)


def _welcome_back(
    user: User, newcomer: Newcomer, policy: AdmissionPolicy, accounts: AdmissionStore, now: datetime
) -> User:
    _refuse_unwelcome(user, newcomer, policy)
    sync = policy.roles.sync is RolesSync.EVERY_SIGN_IN
    return accounts.record_sign_in(
        user_id=user.id,
        identity=newcomer.identity,
        profile=newcomer.profile,
        entra_grants=newcomer.grants if sync else None,
        now=now,
    )


def _refuse_unwelcome(user: User, newcomer: Newcomer, policy: AdmissionPolicy) -> None:
    """An account that is disabled, or would be left without a role where one is required."""
    if not user.is_enabled:
        raise AccountDisabled
    sync = policy.roles.sync is RolesSync.EVERY_SIGN_IN
    staying = [grant for grant in user.grants if not (sync and grant.source is GrantSource.ENTRA)]
    _require_role([*staying, *(newcomer.grants if sync else ())], policy)


def _require_role(grants: Sequence[RoleGrant], policy: AdmissionPolicy) -> None:
    if policy.roles.required and not grants:
        raise RoleRequired


def _find_by_verified_email(
    newcomer: Newcomer, policy: AdmissionPolicy, accounts: AdmissionStore
) -> User | None:
    """The one enabled account with this verified address; none, or more than one, is no match.

    Nor is one that somebody of the same tenant signs in to: an address that changed hands inherits nothing.
    """
    profile = newcomer.profile
    if policy.link_by_email is LinkByEmail.NEVER or not profile.email_is_verified or profile.email is None:
        return None
    candidates = [user for user in accounts.find_by_verified_email(profile.email) if user.is_enabled]
    if len(candidates) != 1 or _is_somebodys(candidates[0], newcomer.identity.tenant_id):
        return None
    return candidates[0]


def _is_somebodys(user: User, tenant_id: TenantId) -> bool:
    return any(linked.identity.tenant_id == tenant_id for linked in user.identities)
