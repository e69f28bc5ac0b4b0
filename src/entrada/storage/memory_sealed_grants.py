"""Sealed grants in memory, beside their sessions in `memory_sessions`; each looks whether its stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

from entrada.sessions.sealed_grants import SealedGrant, SealedGrants
from entrada.sessions.session import SessionId
from entrada.storage.memory_sessions import MemorySessionStore


@dataclass(frozen=True)
class _Held:
    grant: SealedGrant
    holder: str | None = None


class MemorySealedGrants(SealedGrants):
    def __init__(self, sessions: MemorySessionStore) -> None:
        self._lock = Lock()
        self._sessions = sessions
        self._grants: dict[SessionId, _Held] = {}

    def put(self, session_id: SessionId, sealed: str) -> bool:
        """See `SealedGrants`."""
        with self._lock:
            for ended in [each for each in self._grants if self._sessions.find(each) is None]:
                del self._grants[ended]
            if self._sessions.find(session_id) is None:
                return False
            self._grants[session_id] = _Held(SealedGrant(session_id=session_id, sealed=sealed))
            return True

    def find(self, session_id: SessionId) -> SealedGrant | None:
        """See `SealedGrants`."""
        held = self._grants.get(session_id)
        return None if held is None or self._sessions.find(session_id) is None else held.grant

    def hold(self, grant: SealedGrant, *, holder: str, now: datetime, until: datetime) -> bool:
        """See `SealedGrants`."""
        with self._lock:
            held = self._grants.get(grant.session_id)
            if held is None or held.grant.sealed != grant.sealed:
                return False
            held_until = held.grant.held_until
            if held_until is not None and now < held_until <= until + (until - now):
                return False
            self._grants[grant.session_id] = _Held(replace(held.grant, held_until=until), holder)
            return True

    def renew(self, session_id: SessionId, *, holder: str, sealed: str) -> bool:
        """See `SealedGrants`."""
        with self._lock:
            held = self._grants.get(session_id)
            if held is None or held.holder != holder or self._sessions.find(session_id) is None:
                return False
            self._grants[session_id] = _Held(SealedGrant(session_id=session_id, sealed=sealed))
            return True

    def let_go(self, session_id: SessionId, *, holder: str) -> None:
        """See `SealedGrants`."""
        with self._lock:
            held = self._grants.get(session_id)
            if held is not None and held.holder == holder:
                self._grants[session_id] = _Held(replace(held.grant, held_until=None))
