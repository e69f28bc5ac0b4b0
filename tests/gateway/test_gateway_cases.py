"""Cases of the catalogue against `entrada serve` by itself (D22 to D24, G12 to G14, faults 28, 29 and 33)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import sqlite3
import ssl
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from emulator.relying_party import Entra
from entrada.accounts.roles import RoleMapping
from entrada.adapters.assertion import WsgiAssertionMiddleware
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from entrada.gateway.app import create_gateway
from entrada.gateway.bearer_callers import bearer_callers
from entrada.gateway.hops import parse_trusted_hops
from entrada.gateway.rules import Route, RuleBook
from entrada.web.auth_routes import AuthRoutes
from walks.site import ShiftedClock, Site, served, wait_until
from walks.visitor import Visitor

from .conftest import SCOPE
from .operation import Serving, cookie_of, serving
from .raw_requests import head_of
from .upstream import running_upstream


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def site(emulator: RunningEmulator, tmp_path: Path, clock: ShiftedClock) -> Iterator[Site]:
    """The reverse proxy, callers with access tokens included. The upstream ends before it."""
    with ExitStack() as ending:
        upstream = ending.enter_context(running_upstream())
        book = RuleBook(routes=[Route(upstream=f"http://127.0.0.1:{upstream.port}")])

        def app_of(auth: AuthRoutes) -> object:
            bearer = bearer_callers(auth.relying_party, scopes=[SCOPE], mapping=RoleMapping())
            return create_gateway(auth, hops=parse_trusted_hops(["127.0.0.1"]), book=book, bearer=bearer)

        with served(emulator, database=tmp_path / "entrada.db", clock=clock, app_of=app_of) as site:
            try:
                yield site
            finally:
                ending.close()


@pytest.fixture
def token(emulator: RunningEmulator, site: Site, http: httpx.Client) -> str:
    """Ada's, for this registration; she has an account here."""
    Visitor(site, http).sign_in_as("ada@contoso.test")
    with httpx.Client(verify=ssl.create_default_context(cafile=emulator.ca_file), trust_env=False) as client:
        entra = Entra(emulator, client)
        tokens = entra.tokens(scope=f"openid api://{CLIENT_ID}/{SCOPE}", prompt="login")
    return str(tokens["access_token"])


def test_d22_sign_ins_at_once_swap_nobody(site: Site, emulator: RunningEmulator) -> None:
    """Sixteen browsers of two people, each step of all of them before the next: everybody is themselves."""
    http = httpx.Client(trust_env=False, follow_redirects=False, timeout=60)
    names = ["ada@contoso.test", "vi@contoso.test"] * 8
    with http, ThreadPoolExecutor(16) as pool:
        visitors = [Visitor(site, http) for _ in names]
        list(pool.map(lambda visitor: visitor.begin(), visitors))
        list(pool.map(lambda visitor, name: visitor.approve_as(name), visitors, names))
        list(pool.map(lambda visitor: visitor.complete(), visitors))
        told = list(pool.map(lambda visitor: visitor.fetch("/who").json(), visitors))
    fields = [{name.lower(): value for name, value in one["fields"]} for one in told]
    assert [one["x-forwarded-email"] for one in fields] == names


def test_d23_without_the_assertion_the_application_believes_nobody() -> None:
    """Reached past the gateway, with every identity field there is: 401 before the application."""
    reached: list[Any] = []
    application = WsgiAssertionMiddleware(
        lambda environ, start: reached.append(environ) or [], issuer="https://tool.test", audience="tool"
    )
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_X_FORWARDED_USER": "admin",
        "HTTP_X_FORWARDED_EMAIL": "ada@contoso.test",
        "HTTP_REMOTE_USER": "admin",
        "HTTP_X_ENTRADA_USER": "admin",
        "REMOTE_USER": "admin",
    }
    statuses: list[str] = []
    list(application(environ, lambda status, *_: statuses.append(status)))
    assert statuses[0].startswith("401")
    assert reached == []


def test_d24_a_token_is_no_session_and_ends_with_the_account(
    site: Site, http: httpx.Client, token: str, clock: ShiftedClock, emulator: RunningEmulator
) -> None:
    """In the cookie's place it opens nothing; once the account is disabled it opens nothing anywhere."""
    visitor = Visitor(site, http)
    visitor.present(token)
    assert visitor.fetch("/reports").status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    assert visitor.fetch("/reports", **bearer).status_code == 200
    account = site.account_of(emulator.person("ada@contoso.test"))
    assert account is not None
    site.auth.relying_party.accounts.set_disabled(account.id, disabled=True, now=clock.now())
    clock.pass_by(seconds=60)
    assert visitor.fetch("/reports", **bearer).status_code in (401, 403)


def test_g12_what_a_token_opened_closes_when_it_expires(site: Site, token: str, clock: ShiftedClock) -> None:
    """A socket and an event stream that were opened with it stay as long as it does."""
    payload = token.split(".")[1]
    expires = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
    clock.ahead += timedelta(seconds=expires - clock.now().timestamp() - 3)
    port = urlsplit(site.address).port or 0
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    upgrade += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Authorization: Bearer {token}"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(head_of(site, "GET /socket HTTP/1.1", *upgrade))
        assert link.recv(65_536).startswith(b"HTTP/1.1 101")
        link.sendall(b"hello")
        assert link.recv(65_536) == b"hello"
        begun = time.monotonic()
        with suppress(ConnectionError):
            assert link.recv(65_536) == b""
        assert time.monotonic() - begun < 10


