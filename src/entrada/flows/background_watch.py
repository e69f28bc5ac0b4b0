"""The watch of directories of one server: one thread, from the first person who comes to the end.

Whoever a look has hastened is re-checked at once, in a thread of its own: the next look need not wait.
Every server runs it; each tenant is watched by one of them (see `DirectoryWatch`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock, Thread
from typing import Generic

from entrada.errors import Unavailable
from entrada.flows.background_loop import BackgroundLoop
from entrada.flows.directory_watch import DirectoryWatch
from entrada.flows.recheck import Due, Recheck

PATIENCE = timedelta(seconds=15)
"""How long `close` waits for a look under way."""


@dataclass(kw_only=True)
class BackgroundWatch(Generic[Due]):
    """`ended` is called after a look or a re-check that may have ended something."""

    watch: DirectoryWatch[Due]
    recheck: Recheck[Due]
    ended: Callable[[], None] = lambda: None
    loop: BackgroundLoop = field(init=False, repr=False)
    _looking: Lock = field(default_factory=Lock, init=False, repr=False)
    _hastened: Event = field(default_factory=Event, init=False, repr=False)
    _rechecking: Thread | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.loop = BackgroundLoop(
            name="entrada-directory-watch",
            work=self.look,
            every=self.watch.every,
            patience=PATIENCE,
            postponed="Who left is looked for again later",
            doing="the look for who left",
            at_once=True,
        )

    def start(self) -> None:
        """As the loop's."""
        if not self.loop.is_running:
            self._looking = Lock()  # a fork may have left it held in the child
            self.loop.start()

    def close(self) -> None:
        self.loop.close()
        if self._rechecking is not None and self._rechecking.is_alive():
            self._rechecking.join(timeout=PATIENCE.total_seconds())
        with suppress(Unavailable):
            self.watch.release()

    def look(self) -> None:
        """One look at every tenant, and what follows from it."""
        with self._looking:
            looked = self.watch.look(is_over=self.loop.is_closing)
        if looked.ended:
            self.ended()
        if looked.hastened:
            self._hastened.set()
        if self._hastened.is_set() and (self._rechecking is None or not self._rechecking.is_alive()):
            self._rechecking = Thread(target=self._recheck, name="entrada-hastened-recheck", daemon=True)
            self._rechecking.start()

    def _recheck(self) -> None:
        def work() -> None:
            if self.recheck.run(is_over=self.loop.is_closing):
                self.ended()

        while self._hastened.is_set() and not self.loop.is_closing():
            self._hastened.clear()
            self.loop.attempt(work)
