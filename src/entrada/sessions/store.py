"""The seam where sessions, spent sign-ins and revocations are stored.

Each method is one transaction. `tests/conformance` runs one suite against every implementation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from entrada.accounts.identity import UserId
from entrada.audit.acts import BY_ENTRADA, Cause
from entrada.sessions.revocation import LogPosition, Revocations
from entrada.sessions.session import Session, SessionId


class SessionStore(Protocol):
    """Stores sessions, and a log of what ended (`entrada.sessions.revocation`).

    What begins or ends is entered into the audit trail (`entrada.audit`) in the same transaction; `cause`
    says who ended it, and why. A session that reaches its limits was ended by nobody: no entry says so.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def open(self, session: Session, *, replaces: SessionId | None = None) -> None:
        """Store a new session; the one it replaces, if any, ends in the same transaction.

        Raises:
            ValueError: a session with this id is open already.
        """

    def find(self, session_id: SessionId) -> Session | None:
        """The session as stored, expired or not."""

    def list_sessions(
        self, *, user_id: UserId | None = None, limit: int = 100, after: SessionId | None = None
    ) -> Sequence[Session]:
        """Sessions, expired or not, of a user or of everybody, in the order of their ids, behind `after`."""

    def count(self, *, now: datetime) -> int:
        """How many sessions are within their limits."""

    def touch(self, session_id: SessionId, *, last_seen_at: datetime, idle_expires_at: datetime) -> bool:
        """Move the idle limit; False if there is no such session. An ended session stays ended."""

    def end(self, session_id: SessionId, *, cause: Cause = BY_ENTRADA) -> bool:
        """End one session; True if it was there."""

    def end_by_entra_session(self, entra_session_id: str, *, cause: Cause = BY_ENTRADA) -> int:
        """End every session with this `sid`; how many there were. For an unknown one nothing is written."""

    def end_of_user(self, user_id: UserId, *, cause: Cause = BY_ENTRADA) -> int:
        """End every session of a user; how many there were."""

    def end_all(self, *, since: LogPosition | None = None, cause: Cause = BY_ENTRADA) -> int:
        """End every session of everybody; how many there were.

        For a database that went back in time. The log continues behind `since`, so that every reader who
        knows that position learns that all has ended.
        """

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        """True for the first caller with this id, False for every later one, in all processes."""

    def revocations(self, since: LogPosition | None) -> Revocations:
        """What ended after `since`, in any process; with None, only where the log stands.

        Cheap while nothing ended. Where the store can tell by itself that it is of an older time than the
        processes before this one, it says so also to a reader without a position.
        """

    def note_rights_changed(self, user_id: UserId) -> None:
        """Make every process read this user afresh."""

    def prune(self, *, now: datetime) -> int:
        """Forget sessions and spent sign-ins at or past their limits; how many rows. Nothing ends by it.

        Where very many are over it may leave some for the next call.
        """


def sessions_of(store: SessionStore, user_id: UserId | None = None) -> Iterator[Session]:
    """All of one person, or of everybody, page by page; those too that ran out and are not cleared away."""
    after: SessionId | None = None
    while page := store.list_sessions(user_id=user_id, limit=_PAGE, after=after):
        yield from page
        after = page[-1].id


_PAGE = 500
