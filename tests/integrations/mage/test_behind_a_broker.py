"""Mage's "default application", open: tenant and broker address, no registration of one's own, no secret."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from broker.conftest import BehindBroker, broker_before
from clients.mage import running_mage
from entrada.broker.installations import installation_at
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from integrations.mage.conftest import WITH_ENTRADA
from integrations.mage.desk import Desk, Person
from walks.site import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

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
    """A Mage that knows `ACTIVE_DIRECTORY_DIRECTORY_ID`, the broker and its own address."""
    settings = {**WITH_ENTRADA, **dict.fromkeys(_NOT_NEEDED, ""), "ENTRADA_BROKER_URL": broker.url}
    with running_mage(entra, with_entrada=True, settings=settings) as mage:
        store = broker.broker.broker.provider.store
        store.save_installation(installation_at(mage.site, tenant_id=TenantId(CONTOSO_ID)))
        yield Desk(mage=mage, entra=entra)


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
        browser.press("Sign out")
        wait_until(lambda: not desk.opens(session))
        assert desk.opens(other)


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
