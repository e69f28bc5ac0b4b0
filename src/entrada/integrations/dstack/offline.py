"""Links as an administrator sees and mends them from the command line, beside the running server.

Only the link of a deleted user can be forgotten: whoever still has one keeps it, and with it their name,
their projects and their roles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from entrada.errors import StoreUnavailable
from entrada.integrations.dstack import users
from entrada.integrations.dstack.hooks import Hooks, find_hooks
from entrada.integrations.dstack.loop_database import LoopDatabase
from entrada.integrations.kit import links

T = TypeVar("T")


def links_with_names() -> list[dict[str, Any]]:
    """Everybody who ever signed in: dstack's name, and what Entra called them then."""

    def work(session: Session, hooks: Hooks) -> list[dict[str, Any]]:
        return [
            {
                "user": None if user is None else (user.original_name if user.deleted else user.name),
                "username": link.username,
                "email": link.email,
                "tenant_id": link.identity.tenant_id,
                "object_id": link.identity.object_id,
                "state": _state(user, link),
                "last_sign_in_at": link.last_sign_in_at and link.last_sign_in_at.isoformat(),
            }
            for link in links.all_links(session.connection())
            for user in [users.user_of(session, hooks, link.user_id)]
        ]

    return _run(work)


def forget(who: str) -> int:
    """Drop the links of people called that whose user was deleted; how many."""

    def work(session: Session, hooks: Hooks) -> int:
        gone = 0
        for link in links.all_links(session.connection()):
            user = users.user_of(session, hooks, link.user_id)
            called = {name.lower() for name in (link.username, link.email) if name}
            if who.lower() in called and (user is None or user.deleted):
                gone += links.remove_link(session.connection(), link.identity)
        return gone

    return _run(work)


def _state(user: users.DstackUser | None, link: links.Link) -> str:
    if user is None or user.deleted:
        return "deleted"
    if user.active:
        return "active"
    return "deactivated" if link.ended_at is None else f"access ended ({link.ended_because})"


def _run(work: Callable[[Session, Hooks], T]) -> T:
    hooks = find_hooks()

    async def run() -> T:
        try:
            return await LoopDatabase(hooks).transaction(_if_there_are_tables)
        finally:
            await hooks.get_db().engine.dispose()

    def _if_there_are_tables(session: Session) -> T:
        if not inspect(session.connection()).has_table(links.links.name):
            raise StoreUnavailable(
                "dstack's database has no links: nobody has started it with the plug-in yet.",
                hint="Run this with the server's own DSTACK_SERVER_DIR or DSTACK_DATABASE_URL.",
            )
        return work(session, hooks)

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailable(
            f"dstack's database does not answer ({type(error).__name__}).",
            hint="Run this with the server's own DSTACK_SERVER_DIR or DSTACK_DATABASE_URL.",
        ) from None
