"""Every implementation of `AdmissionStore` and `RecheckStore`, each over empty tables; the products' too.

Mage's and dstack's tables are made without them (`unit_world.py` in `integrations/mage` and
`integrations/dstack`); the shop is the tests' own product. dstack's real tables are behind the heavy marker.
"""

from __future__ import annotations

import atexit
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from sqlalchemy import create_engine, delete, insert, select, update
from sqlalchemy.orm import Session

from clients.dstack import NEWEST, commands_of, environment_of, migrated
from conformance.samples import NOW, session
from conformance.stores import MAKERS as ACCOUNT_MAKERS
from conformance.stores import Server, Stores
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.accounts.store import AdmissionStore
from entrada.flows.recheck import RecheckStore
from entrada.flows.tenant_watch import DirectoryStore
from entrada.integrations.dstack.roles import ADMIN
from entrada.integrations.dstack.store import DstackStore
from entrada.integrations.kit import links
from entrada.integrations.kit.links import Link
from entrada.integrations.mage.store import MageStore
from entrada.integrations.mage.tables import key_of
from entrada.storage.memory_directory import MemoryDirectory
from entrada.storage.sql import SqlAccountStore, SqlDirectory
from integrations.dstack import unit_world as dstack_world
from integrations.dstack.real_store import RealStore, real_store
from integrations.mage import unit_world
from integrations.shop import MovableClock, ShopStore, users_table


@dataclass(kw_only=True)
class People:
    """A store of people for admission, and what the product's own administrators do beside it."""

    admission: AdmissionStore
    recheck: RecheckStore[Any]
    give_by_hand: Callable[[UserId, str], object]
    delete_user: Callable[[UserId], object] | None
    """None where users are never deleted."""
    directory: DirectoryStore[Any] | None = None
    """None where the store is in another process."""
    transaction: Callable[[], Any] | None = None
    """Of the product's database."""
    ours: Stores | None = None
    """Where the accounts are our own, with sessions of our own."""
    role_by_hand: str = "Admin"
    """One that the product's administrators can give."""
    let_in_anew: Callable[[EntraIdentity], object] | None = None
    """Where a deleted user stays out: what an administrator does for somebody to get another."""

    def link_of(self, identity: EntraIdentity) -> Link | SealedSignIn | None:
        if self.ours is not None:
            user = self.ours.accounts.find_by_identity(identity)
            kept = self.ours.sealed_sign_ins.of_user(user.id) if user is not None else ()
            return next((each for each in kept if each.identity == identity), None)
        assert self.transaction is not None
        with self.transaction() as connection:
            return links.find_link(connection, identity)

    def keep_sign_in(self, identity: EntraIdentity, sealed: str, next_check_at: Any) -> None:
        if self.ours is not None:
            user = self.ours.accounts.find_by_identity(identity)
            assert user is not None
            self.ours.sealed_sign_ins.remember(
                identity, user_id=user.id, sealed_sign_in=sealed, now=NOW, next_check_at=next_check_at
            )
            self.ours.sessions.open(session(user.id, identity=identity))
            return
        assert self.transaction is not None
        with self.transaction() as connection:
            links.keep_sign_in(connection, identity, sealed_sign_in=sealed, next_check_at=next_check_at)


