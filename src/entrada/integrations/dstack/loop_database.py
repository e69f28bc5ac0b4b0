"""From a thread of ours to dstack's event loop and back: its database is spoken to there only.

The walks are synchronous and run in threads; dstack's sessions belong to its loop. Each call is one
transaction on the loop, waited for in the thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from entrada.accounts.identity import EntraIdentity
from entrada.errors import StoreUnavailable
from entrada.integrations.dstack.hooks import Hooks

LONGEST_WAIT_SECONDS = 30
_CLASHES = frozenset({"40P01", "40001"})
"""PostgreSQL's deadlock_detected and serialization_failure."""

T = TypeVar("T")


class LoopDatabase:
    """`attach` is called once, on the loop; before that nothing can be asked."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._locks: WeakValueDictionary[EntraIdentity, asyncio.Lock] = WeakValueDictionary()

    def attach(self) -> None:
        """From here on, work runs on the loop this is called on: dstack's."""
        self._loop = asyncio.get_running_loop()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which runs on dstack's loop. Never called on the loop itself.

        Raises:
            StoreUnavailable: the database did not answer, or not in time.
        """
        if self._loop is None or self._loop.is_closed():
            work.close()
            raise StoreUnavailable
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(LONGEST_WAIT_SECONDS)
        except Exception as error:
            if not _is_the_databases(error):
                raise
            future.cancel()  # for a time-out
            raise StoreUnavailable from error

    def alone_for(self, identity: EntraIdentity) -> asyncio.Lock:
        """A lock for what one person's sign-ins must not do at the same time. For use on the loop."""
        lock = self._locks.get(identity)
        if lock is None:
            lock = self._locks[identity] = asyncio.Lock()
        return lock

    async def transaction(self, work: Callable[[Session], T]) -> T:
        """`work` with a session of dstack's database, committed whole or not at all; it may run twice."""
        return await _once_more_after_a_clash(partial(self._transaction, work))

    async def change(self, user_id: Any, work: Callable[[Session], T]) -> T:
        """As `transaction`, while nobody else changes that user: dstack's own locks are taken."""
        db = self.hooks.get_db()
        locker = self.hooks.get_locker(db.dialect_name)
        async with locker.lock_ctx(self.hooks.UserModel.__tablename__, [user_id]):
            return await self.transaction(work)

    async def _transaction(self, work: Callable[[Session], T]) -> T:
        async with self.hooks.get_db().get_session() as session:
            result: T = await session.run_sync(work)
            await session.commit()
        return result


async def _once_more_after_a_clash(attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """PostgreSQL ends one of two transactions that wait for each other; trying again is the cure."""
    try:
        return await attempt()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _CLASHES:
            raise
    return await attempt()


def _is_the_databases(error: Exception) -> bool:
    """Whether the database did not answer, rather than refuse what was written."""
    if isinstance(error, IntegrityError):
        return False
    # asyncpg tells of a server that takes no connection itself.
    gone = (
        DBAPIError,
        PoolExhausted,
        OSError,  # a time-out is one, since Python 3.11
        concurrent.futures.TimeoutError,
        asyncio.TimeoutError,
        concurrent.futures.CancelledError,
    )
    return isinstance(error, gone) or type(error).__module__.partition(".")[0] == "asyncpg"
