"""The walk that nobody waits for: Entra is asked again, in the background, about everyone who signed in.

One look: claim who is due → refresh their sign-in → still welcome: roles brought up to date, the newer
refresh token stored; or over: access ended until the next sign-in; or neither: looked at again later.
Without this, a long-lived session outlasts the person's account.

Neither is not for ever: whoever was not confirmed for `longest_unconfirmed`, though Entra answered, is out.
Only where nothing answers at all does access stay, and the run ends until the next one.
A few people at a time, at a stated rate (`recheck_pace`); a run ends where Entra or Graph says to come back
later.

Source: Microsoft, "Refresh tokens in the Microsoft identity platform"; OpenID Connect Core 1.0, section 12.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from entrada import jitter
from entrada.accounts.admission import AdmissionPolicy, Newcomer, check_still_welcome
from entrada.accounts.identity import EntraIdentity, RoleGrant, User, UserId
from entrada.accounts.roles import RolesSync
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
from entrada.flows.recheck_pace import AT_A_TIME, Pace, RecheckRun, next_check
from entrada.flows.refreshable_sign_in import RefreshableSignIn, seal_again, unseal_sign_in
from entrada.sealing import Sealer

LONGEST_UNCONFIRMED = timedelta(days=1)
_log = logging.getLogger("entrada")


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
    chance: Callable[[], float] = jitter.chance

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


def _because(error: EntradaError) -> str:
    if isinstance(error, EntraRefused):
        return f"AADSTS{error.aadsts}" if error.aadsts else error.error
    if isinstance(error, EntraUnavailable):
        return f"{error.code}: {error.reason}"
    return error.code


def _check(error: EntradaError) -> str | None:
    return error.check if isinstance(error, TokenRefused) else None
