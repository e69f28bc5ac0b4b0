"""The broker's store in the database that holds accounts and sessions. Several brokers may share it.

A private key is sealed with the server's secret keys: brokers that share a database share those, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from entrada.accounts.identity import EntraIdentity
from entrada.audit.acts import BY_ENTRADA, Cause
from entrada.broker.audited import grant_opened, installation_changed, new_key
from entrada.broker.documents import (
    person_document,
    read_installation,
)
from entrada.broker.grants import AuthorizationCode, Grant, GrantId
from entrada.broker.installations import Installation
from entrada.broker.signing_keys import SigningKey, signing_key_from_der
from entrada.broker.sql_rows import code_of, delivery_of, grant_of, grant_row, installation_row
from entrada.broker.store import BrokerStore, Delivery
from entrada.entra.authority import ObjectId, TenantId
from entrada.errors import ConfigurationError
from entrada.sealing import Sealer
from entrada.storage.sql.audit_entries import note
from entrada.storage.sql.broker_grants import end_grants, of_identity
from entrada.storage.sql.broker_tables import codes, deliveries, grants, installations, keys, spent
from entrada.storage.sql.database import Database
from entrada.storage.sql.parts import in_parts
from entrada.storage.sql.pruning import over_by, prune
from entrada.storage.sql.repeating import repeats_transactions

SEALED_KEYS = "broker signing key"
"""The purpose of the sealer for private keys."""
PRUNE = (over_by(grants.c.expires_at), over_by(spent.c.expires_at))
PRUNED_AT_MOST = 50_000
"""Rows of each kind in one call, of which there is one in ten minutes."""


@repeats_transactions
class SqlBrokerStore(BrokerStore):
    """The store in a database whose tables are up to date (`database.migrate()`)."""

    def __init__(self, database: Database, *, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._opened_keys: dict[str, SigningKey] = {}
        """By what the database holds: opening and checking a key costs more than signing with it."""

    # --- installations ---

    def installations(self) -> Sequence[Installation]:
        with self._database.reading() as connection:
            rows = connection.execute(
                select(installations.c.document).order_by(installations.c.client_id)
            ).all()
        return [read_installation(row.document) for row in rows]

    def find_installation(self, client_id: str) -> Installation | None:
        with self._database.reading() as connection:
            row = connection.execute(
                select(installations.c.document).where(installations.c.client_id == client_id)
            ).one_or_none()
        return None if row is None else read_installation(row.document)

    def add_installation(self, installation: Installation, *, cause: Cause = BY_ENTRADA) -> bool:
        try:
            with self._database.writing() as connection:
                connection.execute(insert(installations), installation_row(installation))
                note(connection, installation_changed(installation.client_id, cause))
        except IntegrityError:
            return False
        return True

    def save_installation(self, installation: Installation, *, cause: Cause = BY_ENTRADA) -> None:
        row = installation_row(installation)
        replaced = (
            update(installations)
            .where(installations.c.client_id == installation.client_id)
            .values(document=row["document"])
        )
        with self._database.writing() as connection:
            if connection.execute(replaced).rowcount == 1:
                note(connection, installation_changed(installation.client_id, cause))
                return
        if not self.add_installation(installation, cause=cause):  # another was faster
            with self._database.writing() as connection:
                connection.execute(replaced)
                note(connection, installation_changed(installation.client_id, cause))

    def remove_installation(self, client_id: str, *, now: datetime, cause: Cause = BY_ENTRADA) -> bool:
        cause = replace(cause, at=now)
        with self._database.writing() as connection:
            end_grants(connection, grants.c.client_id == client_id, now=now, cause=cause)
            removed = connection.execute(delete(installations).where(installations.c.client_id == client_id))
            if removed.rowcount == 1:
                note(connection, installation_changed(client_id, cause))
            return removed.rowcount == 1

    # --- keys ---

    def signing_keys(self) -> Sequence[SigningKey]:
        with self._database.reading() as connection:
            rows = connection.execute(select(keys)).all()
        return [self._key_of(row) for row in rows]

    def add_signing_key(self, key: SigningKey, *, others_retire_at: datetime | None = None) -> bool:
        row = self._row_of(key)
        try:
            with self._database.writing() as connection:
                if others_retire_at is not None:
                    signing = update(keys).where(keys.c.signs == 1)
                    connection.execute(signing.values(retired_at=others_retire_at, signs=None))
                connection.execute(insert(keys), row)
                note(connection, new_key(key, "published beside the others"))
        except IntegrityError:
            return False  # another broker was faster: its key signs
        return True

    def replace_signing_keys(self, key: SigningKey) -> None:
        row = self._row_of(key)
        with self._database.writing() as connection:
            connection.execute(delete(keys))
            connection.execute(insert(keys), row)
            note(connection, new_key(key, "every other is withdrawn"))

    def _row_of(self, key: SigningKey) -> dict[str, Any]:
        sealed = self._sealer.seal(key.to_der(), context=key.kid)
        return {"kid": key.kid, "sealed": sealed, "made_at": key.made_at, "retired_at": None, "signs": 1}

    def _key_of(self, row: Row[Any]) -> SigningKey:
        known = self._opened_keys.get(row.sealed)
        if known is not None:
            return replace(known, retired_at=row.retired_at)
        der = self._sealer.unseal(row.sealed, context=row.kid)
        if der is None:
            raise ConfigurationError(
                "The broker's signing key was sealed with another key than those of $[secret_keys].",
                hint="Give every broker on this database the same keys, and keep the old one in the list "
                "while you change it.",
                setting="secret_keys",
            )
        opened = signing_key_from_der(der, made_at=row.made_at, retired_at=row.retired_at)
        self._opened_keys[row.sealed] = opened
        return opened

    # --- grants ---

    def open_grant(self, grant: Grant, code: AuthorizationCode) -> None:
        with self._database.writing() as connection:
            connection.execute(insert(grants), grant_row(grant))
            connection.execute(insert(codes), {**vars(code), "code_challenge": code.code_challenge or ""})
            note(connection, grant_opened(grant))

    def spend_code(self, code_hash: bytes, *, now: datetime) -> tuple[AuthorizationCode, bool] | None:
        with self._database.reading() as connection:
            # A stranger's made-up code costs a read, not a lock.
            if connection.execute(select(codes.c.hash).where(codes.c.hash == code_hash)).first() is None:
                return None
        with self._database.writing() as connection:
            first_use = connection.execute(
                update(codes)
                .where(codes.c.hash == code_hash, codes.c.spent_at.is_(None))
                .values(spent_at=now)
            )
            row = connection.execute(select(codes).where(codes.c.hash == code_hash)).one_or_none()
        return None if row is None else (code_of(row), first_use.rowcount == 1)

    def find_grant(self, grant_id: GrantId) -> Grant | None:
        with self._database.reading() as connection:
            row = connection.execute(select(grants).where(grants.c.id == grant_id)).one_or_none()
        return None if row is None else grant_of(row)

    def rotate_refresh_token(
        self, grant_id: GrantId, *, expected: bytes | None, new: bytes, now: datetime, expires_at: datetime
    ) -> bool:
        newest = grants.c.refresh_hash
        unchanged = newest.is_(None) if expected is None else newest == expected
        with self._database.writing() as connection:
            rotated = connection.execute(
                update(grants)
                .where(grants.c.id == grant_id, unchanged)
                .values(
                    refresh_hash=new,
                    previous_refresh_hash=expected,
                    refreshed_at=now,
                    expires_at=expires_at,
                )
            )
            return rotated.rowcount == 1

    def renew_grant(self, grant: Grant) -> bool:
        with self._database.writing() as connection:
            renewed = connection.execute(
                update(grants)
                .where(grants.c.id == grant.id)
                .values(
                    person=person_document(grant.person),
                    sealed_sign_in=grant.sealed_sign_in,
                    next_check_at=grant.next_check_at,
                )
            )
            return renewed.rowcount == 1

    def claim_grant_to_check(
        self, *, now: datetime, seen_since: datetime, next_check_at: datetime
    ) -> Grant | None:
        due = select(grants).where(grants.c.next_check_at <= now).order_by(grants.c.next_check_at).limit(1)
        while True:
            with self._database.reading() as connection:
                row = connection.execute(due).first()
            if row is None:
                return None
            is_watched = (row.refreshed_at or row.begun_at) > seen_since and row.expires_at > now
            with self._database.writing() as connection:
                claimed = connection.execute(
                    update(grants)
                    .where(grants.c.id == row.id, grants.c.next_check_at == row.next_check_at)
                    .values(next_check_at=next_check_at if is_watched else None)
                )
            if is_watched and claimed.rowcount == 1:
                return grant_of(row)

    def grants_of_person(self, identity: EntraIdentity) -> Sequence[Grant]:
        with self._database.reading() as connection:
            rows = connection.execute(select(grants).where(of_identity(identity))).all()
        return [grant_of(row) for row in rows]

    def newest_grants(
        self, tenant_id: TenantId, object_ids: Collection[ObjectId]
    ) -> Mapping[ObjectId, datetime]:
        newest = select(grants.c.object_id, func.max(grants.c.begun_at).label("begun_at"))
        found: dict[ObjectId, datetime] = {}
        for some in in_parts(sorted(object_ids)):
            theirs = newest.where(grants.c.tenant_id == tenant_id, grants.c.object_id.in_(some))
            with self._database.reading() as connection:
                rows = connection.execute(theirs.group_by(grants.c.object_id)).all()
            found.update({ObjectId(row.object_id): row.begun_at for row in rows})
        return found

    def end_grants(
        self,
        *,
        now: datetime,
        grant_id: GrantId | None = None,
        entra_session_id: str | None = None,
        identity: EntraIdentity | None = None,
        tell_all_but: str | None = None,
        cause: Cause = BY_ENTRADA,
    ) -> Sequence[Grant]:
        named = [
            condition
            for condition in (
                None if grant_id is None else grants.c.id == grant_id,
                None if entra_session_id is None else grants.c.entra_session_id == entra_session_id,
                None if identity is None else of_identity(identity),
            )
            if condition is not None
        ]
        if len(named) != 1:
            raise ValueError("name the grants in exactly one way")
        with self._database.reading() as connection:
            # A stranger's made-up session id costs a read, not a lock.
            if connection.execute(select(grants.c.id).where(named[0]).limit(1)).first() is None:
                return []
        with self._database.writing() as connection:
            cause = replace(cause, at=now)
            gone = end_grants(connection, named[0], now=now, cause=cause, tell_all_but=tell_all_but)
            return [grant_of(row) for row in gone]

    # --- logout tokens to deliver ---

    def due_deliveries(self, *, now: datetime, claim_until: datetime, limit: int) -> Sequence[Delivery]:
        is_due = deliveries.c.due_at <= now
        with self._database.reading() as connection:
            if connection.execute(select(deliveries.c.id).where(is_due).limit(1)).first() is None:
                return []
        claimed = []
        with self._database.writing() as connection:
            rows = connection.execute(
                select(deliveries).where(is_due).order_by(deliveries.c.due_at).limit(limit)
            ).all()
            for row in rows:
                won = connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == row.id, deliveries.c.due_at == row.due_at)
                    .values(due_at=claim_until)
                )
                if won.rowcount == 1:
                    claimed.append(delivery_of(row))
        return claimed

    def delivered(self, delivery_id: str) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(deliveries).where(deliveries.c.id == delivery_id))

    def undelivered(self, *, limit: int) -> Sequence[Delivery]:
        with self._database.reading() as connection:
            rows = connection.execute(
                select(deliveries)
                .where(deliveries.c.tries > 0)
                .order_by(deliveries.c.ended_at, deliveries.c.id)
                .limit(limit)
            ).all()
        return [delivery_of(row) for row in rows]

    def postpone_delivery(self, delivery_id: str, *, due_at: datetime) -> None:
        with self._database.writing() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery_id)
                .values(due_at=due_at, tries=deliveries.c.tries + 1)
            )

    # --- used once ---

    def spend(self, identifier: str, *, expires_at: datetime) -> bool:
        try:
            with self._database.writing() as connection:
                connection.execute(insert(spent), {"id": identifier, "expires_at": expires_at})
        except IntegrityError:
            return False
        return True

    def prune(self, *, now: datetime) -> int:
        forgotten = [prune(self._database, each, now=now, at_most=PRUNED_AT_MOST) for each in PRUNE]
        # The codes of these, and what broke off since the last call: no more than those.
        never_fetched = select(codes.c.grant_id).where(codes.c.expires_at <= now, codes.c.spent_at.is_(None))
        with self._database.writing() as connection:
            for statement in (
                delete(grants).where(grants.c.id.in_(never_fetched)),
                delete(codes).where(codes.c.expires_at <= now, codes.c.grant_id.not_in(select(grants.c.id))),
            ):
                forgotten.append(connection.execute(statement).rowcount)
        return sum(forgotten)
