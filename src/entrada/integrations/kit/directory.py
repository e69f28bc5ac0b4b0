"""Who of a product's people are linked, and how far their directories were read: a `DirectoryStore`.

    entrada_link_delta_position    one row a tenant, beside the links in the product's database

What ends somebody's access is the product's own. A product's sessions do not say when they began, so where
Entra has revoked somebody's sessions the newest sign-in decides: all of them end, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, select, update

from entrada.accounts.delta_position import DeltaPosition
from entrada.accounts.identity import EntraIdentity
from entrada.entra.authority import ObjectId, TenantId
from entrada.integrations.kit.links import Link, link_of_row, links, metadata
from entrada.storage.sql import delta_positions
from entrada.storage.sql.parts import in_parts
from entrada.storage.sql.tables import delta_position_table

positions = delta_position_table("entrada_link_delta_position", metadata)


class Transaction(Protocol):
    """Carries out work in one transaction of the product's database, and gives what it gave."""

    def __call__(self, work: Callable[[Connection], Any], /) -> Any: ...


class EndAccess(Protocol):
    """The product's own `RecheckStore.end_access`."""

    def __call__(self, link: Link, *, because: str, now: datetime) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class LinkedDirectory:
    transaction: Transaction
    end: EndAccess

    def hold_position(
        self, tenant_id: TenantId, *, holder: str, now: datetime, until: datetime
    ) -> DeltaPosition | None:
        """See `DirectoryStore`."""

        def work(connection: Connection) -> DeltaPosition | None:
            if delta_positions.is_anothers(
                connection, positions, tenant_id, holder=holder, now=now, until=until
            ):
                return None
            return delta_positions.hold_position(
                connection, positions, tenant_id, holder=holder, now=now, until=until
            )

        position: DeltaPosition | None = self.transaction(work)
        return position

    def keep_position(self, position: DeltaPosition, *, holder: str) -> bool:
        """See `DirectoryStore`."""
        return bool(
            self.transaction(
                lambda connection: delta_positions.keep_position(
                    connection, positions, position, holder=holder
                )
            )
        )

    def positions(self) -> Sequence[DeltaPosition]:
        """See `DirectoryStore`."""
        found: Sequence[DeltaPosition] = self.transaction(
            lambda connection: delta_positions.read_positions(connection, positions)
        )
        return found

    def linked(self, tenant_id: TenantId, object_ids: Collection[ObjectId]) -> Sequence[Link]:
        """See `DirectoryStore`. Whose access has ended is not among them."""

        def work(connection: Connection) -> Sequence[Link]:
            found: list[Link] = []
            for some in in_parts(sorted(object_ids)):
                rows = connection.execute(
                    select(links).where(
                        links.c.tenant_id == tenant_id,
                        links.c.object_id.in_(some),
                        links.c.ended_at.is_(None),
                    )
                )
                found += map(link_of_row, rows)
            return found

        found: Sequence[Link] = self.transaction(work)
        return found

    def signed_in(self, tenant_id: TenantId, *, after: ObjectId | None, at_most: int) -> Sequence[Link]:
        """See `DirectoryStore`."""

        def work(connection: Connection) -> Sequence[Link]:
            rows = connection.execute(
                select(links)
                .where(
                    links.c.tenant_id == tenant_id,
                    links.c.object_id > (after or ""),
                    links.c.sealed_sign_in.is_not(None),
                )
                .order_by(links.c.object_id)
                .limit(at_most)
            )
            return [link_of_row(row) for row in rows]

        found: Sequence[Link] = self.transaction(work)
        return found

    def hasten(self, tenant_id: TenantId, object_ids: Collection[ObjectId] | None, *, now: datetime) -> int:
        """See `DirectoryStore`."""

        def work(connection: Connection) -> int:
            later = (
                update(links)
                .where(links.c.tenant_id == tenant_id, links.c.next_check_at > now)
                .values(next_check_at=now)
            )
            if object_ids is None:
                return connection.execute(later).rowcount
            parts = in_parts(sorted(object_ids))
            return sum(
                connection.execute(later.where(links.c.object_id.in_(some))).rowcount for some in parts
            )

        return int(self.transaction(work))

    def end_access(self, link: Link, *, because: str, now: datetime) -> bool:
        """See `DirectoryStore`."""
        return self.end(link, because=because, now=now)

    def end_sessions_before(self, identity: EntraIdentity, *, before: datetime) -> int:
        """None: see above."""
        del identity, before
        return 0
