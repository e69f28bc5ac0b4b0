"""Mage's sessions: a row of Mage's tokens, and a row of ours that says a sign-in opened it.

Both are needed: a token that no sign-in opened is nobody's session, whatever Mage's row says of application
and time; so tokens that people keep for Git, and rows that Mage's API makes or prolongs, open nothing.
Ending a session takes our row away, for good, and gives Mage's row another text and no time, so that stock
Mage on the same database does not take it either. Mage's row stays: SQLite gives the number of a last row
that is deleted to the next one, and Mage, which remembers rows by their number, would take the next person
for the last.
Every function is inside the caller's transaction.

Source: Mage 0.9.80, authentication/oauth2.py and api/utils.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, cast, delete, insert, literal, select, update

from entrada.accounts.identity import EntraIdentity, UserId
from entrada.compatibility import UTC
from entrada.entra.claims import is_session_id_of_entra
from entrada.integrations.mage import tables as ours
from entrada.integrations.mage.tables import (
    MageTables,
    application_id,
    find_user,
    hash_of,
    is_named,
    key_of,
    naive_utc,
)
from entrada.storage.sql.parts import in_parts

_LONG_AGO = datetime(1970, 1, 2)  # as Mage writes times


@dataclass(frozen=True, kw_only=True)
class MageToken:
    """A new session: what Mage's pages send along, until then."""

    text: str = field(repr=False)
    user_number: int
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class OpenSession:
    """A token that opens Mage now, and for whom."""

    token: str = field(repr=False)
    user_id: UserId
    user_number: int


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


def note_session(
    connection: Connection, tables: MageTables, token: str, *, expires_at: datetime, now: datetime
) -> None:
    """The session that Mage's own sign-in has just opened counts, until Mage's limit or ours.

    Raises:
        LookupError: Mage has no such row of its pages' application, or it belongs to nobody.
    """
    tokens, users = tables.access_tokens, tables.users
    row = connection.execute(
        select(tokens.c.expires, users.c.id, users.c.created_at)
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.token == token, tokens.c.oauth2_application_id == application_id(connection, tables))
    ).one_or_none()
    if row is None or not _is_ahead(row.expires, now):
        raise LookupError("Mage has no such session")
    connection.execute(
        insert(ours.sessions).values(
            token_hash=hash_of(token),
            user_id=key_of(row),
            expires_at=min(expires_at, _aware(row.expires)),
        )
    )


def find_open(
    connection: Connection, tables: MageTables, texts: Collection[str], *, now: datetime
) -> Sequence[OpenSession]:
    """Those of the tokens that open Mage now.

    Mage's row and ours, of the same user, who is there; the application of Mage's pages; both limits ahead.
    """
    hashes = {hash_of(text): text for text in texts if text}
    tokens, users = tables.access_tokens, tables.users
    found: list[OpenSession] = []
    for some in in_parts(sorted(hashes)):
        live = connection.execute(
            select(ours.sessions.c.token_hash, ours.sessions.c.user_id).where(
                ours.sessions.c.token_hash.in_(some), ours.sessions.c.expires_at > now
            )
        ).all()
        if not live:
            continue
        owners = {hashes[row.token_hash]: UserId(row.user_id) for row in live}
        rows = connection.execute(
            select(tokens.c.token, tokens.c.expires, users.c.id, users.c.created_at)
            .join(users, users.c.id == tokens.c.user_id)
            .where(
                tokens.c.token.in_(list(owners)),
                tokens.c.oauth2_application_id == application_id(connection, tables),
            )
        ).all()
        found += [
            OpenSession(token=row.token, user_id=key_of(row), user_number=row.id)
            for row in rows
            # `get`: a database may compare letters more generously than we do
            if owners.get(row.token) == key_of(row) and _is_ahead(row.expires, now)
        ]
    return found


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
    return EndedSession(
        user_id=UserId(row.user_id), by_entra=row.tenant_id is not None, logout_hint=row.logout_hint
    )


def end_by_entra_session(connection: Connection, tables: MageTables, entra_session_id: str) -> int:
    """End exactly the sessions Entra names; how many there were. Anything odd ends none."""
    if not is_session_id_of_entra(entra_session_id):
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
    _end(
        connection,
        tables,
        tokens.c.user_id == user_number,
        tokens.c.oauth2_application_id == application_id(connection, tables),
    )
    return connection.execute(
        delete(ours.sessions).where(ours.sessions.c.user_id.startswith(f"{user_number}@"))
    ).rowcount


def end_foreign(connection: Connection, tables: MageTables, *, kept: frozenset[str], now: datetime) -> int:
    """End every session that Entra did not open, but those of the users named; how many that were.

    Also those that Mage alone knows of, from before it was started by us: they open nothing here.
    """
    tokens, users = tables.access_tokens, tables.users
    rows = connection.execute(
        select(
            tokens.c.id.label("token_id"), tokens.c.token, tokens.c.expires, users.c.email, users.c.username
        )
        .outerjoin(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.oauth2_application_id == application_id(connection, tables))
    ).all()
    by_entra = set(
        connection.execute(
            select(ours.sessions.c.token_hash).where(ours.sessions.c.tenant_id.is_not(None))
        ).scalars()
    )
    foreign = [
        row
        for row in rows
        if _is_ahead(row.expires, now)
        and hash_of(row.token or "") not in by_entra
        and not is_named(row, kept)
    ]
    for some in in_parts([row.token_id for row in foreign]):
        _end(connection, tables, tokens.c.id.in_(some))
    for some in in_parts([hash_of(row.token or "") for row in foreign]):
        connection.execute(delete(ours.sessions).where(ours.sessions.c.token_hash.in_(some)))
    return len(foreign)


def forget_expired(connection: Connection, *, now: datetime) -> None:
    """Delete our rows of sessions past their limit."""
    connection.execute(delete(ours.sessions).where(ours.sessions.c.expires_at < now))


def is_session_token(connection: Connection, tables: MageTables, text: str) -> bool:
    """Whether this text is, or was, a token of Mage's pages: nobody files it as anything else."""
    tokens = tables.access_tokens
    row = connection.execute(
        select(tokens.c.id).where(
            tokens.c.token == text,
            tokens.c.oauth2_application_id == application_id(connection, tables),
        )
    ).first()
    known = connection.execute(
        select(ours.sessions.c.token_hash).where(ours.sessions.c.token_hash == hash_of(text))
    ).first()
    return row is not None or known is not None


def _end(connection: Connection, tables: MageTables, *which: ColumnElement[bool]) -> int:
    """Give each of these rows a text of its own that nobody has, as they must differ; how many they were."""
    tokens = tables.access_tokens
    nobodys = literal(f"entrada-ended-{secrets.token_urlsafe(32)}-", String) + cast(tokens.c.id, String)
    return connection.execute(update(tokens).where(*which).values(token=nobodys, expires=_LONG_AGO)).rowcount


def _is_ahead(moment: Any, now: datetime) -> bool:
    return moment is not None and _aware(moment) > now


def _aware(moment: datetime) -> datetime:
    """A time as Mage wrote it: in UTC, whether it says so or not."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
