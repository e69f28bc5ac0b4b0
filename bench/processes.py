"""Servers as processes of their own, on a core of their own, with the CPU and memory they use.

CPU is read from the kernel's clock of each process (nanoseconds, all threads, also those that ended), for a
server and all its children. Every process started here is stopped by its own id.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 20.0
STOP_SECONDS = 5.0

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = _CORES[0], _CORES[-1]
"""Servers being measured run on one core; the client and the provider on another, if there is one."""


class CannotRun(Exception):
    """Why a server cannot take part, in one line."""


class Server:
    """A running server and its children. A context manager that stops it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self.started = time.monotonic()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time so far, of the server and its children."""
        return sum(cpu_seconds_of(pid) for pid in self._pids())

    def rss_bytes(self) -> int:
        """Resident memory now, of the server and its children."""
        return sum(_rss_bytes(pid) for pid in self._pids())

    def wait_for_port(self, port: int, *, seconds: float = READY_SECONDS) -> float:
        """Seconds since the start until the port answered.

        Raises:
            CannotRun: it ended, or does not answer.
        """
        while time.monotonic() - self.started < seconds:
            if self._process.poll() is not None:
                raise CannotRun(f"it ended: {self.last_words()}")
            try:
                socket.create_connection(("localhost", port), timeout=1).close()
            except OSError:
                time.sleep(0.002)
            else:
                return time.monotonic() - self.started
        raise CannotRun(f"no answer on its port within {seconds:g} s: {self.last_words()}")

    def wait_for_socket(self, path: Path) -> None:
        """
        Raises:
            CannotRun: it ended, or does not listen there.
        """
        while time.monotonic() - self.started < READY_SECONDS:
            if self._process.poll() is not None:
                raise CannotRun(f"it ended: {self.last_words()}")
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(path)) == 0:
                    path.chmod(0o666)
                    return
            time.sleep(0.002)
        raise CannotRun(f"nothing listens on its socket: {self.last_words()}")

    def last_words(self) -> str:
        lines = [
            line.strip() for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()
        ]
        return lines[-1][:160] if lines else "no output"

    def ask(self, line: str) -> str:
        """Sends one line to the server's standard input and reads one line of its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.read_line()

    def read_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _pids(self) -> list[int]:
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += _children(pid)
        return found


class Together:
    """Servers that answer a request together: what they cost is one sum."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers

    def cpu_seconds(self) -> float:
        return sum(server.cpu_seconds() for server in self._servers)


def start(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    folder: Path,
    name: str,
    core: int = SERVER_CORE,
    talks: bool = False,
) -> Server:
    """Starts a process on one core, its output in a file of the folder. `talks`: see `Server.ask`.

    Raises:
        CannotRun: the program is not there.
    """
    log = folder / f"{name}.log"
    pipe = subprocess.PIPE if talks else None
    with log.open("wb") as output, on_core(core):
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                env={**_base_environment(), **environment},
                cwd=folder,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or output,
                stderr=output,
                text=True,
            )
        except OSError as error:
            raise CannotRun(f"{command[0]}: {error.strerror}") from None
    return Server(process, log)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started inside inherits the core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _base_environment() -> dict[str, str]:
    """What a program needs to start; no settings of this shell leak into a measurement."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def cpu_seconds_of(pid: int) -> float:
    # The clock that clock_getcpuclockid(3) names: Linux keeps one for each process.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found
