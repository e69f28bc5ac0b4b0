"""Users, the Entra identities linked to them, and the roles they hold.

A person is keyed on (tenant_id, object_id) and nothing else: names and e-mail addresses change hands.
Everything here is a value; `entrada.accounts.store.AccountStore` stores them.

Source: Microsoft, "Secure applications and APIs by validating claims".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType

from entrada.accounts.groups import UNKNOWN, Membership
from entrada.compatibility import StrEnum
from entrada.entra.authority import ObjectId, TenantId

UserId = NewType("UserId", str)
"""Our own identifier of a user: 32 lower-case hexadecimal digits, never re-used."""


@dataclass(frozen=True, kw_only=True)
class EntraIdentity:
    """Names exactly one person in one tenant. Both are GUIDs in lower case."""

    tenant_id: TenantId
    object_id: ObjectId


UNNAMED = "Unnamed person"
"""The name of somebody whom Entra gave none."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What Entra said about a person at the last sign-in: for showing, never for deciding who someone is."""

    name: str
    email: str | None
    username: str | None
    """`preferred_username`: changes hands, so nothing may be looked up by it."""
    is_guest: bool = False
    email_is_verified: bool = False
    """True only if the tenant vouched for the address (`xms_edov`, or a domain named in the settings)."""
    given_name: str | None = None
    family_name: str | None = None
    """None unless the registration asks Entra for them; for products that show them, stored nowhere else."""


class GrantSource(StrEnum):
    """Who gave a role. Sign-in may take back only what came from Entra."""

    ENTRA = "entra"
    MANUAL = "manual"


@dataclass(frozen=True, kw_only=True)
class RoleGrant:
    """One role held for one reason; the same role may be held for both."""

    role: str
    source: GrantSource
    granted_by: str
    """Entra: the app role value or group that the mapping matched. Manual: the administrator's account."""
    granted_at: datetime
    until: datetime | None = None
    """From then on it counts for nothing. None: it has no end. Only what is given by hand may have one."""

    def has_ended(self, now: datetime) -> bool:
        return self.until is not None and self.until <= now


@dataclass(frozen=True, kw_only=True)
class LinkedIdentity:
    """An Entra identity that signs in as a user."""

    identity: EntraIdentity
    linked_at: datetime
    last_sign_in_at: datetime | None = None
    membership: Membership = UNKNOWN
    """As Entra said at the last sign-in, or the last look at who is signed in."""


@dataclass(frozen=True, kw_only=True)
class User:
    """An account of this application, with everything a decision needs."""

    id: UserId
    profile: Profile
    created_at: datetime
    disabled_at: datetime | None = None
    identities: tuple[LinkedIdentity, ...] = ()
    grants: tuple[RoleGrant, ...] = ()

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None

    def membership_of(self, identity: EntraIdentity) -> Membership:
        """What is known of that identity's groups; another tenant's identity brings its own."""
        return next((each.membership for each in self.identities if each.identity == identity), UNKNOWN)

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(grant.role for grant in self.grants)

    @property
    def roles_until(self) -> datetime | None:
        """When the first of the grants ends; None: none has an end."""
        return min((grant.until for grant in self.grants if grant.until is not None), default=None)

    def at(self, now: datetime) -> User:
        """Without grants that have ended; the same object where none has."""
        until = self.roles_until
        if until is None or until > now:
            return self
        return replace(self, grants=tuple(grant for grant in self.grants if not grant.has_ended(now)))
