"""What is measured of a gateway: a running server, and the request that it is asked over and over.

signed_in        a contestant of `bench.peers` with one person signed in
entrada_check    `entrada serve` asked as the documentation has nginx ask
fixed_bytes      the floor: uvicorn's protocol with Entrada's answer, the request unread
nginx            as configured by `bench.nginx`
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from bench.browser import PAGE_VISIT, SignInFailed
from bench.load import Load, Measured, load
from bench.peers import ENTRADA, Contestant, entrada_environment, run
from bench.processes import CannotRun, Server, free_port, start
from bench.provider import SERVERS, Provider
from bench.sign_in import Crowd

SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A server and what it is asked."""

    server: Measured
    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: PAGE_VISIT)

    def load(self, folder: Path) -> Load:
        return load(self.server, self.url, seconds=SECONDS, headers=self.headers, folder=folder)

    def answer(self) -> bytes:
        """One answer as it stands on the wire.

        Raises:
            CannotRun: it is no success.
        """
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
        try:
            connection.request("GET", parts.path or "/", headers=dict(self.headers))
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise CannotRun(f"{self.url} answered {response.status}")
        head = "".join(f"{name}: {value}\r\n" for name, value in response.getheaders())
        return f"HTTP/1.1 {response.status} {response.reason}\r\n{head}\r\n".encode("latin-1") + body


def start_gateway(
    provider: Provider, folder: Path, port: int, *more: str, environment: Mapping[str, str] | None = None
) -> Server:
    """`entrada serve` that believes proxies on this machine; `more` are further arguments."""
    settings = entrada_environment(provider, folder, port) | {"ENTRADA_TRUSTED_PROXIES": "127.0.0.1"}
    return start(
        [sys.executable, "-m", "entrada.cli", "serve", "--port", str(port), *more],
        environment=settings | dict(environment or {}),
        folder=folder,
        name="entrada",
    )


GATEWAY = replace(ENTRADA, start=start_gateway)


def signed_in(
    contestant: Contestant, provider: Provider, folder: Path, stack: ExitStack
) -> tuple[Server, str, str]:
    """The contestant running with one person signed in: server, origin and Cookie header.

    Raises:
        CannotRun: with the reason.
    """
    running = run(contestant, provider, folder)
    stack.enter_context(running.server)
    try:
        cookie = Crowd(provider, size=1).sign_in(running, 1)
    except (SignInFailed, OSError) as failure:
        raise CannotRun(f"did not sign in: {failure}") from None
    parts = urlsplit(running.start_url)
    return running.server, f"http://127.0.0.1:{parts.port}", cookie


def check_headers(origin: str, cookie: str, target: str = "/reports/2026?page=2") -> dict[str, str]:
    """A browser's fields and those that nginx adds: all that the documented configuration passes on."""
    host = origin.removeprefix("http://").replace("127.0.0.1", "localhost")
    original = {"x-original-method": "GET", "x-original-host": host, "x-original-uri": target}
    return {"Host": host, **PAGE_VISIT, "cookie": cookie, **original}


def entrada_check(provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    server, origin, cookie = signed_in(GATEWAY, provider, folder, stack)
    return Subject(server=server, url=f"{origin}/auth/nginx", headers=check_headers(origin, cookie))


def fixed_bytes(answer_of: Subject, folder: Path, stack: ExitStack) -> Subject:
    port, kept = free_port(), folder / "answer"
    kept.write_bytes(answer_of.answer())
    command: list[str | Path] = [sys.executable, SERVERS / "fixed_bytes.py", str(port), kept]
    server = stack.enter_context(start(command, environment={}, folder=folder, name="fixed-bytes"))
    server.wait_for_port(port)
    return replace(answer_of, server=server, url=f"http://127.0.0.1:{port}/auth/nginx")
