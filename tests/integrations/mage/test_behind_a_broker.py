"""Mage's "default application", open: tenant and broker address, no registration of one's own, no secret.

One Mage stands at its address, another below a base path; the second asks the broker again every second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from broker.conftest import BehindBroker, broker_before
from clients.mage import Mage, running_mage
from entrada.broker.installations import installation_at
from entrada.broker.tokens import LOGOUT_TYPE, logout_token_claims
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from integrations.mage import pages
from integrations.mage.desk import Desk, Person
from integrations.mage.test_sessions import socket_of
from walks.site import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

_AT_ONCE = 1.0
"""Seconds within which an ending at the broker is one at Mage; as many again for a busy machine."""

Shot = Callable[["Tab", str], Path]

_NOT_NEEDED = (
    "ACTIVE_DIRECTORY_CLIENT_ID",
    "ACTIVE_DIRECTORY_CLIENT_SECRET",
    "AZURE_HOST",
    "MICROSOFT_GRAPH_API_HOST",
    "ENTRADA_AUTHORITY_HOST",
    "ENTRADA_GRAPH_HOST",
    "ENTRADA_CA_BUNDLE",
    "ENTRADA_INSECURE_ALLOW_EMULATOR",
)


@pytest.fixture(scope="module")
def broker(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindBroker]:
    entra.reset()
    with broker_before(entra, tmp_path_factory.mktemp("broker")) as world:
        yield world


@pytest.fixture(scope="module")
def desk(entra: RunningEmulator, broker: BehindBroker) -> Iterator[Desk]:
    """A Mage that knows `ACTIVE_DIRECTORY_DIRECTORY_ID` and the broker, as for Mage's default application."""
    settings = {**dict.fromkeys(_NOT_NEEDED, ""), "ENTRADA_BROKER_URL": broker.url}
    with running_mage(entra, with_entrada=True, settings=settings) as mage:
        listed(broker, mage)
        yield Desk(mage=mage, entra=entra)


@pytest.fixture(scope="module")
def below(entra: RunningEmulator, broker: BehindBroker) -> Iterator[Desk]:
    """Another below a path, impatient for the tests' sake."""
    settings = {
        **dict.fromkeys(_NOT_NEEDED, ""),
        "ENTRADA_BROKER_URL": broker.url,
        "MAGE_BASE_PATH": "tools/mage",
        "ENTRADA_RECHECK_EVERY": "1s",
        "ENTRADA_INSECURE_ALLOW_EMULATOR": "true",  # for so short an interval
    }
    with running_mage(
        entra, with_entrada=True, settings=settings, status_path="/tools/mage/api/status"
    ) as mage:
        mage = replace(mage, address=f"{mage.address}/tools/mage")
        listed(broker, mage)
        yield Desk(mage=mage, entra=entra)


def listed(broker: BehindBroker, mage: Mage) -> None:
    """As `entrada broker installations add` lists it."""
    store = broker.broker.broker.provider.store
    store.save_installation(installation_at(mage.site, tenant_id=TenantId(CONTOSO_ID)))


def is_out(desk: Desk, session: str) -> bool:
    """Whether the session opens nothing; a request that its end cut off says neither yes nor no."""
    try:
        return not desk.opens(session)
    except httpx.TransportError:
        return False


def person_at(desk: Desk, session: str) -> tuple[int, list[str]]:
    """Mage's user behind that session, and their roles."""
    user = desk.behind(session)
    assert user is not None
    return user.user_id, sorted(user.roles)


def signs_in_at_mages_page(tab: Tab, desk: Desk, who: str) -> None:
    """Mage's button, the account at Entra, consent at the first time, Mage's dashboard."""
    pages.press_the_button(tab, desk)
    tab.get_by_role("button", name=who).click()
    tab.wait_for_load_state()
    accept = tab.get_by_role("button", name="Accept")
    if accept.count():
        accept.click()
    tab.wait_for_url(f"{desk.mage.site}/overview**", wait_until="commit")
    tab.get_by_text("Pipeline run metrics").wait_for()


