"""The process between us and the application: whatever the application starts ends with it, however we end.

    this process ── pipe ── supervisor ── application ── what it starts

It is forked before there are threads, and serves nobody. It starts the application in a session of its own,
passes signals on to all of it, and ends all of it when the application ends, when it is asked to, and when
the pipe says that this process is gone (kill -9 included). Asked to end, the application has
`PATIENCE_SECONDS` for the signal it got, as many for SIGTERM, and is then killed.

On Linux it adopts what the application has put into the background (PR_SET_CHILD_SUBREAPER), so that a double
fork is no way out, and the application is killed should the supervisor be (PR_SET_PDEATHSIG). Elsewhere what
has left the application's process group remains.

Source: prctl(2), credentials(7).
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
from typing import Any, NoReturn

from entrada.cli.running.listening import descendants

PATIENCE_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.1
_PASSED_ON = tuple(
    number for name in ("SIGTERM", "SIGINT", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_START, _SIGNAL = "start", "signal"
_STARTED, _FAILED, _ENDED = "started", "failed", "ended"


class NotStarted(Exception):
    """The system could not start the command; `error` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(kw_only=True)
class Application:
    """The started application. `code` is its exit status, negative for a signal; None while it runs.

    `is_lost`: the supervisor went first, and the application was killed.
    """

    pid: int
    code: int | None = None
    is_lost: bool = False
    _sending: Connection = field(repr=False)
    _ended: Event = field(default_factory=Event, repr=False)

    def signal(self, number: int) -> None:
        """From a signal's handler, too: passed on to all of it; it is to end, and is made to in time."""
        with suppress(OSError):
            self._sending.send((_SIGNAL, int(number)))

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Until it has ended, which the answer says."""
        return self._ended.wait(seconds)

    @property
    def status(self) -> int:
        """The exit status as a shell has it: 128 and the number for a signal."""
        code = 1 if self.code is None else self.code
        return code if code >= 0 else 128 - code


@dataclass(kw_only=True)
class Supervisor:
    """`with begun() as supervisor:`; at the end of the block nothing of the application is left."""

    pid: int
    _pipe: Connection = field(repr=False)
    _application: Application | None = None

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        # While a thread waits at the pipe, closing it is seen by nobody.
        if self._application is not None:
            if not self._application.has_ended:
                self._application.signal(signal.SIGTERM)
            self._application.wait()
        self._pipe.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], *, folder: Path | None = None
    ) -> Application:
        """Once. `folder` is removed when the application has ended.

        Raises:
            NotStarted: there is no such command, or it may not be run.
        """
        self._pipe.send((_START, list(words), dict(environment), folder))
        try:
            what, value = self._pipe.recv()
        except (EOFError, OSError):
            what, value = _FAILED, OSError("the supervising process is gone")
        if what == _FAILED:
            raise NotStarted(value)
        application = self._application = Application(pid=value, _sending=self._pipe)
        Thread(target=self._follow, args=(application,), name="entrada-application", daemon=True).start()
        return application

    def _follow(self, application: Application) -> None:
        try:
            _, application.code = self._pipe.recv()
        except (EOFError, OSError):
            application.is_lost = True
            with suppress(OSError):
                os.killpg(application.pid, signal.SIGKILL)
        application._ended.set()


def begun() -> Supervisor:
    """Forks it. Before any thread is started."""
    ours, its = Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that comes before its own handlers stand would run ours there.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _supervise(its, unblock=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, blocked))
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    its.close()
    return Supervisor(pid=pid, _pipe=ours)


def _supervise(pipe: Connection, *, unblock: Callable[[], object]) -> NoReturn:
    status = 0
    try:
        os.setsid()  # Ctrl-C reaches the process above, which passes it on
        for number in (*_PASSED_ON, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGCHLD:
                signal.signal(number, lambda *_: None)  # not SIG_IGN, which the application would inherit
        unblock()
        _prctl(_SET_CHILD_SUBREAPER, 1)
        _Supervision(pipe).run()
    except KeyboardInterrupt:
        status = 130
    finally:
        os._exit(status)


class _Supervision:
    """What the forked process does."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._is_alone = False
        """The process above is gone."""
        self._child = 0
        self._code: int | None = None
        self._next: list[tuple[float, int]] = []
        """What comes when nothing ends: moments, and the signals for all."""

    def run(self) -> None:
        waking, woken = os.pipe()
        os.set_blocking(waking, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        start = self._receive()
        if start is None:
            return
        _, words, environment, folder = start
        try:
            if not self._start(words, environment):
                return
            while self._code is None:
                self._wait(waking)
            self._tell((_ENDED, self._code))
            self._end_the_rest()
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _start(self, words: Sequence[str], environment: Mapping[str, str]) -> bool:
        above = os.getpid()

        def die_with_supervisor() -> None:
            _prctl(_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != above:
                os._exit(1)

        try:
            self._process = subprocess.Popen(  # noqa: S603
                words,  # what somebody has typed to be run
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_supervisor,  # this process has one thread
            )
        except OSError as error:
            self._tell((_FAILED, error))
            return False
        self._child = self._process.pid
        self._tell((_STARTED, self._child))
        return True

    def _wait(self, waking: int) -> None:
        """For a message, the end of somebody, or the next moment."""
        until = min((moment for moment, _ in self._next), default=None)
        seconds = None if until is None else max(0.0, until - time.monotonic())
        watched: list[int | Connection] = [waking] if self._is_alone else [waking, self._pipe]
        readable, _, _ = select.select(watched, [], [], seconds)
        if waking in readable:
            with suppress(BlockingIOError):
                os.read(waking, 512)
        if self._pipe in readable:
            message = self._receive()
            self._is_alone = message is None
            self._end(signal.SIGTERM if message is None else message[1])
        self._reap()
        now = time.monotonic()
        due = [number for moment, number in self._next if moment <= now]
        self._next = [(moment, number) for moment, number in self._next if moment > now]
        for number in due:
            self._send(number)

    def _end(self, number: int) -> None:
        """This signal now, SIGTERM if that does not help, SIGKILL in the end; asked again: SIGKILL."""
        if self._next:
            self._next = []
            self._send(signal.SIGKILL)
            return
        self._send(number)
        now = time.monotonic()
        further = [] if number == signal.SIGTERM else [signal.SIGTERM]
        self._next = [
            (now + PATIENCE_SECONDS * place, each)
            for place, each in enumerate([*further, signal.SIGKILL], start=1)
        ]

    def _send(self, number: int) -> None:
        with suppress(OSError):
            os.killpg(self._child, number)
        if number == signal.SIGKILL:
            for pid in descendants(os.getpid()):
                _kill(pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._code = os.waitstatus_to_exitcode(status)

    def _end_the_rest(self) -> None:
        """What the application has left behind: in its group, and where it can be seen, elsewhere."""
        until = time.monotonic() + PATIENCE_SECONDS
        with suppress(OSError):
            os.killpg(self._child, signal.SIGTERM)
        for pid in descendants(os.getpid()):
            _kill(pid, signal.SIGTERM)
        while self._is_anybody_left():
            if time.monotonic() > until:
                with suppress(OSError):
                    os.killpg(self._child, signal.SIGKILL)
                for pid in descendants(os.getpid()):
                    _kill(pid, signal.SIGKILL)
            time.sleep(_LOOK_EVERY_SECONDS)
            self._reap()

    def _is_anybody_left(self) -> bool:
        try:
            os.killpg(self._child, 0)
        except OSError:  # nobody, or another account's: not ours to end
            return bool(descendants(os.getpid()))
        return True

    def _receive(self) -> tuple[Any, ...] | None:
        try:
            message: tuple[Any, ...] = self._pipe.recv()
            return message
        except (EOFError, OSError):
            return None

    def _tell(self, message: tuple[object, ...]) -> None:
        with suppress(OSError):
            self._pipe.send(message)


def _kill(pid: int, number: int) -> None:
    with suppress(OSError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
