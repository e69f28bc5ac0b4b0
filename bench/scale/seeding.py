"""So many people with an account, an identity, a role, a sealed sign-in and a session each, by bulk insert.

Rows go through the tables' own column types, on PostgreSQL by COPY. `Filled.known` are people spread over all
of them whose cookies are known.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, insert

from entrada.accounts.identity import EntraIdentity, Profile, UserId
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.flows.session_check import new_session_limits
from entrada.sessions.session import Session, SessionPolicy
from entrada.sessions.token import new_session_token
from entrada.storage.sql import Database, SqlAccountStore, SqlSealedSignIns, SqlSessionStore, connect
from entrada.storage.sql.account_rows import row_of as profile_row
from entrada.storage.sql.sessions import row_of as session_row
from entrada.storage.sql.tables import identities, role_grants, sealed_sign_ins, sessions, users

TENANT = TenantId("c0000000-0000-4000-8000-000000000001")
BATCH = 20_000
KNOWN = 500
POLICY = SessionPolicy()
GIVEN = ("Ada", "Bo", "Chidi", "Dana", "Emil", "Fatma", "Greta", "Hugo", "Ines", "Jun", "Kemal", "Lena")
SYLLABLES = ("ka", "ro", "min", "sel", "ta", "vor", "ben", "li", "dan", "gu", "ha", "nex", "os", "pe", "qui")
SEALED = secrets.token_urlsafe(1_200)
"""As long as what is kept of a sign-in, a refresh token of Entra's among it."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """One of those who are asked about."""

    user_id: UserId
    identity: EntraIdentity
    profile: Profile
    session: Session
    cookie: str


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A database with so many people in it."""

    number: int
    database: Database
    accounts: SqlAccountStore
    sessions: SqlSessionStore
    sealed_sign_ins: SqlSealedSignIns
    known: Sequence[Person]


def filled(url: str, number: int) -> Filled:
    """The database at the URL, which must be new, with so many people."""
    database = connect(url, wait=timedelta(seconds=30))
    database.migrate()
    now, drawn = datetime.now(UTC), random.Random(number)
    known: list[Person] = []
    every = max(1, number // KNOWN)
    made = (new_person(one, now=now, drawn=drawn) for one in range(number))
    first = 0
    while batch := list(islice(made, BATCH)):
        with database.writing() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA cache_size = -800000")
            for table, rows in rows_of(batch, now=now, drawn=drawn).items():
                add(connection, table, rows)
        known += [person for place, person in enumerate(batch, first) if place % every == 0]
        first += len(batch)
    with database.reading() as connection:
        if connection.dialect.name == "postgresql":  # which does so by itself; SQLite never does
            connection.exec_driver_sql("ANALYZE")
    database.close()  # what is opened from here on is as a server opens it
    return Filled(
        number=number,
        database=database,
        accounts=SqlAccountStore(database),
        sessions=SqlSessionStore(database),
        sealed_sign_ins=SqlSealedSignIns(database),
        known=known,
    )


def new_person(one: int, *, now: datetime, drawn: random.Random) -> Person:
    """Somebody with a new session."""
    family = "".join(drawn.choices(SYLLABLES, k=4)).capitalize()
    given = drawn.choice(GIVEN)
    email = f"{given}.{family}.{one}@contoso.example".lower()
    user_id, token = UserId(secrets.token_hex(16)), new_session_token()
    identity = EntraIdentity(
        tenant_id=TENANT, object_id=ObjectId(f"{secrets.token_hex(4)}-0000-4000-8000-{one:012x}")
    )
    idle, absolute = new_session_limits(now, POLICY)
    session = Session(
        id=token.id,
        secret_hash=token.secret_hash,
        user_id=user_id,
        identity=identity,
        created_at=now,
        last_seen_at=now,
        idle_expires_at=idle,
        absolute_expires_at=absolute,
        entra_session_id=secrets.token_hex(18),
    )
    profile = Profile(name=f"{given} {family}", email=email, username=email, email_is_verified=True)
    return Person(
        user_id=user_id, identity=identity, profile=profile, session=session, cookie=token.cookie_value
    )


def rows_of(people: Sequence[Person], *, now: datetime, drawn: random.Random) -> dict[Table, list[Any]]:
    """What these people are, by table, in the order in which it can be inserted."""
    ids = [{"tenant_id": one.identity.tenant_id, "object_id": one.identity.object_id} for one in people]
    of_user = [{"user_id": one.user_id} for one in people]
    return {
        users: [
            {"id": one.user_id, "created_at": now, "disabled_at": None, **profile_row(one.profile)}
            for one in people
        ],
        identities: [
            {**names, **of, "linked_at": now, "last_sign_in_at": now, "membership": None}
            for names, of in zip(ids, of_user, strict=True)
        ],
        role_grants: [
            {**of, "role": "Editor", "source": "entra", "granted_by": "Editor", "granted_at": now}
            for of in of_user
        ],
        sealed_sign_ins: [
            {
                **names,
                **of,
                "sealed_sign_in": SEALED,
                "last_sign_in_at": now,
                "next_check_at": now + timedelta(seconds=drawn.uniform(0, 900)),
                "ended_at": None,
                "ended_because": None,
            }
            for names, of in zip(ids, of_user, strict=True)
        ],
        sessions: [session_row(one.session) for one in people],
    }


def add(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns."""
    if connection.dialect.name == "postgresql":
        names = list(rows[0])
        writers = [table.c[name].type.bind_processor(connection.dialect) for name in names]
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                values = zip(names, writers, strict=True)
                copy.write_row([write(row[name]) if write else row[name] for name, write in values])
    else:
        connection.execute(insert(table), list(rows))


def everybody(filled: Filled) -> Iterator[Person]:
    """Those who are known, again and again."""
    while True:
        yield from filled.known
