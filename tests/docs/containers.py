"""Containers without a container engine: what a compose file or a manifest starts, started as processes.

The command and the environment are those of the file. In the place of the image is this checkout, of the
secrets' folder one of the run's, of the container's port a free one. It has no capabilities, and runs in a
folder that it may not write.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from house.tools import free_port
from walks.nursery import ENTRADA, plain_environment

_VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])((?:[^{}]|\{\})*))?\}")


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """As compose puts variables into what it has read."""
    if isinstance(value, dict):
        return {name: interpolated(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, variables) for each in value]
    return (
        _VARIABLE.sub(lambda found: _variable(found, variables), value) if isinstance(value, str) else value
    )


def _variable(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, otherwise = found.groups()
    if variables.get(name):
        return variables[name]
    assert kind == "-", f"{name}: {otherwise}"
    return str(otherwise)


@dataclass(kw_only=True)
class Container:
    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def asked(self, path: str, *, seconds: float = 5) -> int | None:
        """The status a probe gets; None: no answer in time."""
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(self.address + path, timeout=seconds, trust_env=False).status_code
        except httpx.HTTPError:
            return None

    def stop(self, *, seconds: float) -> int:
        """SIGTERM, and the exit status, which must come within the grace period."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)


@dataclass(kw_only=True)
class Host:
    """Where containers run; `further` is what every one of them gets beside its own settings."""

    folder: Path
    further: Mapping[str, str]
    started: list[Container]

    def secret(self, name: str, text: str) -> None:
        file = self.folder / "secrets" / name
        file.write_text(text)
        file.chmod(0o444)

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], *, port: int | None = None
    ) -> Container:
        """`port`: that of the container in whose place it comes."""
        assert command[0] == "entrada"
        port, log_file = port or free_port(), self.folder / f"{len(self.started)}.log"
        arguments = [str(port) if each == "8000" else each for each in command[1:]]
        settings = {
            name: re.sub(r"^/run/secrets(/entrada)?", str(self.folder / "secrets"), value)
            for name, value in environment.items()
        }
        settings |= {"PYTHONDONTWRITEBYTECODE": "1"}
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                without_privileges([*ENTRADA, *arguments]),
                cwd=self.folder / "root",
                env={
                    **plain_environment(self.folder),
                    **self.further,
                    **settings,
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                stdout=log,
                stderr=log,
            )
        self.started.append(Container(process=process, port=port, log_file=log_file))
        return self.started[-1]


def without_privileges(command: Sequence[str]) -> list[str]:
    """No capability and no way to one, as `cap_drop` and `no-new-privileges` have it; for root's runs.

    As another user where that one could enter the folder of this Python, which root's own folder forbids.
    """
    if os.geteuid() != 0:
        return list(command)
    as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"] if is_for_all(sys.executable) else []
    return ["setpriv", *as_nobody, "--bounding-set=-all", "--no-new-privs", *command]


def is_for_all(file: str) -> bool:
    return all(each.stat().st_mode & 0o001 for each in [Path(file).resolve(), *Path(file).resolve().parents])


@contextmanager
def host(further: Mapping[str, str]) -> Iterator[Host]:
    """Everything started ends with the block."""
    # Not a folder of pytest's: nobody may not enter those.
    folder = Path(tempfile.mkdtemp(prefix="entrada-containers-"))
    folder.chmod(0o755)
    for name, mode in (("secrets", 0o755), ("root", 0o555)):
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    if os.geteuid() == 0:  # without capabilities root writes what it owns, and nothing else
        os.chown(folder / "root", 65534, 65534)
    made = Host(folder=folder, further=dict(further), started=[])
    bundle = further.get("ENTRADA_CA_BUNDLE")
    if bundle is not None:  # nobody reads it, too
        copy = Path(shutil.copy(bundle, folder / "authorities.pem"))
        copy.chmod(0o444)
        made.further = {**further, "ENTRADA_CA_BUNDLE": str(copy)}
    try:
        yield made
    finally:
        for each in made.started:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()
        (folder / "root").chmod(0o755)
        shutil.rmtree(folder)
