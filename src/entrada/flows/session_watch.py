"""For whoever stays longer than a request: WebSockets, open streams, tokens that are remembered.

    end = watch.session(checked, on_end=close_the_socket)       one session
    end = watch.log(listener)                                   everything that ends, as it is learnt

One thread of the process looks at the store's log as long as somebody watches, whether requests come in or
not; what ended is told within a second. Callbacks are called in that thread, one after the other: they must
be quick, and hand over to where their socket lives. An open connection is no request: it keeps no session
from becoming idle.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread

from entrada.accounts.identity import UserId
from entrada.accounts.principal import UserPrincipal
from entrada.errors import StoreUnavailable
from entrada.flows.session_check import CheckedSession, Listener, SessionCheck
from entrada.sessions.revocation import LogPosition, RevocationKind, Revocations
from entrada.sessions.session import SessionId

LOOK_EVERY_SECONDS = 0.4
"""Less than the check trusts its memory for, so that in a watched process a check finds memory trusted."""

PATIENCE_SECONDS = 60.0
"""How long the store may be silent before every watched session is told that it ended."""

_NOTHING_KNOWN = Revocations(position=LogPosition(0, 0), is_complete=False)

log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Watched:
    """One watcher of one session."""

    session_id: SessionId
    user_id: UserId
    principal: UserPrincipal
    on_end: Callable[[], None]
    on_change: Callable[[UserPrincipal], None] | None
    ask_at: float
    """When the store is asked about it, whatever the log says; monotonic seconds."""


@dataclass(kw_only=True)
class SessionWatch:
    """The watchers of one process. Safe for threads."""

    check: SessionCheck
    _watched: set[Watched] = field(default_factory=set, repr=False)
    _listeners: list[Listener] = field(default_factory=list, repr=False)
    _new: deque[Listener] = field(default_factory=deque, repr=False)
    _learnt: deque[Revocations] = field(default_factory=deque, repr=False)
    _changed: Condition = field(default_factory=Condition, repr=False)
    _thread: Thread | None = field(default=None, repr=False)
    _heard_at: float = 0.0
    _is_closed: bool = False
    _is_woken: bool = False
    """Something was learnt by another thread since the last round began."""

    def __post_init__(self) -> None:
        self.check.subscribe(self._learn)

    def session(
        self,
        checked: CheckedSession,
        *,
        on_end: Callable[[], None],
        on_change: Callable[[UserPrincipal], None] | None = None,
    ) -> Callable[[], None]:
        """Call `on_end` once, when the session is over for whatever reason, limits included.

        `on_change` gets the person whenever their roles or profile have changed. What is returned ends the
        watch; calling it again does nothing.
        """
        watched = Watched(
            session_id=checked.session_id,
            user_id=checked.live.user_id,
            principal=checked.principal,
            on_end=on_end,
            on_change=on_change,
            # At once: it may have ended between the check and now.
            ask_at=self.check.clock.monotonic(),
        )
        with self._changed:
            self._watched.add(watched)
            self._keep_looking()

        def end() -> None:
            self._forget(watched)

        return end

    def log(self, listener: Listener, *, at_once: bool = False) -> Callable[[], None]:
        """Call `listener` with everything that is learnt from the log; what is returned ends that.

        `at_once`: the first time soon, whatever the log says, for who has remembered something until now.
        """
        with self._changed:
            self._listeners.append(listener)
            if at_once:
                self._new.append(listener)
            self._keep_looking()

        def end() -> None:
            with self._changed:
                self._listeners = [each for each in self._listeners if each is not listener]

        return end

    def close(self) -> None:
        """Nobody is watched any more; the thread ends."""
        with self._changed:
            self._is_closed = True
            self._watched.clear()
            self._listeners.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=LOOK_EVERY_SECONDS)

    def look(self) -> None:
        """One round: learn what ended, ask about what may have, and call whom it concerns."""
        now = self.check.clock.monotonic()
        try:
            self.check.look()
            self._heard_at = now
            doubted = self._doubted(now)
            for watched in doubted:
                watched.ask_at = now  # until it has been asked: the log names it only once
            for watched in doubted:
                self._ask(watched, now)
        except StoreUnavailable:
            if now - self._heard_at >= PATIENCE_SECONDS:
                for watched in list(self._watched):
                    self._end(watched)

    def _learn(self, revocations: Revocations) -> None:
        """Called by the check in whichever thread looked."""
        if self._watched or self._listeners:
            self._learnt.append(revocations)
            with self._changed:
                self._is_woken = True
                self._changed.notify_all()

    def _doubted(self, now: float) -> list[Watched]:
        sessions: set[str] = set()
        users: set[str] = set()
        everything = False
        while self._new:
            if (listener := self._new.popleft()) in self._listeners:
                _call(listener, _NOTHING_KNOWN)
        while self._learnt:
            revocations = self._learnt.popleft()
            for listener in list(self._listeners):
                _call(listener, revocations)
            everything |= not revocations.is_complete
            for entry in revocations.entries:
                (sessions if entry.kind is RevocationKind.SESSION else users).add(entry.subject)
        return [
            watched
            for watched in list(self._watched)
            if everything
            or now >= watched.ask_at
            or watched.session_id in sessions
            or watched.user_id in users
        ]

    def _ask(self, watched: Watched, now: float) -> None:
        wall = self.check.clock.now()
        good = self.check.find_good(watched.session_id, now=wall)
        if good is None:
            self._end(watched)
            return
        session, principal = good
        left = (min(session.absolute_expires_at, session.idle_expires_at) - wall).total_seconds()
        watched.ask_at = now + min(left, self.check.policy.touch_every.total_seconds())
        if principal != watched.principal:
            watched.principal = principal
            if watched.on_change is not None:
                _call(watched.on_change, principal)

    def _end(self, watched: Watched) -> None:
        if self._forget(watched):
            _call(watched.on_end)

    def _forget(self, watched: Watched) -> bool:
        with self._changed:
            was_there = watched in self._watched
            self._watched.discard(watched)
        return was_there

    def _keep_looking(self) -> None:
        """A thread that a fork has left behind in the parent is not alive here."""
        self._is_closed = False
        if self._thread is None or not self._thread.is_alive():
            self._heard_at = self.check.clock.monotonic()
            self._thread = Thread(target=self._run, name="entrada-session-watch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_closed or not (self._watched or self._listeners):
                    self._thread = None
                    return
                self._is_woken = False
            try:
                self.look()
            except Exception:
                log.exception("looking for ended sessions failed; it goes on")
            with self._changed:
                if not self._is_closed and not self._is_woken:
                    self._changed.wait(LOOK_EVERY_SECONDS)


def _call(callback: Callable[..., None], *arguments: object) -> None:
    try:
        callback(*arguments)
    except Exception:
        log.exception("a watcher of sessions failed")
