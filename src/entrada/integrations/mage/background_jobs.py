"""The background look at everyone who signed in, in a thread of Mage's server.

Once, as soon as Mage has started: what an owner should know, such as a default password.
Then, for as long as the server runs: everyone who is due, and the watch of directories where settings ask for
it, in a thread of its own. A failure is logged and ends nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from entrada.errors import Unavailable
from entrada.flows.background_loop import BackgroundLoop
from entrada.flows.background_watch import BackgroundWatch
from entrada.flows.recheck import Recheck
from entrada.integrations.kit.links import Link
from entrada.integrations.mage.store import MageStore

PATIENCE = timedelta(seconds=30)

log = logging.getLogger("entrada.mage")


class BackgroundJobs:
    """`start` when Mage has started its other processes; it goes on to the end of this one."""

    def __init__(
        self,
        recheck: Recheck[Link],
        store: MageStore,
        *,
        every: timedelta,
        watch: BackgroundWatch[Link] | None = None,
        first_look: Callable[[], Sequence[str]],
    ) -> None:
        self._recheck, self._store = recheck, store
        self._first_look, self._watch = first_look, watch
        self._has_warned = False
        self._loop = BackgroundLoop(
            name="entrada-jobs",
            work=self._look,
            every=every,
            patience=PATIENCE,
            postponed="The background look has to wait",
            doing="the background look",
            log=log,
        )

    def start(self) -> None:
        """Does nothing where it runs already; cheap enough for every request."""
        self._loop.start()
        if self._watch is not None:
            self._watch.start()

    def _look(self) -> None:
        if not self._has_warned:
            self._warn()
        self._store.forget_expired()
        self._recheck.run()

    def _warn(self) -> None:
        """Waits quietly for Mage's own tables, which its scheduler may still be making."""
        try:
            for sentence in self._first_look():
                log.warning("%s", sentence)
        except Unavailable as failure:
            log.debug("What owners should know has to wait: %s", failure.sentence)
        except Exception:
            log.exception("A mistake of Entrada's, in what owners should know")
        else:
            self._has_warned = True
