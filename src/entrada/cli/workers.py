"""Several processes at one listening socket, and the one above them, which serves nobody.

    Workers(count=2, work=work, ...).run()      forks them and supervises them until SIGTERM or SIGINT

The socket is opened before the fork, so all accept from one queue and nothing of it is lost when one of them
dies. One that ends is replaced: at once if it had lived for a while, after a pause if it had not. One that
hangs, which is silent after it had begun to say that it is alive, is killed. SIGTERM and SIGINT reach all of
them, who finish what is under way; what is not done in time is killed. Should the process above die, each
learns it from the end of its pipe, and ends alike: no child remains.

SIGHUP is read here, once, and what it brought is sent to all as text, so that all have the same rules; a
replacement begins with the rules of the moment.

docs/adr/0031 says why this is not uvicorn's supervisor.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import NoReturn

FINISH_SECONDS = 25.0
"""How long processes may finish what is under way: longer than the server's own patience."""
SHORT_LIFE_SECONDS = 5.0
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Before a replacement, by how many have died young in a row."""

log = logging.getLogger("entrada")

HUNG_SECONDS = 30.0
LOOK_EVERY_SECONDS = 5.0
"""How long a process may be silent, and how often that is looked at."""

_Moment = struct.Struct("d")

Work = Callable[[int, Iterator[bytes], Callable[[], None]], None]
"""What each process does. It is given its place, which its replacement will have after it; the messages from
above, which end when it shall end; and what it calls every second to say that it is alive."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(kw_only=True)
class _Worker:
    place: int
    pid: int
    sending: Connection
    born: float


@dataclass(kw_only=True)
class Workers:
    """`on_gone` is told the place of each process that ended, `on_hangup` makes of SIGHUP what all are sent.

    `hangups` already notes SIGHUP.
    """

    count: int
    work: Work
    on_hangup: Callable[[], bytes]
    on_gone: Callable[[int], None]
    hangups: SimpleQueue[int]
    _workers: list[_Worker] = field(default_factory=list, repr=False)
    _died_young: int = 0
    _due: dict[int, float] = field(default_factory=dict, repr=False)
    """By place: when the process that is missing there is to be replaced."""
    _heard: mmap.mmap = field(init=False, repr=False)
    """Shared: by place, when its process was heard of last; 0: not yet."""

    def __post_init__(self) -> None:
        self._heard = mmap.mmap(-1, _Moment.size * self.count)

    def run(self) -> int:
        """Until a signal; the exit status."""
        signals = self.hangups  # one queue for all that comes
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda number, _: signals.put(number))
        try:
            for place in range(self.count):
                self._fork(place)
            while True:
                came = self._next(signals)
                if came in _SIGNALS:
                    return self._end(signals, came)
                if came == signal.SIGHUP:
                    self._tell(self.on_hangup())
                self._kill_hung()
                self._reap()
                self._replace()
        finally:
            self._kill()

    def _next(self, signals: SimpleQueue[int]) -> int | None:
        next_due = min(self._due.values(), default=math.inf) - time.monotonic()
        try:
            return signals.get(timeout=max(0.0, min(next_due, LOOK_EVERY_SECONDS)))
        except Empty:
            return None

    def _fork(self, place: int) -> None:
        receiving, sending = Pipe(duplex=False)
        self._hear(place, 0.0)
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that reaches the child before its own handlers stand would be noted in the parent's queue.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {*_SIGNALS, signal.SIGHUP})
        pid = os.fork()
        if pid == 0:
            self._be_a_worker(place, receiving, sending, blocked)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        receiving.close()
        self._workers.append(_Worker(place=place, pid=pid, sending=sending, born=time.monotonic()))

    def _be_a_worker(
        self, place: int, receiving: Connection, sending: Connection, blocked: Iterable[int]
    ) -> NoReturn:
        """Never returns: what stands above on the stack belongs to the parent."""
        status = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for number in _SIGNALS:
                signal.signal(number, _leave)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            # While a copy of its other end is open, a pipe does not end.
            for each in (sending, *(worker.sending for worker in self._workers)):
                each.close()
            self.work(place, _messages(receiving), lambda: self._hear(place, time.monotonic()))
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _hear(self, place: int, moment: float) -> None:
        _Moment.pack_into(self._heard, place * _Moment.size, moment)

    def _kill_hung(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            (heard,) = _Moment.unpack_from(self._heard, worker.place * _Moment.size)
            if heard and now - heard > HUNG_SECONDS:
                log.error("Worker %d does not answer any more.", worker.pid)
                self._hear(worker.place, 0.0)
                os.kill(worker.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for worker in list(self._workers):
            status = _ended(worker.pid)
            if status is None:
                continue
            self._forget(worker)
            is_young = time.monotonic() - worker.born < SHORT_LIFE_SECONDS
            self._died_young = self._died_young + 1 if is_young else 0
            pause = PAUSES[min(self._died_young, len(PAUSES)) - 1] if is_young else 0.0
            self._due[worker.place] = time.monotonic() + pause
            log.error("Worker %d ended (%s); another takes its place.", worker.pid, _told(status))

    def _replace(self) -> None:
        now = time.monotonic()
        for place, moment in list(self._due.items()):
            if moment <= now:
                del self._due[place]
                self._fork(place)

    def _forget(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.sending.close()
        self.on_gone(worker.place)

    def _tell(self, message: bytes) -> None:
        for worker in self._workers:
            try:
                worker.sending.send_bytes(message)
            except OSError:
                continue  # it has just died; its successor knows

    def _end(self, signals: SimpleQueue[int], number: int | None) -> int:
        """Everybody finishes; a second SIGINT is impatience."""
        for worker in self._workers:
            os.kill(worker.pid, signal.SIGTERM)
            worker.sending.close()  # the same once more, should the signal come at a bad moment
        deadline = time.monotonic() + FINISH_SECONDS
        while self._workers:
            try:
                again = signals.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                log.error("%d workers did not finish in time.", len(self._workers))
                break
            if again == signal.SIGINT and number == signal.SIGINT:
                break
            for worker in list(self._workers):
                if _ended(worker.pid) is not None:
                    self._forget(worker)
        return 0 if number == signal.SIGTERM else 130

    def _kill(self) -> None:
        for worker in self._workers:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)


def _messages(receiving: Connection) -> Iterator[bytes]:
    while True:
        try:
            yield receiving.recv_bytes()
        except (EOFError, OSError):
            return


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _ended(pid: int) -> int | None:
    """The status of a process of ours that has ended."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _told(status: int) -> str:
    return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