@pytest.mark.parametrize("where", ["desk", "below"])
def test_mages_page_word_for_word(
    request: pytest.FixtureRequest, broker: BehindBroker, visitor: BrowserContext, shot: Shot, where: str
) -> None:
    """In Chromium: button, account, dashboard with the mapped role; out again, at Entra, too; and a second
    sign-in ends in the same user of Mage's. Below a base path all the same.
    """
    desk: Desk = request.getfixturevalue(where)
    tab = visitor.new_page()
    signs_in_at_mages_page(tab, desk, "ed@contoso.test")
    shot(tab, f"mage-behind-a-broker-{where}")
    first = pages.session_of(visitor, desk)
    person = person_at(desk, first)
    assert person[1] == ["Editor"]
    pages.sign_out(tab)
    if "You are signed out" in tab.title():  # Entra's own page, whose way back is a link
        tab.get_by_role("link", name="Continue").click()
        tab.wait_for_load_state("networkidle")
    assert tab.url.startswith(f"{desk.mage.site}/sign-in"), tab.url
    assert not desk.opens(first)
    tab.get_by_text(pages.BUTTON).click()
    account = tab.get_by_role("button", name="ed@contoso.test")
    account.wait_for()
    assert "Signed in" not in account.inner_text()
    account.click()
    tab.wait_for_url(f"{desk.mage.site}/overview**", wait_until="commit")
    tab.get_by_text("Pipeline run metrics").wait_for()
    assert person_at(desk, pages.session_of(visitor, desk)) == person


def test_below_a_path_the_client_is_the_whole_address(below: Desk) -> None:
    """The path is part of what the broker lists, and the answer comes back below it."""
    start = httpx.get(below.button(), follow_redirects=False, trust_env=False)
    asked = httpx.URL(start.headers["location"]).params
    assert asked["client_id"] == below.mage.site
    assert asked["redirect_uri"] == f"{below.mage.site}/oauth"
    assert urlsplit(below.mage.site).path == "/tools/mage"


@pytest.mark.parametrize("how", ["disabled", "removed", "revoked"])
def test_who_leaves_is_out_of_mage(below: Desk, how: str) -> None:
    """Mage asks the broker again, the broker asks Entra, and both have the same answer; others stay."""
    name = f"{how}@contoso.test"
    below.entra.add_person(name, roles=["Editor"])
    with below.person() as browser, below.person() as somebody_else:
        session, other = signs_in(below, browser, name), signs_in(below, somebody_else, "vi@contoso.test")
        assert below.opens(session)
        with socket_of(below, session) as socket:
            if how == "disabled":
                below.entra.change_person(name, enabled=False)
            elif how == "removed":
                below.entra.remove_person(name)
            else:
                below.entra.revoke_sessions(name)
            wait_until(lambda: is_out(below, session), seconds=60)
            assert socket.is_closed_within(1)
        assert below.opens(other)


def test_changed_roles_follow_through_the_broker(below: Desk) -> None:
    """C16: taken away or given in Entra, at the next look and without a sign-in."""
    below.entra.add_person("moves@contoso.test", roles=["Editor"])
    with below.person() as browser:
        session = signs_in(below, browser, "moves@contoso.test")
        assert below.roles_of(session) == ["Editor"]
        below.entra.change_person("moves@contoso.test", roles=["Viewer"])
        wait_until(lambda: below.roles_of(session) == ["Viewer"], seconds=60)


def signs_in(desk: Desk, browser: Person, who: str) -> str:
    page = browser.sign_in(desk.button(), who)
    if "Permissions requested" in page.text:
        browser.press("Accept")
    return browser.cookie("oauth_token", desk.mage.site)


def test_a_person_signs_in_with_a_role(desk: Desk) -> None:
    """Mage's button, the broker, the account at Entra, Mage's dashboard; the role is the mapping's."""
    with desk.person() as browser:
        session = signs_in(desk, browser, "ed@contoso.test")
        assert session, browser.page.text
        assert desk.opens(session)
        assert desk.roles_of(session) == ["Editor"]


def test_somebody_of_another_tenant_does_not(desk: Desk) -> None:
    """The tenant that Mage's variable names is the only one that comes in."""
    with desk.person() as browser:
        assert not signs_in(desk, browser, "mallory@fabrikam.test")
        assert "50020" in browser.page.text


