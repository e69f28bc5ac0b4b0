"""Mage's users and roles, as admission sees them. Every function is inside the caller's transaction.

A person is found by (tenant_id, object_id) and by nothing else. What Mage shows as e-mail and user name is
filled in where it is free: a second person with the same address gets an account of their own, without it.

Roles follow Entra as far as Entra gave them: gained ones are added and noted, lost ones that were noted are
taken away, and what an administrator gave by hand is neither noted nor taken.

Source: Mage 0.9.80, orchestration/db/models/oauth.py.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from entrada.accounts.identity import (
    UNNAMED,
    EntraIdentity,
    GrantSource,
    LinkedIdentity,
    Profile,
    RoleGrant,
    User,
    UserId,
)
from entrada.compatibility import UTC
from entrada.errors import IdentityAlreadyLinked
from entrada.integrations.kit import links
from entrada.integrations.mage import sessions
from entrada.integrations.mage.tables import MageTables, find_user, find_users_by_email, is_named, key_of
from entrada.storage.storable import storable_profile, storable_text

log = logging.getLogger("entrada.mage")

LONGEST_TEXT = 255
BY_EMAIL = "verified e-mail"
BY_SIGN_IN = "first sign-in"

_EMAIL = re.compile(r"[^@\s<>\"(),:;\\\[\]]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
"""Stricter than Mage's own rule, so that Mage's editor accepts whatever we fill in."""


@dataclass(frozen=True, kw_only=True)
class MageUsers:
    """An `AdmissionStore` over one connection. `keeps_password` says whose password a link must not drop."""

    connection: Connection
    tables: MageTables
    break_glass: frozenset[str] = frozenset()

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`."""
        link = links.find_link(self.connection, identity)
        if link is None:
            return None
        row = find_user(self.connection, self.tables, link.user_id)
        return None if row is None else self._user(row)

    def find_by_verified_email(self, email: str) -> Sequence[User]:
        """Users with that address and no link: an address that changed hands inherits nothing."""
        rows = find_users_by_email(self.connection, self.tables, email)
        return [self._user(row) for row in rows if not links.links_of(self.connection, key_of(row))]

    def create(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant],
        now: datetime,
    ) -> User:
        """`user_id` is not used: Mage numbers its users itself."""
        del user_id
        users = self.tables.users
        self._forget_link_to_nobody(identity)
        email, username = self._free_names(profile, identity)
        first_name, last_name = names_of(profile)
        made = self.connection.execute(
            insert(users).values(email=email, username=username, first_name=first_name, last_name=last_name)
        )
        number = made.inserted_primary_key[0] if made.inserted_primary_key else None
        row = self.connection.execute(select(users).where(users.c.id == number)).one()
        try:
            links.put_link(self.connection, identity, user_id=key_of(row), linked_by=BY_SIGN_IN, now=now)
        except IdentityAlreadyLinked:
            self.connection.execute(delete(users).where(users.c.id == number))
            raise
        links.note_sign_in(self.connection, identity, user_id=key_of(row), profile=profile, now=now)
        self.apply_grants(row, entra_grants)
        return self._user(row)

    def link(self, *, user_id: UserId, identity: EntraIdentity, now: datetime) -> User:
        """Only an e-mail address brought this user and this person together, and Mage lets people change
        theirs. So whoever held the account until now is out: its password and its sessions end here.
        """
        row = self._row(user_id)
        self._forget_link_to_nobody(identity)
        present = links.find_link(self.connection, identity)
        if present is not None and present.user_id == user_id:
            return self._user(row)
        links.put_link(self.connection, identity, user_id=user_id, linked_by=BY_EMAIL, now=now)
        if not is_named(row, self.break_glass):
            users = self.tables.users
            self.connection.execute(
                update(users).where(users.c.id == row.id).values(password_hash=None, password_salt=None)
            )
        sessions.end_of_user(self.connection, self.tables, row.id)
        log.warning("Linked Mage user %d to %s by verified e-mail.", row.id, identity.object_id)
        return self._user(self._row(user_id))

    def record_sign_in(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> User:
        """See `AdmissionStore`."""
        row = self._row(user_id)
        link = links.find_link(self.connection, identity)
        if link is None or link.user_id != user_id:
            raise LookupError("the identity is not linked to this user")
        links.note_sign_in(self.connection, identity, user_id=user_id, profile=profile, now=now)
        if link.linked_by == BY_SIGN_IN:
            self._follow_rename(row, link, profile, identity)
        self._follow_names(row, link, profile)
        if entra_grants is not None:
            self.apply_grants(row, entra_grants)
        return self._user(self._row(user_id))

    def apply_grants(self, row: Row[Any], wanted: Sequence[RoleGrant]) -> None:
        """Add what Entra gives, take away what it no longer gives, leave what came from elsewhere.

        Raises:
            ValueError: one of `wanted` is not Entra's.
        """
        links.require_from_entra(wanted)
        held, noted = self._role_names(row.id), {grant.role for grant in self._noted(row)}
        known = self._role_ids({grant.role for grant in wanted} | noted)
        wanted = [grant for grant in wanted if self._is_known(grant.role, known)]
        gained = [grant for grant in wanted if grant.role not in held]
        lost = noted - {grant.role for grant in wanted}
        user_roles = self.tables.user_roles
        for grant in gained:
            self.connection.execute(insert(user_roles).values(user_id=row.id, role_id=known[grant.role]))
        lost_ids = [known[role] for role in lost if role in known]
        if lost_ids:
            self.connection.execute(
                delete(user_roles).where(user_roles.c.user_id == row.id, user_roles.c.role_id.in_(lost_ids))
            )
        kept = [grant for grant in wanted if grant in gained or grant.role in noted]
        links.replace_grants(self.connection, key_of(row), kept)

    def _forget_link_to_nobody(self, identity: EntraIdentity) -> None:
        """Where Mage's owner has deleted the user: the person may come in anew, and inherits nothing."""
        link = links.find_link(self.connection, identity)
        if link is not None and find_user(self.connection, self.tables, link.user_id) is None:
            links.remove_link(self.connection, identity)

    def _free_names(self, profile: Profile, identity: EntraIdentity) -> tuple[str | None, str]:
        """The e-mail address and the user name that Mage will show; both are unique there."""
        profile = storable_profile(profile)
        email = self._free_email(profile, except_id=None)
        wanted = (profile.username or profile.name)[: LONGEST_TEXT - 10].strip() or identity.object_id
        if self._name_is_free(wanted, except_id=None):
            return email, wanted
        return email, f"{wanted} ~{identity.object_id[:8]}"

    def _free_email(self, profile: Profile, *, except_id: int | None) -> str | None:
        """The verified address, or else the user principal name, whose domain the tenant has proved to own.

        An unverified address is anybody's to claim, and Mage's owners would read it as a fact.
        """
        candidates = [
            profile.email if profile.email_is_verified else None,
            None if profile.is_guest else profile.username,
        ]
        for email in candidates:
            if email and len(email) <= LONGEST_TEXT and _EMAIL.fullmatch(email):
                others = find_users_by_email(self.connection, self.tables, email)
                return email if all(other.id == except_id for other in others) else None
        return None

    def _name_is_free(self, name: str, *, except_id: int | None) -> bool:
        users = self.tables.users
        taken = self.connection.execute(
            select(users.c.id).where(func.lower(users.c.username) == name.lower())
        ).scalars()
        return all(number == except_id for number in taken)

    def _follow_rename(
        self, row: Row[Any], link: links.Link, profile: Profile, identity: EntraIdentity
    ) -> None:
        """A person renamed in Entra is renamed in Mage, unless Mage's owner chose another name meanwhile."""
        users, changes, profile = self.tables.users, {}, storable_profile(profile)
        if profile.username and link.username and profile.username != link.username:
            ours = (link.username, f"{link.username} ~{identity.object_id[:8]}")
            if row.username in ours and self._name_is_free(profile.username, except_id=row.id):
                changes["username"] = profile.username[:LONGEST_TEXT]
            email = self._free_email(profile, except_id=row.id)
            if email is not None and row.email in (None, link.username, link.email):
                changes["email"] = email
        if changes:
            self.connection.execute(update(users).where(users.c.id == row.id).values(**changes))

    def _follow_names(self, row: Row[Any], link: links.Link, profile: Profile) -> None:
        """First and last name, where Mage shows none yet or those of the last sign-in."""
        shown = (row.first_name or None, row.last_name or None)
        before = (None, None) if link.name is None else names_of(replace(profile, name=link.name))
        if shown in ((None, None), before) and shown != names_of(profile):
            first_name, last_name = names_of(profile)
            users = self.tables.users
            self.connection.execute(
                update(users).where(users.c.id == row.id).values(first_name=first_name, last_name=last_name)
            )

    def _is_known(self, role: str, known: dict[str, int]) -> bool:
        if role not in known:
            log.warning("The roles mapping names %r, which is no role in Mage; nobody gets it.", role)
        return role in known

    def _role_ids(self, names: set[str]) -> dict[str, int]:
        roles = self.tables.roles
        rows = self.connection.execute(select(roles.c.name, roles.c.id).where(roles.c.name.in_(names)))
        return {row.name: row.id for row in rows}

    def _role_names(self, user_number: int) -> set[str]:
        roles, user_roles = self.tables.roles, self.tables.user_roles
        return set(
            self.connection.execute(
                select(roles.c.name)
                .join(user_roles, user_roles.c.role_id == roles.c.id)
                .where(user_roles.c.user_id == user_number)
            ).scalars()
        )

    def _noted(self, row: Row[Any]) -> Sequence[RoleGrant]:
        return links.grants_of(self.connection, key_of(row))

    def _row(self, user_id: UserId) -> Row[Any]:
        row = find_user(self.connection, self.tables, user_id)
        if row is None:
            raise LookupError("Mage has no such user")
        return row

    def _user(self, row: Row[Any]) -> User:
        """Mage knows no disabled users: who is there may come in."""
        created_at = row.created_at or datetime.fromtimestamp(0, UTC)
        noted, held = self._noted(row), self._role_names(row.id)
        manual = held - {grant.role for grant in noted}
        return User(
            id=key_of(row),
            profile=Profile(
                name=row.username or row.email or f"user {row.id}", email=row.email, username=row.username
            ),
            created_at=created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC),
            identities=tuple(
                LinkedIdentity(
                    identity=link.identity, linked_at=link.linked_at, last_sign_in_at=link.last_sign_in_at
                )
                for link in links.links_of(self.connection, key_of(row))
            ),
            grants=(
                *(grant for grant in noted if grant.role in held),
                *(
                    RoleGrant(role=role, source=GrantSource.MANUAL, granted_by="Mage", granted_at=created_at)
                    for role in sorted(manual)
                ),
            ),
        )


def names_of(profile: Profile) -> tuple[str | None, str | None]:
    """First and last name as Mage shows them, one after the other.

    Entra's own two, where the registration asks for them. Else the one name, parted at its first space, or
    turned round at a comma: whatever the parts are, together they read as the person's name.
    """
    if profile.given_name or profile.family_name:
        parts = (profile.given_name or "", profile.family_name or "")
    elif profile.name in (profile.username, UNNAMED):
        parts = ("", "")
    elif "," in profile.name:
        last, _, first = profile.name.partition(",")
        parts = (first, last)
    else:
        first, _, last = profile.name.partition(" ")
        parts = (first, last)
    shown = [storable_text(part).strip()[:LONGEST_TEXT] or None for part in parts]
    return shown[0], shown[1]
