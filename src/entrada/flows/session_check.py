"""The walk of every request: cookie → session → person.

Never asks Entra. In the common case it touches no store: the live table answers, and the store is read only
when the table does not know the session, or has answered for it as long as a request may stay unwritten.
What ended elsewhere is learnt from the store's log of revocations, at most every half second, and exactly
that is dropped. If the store cannot say what ended, nobody is let in.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from threading import Lock, Thread

from entrada.accounts.identity import EntraIdentity
from entrada.accounts.principal import Evidence, UserPrincipal, mark_with_evidence, principal_of
from entrada.accounts.store import AccountStore
from entrada.audit.acts import ENTRADA, Cause
from entrada.clock import Clock
from entrada.events import Event, record
from entrada.sessions.live import LiveSession, LiveSessions, look_up
from entrada.sessions.revocation import LogPosition, RevocationKind, Revocations
from entrada.sessions.session import Session, SessionId, SessionPolicy
from entrada.sessions.store import SessionStore
from entrada.sessions.token import ID_LENGTH, SessionToken, parse_session_token

REVOCATION_CHECK_SECONDS = 0.5
"""How long this process may trust its table without asking whether a session ended elsewhere."""

LOOK_AHEAD_SECONDS = 0.25
"""How long before that a process that is asked looks again, so that no request has to wait for it."""

Listener = Callable[[Revocations], None]


@dataclass(frozen=True, kw_only=True)
class CheckedSession:
    """A request with a good session: who it is, and until when."""

    live: LiveSession
    key: bytes
    """The session's id as the cookie spells it."""

    @property
    def session_id(self) -> SessionId:
        return SessionId(self.key.decode())

    def idle_expires_at(self, policy: SessionPolicy, *, now: datetime) -> datetime:
        """When the session ends if this was its last request."""
        return min(now + policy.idle, self.live.absolute_expires_at)

    @cached_property
    def principal(self) -> UserPrincipal:
        return mark_with_evidence(self.live.principal, Evidence(session_id=self.session_id))

    @property
    def identity(self) -> EntraIdentity:
        return self.principal.identity

    @property
    def created_at(self) -> datetime:
        return self.live.created_at

    @property
    def absolute_expires_at(self) -> datetime:
        return self.live.absolute_expires_at