def test_signing_out_leads_over_the_broker_and_back(desk: Desk, broker: BehindBroker) -> None:
    """Mage's page is told the broker's address; from there the browser comes back to Mage."""
    with desk.person() as browser:
        session = signs_in(desk, browser, "ed@contoso.test")
        answer = desk.signs_out(browser)
        assert not desk.opens(session)
        leads_to = answer.headers["entrada-sign-out"]
        assert leads_to.startswith(broker.url)
        page = browser.open(browser.open(leads_to).links["Continue"])
        assert page.url.startswith(f"{desk.mage.site}/sign-in"), page.text


def test_signing_out_elsewhere_ends_mages_session(desk: Desk, broker: BehindBroker) -> None:
    """Back-channel logout: who signs out of another installation is signed out of Mage; others stay."""
    app = broker.installation()
    with desk.person() as browser, desk.person() as somebody_else:
        session, other = (
            signs_in(desk, browser, "ed@contoso.test"),
            signs_in(desk, somebody_else, "vi@contoso.test"),
        )
        page = browser.open(f"{app.url}/auth/entra/start")
        if "Pick an account" in page.text:
            browser.press("Next", name="ed@contoso.test")
        assert browser.open(f"{app.url}/auth/me").status == 200
        browser.open(f"{app.url}/auth/logout")
        with socket_of(desk, session) as socket, socket_of(desk, other) as others:
            began = time.monotonic()
            browser.press("Sign out")
            wait_until(lambda: is_out(desk, session))
            assert socket.is_closed_within(_AT_ONCE)
            assert time.monotonic() - began < 2 * _AT_ONCE
            assert not others.is_closed_within(0.1)
        assert desk.opens(other)


def test_entras_front_channel_reaches_mage_through_the_broker(desk: Desk, broker: BehindBroker) -> None:
    """Signed out at Entra itself: the broker's frame is all that Entra calls, and Mage's session ends."""
    with desk.person() as browser:
        session = signs_in(desk, browser, "ed@contoso.test")
        page = browser.open(f"{desk.entra.http_url}/{CONTOSO_ID}/oauth2/v2.0/logout")
        while not page.frames and page.forms:
            page = browser.press(page.forms[0].buttons[0][0])
        (frame,) = page.frames
        assert frame.startswith(f"{broker.url}/auth/entra/logout?sid=")
        assert httpx.get(frame, trust_env=False).status_code == 200
        wait_until(lambda: is_out(desk, session), seconds=2 * _AT_ONCE)


def test_a_logout_token_counts_once_and_for_one_client(desk: Desk, broker: BehindBroker) -> None:
    """E12: genuine ones, but for another installation, or of a sign-in that is nobody's: 400, or nothing."""
    with desk.person() as browser:
        session = signs_in(desk, browser, "ed@contoso.test")
        provider = broker.broker.broker.provider
        address = f"{desk.mage.site}/auth/broker/backchannel-logout"
        for audience, status in (("https://elsewhere.test", 400), (desk.mage.site, 200)):
            claims = logout_token_claims(
                issuer=provider.issuer,
                client_id=audience,
                subject="somebody",
                session_id="a-sign-in-of-nobody",
                now=provider.now(),
            )
            form = {"logout_token": provider.signed(claims, typ=LOGOUT_TYPE)}
            assert httpx.post(address, data=form, trust_env=False).status_code == status
        assert desk.opens(session)


@pytest.mark.parametrize("form", [{}, {"logout_token": ""}, {"logout_token": "a.b.c"}], ids=str)
def test_a_made_up_word_ends_nothing(desk: Desk, form: dict[str, str]) -> None:
    """Whoever is not the broker gets 400."""
    address = f"{desk.mage.site}/auth/broker/backchannel-logout"
    assert httpx.post(address, data=form, trust_env=False).status_code == 400


def test_the_broker_tells_of_a_mage_that_is_not_listed(entra: RunningEmulator, desk: Desk) -> None:
    """A Mage at another address than the listed one signs nobody in: the broker's page says so."""
    url = httpx.URL(desk.button())
    answer = httpx.get(url, follow_redirects=False, trust_env=False)
    elsewhere = httpx.URL(answer.headers["location"]).copy_set_param(
        "redirect_uri", "https://evil.example/oauth"
    )
    assert httpx.get(elsewhere, trust_env=False).status_code in (400, 403)
