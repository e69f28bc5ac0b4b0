"""Mage's tables as far as we touch them, and the one we add for its sessions.

    entrada_mage_open_session    which tokens of Mage's a sign-in opened; Entra's name for it

A token that has no row there opens nothing, whatever Mage's own row says.

Mage keys users by a number that SQLite gives out again once the last user is deleted. Our links outlive that,
so they name a user by number and creation time together: nobody inherits the link of somebody who is gone.

Source: Mage 0.9.80, orchestration/db/models/oauth.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Index, MetaData, Row, Table, Text, func, select
from sqlalchemy.schema import CreateIndex, CreateTable

from entrada.accounts.identity import UserId
from entrada.compatibility import UTC
from entrada.errors import StoreUnavailable
from entrada.integrations.kit import links
from entrada.storage.sql.tables import AnyText, UtcTime

metadata = MetaData()

sessions = Table(
    "entrada_mage_open_session",
    metadata,
    Column("token_hash", AnyText, primary_key=True),
    Column("user_id", AnyText, nullable=False),
    Column("tenant_id", AnyText),  # none: Mage's own sign-in opened it
    Column("object_id", AnyText),
    Column("entra_session_id", AnyText),
    Column("logout_hint", Text),
    Column("expires_at", UtcTime, nullable=False),
    Index("ix_entrada_mage_open_session_user_id", "user_id"),
    Index("ix_entrada_mage_open_session_entra_session_id", "entra_session_id"),
)


@dataclass(frozen=True, kw_only=True)
class MageTables:
    """Mage's own. `application_client_id` is the public id of its pages, whose tokens are sessions."""

    users: Table
    roles: Table
    user_roles: Table
    access_tokens: Table
    applications: Table
    application_client_id: str

    def __post_init__(self) -> None:
        """Fails at the start, not at the first sign-in, where Mage has renamed a column."""
        for table, columns in (
            (
                self.users,
                ("id", "email", "username", "first_name", "last_name", "password_hash", "created_at"),
            ),
            (self.roles, ("id", "name")),
            (self.user_roles, ("user_id", "role_id")),
            (self.access_tokens, ("token", "expires", "user_id", "oauth2_application_id")),
            (self.applications, ("id", "client_id")),
        ):
            missing = [name for name in columns if name not in table.c]
            if missing:
                raise ValueError(f"Mage's table {table.name} has no column {missing[0]}")


def create_tables(connection: Connection) -> None:
    """Make what of ours is missing; safe while other servers do the same."""
    links.create_tables(connection)
    connection.execute(CreateTable(sessions, if_not_exists=True))
    for index in sorted(sessions.indexes, key=lambda index: str(index.name)):
        connection.execute(CreateIndex(index, if_not_exists=True))


def key_of(row: Any) -> UserId:
    """The name by which our links know the user of this row (`id`, `created_at`)."""
    created = row.created_at
    if created is None:
        return UserId(f"{row.id}@")
    if created.tzinfo is not None:
        created = created.astimezone(UTC)
    return UserId(f"{row.id}@{created:%Y%m%dT%H%M%S.%f}")


def find_user(connection: Connection, tables: MageTables, user_id: UserId) -> Row[Any] | None:
    """The user our links know by this name; None if Mage has deleted them, whoever has their number now."""
    number, _, _ = user_id.partition("@")
    if not (number.isascii() and number.isdigit()):
        return None
    row = connection.execute(select(tables.users).where(tables.users.c.id == int(number))).one_or_none()
    return None if row is None or key_of(row) != user_id else row


def find_users_by_email(connection: Connection, tables: MageTables, email: str) -> Sequence[Row[Any]]:
    """Every user with this address, letters compared without case: Mage itself keeps `ADA@` beside `ada@`."""
    rows = connection.execute(
        select(tables.users).where(func.lower(tables.users.c.email) == email.lower()).order_by("id")
    )
    return rows.all()


def application_id(connection: Connection, tables: MageTables) -> int:
    """The application whose tokens are sessions.

    Raises:
        StoreUnavailable: Mage has not finished starting.
    """
    applications = tables.applications
    found = connection.execute(
        select(applications.c.id).where(applications.c.client_id == tables.application_client_id)
    ).scalar_one_or_none()
    if found is None:
        raise StoreUnavailable("Mage has not finished starting.", hint="Try again in a few seconds.")
    return int(found)


def hash_of(token: str) -> str:
    """How our own table names a token: whoever reads it cannot sign in with it."""
    return hashlib.sha256(token.encode()).hexdigest()


def naive_utc(moment: datetime) -> datetime:
    """A time as Mage writes it: UTC, without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def is_named(row: Any, names: frozenset[str]) -> bool:
    """Whether a list of e-mail addresses and user names, in lower case, holds the user of this row."""
    return any(text and text.lower() in names for text in (row.email, row.username))


def shown_as(row: Any) -> str:
    """How the commands name the user of a row."""
    return f"{row.email or row.username or 'user'} (number {row.id})"
