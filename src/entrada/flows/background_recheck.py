"""The re-check of a server's or an application's own people: one thread, from the first person to the end.

    remember  at a sign-in: what it takes to ask Entra again, sealed, before the session opens
    look      one run over everyone who is due; `loop` makes one after the other

Every server runs it; each person is looked at by one of them. A look begins before the interval is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from entrada.accounts.identity import UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn, SealedSignIns
from entrada.flows.background_loop import BackgroundLoop
from entrada.flows.identification import Identified
from entrada.flows.recheck import Recheck
from entrada.flows.recheck_pace import next_check, pause_between_runs
from entrada.flows.refreshable_sign_in import seal_sign_in
from entrada.flows.session_check import SessionCheck

PATIENCE = timedelta(seconds=15)
"""How long closing waits for a look under way; longer than Entra is waited for."""


@dataclass(kw_only=True)
class BackgroundRecheck:
    recheck: Recheck[SealedSignIn]
    sealed_sign_ins: SealedSignIns
    session_check: SessionCheck
    loop: BackgroundLoop = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.loop = BackgroundLoop(
            name="entrada-recheck",
            work=self.look,
            every=pause_between_runs(self.recheck.every),
            patience=PATIENCE,
            postponed="People are looked at again later",
            doing="the look at who is signed in",
        )

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

    def look(self) -> int:
        """One run over everyone who is due; how many that were. This process knows at once what ended."""
        looked_at = self.recheck.run(is_over=self.loop.is_closing)
        if looked_at:
            self.session_check.distrust()
        return looked_at
