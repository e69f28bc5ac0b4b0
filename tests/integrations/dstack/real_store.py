"""`DstackStore` over the real dstack's own models and sessions, one database after the other.

Importing dstack takes seconds and needs dstack's environment, so the store runs in a process of its own,
one for all databases, and is called from here:

    with real_store() as real:
        real.open(database)                     # an SQLite file that dstack has migrated
        real.store.find_by_identity(identity)   # every method of DstackStore
        real.call("delete_user", user_id)       # what dstack's administrators do, by dstack's own functions

Run by dstack's Python this file is that process: pickled calls in, pickled answers out.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# --- here ---


class RealStore:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def open(self, database: Path) -> None:
        self.call("open", str(database))

    @property
    def store(self) -> Any:
        return _Methods(self)

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """What came back; what was raised there is raised here."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((name, arguments, named), self._process.stdin)
        self._process.stdin.flush()
        module, kind, value = pickle.load(self._process.stdout)
        if not kind:
            return value
        error_class = getattr(importlib.import_module(module), kind)
        error = error_class.__new__(error_class)
        Exception.__init__(error, value)
        raise error


class _Methods:
    def __init__(self, real: RealStore) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self._real.call(f"store.{name}", *arguments, **named)


@contextmanager
def real_store(commands: Path, environment: dict[str, str]) -> Iterator[RealStore]:
    with subprocess.Popen(
        [commands / "python", __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield RealStore(process)
        assert process.stdin is not None
        process.stdin.close()


# --- there ---


class There:
    def __init__(self) -> None:
        from entrada.clock import SystemClock
        from entrada.integrations.dstack.hooks import find_hooks
        from entrada.integrations.dstack.loop_database import LoopDatabase
        from entrada.integrations.dstack.store import DstackStore

        self.database = LoopDatabase(find_hooks())  # sets dstack up, before anything else of it is imported
        self.db = importlib.import_module("dstack._internal.server.db")
        self.users = importlib.import_module("dstack._internal.server.services.users")
        self.store = DstackStore(database=self.database, clock=SystemClock())
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.wait(self._attach())

    def wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def _attach(self) -> None:
        self.database.attach()

    def open(self, database: str) -> None:
        from entrada.integrations.kit import links

        self.wait(self._open(database))
        self.wait(self.database.transaction(lambda s: links.create_tables(s.connection())))

    async def _open(self, database: str) -> None:
        await self.db.get_db().engine.dispose()
        self.db.override_db(self.db.Database(f"sqlite+aiosqlite:///{database}"))

    def make_administrator(self, user_id: str) -> None:
        self.wait(self._make_administrator(user_id))

    async def _make_administrator(self, user_id: str) -> None:
        hooks = self.database.hooks
        async with hooks.get_db().get_session() as session:
            user = await self._user(session, user_id)
            await self.users.update_user(
                session, actor=hooks.SystemActor(), username=user.name, global_role=hooks.GlobalRole.ADMIN
            )

    def delete_user(self, user_id: str) -> None:
        self.wait(self._delete_user(user_id))

    async def _delete_user(self, user_id: str) -> None:
        async with self.database.hooks.get_db().get_session() as session:
            user = await self._user(session, user_id)
            await self.users.delete_users(session, actor=user, usernames=[user.name])

    async def _user(self, session: Any, user_id: str) -> Any:
        from entrada.integrations.dstack.users import existing

        return await session.run_sync(lambda s: existing(s, self.database.hooks, user_id))


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what dstack prints
    there = There()
    while True:
        try:
            name, arguments, named = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        method: Any = there
        for part in name.split("."):
            method = getattr(method, part)
        try:
            answer = ("", "", method(*arguments, **named))
        except Exception as error:
            answer = (type(error).__module__, type(error).__name__, str(error))
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
