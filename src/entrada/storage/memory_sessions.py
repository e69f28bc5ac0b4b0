"""Sessions in memory: for tests, and for applications that want no database.

Everything is gone when the process ends, and no other process sees any of it.
Safe for threads. The values are frozen, so what is handed out cannot change what is stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from threading import Lock

from entrada.accounts.identity import (
    UserId,
)
from entrada.audit.acts import BY_ENTRADA, Cause
from entrada.sessions.revocation import (
    ENTRIES_RETAINED,
    LogPosition,
    Revocation,
    RevocationKind,
    Revocations,
    new_nonce,
    read_since,
)
from entrada.sessions.session import Session, SessionId
from entrada.sessions.store import SessionStore
from entrada.storage import recorded
from entrada.storage.memory_audit import MemoryAuditTrail


class MemorySessionStore(SessionStore):
    """Sessions of this process. Grows until `prune` is called.

    `audit`, where given, is shared with the accounts' store, as one SQL database would be.
    """

    def __init__(self, *, audit: MemoryAuditTrail | None = None) -> None:
        self.audit = MemoryAuditTrail() if audit is None else audit
        self._lock = Lock()
        self._sessions: dict[SessionId, Session] = {}
        self._spent: dict[str, datetime] = {}
        self._log: deque[Revocation] = deque(maxlen=ENTRIES_RETAINED)
        self._position = LogPosition(1, 0)

    def open(self, session: Session, *, replaces: SessionId | None = None) -> None:
        with self._lock:
            if session.id in self._sessions:
                raise ValueError("a session with this id is open already")
            self._sessions[session.id] = session
            replaced = None if replaces is None else self._end(replaces)
            if replaced is not None:
                self.audit.record(recorded.replacing(replaced.id, replaced.user_id, session))
            self.audit.record(recorded.opening(session))

    def find(self, session_id: SessionId) -> Session | None:
        return self._sessions.get(session_id)

    def list_sessions(
        self, *, user_id: UserId | None = None, limit: int = 100, after: SessionId | None = None
    ) -> Sequence[Session]:
        with self._lock:
            found = [
                session
                for session in self._sessions.values()
                if user_id in (None, session.user_id) and (after is None or session.id > after)
            ]
        return sorted(found, key=lambda session: session.id)[:limit]

    def count(self, *, now: datetime) -> int:
        with self._lock:
            return sum(session.is_live(now) for session in self._sessions.values())

    def touch(self, session_id: SessionId, *, last_seen_at: datetime, idle_expires_at: datetime) -> bool:
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return False
            self._sessions[session_id] = replace(
                session, last_seen_at=last_seen_at, idle_expires_at=idle_expires_at
            )
            return True

    def end(self, session_id: SessionId, *, cause: Cause = BY_ENTRADA) -> bool:
        with self._lock:
            ended = self._end(session_id)
            if ended is not None:
                self.audit.record(recorded.ending(ended.id, ended.user_id, cause))
            return ended is not None

    def end_by_entra_session(self, entra_session_id: str, *, cause: Cause = BY_ENTRADA) -> int:
        with self._lock:
            named = [each for each in self._sessions.values() if each.entra_session_id == entra_session_id]
            for session in named:
                self._end(session.id)
                self.audit.record(recorded.ending(session.id, session.user_id, cause))
            return len(named)

    def end_of_user(self, user_id: UserId, *, cause: Cause = BY_ENTRADA) -> int:
        ended = self.drop_sessions(user_id)
        if ended:
            self.audit.record(recorded.ending_of_user(user_id, ended=ended, cause=cause))
        return ended

    def drop_sessions(self, user_id: UserId) -> int:
        """How many sessions of the user ended; the caller writes down why."""
        with self._lock:
            theirs = [session.id for session in self._sessions.values() if session.user_id == user_id]
            for session_id in theirs:
                del self._sessions[session_id]
            if theirs:
                self._add(RevocationKind.USER, user_id)
            return len(theirs)

    def note_user_ended(self, user_id: UserId) -> None:
        """An entry in the log for whoever holds no session, but perhaps an access token."""
        with self._lock:
            self._add(RevocationKind.USER, user_id)

    def has_session(self, user_id: UserId, *, now: datetime) -> bool:
        """Whether the user has a session within its limits."""
        with self._lock:
            return any(
                session.user_id == user_id and session.is_live(now) for session in self._sessions.values()
            )

    def end_all(self, *, since: LogPosition | None = None, cause: Cause = BY_ENTRADA) -> int:
        with self._lock:
            ended = len(self._sessions)
            self._sessions.clear()
            self._add(RevocationKind.EVERYTHING, "", beyond=since)
            self.audit.record(recorded.ending_of_all(ended=ended, cause=cause))
            return ended

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        with self._lock:
            if sign_in_id in self._spent:
                return False
            self._spent[sign_in_id] = expires_at
            return True

    def revocations(self, since: LogPosition | None) -> Revocations:
        with self._lock:
            if since is None or since == self._position:
                return Revocations(position=self._position)
            rows = [entry for entry in self._log if entry.sequence >= since.sequence]
            oldest = self._log[0].sequence if self._log else None
            return read_since(since, self._position, rows, oldest=oldest)

    def note_rights_changed(self, user_id: UserId) -> None:
        with self._lock:
            self._add(RevocationKind.RIGHTS, user_id)

    def prune(self, *, now: datetime) -> int:
        with self._lock:
            sessions, spent = len(self._sessions), len(self._spent)
            self._sessions = {id: session for id, session in self._sessions.items() if session.is_live(now)}
            self._spent = {id: expires_at for id, expires_at in self._spent.items() if now < expires_at}
            return sessions - len(self._sessions) + spent - len(self._spent)

    def _end(self, session_id: SessionId) -> Session | None:
        ended = self._sessions.pop(session_id, None)
        if ended is not None:
            self._add(RevocationKind.SESSION, session_id)
        return ended

    def _add(self, kind: RevocationKind, subject: str, *, beyond: LogPosition | None = None) -> None:
        last = max(self._position.sequence, 0 if beyond is None else beyond.sequence)
        entry = Revocation(last + 1, new_nonce(), kind, subject)
        self._log.append(entry)
        self._position = entry.position