def test_g13_made_up_key_ids_cost_one_fetch(
    site: Site, http: httpx.Client, token: str, emulator: RunningEmulator
) -> None:
    """Three hundred tokens, each by a key that nobody has: 401, and Entra is asked once."""
    head, payload, signature = token.split(".")
    emulator.clear_requests()
    visitor = Visitor(site, http)
    for number in range(300):
        made_up = {"alg": "RS256", "typ": "JWT", "kid": f"made-up-{number}"}
        forged = base64.urlsafe_b64encode(json.dumps(made_up).encode()).rstrip(b"=").decode()
        answer = visitor.fetch("/reports", authorization=f"Bearer {forged}.{payload}.{signature}")
        assert answer.status_code == 401
    assert sum(request.endpoint == "keys" for request in emulator.requests) <= 1
    assert visitor.fetch("/reports", authorization=f"Bearer {head}.{payload}.{signature}").status_code == 200


def test_g14_no_token_for_graph_is_kept_that_could_be_challenged(
    site: Site, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Nobody's token for Graph outlives the sign-in, and Entra is not told that challenges are understood.

    So Graph has nothing to challenge: whoever is turned off there is asked about by Entrada itself.
    """
    visitor = Visitor(site, http)
    visitor.sign_in_as("ada@contoso.test")
    assert "xms_cc" not in json.dumps([str(request) for request in emulator.requests])
    with closing(sqlite3.connect(str(site.database))) as database:
        dump = "\n".join(database.iterdump())
    assert "eyJ" not in dump


@pytest.fixture
def server(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Serving]:
    with serving(emulator, tmp_path) as server:
        yield server


def test_fault_15_without_its_database_nobody_is_let_in_and_it_recovers_alone(
    server: Serving, http: httpx.Client
) -> None:
    """Moved away while it runs: no session counts after a second or two, and public paths stay open."""
    visitor = server.visitor(http)
    visitor.sign_in_as("ada@contoso.test")
    cookie = cookie_of(visitor)
    assert server.check("/reports", cookie=cookie) == 200
    files = list(server.folder.glob("entrada.db*"))
    for file in files:
        file.rename(file.with_name(f"away-{file.name}"))
    wait_until(lambda: server.check("/reports", cookie=cookie) == 403, seconds=5)
    assert server.check("/open/x") == 200
    assert "store_unavailable" in server.log
    for file in files:
        file.with_name(f"away-{file.name}").rename(file)
    wait_until(lambda: server.check("/reports", cookie=cookie) == 200, seconds=5)


CHECK = (
    "GET /auth/nginx HTTP/1.1\r\nHost: {host}\r\nX-Original-Method: GET\r\nX-Original-Host: {host}\r\n"
    "X-Original-URI: /reports\r\nCookie: {cookie}\r\n\r\n"
)


async def _asked(port: int, request: bytes, times: int) -> list[float]:
    """How long each of so many checks took, one after another on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    try:
        for _ in range(times):
            begun = time.perf_counter()
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            took.append(time.perf_counter() - begun)
            assert answer.startswith(b"HTTP/1.1 200"), answer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return took


async def _asked_by_many(port: int, request: bytes, connections: int, times: int) -> list[float]:
    rows = await asyncio.gather(*(_asked(port, request, times) for _ in range(connections)))
    return [one for row in rows for one in row]


def _request(server: Serving, http: httpx.Client) -> tuple[int, bytes]:
    visitor = server.visitor(http)
    visitor.sign_in_as("ada@contoso.test")
    host = server.public_url.removeprefix("http://")
    request = CHECK.format(host=host, cookie=cookie_of(visitor)).encode()
    return urlsplit(server.address).port or 0, request


@pytest.mark.heavy
def test_fault_28_memory_and_descriptors_stay_as_they_are(server: Serving, http: httpx.Client) -> None:
    """Sixty thousand checks over nine hundred connections leave no descriptors behind, and memory stays."""
    port, request = _request(server, http)

    def used() -> tuple[int, int]:
        pid = server.process.pid
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
        kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
        return len(os.listdir(f"/proc/{pid}/fd")), int(kilobytes)

    asyncio.run(_asked_by_many(port, request, 30, 100))
    descriptors, memory = used()
    for _ in range(30):
        asyncio.run(_asked_by_many(port, request, 30, 66))
    # The server learns of closed connections a moment later, and more of the database's idle ones may stay
    # open, three descriptors each; a leak would be one for each of nine hundred connections.
    wait_until(lambda: used()[0] <= descriptors + 40)
    assert used()[1] < memory + 8_192


@pytest.mark.heavy
def test_fault_33_many_checks_at_once_are_answered_soon(server: Serving, http: httpx.Client) -> None:
    """At 16 connections nearly every check is done within a quarter of a second, on a busy machine, too."""
    port, request = _request(server, http)
    took = asyncio.run(_asked_by_many(port, request, 16, 400))
    assert statistics.quantiles(took, n=100)[98] < 0.25


def test_fault_29_a_check_under_way_is_answered_and_nothing_new_is_taken(
    server: Serving, http: httpx.Client
) -> None:
    """SIGTERM while checks come in: each is answered or finds nobody, none is cut, and the status is 0."""
    port, request = _request(server, http)
    answers: list[bytes] = []
    begun = threading.Event()

    def ask() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
                while True:
                    link.sendall(request)
                    answer = link.recv(65_536)
                    if not answer:
                        return
                    answers.append(answer)
                    begun.set()
        except ConnectionError:
            return

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(timeout=20)
    server.signal(signal.SIGTERM)
    assert server.process.wait(timeout=30) == 0
    thread.join(timeout=20)
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\n")
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
