"""The real dstack server as PyPI has it, started for the tests as its users start it, and stopped after.

    with running_dstack(emulator, version="0.22.5") as dstack:
        dstack.api.post("/api/users/list")

Each server has a home and a folder of its own; this checkout's plug-in is installed beside dstack, and
`plugins: [entrada]` in the server's config.yml switches it on. A hundred migrations take dstack longer than
everything else at its start, so a database that a version has migrated once is kept, empty, to begin with.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from clients.products import installed
from entrada.emulator import RunningEmulator
from house import tools

VERSIONS = ("0.22.5", "0.22.1", "0.21.5")
NEWEST = VERSIONS[0]
CONFIGURATION = "projects: []\n"
WITH_PLUGIN = "plugins:\n- entrada\n"
_START_SECONDS = 120
_STOP_SECONDS = 10
_LOG_LINES = 40


@dataclass(frozen=True, kw_only=True)
class Dstack:
    """Where it answers; `api` speaks as the server's own administrator."""

    address: str
    version: str
    commands: Path
    home: Path
    admin_token: str = field(repr=False)
    api: httpx.Client = field(repr=False)
    environment: dict[str, str] = field(repr=False)

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self.home / "dstack.log").read_text("utf-8", "replace")

    def run(self, command: str, *arguments: str) -> tuple[int, str]:
        """Exit status and words of a command that the server's administrator runs beside it."""
        answer = subprocess.run(
            [self.commands / command, *arguments],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return answer.returncode, answer.stdout + answer.stderr


def commands_of(version: str) -> Path:
    """The commands of that version's environment, which holds this checkout's plug-in, too."""
    return installed(f"dstack[server]=={version}", name=f"dstack-{version}", with_project="dstack")


@contextmanager
def running_dstack(
    emulator: RunningEmulator | None,
    *,
    version: str = NEWEST,
    home: Path | None = None,
    port: int = 0,
    configuration: str = CONFIGURATION + WITH_PLUGIN,
    admin_token: str = "",
    under_uvicorn: bool = False,
    **settings: str,
) -> Iterator[Dstack]:
    """A started server, told of the emulator by the environment alone.

    `settings` are further environment variables; an empty one takes a variable away. `home` is kept, so
    that a server can be started again on it. Without an emulator there is no plug-in's setting at all.
    `under_uvicorn`: by the ASGI entry rather than by `dstack server`; no configuration, no config.yml.
    """
    with ExitStack() as stack:
        folder = home or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="dstack-", ignore_cleanup_errors=True))
        )
        port, admin_token = port or tools.free_port(), admin_token or secrets.token_hex(16)
        commands = commands_of(version)
        if under_uvicorn:
            command = _uvicorn(commands, port)
            settings = {"DSTACK_SERVER_ADMIN_TOKEN": admin_token, **settings}
        else:
            command = _server(commands, port, admin_token)
        environment = _environment(commands, emulator, folder, port, settings)
        process = stack.enter_context(_started(commands, command, folder, configuration, environment))
        address = f"http://localhost:{port}"
        _wait_until_it_answers(process, address, folder)
        api = stack.enter_context(
            httpx.Client(
                base_url=address,
                headers={"authorization": f"Bearer {admin_token}"},
                trust_env=False,
                timeout=30,
            )
        )
        yield Dstack(
            address=address,
            version=version,
            commands=commands,
            home=folder,
            admin_token=admin_token,
            api=api,
            environment=environment,
        )


def refused_start(
    emulator: RunningEmulator | None,
    folder: Path,
    *,
    version: str = NEWEST,
    configuration: str = CONFIGURATION + WITH_PLUGIN,
    **settings: str,
) -> tuple[int, str]:
    """Exit status and words of a server that does not start. Raises if it does."""
    port, commands = tools.free_port(), commands_of(version)
    command = _server(commands, port, secrets.token_hex(16))
    environment = _environment(commands, emulator, folder, port, settings)
    with _started(commands, command, folder, configuration, environment) as process:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            assert not _answers(f"http://localhost:{port}"), f"it started:\n{_words(folder)}"
            time.sleep(0.1)
        assert process.returncode is not None, f"it neither started nor ended:\n{_words(folder)}"
        return process.returncode, _words(folder)


def _server(commands: Path, port: int, admin_token: str) -> list[str | Path]:
    options = ["--host", "127.0.0.1", "--port", str(port), "--token", admin_token, "-n"]
    return [commands / "dstack", "server", *options]


def _uvicorn(commands: Path, port: int) -> list[str | Path]:
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    return [commands / "uvicorn", "entrada.integrations.dstack:app", *options]


def _environment(
    commands: Path, emulator: RunningEmulator | None, home: Path, port: int, settings: dict[str, str]
) -> dict[str, str]:
    """What a server is told. An empty setting takes a variable away."""
    environment = environment_of(home, commands) | {
        "DSTACK_SERVER_DIR": str(home / "server"),
        "DSTACK_DEFAULT_CREDS_DISABLED": "1",
        "DSTACK_SERVER_BACKGROUND_PROCESSING_DISABLED": "1",
        "DSTACK_SERVER_URL": f"http://localhost:{port}",
        **(emulator.env("dstack") if emulator else {}),
        **settings,
    }
    return {name: value for name, value in environment.items() if value}


@contextmanager
def _started(
    commands: Path, command: list[str | Path], home: Path, configuration: str, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    server = home / "server"
    (server / "data").mkdir(parents=True, exist_ok=True)
    if "DSTACK_DATABASE_URL" not in environment and not (server / "data/sqlite.db").exists():
        shutil.copy(migrated(commands), server / "data/sqlite.db")
    if configuration:
        (server / "config.yml").write_text(configuration, "utf-8")
    with (
        (home / "dstack.log").open("w") as output,
        subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            _stop(process)


def migrated(commands: Path) -> Path:
    """An SQLite database with that version's tables and nobody in them, made once and kept."""
    kept = commands.parent / "migrated.db"
    with (commands.parent / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="dstack-migrated-") as name:
                environment = environment_of(Path(name), commands) | {"DSTACK_SERVER_DIR": name}
                subprocess.run(
                    [commands / "python", "-c", _MIGRATE], env=environment, check=True, timeout=_START_SECONDS
                )
                shutil.move(Path(name, "data/sqlite.db"), kept)
    return kept


_MIGRATE = """
import asyncio
from pathlib import Path
from dstack._internal.server import db, settings

Path(settings.SERVER_DIR_PATH, "data").mkdir()

async def made():
    await db.migrate()
    await db.get_db().engine.dispose()

asyncio.run(made())
"""


def environment_of(home: Path, commands: Path) -> dict[str, str]:
    """What a process of dstack's needs of this machine, and no more."""
    return {
        "PATH": f"{commands}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "DSTACK_ENABLE_ANALYTICS": "0",
    }


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthcheck", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str, home: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(address):
            return
        time.sleep(0.1)
    happened = "did not answer in time" if process.poll() is None else f"ended with {process.returncode}"
    raise AssertionError(f"dstack {happened}; its last words:\n{_words(home)}")


def _words(home: Path) -> str:
    lines = (home / "dstack.log").read_text("utf-8", "replace").splitlines()
    return "\n".join(lines[-_LOG_LINES:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End its process group, which is its alone."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return