@dataclass(kw_only=True)
class SessionCheck:
    accounts: AccountStore
    sessions: SessionStore
    policy: SessionPolicy
    clock: Clock
    live: LiveSessions = field(default_factory=LiveSessions)
    _position: LogPosition | None = None
    _doubts: int = 0
    _latest: tuple[datetime, float] | None = None
    _listeners: tuple[Listener, ...] = ()
    _looked_ahead_of: float = float("-inf")
    _lock: Lock = field(default_factory=Lock, repr=False)

    def peek(self, cookie_value: str | bytes) -> CheckedSession | None:
        """The session, if memory alone can tell: touches no store, waits for nothing; None means ask."""
        cookie, monotonic = _bytes_of(cookie_value), self.clock.monotonic()
        self.look_ahead(monotonic)
        live = look_up(self.live, cookie, monotonic)
        return None if live is None else _checked(live, cookie[:ID_LENGTH])

    def check(self, cookie_value: str | bytes) -> CheckedSession | None:
        """The session this cookie opens, or None.

        Raises:
            StoreUnavailable: it cannot be known whether the session still stands.
        """
        cookie = _bytes_of(cookie_value)
        monotonic = self.clock.monotonic()
        if monotonic >= self.live.trusted_until:
            self.look()
        live = look_up(self.live, cookie, monotonic) or self._load(cookie)
        return None if live is None else _checked(live, cookie[:ID_LENGTH])

    def look(self) -> None:
        """Learn what ended anywhere since the last look, and drop exactly that.

        Raises:
            StoreUnavailable: it cannot be known; what memory holds is not trusted for longer than it was.
        """
        monotonic, doubts, since = self.clock.monotonic(), self._doubts, self._position
        revocations = self.sessions.revocations(since)
        if revocations.went_back:
            cause = Cause(actor=ENTRADA, at=self.clock.now(), reason="the database is of an older time")
            ended = self.sessions.end_all(since=since, cause=cause)
            record(Event.ALL_SESSIONS_ENDED, reason="database_went_back", count=ended)
            revocations = self.sessions.revocations(since)
        self._apply(revocations)
        with self._lock:
            if doubts == self._doubts:
                self.live.trusted_until = monotonic + REVOCATION_CHECK_SECONDS

    def look_ahead(self, monotonic: float) -> None:
        """Looks in a thread of its own when the trust in memory is about to end, once each time that it is.

        For whoever may not wait. A look that fails is made again by the first request that has to wait.
        """
        until = self.live.trusted_until
        if until - LOOK_AHEAD_SECONDS <= monotonic < until != self._looked_ahead_of:
            self._looked_ahead_of = until
            Thread(target=self._look_quietly, name="entrada-look-ahead", daemon=True).start()

    def _look_quietly(self) -> None:
        with suppress(Exception):
            self.look()

    def distrust(self) -> None:
        """The next check looks first: for whoever has just ended something in this process."""
        with self._lock:
            self._doubts += 1
            self.live.trusted_until = float("-inf")

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each look that brought something, in the thread that looked; ends by the call
        of what is returned. What ended may be told twice; `is_complete=False` may have ended anything.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def end() -> None:
            with self._lock:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return end

    def find_good(self, session_id: SessionId, *, now: datetime) -> tuple[Session, UserPrincipal] | None:
        """The stored session and its person, if within its limits and the account enabled.

        Raises:
            StoreUnavailable: it cannot be known.
        """
        session = self.sessions.find(session_id)
        good = None if session is None else self._good(session, now)
        if session is None or good is None:
            return None
        return session, mark_with_evidence(good[0], Evidence(session_id=session.id))

    def _apply(self, revocations: Revocations) -> None:
        if not revocations.is_complete:
            self.live.clear()
        for entry in revocations.entries if revocations.is_complete else ():
            if entry.kind is RevocationKind.SESSION:
                self.live.drop_session(entry.subject)
            else:
                self.live.drop_user(entry.subject)
        with self._lock:
            known = self._position
            if known is None or not revocations.is_complete or revocations.position.sequence > known.sequence:
                self._position = revocations.position
            listeners = self._listeners
        if revocations.entries or not revocations.is_complete:
            for listener in listeners:
                listener(revocations)

    def _load(self, cookie: bytes) -> LiveSession | None:
        """The session from the store: id → constant-time compare → limits → account enabled → touched."""
        changes = self.live.changes
        session = find_proven(self.sessions, parse_session_token(cookie.decode("ascii", "replace")))
        monotonic, now = self.clock.monotonic(), self.clock.now()
        judged_at = self._never_earlier(now, monotonic)
        good = None if session is None else self._good(session, judged_at)
        if session is None or good is None:
            return None
        unwritten = judged_at - session.last_seen_at
        if unwritten >= self.policy.touch_every:
            unwritten = timedelta(0)
            if not self.sessions.touch(
                session.id, last_seen_at=now, idle_expires_at=now + self.policy.idle_at_most
            ):
                return None  # ended, or pruned, since it was read
        principal, until = good
        left = min(session.absolute_expires_at, until or session.absolute_expires_at) - judged_at
        trusted_for = min(self.policy.touch_every - unwritten, self.policy.touch_every, left)
        live = LiveSession(session, principal, good_until=monotonic + trusted_for.total_seconds())
        self.live.put(session.id, live, changes=changes)
        return live

    def _never_earlier(self, now: datetime, monotonic: float) -> datetime:
        """The time by which limits are judged: a clock that is set back prolongs nothing in this process."""
        latest = self._latest
        if latest is not None and now < (passed := latest[0] + timedelta(seconds=monotonic - latest[1])):
            return passed
        self._latest = now, monotonic
        return now

    def _good(self, session: Session, now: datetime) -> tuple[UserPrincipal, datetime | None] | None:
        """Absolute, then idle limit; then the account. The person, and when the first of their roles ends."""
        if now >= session.absolute_expires_at or now >= session.idle_expires_at:
            return None
        user = self.accounts.get(session.user_id)
        if user is None or not user.is_enabled:
            return None
        user = user.at(now)
        return principal_of(user, session.identity), user.roles_until


@lru_cache(maxsize=1_000)
def _checked(live: LiveSession, key: bytes) -> CheckedSession:
    """Made, and its person unpacked, once for requests that follow each other: what changes a session or its
    person makes another live session."""
    return CheckedSession(live=live, key=key)


def _bytes_of(cookie_value: str | bytes) -> bytes:
    return cookie_value if isinstance(cookie_value, bytes) else cookie_value.encode("utf-8", "replace")


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
    return min(now + policy.idle_at_most, absolute), absolute
