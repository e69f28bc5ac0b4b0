"""The walk that nobody waits for: Entra is asked again, in the background, about everyone who signed in.

One look: claim who is due → refresh their sign-in → still welcome: roles brought up to date, the newer
refresh token stored; or over: access ended until the next sign-in; or neither: looked at again later.
Without this, a long-lived session outlasts the person's account.

Neither is not for ever: whoever was not confirmed for `longest_unconfirmed`, though Entra answered, is out.
Only where nothing answers at all does access stay, and the run ends until the next one.
A few people at a time, at a stated rate; a run ends where Entra or Graph says to come back later.

Refresh tokens are stored sealed, each bound to its identity: a row copied to another person opens nothing.

Source: Microsoft, "Refresh tokens in the Microsoft identity platform"; OpenID Connect Core 1.0, section 12.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from entrada.accounts.admission import AdmissionPolicy, Newcomer, check_still_welcome
from entrada.accounts.identity import EntraIdentity, RoleGrant, User, UserId
from entrada.accounts.roles import RolesSync
from entrada.entra.id_token import RememberedSignIn
from entrada.entra.jws import RawRefreshToken
from entrada.errors import (
    AccountDisabled,
    ConfigurationError,
    EntradaError,
    EntraRefused,
    EntraUnavailable,
    SignInError,
    StoreUnavailable,
    TokenRefused,
)
from entrada.events import Event, record
from entrada.flows.identification import Identification, Identified, ends_access
from entrada.sealing import Sealer

AT_A_TIME = 4
MOST_PER_SECOND = 20.0
LONGEST_UNCONFIRMED = timedelta(days=1)
BEHIND = (
    "Entra cannot be asked about everybody who is signed in within the interval: %d people in one, and more"
    " are due. Run more servers, or set a longer interval."
)
SILENT_IN_A_ROW = 4
"""So many people in a row about whom nothing answers, and nobody else is asked about."""
EARLIEST, LATEST = 0.9, 0.98
"""Of the interval: each is asked again somewhere between these parts of it, so that people who signed in
together spread out, and the pause between two runs still ends within the interval."""

_log = logging.getLogger("entrada")


@dataclass(frozen=True, kw_only=True)
class RefreshableSignIn:
    """What a refresh needs: the token, and the sign-in that its answer is compared with.

    `confirmed_at` is when Entra issued the newest ID token that passed; None: sealed by an older version.
    """

    remembered: RememberedSignIn
    refresh_token: RawRefreshToken = field(repr=False)
    confirmed_at: datetime | None = None


def seal_sign_in(identified: Identified, sealer: Sealer) -> str | None:
    """What is needed of this sign-in; None if Entra gave no refresh token."""
    if identified.refresh_token is None:
        return None
    id_token = identified.id_token
    return _seal(id_token.remembered, identified.refresh_token, id_token.issued_at, sealer)


def seal_again(refreshable: RefreshableSignIn, identified: Identified, sealer: Sealer) -> str:
    """What the next refresh needs after this one: the sign-in itself stays what answers are compared with.

    A refreshed ID token need not hold all that is compared, the nonce for one (Core 1.0, 12.2).
    """
    return _seal(
        refreshable.remembered,
        identified.refresh_token or refreshable.refresh_token,
        identified.id_token.issued_at,
        sealer,
    )


def unseal_sign_in(sealed: str, identity: EntraIdentity, sealer: Sealer) -> RefreshableSignIn | None:
    """What was sealed for this identity, or None: sealed with a lost key, changed, or another person's."""
    plain = sealer.unseal(sealed, context=_context(identity))
    if plain is None:
        return None
    try:
        refreshable = json.loads(plain)
        if not refreshable["nonce"]:
            return None  # nothing to compare with: an older version of the broker sealed such after a refresh
        auth_time, confirmed_at = refreshable.pop("auth_time"), refreshable.pop("confirmed_at", None)
        return RefreshableSignIn(
            refresh_token=RawRefreshToken(refreshable.pop("refresh_token")),
            confirmed_at=_moment(confirmed_at),
            remembered=RememberedSignIn(**refreshable, auth_time=_moment(auth_time)),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


class DueSignIn(Protocol):
    """Somebody to ask about, as a store has them."""

    @property
    def identity(self) -> EntraIdentity: ...
    @property
    def user_id(self) -> UserId: ...
    @property
    def sealed_sign_in(self) -> str | None: ...
    @property
    def last_sign_in_at(self) -> datetime | None: ...


Due = TypeVar("Due", bound=DueSignIn)


class RecheckStore(Protocol[Due]):
    """Who signed in, as far as a re-check needs them. Each method is one transaction; threads share it.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> Due | None:
        """Who has waited longest, this caller's alone until `next_check_at`; None: nobody is due."""

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`."""

    def renew(
        self,
        link: Due,
        *,
        newcomer: Newcomer,
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        """Keeps what the next look needs, and if `link` is still the newest sign-in, brings roles up to date.

        None as grants leaves them as they are.
        """

    def end_access(self, link: Due, *, because: str, now: datetime) -> bool:
        """If `link` is still the newest sign-in, takes every way in that it gave.

        False if the person has signed in again since `link` was claimed: then nothing is taken.
        """


@dataclass(kw_only=True)
class Pace:
    """No more than `per_second` looks begin in a second; none while Entra said to come back later."""

    per_second: float = MOST_PER_SECOND
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0, init=False)
    _quiet_until: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def is_quiet(self) -> bool:
        return self.monotonic() < self._quiet_until

    def be_quiet_for(self, seconds: int) -> None:
        with self._lock:
            self._quiet_until = max(self._quiet_until, self.monotonic() + seconds)

    def wait(self) -> None:
        """Until it is this caller's turn."""
        with self._lock:
            now = self.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)


@dataclass(frozen=True, kw_only=True)
class Recheck(Generic[Due]):
    """`every` is the interval; `longest_unconfirmed` how long access lasts without one good look."""

    identification: Identification
    admission: AdmissionPolicy
    store: RecheckStore[Due]
    sealer: Sealer
    every: timedelta
    longest_unconfirmed: timedelta = LONGEST_UNCONFIRMED
    at_a_time: int = AT_A_TIME
    pace: Pace = field(default_factory=Pace)
    chance: Callable[[], float] = random.random

    def run(self, *, is_over: Callable[[], bool] = lambda: False) -> int:
        """Looks at everyone who is due; how many that were.

        Ends early where nothing answers, where Entra or Graph asks for a pause, and once `is_over`.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        if self.pace.is_quiet:
            return 0
        first = self._claim()
        if first is None:
            return 0
        run = RecheckRun(is_over, monotonic=self.pace.monotonic, every=self.every)
        with ThreadPoolExecutor(self.at_a_time, thread_name_prefix="entrada-recheck") as threads:
            workers = [
                threads.submit(self._look_at_all, run, first if number == 0 else None)
                for number in range(self.at_a_time)
            ]
        for worker in workers:
            worker.result()
        return run.looked_at

    def _look_at_all(self, run: RecheckRun, link: Due | None) -> None:
        try:
            while not run.is_over:
                link = link or self._claim()
                if link is None:
                    return
                self.pace.wait()
                run.note_look()
                self._look_at(link, run)
                link = None
        except StoreUnavailable:
            run.end()
            raise

    def _claim(self) -> Due | None:
        return self.store.claim_due(now=self._now(), next_check_at=self._next_check_at())

    def _look_at(self, link: Due, run: RecheckRun) -> None:
        refreshable = unseal_sign_in(link.sealed_sign_in or "", link.identity, self.sealer)
        if refreshable is None:
            # Nobody can ask any more: without this, losing the key would mean access for ever.
            self._end(link, because="what was stored of the sign-in cannot be opened")
            return
        try:
            identified = self.identification.refresh(refreshable.remembered, refreshable.refresh_token)
            self._renew(link, refreshable, identified)
        except AccountDisabled:
            run.note_answer()  # the product's own administrator said so; there is nothing left to end
        except SignInError as error:
            run.note_answer()
            if ends_access(error):
                since = refreshable.confirmed_at or link.last_sign_in_at
                self._end(link, because=_because(error), check=_check(error), since=since)
            else:
                self._leave(link, refreshable, error)
        except EntraUnavailable as error:
            self._note_outage(link, refreshable, error, run)
        except ConfigurationError as error:
            # Metadata that the settings do not promise: the same for everybody.
            self._note(link, error)
            run.end()
        except StoreUnavailable:
            raise
        except Exception:
            # A mistake of ours about one person must not keep us from asking about all others.
            _log.exception("A mistake of Entrada's, in the look at one person")
        else:
            run.note_answer()

    def _renew(self, link: Due, refreshable: RefreshableSignIn, identified: Identified) -> None:
        user = self.store.find_by_identity(link.identity)
        if user is None:
            return  # deleted in the product meanwhile
        newcomer = identified.newcomer
        check_still_welcome(user, newcomer, policy=self.admission)
        sync = self.admission.roles.sync is RolesSync.EVERY_SIGN_IN
        self.store.renew(
            link,
            newcomer=newcomer,
            entra_grants=newcomer.grants if sync else None,
            sealed_sign_in=seal_again(refreshable, identified, self.sealer),
            next_check_at=self._next_check_at(),
        )

    def _note_outage(
        self, link: Due, refreshable: RefreshableSignIn, error: EntraUnavailable, run: RecheckRun
    ) -> None:
        if error.answered:
            run.note_answer()
            self._leave(link, refreshable, error)
            return
        self._note(link, error)
        if error.retry_after_seconds is not None:
            self.pace.be_quiet_for(error.retry_after_seconds)
            run.end()
        else:
            run.note_silence()

    def _leave(self, link: Due, refreshable: RefreshableSignIn, error: EntradaError) -> None:
        """An answer that says nothing about this person: they stay, but not for ever."""
        confirmed_at = refreshable.confirmed_at or link.last_sign_in_at
        if confirmed_at is None or self._now() - confirmed_at > self.longest_unconfirmed:
            self._end(link, because=f"not confirmed for too long: {_because(error)}", check=_check(error))
        else:
            self._note(link, error)

    def _end(
        self, link: Due, *, because: str, check: str | None = None, since: datetime | None = None
    ) -> None:
        now = self._now()
        if self.store.end_access(link, because=because, now=now):
            record(
                Event.ACCESS_ENDED,
                reason=because,
                check=check,
                user_id=link.user_id,
                **asdict(link.identity),
                found_by="recheck",
                seconds=None if since is None else round((now - since).total_seconds(), 3),
            )

    def _note(self, link: Due, error: EntradaError) -> None:
        record(
            Event.RECHECK_FAILED,
            reason=_because(error),
            check=_check(error),
            user_id=link.user_id,
            **asdict(link.identity),
        )

    def _next_check_at(self) -> datetime:
        return next_check(self._now(), every=self.every, chance=self.chance())

    def _now(self) -> datetime:
        return self.identification.clock.now()


class RecheckRun:
    """What the threads of one run know of one another; ends where nothing answers any more.

    A run that lasts longer than the interval asks about people later than promised, and says so.
    """

    def __init__(
        self, was_ended: Callable[[], bool], *, monotonic: Callable[[], float], every: timedelta
    ) -> None:
        self._monotonic, self._every = monotonic, every
        self._since, self._since_count = monotonic(), 0
        self._lock = threading.Lock()
        self._was_ended = was_ended
        self._silent_in_a_row = 0
        self._is_over = False
        self.looked_at = 0

    @property
    def is_over(self) -> bool:
        return self._is_over or self._was_ended()

    def note_look(self) -> None:
        with self._lock:
            self.looked_at += 1
            now = self._monotonic()
            if now - self._since > self._every.total_seconds():
                _log.warning(BEHIND, self.looked_at - self._since_count)
                self._since, self._since_count = now, self.looked_at

    def note_answer(self) -> None:
        with self._lock:
            self._silent_in_a_row = 0

    def note_silence(self) -> None:
        with self._lock:
            self._silent_in_a_row += 1
            self._is_over = self._is_over or self._silent_in_a_row >= SILENT_IN_A_ROW

    def end(self) -> None:
        self._is_over = True


def next_check(now: datetime, *, every: timedelta, chance: float) -> datetime:
    """When to ask again; `chance` is from 0 to 1."""
    return now + every * (EARLIEST + (LATEST - EARLIEST) * chance)


def _because(error: EntradaError) -> str:
    if isinstance(error, EntraRefused):
        return f"AADSTS{error.aadsts}" if error.aadsts else error.error
    if isinstance(error, EntraUnavailable):
        return f"{error.code}: {error.reason}"
    return error.code


def _check(error: EntradaError) -> str | None:
    return error.check if isinstance(error, TokenRefused) else None


def _seal(
    remembered: RememberedSignIn, refresh_token: RawRefreshToken, confirmed_at: datetime, sealer: Sealer
) -> str:
    auth_time = None if remembered.auth_time is None else remembered.auth_time.isoformat()
    refreshable = {
        **asdict(remembered),
        "auth_time": auth_time,
        "refresh_token": refresh_token,
        "confirmed_at": confirmed_at.isoformat(),
    }
    identity = EntraIdentity(tenant_id=remembered.tenant_id, object_id=remembered.object_id)
    return sealer.seal(json.dumps(refreshable, separators=(",", ":")).encode(), context=_context(identity))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _context(identity: EntraIdentity) -> str:
    return f"{identity.tenant_id}/{identity.object_id}"
