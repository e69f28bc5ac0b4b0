"""The sessions this process has checked lately, so that the next check touches no store.

A table in memory keyed by a keyed hash of the whole cookie value: an attacker can neither steer the hash nor
learn from the time a look-up takes. An entry carries everything an answer needs.
It is only as good as the store's revocation epoch; `entrada.flows.session_check` watches that.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from entrada.accounts.principal import UserPrincipal
from entrada.sessions.session import Session

MOST_LIVE_SESSIONS = 100_000


@dataclass(slots=True, kw_only=True)
class LiveSession:
    """Deadlines are seconds of the process's monotonic clock."""

    session: Session
    principal: UserPrincipal
    idle_deadline: float
    absolute_deadline: float
    touch_due: float

    def stands(self, monotonic: float) -> bool:
        """Absolute, then idle limit."""
        return monotonic < self.absolute_deadline and monotonic < self.idle_deadline


@dataclass(kw_only=True)
class LiveSessions:
    """Bounded: the entry that was put in longest ago goes first, and is simply read from the store again."""

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _entries: OrderedDict[bytes, LiveSession] = field(default_factory=OrderedDict, repr=False)

    def find(self, cookie_value: str) -> LiveSession | None:
        return self._entries.get(self._hash(cookie_value))

    def put(self, cookie_value: str, live: LiveSession) -> None:
        self._entries[self._hash(cookie_value)] = live
        while len(self._entries) > MOST_LIVE_SESSIONS:
            self._entries.popitem(last=False)

    def forget(self, cookie_value: str) -> None:
        self._entries.pop(self._hash(cookie_value), None)

    def clear(self) -> None:
        self._entries.clear()

    def _hash(self, cookie_value: str) -> bytes:
        return hashlib.blake2b(
            cookie_value.encode("utf-8", "replace"), key=self._key, digest_size=16
        ).digest()
