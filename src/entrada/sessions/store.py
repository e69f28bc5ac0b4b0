"""The seam where sessions, spent sign-ins and revocations are kept.

Each method is one transaction. `tests/conformance` runs one suite against every implementation.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from entrada.accounts.identity import UserId
from entrada.sessions.session import Session, SessionId


class SessionStore(Protocol):
    """Keeps sessions.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def open(self, session: Session, *, replaces: SessionId | None = None) -> None:
        """Keep a new session; the one it replaces, if any, ends in the same transaction.

        Raises:
            ValueError: a session with this id is open already.
        """

    def find(self, session_id: SessionId) -> Session | None:
        """The session as stored, expired or not."""

    def touch(self, session_id: SessionId, *, last_seen_at: datetime, idle_expires_at: datetime) -> None:
        """Move the idle limit. An ended session stays ended: no row is made."""

    def end(self, session_id: SessionId) -> bool:
        """End one session; True if it was there."""

    def end_by_entra_session(self, entra_session_id: str) -> int:
        """End every session with this `sid`; how many there were."""

    def end_of_user(self, user_id: UserId) -> int:
        """End every session of a user; how many there were."""

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        """True for the first caller with this id, False for every later one, in all processes."""

    def revocation_epoch(self) -> int:
        """A number that grows whenever a session ended or `note_change` was called, in any process.

        A live table that remembers the number knows by one cheap read whether it may still be trusted.
        """

    def note_change(self) -> None:
        """Make every process read users afresh (an account was disabled, its roles changed)."""

    def prune(self, *, now: datetime) -> int:
        """Forget sessions and spent sign-ins at or past their limits; how many rows."""
