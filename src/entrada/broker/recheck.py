"""Asks Entra again about people whose installations do not: a leaver is out everywhere, whoever refreshes.

    look           one run over every grant that is due
    recheck_loop   one thread, as long as the broker runs

An installation that refreshes has its person asked about then; that moves the next look on. A grant that no
installation has opened or refreshed for as long as a session lasts is left alone: its sessions are over.
What ends somebody's access ends it at every installation. A refusal about the broker itself, an outage, a
request to come back later: nobody's access ends for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import timedelta

from entrada.audit.acts import ENTRA, Cause
from entrada.broker.grants import Grant
from entrada.broker.provider import Provider
from entrada.errors import ConfigurationError, EntraUnavailable, SignInError, StoreUnavailable
from entrada.events import Event, record
from entrada.flows.background_loop import BackgroundLoop
from entrada.flows.identification import ends_access
from entrada.flows.recheck_pace import AT_A_TIME, Pace, RecheckRun, pause_between_runs

PATIENCE = timedelta(seconds=30)

log = logging.getLogger("entrada.broker")


class GrantRecheck:
    """`seen_within` is how long after its last sign of life a grant is asked about."""

    def __init__(self, provider: Provider, *, seen_within: timedelta, pace: Pace | None = None) -> None:
        self.provider = provider
        self._seen_within = seen_within
        self._pace = pace or Pace()

    def look(self, *, is_over: Callable[[], bool] = lambda: False) -> int:
        """Asks about every grant that is due; how many that were.

        Ends early where nothing answers, where Entra asks for a pause, and once `is_over`.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        if self._pace.is_quiet:
            return 0
        first = self._claim()
        if first is None:
            return 0
        run = RecheckRun(is_over, monotonic=self._pace.monotonic, every=self.provider.recheck_every)
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="entrada-broker-recheck") as threads:
            workers = [
                threads.submit(self._ask_about_all, run, first if number == 0 else None)
                for number in range(AT_A_TIME)
            ]
        for worker in workers:
            worker.result()
        return run.looked_at

    def _ask_about_all(self, run: RecheckRun, grant: Grant | None) -> None:
        try:
            while not run.is_over:
                grant = grant or self._claim()
                if grant is None:
                    return
                self._pace.wait()
                run.note_look()
                self._ask_about(grant, run)
                grant = None
        except StoreUnavailable:
            run.end()
            raise

    def _claim(self) -> Grant | None:
        now = self.provider.now()
        return self.provider.store.claim_grant_to_check(
            now=now, seen_since=now - self._seen_within, next_check_at=self.provider.next_check()
        )

    def _ask_about(self, grant: Grant, run: RecheckRun) -> None:
        if self.provider.installation(grant.client_id) is None:
            return  # shut out: it can refresh nothing, and another broker may know it already
        try:
            renewed = self.provider.refresh_person(grant)
            self.provider.store.renew_grant(replace(renewed, next_check_at=self.provider.next_check()))
        except SignInError as error:
            run.note_answer()
            if ends_access(error):
                self._end(grant, error)
            else:
                _note(grant, error.code)
        except EntraUnavailable as error:
            _note(grant, f"{error.code}: {error.reason}")
            if error.answered:
                run.note_answer()
            elif error.retry_after_seconds is not None:
                self._pace.be_quiet_for(error.retry_after_seconds)
                run.end()
            else:
                run.note_silence()
        except ConfigurationError as error:
            _note(grant, error.code)  # the same for everybody
            run.end()
        except StoreUnavailable:
            raise
        except Exception:
            # A mistake of ours about one person must not keep us from asking about all others.
            log.exception("A mistake of Entrada's, in the look at one person")
        else:
            run.note_answer()

    def _end(self, grant: Grant, error: SignInError) -> None:
        identity = grant.person.identity
        ended = self.provider.store.end_grants(
            now=self.provider.now(), identity=identity, cause=Cause(actor=ENTRA, reason=error.code)
        )
        if ended:
            record(Event.ACCESS_ENDED, reason=error.code, count=len(ended), **asdict(identity))


def recheck_loop(recheck: GrantRecheck) -> BackgroundLoop:
    """One look after the other; closing waits for the questions under way."""

    def look() -> None:
        recheck.look(is_over=loop.is_closing)

    loop = BackgroundLoop(
        name="entrada-broker-recheck",
        work=look,
        every=pause_between_runs(recheck.provider.recheck_every),
        patience=PATIENCE,
        postponed="People are looked at again later",
        doing="the look at people at installations",
        log=log,
    )
    return loop


def _note(grant: Grant, reason: str) -> None:
    record(Event.RECHECK_FAILED, reason=reason, client_id=grant.client_id, **asdict(grant.person.identity))
