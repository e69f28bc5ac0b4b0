"""Roles that were given until a moment, taken back when it has come: one thread in every server.

    start   now, or with the first person who comes; after a fork, again in the child
    close   no further look begins

A request never counts a role beyond its end, with or without this: the store does not give it out, and what a
process remembers of a person is not trusted for longer. What this adds is the entry in the log of what ended,
by which open connections and other servers learn of it, within `ENDED_WITHIN`, and that in the audit trail.

Every server looks; a look that finds nothing reads one index. Two that find the same take it back once, so no
lease decides whose work it is, and no server has to be replaced first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock, Thread

from entrada.accounts.store import AccountStore
from entrada.errors import Unavailable
from entrada.flows.session_check import REVOCATION_CHECK_SECONDS, SessionCheck

EVERY = timedelta(seconds=5)
ENDED_WITHIN = EVERY + timedelta(seconds=REVOCATION_CHECK_SECONDS)
"""After the end, by any server's clock, whatever the role let in is over everywhere."""

log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class RoleEndings:
    accounts: AccountStore
    session_check: SessionCheck
    _closing: Event = field(default_factory=Event, repr=False)
    _starting: Lock = field(default_factory=Lock, repr=False)
    _thread: Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        """Does nothing where it runs already; cheap enough for every request."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._closing.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = Thread(target=self._run, name="entrada-role-endings", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout=EVERY.total_seconds())

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

    def _run(self) -> None:
        while not self._closing.wait(EVERY.total_seconds()):
            try:
                self.look()
            except Unavailable as failure:
                log.warning("Roles that have ended are taken back later: %s", failure.sentence)
            except Exception:
                log.exception("A mistake of Entrada's, in taking back roles that have ended")
