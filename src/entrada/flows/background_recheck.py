"""The re-check of a server's or an application's own people: one thread, from the first person to the end.

    remember  at a sign-in: what it takes to ask Entra again, sealed, before the session opens
    start     now, or with the first person who comes; after a fork, again in the child
    close     no further look begins; waits for those under way

Every server runs it; each person is looked at by one of them. A look begins before the interval is over.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock, Thread

from entrada.accounts.identity import UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn, SealedSignIns
from entrada.errors import Unavailable
from entrada.flows.identification import Identified
from entrada.flows.recheck import Recheck
from entrada.flows.recheck_pace import next_check
from entrada.flows.refreshable_sign_in import seal_sign_in
from entrada.flows.session_check import SessionCheck

LONGEST_PAUSE = timedelta(seconds=15)
SHORTEST_PAUSE = timedelta(milliseconds=200)
PAUSES_IN_AN_INTERVAL = 60
"""So that the pause fits into what `next_check` leaves of the interval."""
PATIENCE_SECONDS = 15.0
"""How long `close` waits for a look under way; longer than Entra is waited for."""

log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class BackgroundRecheck:
    recheck: Recheck[SealedSignIn]
    sealed_sign_ins: SealedSignIns
    session_check: SessionCheck
    _closing: Event = field(default_factory=Event, repr=False)
    _starting: Lock = field(default_factory=Lock, repr=False)
    _thread: Thread | None = field(default=None, repr=False)

    @property
    def pause(self) -> timedelta:
        return max(SHORTEST_PAUSE, min(self.recheck.every / PAUSES_IN_AN_INTERVAL, LONGEST_PAUSE))

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def remember(self, user_id: UserId, identified: Identified) -> None:
        """Keep what asking Entra again takes. Whatever was found out before about this person is over.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        now = self.recheck.identification.clock.now()
        self.sealed_sign_ins.remember(
            identified.newcomer.identity,
            user_id=user_id,
            sealed_sign_in=seal_sign_in(identified, self.recheck.sealer),
            now=now,
            next_check_at=next_check(now, every=self.recheck.every, chance=self.recheck.chance()),
        )

    def start(self) -> None:
        """Does nothing where it runs already; cheap enough for every request."""
        if self.is_running:
            return
        with self._starting:
            if self._closing.is_set() or self.is_running:
                return
            self._thread = Thread(target=self._run, name="entrada-recheck", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout=PATIENCE_SECONDS)

    def look(self) -> int:
        """One run over everyone who is due; how many that were. This process knows at once what ended."""
        looked_at = self.recheck.run(is_over=self._closing.is_set)
        if looked_at:
            self.session_check.distrust()
        return looked_at

    def _run(self) -> None:
        while not self._closing.wait(self.pause.total_seconds()):
            try:
                self.look()
            except Unavailable as failure:
                log.warning("People are looked at again later: %s", failure.sentence)
            except Exception:
                log.exception("A mistake of Entrada's, in the look at who is signed in")
