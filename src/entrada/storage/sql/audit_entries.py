"""Writing the audit trail in SQL.

    note(connection, act)       to be written when this transaction ends
    write_noted(connection)     its entries, as the last thing before the commit

Whoever changes something notes it in the transaction that does; `Database.writing` writes what was noted, so
no change is without its entry and no entry without its change. The one row of `entrada_audit_head` is held
from there to the end of the transaction, taken after all other locks: the chain never forks, and nobody waits
for it longer than a commit takes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from entrada.accounts.identity import User
from entrada.audit.acts import Act, Action
from entrada.audit.chain import AuditEntry, Place, entry_of
from entrada.compatibility import UTC
from entrada.storage.sql.failures import DamagedRow
from entrada.storage.sql.tables import audit_entries, audit_head

NOTED = "entrada acts to be written"
"""Under this name `connection.info` holds the acts of the transaction."""

NEWEST_NUMBER = select(func.max(audit_entries.c.number)).scalar_subquery()
HOLD_HEAD = select(audit_head.c.number, audit_head.c.hash, NEWEST_NUMBER.label("newest")).with_for_update(
    of=audit_head
)
ADD = insert(audit_entries)
MOVE_HEAD = update(audit_head).values(number=bindparam("to_number"), hash=bindparam("to_hash"))
ERASED = {"tenant_id": None, "object_id": None, "personal": None, "salt": None}
ERASE_USER = update(audit_entries).where(audit_entries.c.user_id == bindparam("of_user")).values(ERASED)
ERASE_IDENTITY = (
    update(audit_entries)
    .where(
        audit_entries.c.object_id == bindparam("of_object"),
        audit_entries.c.tenant_id == bindparam("of_tenant"),
    )
    .values(ERASED)
)
ENDINGS = frozenset(
    {
        Action.SESSION_ENDED,
        Action.SESSIONS_ENDED,
        Action.ALL_SESSIONS_ENDED,
        Action.ACCESS_ENDED,
        Action.ACCOUNT_DISABLED,
        Action.ACCOUNT_DELETED,
        Action.ROLE_REVOKED,
    }
)
"""What only takes access away."""

LARGEST = 2**62
"""Beyond it no database counts for long."""

log = logging.getLogger("entrada")
COLUMNS = tuple(field.name for field in fields(AuditEntry))


def note(connection: Connection, *acts: Act) -> None:
    """Have entries written for these acts when the transaction ends, in this order."""
    connection.info.setdefault(NOTED, []).extend(acts)


def forget_noted(connection: Connection) -> None:
    """As a transaction begins: what one noted that was rolled back did not happen."""
    connection.info.pop(NOTED, None)


def write_noted(connection: Connection) -> Sequence[AuditEntry]:
    """The entries of what this transaction noted, written.

    Where somebody has damaged the chain's end, nothing begins and nothing is given any more; but what only
    takes access away is done all the same, and the log says that it has no entry.

    Raises:
        DamagedRow: the row that says where the chain ends is gone, or is not true.
    """
    acts: Sequence[Act] = connection.info.pop(NOTED, ())
    if not acts:
        return ()
    row = connection.execute(HOLD_HEAD).first()
    if row is None or not is_sound(*row):
        if not ENDINGS.issuperset(act.action for act in acts):
            raise DamagedRow
        for act in acts:
            log.error("The audit trail is damaged: %s has no entry. See `entrada audit verify`.", act.action)
        return ()
    head, now, entries = Place(number=row.number, hash=row.hash), datetime.now(UTC), []
    for act in acts:
        entry = entry_of(act, after=head, now=now)
        head = entry.place
        entries.append(entry)
    connection.execute(ADD, [{name: getattr(entry, name) for name in COLUMNS} for entry in entries])
    connection.execute(MOVE_HEAD, {"to_number": head.number, "to_hash": head.hash})
    return entries


def is_sound(number: object, hash: object, newest: object) -> bool:
    """Whether the chain can go on behind this end, as `HOLD_HEAD` finds it.

    Whoever waited for the row may see an older `newest`: never one that is behind a sound end.
    """
    newest = newest or 0
    # SQLite keeps whatever somebody writes into a column.
    is_ours = isinstance(number, int) and isinstance(newest, int) and isinstance(hash, str)
    return is_ours and newest <= number < LARGEST  # type: ignore[operator]  # integers, above


def erase(connection: Connection, user: User) -> None:
    """Who this was at Entra is in no entry any more. The chain is whole as before."""
    connection.execute(ERASE_USER, {"of_user": user.id})
    for linked in user.identities:
        identity = linked.identity
        connection.execute(ERASE_IDENTITY, {"of_tenant": identity.tenant_id, "of_object": identity.object_id})
