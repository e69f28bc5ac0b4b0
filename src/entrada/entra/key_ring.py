"""The ring of Entra's signing keys, refreshed, for any number of threads.

Owns `KeyRing` (I/O: fetches, caches, refreshes).
Never forgets good keys over a bad answer; forgets a key that a good answer no longer holds.

    keys_for(kid)   fresh set → return it at once
                    older than an hour → return it, refresh in the background
                    twice as old → refresh first; keep the old set if that fails, for up to a day
                    unknown kid → refetch, at most once per five minutes, one fetch for all who ask

Source: Microsoft, "Signing key rollover".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from entrada import jitter
from entrada.entra.keys import KeySet, keys_unusable, read_keys
from entrada.entra.transport import HttpTransport
from entrada.errors import EntraUnavailable
from entrada.forks import starts_over_in_children

REFRESH_AFTER = timedelta(hours=1)
KEEP_FOR = timedelta(hours=24)
UNKNOWN_KID_PAUSE = timedelta(minutes=5)
RETRY_PAUSE = timedelta(minutes=1)  # between refreshes while they fail and good keys are held
FIRST_RETRY_PAUSE = timedelta(seconds=5)  # the same while no keys are held
WAIT_LIMIT = timedelta(seconds=20)  # for someone else's fetch; the transport gives up sooner

_log = logging.getLogger("entrada.entra.keys")


@dataclass(frozen=True, kw_only=True)
class _Held:
    keys: KeySet
    fetched_at: datetime
    refresh_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """What is remembered of a failed fetch: each thread raises an exception of its own."""

    sentence: str
    reason: str
    hint: str
    at: datetime

    def again(self) -> EntraUnavailable:
        return EntraUnavailable(self.sentence, reason=self.reason, hint=self.hint)


class _Fetch:
    """One fetch under way. Whoever wants its outcome waits for `is_over`."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.failure: _Failure | None = None


@dataclass(frozen=True, kw_only=True)
class KeyRingState:
    """What a diagnosis shows."""

    kids: tuple[str, ...]
    fetched_at: datetime | None
    last_failure: str | None


def in_daemon_thread(work: Callable[[], None]) -> None:
    """Runs `work` beside the caller; a process that wants to end does not wait for it."""
    threading.Thread(target=work, name="entrada-keys", daemon=True).start()


