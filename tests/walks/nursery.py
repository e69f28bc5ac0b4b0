"""Makes server processes quickly: everything is imported once, each server is a fork of that.

Run as a program. Each line of its input is an order `{"arguments", "environment", "directory", "log"}`; the
answer is a line with the process id. What runs in the fork is `entrada`'s own `main`.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from house.tools import free_port

ENTRADA = (sys.executable, "-m", "entrada.cli")


@dataclass(kw_only=True)
class ServerProcess:
    """`entrada serve` as a process of its own."""

    pid: int
    public_url: str
    address: str
    database: Path
    log: Path

    def is_up(self) -> bool:
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=5)
        with closing(connection):
            try:
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def is_gone(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        until(self.is_gone)


@dataclass
class Nursery:
    """Orders servers; the environment holds nothing but what is given."""

    environment: Mapping[str, str]
    directory: Path
    _process: Any = None
    _born: list[ServerProcess] = field(default_factory=list)

    def server(self, *, public_url: str | None = None, **settings: str) -> ServerProcess:
        """A server that answers; all of one nursery use one database."""
        made = self.begin_server(public_url=public_url, **settings)
        until(made.is_up)
        return made

    def begin_server(
        self, *, public_url: str | None = None, command: str = "serve", log: str = "", **settings: str
    ) -> ServerProcess:
        """The same, not yet waited for. `log` is where it writes, by default a file of its own."""
        port = free_port()
        database = self.directory / "entrada.db"
        order = {
            "arguments": [command, "--port", str(port)],
            "directory": str(self.directory),
            "log": log or str(self.directory / f"server-{len(self._born)}.log"),
            "environment": {
                **plain_environment(self.directory),
                **self.environment,
                "ENTRADA_PUBLIC_URL": public_url or f"http://localhost:{port}",
                "ENTRADA_DATABASE_URL": f"sqlite:///{database}",
                **settings,
            },
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        made = ServerProcess(
            pid=int(self._process.stdout.readline()),
            public_url=order["environment"]["ENTRADA_PUBLIC_URL"],  # type: ignore[index]  # a dict, above
            address=f"http://127.0.0.1:{port}",
            database=database,
            log=Path(str(order["log"])),
        )
        self._born.append(made)
        return made

    def logs(self) -> str:
        return "".join(one.log.read_text("utf-8", "replace") for one in self._born if one.log.is_file())


@contextmanager
def nursery(environment: Mapping[str, str], directory: Path) -> Iterator[Nursery]:
    """A nursery until the end of the block; what it made and is still alive ends with it."""
    with nursery_process(directory) as process, nursery_of(process, environment, directory) as made:
        yield made


@contextmanager
def nursery_process(home: Path) -> Iterator[Any]:
    """What servers are forks of; several nurseries may use one."""
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**plain_environment(home), "PYTHONPATH": str(tests)},
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


@contextmanager
def nursery_of(process: Any, environment: Mapping[str, str], directory: Path) -> Iterator[Nursery]:
    """A nursery that uses this process; what it made ends with the block."""
    made = Nursery(environment, directory, process)
    try:
        yield made
    finally:
        for server in made._born:
            if not server.is_gone():
                server.kill()


def plain_environment(home: Path) -> dict[str, str]:
    """What every program needs, and nothing of this machine's settings."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": str(home / "none.pem"),
        "SSL_CERT_DIR": str(home),
    }


def until(condition: Any, *, seconds: float = 20.0, pause: float = 0.01) -> None:
    """Returns as soon as the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause)


def _bear(order: Mapping[str, Any]) -> None:
    from entrada.cli import main

    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environment"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os._exit(main(order["arguments"]))


def _run() -> None:
    import alembic.command
    import jinja2
    import msal

    import entrada.cli.serve
    import entrada.storage.sql

    del alembic, jinja2, msal, entrada
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _bear(json.loads(line))
        print(child, flush=True)


if __name__ == "__main__":
    _run()
