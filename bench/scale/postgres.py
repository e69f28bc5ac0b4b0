"""A PostgreSQL of the benchmark's own: a fresh cluster on a free port, removed at the end.

The system's server (`/usr/lib/postgresql`). PostgreSQL refuses to run as root, so root gives it to nobody.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.processes import CannotRun, free_port

SYSTEM = Path("/usr/lib/postgresql")
NOBODY = 65534
START_SECONDS = 30.0
ENOUGH_MEMORY = ("-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB")
"""What whoever has a million accounts gives it at least; PostgreSQL's defaults are for a small desk."""


@contextmanager
def running_postgres() -> Iterator[str]:
    """`host:port` of a server that trusts everybody on this machine.

    Raises:
        CannotRun: there is none, or it does not start.
    """
    commands = _commands()
    with tempfile.TemporaryDirectory(prefix="entrada-bench-postgres-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        how = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
        if _run([commands / "initdb", "-D", folder / "data", *how], folder) != 0:
            raise CannotRun("initdb failed")
        options = ["-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
        with (folder / "postgres.log").open("w") as log:
            process = subprocess.Popen(
                [commands / "postgres", *options, *ENOUGH_MEMORY],
                cwd=folder,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=NOBODY if os.geteuid() == 0 else None,
                group=NOBODY if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
            )
            try:
                _wait_for(f"-X -h 127.0.0.1 -p {port} -U postgres".split(), commands, process, folder)
                yield f"127.0.0.1:{port}"
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)


def create_database(address: str, name: str) -> str:
    """The URL of a new, empty database."""
    host, _, port = address.partition(":")
    command: list[str | Path] = [_commands() / "createdb", "-h", host, "-p", port, "-U", "postgres", name]
    if _run(command, Path("/")) != 0:
        raise CannotRun("PostgreSQL made no database")
    return f"postgresql://postgres@{address}/{name}"


def _commands() -> Path:
    found = sorted(SYSTEM.glob("*/bin/postgres"), key=lambda path: int(path.parent.parent.name))
    if not found:
        raise CannotRun("PostgreSQL is not installed (Debian package postgresql)")
    return found[-1].parent


def _run(command: Sequence[str | Path], folder: Path) -> int:
    root = os.geteuid() == 0
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        capture_output=True,
        check=False,
        timeout=60,
        user=NOBODY if root else None,
        group=NOBODY if root else None,
        extra_groups=[] if root else None,
    ).returncode


def _wait_for(where: Sequence[str], commands: Path, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _run([commands / "psql", *where, "-c", ""], folder) != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise CannotRun("PostgreSQL did not start")
        time.sleep(0.05)
