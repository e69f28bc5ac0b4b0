"""Links by hand: who signs in as which Mage user, one more, one less.

Every function is inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from entrada.accounts.identity import EntraIdentity
from entrada.errors import RequestRefused
from entrada.integrations.kit import links
from entrada.integrations.kit.links import Link
from entrada.integrations.mage import sessions
from entrada.integrations.mage.tables import (
    MageTables,
    find_user,
    find_users_by_email,
    key_of,
    shown_as,
)
from entrada.integrations.mage.users import MageUsers

BY_ADMINISTRATOR = "administrator"


@dataclass(frozen=True, kw_only=True)
class ShownLink:
    """A link, and how Mage shows its user; None if Mage has deleted them."""

    link: Link
    user: str | None


def all_links(connection: Connection, tables: MageTables) -> Sequence[ShownLink]:
    """Every link, the oldest first."""
    found = [(link, find_user(connection, tables, link.user_id)) for link in links.all_links(connection)]
    return [ShownLink(link=link, user=None if row is None else shown_as(row)) for link, row in found]


def link_user(
    connection: Connection, tables: MageTables, email: str, identity: EntraIdentity, *, now: datetime
) -> str:
    """Link one existing user to one person; gives how Mage shows the user.

    Raises:
        RequestRefused: no such user, or several.
        IdentityAlreadyLinked: the person signs in as another user.
    """
    rows = find_users_by_email(connection, tables, email)
    exact = [row for row in rows if row.email == email]
    if len(exact or rows) != 1:
        raise RequestRefused(
            f"Mage has no user with the e-mail address {email!r}."
            if not rows
            else f"Mage has several users with the e-mail address {email!r}, differing in letter case.",
            hint="Mage's owners see every user under Settings, Users.",
        )
    row = (exact or rows)[0]
    links.put_link(connection, identity, user_id=key_of(row), linked_by=BY_ADMINISTRATOR, now=now)
    return shown_as(row)


def unlink(connection: Connection, tables: MageTables, identity: EntraIdentity) -> str | None:
    """Forget a link, with the roles that Entra gave through it and every session of the user.

    Gives how Mage shows the user; None if Mage has deleted them.

    Raises:
        RequestRefused: there is no such link.
    """
    link = links.find_link(connection, identity)
    if link is None:
        raise RequestRefused(
            f"Nobody is linked to {identity.object_id} of tenant {identity.tenant_id}.",
            hint="`entrada mage links` shows every link.",
        )
    row = find_user(connection, tables, link.user_id)
    links.remove_link(connection, identity)
    if row is None:
        return None
    if not links.links_of(connection, link.user_id):
        MageUsers(connection=connection, tables=tables).apply_grants(row, [])
    sessions.end_of_user(connection, tables, row.id)
    return shown_as(row)
