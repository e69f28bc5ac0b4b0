"""Installations hear that a sign-in ended: signed, tried again until taken, and given up only after a day."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from types import SimpleNamespace
from urllib.parse import parse_qs

import jwt

from broker.world import ADA, APP, CONTOSO, ISSUER, OTHER, World
from entrada.accounts.broker_subject import subject_of
from entrada.broker.backchannel_logout import Post, claim_due, deliver
from entrada.broker.delivery_loop import DeliveryLoop
from entrada.broker.installations import ClientId, Installation, installation_at
from entrada.cli.serve import listen
from entrada.entra.pooled_transport import PooledTransport
from entrada.errors import EntraUnavailable


class Inbox:
    """An installation's logout address: answers with `status`, or not at all."""

    def __init__(self, status: int | None = 200) -> None:
        self.status = status
        self.got: list[tuple[str, str]] = []

    def __call__(self, url: str, form: str) -> int:
        self.got.append((url, parse_qs(form)["logout_token"][0]))
        if self.status is None:
            raise EntraUnavailable(reason="connection refused")
        return self.status


def run(world: World, post: Post) -> list[str]:
    """What became of each that is due, one after the other."""
    return [deliver(world.provider, delivery, post) for delivery in claim_due(world.provider)]


def ended(world: World) -> None:
    world.code()
    world.store.end_grants(now=world.clock.now(), identity=ADA)


def test_a_logout_token_says_who_and_which_sign_in() -> None:
    """Its type, audience, subject, session and event are the specification's; it has no nonce."""
    world, inbox = World(), Inbox()
    ended(world)
    assert run(world, inbox) == ["delivered"]
    ((url, token),) = inbox.got
    assert url == "https://app.example.test/auth/broker/backchannel-logout"
    claims = world.claims_of(token)
    assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
    assert (claims["iss"], claims["aud"]) == (ISSUER, APP.client_id)
    assert claims["sub"] == subject_of(ADA)
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert {"sid", "jti", "iat", "exp"} <= claims.keys()
    assert "nonce" not in claims
    assert run(world, inbox) == []


class Transport:
    """Answers 200; `slow` addresses only once that is allowed."""

    def __init__(self, slow: str) -> None:
        self.slow, self.may_answer = slow, threading.Event()
        self.got: Queue[str] = Queue()

    def send(self, _method: str, url: str, **_: object) -> SimpleNamespace:
        if url.startswith(self.slow):
            self.may_answer.wait(30)
        self.got.put(url)
        return SimpleNamespace(status=200)


def test_s30_an_installation_that_takes_its_time_keeps_no_other_waiting() -> None:
    """Many sign-ins at one that holds every request, one at another: the other hears of its at once."""
    world = World()
    for _ in range(50):
        world.code()
    world.store.end_grants(now=world.clock.now(), entra_session_id="entra-1")
    world.code(installation=OTHER, entra_session_id="entra-2")
    world.store.end_grants(now=world.clock.now(), entra_session_id="entra-2")
    transport = Transport(slow="https://app.")
    loop = DeliveryLoop(world.provider, transport)  # type: ignore[arg-type]  # as much of it as is used
    loop.start()
    try:
        assert transport.got.get(timeout=5).startswith("https://other.")
        transport.may_answer.set()
        assert [transport.got.get(timeout=5)[:12] for _ in range(50)] == ["https://app."] * 50
    finally:
        transport.may_answer.set()
        loop.stop()
    assert transport.got.empty()


def test_an_installation_that_is_down_for_a_minute_hears_of_it() -> None:
    """Refusals and silence alike are tried again, at growing intervals."""
    world, inbox = World(), Inbox(None)
    ended(world)
    tries = 0
    for second in range(60):
        inbox.status = None if second % 2 else 503
        tries += len(run(world, inbox))
        world.clock.move(timedelta(seconds=1))
    assert 4 <= tries <= 8
    inbox.status = 204
    world.clock.move(timedelta(minutes=5))
    assert run(world, inbox) == ["delivered"]


