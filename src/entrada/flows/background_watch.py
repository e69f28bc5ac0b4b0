"""The watch of directories of one server: one thread, from the first person who comes to the end.

Whoever a look has hastened is re-checked at once, in a thread of its own: the next look need not wait.
Every server runs it; each tenant is watched by one of them (see `DirectoryWatch`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Generic

from entrada.errors import Unavailable
from entrada.flows.directory_watch import DirectoryWatch
from entrada.flows.recheck import Due, Recheck

PATIENCE_SECONDS = 15.0
"""How long `close` waits for a look under way."""

log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class BackgroundWatch(Generic[Due]):
    """`ended` is called after a look or a re-check that may have ended something."""

    watch: DirectoryWatch[Due]
    recheck: Recheck[Due]
    ended: Callable[[], None] = lambda: None
    _closing: Event = field(default_factory=Event, init=False, repr=False)
    _starting: Lock = field(default_factory=Lock, init=False, repr=False)
    _looking: Lock = field(default_factory=Lock, init=False, repr=False)
    _thread: Thread | None = field(default=None, init=False, repr=False)
    _is_out: bool = field(default=False, init=False, repr=False)
    _hastened: Event = field(default_factory=Event, init=False, repr=False)
    _rechecking: Thread | None = field(default=None, init=False, repr=False)

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Does nothing where it runs already; cheap enough for every request."""
        if self.is_running:
            return
        with self._starting:
            if self._closing.is_set() or self.is_running:
                return
            self._looking = Lock()  # a fork may have left it held in the child
            self._thread = Thread(target=self._run, name="entrada-directory-watch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        for thread in (self._thread, self._rechecking):
            if thread is not None and thread.is_alive():
                thread.join(timeout=PATIENCE_SECONDS)
        with suppress(Unavailable):
            self.watch.release()

    def look(self) -> None:
        """One look at every tenant, and what follows from it."""
        with self._looking:
            looked = self.watch.look(is_over=self._closing.is_set)
        if looked.ended:
            self.ended()
        if looked.hastened:
            self._hastened.set()
        if self._hastened.is_set() and (self._rechecking is None or not self._rechecking.is_alive()):
            self._rechecking = Thread(target=self._recheck, name="entrada-hastened-recheck", daemon=True)
            self._rechecking.start()

    def _recheck(self) -> None:
        def work() -> None:
            if self.recheck.run(is_over=self._closing.is_set):
                self.ended()

        while self._hastened.is_set() and not self._closing.is_set():
            self._hastened.clear()
            self._carefully(work)

    def _run(self) -> None:
        self._carefully(self.look)
        while not self._closing.wait(self.watch.every.total_seconds()):
            self._carefully(self.look)

    def _carefully(self, work: Callable[[], None]) -> None:
        """An outage of the database is said once, not at every look."""
        try:
            work()
        except Unavailable as failure:
            if not self._is_out:
                log.warning("Who left is looked for again later: %s", failure.sentence)
            self._is_out = True
        except Exception:
            log.exception("A mistake of Entrada's, in the look for who left")
        else:
            self._is_out = False
