"""What `entrada db check` looks at, one finding each: it changes nothing, and makes neither file nor key.

reachable    it answers
schema       its tables are those of this version
integrity    SQLite reads every page of it; PostgreSQL has tools of its own
writable     a transaction may write, and is rolled back
keys         the secret keys open what is sealed in it
audit        the audit trail ends where it says that it does; `entrada audit verify` looks at all of it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from entrada.accounts.identity import EntraIdentity
from entrada.broker.sql_store import SEALED_KEYS
from entrada.build import secret_keys_of
from entrada.build.stores import SEALED_SIGN_IN
from entrada.entra.authority import ObjectId, TenantId
from entrada.errors import EntradaError
from entrada.flows.refreshable_sign_in import unseal_sign_in
from entrada.gateway.assertion_keys import SEALED_ASSERTION_KEYS
from entrada.sealing import Sealer
from entrada.settings import Settings
from entrada.storage.sql import Database, SqlAuditTrail, broker_tables
from entrada.storage.sql.migrations import HEAD, is_newer_and_fits, version_of
from entrada.storage.sql.sqlite import SqliteDatabase, driver_of
from entrada.storage.sql.sqlite_copy import faults_in
from entrada.storage.sql.tables import assertion_keys, revocation, sealed_sign_ins

OPENED_AT_MOST = 1000
"""Of the sealed sign-ins, the newest."""

NOTHING_CHANGES = update(revocation).values(epoch=revocation.c.epoch)
NEWEST_SEALED = (
    select(sealed_sign_ins.c.tenant_id, sealed_sign_ins.c.object_id, sealed_sign_ins.c.sealed_sign_in)
    .where(sealed_sign_ins.c.sealed_sign_in.is_not(None))
    .order_by(sealed_sign_ins.c.last_sign_in_at.desc())
    .limit(OPENED_AT_MOST)
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`detail` says what was found, `hint` what to do where it is not as it should be."""

    check: str
    ok: bool
    detail: str
    hint: str | None = None


class _RolledBack(Exception):
    """Ends a transaction that was only tried."""


def findings(database: Database, settings: Settings) -> Iterator[Finding]:
    """Each check that the ones before it leave a meaning to."""
    try:
        with database.reading() as connection:
            version = version_of(connection)
    except EntradaError as error:
        yield _failed("reachable", error)
        return
    yield Finding(check="reachable", ok=True, detail="it answers")
    with database.reading() as connection:
        schema = _schema(version, fits=is_newer_and_fits(connection, version))
    yield schema
    yield from _tried("integrity", lambda: _integrity(database))
    if schema.ok:
        yield from _tried("writable", lambda: _writable(database))
        yield from _tried("keys", lambda: _keys(database, settings))
        yield from _tried("audit", lambda: _audit(database))


def _tried(check: str, look: Callable[[], Finding | None]) -> Iterator[Finding]:
    try:
        found = look()
    except EntradaError as error:
        found = _failed(check, error)
    if found is not None:
        yield found


def _failed(check: str, error: EntradaError) -> Finding:
    return Finding(check=check, ok=False, detail=error.marked_sentence, hint=error.marked_hint)


def _schema(version: str | None, *, fits: bool) -> Finding:
    if version == HEAD:
        return Finding(check="schema", ok=True, detail=f"version {HEAD}, as this version of Entrada has it")
    if fits:
        detail = f"version {version} of a newer Entrada, which says that this one ({HEAD}) works with it"
        return Finding(check="schema", ok=True, detail=detail)
    hint = "`entrada db upgrade` brings it up to date, and so does the next start of a server."
    if version is None:
        detail = "it has no tables of Entrada's"
    elif version < HEAD:
        detail = f"version {version}, and this version of Entrada has {HEAD}"
    else:
        detail = f"version {version}, which a newer version of Entrada made; this one has {HEAD}"
        hint = "Use the newer version, or restore the backup that was made before the upgrade."
    return Finding(check="schema", ok=False, detail=detail, hint=hint)


def _integrity(database: Database) -> Finding | None:
    if not isinstance(database, SqliteDatabase):
        return None
    with database.reading() as connection:
        faults = faults_in(driver_of(connection))
    if not faults:
        return Finding(check="integrity", ok=True, detail="SQLite finds nothing wrong")
    return Finding(
        check="integrity",
        ok=False,
        detail=f"SQLite finds it damaged: {faults[0]}",
        hint="Stop the servers, keep the file, and restore the last backup.",
    )


def _writable(database: Database) -> Finding:
    try:
        with database.writing() as connection:
            connection.execute(NOTHING_CHANGES)
            raise _RolledBack
    except _RolledBack:
        return Finding(check="writable", ok=True, detail="it may be written")


def _audit(database: Database) -> Finding:
    trail = SqlAuditTrail(database)
    while True:
        extent, newest = trail.extent(), trail.newest(limit=1)
        if extent == trail.extent():
            break  # nothing was entered in between
    end = newest[0].place if newest else extent.anchor
    if end == extent.head:
        return Finding(check="audit", ok=True, detail=f"the audit trail ends at entry {end.number}")
    return Finding(
        check="audit",
        ok=False,
        detail=f"the audit trail ends at entry {end.number}, and should at {extent.head.number}",
        hint="Nobody can sign in like this. `entrada audit verify` says what is wrong; restore a backup.",
    )


def _keys(database: Database, settings: Settings) -> Finding:
    with database.reading() as connection:
        tables = ((assertion_keys, SEALED_ASSERTION_KEYS), (broker_tables.keys, SEALED_KEYS))
        kept = connection.execute(NEWEST_SEALED).all()
        signing = [
            (purpose, row.kid, row.sealed)
            for table, purpose in tables
            for row in connection.execute(select(table.c.kid, table.c.sealed))
        ]
        others = _count(connection) - len(kept)
    sealed = len(kept) + len(signing)
    if sealed == 0:
        return Finding(check="keys", ok=True, detail="nothing is sealed in it yet")
    if settings.secret_keys is None and isinstance(database, SqliteDatabase):
        key_file = database.path.with_suffix(".keys")
        if not key_file.exists():
            return Finding(
                check="keys",
                ok=False,
                detail=f"{key_file.name}, whose key opens what is sealed in it, is not there",
                hint="Put the file back from its backup. Without it a server makes a new one.",
            )
    keys = secret_keys_of(settings)
    sign_ins = Sealer(keys, purpose=SEALED_SIGN_IN)
    opened = sum(
        unseal_sign_in(text or "", _identity(tenant_id, object_id), sign_ins) is not None
        for tenant_id, object_id, text in kept
    )
    opened += sum(
        Sealer(keys, purpose=purpose).unseal(text, context=kid) is not None for purpose, kid, text in signing
    )
    more = f"; {others} older were not tried" if others > 0 else ""
    if opened == sealed:
        return Finding(check="keys", ok=True, detail=f"they open what is sealed in it ({sealed} tried{more})")
    return Finding(
        check="keys",
        ok=False,
        detail=f"they open {opened} of {sealed} that are sealed in it{more}",
        hint="Put the key that sealed them back into $[secret_keys], behind the new one.",
    )


def _count(connection: Connection) -> int:
    counted = select(func.count()).where(sealed_sign_ins.c.sealed_sign_in.is_not(None))
    return int(connection.execute(counted).scalar_one())


def _identity(tenant_id: str, object_id: str) -> EntraIdentity:
    return EntraIdentity(tenant_id=TenantId(tenant_id), object_id=ObjectId(object_id))
