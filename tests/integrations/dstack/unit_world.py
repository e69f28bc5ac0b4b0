"""dstack's tables as dstack makes them, without dstack: what our side does to them is quick to try.

The real thing is tried beside this, in the other modules of this folder.

Source: dstack 0.22.5, server/models.py, server/db.py and server/services/users.py.
"""

from __future__ import annotations

import asyncio
import enum
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from sqlalchemy import DateTime, Engine, Enum, ForeignKey, String, TypeDecorator, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from entrada.compatibility import UTC
from entrada.integrations.dstack.loop_database import LoopDatabase
from entrada.integrations.kit import links

T = TypeVar("T")


class NaiveDateTime(TypeDecorator[datetime]):
    """Kept without a zone and read as UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


class GlobalRole(enum.Enum):
    ADMIN = "admin"
    USER = "user"


class ProjectRole(enum.Enum):
    ADMIN = "admin"
    MANAGER = "manager"
    USER = "user"


class Base(DeclarativeBase):
    pass


class UserModel(Base):
    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    created_at: Mapped[datetime] = mapped_column(NaiveDateTime, default=lambda: datetime.now(UTC))
    token: Mapped[str] = mapped_column(default="")
    token_hash: Mapped[str] = mapped_column(unique=True, default=lambda: str(uuid.uuid4()))
    global_role: Mapped[GlobalRole] = mapped_column(Enum(GlobalRole), default=GlobalRole.USER)
    active: Mapped[bool] = mapped_column(default=True)
    deleted: Mapped[bool] = mapped_column(default=False)
    original_name: Mapped[str | None] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(200), index=True)


class ProjectModel(Base):
    __tablename__ = "projects"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str]
    deleted: Mapped[bool] = mapped_column(default=False)


class MemberModel(Base):
    __tablename__ = "members"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id"))
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    project_role: Mapped[ProjectRole] = mapped_column(Enum(ProjectRole))


class ResourceExistsError(Exception):
    """dstack's: somebody is called that."""


class LoopsSession:
    """A session as dstack's loop has it. Nothing waits: the database is a file here."""

    def __init__(self, engine: Engine) -> None:
        self.sync_session = Session(engine, autoflush=False, expire_on_commit=False)

    async def __aenter__(self) -> LoopsSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sync_session.close()

    async def run_sync(self, work: Callable[[Session], T]) -> T:
        return work(self.sync_session)

    async def commit(self) -> None:
        self.sync_session.commit()


async def create_user(
    *, session: LoopsSession, username: str, global_role: GlobalRole, email: str | None
) -> UserModel:
    """As dstack's own: names are compared without case, and it commits by itself."""
    present = session.sync_session.execute(
        select(UserModel).where(func.lower(UserModel.name) == username.lower())
    ).scalar_one_or_none()
    if present is not None:
        raise ResourceExistsError
    user = UserModel(name=username, global_role=global_role, email=email)
    session.sync_session.add(user)
    await session.commit()
    return user


class Locker:
    @asynccontextmanager
    async def lock_ctx(self, namespace: str, keys: list[Any]) -> AsyncIterator[None]:
        yield


def hooks_on(engine: Engine | None) -> Any:
    """The table of hooks, as `find_hooks` gives it for a dstack on that database."""
    database = SimpleNamespace(dialect_name="sqlite", get_session=lambda: LoopsSession(engine))  # type: ignore[arg-type]
    locker = Locker()
    return SimpleNamespace(
        UserModel=UserModel,
        ProjectModel=ProjectModel,
        MemberModel=MemberModel,
        GlobalRole=GlobalRole,
        ProjectRole=ProjectRole,
        ResourceExistsError=ResourceExistsError,
        create_user=create_user,
        get_db=lambda: database,
        get_locker=lambda _: locker,
        DecryptedString=lambda plaintext: plaintext,
        get_token_hash=lambda token: f"hash of {token}",
        SystemActor=lambda: None,
        Target=SimpleNamespace(from_model=lambda model: model),
        emit=lambda *_, **__: None,
    )


def dstacks_engine(url: str) -> Engine:
    """A database that dstack has started on, with our plug-in."""
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        links.create_tables(connection)
    return engine


@contextmanager
def attached_database(hooks: Any) -> Iterator[LoopDatabase]:
    """A database on a loop that runs in a thread of its own, as dstack's does in its server's."""
    loop, attached = asyncio.new_event_loop(), threading.Event()
    database = LoopDatabase(hooks)

    async def attach() -> None:
        database.attach()
        attached.set()

    def run() -> None:
        loop.run_until_complete(attach())
        loop.run_forever()

    thread = threading.Thread(target=run, name="dstack's loop")
    thread.start()
    attached.wait(10)
    try:
        yield database
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
