"""`entrada run` as a process of its own, before the small application or any other command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from entrada.emulator import RunningEmulator
from gateway.operation import Serving
from house import tools
from walks.nursery import plain_environment
from walks.site import ROLES, wait_until

APP = str(Path(__file__).with_name("small_app.py"))


def small(*words: str) -> tuple[str, ...]:
    """The command of the small application."""
    return (sys.executable, APP, *words)


@contextmanager
def running(
    entra: RunningEmulator,
    folder: Path,
    *command: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    toml: str = "",
    wait: bool = True,
    seconds: float = 60.0,
    **settings: str,
) -> Iterator[Serving]:
    """Until the end of the block. `environment` is further variables, of products."""
    folder.mkdir(exist_ok=True)
    port = tools.free_port()
    (folder / "entrada.toml").write_text(toml)
    told = {
        **plain_environment(folder),
        **entra.env("entrada"),
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
        "ENTRADA_ROLES_MAPPING": ROLES,
        **(environment or {}),
        **settings,
    }
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "entrada.cli", "run", "--port", str(port), *options, "--", *command],
            cwd=folder,
            env=told,
            stdout=out,
            stderr=log,
        )
    made = Serving(
        process=process,
        address=f"http://127.0.0.1:{port}",
        public_url=f"http://localhost:{port}",
        folder=folder,
        environment=told,
    )
    try:
        if wait:
            wait_until(lambda: is_up(made), seconds=seconds)
        yield made
    finally:
        tools.end(process, seconds=30)


def is_up(made: Serving) -> bool:
    assert made.process.poll() is None, made.log
    if "Entrada serves" not in made.log:
        return False
    return httpx.get(f"{made.address}/healthz", trust_env=False).status_code == 200


def ended(
    entra: RunningEmulator, folder: Path, *command: str, options: Sequence[str] = (), **settings: str
) -> tuple[int, str]:
    """The exit status of a run that does not come to serve, and what it says."""
    with running(entra, folder, *command, options=options, wait=False, **settings) as run:
        status = run.process.wait(timeout=60)
        return status, run.log


def complaint(log: str) -> str:
    """The sentence that it ends with, without the hint."""
    lines = [line for line in log.splitlines() if line.startswith("entrada: ")]
    assert len(lines) == 1, log
    return lines[0].removeprefix("entrada: ")


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    except OSError:
        return not _is_there(pid)
    return state in "ZX"


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes_below(pid: int) -> list[int]:
    """The command's processes under a run, the supervisor's own left out."""
    from entrada.cli.running.listening import descendants

    direct = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for each in descendants(pid) if each not in direct]
