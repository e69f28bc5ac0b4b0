"""The suite's applications, each under a real server in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from entrada.emulator import RunningEmulator
from house import tools
from walks.site import ROLES, wait_until

TESTS = tools.ROOT / "tests"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """An application of `adapters.applications`, and what serves it.

    `python` has the framework.
    """

    application: str
    server: str
    has_sockets: bool = False
    python: str = sys.executable

    def __str__(self) -> str:
        return f"{self.application}-{self.server}"

    def command(self, port: int, prefix: str) -> list[str]:
        app = f"adapters.applications.{self.application}:app"
        bind = f"127.0.0.1:{port}"
        match self.server:
            case "uvicorn":
                rooted = ["--root-path", prefix] if prefix else []
                return ["uvicorn", app, "--port", str(port), "--no-access-log", *rooted]
            case "gunicorn-sync":
                return ["gunicorn", app, "--bind", bind, "--workers", "2"]
            case "gunicorn-threads":
                return ["gunicorn", app, "--bind", bind, "--threads", "8"]
            case _:
                return [f"adapters.applications.{self.application}", str(port)]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a visitor goes; see `walks.visitor`."""

    public_url: str
    address: str
    prefix: str
    setup: Setup
    database_url: str
    log: Path


@contextmanager
def serving(emulator: RunningEmulator, setup: Setup, folder: Path, *, prefix: str = "") -> Iterator[Place]:
    """The application until the end of the block, on a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://localhost:{port}"
    environment = {
        **os.environ,
        **emulator.env("entrada"),
        "ENTRADA_PUBLIC_URL": url,
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
        "ENTRADA_ROLES_MAPPING": ROLES,
        "ENTRADA_BEARER_SCOPES": "access_as_user",
        "PYTHONPATH": str(TESTS),
    }
    if prefix:
        environment["SCRIPT_NAME"] = prefix  # Gunicorn's way to say where it is mounted
    if setup.application.startswith("on_django"):
        manage(folder, environment, "migrate", "--verbosity", "0", python=setup.python)
    command = setup.command(port, prefix)
    log = folder / f"{setup}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [setup.python, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    place = Place(
        public_url=url,
        address=f"http://127.0.0.1:{port}",
        prefix=prefix,
        setup=setup,
        database_url=environment["ENTRADA_DATABASE_URL"],
        log=log,
    )
    try:
        wait_until(lambda: _answers(process, place.address + prefix, log), seconds=60)
        yield place
    finally:
        tools.end(process, seconds=15)


def manage(
    folder: Path, environment: Mapping[str, str], *arguments: str, python: str = sys.executable
) -> str:
    """What `manage.py` says."""
    done = subprocess.run(
        [python, "-m", "adapters.applications.on_django", *arguments],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _answers(process: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text("utf-8")
    try:
        httpx.get(f"{address}/auth/me", timeout=5, trust_env=False)
    except httpx.TransportError:
        return False
    return True
