"""Refusals, entered beside the walks: a refusal changes nothing, and no page waits for the trail.

    enter(act)      soon, by a thread of its own; never raises, never waits
    settle()        what waits is entered; at a clean stop, and in tests

A stranger cannot fill the disk: in a minute this process enters at most `ANYBODYS` of those about whom
nothing is verified, and of people whom Entra vouched for `ONE_PERSONS` each and `PEOPLES` together. What
exceeds that, and what could not be written, is one entry that says how many.
A process that is killed loses the refusals of its last moment; nothing else hangs on them.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from datetime import timedelta
from threading import Condition, Thread

from entrada.audit.acts import Act, Action
from entrada.audit.trail import AuditTrail
from entrada.clock import Clock
from entrada.errors import StoreUnavailable

WINDOW = timedelta(minutes=1)
ANYBODYS, ONE_PERSONS, PEOPLES = 30, 5, 60
PATIENCE_SECONDS = 10.0

log = logging.getLogger("entrada")


class Refusals:
    def __init__(self, trail: AuditTrail, clock: Clock) -> None:
        self._trail, self._clock = trail, clock
        self._changed = Condition()
        self._waiting: deque[Act] = deque()
        self._omitted = 0
        self._entered: Counter[str] = Counter()
        self._window_ends = float("-inf")
        self._is_writing, self._is_closing = False, False
        self._thread: Thread | None = None

    def enter(self, act: Act) -> None:
        """Have this refusal entered, or counted."""
        with self._changed:
            self._turn_window()
            if self._is_closing or not self._fits(act.subject.object_id):
                self._omitted += 1
                return
            self._waiting.append(act)
            self._changed.notify_all()
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._run, name="entrada-refusals", daemon=True)
                self._thread.start()

    def settle(self) -> None:
        """Returns when nothing waits to be written any more, after some seconds at the latest."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._is_writing), timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        """Enter what waits, and what was only counted; nothing is taken any more."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self.settle()
        with self._changed:
            omitted, self._omitted = self._omitted, 0
        if omitted:
            self._write([self._more(omitted)])

    def _fits(self, object_id: str | None) -> bool:
        entered = self._entered
        if object_id is None:
            fits = entered[""] < ANYBODYS
            entered[""] += fits
            return fits
        fits = entered[object_id] < ONE_PERSONS and entered["people"] < PEOPLES
        entered[object_id] += fits
        entered["people"] += fits
        return fits

    def _turn_window(self) -> None:
        """A new minute has room again; of the last one it is said how many were left out."""
        now = self._clock.monotonic()
        if now < self._window_ends:
            return
        self._window_ends = now + WINDOW.total_seconds()
        self._entered.clear()
        if self._omitted:
            self._waiting.append(self._more(self._omitted))
            self._omitted = 0

    def _more(self, count: int) -> Act:
        return Act(action=Action.REFUSALS_OMITTED, details={"count": count})

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                batch, self._is_writing = [*self._waiting], True
                self._waiting.clear()
                is_over = self._is_closing
            try:
                self._write(batch)
            finally:
                with self._changed:
                    self._is_writing = False
                    self._changed.notify_all()
            if is_over:
                return

    def _write(self, batch: list[Act]) -> None:
        if not batch:
            return
        try:
            self._trail.record(*batch)
        except StoreUnavailable as failure:
            log.error("%d refusals are not in the audit trail: %s", len(batch), failure.sentence)
            with self._changed:
                self._omitted += sum(
                    int(act.details.get("count") or 0) if act.action is Action.REFUSALS_OMITTED else 1
                    for act in batch
                )
        except Exception:
            log.exception("A mistake of Entrada's, in entering refusals")
