"""Accounts and sessions in SQL: SQLite by default, PostgreSQL when there is more than one server.

    database = connect("sqlite:///entrada.db")
    database.migrate()
    accounts, sessions = SqlAccountStore(database), SqlSessionStore(database)
    kept, audit = SqlSealedSignIns(database), SqlAuditTrail(database)

Needs the `server` extra (SQLAlchemy, Alembic).
"""

from entrada.storage.sql import broker_tables  # the migrations make these tables, too
from entrada.storage.sql.accounts import SqlAccountStore
from entrada.storage.sql.audit_trail import SqlAuditTrail
from entrada.storage.sql.database import Database
from entrada.storage.sql.directory import SqlDirectory
from entrada.storage.sql.engine import connect
from entrada.storage.sql.leases import SqlLeases
from entrada.storage.sql.sealed_grants import SqlSealedGrants
from entrada.storage.sql.sealed_sign_ins import SqlSealedSignIns
from entrada.storage.sql.sessions import SqlSessionStore

__all__ = [
    "Database",
    "SqlAccountStore",
    "SqlAuditTrail",
    "SqlDirectory",
    "SqlLeases",
    "SqlSealedGrants",
    "SqlSealedSignIns",
    "SqlSessionStore",
    "broker_tables",
    "connect",
]
