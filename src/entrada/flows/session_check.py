"""The walk of every request: cookie → session → person.

Never asks Entra. In the common case it touches no store: the live table answers, and the store is read only
when the table does not know the session or when some process ended one. If the store cannot say whether
that happened, nobody is let in.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime

from entrada.accounts.principal import UserPrincipal, principal_of
from entrada.accounts.store import AccountStore
from entrada.clock import Clock
from entrada.sessions.live import LiveSession, LiveSessions
from entrada.sessions.session import Session, SessionPolicy
from entrada.sessions.store import SessionStore
from entrada.sessions.token import SessionToken, parse_session_token

REVOCATION_CHECK_SECONDS = 0.5
"""How long this process may trust its table without asking whether a session ended elsewhere."""


@dataclass(frozen=True, kw_only=True)
class CheckedSession:
    """A request with a good session: who it is, and until when."""

    principal: UserPrincipal
    session: Session
    idle_expires_at: datetime


@dataclass(kw_only=True)
class SessionCheck:
    accounts: AccountStore
    sessions: SessionStore
    policy: SessionPolicy
    clock: Clock
    live: LiveSessions = field(default_factory=LiveSessions)
    _epoch: int = -1
    _epoch_good_until: float = float("-inf")

    def peek(self, cookie_value: str) -> CheckedSession | None:
        """The session, if memory alone can tell: touches no store, waits for nothing; None means ask."""
        monotonic = self.clock.monotonic()
        live = self.live.find(cookie_value) if monotonic < self._epoch_good_until else None
        if live is None or monotonic >= live.touch_due or not live.stands(monotonic):
            return None
        return self._answer(live, monotonic)

    def check(self, cookie_value: str) -> CheckedSession | None:
        """The session this cookie opens, or None.

        Raises:
            StoreUnavailable: it cannot be known whether the session still stands.
        """
        monotonic = self.clock.monotonic()
        self._drop_what_may_be_revoked(monotonic)
        live = self.live.find(cookie_value) or self._load(cookie_value, monotonic)
        if live is None:
            return None
        if not live.stands(monotonic):
            self.live.forget(cookie_value)
            return None
        if monotonic >= live.touch_due:
            self._touch(live, monotonic)
        return self._answer(live, monotonic)

    def _answer(self, live: LiveSession, monotonic: float) -> CheckedSession:
        live.idle_deadline = monotonic + self.policy.idle.total_seconds()
        return CheckedSession(
            principal=live.principal,
            session=live.session,
            idle_expires_at=min(self.clock.now() + self.policy.idle, live.session.absolute_expires_at),
        )

    def _drop_what_may_be_revoked(self, monotonic: float) -> None:
        if monotonic < self._epoch_good_until:
            return
        epoch = self.sessions.revocation_epoch()
        if epoch != self._epoch:
            # In this order, so that `_load` in another thread either sees the new epoch or is cleared away.
            self._epoch = epoch
            self.live.clear()
        self._epoch_good_until = monotonic + REVOCATION_CHECK_SECONDS

    def _load(self, cookie_value: str, monotonic: float) -> LiveSession | None:
        """The session from the store: id → constant-time compare → limits → account still enabled."""
        epoch = self._epoch
        session = find_proven(self.sessions, parse_session_token(cookie_value))
        if session is None:
            return None
        now = self.clock.now()
        if now >= session.absolute_expires_at or now >= session.idle_expires_at:
            return None
        user = self.accounts.get(session.user_id)
        if user is None or not user.is_enabled:
            return None
        live = LiveSession(
            session=session,
            principal=principal_of(user, session.identity),
            idle_deadline=monotonic + (session.idle_expires_at - now).total_seconds(),
            absolute_deadline=monotonic + (session.absolute_expires_at - now).total_seconds(),
            touch_due=monotonic + (session.last_seen_at + self.policy.touch_every - now).total_seconds(),
        )
        self.live.put(cookie_value, live)
        if epoch != self._epoch:
            # Another thread learned of a revocation meanwhile, which these reads may have missed.
            self.live.forget(cookie_value)
        return live

    def _touch(self, live: LiveSession, monotonic: float) -> None:
        now = self.clock.now()
        self.sessions.touch(live.session.id, last_seen_at=now, idle_expires_at=now + self.policy.idle)
        live.touch_due = monotonic + self.policy.touch_every.total_seconds()


def find_proven(sessions: SessionStore, token: SessionToken | None) -> Session | None:
    """The stored session whose secret this token knows."""
    if token is None:
        return None
    session = sessions.find(token.id)
    if session is None or not hmac.compare_digest(session.secret_hash, token.secret_hash):
        return None
    return session


def new_session_limits(now: datetime, policy: SessionPolicy) -> tuple[datetime, datetime]:
    """(idle, absolute) limits of a session that opens now; idle never beyond absolute."""
    absolute = now + policy.absolute
    return min(now + policy.idle, absolute), absolute
