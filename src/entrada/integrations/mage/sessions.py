"""Mage's sessions: rows of tokens. Opened by a sign-in with Entra; ended by giving the row another text.

Mage looks every token up by its text, so the old one ends at once, also in a server that still holds the row
in memory. The row itself stays: SQLite gives the number of a last row that is deleted to the next one, and
Mage, which remembers rows by their number, would take the next person for the last.
Tokens that people keep for Git belong to other applications and stay.
Every function is inside the caller's transaction.

Source: Mage 0.9.80, authentication/oauth2.py and api/utils.py.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, String, cast, delete, insert, literal, select, update

from entrada.accounts.identity import EntraIdentity, UserId
from entrada.integrations.mage import tables as ours
from entrada.integrations.mage.tables import (
    MageTables,
    application_id,
    find_user,
    hash_of,
    is_named,
    naive_utc,
)

_AT_ONCE = 500
_ENDED = "entrada-ended-"
_LONG_AGO = datetime(1970, 1, 2)  # as Mage writes times
_ENTRA_SESSION_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class MageToken:
    """A new session: what Mage's pages send along, until then."""

    text: str = field(repr=False)
    user_number: int
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class EndedSession:
    """`logout_hint` tells Entra which of its sessions to end; None where it never said."""

    user_id: UserId | None
    by_entra: bool
    logout_hint: str | None = None


def open_session(
    connection: Connection,
    tables: MageTables,
    *,
    user_id: UserId,
    identity: EntraIdentity,
    entra_session_id: str | None,
    logout_hint: str | None,
    expires_at: datetime,
) -> MageToken:
    """A new token row, and ours beside it.

    Raises:
        LookupError: Mage has no such user.
    """
    row = find_user(connection, tables, user_id)
    if row is None:
        raise LookupError("Mage has no such user")
    token = secrets.token_urlsafe(32)
    connection.execute(
        insert(tables.access_tokens).values(
            token=token,
            expires=naive_utc(expires_at),
            user_id=row.id,
            oauth2_application_id=application_id(connection, tables),
        )
    )
    connection.execute(
        insert(ours.sessions).values(
            token_hash=hash_of(token),
            user_id=user_id,
            tenant_id=identity.tenant_id,
            object_id=identity.object_id,
            entra_session_id=entra_session_id,
            logout_hint=logout_hint,
            expires_at=expires_at,
        )
    )
    return MageToken(text=token, user_number=row.id, expires_at=expires_at)


def end_session(connection: Connection, tables: MageTables, token: str) -> EndedSession | None:
    """The session of this token, ended; None if there was none."""
    tokens = tables.access_tokens
    was_there = _end(
        connection,
        tables,
        tokens.c.token == token,
        tokens.c.oauth2_application_id == application_id(connection, tables),
    )
    row = connection.execute(
        select(ours.sessions).where(ours.sessions.c.token_hash == hash_of(token))
    ).one_or_none()
    if row is None:
        return EndedSession(user_id=None, by_entra=False) if was_there else None
    connection.execute(delete(ours.sessions).where(ours.sessions.c.token_hash == row.token_hash))
    return EndedSession(user_id=UserId(row.user_id), by_entra=True, logout_hint=row.logout_hint)


def end_by_entra_session(connection: Connection, tables: MageTables, entra_session_id: str) -> int:
    """End exactly the sessions Entra names; how many there were. Anything odd ends none."""
    if not _ENTRA_SESSION_ID.fullmatch(entra_session_id):
        return 0
    named = connection.execute(
        select(ours.sessions.c.token_hash, ours.sessions.c.user_id).where(
            ours.sessions.c.entra_session_id == entra_session_id
        )
    ).all()
    hashes = [row.token_hash for row in named]
    numbers = sorted({int(row.user_id.partition("@")[0]) for row in named})
    tokens = tables.access_tokens
    held = connection.execute(select(tokens.c.id, tokens.c.token).where(tokens.c.user_id.in_(numbers)))
    ids = [row.id for row in held if hash_of(row.token or "") in hashes]
    if ids:
        _end(connection, tables, tokens.c.id.in_(ids))
    connection.execute(delete(ours.sessions).where(ours.sessions.c.token_hash.in_(hashes)))
    return len(ids)


def end_of_user(connection: Connection, tables: MageTables, user_number: int) -> int:
    """End every session of a user, however it was opened; how many there were."""
    tokens = tables.access_tokens
    ended = _end(
        connection,
        tables,
        tokens.c.user_id == user_number,
        tokens.c.oauth2_application_id == application_id(connection, tables),
    )
    connection.execute(delete(ours.sessions).where(ours.sessions.c.user_id.startswith(f"{user_number}@")))
    return ended


def end_foreign(connection: Connection, tables: MageTables, *, kept: frozenset[str]) -> int:
    """End every session that Entra did not open, but those of the users named; how many that were."""
    tokens, users = tables.access_tokens, tables.users
    rows = connection.execute(
        select(tokens.c.id.label("token_id"), tokens.c.token, users.c.email, users.c.username)
        .outerjoin(users, users.c.id == tokens.c.user_id)
        .where(
            tokens.c.oauth2_application_id == application_id(connection, tables),
            ~tokens.c.token.startswith(_ENDED),
        )
    ).all()
    ours_hashes = set(connection.execute(select(ours.sessions.c.token_hash)).scalars())
    ids = [
        row.token_id
        for row in rows
        if hash_of(row.token or "") not in ours_hashes and not is_named(row, kept)
    ]
    for start in range(0, len(ids), _AT_ONCE):
        _end(connection, tables, tokens.c.id.in_(ids[start : start + _AT_ONCE]))
    return len(ids)


def _end(connection: Connection, tables: MageTables, *which: ColumnElement[bool]) -> int:
    """Give each of these rows a text of its own that nobody has, as they must differ; how many they were."""
    tokens = tables.access_tokens
    nobodys = literal(f"{_ENDED}{secrets.token_urlsafe(32)}-", String) + cast(tokens.c.id, String)
    return connection.execute(
        update(tokens)
        .where(*which, ~tokens.c.token.startswith(_ENDED))
        .values(token=nobodys, expires=_LONG_AGO)
    ).rowcount


def forget_expired(connection: Connection, *, now: datetime) -> None:
    connection.execute(delete(ours.sessions).where(ours.sessions.c.expires_at < now))
