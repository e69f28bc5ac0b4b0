"""From settings to where accounts, sessions and keys are stored.

What is wrong with the database is said before anything about keys: they lie beside it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from entrada.accounts.sealed_sign_ins import SealedSignIn, SealedSignIns
from entrada.accounts.store import AccountStore
from entrada.audit.trail import AuditTrail
from entrada.errors import ConfigurationError
from entrada.flows.key_file import kept_key
from entrada.flows.relying_party import Listening
from entrada.flows.tenant_watch import DirectoryStore
from entrada.leases import LeaseStore
from entrada.sealing import MAKE_KEY_COMMAND, SMALLEST_KEY_BYTES
from entrada.sessions.sealed_grants import SealedGrants
from entrada.sessions.store import SessionStore
from entrada.settings import Settings

if TYPE_CHECKING:
    from entrada.storage.sql import Database

SEALED_SIGN_IN = "kept sign-in"
"""The purpose of the sealer for what is stored of a sign-in."""
SESSION_GRANT = "session grant"
"""The purpose of the sealer for what a session may use to call other APIs."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where accounts, sessions, sealed sign-ins, leases and the audit trail are, and how to let go of it."""

    accounts: AccountStore
    sessions: SessionStore
    sealed_sign_ins: SealedSignIns
    leases: LeaseStore
    audit: AuditTrail
    directory: DirectoryStore[SealedSignIn]
    sealed_grants: SealedGrants
    close: Callable[[], None]
    listening: Callable[[Callable[[], None]], Listening | None] | None = None
    """Makes what calls its argument when something ended; None: this store tells nothing by itself."""
    database: Database | None = None
    """What both are stored in, for further tables beside theirs; None: this process's memory."""


def open_stores(database_url: str) -> Stores:
    """The stores behind a database URL, brought up to date; `memory:` keeps everything in this process.

    Raises:
        ConfigurationError: SQLAlchemy is not installed, or the URL names no database Entrada knows.
        StoreUnavailable: the database does not answer.
    """
    if database_url == "memory:":
        from entrada.storage.memory_accounts import MemoryAccountStore
        from entrada.storage.memory_directory import MemoryDirectory
        from entrada.storage.memory_leases import MemoryLeases
        from entrada.storage.memory_sealed_grants import MemorySealedGrants
        from entrada.storage.memory_sealed_sign_ins import MemorySealedSignIns
        from entrada.storage.memory_sessions import MemorySessionStore

        memory_sessions = MemorySessionStore()
        memory_accounts = MemoryAccountStore(sessions=memory_sessions)
        memory_sign_ins = MemorySealedSignIns(memory_accounts, memory_sessions)
        return Stores(
            accounts=memory_accounts,
            sessions=memory_sessions,
            leases=MemoryLeases(),
            audit=memory_sessions.audit,
            sealed_sign_ins=memory_sign_ins,
            directory=MemoryDirectory(memory_accounts, memory_sessions, memory_sign_ins),
            sealed_grants=MemorySealedGrants(memory_sessions),
            close=lambda: None,
        )
    try:
        from entrada.storage.sql import (
            SqlAccountStore,
            SqlAuditTrail,
            SqlDirectory,
            SqlLeases,
            SqlSealedGrants,
            SqlSealedSignIns,
            SqlSessionStore,
            connect,
        )
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"Keeping accounts in a database needs {missing.name}, which is not installed.",
            hint='Install it with: pip install "./entrada[server]"',
            setting="database_url",
        ) from None
    database = connect(database_url)
    database.migrate()
    return Stores(
        accounts=SqlAccountStore(database),
        sessions=SqlSessionStore(database),
        sealed_sign_ins=SqlSealedSignIns(database),
        leases=SqlLeases(database),
        audit=SqlAuditTrail(database),
        directory=SqlDirectory(database),
        sealed_grants=SqlSealedGrants(database),
        close=database.close,
        listening=database.listening,
        database=database,
    )


def secret_keys_of(settings: Settings, *, key_file: Path | None = None) -> list[bytes]:
    """The keys that seal cookies: as set, or made and stored in `key_file`, or beside an SQLite database.

    Raises:
        ConfigurationError: too short, or not set where several servers must share them.
    """
    if settings.secret_keys is not None:
        keys = [part.strip().encode() for part in settings.secret_keys.get_secret_value().split(",")]
        if any(len(set(key)) < 8 for key in keys):
            raise ConfigurationError(
                "$[secret_keys] holds a key that can be guessed.",
                hint=f"Make one with: {MAKE_KEY_COMMAND}",
                setting="secret_keys",
            )
        return keys
    if key_file is not None:
        return [kept_key(key_file)]
    url = settings.database_url
    path = Path(url.removeprefix("sqlite:///").partition("?")[0]) if url.startswith("sqlite:///") else Path()
    if url in ("memory:", "sqlite://", "sqlite:///:memory:"):
        return [secrets.token_bytes(SMALLEST_KEY_BYTES)]
    if not path.name:
        raise shared_key_missing()
    return [kept_key(path.with_suffix(".keys"))]


def shared_key_missing() -> ConfigurationError:
    return ConfigurationError(
        "$[secret_keys] is not set, but several servers may share this database.",
        hint=f"Give every server the same key: {MAKE_KEY_COMMAND}",
        setting="secret_keys",
    )
