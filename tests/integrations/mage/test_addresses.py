"""K5: each of Mage's addresses, asked without a session, with an ended one, and from another site.

One started Mage for all of it; the table is `addresses.py`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients import websocket
from clients.mage import entrada_mage, mage_commands, running_mage
from entrada.emulator import RunningEmulator
from entrada.integrations.mage import guard
from integrations.mage.addresses import ADDRESSES, OPEN, Address, Kind
from integrations.mage.conftest import WITH_ENTRADA
from integrations.mage.desk import Desk

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

EVIL = "https://evil.example"
_ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SOCKETS = (Kind.SOCKET, Kind.SHELL)


def named(address: Address) -> str:
    return f"{address.kind.name} {address.pattern}"


@pytest.fixture(scope="module")
def ended(running_desk: Desk) -> str:
    """A session that was open, and that Entra has ended."""
    desk = running_desk.as_new()
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        assert desk.opens(session)
        assert desk.signs_out(browser).status_code == 200
    return session


@pytest.fixture(scope="module")
def editor(running_desk: Desk) -> str:
    return running_desk.as_new().sign_in("ed@contoso.test")


@pytest.fixture(scope="module")
def viewer(running_desk: Desk) -> str:
    return running_desk.as_new().sign_in("vi@contoso.test")


@pytest.fixture(scope="module")
def without_role(running_desk: Desk) -> str:
    return running_desk.as_new().sign_in("nora@contoso.test")


def ask(
    desk: Desk, method: str, path: str, session: str = "", *, base_path: str = "", **headers: str
) -> httpx.Response:
    """A request with that session in the cookie, as Mage's pages send it, and `api_key` in the query."""
    cookie = {"cookie": f"oauth_token={session}"} if session else {}
    return httpx.request(
        method,
        f"{desk.mage.site}{base_path}{path}?api_key={desk.mage.api_key}",
        headers={**cookie, **{name.replace("_", "-"): value for name, value in headers.items()}},
        json={"api_key": desk.mage.api_key} if method in ("POST", "PUT") else None,
        timeout=60,
        trust_env=False,
    )


def handshake(desk: Desk, path: str, session: str = "", **headers: str) -> int:
    cookie = {"Cookie": f"oauth_token={session}"} if session else {}
    socket = websocket.opened(
        desk.mage.site + path,
        {**cookie, **{name.replace("_", "-"): value for name, value in headers.items()}},
    )
    socket.close()
    return socket.status


# --- the table is Mage's ---