class KeyRing:
    """The current keys of one authority, for any number of threads.

    There is no thread while nothing is asked: a refresh is decided when keys are used.
    A forked process starts with the keys of its parent and its own locks and moments of refresh.
    `clock` gives aware UTC; `chance` gives numbers from 0 to 1 and spreads the refreshes of many processes.
    """

    def __init__(
        self,
        transport: HttpTransport,
        jwks_uri: str,
        *,
        clock: Callable[[], datetime],
        chance: Callable[[], float] = jitter.chance,
        in_background: Callable[[Callable[[], None]], None] = in_daemon_thread,
    ) -> None:
        self._transport = transport
        self._jwks_uri = jwks_uri
        self._clock = clock
        self._chance = chance
        self._in_background = in_background
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._under_way: _Fetch | None = None
        self._failure: _Failure | None = None
        self._unknown_kid_asked_at: datetime | None = None
        starts_over_in_children(self)

    def fresh_keys(self) -> KeySet | None:
        """The keys that are held, if no refresh is due. Never waits."""
        held, now = self._held, self._clock()
        return held.keys if held is not None and held.fetched_at <= now < held.refresh_at else None

    def keys_for(self, kid: str | None) -> KeySet:
        """The keys to verify a token that names `kid`; whether it is among them, verification decides.

        Raises:
            EntraUnavailable: no keys are held, or only keys a day old, and none could be fetched.
        """
        keys = self._current()
        if kid is None or keys.find(kid) is not None:
            return keys
        return self._refetched_for(kid)

    @property
    def state(self) -> KeyRingState:
        held, failure = self._held, self._failure
        return KeyRingState(
            kids=tuple(key.kid or "" for key in held.keys.keys) if held else (),
            fetched_at=held.fetched_at if held else None,
            last_failure=failure.reason if failure else None,
        )

    def _current(self) -> KeySet:
        held, failure, now = self._held, self._failure, self._clock()
        if held is None or now - held.fetched_at > KEEP_FOR:
            return self._first(failure, now)
        # A clock that was set back makes the set look newer than now; then it is refreshed too.
        if held.fetched_at <= now < held.refresh_at:
            return held.keys
        tried_at = failure.at if failure else held.fetched_at
        if now - held.fetched_at > 2 * REFRESH_AFTER and now - tried_at > REFRESH_AFTER:
            # Nobody came for a while: a key withdrawn meanwhile must not verify the first token after that.
            with suppress(EntraUnavailable):
                self._fetch_or_join()
            return (self._held or held).keys
        if failure is None or _has_passed(RETRY_PAUSE, failure.at, now):
            self._refresh_in_background()
        return held.keys

    def _first(self, failure: _Failure | None, now: datetime) -> KeySet:
        if failure and not _has_passed(FIRST_RETRY_PAUSE, failure.at, now):
            raise failure.again()
        self._fetch_or_join()
        assert self._held is not None, "a fetch that ends without an error has brought keys"
        return self._held.keys

    def _refetched_for(self, kid: str) -> KeySet:
        # Twice at most: a fetch already under way may have been answered before the key was published.
        for _ in range(2):
            with self._lock:
                held, fetch, now = self._held, self._under_way, self._clock()
                if held is not None and held.keys.find(kid) is not None:
                    return held.keys
                mine = fetch is None
                if fetch is None:
                    asked_at = self._unknown_kid_asked_at
                    if asked_at is not None and not _has_passed(UNKNOWN_KID_PAUSE, asked_at, now):
                        break
                    self._unknown_kid_asked_at = now
                    fetch = self._under_way = _Fetch()
            try:
                self._carry_out(fetch) if mine else self._join(fetch)
            except EntraUnavailable:
                break
        return self._held.keys if self._held else KeySet(keys=())

    def _refresh_in_background(self) -> None:
        with self._lock:
            if self._under_way is not None:
                return
            fetch = self._under_way = _Fetch()

        def refresh() -> None:
            try:
                self._carry_out(fetch)
            except EntraUnavailable as unavailable:
                _log.warning("entra_keys_refresh_failed", extra={"reason": unavailable.reason})

        try:
            self._in_background(refresh)
        except RuntimeError:  # no thread to be had: too many, or the interpreter is going down
            self._finish(fetch, keys_unusable("no thread for the refresh"))

    def _fetch_or_join(self) -> None:
        with self._lock:
            fetch, mine = self._under_way, self._under_way is None
            if fetch is None:
                fetch = self._under_way = _Fetch()
        self._carry_out(fetch) if mine else self._join(fetch)

    def _join(self, fetch: _Fetch) -> None:
        if not fetch.is_over.wait(WAIT_LIMIT.total_seconds()):
            raise keys_unusable("the fetch of the keys takes too long")
        if fetch.failure is not None:
            raise fetch.failure.again()

    def _carry_out(self, fetch: _Fetch) -> None:
        outcome: _Held | EntraUnavailable = keys_unusable("the fetch of the keys broke off")
        try:
            outcome = self._fetch()
        except EntraUnavailable as unavailable:
            outcome = unavailable
            raise
        finally:
            # Whatever happened: nobody must wait for ever on a fetch that is over.
            self._finish(fetch, outcome)

    def _fetch(self) -> _Held:
        answer = self._transport.send("GET", self._jwks_uri, headers={"accept": "application/json"})
        if answer.status != 200:
            raise keys_unusable(f"the key document was answered with HTTP {answer.status}")
        keys, now = read_keys(answer.body), self._clock()
        return _Held(keys=keys, fetched_at=now, refresh_at=now + self._spread())

    def _finish(self, fetch: _Fetch, outcome: _Held | EntraUnavailable) -> None:
        with self._lock:
            if isinstance(outcome, _Held):
                self._held, self._failure = outcome, None
            else:
                self._failure = fetch.failure = _Failure(
                    sentence=outcome.marked_sentence,
                    reason=outcome.reason,
                    hint=outcome.marked_hint,
                    at=self._clock(),
                )
            if self._under_way is fetch:
                self._under_way = None
        fetch.is_over.set()

    def _spread(self) -> timedelta:
        return REFRESH_AFTER * (0.9 + 0.1 * self._chance())

    def start_over_in_child(self) -> None:
        # A thread of the parent may have held the lock or been fetching; here that thread does not exist.
        self._lock = threading.Lock()
        self._under_way = None
        held = self._held
        if held is not None:
            self._held = replace(held, refresh_at=held.fetched_at + self._spread())


def _has_passed(pause: timedelta, since: datetime, now: datetime) -> bool:
    # A clock set back must not stretch a pause without end.
    return not timedelta(0) <= now - since < pause
