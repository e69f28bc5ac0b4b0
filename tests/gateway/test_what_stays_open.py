"""A socket and an event stream through the reverse proxy end with their session, however it ends (D12)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.accounts.identity import UserId
from entrada.cli import main
from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_gateway
from entrada.gateway.hops import TrustedHops
from entrada.gateway.rules import Route, RuleBook
from walks.site import Site, served
from walks.visitor import Visitor

from .test_reverse_proxy import Slow, head_read, read_until


def stays_open(connection: socket.socket) -> None:
    """An application that greets whoever connects, as a socket or as a stream, and then says nothing."""
    if b"upgrade: websocket" in head_read(connection).lower():
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
    else:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    connection.sendall(b"greetings")
    connection.recv(1)


@pytest.fixture
def site(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Site]:
    with (
        Slow(stays_open) as application,
        served(
            emulator,
            database=tmp_path / "entrada.db",
            app_of=lambda auth: create_gateway(
                auth,
                hops=TrustedHops(),
                book=RuleBook(routes=[Route(upstream=f"http://127.0.0.1:{application.port}")]),
            ),
        ) as site,
    ):
        yield site


def opened(site: Site, visitor: Visitor, *fields: str) -> socket.socket:
    """A connection on which the application has said its greetings."""
    parts = urlsplit(site.address)
    link = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)
    host, cookie = (
        urlsplit(site.public_url).netloc,
        visitor.jar.header("localhost", secure=False, from_another_site=False),
    )
    head = ["GET /open HTTP/1.1", f"Host: {host}", f"Cookie: {cookie}", *fields, "", ""]
    link.sendall("\r\n".join(head).encode())
    read_until(link, b"greetings")
    return link


def command(site: Site, *words: str) -> None:
    assert main([*words]) == 0, (site, words)


def account(visitor: Visitor) -> str:
    whoami = visitor.whoami()
    assert whoami is not None
    return str(whoami["account_id"])


def lose_a_role(site: Site, visitor: Visitor) -> None:
    party = site.auth.relying_party
    party.accounts.grant_role(UserId(account(visitor)), role="Trainee", granted_by="t", now=party.clock.now())


WAYS: dict[str, Callable[[Site, Visitor], object]] = {
    "signing out": lambda site, visitor: visitor.sign_out(),
    "sessions end": lambda site, visitor: command(site, "sessions", "end", "--all"),
    "users disable": lambda site, visitor: command(site, "users", "disable", "ada@contoso.test"),
    "users delete": lambda site, visitor: command(site, "users", "delete", "ada@contoso.test", "--yes"),
    "other roles": lose_a_role,
    "idle limit": lambda site, visitor: site.clock.pass_by(hours=9),
    "absolute limit": lambda site, visitor: site.clock.pass_by(hours=25),
}


@pytest.mark.parametrize("way", WAYS)
def test_d12_a_socket_and_a_stream_end_within_a_second(
    way: str,
    site: Site,
    http: httpx.Client,
    emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Both are closed within a second after the session is over; those of another person stay open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTRADA_DATABASE_URL", f"sqlite:///{site.database}")
    ada, vi = Visitor(site, http), Visitor(site, http)
    ada.sign_in_as("ada@contoso.test")
    vi.sign_in_as("vi@contoso.test")
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", f"Origin: {site.public_url}")
    with ExitStack() as stack:
        hers = [
            stack.enter_context(opened(site, ada, *upgrade)),
            stack.enter_context(opened(site, ada, "Accept: text/event-stream")),
        ]
        other = stack.enter_context(opened(site, vi, *upgrade))
        WAYS[way](site, ada)
        started = time.monotonic()
        for link in hers:
            with suppress(ConnectionResetError):
                assert link.recv(65_536) == b""
        assert time.monotonic() - started < 1
        if way in ("signing out", "users disable", "users delete", "other roles"):
            other.settimeout(0.2)
            with pytest.raises(TimeoutError):
                other.recv(1)
