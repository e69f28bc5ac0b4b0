"""Roles that were given until a moment, taken back when it has come: one thread in every server.

A request never counts a role beyond its end, with or without this: the store does not give it out, and what a
process remembers of a person is not trusted for longer. What this adds is the entry in the log of what ended,
by which open connections and other servers learn of it, within `ENDED_WITHIN`, and that in the audit trail.

Every server looks; a look that finds nothing reads one index. Two that find the same take it back once, so no
lease decides whose work it is, and no server has to be replaced first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from entrada.accounts.store import AccountStore
from entrada.flows.background_loop import BackgroundLoop
from entrada.flows.session_check import REVOCATION_CHECK_SECONDS, SessionCheck

EVERY = timedelta(seconds=5)
ENDED_WITHIN = EVERY + timedelta(seconds=REVOCATION_CHECK_SECONDS)
"""After the end, by any server's clock, whatever the role let in is over everywhere."""


@dataclass(kw_only=True)
class RoleEndings:
    accounts: AccountStore
    session_check: SessionCheck
    loop: BackgroundLoop = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.loop = BackgroundLoop(
            name="entrada-role-endings",
            work=self.look,
            every=EVERY,
            patience=EVERY,
            postponed="Roles that have ended are taken back later",
            doing="taking back roles that have ended",
        )

    def look(self) -> int:
        """Takes back what has ended; how many roles that were.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        ended, now = 0, self.session_check.clock.now()
        while once := self.accounts.end_grants(now=now):  # some hundred at most at a time
            ended += once
        if ended:
            self.session_check.distrust()
        return ended
