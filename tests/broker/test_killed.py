"""kill -9 of the broker at each step of a sign-in: a sentence, a way on, and nothing half made."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from broker.conftest import Standing
from broker.processes import BrokerProcesses, KillAt, brokers
from clients.plain_browser import Page, PlainBrowser
from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator
from walks.nursery import until
from walks.test_crashes import is_writing, make_quick, make_slow

DISCOVERY, JWKS = "/.well-known/openid-configuration", "/auth/broker/jwks.json"
AUTHORIZE, CALLBACK, TOKEN = "/auth/broker/authorize", "/auth/entra/callback", "/auth/broker/token"
SEEN_BY_THE_BROWSER = (AUTHORIZE, CALLBACK)
"""Addresses of the broker's at which a browser meets the proxy's own page while it is down."""


@pytest.mark.parametrize("answered", [False, True], ids=["before", "answer-lost"])
@pytest.mark.parametrize("path", [DISCOVERY, AUTHORIZE, CALLBACK, TOKEN, JWKS])
def test_killed_at_a_step(path: str, answered: bool, running_entra: RunningEmulator, tmp_path: Path) -> None:
    """Reloading, or the one link of the page, signs in as soon as the broker is back."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world, PlainBrowser(running_entra.ca_file) as browser:
        world.start()
        app = world.installation()
        world.front.kill_at = KillAt(path=path, answered=answered)
        page = onward(browser, browser.open(f"{app.url}/auth/entra/start?next=/private"))
        assert world.front.kill_at is None
        assert world.front.is_down
        if path in SEEN_BY_THE_BROWSER:
            assert page.status == 502
        else:
            assert page.status == 503
            assert "sign-in service" in page.text
            assert "Microsoft" not in page.text
        world.start()
        if path not in SEEN_BY_THE_BROWSER and path != DISCOVERY:
            assert page.links["Try again"] == f"{app.url}/auth/entra/start?next=/private"
        if path == CALLBACK and answered:
            page = browser.open(page.url)
            assert page.status == 400
            assert list(page.links) == ["Try again"]  # not the broker's own sign-in page
        arrive(browser, page, app)
        nothing_is_half_made(world)


def test_killed_while_the_person_is_at_entra(running_entra: RunningEmulator, tmp_path: Path) -> None:
    """What is under way travels in the browser: a broker that restarted meanwhile goes on with it."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world, PlainBrowser(running_entra.ca_file) as browser:
        first = world.start()
        app = world.installation()
        assert "Pick an account" in browser.open(f"{app.url}/auth/entra/start?next=/private").text
        first.kill()
        world.start()
        assert onward(browser, browser.page).url == f"{app.url}/private"
        nothing_is_half_made(world)


@pytest.mark.parametrize("table", ["entrada_broker_grant", "entrada_broker_code"])
def test_killed_in_the_middle_of_its_own_writing(
    table: str, running_entra: RunningEmulator, tmp_path: Path
) -> None:
    """Grant and code are one transaction: killed inside it, there is neither, and the sign-in begins anew."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world, PlainBrowser(running_entra.ca_file) as browser:
        broker = world.start()
        app = world.installation()
        browser.open(f"{app.url}/auth/entra/start?next=/private")
        make_slow(world.database, table)
        pages: list[Page] = []
        coming_back = threading.Thread(target=lambda: pages.append(onward(browser, browser.page)))
        coming_back.start()
        until(lambda: was_redeemed(running_entra) and is_writing(world.database), pause=0.001)
        broker.kill()
        coming_back.join(timeout=30)
        make_quick(world.database)
        assert [page.status for page in pages] == [502]
        assert rows(world, "SELECT id FROM entrada_broker_grant") == []
        assert rows(world, "SELECT grant_id FROM entrada_broker_code") == []
        world.start()
        arrive(browser, pages[0], app)


def was_redeemed(running_entra: RunningEmulator) -> bool:
    return any(request.endpoint == "token" for request in running_entra.requests)


def test_people_stay_signed_in_while_the_broker_is_down(
    running_entra: RunningEmulator, tmp_path: Path
) -> None:
    """Their installation answers from its own sessions; a newcomer reads whose turn it is."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world, PlainBrowser(running_entra.ca_file) as browser:
        broker = world.start()
        app = world.installation()
        world.sign_in(browser, app, "ada@contoso.test", "/private")
        broker.kill()
        assert browser.open(f"{app.url}/private").status == 200
        assert browser.open(f"{app.url}/auth/me").status == 200
        with PlainBrowser(running_entra.ca_file) as newcomer:
            assert newcomer.open(f"{app.url}/auth/entra/start").status in (303, 502)
            world.start()
            assert world.sign_in(newcomer, app, "vi@contoso.test", "/private").url == f"{app.url}/private"


def onward(browser: PlainBrowser, page: Page) -> Page:
    """Through Entra's pages, if this is one."""
    if "Pick an account" in page.text:
        page = browser.press("Next", name="ada@contoso.test")
    return browser.press("Accept") if "Permissions requested" in page.text else page


def arrive(browser: PlainBrowser, page: Page, app: Standing) -> None:
    """What a person does: reload, then the link that offers to try again, until they are there."""
    state = {"page": page}

    def is_there() -> bool:
        shown = state["page"]
        address = shown.links.get("Try again") or shown.url
        state["page"] = onward(browser, browser.open(address))
        return state["page"].url == f"{app.url}/private" and state["page"].status == 200

    until(is_there, seconds=30, pause=0.2)
    assert browser.open(f"{app.url}/auth/me").status == 200


def nothing_is_half_made(world: BrokerProcesses) -> None:
    """Each code has its grant, a code counts once, and what broke off is forgotten."""
    unknown = (
        "SELECT grant_id FROM entrada_broker_code WHERE grant_id NOT IN (SELECT id FROM entrada_broker_grant)"
    )
    assert rows(world, unknown) == []
    assert len(rows(world, "SELECT kid FROM entrada_broker_key")) == 1
    world.store.prune(now=datetime.now(UTC) + timedelta(minutes=10))
    never_redeemed = (
        "SELECT id FROM entrada_broker_grant WHERE id IN"
        " (SELECT grant_id FROM entrada_broker_code WHERE spent_at IS NULL)"
    )
    assert rows(world, never_redeemed) == []
    assert "Traceback" not in world.servers.logs()


def rows(world: BrokerProcesses, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(world.database)) as connection:
        return connection.execute(question).fetchall()
