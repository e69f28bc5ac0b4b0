"""The broker's tables, in the same database as accounts and sessions.

entrada_broker_installation   one application behind the broker, as a document
entrada_broker_key            a signing key, sealed
entrada_broker_grant          one installation's access to one sign-in of one person
entrada_broker_code           codes by hash; spent ones too, for as long as their grant lives
entrada_broker_delivery       logout tokens that an installation has not taken yet
entrada_broker_spent          identifiers that count once, such as a client assertion's
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text

from entrada.storage.sql.tables import AnyText, UtcTime, metadata

installations = Table(
    "entrada_broker_installation",
    metadata,
    Column("client_id", AnyText, primary_key=True),
    Column("document", Text, nullable=False),
)

keys = Table(
    "entrada_broker_key",
    metadata,
    Column("kid", AnyText, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("retired_at", UtcTime),
    # 1 for the one key that signs, NULL for the others: two brokers cannot both make the first.
    Column("signs", Integer, unique=True),
)

grants = Table(
    "entrada_broker_grant",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("client_id", AnyText, nullable=False, index=True),
    Column("tenant_id", AnyText, nullable=False),
    Column("object_id", AnyText, nullable=False),
    Column("person", Text, nullable=False),
    Column("scopes", AnyText, nullable=False),
    Column("begun_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("entra_session_id", AnyText, index=True),
    Column("logout_hint", AnyText),
    Column("sealed_sign_in", Text),
    Column("refresh_hash", LargeBinary),
    Column("previous_refresh_hash", LargeBinary),
    Column("refreshed_at", UtcTime),
    Column("logout_address", AnyText),
    # NULL: nobody asks Entra about it any more.
    Column("next_check_at", UtcTime, index=True),
    Index(None, "tenant_id", "object_id"),
)

codes = Table(
    "entrada_broker_code",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("grant_id", AnyText, nullable=False, index=True),
    Column("client_id", AnyText, nullable=False),
    Column("redirect_uri", AnyText, nullable=False),
    Column("code_challenge", AnyText, nullable=False),
    Column("nonce", AnyText),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("spent_at", UtcTime),
)

deliveries = Table(
    "entrada_broker_delivery",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("client_id", AnyText, nullable=False, index=True),
    Column("grant_id", AnyText, nullable=False),
    Column("subject", AnyText, nullable=False),
    Column("address", AnyText),
    Column("ended_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False, index=True),
    Column("tries", Integer, nullable=False),
)

spent = Table(
    "entrada_broker_spent",
    metadata,
    Column("id", AnyText, primary_key=True),
    Column("expires_at", UtcTime, nullable=False, index=True),
)
