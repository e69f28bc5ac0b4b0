"""The tables, and how times and texts are written in them.

Every name begins `entrada_`, because the tables may live in another application's database.
The migrations make exactly these tables; a test compares the two.

    entrada_user            a person's account
    entrada_identity        the Entra identities that sign in as a user
    entrada_role_grant      who gave a user which role
    entrada_session         one signed-in browser; only the hash of its secret
    entrada_session_grant   what a session may use to call other APIs, sealed; gone with its session
    entrada_kept_sign_in    the newest sign-in of an identity, sealed, and when to ask Entra again
    entrada_spent_sign_in   sign-ins that were answered already
    entrada_assertion_key   a key that signs assertions, sealed
    entrada_lease           which of several servers does a job that one of them is to do
    entrada_delta_position  how far the changes of a tenant's directory were read, and which server reads on
    entrada_schema_oldest   one row: the step of the oldest version that works with these tables
    entrada_revocation      one row: the number of the last entry of the log of what ended
    entrada_revoked         that log, its last entries; see entrada.sessions.revocation
    entrada_audit_entry     what happened, who did it and why, in a chain of hashes; see entrada.audit
    entrada_audit_head      one row: where that chain begins and ends
    entrada_audit_export    how far it was written out, to each file, to standard output, to syslog

Sessions name their user without a foreign key: a store of sessions works beside any store of accounts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
)
from sqlalchemy.types import TypeDecorator

from entrada.compatibility import UTC
from entrada.storage.sql.failures import DamagedRow
from entrada.storage.storable import UNSTORABLE, is_unicode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ANY_TEXT = UNSTORABLE | {0: "\N{REPLACEMENT CHARACTER}"}


class UtcTime(TypeDecorator[datetime]):
    """An aware time, written as whole microseconds since 1970: the same number on every database.

    It sorts, it has no time zone to be set wrongly, and it is exact. Writing a naive time raises TypeError;
    reading what is no time raises DamagedRow.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> int | None:
        """The value as it is written."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, _: Dialect) -> datetime | None:
        """The value as it is read."""
        try:
            return None if value is None else EPOCH + timedelta(microseconds=value)
        except (TypeError, OverflowError):
            raise DamagedRow from None


class AnyText(TypeDecorator[str]):
    """Text that never fails to be written or looked for.

    NUL (which PostgreSQL refuses) and half surrogate pairs (which UTF-8 cannot carry) become U+FFFD,
    so a request that names `?sid=%00` finds nothing rather than raising.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        """The value as it is written."""
        if value is None or (is_unicode(value) and "\0" not in value):
            return value
        return value.translate(ANY_TEXT)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

users = Table(
    "entrada_user",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("name", AnyText, nullable=False),
    Column("email", AnyText),
    Column("username", AnyText),
    Column("is_guest", Boolean, nullable=False),
    Column("email_is_verified", Boolean, nullable=False),
    # `email` as it is compared, and only where it is verified; see storable.email_key.
    Column("verified_email_key", AnyText, index=True),
    Column("created_at", UtcTime, nullable=False),
    Column("disabled_at", UtcTime),
)
Index("ix_entrada_user_in_order", func.lower(users.c.name), users.c.id)
# Of these alone: SQLite, which has no statistics here, would read everybody else by it, and sort them.
IS_DISABLED = users.c.disabled_at.is_not(None)
Index(
    "ix_entrada_user_disabled_at",
    users.c.disabled_at,
    sqlite_where=IS_DISABLED,
    postgresql_where=IS_DISABLED,
)
Index("ix_entrada_user_by_email", func.lower(users.c.email))
Index("ix_entrada_user_by_username", func.lower(users.c.username))

identities = Table(
    "entrada_identity",
    metadata,
    Column("tenant_id", AnyText, primary_key=True),
    Column("object_id", AnyText, primary_key=True, index=True),
    Column("user_id", ForeignKey(users.c.id), nullable=False, index=True),
    Column("linked_at", UtcTime, nullable=False),
    Column("last_sign_in_at", UtcTime),
    # As `entrada.accounts.groups.written` writes it; NULL: nothing is known.
    Column("membership", AnyText),
)

