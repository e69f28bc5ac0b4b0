"""A PostgreSQL that is done harm to, and more than one server at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import make_url

from conformance.samples import NOW, session, user_id
from entrada.accounts.identity import EntraIdentity, Profile, UserId
from entrada.clock import SystemClock
from entrada.flows.session_check import SessionCheck, new_session_limits
from entrada.sessions.session import Session, SessionPolicy
from entrada.sessions.token import new_session_token
from entrada.storage.sql import Database, SqlAccountStore, SqlSessionStore

PATIENCE_SECONDS = 10.0
POLICY = SessionPolicy()


def until(is_so: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> float:
    """Waits until it is so; how long that took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, "it did not come to pass"
        time.sleep(0.001)
    return time.monotonic() - began


@contextmanager
def other_program(url: str) -> Iterator[psycopg.Connection]:
    """Somebody else at the same database."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield connection


def check_over(database: Database) -> SessionCheck:
    """The session check of one server."""
    return SessionCheck(
        accounts=SqlAccountStore(database),
        sessions=SqlSessionStore(database),
        policy=POLICY,
        clock=SystemClock(),
    )


def signed_in(database: Database, identity: EntraIdentity, profile: Profile) -> tuple[UserId, Session, str]:
    """A new person with a session; and the cookie."""
    user, token = user_id(), new_session_token()
    SqlAccountStore(database).create(
        user_id=user, identity=identity, profile=profile, entra_grants=[], now=NOW
    )
    now = SystemClock().now()
    idle, absolute = new_session_limits(now, POLICY)
    opened = session(
        user,
        id=token.id,
        secret_hash=token.secret_hash,
        identity=identity,
        created_at=now,
        last_seen_at=now,
        idle_expires_at=idle,
        absolute_expires_at=absolute,
    )
    SqlSessionStore(database).open(opened)
    return user, opened, token.cookie_value
