"""Every implementation of the store Protocols, each empty, one after the other.

A new store is one more maker here: it yields how to open a further pair of stores on the same data.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from entrada.accounts.sealed_sign_ins import SealedSignIns
from entrada.accounts.store import AccountStore
from entrada.audit.trail import AuditTrail
from entrada.sessions.sealed_grants import SealedGrants
from entrada.sessions.store import SessionStore
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_sealed_grants import MemorySealedGrants
from entrada.storage.memory_sealed_sign_ins import MemorySealedSignIns
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.storage.sql import (
    SqlAccountStore,
    SqlAuditTrail,
    SqlSealedGrants,
    SqlSealedSignIns,
    SqlSessionStore,
    connect,
)
from storage.prepared import prepared_copy


@dataclass
class Stores:
    """Accounts and sessions that share their data, and how another process would open them."""

    accounts: AccountStore
    sessions: SessionStore
    sealed_sign_ins: SealedSignIns
    sealed_grants: SealedGrants
    audit: AuditTrail
    another: Callable[[], Stores] = field(repr=False)
    database_url: str | None = None
    """Where another process finds the same data; None if none can."""


Server = Callable[[], str]
"""Where a PostgreSQL is, started at the first call."""


@contextmanager
def in_memory(_: Path, __: Server) -> Iterator[Stores]:
    sessions = MemorySessionStore()
    accounts = MemoryAccountStore(sessions=sessions)
    kept, grants = MemorySealedSignIns(accounts, sessions), MemorySealedGrants(sessions)
    stores = Stores(accounts, sessions, kept, grants, sessions.audit, lambda: stores)
    yield stores


@contextmanager
def in_sqlite(folder: Path, _: Server) -> Iterator[Stores]:
    with in_sql(prepared_copy(folder / "entrada.db")) as stores:
        yield stores


@contextmanager
def in_postgresql(_: Path, started: Server) -> Iterator[Stores]:
    server = make_url(started()).set(drivername="postgresql+psycopg")
    schema = f"t{secrets.token_hex(8)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        url = server.update_query_dict({"options": f"-csearch_path={schema}"})
        with in_sql(url.render_as_string(hide_password=False)) as stores:
            yield stores
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


@contextmanager
def in_sql(url: str) -> Iterator[Stores]:
    opened = []

    def another() -> Stores:
        database = connect(url)
        opened.append(database)
        kept, grants = SqlSealedSignIns(database), SqlSealedGrants(database)
        audit = SqlAuditTrail(database)
        return Stores(SqlAccountStore(database), SqlSessionStore(database), kept, grants, audit, another, url)

    stores = another()
    opened[0].migrate()
    yield stores
    for database in opened:
        database.close()


MAKERS = {"memory": in_memory, "sqlite": in_sqlite, "postgresql": in_postgresql}

_HEAVY = {"postgresql": pytest.mark.heavy}
ALL = [pytest.param(name, marks=_HEAVY.get(name, ())) for name in MAKERS]
SHARED = [store for store in ALL if store.values != ("memory",)]
"""Those that another process can open."""
