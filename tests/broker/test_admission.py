"""Who asks to be let in, and what an administrator's yes is a yes to."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from broker.conftest import BehindBroker
from clients.plain_browser import PlainBrowser
from entrada.broker.installations import Standing, installation_at
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID
from entrada.entra.authority import TenantId
from entrada.web.messages import WebRequest

NewBrowser = Callable[[], PlainBrowser]


def ask(world: BehindBroker, url: str, tenant: str, *, peer: str = "192.0.2.1") -> int:
    path = world.broker.broker.provider.addresses.installations_path
    query = urlencode({"ask": url, "tenant": tenant})
    return world.broker.handle(WebRequest(method="POST", path=path, query=query, peer=peer)).status


def test_a_yes_is_for_the_tenant_that_the_page_showed(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Refused and asked for anew by somebody else meanwhile, the same URL is another installation."""
    provider = behind_broker.broker.broker.provider
    url, ada = "https://app.test", new_browser()
    assert ask(behind_broker, url, CONTOSO_ID) == 202
    ada.sign_in(f"{behind_broker.url}/auth/entra/start", "ada@contoso.test")
    ada.open(f"{behind_broker.url}/auth/broker/installations")
    provider.store.remove_installation(url, now=provider.now())
    assert ask(behind_broker, url, FABRIKAM_ID) == 202
    assert ada.press(f"Let in {url}").status == 403
    waiting = provider.installation(url)
    assert waiting is not None
    assert not waiting.is_let_in


def test_c21_an_administrator_answers_for_their_own_tenant_alone(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Each tenant's administrators hand out this registration's roles: another's "Admin" is none here."""
    provider = behind_broker.broker.broker.provider
    url, ada = "https://app.test", new_browser()
    assert ask(behind_broker, url, FABRIKAM_ID) == 202
    overview = f"{behind_broker.url}/auth/broker/installations"
    ada.sign_in(f"{behind_broker.url}/auth/entra/start", "ada@contoso.test")
    assert url not in ada.open(overview).text
    for verb in ("approve", "remove"):
        answer = ada.send("POST", f"{overview}?{verb}={url}&tenant={FABRIKAM_ID}")
        assert answer.status_code == 403
    waiting = provider.installation(url)
    assert waiting is not None
    assert not waiting.is_let_in


def test_one_address_cannot_keep_the_others_from_asking(behind_broker: BehindBroker) -> None:
    """Ten wait from one; somebody elsewhere may still ask."""
    asked = [ask(behind_broker, f"https://a{number}.test", CONTOSO_ID) for number in range(12)]
    assert asked == [202] * 10 + [403] * 2
    assert ask(behind_broker, "https://b.test", CONTOSO_ID, peer="192.0.2.2") == 202


def test_who_has_a_whole_network_of_ipv6_is_one_address(behind_broker: BehindBroker) -> None:
    """A /64 is one neighbour, as in every budget: it cannot fill the list by itself."""
    asked = [
        ask(behind_broker, f"https://a{number}.test", CONTOSO_ID, peer=f"2001:db8::{number:x}")
        for number in range(12)
    ]
    assert asked == [202] * 10 + [403] * 2
    assert ask(behind_broker, "https://b.test", CONTOSO_ID, peer="2001:db8:0:1::1") == 202


def test_a_name_too_long_for_any_host_is_not_written_down(behind_broker: BehindBroker) -> None:
    """A stranger's question is kept with ten addresses made of it, so it must not be of any length."""
    assert ask(behind_broker, "https://" + ".".join(["a" * 60] * 500), CONTOSO_ID) == 403
    assert not behind_broker.broker.broker.provider.store.installations()


def test_asking_replaces_nothing(behind_broker: BehindBroker) -> None:
    """An installation that is in stays as it is, whatever a stranger asks for under its name."""
    provider = behind_broker.broker.broker.provider
    known = installation_at("https://app.test", tenant_id=TenantId(CONTOSO_ID), standing=Standing.APPROVED)
    elsewhere = installation_at(
        "https://out.test", tenant_id=TenantId("99999999-9999-4999-8999-999999999999")
    )
    for one in (known, elsewhere):
        provider.store.save_installation(one)
        ask(behind_broker, one.client_id, FABRIKAM_ID)
        assert provider.store.find_installation(one.client_id) == one
