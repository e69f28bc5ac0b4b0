"""The end of what people were given at a broker's installations: functions inside the caller's transaction.

Whoever is deleted or disabled at the broker has no grants either, so this is below the broker itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select

from entrada.accounts.broker_subject import subject_of
from entrada.accounts.identity import EntraIdentity, User
from entrada.audit.acts import Action, Cause
from entrada.entra.authority import ObjectId, TenantId
from entrada.storage.recorded import grant_act_at_broker
from entrada.storage.sql.audit_entries import note
from entrada.storage.sql.broker_tables import deliveries, grants


def end_grants(
    connection: Connection,
    condition: ColumnElement[bool],
    *,
    now: datetime,
    cause: Cause,
    tell_all_but: str | None = None,
    is_forgotten: bool = False,
) -> Sequence[Row[Any]]:
    """End them, and note whom to tell; the rows that were. Whose they were is not entered where forgotten."""
    gone = [
        row
        for row in connection.execute(select(grants).where(condition)).all()
        if connection.execute(delete(grants).where(grants.c.id == row.id)).rowcount == 1
    ]
    told = [
        {
            "id": secrets.token_hex(16),
            "client_id": row.client_id,
            "grant_id": row.id,
            "subject": subject_of(_identity_of(row)),
            "address": row.logout_address,
            "ended_at": now,
            "due_at": now,
            "tries": 0,
        }
        for row in gone
        if row.client_id != tell_all_but
    ]
    if told:
        connection.execute(insert(deliveries), told)
    acts = [
        grant_act_at_broker(
            Action.SESSION_ENDED,
            row.id,
            client_id=row.client_id,
            cause=cause,
            identity=None if is_forgotten else _identity_of(row),
        )
        for row in gone
    ]
    note(connection, *acts)
    return gone


def end_grants_of_user(
    connection: Connection, user: User, *, now: datetime, cause: Cause, is_forgotten: bool = False
) -> None:
    """End those of all identities of this user."""
    for linked in user.identities:
        condition = of_identity(linked.identity)
        end_grants(connection, condition, now=now, cause=cause, is_forgotten=is_forgotten)


def of_identity(identity: EntraIdentity) -> ColumnElement[bool]:
    """Whether a grant is this person's."""
    return (grants.c.tenant_id == identity.tenant_id) & (grants.c.object_id == identity.object_id)


def _identity_of(row: Row[Any]) -> EntraIdentity:
    return EntraIdentity(tenant_id=TenantId(row.tenant_id), object_id=ObjectId(row.object_id))
