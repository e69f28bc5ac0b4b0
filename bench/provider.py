"""The provider of a benchmark: the emulator, with people, on the client's core."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.processes import CLIENT_CORE, CannotRun, Server, start

SERVERS = Path(__file__).parent / "servers"


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Where the emulator is, and what an application registered there is called."""

    server: Server
    http_url: str
    https_url: str
    ca_file: str
    tenant_id: str
    client_id: str
    client_secret: str
    entrada: Mapping[str, str]
    """The environment that points Entrada at it."""

    @property
    def authority(self) -> str:
        return f"{self.https_url}/{self.tenant_id}"

    def connections(self) -> int:
        """TLS connections made to it so far."""
        return int(self.server.ask("connections"))

    def environment(self, port: int) -> dict[str, str]:
        """What the small servers of bench/servers read."""
        return {
            "BENCH_PORT": str(port),
            "BENCH_AUTHORITY": self.authority,
            "BENCH_CLIENT_ID": self.client_id,
            "BENCH_CLIENT_SECRET": self.client_secret,
            "BENCH_CA_FILE": self.ca_file,
            "REQUESTS_CA_BUNDLE": self.ca_file,
        }


def start_provider(folder: Path, *, people: int) -> Provider:
    """The emulator with so many people person0@contoso.test, person1@… who hold the role Editor."""
    server = start(
        [sys.executable, SERVERS / "emulator.py", folder / "emulator", str(people)],
        environment={},
        folder=folder,
        name="emulator",
        core=CLIENT_CORE,
        talks=True,
    )
    try:
        line = server.read_line()
        ready = json.loads(line)
    except ValueError:
        server.stop()
        raise CannotRun(f"the emulator did not start: {server.last_words()}") from None
    settings = ready["entrada"]
    return Provider(
        server=server,
        http_url=ready["http_url"],
        https_url=ready["https_url"],
        ca_file=ready["ca_file"],
        tenant_id=settings["ENTRADA_TENANT_ID"],
        client_id=settings["ENTRADA_CLIENT_ID"],
        client_secret=settings["ENTRADA_CLIENT_SECRET"],
        entrada=settings,
    )
