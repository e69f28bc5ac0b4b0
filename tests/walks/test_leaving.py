"""Leaving, by asking Entra again: real servers, the emulator, and people who are disabled while signed in.

The interval is seconds here, which only an emulator is asked at.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrada.emulator import RunningEmulator
from gateway.upstream import running_upstream
from walks.conftest import NewVisitor, Serve
from walks.nursery import Nursery, nursery, until
from walks.site import ROLES, rows_of
from walks.visitor import Visitor

EVERY_SECONDS = 3.0
LONGEST_SECONDS = EVERY_SECONDS + 1.0
KEPT = "SELECT object_id FROM entrada_kept_sign_in WHERE sealed_sign_in IS NOT NULL"


@pytest.fixture
def servers(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Nursery]:
    told = {**emulator.env("entrada"), "ENTRADA_ROLES_MAPPING": ROLES, "ENTRADA_RECHECK_EVERY": "3s"}
    with nursery(told, tmp_path) as made:
        yield made


def signed_in(place: Any, http: httpx.Client, person: Any) -> Visitor:
    visitor = Visitor(place, http)
    visitor.sign_in_as(person)
    assert visitor.whoami() is not None
    return visitor


def disable(emulator: RunningEmulator, person: Any) -> None:
    emulator.change_person(person.user_principal_name, enabled=False)


def upgraded(visitor: Visitor, port: int) -> socket.socket:
    """A connection that stays, as a WebSocket's does, through the server to an echoing application."""
    cookie = visitor.session_cookie
    assert cookie is not None
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(
        f"GET /socket HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Cookie: {visitor.cookie_name('entrada_session')}={cookie.value}\r\n"
        f"Origin: {visitor.site.public_url}\r\n\r\nx".encode()
    )
    received = b""
    while not received.endswith(b"x"):
        received += client.recv(65_536)
    return client


def is_closed(client: socket.socket) -> bool:
    client.settimeout(0.01)
    try:
        return client.recv(65_536) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_k12_disabled_in_entra_is_out_of_serve(
    servers: Nursery, http: httpx.Client, emulator: RunningEmulator, tmp_path: Path, pat: Any, kim: Any
) -> None:
    """Within the interval and a second, at every server of two, WebSocket included; nobody else is.

    The log says who and why, once, and holds no token.
    """
    with running_upstream() as upstream:
        routes = f'[[routes]]\nupstream = "http://127.0.0.1:{upstream.port}"\n'
        (tmp_path / "entrada.toml").write_text(routes)
        one = servers.server()
        two = servers.server(public_url=one.public_url)
        leaver, other = signed_in(one, http, pat), signed_in(one, http, kim)
        elsewhere = Visitor(two, http, leaver.jar)  # type: ignore[arg-type]  # a place to visit
        port = int(one.address.rpartition(":")[2])
        assert elsewhere.whoami() is not None
        with upgraded(leaver, port) as theirs, upgraded(other, port) as others:
            disable(emulator, pat)
            disabled_at = time.monotonic()
            until(lambda: leaver.whoami() is None and elsewhere.whoami() is None and is_closed(theirs))
            assert time.monotonic() - disabled_at <= LONGEST_SECONDS
            assert other.whoami() is not None
            assert not is_closed(others)
    told = re.findall(
        r"access_ended reason=AADSTS50057 user_id=\w+ tenant_id=\S+ object_id=(\S+)", servers.logs()
    )
    assert told == [pat.object_id]
    assert rows_of(one.database, KEPT) == [(kim.object_id,)]
    assert "Traceback" not in servers.logs()


def test_fault_9_each_person_is_asked_about_by_one_server_of_three(
    servers: Nursery, http: httpx.Client, emulator: RunningEmulator, pat: Any
) -> None:
    """Three servers ask no oftener than one: about once an interval."""
    one = servers.server()
    for _ in range(2):
        servers.server(public_url=one.public_url)
    signed_in(one, http, pat)
    emulator.clear_requests()
    begun_at = time.monotonic()

    def refreshes() -> int:
        return sum(one.form.get("grant_type") == "refresh_token" for one in emulator.requests)

    until(lambda: refreshes() >= 3)
    assert time.monotonic() - begun_at >= 2 * 0.9 * EVERY_SECONDS
    assert refreshes() == 3


def test_fault_11_a_server_that_dies_while_it_asks_leaves_the_person_to_the_others(
    servers: Nursery, http: httpx.Client, emulator: RunningEmulator, pat: Any
) -> None:
    """kill -9 between Entra's answer and our writing: the old token still serves, and another server asks."""
    one = servers.server()
    leaver = signed_in(one, http, pat)
    emulator.clear_requests()
    emulator.fail("delay", endpoint="token", seconds=2.0)
    until(lambda: any(request.endpoint == "token" for request in emulator.requests))
    one.kill()
    two = servers.server(public_url=one.public_url)
    leaver.site = two  # type: ignore[assignment]  # a place to visit
    assert leaver.whoami() is not None
    disable(emulator, pat)
    until(lambda: leaver.whoami() is None)
    assert "AADSTS50057" in servers.logs()


