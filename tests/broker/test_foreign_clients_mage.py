"""Mage as its makers ship it, by its own generic OIDC provider, behind the broker: no line of ours in it.

It sends no PKCE and shows its secret in the form; it reads e-mail, name and `user_roles` at userinfo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from broker.conftest import BehindBroker, broker_before
from clients.mage import Mage, running_mage
from clients.plain_browser import PlainBrowser
from entrada.broker.grants import hash_of
from entrada.broker.installations import ClientId, Installation, Proof
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from integrations.mage.desk import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

NAME, SECRET = "stock-mage", "mage-secret"
NO_ENTRA = dict.fromkeys(
    (
        "ACTIVE_DIRECTORY_DIRECTORY_ID",
        "ACTIVE_DIRECTORY_CLIENT_ID",
        "ACTIVE_DIRECTORY_CLIENT_SECRET",
        "ACTIVE_DIRECTORY_ROLES_MAPPING",
        "AZURE_HOST",
        "MICROSOFT_GRAPH_API_HOST",
    ),
    "",
)


@pytest.fixture(scope="module")
def broker(
    running_entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BehindBroker]:
    running_entra.reset()
    with broker_before(running_entra, tmp_path_factory.mktemp("broker")) as world:
        yield world


def listed_at(mage: Mage) -> Installation:
    return Installation(
        client_id=ClientId(NAME),
        tenant_id=TenantId(CONTOSO_ID),
        redirect_uris=(f"{mage.site}/oauth",),
        proof=Proof.SECRET,
        secret_hashes=(hash_of(SECRET),),
        roles_claim="user_roles",
        insecure_without_pkce=True,
    )


@pytest.fixture(scope="module")
def running(broker: BehindBroker) -> Iterator[Mage]:
    settings = {
        **NO_ENTRA,
        "OIDC_DISCOVERY_URL": f"{broker.url}/.well-known/openid-configuration",
        "OIDC_CLIENT_ID": NAME,
        "OIDC_CLIENT_SECRET": SECRET,
        "OIDC_ROLES_MAPPING": '{"Admin": "Admin", "Editor": "Editor"}',
    }
    with running_mage(broker.entra, settings=settings) as mage:
        yield mage


@pytest.fixture
def mage(running: Mage, broker: BehindBroker) -> Mage:
    broker.broker.broker.provider.store.save_installation(listed_at(running))
    return running


@pytest.fixture
def api(mage: Mage) -> Iterator[httpx.Client]:
    """Mage's API as its sign-in page calls it."""
    with httpx.Client(
        base_url=mage.site, params={"api_key": mage.api_key}, trust_env=False, timeout=60
    ) as client:
        yield client


@pytest.fixture
def person(broker: BehindBroker, mage: Mage) -> Iterator[PlainBrowser]:
    """A person with a browser that stops where Mage's page would go on by script."""
    with PlainBrowser(Path(broker.entra.ca_file), stop_at=(f"{mage.site}/oauth",)) as browser:
        yield browser


def button(api: httpx.Client) -> str:
    """Where Mage's button *Sign in with OIDC* leads."""
    offered = api.get("/api/oauths", params={"redirect_uri": f"{api.base_url}/sign-in"}).json()["oauths"]
    (generic,) = [one for one in offered if one["provider"] == "oidc_generic"]
    return str(generic["url"])


def told(api: httpx.Client, back: dict[str, str]) -> dict[str, str]:
    """What Mage's page is told for the broker's response."""
    answer = api.get(
        "/api/oauths/oidc_generic", params={"redirect_uri": f"{api.base_url}/sign-in", **back}
    ).json()
    return dict(parse_qsl(urlsplit(answer["oauth"]["url"]).query))


def sign_in(api: httpx.Client, person: PlainBrowser, who: str) -> Any:
    """Mage's session for that person."""
    answer = told(api, person.sign_in(button(api), who).parameters)
    session = {"provider": answer["provider"], "token": answer["access_token"]}
    body = {"session": session, "api_key": api.params["api_key"]}
    return api.post("/api/sessions", json=body).json()["session"]


@pytest.mark.parametrize(
    ("who", "roles"), [("ada", ["Admin"]), ("ed", ["Editor"]), ("nora", [])], ids=["ada", "ed", "nora"]
)
def test_a_person_signs_in_with_their_role(
    broker: BehindBroker, mage: Mage, api: httpx.Client, person: PlainBrowser, who: str, roles: list[str]
) -> None:
    """Name, e-mail and role are those of Entra, told under the names that Mage reads; its API opens."""
    session = sign_in(api, person, f"{who}@contoso.test")
    assert [role["name"] for role in session["user"]["roles_new"]] == roles
    desk = Desk(mage=mage, entra=broker.entra)
    user = desk.behind(session["token"])
    assert user is not None
    assert (user.username, user.email) == (f"{who}@contoso.test", f"{who}@contoso.test")
    assert desk.opens(session["token"]) is bool(roles)


def test_at_its_own_pages(mage: Mage, page: Page) -> None:
    """In Chromium: *Sign in with OIDC*, the account at Entra, and Mage's dashboard."""
    page.set_default_timeout(45_000)
    page.goto(f"{mage.site}/sign-in", wait_until="commit")
    page.get_by_text("Sign in with OIDC").click()
    page.get_by_role("button", name="Ed Codd").click()
    page.wait_for_url(f"{mage.site}/overview**", wait_until="commit")
    assert "oauth_token" in {cookie["name"] for cookie in page.context.cookies(mage.site)}


def test_without_the_switch_it_is_told_why(
    broker: BehindBroker, mage: Mage, api: httpx.Client, person: PlainBrowser
) -> None:
    """PKCE is asked of everybody else: the request goes back with the specification's error."""
    strict = replace(listed_at(mage), insecure_without_pkce=False)
    broker.broker.broker.provider.store.save_installation(strict)
    back = person.open(button(api)).parameters
    assert back["error"] == "invalid_request"
    assert "PKCE is required" in back["error_description"]


def test_a_wrong_secret_gets_nothing(
    broker: BehindBroker, mage: Mage, api: httpx.Client, person: PlainBrowser
) -> None:
    """The secret is all that proves this client, so it is looked at; the code is spent all the same."""
    other = replace(listed_at(mage), secret_hashes=(hash_of("another"),))
    broker.broker.broker.provider.store.save_installation(other)
    answer = told(api, person.sign_in(button(api), "ada@contoso.test").parameters)
    assert "access_token" not in answer
    assert "invalid_client" in answer["error"]