@pytest.fixture(scope="module")
def checked(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    told = entrada_mage(entra, tmp_path_factory.mktemp("checked"), "check", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_k5_the_table_names_every_address_of_mage(checked: dict[str, Any]) -> None:
    """What Mage registers and what the table says are the same set: nothing is missing, nothing invented."""
    registered = {(one["pattern"], one["handler"].rpartition(".")[2]) for one in checked["addresses"]}
    table = {(one.pattern, one.handler) for one in ADDRESSES}
    assert registered == table


def test_k5_every_address_is_known_to_the_guard(checked: dict[str, Any]) -> None:
    """What asks for nothing is what the table holds to be open, each with its reason; the rest asks."""
    asks_nothing = {one["pattern"] for one in checked["addresses"] if one["reading"] == "nothing"}
    assert asks_nothing == {one.pattern for one in ADDRESSES if one.kind in OPEN} - {r"/api/status(?:es)?"}
    assert all(one["known"] and one["why"] for one in checked["addresses"])
    assert all(guard.OPEN_OF_THE_API.values())
    assert {resource.partition("/")[0] for _, resource in guard.OPEN_OF_THE_API} == {
        "status",
        "statuses",
        "oauths",
        "sessions",
    }


def test_k5_a_new_handler_is_named_and_stays_closed(entra: RunningEmulator, tmp_path: Path) -> None:
    """A Mage with one address more: the check fails and names it, and nobody gets in there."""
    program = tmp_path / "new.py"
    program.write_text(
        "import json, sys\n"
        "from entrada.integrations.mage import checks, launcher\n"
        "launcher.environment_of_check()\n"
        "import tornado.web, mage_ai.server.server as server\n"
        "class Brandnew(server.MainPageHandler): pass\n"
        "stock = server.make_app\n"
        "def make_app(template_dir=None, update_routes=False, status_only=False):\n"
        "    app = stock(template_dir, update_routes, status_only)\n"
        "    app.add_handlers('.*', [('/brand-new', Brandnew)])\n"
        "    return app\n"
        "server.make_app = make_app\n"
        "report = checks.look()\n"
        "print(json.dumps([report.fits, report.is_whole, [one.pattern for one in report.unknown]]))\n",
        "utf-8",
    )
    told = subprocess.run(
        [mage_commands(with_entrada=True) / "python", program],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout.splitlines()[-1]) == [True, False, ["/brand-new"]]


# --- each address ---


@pytest.mark.parametrize("address", ADDRESSES, ids=named)
def test_k5_without_a_session(running_desk: Desk, address: Address) -> None:
    """What asks for a session answers 401, whatever the method; what is open answers as Mage does."""
    if address.kind in OPEN:
        for method in address.methods:
            answer = ask(running_desk, method, address.tried)
            assert answer.status_code not in (401, 403, 500), (method, answer.text)
            if address.kind is Kind.TRIGGER:
                assert "error" in answer.json(), "a trigger ran without its token"
        return
    for method in _ALL_METHODS:
        wanted = (401, 403) if (address.kind, method) != (Kind.SHELL, "GET") else (401,)
        assert ask(running_desk, method, address.tried).status_code in wanted, method
    if address.kind in _SOCKETS:
        assert handshake(running_desk, address.tried) == 401


@pytest.mark.parametrize("address", [one for one in ADDRESSES if one.kind not in OPEN], ids=named)
def test_k5_with_an_ended_session(running_desk: Desk, ended: str, address: Address) -> None:
    """A session that has ended is none: in the cookie, in a header, in the address."""
    text = running_desk.token_in(ended)
    for method in address.methods:
        assert ask(running_desk, method, address.tried, ended).status_code == 401, method
        for headers in (
            {"oauth_token": text},
            {"authorization": f"Bearer {text}"},
            {"oauth_token": text, "x_api_key": running_desk.mage.api_key},
        ):
            assert ask(running_desk, method, address.tried, **headers).status_code == 401, (method, headers)
    if address.kind in _SOCKETS:
        assert handshake(running_desk, address.tried, ended) == 401


@pytest.mark.parametrize("address", [one for one in ADDRESSES if one.kind not in OPEN], ids=named)
def test_k5_from_another_site(running_desk: Desk, editor: str, address: Address) -> None:
    """With a good session, and sent by another site's page: refused before Mage sees it."""
    for method in address.methods:
        for headers in (
            {"origin": EVIL},
            {"origin": "null"},
            {"origin": running_desk.mage.site + "0"},
            {"origin": EVIL, "sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"},
            {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
            {"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"},
        ):
            answer = ask(running_desk, method, address.tried, editor, **headers)
            assert answer.status_code == 403, (method, headers, answer.text)
            assert "Another site" in answer.json()["error"]["message"] or method == "HEAD"
    if address.kind in _SOCKETS:
        for origin in (EVIL, "null", running_desk.mage.site + "0"):
            assert handshake(running_desk, address.tried, editor, Origin=origin) == 403


@pytest.mark.parametrize("address", [one for one in ADDRESSES if one.kind not in OPEN], ids=named)
def test_k5_with_a_session_of_ours(running_desk: Desk, editor: str, address: Address) -> None:
    """Who is in gets Mage's own answer: the guard refuses nothing, from our Origin or without one."""
    ours = {"origin": running_desk.mage.site, "sec_fetch_site": "same-origin"}
    if address.kind in _SOCKETS:
        assert handshake(running_desk, address.tried, editor) == 101
        assert handshake(running_desk, address.tried, editor, Origin=running_desk.mage.site) == 101
        return
    for method in address.methods:
        if address.kind is Kind.STREAM:
            with httpx.stream(
                method,
                running_desk.mage.site + address.tried,
                headers={"cookie": f"oauth_token={editor}", **ours},
                trust_env=False,
            ) as stream:
                assert stream.status_code == 200
            continue
        if method == "DELETE" or (method == "PUT" and "users/1" in address.tried):
            continue  # what it would do is Mage's own, and would be done
        for headers in (ours, {}):
            answer = ask(running_desk, method, address.tried, editor, **headers)
            assert "invalid_oauth_token" not in answer.text
            assert answer.status_code != 401


@pytest.mark.parametrize(
    ("address", "method", "viewers"),
    [
        (address, method, viewers)
        for address in ADDRESSES
        for method in address.methods
        for viewers in (
            [200] if address.kind is Kind.READ or (address.kind is Kind.CHANGE and method == "GET") else [403]
        )
        if address.kind in (Kind.READ, Kind.CHANGE)
    ],
    ids=lambda value: named(value) if isinstance(value, Address) else str(value),
)
def test_k5_rights_where_mage_asks_for_none(
    running_desk: Desk, viewer: str, without_role: str, address: Address, method: str, viewers: int
) -> None:
    """Where Mage asks nobody: a viewer sees and changes nothing, somebody without a role sees nothing."""
    answer = ask(running_desk, method, address.tried, viewer)
    assert (answer.status_code == 403) == (viewers == 403), answer.text
    assert ask(running_desk, method, address.tried, without_role).status_code == 403


def test_k5_rights_at_sockets(running_desk: Desk, viewer: str, without_role: str) -> None:
    """A viewer hears the kernel and has no shell; somebody without a role hears nothing."""
    assert handshake(running_desk, "/websocket/", viewer) == 101
    assert handshake(running_desk, "/websocket/terminal", viewer) == 403
    assert handshake(running_desk, "/websocket/", without_role) == 403
    assert handshake(running_desk, "/websocket/terminal", without_role) == 403
    assert ask(running_desk, "GET", "/event-streams/x", without_role).status_code == 403


# --- spelled otherwise ---


@pytest.mark.parametrize(
    "path",
    [
        "/api/event_matchers/",
        "//api/event_matchers",
        "/api//event_matchers",
        "/API/event_matchers",
        "/api/event%5Fmatchers",
        "/./api/event_matchers",
        "/api/x/../event_matchers",
        "/api/sessions",
        "/api/sessions/1",
        "/api/Sessions/1",
        "/api/users/1/sessions",
        "/api/statuses/1",
        "/api/statuses/1/users",
        "/api/oauths/github/users",
        "/api/status/",
        "/websocket",
        "/websocket//terminal",
        "/websocket/terminal/",
        "/metrics",
        "/api/scheduler",
        "/api/kernels",
        "/api/clusters/x/channels",
    ],
)
def test_k5_other_spellings_open_nothing(running_desk: Desk, path: str) -> None:
    """Slashes, letters, dots and nested names: 401, or there is nothing. HEAD and OPTIONS alike."""
    url = httpx.URL(running_desk.mage.site).copy_with(raw_path=path.encode())
    for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PATCH"):
        for headers in ({}, {"x-http-method-override": "POST"}, {"x-forwarded-for": "127.0.0.1"}):
            answer = httpx.request(method, url, headers=headers, trust_env=False, timeout=60)
            assert answer.status_code in (401, 403, 404), (method, answer.status_code)


@pytest.mark.parametrize(
    ("setting", "prefix_in_the_browser"), [("MAGE_BASE_PATH", "/tools/mage"), ("MAGE_ROUTES_BASE_PATH", "")]
)
def test_k5_with_a_base_path(entra: RunningEmulator, setting: str, prefix_in_the_browser: str) -> None:
    """Everything moves, guard and all; without the prefix there is nothing. Where a proxy adds the prefix
    (MAGE_ROUTES_BASE_PATH alone), browsers and Entra are told addresses without it.
    """
    settings = {**WITH_ENTRADA, setting: "tools/mage"}
    with running_mage(
        entra, with_entrada=True, settings=settings, status_path="/tools/mage/api/status"
    ) as mage:
        desk = Desk(mage=mage, entra=entra)
        password = desk.password_session(base_path="/tools/mage")
        assert password
        for address in ADDRESSES:
            if address.kind in OPEN:
                continue
            method = address.methods[0]
            assert ask(desk, method, address.tried, base_path="/tools/mage").status_code == 401, address
            outside = ask(desk, method, address.tried, password).status_code
            assert outside == 404, address
        start = ask(desk, "GET", "/auth/entra/start", base_path="/tools/mage")
        asked = httpx.URL(start.headers["location"]).params
        assert asked["redirect_uri"] == f"{mage.site}{prefix_in_the_browser}/oauth"
        assert handshake(desk, "/tools/mage/websocket/") == 401
        assert handshake(desk, "/tools/mage/websocket/", password) == 101
        assert handshake(desk, "/tools/mage/websocket/terminal", password) == 101
        assert handshake(desk, "/tools/mage/websocket/", password, Origin=EVIL) == 403
