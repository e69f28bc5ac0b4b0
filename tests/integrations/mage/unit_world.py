"""Mage's tables as Mage 0.9.80 makes them, without Mage: what our side does to them is quick to try.

The real thing is tried beside this, in the other modules of this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.sql import func

from entrada.accounts.identity import EntraIdentity, User, UserId
from entrada.build import ProductParts, build_parts
from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator
from entrada.entra.authority import ObjectId, TenantId
from entrada.integrations.kit import links
from entrada.integrations.mage.addresses import Addresses
from entrada.integrations.mage.ending import MageEnding
from entrada.integrations.mage.routes import MageRoutes
from entrada.integrations.mage.store import MageStore
from entrada.integrations.mage.tables import MageTables, key_of
from entrada.integrations.mage.walk import MageWalk
from entrada.integrations.recheck import recheck_of
from entrada.sealing import Sealer
from entrada.settings import load_settings
from entrada.web.messages import WebRequest, WebResponse

SITE = "http://localhost:6789"
PAGES = "the public id of Mage's pages"
TENANT = TenantId("c0000000-0000-4000-8000-000000000001")
ADA = EntraIdentity(tenant_id=TENANT, object_id=ObjectId("a0000000-0000-4000-8000-000000000001"))
ROLES = ("Owner", "Admin", "Editor", "Viewer")

metadata = MetaData()


def _table(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("created_at", DateTime(timezone=True), server_default=func.now()),
        *columns,
    )


tables = MageTables(
    users=_table(
        "user",
        Column("email", String(255), index=True, unique=True),
        Column("username", String(255), index=True, unique=True),
        Column("first_name", String(255)),
        Column("last_name", String(255)),
        Column("password_hash", String(255)),
        Column("password_salt", String(255)),
        Column("owner", Boolean, default=False),
    ),
    roles=_table("role", Column("name", String(255), unique=True)),
    user_roles=_table(
        "user_role",
        Column("user_id", Integer, ForeignKey("user.id")),
        Column("role_id", Integer, ForeignKey("role.id")),
    ),
    access_tokens=_table(
        "oauth2_access_token",
        Column("expires", DateTime(timezone=True)),
        Column("token", Text, index=True, unique=True),
        Column("user_id", Integer, ForeignKey("user.id")),
        Column("oauth2_application_id", Integer),
    ),
    applications=_table("oauth2_application", Column("client_id", String(255))),
    application_client_id=PAGES,
)


@dataclass
class MovableClock:
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return self.now().timestamp()


@dataclass(kw_only=True)
class World:
    """Mage's database with our store on it, and the walk in front."""

    store: MageStore
    clock: MovableClock
    parts: ProductParts
    routes: MageRoutes
    cookies: dict[str, str] = field(default_factory=dict)

    def add_user(self, **values: Any) -> int:
        with self.store.engine.begin() as connection:
            made = connection.execute(insert(tables.users).values(**values)).inserted_primary_key
        assert made is not None
        return int(made[0])

    def change_user(self, number: int, **values: Any) -> None:
        with self.store.engine.begin() as connection:
            connection.execute(update(tables.users).where(tables.users.c.id == number).values(**values))

    def delete_user(self, number: int) -> None:
        with self.store.engine.begin() as connection:
            connection.execute(delete(tables.user_roles).where(tables.user_roles.c.user_id == number))
            connection.execute(delete(tables.access_tokens).where(tables.access_tokens.c.user_id == number))
            connection.execute(delete(tables.users).where(tables.users.c.id == number))

    def user(self, number: int) -> Mapping[str, Any]:
        with self.store.engine.begin() as connection:
            row = connection.execute(select(tables.users).where(tables.users.c.id == number)).one()
        return dict(row._mapping)

    def users(self) -> list[Mapping[str, Any]]:
        with self.store.engine.begin() as connection:
            rows = connection.execute(select(tables.users).order_by(tables.users.c.id)).all()
        return [dict(row._mapping) for row in rows]

    def give_by_hand(self, number: int, role: str) -> None:
        with self.store.engine.begin() as connection:
            roles = tables.roles
            role_id = connection.execute(select(roles.c.id).where(roles.c.name == role)).scalar()
            connection.execute(insert(tables.user_roles).values(user_id=number, role_id=role_id))

    def roles(self, number: int) -> set[str]:
        with self.store.engine.begin() as connection:
            return set(
                connection.execute(
                    select(tables.roles.c.name)
                    .join(tables.user_roles, tables.user_roles.c.role_id == tables.roles.c.id)
                    .where(tables.user_roles.c.user_id == number)
                ).scalars()
            )

    def tokens(self) -> dict[str, int]:
        """Token → user, those of the pages alone that have not ended."""
        with self.store.engine.begin() as connection:
            rows = connection.execute(select(tables.access_tokens)).all()
        return {
            row.token: row.user_id
            for row in rows
            if row.oauth2_application_id == 1 and not row.token.startswith("entrada-ended-")
        }

    def key(self, number: int) -> UserId:
        with self.store.engine.begin() as connection:
            return key_of(connection.execute(select(tables.users).where(tables.users.c.id == number)).one())

    def link(self, identity: EntraIdentity, number: int) -> None:
        with self.store.engine.begin() as connection:
            links.put_link(
                connection, identity, user_id=self.key(number), linked_by="test", now=self.clock.now()
            )

    def found(self, identity: EntraIdentity = ADA) -> User | None:
        return self.store.find_by_identity(identity)

    def request(self, path: str, *, method: str = "GET", **headers: str) -> WebRequest:
        plain, _, query = path.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return WebRequest(
            method=method,
            path=plain,
            query=query,
            headers={"host": urlsplit(SITE).netloc, "accept": "text/html", "cookie": cookie, **headers},
        )

    def remember(self, answer: WebResponse | None) -> WebResponse:
        """The answer, its cookies kept as a browser would."""
        assert answer is not None
        for name, value in answer.headers:
            if name == "set-cookie":
                pair, _, attributes = value.partition(";")
                cookie, _, text = pair.partition("=")
                if "Max-Age=0" in attributes:
                    self.cookies.pop(cookie, None)
                else:
                    self.cookies[cookie] = text
        return answer

    def sign_in(self, who: str, *, start: str = "/auth/entra/start") -> WebResponse:
        return self.remember(self.routes.callback(self.request(self.answer_of_entra(who, start=start))))

    def answer_of_entra(self, who: str, *, start: str = "/auth/entra/start") -> str:
        """The path that Entra sends this browser back to."""
        answer = self.remember(self.routes.start(self.request(start)))
        url = httpx.URL(header(answer, "location")).copy_merge_params(
            {"login_hint": who, "_emulator_approve": "1"}
        )
        location = urlsplit(httpx.get(url, trust_env=False).headers["location"])
        return f"{location.path}?{location.query}"

    def close(self) -> None:
        self.parts.close()
        self.store.engine.dispose()

    def recheck_when_due(self) -> int:
        self.clock.ahead += self.parts.recheck_every
        return recheck_of(self.parts, self.store).run()


