"""dstack with a tenant, its own address and a broker: no registration of its own, no secret."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from broker.conftest import BehindBroker, broker_before
from clients.dstack import Dstack, running_dstack
from clients.plain_browser import PlainBrowser
from entrada.broker.installations import installation_at
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from integrations.dstack.administrator import Administrator, may_use
from integrations.dstack.command_line import command_line
from integrations.dstack.leaving import soon
from walks.site import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

Shot = Callable[["Page", str], Path]
NewBrowser = Callable[[], PlainBrowser]

_AT_ONCE = 1.0
"""Seconds within which an ending at the broker is one at dstack; as many again for a busy machine."""


@pytest.fixture(scope="module")
def broker(
    started_emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BehindBroker]:
    started_emulator.reset()
    with broker_before(started_emulator, tmp_path_factory.mktemp("broker")) as world:
        yield world


@pytest.fixture(scope="module")
def behind(broker: BehindBroker) -> Iterator[Dstack]:
    """A dstack that knows DSTACK_ENTRA_TENANT_ID, ENTRADA_BROKER_URL and DSTACK_SERVER_URL."""
    settings = {
        "DSTACK_ENTRA_TENANT_ID": CONTOSO_ID,
        "ENTRADA_BROKER_URL": broker.url,
        "ENTRADA_ROLES_MAPPING": '{"Admin": "admin"}',
    }
    with running_dstack(None, **settings) as dstack:
        listed(broker, dstack)
        yield dstack


@pytest.fixture(scope="module")
def watchful(broker: BehindBroker) -> Iterator[Dstack]:
    """Another that asks the broker again every second."""
    settings = {
        "DSTACK_ENTRA_TENANT_ID": CONTOSO_ID,
        "ENTRADA_BROKER_URL": broker.url,
        "ENTRADA_RECHECK_EVERY": "1s",
        "ENTRADA_INSECURE_ALLOW_EMULATOR": "true",  # for so short an interval
    }
    with running_dstack(None, **settings) as dstack:
        listed(broker, dstack)
        yield dstack


def listed(broker: BehindBroker, dstack: Dstack) -> None:
    """As `entrada broker installations add` lists it."""
    store = broker.broker.broker.provider.store
    store.save_installation(installation_at(dstack.address, tenant_id=TenantId(CONTOSO_ID)))


@pytest.fixture
def new_person_browser(started_emulator: RunningEmulator) -> Iterator[NewBrowser]:
    """Somebody's browser without scripts, with cookies of its own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(PlainBrowser(Path(started_emulator.ca_file)))


@pytest.fixture
def person(new_person_browser: NewBrowser) -> PlainBrowser:
    return new_person_browser()


def signed_in(behind: Dstack, browser: PlainBrowser, who: str) -> httpx.Response:
    """The button's address, the account, and what the callback page's script then asks for."""
    page = browser.sign_in(f"{behind.address}/auth/entra/start", who)
    if "Permissions requested" in page.text:
        page = browser.press("Accept")
    assert page.url.startswith(f"{behind.address}/auth/entra/callback"), page.text
    body = {name: page.parameters[name] for name in ("code", "state")}
    return browser._http.post(
        f"{behind.address}/api/auth/entra/callback", json=body, headers={"origin": behind.address}
    )


@pytest.mark.parametrize(("who", "role"), [("ada", "admin"), ("ed", "user")])
def test_a_person_signs_in(behind: Dstack, person: PlainBrowser, who: str, role: str) -> None:
    """dstack's button, the broker, the account at Entra, and dstack's own token; admin by the mapping."""
    answer = signed_in(behind, person, f"{who}@contoso.test")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["username"], told["email"], told["global_role"]) == (who, f"{who}@contoso.test", role)
    me = behind.api.post(
        "/api/users/get_my_user", headers={"authorization": f"Bearer {told['creds']['token']}"}
    )
    assert me.json()["username"] == who


def test_dstack_login(behind: Dstack, person: PlainBrowser, home: Path) -> None:
    """The command line, too: the broker asks Entra which account it shall be, and the code comes home."""
    with command_line(behind, home, "-n") as login:
        page = person.sign_in(login.address, "ed@contoso.test")
        if "Permissions requested" in page.text:
            page = person.press("Accept")
        status, words = login.end()
    assert "CLI authenticated" in page.text
    assert status == 0, words
    assert "Logged in as ed" in words


def test_the_back_channel_is_answered(behind: Dstack) -> None:
    """A made-up word gets 400, from us and not from dstack."""
    answer = httpx.post(
        f"{behind.address}/auth/broker/backchannel-logout", data={"logout_token": "a.b.c"}, trust_env=False
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


def token_of(dstack: Dstack, browser: PlainBrowser, who: str) -> str:
    """dstack's token for that person."""
    answer = signed_in(dstack, browser, who)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["creds"]["token"])


