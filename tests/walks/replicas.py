"""Several `entrada serve` behind one address, as processes on one database, and browsers led to either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from house.tools import free_port
from walks.nursery import ENTRADA, plain_environment
from walks.site import Site, wait_until
from walks.visitor import Visitor

TOMORROW = (sys.executable, str(Path(__file__).with_name("newer.py")), "serve")
"""The command of a version that is not written yet."""


@dataclass(kw_only=True)
class Replica:
    process: subprocess.Popen[bytes]
    address: str
    log_file: Path
    is_other: bool = False
    """Of another version, or with several workers."""

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        return self.asked("/readyz") == 200

    def asked(self, path: str) -> int | None:
        """The status it answers a probe with; None: it does not answer."""
        try:
            return httpx.get(self.address + path, timeout=5, trust_env=False).status_code
        except httpx.HTTPError:
            return None

    def stop(self) -> int:
        """As a restart stops it; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(kw_only=True)
class Replicas:
    """`environment` is that of all; one address for people, whoever answers."""

    environment: Mapping[str, str]
    folder: Path
    public_url: str = field(default_factory=lambda: f"http://localhost:{free_port()}")
    started: list[Replica] = field(default_factory=list)

    def start(
        self,
        *arguments: str,
        command: Sequence[str] = (*ENTRADA, "serve"),
        wait: bool = True,
        **more: str,
    ) -> Replica:
        """`more` are settings of this one."""
        port = free_port()
        log_file = self.folder / f"replica-{len(self.started)}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [*command, "--port", str(port), *arguments],
                cwd=self.folder,
                env={
                    **plain_environment(self.folder),
                    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                    **self.environment,
                    "ENTRADA_PUBLIC_URL": self.public_url,
                    **more,
                },
                stdout=log,
                stderr=log,
            )
        made = Replica(
            process=process,
            address=f"http://127.0.0.1:{port}",
            log_file=log_file,
            is_other=bool(arguments) or command == TOMORROW,
        )
        self.started.append(made)
        if wait:
            wait_until(made.is_ready, seconds=60)
        return made

    def browser(self, http: httpx.Client, at: Replica) -> Visitor:
        unused: Any = None
        site = Site(public_url=self.public_url, address=at.address, auth=unused, clock=unused, database=None)
        return Visitor(site, http)


@contextmanager
def replicas(environment: Mapping[str, str], folder: Path) -> Iterator[Replicas]:
    """Those that are started end with the block."""
    made = Replicas(environment=environment, folder=folder)
    try:
        yield made
    finally:
        for each in made.started:
            if each.process.poll() is None:
                each.kill()


def led_to(visitor: Visitor, replica: Replica) -> Visitor:
    """The same browser; what is between leads its next requests to this one."""
    visitor.site = replace(visitor.site, address=replica.address)
    return visitor
