"""A product of the tests' own: it has users with roles, and knows nothing of Entra but through its store.

What Mage's and dstack's stores do to real tables, this does to one small one: links and users change in the
same transaction, roles given by hand stay, and a user whom the shop blocked itself stays blocked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    MetaData,
    Table,
    Text,
    create_engine,
    func,
    select,
    update,
)

from entrada.accounts.admission import Newcomer, admit
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, User, UserId
from entrada.build import ProductParts, build_parts
from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator
from entrada.flows.authorization_response import read_authorization_response
from entrada.flows.identification import Identified
from entrada.flows.refreshable_sign_in import seal_sign_in
from entrada.integrations.kit import links
from entrada.integrations.kit.links import Link
from entrada.integrations.recheck import recheck_of
from entrada.settings import load_settings

ADDRESS = "http://localhost:8000"
OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)

users_table = Table(
    "shop_user",
    MetaData(),
    Column("id", Text, primary_key=True),
    Column("email", Text),
    Column("roles", Text, nullable=False),
    Column("blocked", Boolean, nullable=False),
)


@dataclass
class MovableClock:
    """The real time, moved by what a test says."""

    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class ShopStore:
    """AdmissionStore, RecheckStore and SpentSignIns over the shop's database."""

    engine: Engine
    clock: MovableClock
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        with self.engine.begin() as connection:
            users_table.metadata.create_all(connection)
            links.create_tables(connection)

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        with self.engine.begin() as connection:
            link = links.find_link(connection, identity)
            there = link is not None and self._is_there(connection, link.user_id)
            return self._user(connection, link.user_id) if link is not None and there else None

    def find_by_verified_email(self, email: str) -> Sequence[User]:
        with self.engine.begin() as connection:
            ids = connection.execute(
                select(users_table.c.id).where(func.lower(users_table.c.email) == email.lower())
            ).scalars()
            return [self._user(connection, UserId(user_id)) for user_id in ids]

    def create(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant],
        now: datetime,
    ) -> User:
        email = profile.email if profile.email_is_verified else None
        with self.engine.begin() as connection:
            link = links.find_link(connection, identity)
            if link is not None and not self._is_there(connection, link.user_id):
                links.remove_link(connection, identity)
            links.put_link(connection, identity, user_id=user_id, linked_by="sign-in", now=now)
            connection.execute(
                users_table.insert().values(id=user_id, email=email, roles="[]", blocked=False)
            )
            links.replace_grants(connection, user_id, [])  # the shop gives an id to nobody twice; tests do
            return self._signed_in(connection, user_id, identity, profile, entra_grants, now)

    def link(self, *, user_id: UserId, identity: EntraIdentity, now: datetime) -> User:
        with self.engine.begin() as connection:
            if not self._is_there(connection, user_id):
                raise LookupError("the shop has no such user")
            links.put_link(connection, identity, user_id=user_id, linked_by="e-mail", now=now)
            return self._user(connection, user_id)

    def record_sign_in(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> User:
        with self.engine.begin() as connection:
            return self._signed_in(connection, user_id, identity, profile, entra_grants, now)

    def remember(self, identified: Identified, sealed: str | None, next_check_at: datetime) -> None:
        with self.engine.begin() as connection:
            links.keep_sign_in(
                connection, identified.newcomer.identity, sealed_sign_in=sealed, next_check_at=next_check_at
            )

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        with self.engine.begin() as connection:
            return links.spend_sign_in(connection, sign_in_id, expires_at=expires_at, now=self.clock.now())

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> Link | None:
        with self.engine.begin() as connection:
            return links.claim_due(connection, now=now, next_check_at=next_check_at)

    def renew(
        self,
        link: Link,
        *,
        newcomer: Newcomer,
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        with self.engine.begin() as connection:
            if links.renew_link(connection, link, sealed_sign_in=sealed_sign_in, next_check_at=next_check_at):
                self._apply(connection, link.user_id, entra_grants)

    def end_access(self, link: Link, *, because: str, now: datetime) -> bool:
        with self.engine.begin() as connection:
            ended = links.end_link(connection, link, because=because, now=now)
        if ended:
            self.ended.append(because)
        return ended

    def give_by_hand(self, user_id: UserId, role: str) -> None:
        with self.engine.begin() as connection:
            held = self._roles(connection, user_id)
            self._set_roles(connection, user_id, held | {role})

    def block(self, user_id: UserId) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(users_table).where(users_table.c.id == user_id).values(blocked=True))

    def roles(self, user_id: UserId) -> set[str]:
        with self.engine.begin() as connection:
            return self._roles(connection, user_id)

    def link_of(self, identity: EntraIdentity) -> Link:
        with self.engine.begin() as connection:
            link = links.find_link(connection, identity)
        assert link is not None
        return link

    def _signed_in(
        self,
        connection: Connection,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> User:
        links.note_sign_in(connection, identity, user_id=user_id, profile=profile, now=now)
        self._apply(connection, user_id, entra_grants)
        return self._user(connection, user_id)

    def _apply(
        self, connection: Connection, user_id: UserId, entra_grants: Sequence[RoleGrant] | None
    ) -> None:
        if entra_grants is None:
            return
        before = {grant.role for grant in links.grants_of(connection, user_id)}
        wanted = {grant.role for grant in entra_grants}
        self._set_roles(connection, user_id, (self._roles(connection, user_id) - before) | wanted)
        links.replace_grants(connection, user_id, entra_grants)

    def _is_there(self, connection: Connection, user_id: UserId) -> bool:
        return (
            connection.execute(select(users_table.c.id).where(users_table.c.id == user_id)).first()
            is not None
        )

    def _roles(self, connection: Connection, user_id: UserId) -> set[str]:
        text = connection.execute(select(users_table.c.roles).where(users_table.c.id == user_id)).scalar_one()
        return set(json.loads(text))

    def _set_roles(self, connection: Connection, user_id: UserId, roles: set[str]) -> None:
        connection.execute(
            update(users_table).where(users_table.c.id == user_id).values(roles=json.dumps(sorted(roles)))
        )

    def _user(self, connection: Connection, user_id: UserId) -> User:
        row = connection.execute(select(users_table).where(users_table.c.id == user_id)).one()
        now = OPENED_AT  # the shop writes no times
        given = links.grants_of(connection, user_id)
        by_hand = self._roles(connection, user_id) - {grant.role for grant in given}
        return User(
            id=user_id,
            profile=Profile(name=row.email or "", email=row.email, username=None),
            created_at=now,
            disabled_at=now if row.blocked else None,
            grants=(
                *given,
                *(
                    RoleGrant(role=role, source=GrantSource.MANUAL, granted_by="shop", granted_at=now)
                    for role in sorted(by_hand)
                ),
            ),
        )


@dataclass(kw_only=True)
class Shop:
    """The product with our walk in front of its users."""

    store: ShopStore
    parts: ProductParts
    clock: MovableClock

    def sign_in(self, who: str) -> Identified:
        """Somebody signs in, and is looked at again when `recheck_every` is over."""
        pending, url = self.parts.identification.begin(
            redirect_uri=f"{ADDRESS}/auth/entra/callback", next_path="/", login_hint=who
        )
        answer = httpx.get(f"{url}&_emulator_approve=1", trust_env=False)
        pairs = parse_qsl(urlsplit(answer.headers["location"]).query)
        identified = self.parts.identification.complete(read_authorization_response(pairs), pending)
        now = self.clock.now()
        admit(identified.newcomer, policy=self.parts.admission, accounts=self.store, now=now)
        self.store.remember(
            identified,
            seal_sign_in(identified, self.parts.sign_in_sealer),
            next_check_at=now + self.parts.recheck_every,
        )
        return identified

    def recheck_when_due(self) -> int:
        """How many people were looked at, once the interval is over."""
        self.clock.ahead += self.parts.recheck_every
        return recheck_of(self.parts, self.store).run()

    def user_of(self, identified: Identified) -> User:
        user = self.store.find_by_identity(identified.newcomer.identity)
        assert user is not None
        return user


def opened_shop(emulator: RunningEmulator, folder: Path, **settings: str) -> Shop:
    values, found = load_settings(
        {
            **emulator.env("entrada"),
            "ENTRADA_ROLES_MAPPING": '{"Admin": "manager", "Editor": "clerk"}',
            **settings,
        }
    )
    clock = MovableClock()
    store = ShopStore(create_engine(f"sqlite:///{folder / 'shop.db'}"), clock)
    parts = build_parts(
        values,
        found,
        application_name="Shop",
        urls=[ADDRESS],
        callback_paths=["/auth/entra/callback"],
        spent=store,
        key_file=folder / "shop.keys",
        clock=clock,
    )
    return Shop(store=store, parts=parts, clock=clock)
