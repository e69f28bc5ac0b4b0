"""A session, and how long it lives.

The record holds only the hash of the cookie's secret, so a read of the database opens no session.

Source: OWASP ASVS 5.0, V7 (session management).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NewType

from entrada.accounts.identity import EntraIdentity, UserId

SessionId = NewType("SessionId", str)
"""128 random bits in base64url without padding (22 characters). Not a secret."""


@dataclass(frozen=True, kw_only=True)
class SessionPolicy:
    """Idle: time without a request. Absolute: since the sign-in, whatever happens.

    A process writes down at most every `touch_every` that a session is in use, and processes know of each
    other's requests by what is written. So a session without requests ends between `idle` and
    `idle + touch_every` after its last one, and nobody who is active is ever taken for idle.
    """

    idle: timedelta = timedelta(hours=8)
    absolute: timedelta = timedelta(hours=24)
    touch_every: timedelta = timedelta(minutes=2)
    """How stale the stored time of the last request may become. Between two writes memory answers."""

    @property
    def idle_at_most(self) -> timedelta:
        """How long after the last written request a session may still be in use."""
        return self.idle + self.touch_every


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a browser said of itself as a session began: for people to tell their sessions apart by.

    Whoever sends a request writes it, so nothing is decided by it. `address` is the network's, as budgets
    have it.
    """

    user_agent: str = ""
    address: str = ""


UNKNOWN_DEVICE = Device()


@dataclass(frozen=True, kw_only=True)
class Session:
    """One signed-in browser. All times are aware UTC, whole seconds or finer."""

    id: SessionId
    secret_hash: bytes = field(repr=False)
    """SHA-256 of the cookie's secret: 32 bytes."""
    user_id: UserId
    identity: EntraIdentity
    created_at: datetime
    last_seen_at: datetime
    idle_expires_at: datetime
    """When it ends if nothing more is written: `last_seen_at`, and the policy's `idle` and `touch_every`."""
    absolute_expires_at: datetime
    entra_session_id: str | None = None
    """Entra's `sid`, by which its front-channel logout names the session."""
    logout_hint: str | None = field(default=None, repr=False)
    """The `login_hint` claim, which Entra takes back as `logout_hint`."""
    opened_by: Device = UNKNOWN_DEVICE
    authenticated_at: datetime | None = None
    """When the person last showed Entra who they are, where Entra says so (`auth_time`)."""

    def is_live(self, now: datetime) -> bool:
        """Whether it is within both of its limits."""
        return now < self.idle_expires_at and now < self.absolute_expires_at

    def is_recent(self, now: datetime, *, within: timedelta) -> bool:
        """Whether the person signed in that lately: by Entra's word, else by the age of the session."""
        return now - (self.authenticated_at or self.created_at) < within
