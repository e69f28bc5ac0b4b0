"""The real Mage 0.9.80 as PyPI has it, started for the tests as its users start it, and stopped after."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from clients.products import installed
from entrada.emulator import RunningEmulator
from house import tools

REQUIREMENT = "mage-ai==0.9.80"
_START_SECONDS = 120
_STOP_SECONDS = 15
_LOG_LINES = 30


@dataclass(frozen=True, kw_only=True)
class Mage:
    """Where it answers, and the public id its own pages send along as `api_key`."""

    address: str
    api_key: str


@contextmanager
def running_mage(emulator: RunningEmulator) -> Iterator[Mage]:
    """A started Mage with an empty project, told of the emulator by the environment alone."""
    commands = installed(REQUIREMENT)
    with tempfile.TemporaryDirectory(prefix="entrada-mage-", ignore_cleanup_errors=True) as name:
        home, port = Path(name), tools.free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "MAGE_DATA_DIR": str(home / "data"),
            "ENV": "prod",
            "DISABLE_AUTO_BROWSER_OPEN": "1",
            "DISABLE_AUTORELOAD": "1",
            **emulator.env("mage"),
        }
        log = home / "mage.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                [commands / "mage", "start", home / "project", "--host", "127.0.0.1", "--port", str(port)],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                address = f"http://localhost:{port}"
                _wait_until_it_answers(process, address, log)
                yield Mage(address=address, api_key=_api_key(commands))
            finally:
                _stop(process)


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/api/status", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:])
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