def test_k12_a_server_that_starts_asks_about_whoever_is_signed_in(
    servers: Nursery, http: httpx.Client, emulator: RunningEmulator, pat: Any
) -> None:
    """Nobody has to come by first: after a restart the leaver's session ends all the same."""
    one = servers.server()
    signed_in(one, http, pat)
    one.kill()
    disable(emulator, pat)
    two = servers.server(public_url=one.public_url)
    until(lambda: not rows_of(two.database, "SELECT id FROM entrada_session"))


def test_k12_within_the_library_asking_begins_by_itself_and_ends_with_close(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """An application that only answers requests: a sign-in starts the asking, `close` stops it."""
    site = serve(ENTRADA_RECHECK_EVERY="1s")
    recheck = site.auth.relying_party.recheck
    assert recheck is not None
    loop = recheck.loop
    assert not loop.is_running
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    assert loop.is_running
    disable(emulator, pat)
    until(lambda: visitor.whoami() is None)
    site.auth.relying_party.close()
    assert not loop.is_running
    loop.start()
    assert not loop.is_running


def test_k12_new_roles_reach_a_live_session(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """What Entra gives now, without a new sign-in; the session goes on."""
    visitor = new_visitor(serve(ENTRADA_RECHECK_EVERY="1s"))
    visitor.sign_in_as(pat)
    before = visitor.session_cookie
    emulator.change_person(pat.user_principal_name, roles=["Admin"], display_name="Pat Newname")
    until(lambda: (visitor.whoami() or {}).get("roles") == ["Admin"])
    assert (visitor.whoami() or {})["name"] == "Pat Newname"
    assert visitor.session_cookie == before


def test_k12_back_in_with_the_next_sign_in(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Disabled by mistake: enabled again, the person signs in as before, and is asked about again."""
    site = serve(ENTRADA_RECHECK_EVERY="1s")
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    account = site.account_of(pat)
    disable(emulator, pat)
    until(lambda: visitor.whoami() is None)
    emulator.change_person(pat.user_principal_name, enabled=True)
    visitor.sign_in_as(pat)
    assert visitor.whoami() is not None
    found = site.account_of(pat)
    assert account is not None
    assert found is not None
    assert found.id == account.id
    disable(emulator, pat)
    until(lambda: visitor.whoami() is None)


def test_k12_signed_out_means_forgotten(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """After the last session there is nobody to ask about: the refresh token is gone."""
    site = serve(ENTRADA_RECHECK_EVERY="1s")
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    assert site.database is not None
    database = site.database
    assert rows_of(database, KEPT) == [(pat.object_id,)]
    account = site.account_of(pat)
    assert account is not None
    site.auth.relying_party.sessions.end_of_user(account.id)
    until(lambda: not rows_of(database, "SELECT 1 FROM entrada_kept_sign_in"))


def test_fault_12_an_outage_ends_nobody(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """While the token endpoint fails, sessions go on; once it answers, the leaver is out."""
    visitor = new_visitor(serve(ENTRADA_RECHECK_EVERY="1s"))
    visitor.sign_in_as(pat)
    disable(emulator, pat)
    emulator.clear_requests()
    emulator.fail("server_error", endpoint="token", status=503, times=None)
    until(lambda: any(one.endpoint == "token" for one in emulator.requests))
    assert visitor.whoami() is not None
    emulator.clear_faults()
    until(lambda: visitor.whoami() is None)


def test_fault_13_and_14_ended_while_entra_is_being_asked_stays_ended(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """Signed out, or disabled here, with a refresh under way: its good answer brings nobody back."""
    site = serve(ENTRADA_RECHECK_EVERY="1s")
    relying_party = site.auth.relying_party
    leaver, disabled = new_visitor(site), new_visitor(site)
    leaver.sign_in_as(pat)
    disabled.sign_in_as(kim)
    emulator.clear_requests()
    emulator.fail("delay", endpoint="token", seconds=0.7, times=2)
    until(lambda: sum(one.endpoint == "token" for one in emulator.requests) == 2)
    account = site.account_of(kim)
    assert account is not None
    leaver.post("/auth/logout", {"everywhere": "1"})
    relying_party.set_disabled(account.id, disabled=True)
    emulator.clear_requests()
    until(lambda: relying_party.recheck is not None and relying_party.recheck.look() == 0)
    assert (leaver.whoami(), disabled.whoami()) == (None, None)
    found = site.account_of(kim)
    assert found is not None
    assert not found.is_enabled


def test_k12_a_process_that_stood_still_opens_no_session_that_nobody_asks_about(
    serve: Serve, new_visitor: NewVisitor, monkeypatch: pytest.MonkeyPatch, pat: Any
) -> None:
    """Stopped between keeping and opening for longer than the interval, while another server forgot them."""
    site = serve()
    relying_party = site.auth.relying_party
    assert relying_party.recheck is not None
    kept, open_session = relying_party.recheck.sealed_sign_ins, relying_party.sessions.open

    def stand_still_and_open(*given: Any, **named: Any) -> None:
        site.clock.pass_by(minutes=20)
        assert kept.claim_due(now=site.clock.now(), next_check_at=site.clock.now()) is None
        open_session(*given, **named)

    monkeypatch.setattr(relying_party.sessions, "open", stand_still_and_open)
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    assert visitor.whoami() is not None
    assert site.database is not None
    assert rows_of(site.database, KEPT) == [(pat.object_id,)]
