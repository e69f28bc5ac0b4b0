"""`entrada serve --upstream`: a person signs in and reaches an application that knows of nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.accounts.identity import UserId
from entrada.adapters.assertion import AssertionVerifier
from entrada.cli import main
from entrada.clock import SystemClock
from entrada.emulator import RunningEmulator
from entrada.errors import TokenRefused
from entrada.gateway.app import create_gateway
from entrada.gateway.assertion import Assertions
from entrada.gateway.assertion_keys import MemoryAssertionKeys
from entrada.gateway.hops import TrustedHops
from entrada.gateway.rules import Route, RuleBook
from walks.site import Site, served
from walks.visitor import Visitor

from .upstream import Upstream


@pytest.fixture(scope="module")
def site(
    emulator: RunningEmulator, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    book = RuleBook(routes=[Route(upstream=f"http://127.0.0.1:{upstream.port}", audience="tool")])
    folder = tmp_path_factory.mktemp("gateway")
    with served(
        emulator,
        database=folder / "entrada.db",
        app_of=lambda auth: create_gateway(
            auth,
            hops=TrustedHops(),
            book=book,
            assertions=Assertions(store=MemoryAssertionKeys(), issuer=auth.site.urls[0], clock=SystemClock()),
        ),
    ) as site:
        yield site


def test_a_person_signs_in_and_the_application_is_told_who_it_is(
    site: Site, http: httpx.Client, upstream: Upstream
) -> None:
    """The page asked for is kept, our own paths stay ours, and signing out ends access."""
    upstream.requests.clear()
    visitor = Visitor(site, http)
    away = visitor.open("/reports/a%20b?x=1&y=2")
    assert (away.status_code, away.headers["location"]) == (
        303,
        "/auth/login?next=/reports/a%2520b%3Fx%3D1%26y%3D2",
    )
    assert visitor.fetch("/api").status_code == 401
    assert upstream.requests == []
    assert (
        visitor.sign_in_as("ada@contoso.test", "/reports/a%20b?x=1").headers["location"]
        == "/reports/a%20b?x=1"
    )
    found = SimpleNamespace(**visitor.open("/reports/a%20b?x=1").json())
    fields = {name.lower(): value for name, value in found.fields}
    assert (found.target, fields["x-forwarded-email"]) == ("/reports/a%20b?x=1", "ada@contoso.test")
    assert "entrada_" not in fields.get("cookie", "")
    whoami = visitor.whoami()
    assert whoami is not None
    assert whoami["name"] == "Ada Lovelace"
    assert visitor.fetch("/healthz").json() == {"status": "up"}
    visitor.sign_out()
    assert visitor.fetch("/reports").status_code == 401


def test_d16_the_application_verifies_who_it_is_by_the_published_keys(
    site: Site, http: httpx.Client, upstream: Upstream
) -> None:
    """What reached the upstream is good for its audience, by keys read from the gateway itself."""
    visitor = Visitor(site, http)
    visitor.sign_in_as("ada@contoso.test")
    fields = {name.lower(): value for name, value in visitor.open("/x").json()["fields"]}
    raw = fields["x-entrada-assertion"]
    claims = AssertionVerifier(issuer=site.public_url, audience="tool").verify(raw)
    assert (claims["email"], claims["roles"]) == ("ada@contoso.test", ["Admin"])
    assert claims["sub"] == fields["x-forwarded-user"]
    with pytest.raises(TokenRefused):
        AssertionVerifier(issuer=site.public_url, audience="wiki").verify(raw)


def test_d12_a_socket_closes_within_a_second_of_signing_out(
    site: Site, http: httpx.Client, upstream: Upstream
) -> None:
    """Bytes both ways while the session stands; after signing out the connection ends."""
    visitor = Visitor(site, http)
    visitor.sign_in_as("ada@contoso.test")
    cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)
    with open_socket(site, cookie) as link:
        visitor.sign_out()
        assert_closes_soon(link)


def test_d12_a_socket_closes_within_a_second_of_a_change_of_roles(
    site: Site, http: httpx.Client, upstream: Upstream
) -> None:
    """The roles that let a person in are gone: the next connection is decided anew."""
    visitor = Visitor(site, http)
    visitor.sign_in_as("ada@contoso.test")
    cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)
    party = site.auth.relying_party
    whoami = visitor.whoami()
    assert whoami is not None
    user_id = UserId(whoami["account_id"])
    party.accounts.grant_role(user_id, role="Trainee", granted_by="test", now=party.clock.now())
    party.session_check.distrust()
    with open_socket(site, cookie) as link:
        party.accounts.revoke_role(user_id, role="Trainee")
        assert_closes_soon(link)
    assert visitor.fetch("/api").status_code == 200


@contextmanager
def open_socket(site: Site, cookie: str) -> Iterator[socket.socket]:
    """An upgraded connection that echoes."""
    parts = urlsplit(site.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as link:
        host = urlsplit(site.public_url).netloc
        head = f"GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        link.sendall(f"{head}Origin: {site.public_url}\r\nCookie: {cookie}\r\n\r\n".encode())
        assert link.recv(65_536).startswith(b"HTTP/1.1 101")
        link.sendall(b"hello")
        assert link.recv(65_536) == b"hello"
        yield link


def assert_closes_soon(link: socket.socket) -> None:
    started = time.monotonic()
    with suppress(ConnectionResetError):
        assert link.recv(65_536) == b""
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--upstream", "127.0.0.1:5000"], "http://host:port"),
        (["--upstream", "http://h/path"], "http://host:port"),
        (["--explain", "/admin"], "--explain"),
    ],
)
def test_wrong_use_is_one_sentence_with_the_fix(
    arguments: list[str],
    part: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Status 1, no traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTRADA_TENANT_ID", "contoso.test")
    monkeypatch.setenv("ENTRADA_CLIENT_ID", "00001111-aaaa-2222-bbbb-3333cccc4444")
    monkeypatch.setenv("ENTRADA_CLIENT_SECRET", "a-secret-of-this-test-only")
    assert main(["serve", *arguments]) == 1
    said = capsys.readouterr().err
    assert part in said
    assert "Traceback" not in said


def test_explain_prints_the_rule(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--explain` answers and stops, without any other setting."""
    file = tmp_path / "entrada.toml"
    file.write_text('[[rules]]\npath = "/admin/**"\nroles = ["Admin"]\n')
    request = "GET https://tool.contoso.com/admin/x"
    assert (
        main(["serve", "--settings", str(file), "--upstream", "http://127.0.0.1:5000", "--explain", request])
        == 0
    )
    said = capsys.readouterr().out
    assert "line 1" in said
    assert "the roles Admin" in said
    assert "http://127.0.0.1:5000" in said
