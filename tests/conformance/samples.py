"""People, sessions and races for the store suites."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, UserId
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.sessions.session import Session, SessionId
from entrada.sessions.store import SessionStore

NOW = datetime(2026, 5, 4, 10, 30, 15, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CONTOSO = TenantId("11111111-1111-4111-8111-111111111111")
FABRIKAM = TenantId("22222222-2222-4222-8222-222222222222")
ADA = Profile(
    name="Ada Lovelace", email="Ada@Contoso.test", username="ada@contoso.test", email_is_verified=True
)
SOMEBODY = UserId("5" * 32)
ED = Profile(name="Ed", email=None, username=None)

T = TypeVar("T")


def user_id(number: int | None = None) -> UserId:
    return UserId(secrets.token_hex(16) if number is None else f"{number:032x}")


def identity(number: int = 1, *, tenant_id: TenantId = CONTOSO) -> EntraIdentity:
    return EntraIdentity(tenant_id=tenant_id, object_id=ObjectId(f"00000000-0000-4000-8000-{number:012x}"))


def from_entra(role: str, *, granted_by: str = "app role", granted_at: datetime = NOW) -> RoleGrant:
    return RoleGrant(role=role, source=GrantSource.ENTRA, granted_by=granted_by, granted_at=granted_at)


def log_length(sessions: SessionStore) -> int:
    """The number of the last entry of the log of what ended."""
    return sessions.revocations(None).position.sequence


def session(user: UserId = SOMEBODY, **changes: Any) -> Session:
    return replace(
        Session(
            id=SessionId(secrets.token_urlsafe(16)),
            secret_hash=secrets.token_bytes(32),
            user_id=user,
            identity=identity(),
            created_at=NOW,
            last_seen_at=NOW,
            idle_expires_at=NOW + timedelta(hours=8),
            absolute_expires_at=NOW + timedelta(hours=24),
            entra_session_id="a-sid",
            logout_hint="O.CiQ-hint",
        ),
        **changes,
    )


def at_once(callers: int, call: Callable[[int], T]) -> list[T | Exception]:
    """What each of `callers` threads, let go together, got or raised."""
    gate = Barrier(callers)

    def one(number: int) -> T | Exception:
        gate.wait()
        try:
            return call(number)
        except Exception as raised:
            return raised

    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(one, range(callers)))


def counted(results: Iterable[object]) -> Counter[str]:
    """How often each kind of result came."""
    return Counter(type(result).__name__ for result in results)