role_grants = Table(
    "entrada_role_grant",
    metadata,
    Column("user_id", ForeignKey(users.c.id), primary_key=True),
    Column("role", AnyText, primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("granted_by", AnyText, nullable=False),
    Column("granted_at", UtcTime, nullable=False),
    # Of a grant whose source is `accounts.ENDING`, which versions without ends count for nothing.
    Column("ends_at", UtcTime, index=True),
    Index(None, "role", "user_id"),
    Index(None, "granted_by", "role"),
)

sessions = Table(
    "entrada_session",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("user_id", AnyText, nullable=False, index=True),
    Column("tenant_id", AnyText, nullable=False),
    Column("object_id", AnyText, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("idle_expires_at", UtcTime, nullable=False, index=True),
    Column("absolute_expires_at", UtcTime, nullable=False, index=True),
    Column("entra_session_id", AnyText, index=True),
    Column("logout_hint", AnyText),
    # What people tell their sessions apart by, and when Entra last asked them who they are; NULL: not known.
    Column("user_agent", AnyText),
    Column("address", AnyText),
    Column("authenticated_at", UtcTime),
)

session_grants = Table(
    "entrada_session_grant",
    metadata,
    Column("session_id", ForeignKey(sessions.c.id, ondelete="CASCADE"), primary_key=True),
    Column("sealed", Text, nullable=False),
    # Who refreshes it now, and until when nobody else does.
    Column("holder", AnyText),
    Column("held_until", UtcTime),
)

sealed_sign_ins = Table(
    "entrada_kept_sign_in",
    metadata,
    Column("tenant_id", AnyText, primary_key=True),
    Column("object_id", AnyText, primary_key=True),
    Column("user_id", ForeignKey(users.c.id), nullable=False, index=True),
    Column("sealed_sign_in", Text),
    Column("last_sign_in_at", UtcTime, nullable=False),
    Column("next_check_at", UtcTime, index=True),
    Column("ended_at", UtcTime),
    Column("ended_because", AnyText),
)

spent_sign_ins = Table(
    "entrada_spent_sign_in",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("expires_at", UtcTime, nullable=False),
    Index(None, "expires_at"),
)

assertion_keys = Table(
    "entrada_assertion_key",
    metadata,
    Column("kid", AnyText, primary_key=True),
    # The key before it: two servers that rotate at once cannot both make the next.
    Column("follows", AnyText, nullable=False, unique=True),
    Column("sealed", Text, nullable=False),
    Column("made_at", UtcTime, nullable=False),
)

leases = Table(
    "entrada_lease",
    metadata,
    Column("name", AnyText, primary_key=True),
    Column("holder", AnyText, nullable=False),
    # Grows with every change of the holder; see entrada.leases.
    Column("fence", BigInteger, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Column("life_us", BigInteger, nullable=False),
)


def delta_position_table(name: str, metadata: MetaData) -> Table:
    """Also in a product's database, by a name of its own."""
    return Table(
        name,
        metadata,
        Column("tenant_id", AnyText, primary_key=True),
        Column("held_by", AnyText, nullable=False),
        Column("held_until", UtcTime, nullable=False),
        # As `entrada.accounts.delta_position.written_links` writes them.
        Column("links", Text),
        Column("looked_at", UtcTime),
        Column("asked_at", UtcTime),
        Column("problem", AnyText),
    )


delta_positions = delta_position_table("entrada_delta_position", metadata)
oldest_version = Table("entrada_schema_oldest", metadata, Column("version_num", String(32), primary_key=True))

revocation = Table(
    "entrada_revocation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # The number of the last entry; versions before the log read this number alone.
    Column("epoch", BigInteger, nullable=False),
)

revoked = Table(
    "entrada_revoked",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("nonce", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", AnyText, nullable=False),
)

# Numbered without gaps, by whoever holds the one row of `entrada_audit_head`.
audit_entries = Table(
    "entrada_audit_entry",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False, index=True),
    Column("action", AnyText, nullable=False),
    Column("actor_kind", AnyText, nullable=False),
    Column("actor_id", AnyText, nullable=False),
    Column("user_id", AnyText),
    Column("session_id", AnyText),
    Column("details", Text, nullable=False),
    Column("commitment", Text, nullable=False),
    Column("hash", Text, nullable=False),
    # These four are erased when the person is.
    Column("tenant_id", AnyText),
    Column("object_id", AnyText),
    Column("personal", Text),
    Column("salt", Text),
    Index(None, "action", "number"),
    Index(None, "actor_id", "number"),
    Index(None, "user_id", "number"),
    Index(None, "object_id", "number"),
)

audit_head = Table(
    "entrada_audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    # The last entry that was cut off.
    Column("cut_number", BigInteger, nullable=False),
    Column("cut_hash", Text, nullable=False),
)

audit_exports = Table(
    "entrada_audit_export",
    metadata,
    Column("target", AnyText, primary_key=True),
    # Of the last entry that was written there.
    Column("number", BigInteger, nullable=False),
)
