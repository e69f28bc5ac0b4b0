"""Access tokens of before an ending, which Entra takes back from nobody: the moment stays with the identity.

`end_tokens` is for whoever is disabled here; an ending by Entra writes the same column with its reason.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from entrada.accounts.identity import EntraIdentity, User, UserId
from entrada.storage.sql.account_rows import names_of
from entrada.storage.sql.tables import sealed_sign_ins

THIS = (sealed_sign_ins.c.tenant_id == bindparam("tid")) & (sealed_sign_ins.c.object_id == bindparam("oid"))
THIS_ONE = select(sealed_sign_ins.c.tenant_id).where(THIS)
ADD = insert(sealed_sign_ins)
END_TOKENS = (
    update(sealed_sign_ins)
    .where(THIS, sealed_sign_ins.c.ended_because.is_(None))
    .values(sealed_sign_in=None, next_check_at=None, ended_at=bindparam("now"))
)
"""Nobody asks about somebody who is disabled here, so the row is not forgotten for being due."""


def end_tokens(connection: Connection, user: User, *, now: datetime) -> None:
    """Access tokens that this user was given until now are over, whoever lets them in again."""
    for linked in user.identities:
        names, signed_in_at = names_of(linked.identity), linked.last_sign_in_at or now
        if connection.execute(THIS_ONE, names).first() is not None:
            connection.execute(END_TOKENS, {**names, "now": now})
        else:
            add_unasked(connection, linked.identity, user.id, signed_in_at=signed_in_at, now=now)


def add_unasked(
    connection: Connection,
    identity: EntraIdentity,
    user_id: UserId,
    *,
    signed_in_at: datetime,
    now: datetime,
    because: str | None = None,
) -> None:
    """A row for somebody about whom nobody could ask Entra."""
    connection.execute(
        ADD,
        {
            "tenant_id": identity.tenant_id,
            "object_id": identity.object_id,
            "user_id": user_id,
            "last_sign_in_at": signed_in_at,
            "sealed_sign_in": None,
            "next_check_at": None,
            "ended_at": now,
            "ended_because": because,
        },
    )