def header(answer: WebResponse | None, name: str) -> str:
    assert answer is not None
    return dict(answer.headers)[name]


def opened_world(emulator: RunningEmulator, folder: Path, url: str = "", **settings: str) -> World:
    values, found = load_settings(
        {
            **emulator.env("entrada"),
            "ENTRADA_PUBLIC_URL": SITE,
            "ENTRADA_ROLES_MAPPING": '{"Admin": "Admin", "Editor": "Editor", "Viewer": "Viewer"}',
            "ENTRADA_SECRET_KEYS": "unit-test-key-0123456789-abcdefghijklmnop",
            **settings,
        }
    )
    clock = MovableClock()
    store = MageStore(
        engine=mages_engine(url or f"sqlite:///{folder / 'mage-ai.db'}"),
        tables=tables,
        clock=clock,
        break_glass=frozenset(values.break_glass_users),
    )
    store.create_tables()
    parts = build_parts(
        values,
        found,
        application_name="Mage",
        urls=[SITE],
        callback_paths=values.callback_paths or ["/oauth"],
        sign_in_page="/sign-in",
        spent=store,
        key_file=None,
        roles=values.roles,
        clock=clock,
    )
    ending = MageEnding(
        walk=MageWalk(parts=parts, store=store, session_life=values.session_absolute),
        addresses=Addresses(site=parts.site),
        session_sealer=Sealer(parts.secret_keys, purpose="mage session"),
        encode=lambda token, _: f"encoded.{token}",
        describe=lambda number: {"id": number},
    )
    routes = MageRoutes(ending=ending)
    return World(store=store, clock=clock, parts=parts, routes=routes)


def mages_engine(url: str) -> Engine:
    """A database that Mage has started on."""
    engine = create_engine(url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(tables.applications).values(client_id=PAGES))
        for name in ROLES:
            connection.execute(insert(tables.roles).values(name=name))
    return engine
