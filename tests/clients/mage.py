"""The real Mage 0.9.80 as PyPI has it, started for the tests as its users start it, and stopped after.

    with running_mage(emulator) as mage: ...                     # as it comes
    with running_mage(emulator, with_entrada=True) as mage: ...  # `entrada mage start`, from this checkout

Both are told of the emulator by the environment alone; `settings` are further variables.
Mage's own pages call port 6789 when they are opened at the name `localhost`, wherever they came from:
browsers visit `site`, which says 127.0.0.1.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from clients.products import installed
from entrada.emulator import RunningEmulator
from house import tools

REQUIREMENT = "mage-ai==0.9.80"
PYTHON_OF_THE_IMAGE = "3.10"
"""What Mage's makers ship it on; where a machine has none, this run's own is tried."""
POSTGRES_DRIVER = "psycopg2-binary==2.9.10"
"""Mage's own extra pins a release that has no wheel for this Python."""
DATABASE_VARIABLE = "MAGE_DATABASE_CONNECTION_URL"
_STARTS: dict[bool, list[float]] = {False: [], True: []}
_START_SECONDS = 120
_STOP_SECONDS = 15
_LOG_LINES = 30


@dataclass(frozen=True, kw_only=True)
class Mage:
    """Where it answers, the public id its own pages send along as `api_key`, its log, home and database."""

    address: str
    api_key: str
    home: Path
    with_entrada: bool = False
    database_url: str = ""

    @property
    def site(self) -> str:
        """The same at a name under which its pages find their own port."""
        return self.address.replace("//localhost", "//127.0.0.1")

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.home / "mage.log").read_text("utf-8", "replace")


def start_seconds(*, with_entrada: bool) -> list[float]:
    """What each start of this run took until it answered, on an empty project and SQLite.

    Seconds of the processor, where the system tells them: a busy machine does not count against Mage.
    """
    return _STARTS[with_entrada]


def _processor_seconds(pid: int) -> float:
    """What this process and its ended children have used so far; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def mage_commands(*, with_entrada: bool) -> Path:
    """The folder of the commands `mage` and, beside it, `entrada`."""
    if with_entrada:
        return installed(
            REQUIREMENT,
            name="mage-ai-entrada",
            with_project="mage",
            beside=(POSTGRES_DRIVER,),
            python=PYTHON_OF_THE_IMAGE,
        )
    return installed(REQUIREMENT, python=PYTHON_OF_THE_IMAGE)


def mage_environment(emulator: RunningEmulator, home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a Mage of the tests: nothing of this machine's own, the emulator, the settings.

    An empty setting takes a variable away.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "MAGE_DATA_DIR": str(home / "data"),
        "ENV": "prod",
        "DISABLE_AUTO_BROWSER_OPEN": "1",
        "DISABLE_AUTORELOAD": "1",
        **emulator.env("mage"),
        **settings,
    }
    return {name: value for name, value in environment.items() if value}


@contextmanager
def running_mage(
    emulator: RunningEmulator,
    *,
    with_entrada: bool = False,
    home: Path | None = None,
    settings: Mapping[str, str] | None = None,
    status_path: str = "/api/status",
) -> Iterator[Mage]:
    """A started Mage with an empty project, or with what an earlier one left in `home`.

    In a value of `settings`, `{site}` is the address browsers use.
    """
    commands = mage_commands(with_entrada=with_entrada)
    with ExitStack() as stack:
        if home is None:
            home = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="entrada-mage-", ignore_cleanup_errors=True)
                )
            )
        port, empty = tools.free_port(), not (home / "project").exists()
        mage = Mage(
            address=f"http://localhost:{port}",
            api_key=_api_key(commands),
            home=home,
            with_entrada=with_entrada,
            database_url=(settings or {}).get(DATABASE_VARIABLE, f"sqlite:///{home}/data/project/mage-ai.db"),
        )
        told = {name: value.replace("{site}", mage.site) for name, value in (settings or {}).items()}
        start: list[str | Path] = [commands / "entrada", "mage", "start"]
        if not with_entrada:
            start = [commands / "mage", "start"]
        output = stack.enter_context((home / "mage.log").open("w"))
        with subprocess.Popen(
            [*start, home / "project", "--host", "127.0.0.1", "--port", str(port)],
            cwd=home,
            env=mage_environment(emulator, home, told),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                began = time.monotonic()
                _wait_until_it_answers(process, mage, status_path)
                if empty and DATABASE_VARIABLE not in told:
                    took = _processor_seconds(process.pid) or time.monotonic() - began
                    start_seconds(with_entrada=with_entrada).append(took)
                yield mage
            finally:
                _stop(process)


def entrada_mage(
    emulator: RunningEmulator,
    home: Path,
    *words: str | Path,
    settings: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """`entrada mage …` in that home, to its end: commands that end, and starts that are refused."""
    return subprocess.run(
        [mage_commands(with_entrada=True) / "entrada", "mage", *words],
        cwd=home,
        env=mage_environment(emulator, home, settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _wait_until_it_answers(process: subprocess.Popen[bytes], mage: Mage, path: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{mage.address}{path}", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    tail = "\n".join(mage.log.splitlines()[-_LOG_LINES:])
    happened = "did not answer in time" if process.poll() is None else f"ended with {process.returncode}"
    raise AssertionError(f"Mage {happened}; its last words:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End its process group, which is its alone: the server and its helpers."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _api_key(commands: Path) -> str:
    """The constant of the package that its pages send; importing the package would take seconds."""
    (settings,) = commands.parent.glob("lib/python*/site-packages/mage_ai/settings/server.py")
    found = re.search(r"^OAUTH2_APPLICATION_CLIENT_ID = '(\w+)'", settings.read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]
