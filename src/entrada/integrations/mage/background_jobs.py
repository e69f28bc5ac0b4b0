"""The background look at everyone who signed in, in a thread of Mage's server.

Once, as soon as Mage has started: what an owner should know, such as a default password.
Then, for as long as the server runs: everyone who is due, and the watch of directories where settings ask for
it, in a thread of its own. A failure is logged and ends nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from entrada.errors import Unavailable
from entrada.flows.background_watch import BackgroundWatch
from entrada.flows.recheck import Recheck
from entrada.integrations.kit.links import Link
from entrada.integrations.mage.store import MageStore

log = logging.getLogger("entrada.mage")


class BackgroundJobs:
    """`start` once; `stop` ends it, and waits for the look under way."""

    def __init__(
        self,
        recheck: Recheck[Link],
        store: MageStore,
        *,
        every: timedelta,
        watch: BackgroundWatch[Link] | None = None,
        first_look: Callable[[], Sequence[str]],
    ) -> None:
        self._recheck, self._store, self._every = recheck, store, every
        self._first_look, self._watch = first_look, watch
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="entrada-jobs", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own. Called once."""
        self._thread.start()
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        """End, and wait for the work under way."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.close()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        warned = False
        while not self._stopping.wait(self._every.total_seconds()):
            warned = warned or self._carefully(self._warn, level=logging.DEBUG)
            self._carefully(self._look)

    def _warn(self) -> None:
        """Waits quietly for Mage's own tables, which its scheduler may still be making."""
        for sentence in self._first_look():
            log.warning("%s", sentence)

    def _look(self) -> None:
        self._store.forget_expired()
        self._recheck.run()

    def _carefully(self, work: Callable[[], None], *, level: int = logging.WARNING) -> bool:
        try:
            work()
        except Unavailable as failure:
            log.log(level, "The background look has to wait: %s", failure.sentence)
        except Exception:
            log.exception("The background look failed; it goes on.")
        else:
            return True
        return False
