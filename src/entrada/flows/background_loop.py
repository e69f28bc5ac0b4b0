"""One thread that does the same work at intervals, from its start to the end of its owner or of the process.

    start   does nothing where it runs already; cheap enough for every request; in a forked child, begins anew
    close   no further round begins; waits for the one under way

A round that fails ends nothing: the next one comes as always. An outage is said in the log at once, and once
a minute while it lasts; a mistake of Entrada's with its traceback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock, Thread

from entrada.errors import Unavailable
from entrada.forks import starts_over_in_children

SAID_AGAIN_AFTER_SECONDS = 60.0


@dataclass(eq=False, kw_only=True)
class BackgroundLoop:
    """`work` is done `every` so often, the first time after that pause or `at_once`.

    `postponed` is the log's sentence about an outage, before its reason; `doing` says what a mistake was in.
    `patience` is how long `close` waits.
    """

    name: str
    work: Callable[[], object]
    every: timedelta
    patience: timedelta
    postponed: str
    doing: str
    at_once: bool = False
    monotonic: Callable[[], float] = time.monotonic
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("entrada"), repr=False)
    _closing: Event = field(default_factory=Event, init=False, repr=False)
    _starting: Lock = field(default_factory=Lock, init=False, repr=False)
    _thread: Thread | None = field(default=None, init=False, repr=False)
    _silent_until: float = field(default=float("-inf"), init=False, repr=False)

    def __post_init__(self) -> None:
        starts_over_in_children(self)

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def is_closing(self) -> bool:
        """For work that takes long: whether it should come to an end."""
        return self._closing.is_set()

    def start(self) -> None:
        if self.is_running:
            return
        with self._starting:
            if self.is_closing() or self.is_running:
                return
            self._thread = Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout=self.patience.total_seconds())

    def attempt(self, work: Callable[[], object]) -> None:
        """Do it once, in the caller's thread; what fails is said as a round's failure is."""
        try:
            work()
        except Unavailable as failure:
            now = self.monotonic()
            if now >= self._silent_until:
                self._silent_until = now + SAID_AGAIN_AFTER_SECONDS
                self.log.warning("%s: %s", self.postponed, failure.sentence)
        except Exception:
            self.log.exception("A mistake of Entrada's, in %s", self.doing)
        else:
            self._silent_until = float("-inf")

    def _run(self) -> None:
        if self.at_once:
            self.attempt(self.work)
        while not self._closing.wait(self.every.total_seconds()):
            self.attempt(self.work)

    def start_over_in_child(self) -> None:
        # A thread of the parent may have held the locks; here that thread does not exist.
        was_closing, self._closing, self._starting, self._thread = self._closing, Event(), Lock(), None
        if was_closing.is_set():
            self._closing.set()
