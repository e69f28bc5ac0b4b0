"""Whole sign-ins through a broker: installations that know a tenant id and the broker's address alone."""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.routing import Mount

from broker.conftest import BehindBroker, on_the_air
from clients.plain_browser import PlainBrowser
from entrada.broker.installations import installation_at
from entrada.build import build_auth_routes
from entrada.cli.serve import listen
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID
from entrada.entra.authority import TenantId
from entrada.gateway.app import create_app
from entrada.settings import load_settings
from walks.site import PROTECTED, wait_until

NewBrowser = Callable[[], PlainBrowser]


def me(browser: PlainBrowser, url: str) -> tuple[int, str]:
    page = browser.open(f"{url}/auth/me")
    return page.status, page.text


def test_an_installation_signs_a_person_in_with_nothing_but_tenant_and_broker(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """The whole walk: the page they wanted, their account, their roles by the installation's own mapping."""
    app = behind_broker.installation(ENTRADA_ROLES_MAPPING='{"Admin": "Boss"}')
    browser = new_browser()
    page = behind_broker.sign_in(browser, app, "ada@contoso.test", "/private")
    assert page.url == f"{app.url}/private", page.text
    status, text = me(browser, app.url)
    assert status == 200
    assert '"Boss"' in text
    assert "ada@contoso.test" in text


def test_k23_the_library_below_a_path(behind_broker: BehindBroker, new_browser: NewBrowser) -> None:
    """K23: mounted at a prefix and listed with it, its whole URL being its client id; nothing above it."""
    listener = listen("127.0.0.1", 0)
    origin = f"http://localhost:{listener.getsockname()[1]}"
    provider = behind_broker.broker.broker.provider
    provider.store.save_installation(installation_at(f"{origin}/tool", tenant_id=TenantId(CONTOSO_ID)))
    environment = {
        "ENTRADA_BROKER_URL": behind_broker.url,
        "ENTRADA_TENANT_ID": CONTOSO_ID,
        "ENTRADA_PUBLIC_URL": origin,
        "ENTRADA_CLIENT_ID": f"{origin}/tool",
        "ENTRADA_DATABASE_URL": f"sqlite:///{behind_broker.folder}/below.db",
    }
    auth = build_auth_routes(*load_settings(environment))
    behind_broker.stack.callback(auth.relying_party.close)
    app = Starlette(routes=[Mount("/tool", create_app(auth, routes=PROTECTED))])
    behind_broker.stack.enter_context(on_the_air(app, listener))
    browser = new_browser()
    page = browser.sign_in(f"{origin}/tool/auth/entra/start?next=/tool/private", "ada@contoso.test")
    assert page.url == f"{origin}/tool/private", page.text
    assert me(browser, f"{origin}/tool")[0] == 200


def test_two_installations_of_two_tenants_at_once(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Each gets people of its own tenant and nobody else's (A7, mix-up)."""
    contoso, fabrikam = behind_broker.installation(), behind_broker.installation(tenant=FABRIKAM_ID)
    ada, mallory = new_browser(), new_browser()
    behind_broker.sign_in(ada, contoso, "ada@contoso.test")
    behind_broker.sign_in(mallory, fabrikam, "mallory@fabrikam.test")
    assert me(ada, contoso.url)[0] == me(mallory, fabrikam.url)[0] == 200
    assert me(mallory, contoso.url)[0] == me(ada, fabrikam.url)[0] == 401


def test_whoever_is_disabled_at_the_broker_is_out_at_its_installations_and_not_in_again(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Until they are enabled there; others come in meanwhile."""
    app, accounts = behind_broker.installation(), behind_broker.broker.relying_party.accounts
    ada, vi = new_browser(), new_browser()
    behind_broker.sign_in(ada, app, "ada@contoso.test")
    ada.open(f"{behind_broker.url}/auth/entra/start?next=/auth/account")
    (account,) = accounts.list_users()
    store, (linked,) = behind_broker.broker.broker.provider.store, account.identities
    assert store.grants_of_person(linked.identity)
    now = behind_broker.broker.relying_party.clock.now()
    accounts.set_disabled(account.id, disabled=True, now=now)
    assert store.grants_of_person(linked.identity) == []
    page = behind_broker.sign_in(new_browser(), app, "ada@contoso.test")
    assert "is disabled" in page.text
    assert store.grants_of_person(linked.identity) == []
    behind_broker.sign_in(vi, app, "vi@contoso.test")
    assert me(vi, app.url)[0] == 200
    accounts.set_disabled(account.id, disabled=False, now=now)
    back = new_browser()
    behind_broker.sign_in(back, app, "ada@contoso.test")
    assert me(back, app.url)[0] == 200


def test_somebody_of_another_tenant_gets_a_page(behind_broker: BehindBroker, new_browser: NewBrowser) -> None:
    """Entra itself is asked for the installation's tenant alone, and says no (AADSTS50020)."""
    contoso = behind_broker.installation()
    browser = new_browser()
    page = behind_broker.sign_in(browser, contoso, "mallory@fabrikam.test")
    assert "50020" in page.text
    assert me(browser, contoso.url)[0] == 401


def test_an_installation_that_is_not_listed_gets_a_page_at_the_broker(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Consent phishing by an unlisted address ends here, before Entra is asked."""
    stranger = behind_broker.installation(listed=False)
    page = new_browser().open(f"{stranger.url}/auth/entra/start")
    assert page.url.startswith(behind_broker.url)
    assert page.status == 403
    assert "not known here" in page.text


def test_signing_out_at_one_ends_the_other(behind_broker: BehindBroker, new_browser: NewBrowser) -> None:
    """Installation → broker → Entra, and the broker tells the other installation within a second."""
    one, two = behind_broker.installation(), behind_broker.installation()
    browser = new_browser()
    behind_broker.sign_in(browser, one, "ada@contoso.test")
    browser.open(f"{two.url}/auth/entra/start")
    if me(browser, two.url)[0] != 200:
        browser.open(f"{two.url}/auth/entra/start")
        browser.press("Next", name="ada@contoso.test")
    assert me(browser, two.url)[0] == 200
    browser.open(f"{one.url}/auth/logout")
    page = browser.press("Sign out")
    assert me(browser, one.url)[0] == 401
    wait_until(lambda: me(browser, two.url)[0] == 401)
    assert page.status == 200


def test_a_group_overage_is_resolved_by_the_broker(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Olga is in 250 groups: one of them gives her a role at an installation that asks no Graph."""
    olga = behind_broker.entra.person("olga@contoso.test")
    group = olga.groups[-1]
    app = behind_broker.installation(ENTRADA_ROLES_MAPPING=json.dumps({group: "Crowd"}))
    browser = new_browser()
    behind_broker.sign_in(browser, app, "olga@contoso.test")
    assert '"Crowd"' in me(browser, app.url)[1]


def test_an_unlisted_installation_asks_and_an_administrator_lets_it_in(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """The page says who asks, for which tenant; asking alone opens nothing; a yes does, at once."""
    stranger = behind_broker.installation(listed=False)
    visitor, ada = new_browser(), new_browser()
    page = visitor.open(f"{stranger.url}/auth/entra/start")
    assert page.status == 403
    assert stranger.url in page.text
    assert CONTOSO_ID in page.text
    assert visitor.press("Ask to be let in").status == 202
    assert "has not answered yet" in visitor.open(f"{stranger.url}/auth/entra/start").text

    overview = f"{behind_broker.url}/auth/broker/installations"
    page = ada.sign_in(f"{behind_broker.url}/auth/entra/start", "ada@contoso.test")
    page = ada.open(overview)
    assert stranger.url in page.text
    assert "127.0.0.1" in page.text
    ada.press(f"Let in {stranger.url}")
    behind_broker.sign_in(visitor, stranger, "vi@contoso.test")
    assert me(visitor, stranger.url)[0] == 200


def test_only_administrators_let_installations_in(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Somebody without the role, and nobody at all, change nothing and see nothing."""
    stranger = behind_broker.installation(listed=False)
    overview = f"{behind_broker.url}/auth/broker/installations"
    visitor, vi = new_browser(), new_browser()
    visitor.open(f"{stranger.url}/auth/entra/start")
    visitor.press("Ask to be let in")
    vi.sign_in(f"{behind_broker.url}/auth/entra/start", "vi@contoso.test")
    for browser in (visitor, vi):
        assert stranger.url not in browser.open(overview).text
        answer = browser.send("POST", f"{overview}?approve={stranger.url}")
        assert answer.status_code == 403
    provider = behind_broker.broker.broker.provider
    waiting = provider.installation(stranger.url)
    assert waiting is not None
    assert not waiting.is_let_in


def test_asking_from_another_site_is_refused(behind_broker: BehindBroker, new_browser: NewBrowser) -> None:
    """A form of somebody else's page asks for nothing in a visitor's name."""
    answer = new_browser().send(
        "POST",
        f"{behind_broker.url}/auth/broker/installations?ask=https://evil.test&tenant={CONTOSO_ID}",
        headers={"sec-fetch-site": "cross-site", "origin": "https://evil.test"},
    )
    assert answer.status_code == 403
    assert behind_broker.broker.broker.provider.installation("https://evil.test") is None
