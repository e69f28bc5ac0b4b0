"""The access log of the real `entrada serve`: who, what, by which rule; no query, and nobody writes in it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGHUP
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.emulator import RunningEmulator
from house.tools import could_not_run, free_port
from walks.site import wait_until

from .operation import Serving, cookie_of, serving
from .proxies import nginx
from .upstream import Upstream

FIELDS = {
    "time", "client", "part", "method", "host", "path", "rule", "result", "status", "user_id", "duration_ms"
}  # fmt: skip


def lines_of(server: Serving, name: str = "access.log") -> list[dict[str, Any]]:
    """Every line is an object with the same fields."""
    text = server.out if name == "stdout" else (server.folder / name).read_text("ascii")
    assert not text or text.endswith("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(set(line) == FIELDS for line in lines)
    return lines


def until_logged(server: Serving, name: str = "access.log", **wanted: Any) -> dict[str, Any]:
    """The line with these values, as soon as it is there."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [line for line in lines_of(server, name) if wanted.items() <= line.items()]
        return bool(found)

    wait_until(is_there)
    return found[-1]


@pytest.fixture(scope="module")
def server(
    emulator: RunningEmulator, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    arguments = ("--upstream", f"http://127.0.0.1:{upstream.port}")
    folder = tmp_path_factory.mktemp("log")
    with serving(emulator, folder, *arguments, ENTRADA_ACCESS_LOG=str(folder / "access.log")) as running:
        yield running


def test_a_line_says_who_what_and_by_which_rule(server: Serving, http: httpx.Client) -> None:
    """A proxy's question is logged as the request that it asks about, from both paths alike."""
    visitor = server.visitor(http)
    visitor.sign_in_as("ada@contoso.test")
    whoami = visitor.whoami()
    assert whoami is not None
    host = urlsplit(server.public_url).netloc
    common = {"part": "check", "method": "GET", "host": host, "client": "127.0.0.1"}
    # The first question takes the general path, the others the fast one.
    for number in range(3):
        assert server.check(f"/admin/{number % 2}?secret=1", cookie=cookie_of(visitor)) == 200
    who = {"user_id": whoami["account_id"], "rule": "/admin/**", "result": "allowed", "status": 200}
    assert until_logged(server, path="/admin/1", **common, **who)["duration_ms"] > 0
    wait_until(lambda: sum(line["path"] == "/admin/0" for line in lines_of(server)) == 2)
    assert server.check("/admin/2") == 401
    until_logged(server, path="/admin/2", result="sign_in_needed", user_id=None, status=401, **common)
    assert visitor.open("/reports?x=1").status_code == 200
    until_logged(
        server, part="proxy", path="/reports", rule="otherwise", result="allowed", user_id=who["user_id"]
    )
    until_logged(server, part="own", path="/auth/me", rule=None, result=None, status=200)


def test_J1_no_code_state_or_token_is_in_it(server: Serving, http: httpx.Client) -> None:
    """Through a whole sign-in, and with tokens in queries of the application's own, no query is written."""
    visitor = server.visitor(http)
    coming_back = visitor.approve_as("ed@contoso.test", visitor.begin("/reports?token=hush-app"))
    visitor.complete(coming_back)
    visitor.open("/reports?reset=hush-app#access_token=hush-fragment")
    server.check("/reports?token=hush-app", cookie=cookie_of(visitor))
    until_logged(server, path="/auth/entra/callback", status=303)
    until_logged(server, part="check", path="/reports")
    text = (server.folder / "access.log").read_text("ascii")
    query = dict(pair.split("=", 1) for pair in urlsplit(coming_back).query.split("&"))
    assert {"code", "state"} <= query.keys()
    secrets = [query["code"], query["state"], "hush-app", "hush-fragment", *_cookie_values(visitor)]
    assert [secret for secret in secrets if secret in text] == []
    assert "?" not in text


def _cookie_values(visitor: Any) -> list[str]:
    return [part.partition("=")[2] for part in cookie_of(visitor).split("; ")]


@pytest.mark.parametrize(
    "target",
    [
        b'/x\x0b{"status":200}',
        b"/\x1b[2Jx",
        b"/\xe2\x80\xa8{}",
        b"/\x85next",
        b'/","user_id":"root',
        b"/\\u000a{}",
        b"/%0a%0d{}",
        b"/\x7f",
        b"/" + b"a" * 20_000,
    ],
    ids=repr,
)
def test_J1_nobody_writes_a_line_of_their_own(server: Serving, target: bytes) -> None:
    """Whatever stands in a target or host, there is one line for it, with all fields, cut, in ASCII."""
    before = len(lines_of(server))
    with socket.create_connection(("127.0.0.1", urlsplit(server.address).port or 0), timeout=10) as link:
        head = b'GET %b HTTP/1.1\r\nHost: a\xff"},{\r\nConnection: close\r\n\r\n'
        link.sendall(head.replace(b"%b", target))
        answered = bool(link.recv(65_536).startswith(b"HTTP/1.1 4"))
    assert answered
    server.check("/after")
    until_logged(server, path="/after")
    text = (server.folder / "access.log").read_bytes()
    assert all(byte == 10 or 32 <= byte < 127 for byte in text)
    after = lines_of(server)
    assert len(after) - before <= 2
    assert all(len(line["path"]) <= 2048 for line in after)


def test_the_client_is_the_one_behind_the_listed_proxy(server: Serving, http: httpx.Client) -> None:
    """A listed hop says whose request it was."""
    http.get(f"{server.address}/healthz", headers={"X-Forwarded-For": "198.51.100.9, 192.0.2.7"})
    until_logged(server, path="/healthz", client="192.0.2.7")


def test_behind_the_documented_nginx_no_visitor_chooses_the_client(
    server: Serving, upstream: Upstream, tmp_path: Path
) -> None:
    """A visitor's own X-Forwarded-For gets into the line of no question, of let in or refused alike."""
    port = free_port()
    with ExitStack() as stack:
        entrada, application = urlsplit(server.address).netloc, f"127.0.0.1:{upstream.port}"
        nginx(stack, tmp_path, port, entrada, application)
        for field in ({}, {"X-Forwarded-For": "198.51.100.9"}):
            url = f"http://127.0.0.1:{port}/behind-nginx"
            assert httpx.get(url, headers=field, trust_env=False).status_code in (400, 401, 403)
    # Each visit is two questions: may it pass, and what does the person see.
    wait_until(lambda: len([line for line in lines_of(server) if line["path"] == "/behind-nginx"]) == 4)
    asked = [line for line in lines_of(server) if line["path"] == "/behind-nginx"]
    assert {line["client"] for line in asked} == {"127.0.0.1"}


def test_sighup_opens_the_file_anew(server: Serving, http: httpx.Client) -> None:
    """Moved away and a SIGHUP sent, the next lines are in a new file of the name; nobody else may read it."""
    file = server.folder / "access.log"
    server.check("/before-rotation")
    until_logged(server, path="/before-rotation")
    file.rename(server.folder / "access.log.1")
    server.signal(SIGHUP)
    wait_until(file.exists)
    server.check("/after-rotation")
    until_logged(server, path="/after-rotation")
    assert (os.stat(file).st_mode & 0o777) == 0o600


def test_stdout_is_a_place_for_it(emulator: RunningEmulator, tmp_path: Path, http: httpx.Client) -> None:
    """`stdout` gets the lines and nothing else; at the end nothing is lost."""
    with serving(emulator, tmp_path, ENTRADA_ACCESS_LOG="stdout") as server:
        server.check("/last")
        assert server.end() == 0
        assert [line["path"] for line in lines_of(server, "stdout")][-1] == "/last"


def test_a_full_disk_delays_nobody_and_is_said(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """Lines that cannot be written are counted in the log; requests go on."""
    if not Path("/dev/full").exists():
        could_not_run("this system has no /dev/full")
    with serving(emulator, tmp_path, ENTRADA_ACCESS_LOG="/dev/full") as server:
        for _ in range(20):
            assert server.check("/x") == 401
        wait_until(lambda: "lines of the access log could not be written" in server.log)
        assert server.check("/x") == 401


def test_a_file_that_cannot_be_opened_stops_the_start(emulator: RunningEmulator, tmp_path: Path) -> None:
    """One sentence with the setting and the fix."""
    with serving(emulator, tmp_path, wait=False, ENTRADA_ACCESS_LOG="/no/such/folder/x.log") as server:
        assert server.process.wait(timeout=60) == 1
        assert "/no/such/folder/x.log" in server.log
        assert "Traceback" not in server.log


def test_without_the_setting_there_is_none(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """Nothing is written anywhere by default."""
    with serving(emulator, tmp_path) as server:
        server.check("/x")
        assert server.end() == 0
        assert server.out == ""
        assert "/x" not in server.log