def token_in(tab: Page) -> str | None:
    kept = tab.evaluate("localStorage.getItem('authData')")
    return json.loads(kept)["token"] if kept else None


def signs_in_at_dstacks_page(tab: Page, dstack: Dstack, who: str) -> None:
    """dstack's button, the account at Entra, consent at the first time, dstack's runs."""
    tab.goto(dstack.address)
    tab.get_by_role("button", name="Entra").click()
    tab.get_by_role("button", name=who).click()
    tab.wait_for_load_state()
    accept = tab.get_by_role("button", name="Accept")
    if accept.count():
        accept.click()
    tab.get_by_role("link", name="Runs").first.wait_for()
    assert tab.url.startswith(dstack.address)


def test_dstacks_page_word_for_word(behind: Dstack, tab: Page, shot: Shot) -> None:
    """In Chromium: button, account, dstack's pages. In again (Entra does not ask), the same user."""
    signs_in_at_dstacks_page(tab, behind, "vi@contoso.test")
    shot(tab, "dstack-behind-a-broker")
    first = token_in(tab)
    assert first is not None
    tab.evaluate("localStorage.clear()")  # what dstack's page knows of the sign-in
    tab.goto(behind.address)
    tab.get_by_role("button", name="Entra").click()
    tab.get_by_role("link", name="Runs").first.wait_for()
    assert token_in(tab) == first
    (user,) = Administrator(behind).users("vi@contoso.test")
    assert user["username"] == "vi"


def test_somebody_of_another_tenant_does_not(behind: Dstack, person: PlainBrowser) -> None:
    """The tenant of dstack's variable is the only one that comes in."""
    page = person.sign_in(f"{behind.address}/auth/entra/start", "mallory@fabrikam.test")
    assert "50020" in page.text


def test_signing_out_elsewhere_ends_dstacks_token(
    behind: Dstack, broker: BehindBroker, new_person_browser: NewBrowser
) -> None:
    """Back-channel logout: who signs out of another installation has no token within a second; others do."""
    app = broker.installation()
    ada, vi = new_person_browser(), new_person_browser()
    token, other = token_of(behind, ada, "ada@contoso.test"), token_of(behind, vi, "vi@contoso.test")
    page = ada.open(f"{app.url}/auth/entra/start")
    if "Pick an account" in page.text:
        ada.press("Next", name="ada@contoso.test")
    assert ada.open(f"{app.url}/auth/me").status == 200
    ada.open(f"{app.url}/auth/logout")
    began = time.monotonic()
    ada.press("Sign out")
    wait_until(lambda: not may_use(behind, token))
    assert time.monotonic() - began < 2 * _AT_ONCE
    assert may_use(behind, other)
    again = token_of(behind, new_person_browser(), "ada@contoso.test")
    assert again != token
    assert may_use(behind, again)


@pytest.mark.parametrize("how", ["disabled", "removed", "revoked"])
def test_who_leaves_is_out_of_dstack(
    watchful: Dstack, broker: BehindBroker, new_person_browser: NewBrowser, how: str
) -> None:
    """dstack asks the broker again, the broker asks Entra: the token is void, the user deactivated."""
    name = f"{how}@contoso.test"
    broker.entra.add_person(name, mail=name, display_name=how)
    token = token_of(watchful, new_person_browser(), name)
    other = token_of(watchful, new_person_browser(), "vi@contoso.test")
    assert may_use(watchful, token)
    if how == "disabled":
        broker.entra.change_person(name, enabled=False)
    elif how == "removed":
        broker.entra.remove_person(name)
    else:
        broker.entra.revoke_sessions(name)
    soon(lambda: not may_use(watchful, token), "the token is void", watchful)
    assert not Administrator(watchful).user(how)["active"]
    assert may_use(watchful, other)


def test_who_was_signed_out_comes_back_active(
    watchful: Dstack, broker: BehindBroker, new_person_browser: NewBrowser
) -> None:
    """The look after a sign-out deactivates the user; the next sign-in makes the same one active again."""
    browser = new_person_browser()
    token = token_of(watchful, browser, "ed@contoso.test")
    administrator = Administrator(watchful)
    page = browser.open(f"{broker.entra.http_url}/{CONTOSO_ID}/oauth2/v2.0/logout")
    while not page.frames and page.forms:
        page = browser.press(page.forms[0].buttons[0][0])
    for frame in page.frames:
        browser.open(frame)
    wait_until(lambda: not may_use(watchful, token))
    soon(lambda: not administrator.user("ed")["active"], "deactivated", watchful)
    again = token_of(watchful, new_person_browser(), "ed@contoso.test")
    assert may_use(watchful, again)
    assert administrator.user("ed")["active"]
