"""Every implementation of `LeaseStore`, and how time passes for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

from conformance.stores import MAKERS, Server
from entrada.leases import LeaseStore
from entrada.storage.memory_leases import MemoryLeases
from entrada.storage.sql import SqlLeases, connect
from entrada.storage.sql.tables import leases


@dataclass(frozen=True, kw_only=True)
class Leases:
    store: LeaseStore
    another: Callable[[], LeaseStore]
    """As another process would open it."""
    pass_time: Callable[[str, timedelta], None]
    """For the lease of that name."""
    has_wall_clock: bool = True
    """Ends are judged by a clock that can be set back."""


@contextmanager
def in_memory(_: Path, __: Server) -> Iterator[Leases]:
    now = [1000.0]
    store = MemoryLeases(monotonic=lambda: now[0])

    def pass_time(_: str, time: timedelta) -> None:
        now[0] += time.total_seconds()

    yield Leases(store=store, another=lambda: store, pass_time=pass_time, has_wall_clock=False)


def in_sql(maker: str) -> Callable[[Path, Server], object]:
    @contextmanager
    def make(folder: Path, server: Server) -> Iterator[Leases]:
        with MAKERS[maker](folder, server) as stores:
            assert stores.database_url is not None
            url, database = stores.database_url, connect(stores.database_url)

            def another() -> LeaseStore:
                further = connect(url)
                opened.append(further)
                return SqlLeases(further)

            def pass_time(name: str, time: timedelta) -> None:
                this = leases.c.name == name
                with database.writing() as connection:
                    (ends_at,) = connection.execute(select(leases.c.ends_at).where(this)).one()
                    connection.execute(update(leases).where(this).values(ends_at=ends_at - time))

            opened = [database]
            yield Leases(store=SqlLeases(database), another=another, pass_time=pass_time)
            for each in opened:
                each.close()

    return make


LEASES = {"memory": in_memory, "sqlite": in_sql("sqlite"), "postgresql": in_sql("postgresql")}
