"""Two brokers, each a process of its own, on one PostgreSQL: one provider, whoever of them answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.processes import BrokerProcesses, brokers
from clients.plain_browser import PlainBrowser
from clients.postgres import running_postgres
from entrada.broker.installations import installation_at
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from walks.nursery import until

NewBrowser = Callable[[], PlainBrowser]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres("broker") as address:
        yield address


@pytest.fixture
def world(running_entra: RunningEmulator, tmp_path: Path, postgres: str) -> Iterator[BrokerProcesses]:
    running_entra.reset()
    url = f"postgresql://postgres@{postgres}/broker"
    with brokers(running_entra, tmp_path, database_url=url) as made:
        yield made


class Inbox:
    """An installation that takes logout tokens, and counts them."""

    def __init__(self) -> None:
        self.got: list[str] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                inbox.got.append(self.rfile.read(int(self.headers["content-length"])).decode())
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join(timeout=10)
        self.server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.close()


def keys_at(address: str) -> list[str]:
    return [
        key["kid"] for key in httpx.get(f"{address}/auth/broker/jwks.json", trust_env=False).json()["keys"]
    ]


def test_each_step_of_a_sign_in_at_the_other(world: BrokerProcesses, new_browser: NewBrowser) -> None:
    """Begun at one, back from Entra at the other, the code redeemed at the first again, keys of either."""
    one, two = world.start(), world.start()
    app = world.installation()
    world.front.answered_by = {
        "/auth/broker/authorize": one,
        "/auth/entra/callback": two,
        "/auth/broker/token": one,
        "/auth/broker/jwks.json": two,
    }
    browser = new_browser()
    page = world.sign_in(browser, app, "ada@contoso.test", "/private")
    assert page.url == f"{app.url}/private", page.text
    assert keys_at(one.address) == keys_at(two.address)


def test_a_code_counts_once_wherever_it_is_redeemed(
    world: BrokerProcesses, new_browser: NewBrowser, inbox: Inbox
) -> None:
    """At both in the same moment: one answer has tokens, and all that it gave ends (E9)."""
    one, two = world.start(), world.start()
    client = {"client_id": inbox.url, "redirect_uri": f"{inbox.url}/auth/entra/callback"}
    world.store.save_installation(installation_at(inbox.url, tenant_id=TenantId(CONTOSO_ID)))
    browser = new_browser()
    for _ in range(5):
        code = world.code(browser, "vi@contoso.test", **client)
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(lambda at, code=code: world.redeem(at, code, **client), [one.address, two.address])
            )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses in ([200, 400], [400, 400]), [answer.text for answer in answers]
        for answer in answers:
            if answer.status_code != 200:
                assert answer.json()["error"] == "invalid_grant"
                continue
            refreshed = world.token(
                two.address,
                grant_type="refresh_token",
                client_id=inbox.url,
                refresh_token=answer.json()["refresh_token"],
            )
            assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")


def test_the_first_key_is_made_once_and_rolled_for_both(world: BrokerProcesses) -> None:
    """Asked in the same moment, both publish the same key; a roll shows at both at once."""
    one, two = world.start(), world.start()
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(keys_at, [one.address, two.address] * 4))
    assert all(kids == published[0] for kids in published)
    assert "is published" in world.command("rotate-keys")
    assert keys_at(one.address) == keys_at(two.address)
    assert len(keys_at(one.address)) == len(published[0]) + 1


def test_a_sign_out_at_one_reaches_each_installation_once(
    world: BrokerProcesses, new_browser: NewBrowser, inbox: Inbox
) -> None:
    """Ended at one broker by the hint that the other gave; told by one of the two, within a second."""
    one, two = world.start(), world.start()
    world.store.save_installation(installation_at(inbox.url, tenant_id=TenantId(CONTOSO_ID)))
    app, browser = world.installation(), new_browser()
    world.sign_in(browser, app, "ada@contoso.test")
    client = {"client_id": inbox.url, "redirect_uri": f"{inbox.url}/auth/entra/callback"}
    tokens = world.redeem(one.address, world.code(browser, "ada@contoso.test", **client), **client).json()
    gone = httpx.get(
        f"{two.address}/auth/broker/logout",
        params={"id_token_hint": tokens["id_token"], "client_id": inbox.url},
        headers={"host": world.url.removeprefix("http://")},
        trust_env=False,
    )
    assert gone.status_code == 303
    until(lambda: browser.open(f"{app.url}/auth/me").status == 401, seconds=15)
    assert inbox.got == []  # it asked for it

    ada = new_browser()
    ada.stop_at = ()
    world.sign_in(ada, app, "ada@contoso.test")
    world.redeem(two.address, world.code(ada, "ada@contoso.test", **client), **client)
    ada.stop_at = ()
    ada.open(f"{app.url}/auth/logout")
    ada.press("Sign out")
    until(lambda: len(inbox.got) == 1, seconds=15)
    assert "logout_token=" in inbox.got[0]


def test_one_is_killed_and_the_other_goes_on(world: BrokerProcesses, new_browser: NewBrowser) -> None:
    """In the middle of a sign-in, and after it: the person notices nothing."""
    one, two = world.start(), world.start()
    app, browser = world.installation(), new_browser()
    world.front.answered_by = {"/auth/broker/authorize": one}
    browser.open(f"{app.url}/auth/entra/start?next=/private")
    one.kill()
    world.front.answered_by = {}
    page = browser.press("Next", name="vi@contoso.test")
    page = browser.press("Accept") if "Permissions requested" in page.text else page
    assert page.url == f"{app.url}/private", page.text
    assert not two.is_gone()
    shown: Any = json.loads(browser.open(f"{app.url}/auth/me").text)
    assert shown["username"] == "vi@contoso.test"