def test_a_server_that_comes_back_after_a_minute_is_told() -> None:
    """Refused connections for a minute of the broker's clock, then a real server: told within seconds."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    app = installation_at(f"http://localhost:{port}", tenant_id=CONTOSO)
    world = World(listed=[app])
    transport = PooledTransport()
    outcomes: list[str] = []

    def post(url: str, form: str) -> int:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return transport.send("POST", url, headers=headers, body=form.encode()).status

    def look() -> None:
        outcomes.extend(run(world, post))

    world.code(installation=app)
    world.store.end_grants(now=world.clock.now(), identity=ADA)
    for _ in range(60):
        look()
        world.clock.move(timedelta(seconds=1))
    assert set(outcomes) == {"postponed"}
    assert 5 <= len(outcomes) <= 10
    got: Queue[bytes] = Queue()
    with closing(RealInbox(port, got)):
        for _ in range(17):
            look()
            world.clock.move(timedelta(seconds=1))
    transport.close()
    assert outcomes[-1] == "delivered"
    claims = world.claims_of(parse_qs(got.get_nowait().decode())["logout_token"][0])
    assert claims["aud"] == app.client_id
    assert got.empty()


def test_a_sign_out_is_heard_of_within_a_second() -> None:
    """By the loop that runs, at a server that is up."""
    got: Queue[bytes] = Queue()
    with closing(RealInbox(0, got)) as inbox:
        app = installation_at(inbox.url, tenant_id=CONTOSO)
        world, transport = World(listed=[app]), PooledTransport()
        loop = DeliveryLoop(world.provider, transport)
        loop.start()
        try:
            waited = []
            for _ in range(5):
                world.code(installation=app)
                ended_at = time.monotonic()
                world.store.end_grants(now=world.clock.now(), identity=ADA)
                got.get(timeout=30)
                waited.append(time.monotonic() - ended_at)
            assert min(waited) < 1  # a busy machine may be late now and then
        finally:
            loop.stop()
            transport.close()


def test_an_installation_that_was_removed_is_told_where_it_was() -> None:
    """Nothing else is known of it by then."""
    world, inbox = World(listed=[]), Inbox()
    world.store.save_installation(APP)
    world.code()
    assert world.store.remove_installation(APP.client_id, now=world.clock.now())
    assert run(world, inbox) == ["delivered"]
    ((url, token),) = inbox.got
    assert url == "https://app.example.test/auth/broker/backchannel-logout"
    assert world.claims_of(token)["aud"] == APP.client_id


def test_an_installation_that_moved_is_told_where_it_is_now() -> None:
    """What is listed goes before what was stored with the sign-in."""
    world, inbox = World(listed=[]), Inbox()
    world.store.save_installation(APP)
    world.code()
    world.store.save_installation(replace(APP, backchannel_logout_uri="https://app.example.test/new"))
    world.store.end_grants(now=world.clock.now(), identity=ADA)
    assert run(world, inbox) == ["delivered"]
    assert inbox.got[0][0] == "https://app.example.test/new"


def test_previews_under_a_pattern_are_told_each_at_its_own_address() -> None:
    """Below the origin that the answer went to, and nowhere if it was none of the pattern's."""
    previews = Installation(
        client_id=ClientId("previews"),
        tenant_id=CONTOSO,
        origin_pattern="https://*.previews.example.test",
        redirect_uris=("https://other.example.test/back",),
    )
    assert (
        previews.logout_address_for("https://pr-7.previews.example.test/auth/entra/callback")
        == "https://pr-7.previews.example.test/auth/broker/backchannel-logout"
    )
    assert previews.logout_address_for("https://other.example.test/back") is None
    assert APP.logout_address_for(APP.redirect_uris[0]) == APP.backchannel_logout_uri


class RealInbox:
    """A real server at a port, which takes every logout token."""

    def __init__(self, port: int, got: Queue[bytes]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.put(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()


def test_a_redirect_is_not_a_taken_token() -> None:
    """Only 2xx is; a redirect is not followed."""
    world, inbox = World(), Inbox(302)
    ended(world)
    assert run(world, inbox) == ["postponed"]


def test_after_a_day_it_is_given_up() -> None:
    """And said, rather than tried for ever."""
    world, inbox = World(), Inbox(500)
    ended(world)
    world.clock.move(timedelta(days=1))
    assert run(world, inbox) == ["given_up"]
    world.clock.move(timedelta(days=1))
    assert run(world, inbox) == []


def test_one_sign_in_ends_at_every_installation() -> None:
    """By Entra's session: both hear of it, each with a token for itself."""
    world, inbox = World(), Inbox()
    world.code()
    world.code(installation=OTHER)
    world.store.end_grants(now=world.clock.now(), entra_session_id="entra-1")
    assert run(world, inbox) == ["delivered", "delivered"]
    assert sorted(world.claims_of(token)["aud"] for _, token in inbox.got) == sorted(
        [APP.client_id, OTHER.client_id]
    )
