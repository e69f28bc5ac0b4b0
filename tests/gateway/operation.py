"""`entrada serve` as its operator runs it: a process of its own, with a settings file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from entrada.emulator import RunningEmulator
from house import tools
from walks.nursery import plain_environment
from walks.site import ROLES, Site, wait_until
from walks.visitor import Visitor

RULES = """
trusted_proxies = ["127.0.0.1"]

[[rules]]
path = "/open/**"
access = "public"

[[rules]]
path = "/admin/**"
roles = ["Admin"]
"""


Launcher = Callable[[Iterable[str]], Sequence[str]]
"""The beginning of a command; it is given the names of the variables in its environment."""


@dataclass(kw_only=True)
class Serving:
    """A running `entrada serve`. `log` is what it writes to stderr, `out` to stdout."""

    process: subprocess.Popen[bytes]
    address: str
    public_url: str
    folder: Path
    metrics: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def log(self) -> str:
        return (self.folder / "stderr").read_text("utf-8", "replace")

    @property
    def out(self) -> str:
        return (self.folder / "stdout").read_text("utf-8", "replace")

    @property
    def file(self) -> Path:
        return self.folder / "entrada.toml"

    def visitor(self, http: httpx.Client) -> Visitor:
        unused: Any = None
        site = Site(
            public_url=self.public_url, address=self.address, auth=unused, clock=unused, database=None
        )
        return Visitor(site, http)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def check(self, path: str, *, cookie: str = "", method: str = "GET") -> int:
        """The status of what nginx would be answered about a request for this path."""
        fields = {
            "X-Original-Method": method,
            "X-Original-Host": self.public_url.partition("://")[2],
            "X-Original-URI": path,
            **({"Cookie": cookie} if cookie else {}),
        }
        with closing(HTTPConnection("127.0.0.1", urlsplit(self.address).port, timeout=30)) as link:
            link.request("GET", "/auth/nginx", headers=fields)
            return link.getresponse().status

    def figures(self, http: httpx.Client) -> dict[str, float]:
        """The samples of /metrics, by name with labels."""
        answer = http.get(self.metrics or f"{self.address}/metrics")
        assert answer.status_code == 200, answer.text
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def end(self, *, seconds: float = 30.0) -> int:
        """SIGTERM, and the exit status."""
        self.process.terminate()
        return self.process.wait(timeout=seconds)


@contextmanager
def serving(
    emulator: RunningEmulator,
    folder: Path,
    *arguments: str,
    toml: str = RULES,
    wait: bool = True,
    pass_fds: Sequence[int] = (),
    launcher: Launcher = lambda _: (),
    port: int | None = None,
    **settings: str,
) -> Iterator[Serving]:
    """A server until the end of the block; it answers before the block begins.

    `launcher` makes the command that starts it, `pass_fds` are descriptors that it inherits.
    """
    port = port or tools.free_port()
    (folder / "entrada.toml").write_text(toml)
    settings = {
        **plain_environment(folder),
        **emulator.env("entrada"),
        "ENTRADA_PUBLIC_URL": f"http://localhost:{port}",
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
        "ENTRADA_ROLES_MAPPING": ROLES,
        **settings,
    }
    metrics = settings.get("ENTRADA_METRICS_ADDRESS")
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as log:
        process = subprocess.Popen(
            [
                *launcher(settings),
                sys.executable,
                "-m",
                "entrada.cli",
                "serve",
                "--port",
                str(port),
                *arguments,
            ],
            cwd=folder,
            env=settings,
            stdout=out,
            stderr=log,
            pass_fds=pass_fds,
        )
    made = Serving(
        process=process,
        address=f"http://127.0.0.1:{port}",
        public_url=settings["ENTRADA_PUBLIC_URL"],
        folder=folder,
        environment=settings,
        metrics=f"http://{metrics}/metrics" if metrics else None,
    )
    try:
        if wait:
            wait_until(lambda: _is_up(made), seconds=60)
        yield made
    finally:
        tools.end(process, seconds=30)


def _is_up(made: Serving) -> bool:
    assert made.process.poll() is None, made.log
    try:
        return httpx.get(f"{made.address}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def cookie_of(visitor: Visitor) -> str:
    """The Cookie field that this visitor's browser sends."""
    return visitor.jar.header("localhost", secure=False, from_another_site=False)


def series(text: str) -> set[str]:
    """The names with labels, without their values."""
    return {re.sub(r" \S+$", "", line) for line in text.splitlines() if not line.startswith("#")}