class InTransactions:
    """An `AdmissionStore` whose every call is a transaction of Mage's store, as a sign-in is."""

    def __init__(self, store: MageStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            with self._store.transaction() as connection:
                return getattr(self._store._users(connection), name)(*arguments, **named)

        return call


def directory_of(stores: Stores) -> DirectoryStore[SealedSignIn]:
    if isinstance(stores.accounts, SqlAccountStore):
        return SqlDirectory(stores.accounts._database)
    accounts: Any = stores.accounts
    return MemoryDirectory(accounts, cast(Any, stores.sessions), cast(Any, stores.sealed_sign_ins))


def ours(name: str) -> Callable[[Path, Server], Any]:
    @contextmanager
    def make(folder: Path, server: Server) -> Iterator[People]:
        with ACCOUNT_MAKERS[name](folder, server) as stores:
            yield People(
                admission=stores.accounts,
                recheck=stores.sealed_sign_ins,
                directory=directory_of(stores),
                ours=stores,
                give_by_hand=lambda user, role: stores.accounts.grant_role(
                    user, role=role, granted_by="root", now=NOW
                ),
                delete_user=None,
            )

    return make


@contextmanager
def of_mage(folder: Path, _: Server) -> Iterator[People]:
    engine, tables = unit_world.mages_engine(f"sqlite:///{folder / 'mage-ai.db'}"), unit_world.tables
    store = MageStore(engine=engine, tables=tables, clock=unit_world.MovableClock())
    store.create_tables()

    def number_of(connection: Any, user: UserId) -> int:
        rows = connection.execute(select(tables.users)).all()
        (number,) = [row.id for row in rows if key_of(row) == user]
        return int(number)

    def give(user: UserId, role: str) -> None:
        with engine.begin() as connection:
            role_id = connection.execute(
                select(tables.roles.c.id).where(tables.roles.c.name == role)
            ).scalar()
            connection.execute(
                insert(tables.user_roles).values(user_id=number_of(connection, user), role_id=role_id)
            )

    def remove(user: UserId) -> None:
        with engine.begin() as connection:
            number = number_of(connection, user)
            connection.execute(delete(tables.user_roles).where(tables.user_roles.c.user_id == number))
            connection.execute(delete(tables.users).where(tables.users.c.id == number))

    yield People(
        admission=InTransactions(store),  # type: ignore[arg-type]  # every method of MageUsers
        recheck=store,
        directory=store.directory,
        give_by_hand=give,
        delete_user=remove,
        transaction=store.transaction,
    )
    engine.dispose()


@contextmanager
def of_dstack(folder: Path, _: Server) -> Iterator[People]:
    engine = dstack_world.dstacks_engine(f"sqlite:///{folder / 'dstack.db'}")
    hooks = dstack_world.hooks_on(engine)

    def changed(user: UserId, **values: Any) -> None:
        with Session(engine) as session, session.begin():
            model = hooks.UserModel
            session.execute(update(model).where(model.id == uuid.UUID(user)).values(**values))

    def forget(identity: EntraIdentity) -> None:
        with engine.begin() as connection:
            links.remove_link(connection, identity)

    with dstack_world.attached_database(hooks) as database:
        store = DstackStore(database=database, clock=MovableClock())
        yield People(
            admission=store,
            recheck=store,
            directory=store.directory,
            give_by_hand=lambda user, _: changed(user, global_role=hooks.GlobalRole.ADMIN),
            delete_user=lambda user: changed(user, deleted=True, active=False, name=f"deleted {user[:8]}"),
            transaction=engine.begin,
            role_by_hand=ADMIN,
            let_in_anew=forget,
        )
    engine.dispose()


@cache
def the_real_dstack() -> RealStore:
    """One process for the run, which ends with it."""
    commands = commands_of(NEWEST)
    stack = ExitStack()
    home = stack.enter_context(TemporaryDirectory(prefix="dstack-store-"))
    atexit.register(stack.close)
    return stack.enter_context(real_store(commands, environment_of(Path(home), commands)))


@contextmanager
def of_the_real_dstack(folder: Path, _: Server) -> Iterator[People]:
    database, real = folder / "dstack.db", the_real_dstack()
    shutil.copy(migrated(commands_of(NEWEST)), database)
    real.open(database)
    engine = create_engine(f"sqlite:///{database}")

    def forget(identity: EntraIdentity) -> None:
        with engine.begin() as connection:
            links.remove_link(connection, identity)

    yield People(
        admission=real.store,
        recheck=real.store,
        give_by_hand=lambda user, _: real.call("make_administrator", user),
        delete_user=lambda user: real.call("delete_user", user),
        transaction=engine.begin,
        role_by_hand=ADMIN,
        let_in_anew=forget,
    )
    engine.dispose()


@contextmanager
def of_the_shop(folder: Path, _: Server) -> Iterator[People]:
    engine = create_engine(f"sqlite:///{folder / 'shop.db'}")
    store = ShopStore(engine, MovableClock())

    def remove(user: UserId) -> None:
        with engine.begin() as connection:
            connection.execute(delete(users_table).where(users_table.c.id == user))

    yield People(
        admission=store,
        recheck=store,
        give_by_hand=store.give_by_hand,
        delete_user=remove,
        transaction=engine.begin,
    )
    engine.dispose()


PEOPLE: dict[str, Callable[[Path, Server], Any]] = {
    "memory": ours("memory"),
    "sqlite": ours("sqlite"),
    "postgresql": ours("postgresql"),
    "mage": of_mage,
    "dstack": of_dstack,
    "dstack itself": of_the_real_dstack,
    "shop": of_the_shop,
}
_HEAVY = {"postgresql", "dstack itself"}


def marked(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.heavy if name in _HEAVY else ()) for name in names]


ALL_PEOPLE = marked(PEOPLE)
WATCHED_PEOPLE = marked(["memory", "sqlite", "postgresql", "mage", "dstack"])
"""Whose directories may be watched from this process; dstack itself is watched in its walks."""

IMPLEMENTERS = {
    "entrada.accounts.store.AccountStore": "a Protocol itself",
    "entrada.accounts.store.AdmissionStore": "a Protocol itself",
    "entrada.sessions.store.SessionStore": "a Protocol itself",
    "entrada.flows.recheck.RecheckStore": "a Protocol itself",
    "entrada.accounts.sealed_sign_ins.SealedSignIns": "a Protocol itself",
    "entrada.leases.LeaseStore": "a Protocol itself",
    "entrada.storage.memory_leases.MemoryLeases": "memory",
    "entrada.storage.sql.leases.SqlLeases": "sqlite, postgresql",
    "entrada.storage.memory_accounts.MemoryAccountStore": "memory",
    "entrada.storage.memory_sessions.MemorySessionStore": "memory",
    "entrada.storage.memory_sealed_sign_ins.MemorySealedSignIns": "memory",
    "entrada.storage.sql.sealed_sign_ins.SqlSealedSignIns": "sqlite, postgresql",
    "entrada.sessions.sealed_grants.SealedGrants": "a Protocol itself",
    "entrada.storage.memory_sealed_grants.MemorySealedGrants": "memory",
    "entrada.storage.sql.sealed_grants.SqlSealedGrants": "sqlite, postgresql",
    "entrada.storage.sql.accounts.SqlAccountStore": "sqlite, postgresql",
    "entrada.storage.sql.sessions.SqlSessionStore": "sqlite, postgresql",
    "entrada.integrations.mage.store.MageStore": "mage",
    "entrada.integrations.mage.users.MageUsers": "mage",
    "entrada.integrations.dstack.store.DstackStore": "dstack, dstack itself",
    "integrations.shop.ShopStore": "shop",
}
"""Every class that has the methods of a store Protocol, and the maker by whose name the suites run it."""
