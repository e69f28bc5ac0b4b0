"""The real Mage 0.9.80, stock: its own provider, its own pages, the emulator in two of its variables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from clients.mage import Mage, running_mage
from clients.plain_browser import PlainBrowser
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID

if TYPE_CHECKING:
    from playwright.sync_api import Page

# `browser` for all of them, so that they run together and Mage is started once; `timeout` because the
# first may install it.
pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def mage(started_emulator: RunningEmulator) -> Iterator[Mage]:
    with running_mage(started_emulator) as running:
        yield running


@pytest.fixture
def api(mage: Mage) -> Iterator[httpx.Client]:
    """Mage's API as its sign-in page calls it."""
    with httpx.Client(
        base_url=mage.address, params={"api_key": mage.api_key}, trust_env=False, timeout=60
    ) as client:
        yield client


@pytest.fixture
def person(emulator: RunningEmulator, mage: Mage) -> Iterator[PlainBrowser]:
    """A person with a browser that stops where Mage's page would go on by script."""
    with PlainBrowser(emulator.ca_file, stop_at=(f"{mage.address}/oauth",)) as browser:
        yield browser


def answer_of_mage(api: httpx.Client, person: PlainBrowser, who: str) -> dict[str, str]:
    """Steps 1 to 4 of Mage's sign-in; what it tells its own page in the end."""
    page = f"{str(api.base_url).rstrip('/')}/sign-in"
    offered = api.get("/api/oauths", params={"redirect_uri": page}).json()["oauths"]
    (microsoft,) = [one for one in offered if one["provider"] == "active_directory"]
    back = person.sign_in(microsoft["url"], who).parameters
    answer = api.get("/api/oauths/active_directory", params={"redirect_uri": page, **back}).json()
    return dict(parse_qsl(urlsplit(answer["oauth"]["url"]).query))


def sign_in(api: httpx.Client, person: PlainBrowser, who: str) -> Any:
    """The whole sign-in; Mage's session."""
    told = answer_of_mage(api, person, who)
    session = {"provider": told["provider"], "token": told["access_token"]}
    return api.post("/api/sessions", json={"session": session, "api_key": api.params["api_key"]}).json()[
        "session"
    ]


def test_its_six_requests_are_answered(
    emulator: RunningEmulator, api: httpx.Client, person: PlainBrowser
) -> None:
    """Authorize, token at `organizations`, me, and three look-ups of roles: as Mage asks, all answered."""
    session = sign_in(api, person, "ada@contoso.test")
    assert session["user"]["username"] == "ada@contoso.test"
    asked = [one for one in emulator.requests if one.endpoint != "login"]
    assert all(one.status == 200 for one in asked)
    principal = emulator.app(CLIENT_ID).service_principal_id
    assert [(one.method, one.path) for one in asked] == [
        ("GET", f"/{CONTOSO_ID}/oauth2/v2.0/authorize"),
        ("POST", "/organizations/oauth2/v2.0/token"),
        ("GET", "/v1.0/me"),
        ("GET", "/v1.0/servicePrincipals"),
        ("GET", f"/v1.0/servicePrincipals/{principal}/appRoles"),
        ("GET", "/v1.0/me/appRoleAssignments"),
    ]
    authorize, token, me, principals, _, assignments = asked
    assert set(authorize.query) == {"client_id", "redirect_uri", "response_type", "scope", "state"}
    assert token.form["tenant"] == CONTOSO_ID
    assert me.headers["content-type"] == "application\\json"
    assert principals.query == {"$filter": f"appId eq '{CLIENT_ID}'", "$select": "id"}
    assert assignments.query == {"$filter": f"resourceId eq {principal}"}


@pytest.mark.parametrize(
    ("who", "roles"),
    [
        ("ada@contoso.test", ["Admin"]),
        ("ed@contoso.test", ["Editor"]),
        ("vi@contoso.test", ["Viewer"]),
        ("nora@contoso.test", []),
    ],
)
def test_app_roles_become_its_roles(
    emulator: RunningEmulator, api: httpx.Client, person: PlainBrowser, who: str, roles: list[str]
) -> None:
    """The role a person holds at Entra is the one Mage gives, and nobody gets one unasked."""
    user = sign_in(api, person, who)["user"]
    assert user["username"] == who
    assert [role["name"] for role in user["roles_new"]] == roles


def test_its_session_opens_its_api(
    emulator: RunningEmulator, mage: Mage, api: httpx.Client, person: PlainBrowser
) -> None:
    """With the session Mage lists its pipelines, without it does not."""
    assert "error" in api.get("/api/pipelines").json()
    token = sign_in(api, person, "ada@contoso.test")["token"]
    answer = api.get("/api/pipelines", headers={"cookie": f"oauth_token={token}"}).json()
    assert "error" not in answer
    assert "pipelines" in answer


def test_an_expired_secret_reaches_its_page_in_words(
    emulator: RunningEmulator, api: httpx.Client, person: PlainBrowser
) -> None:
    """Mage reads error, description and address of a refused redemption, and hands them to its page."""
    emulator.change_app(CLIENT_ID, secrets=[{"value": CLIENT_SECRET, "expires": time.time() - 60}])
    told = answer_of_mage(api, person, "ada@contoso.test")
    assert "access_token" not in told
    assert told["error"].startswith("invalid_client")
    assert "AADSTS7000222" in told["error"]


def test_a_person_at_its_own_pages(emulator: RunningEmulator, mage: Mage, page: Page) -> None:
    """In Chromium: Mage's button, the emulator's account picker, and Mage's dashboard."""
    # At the name `localhost` Mage's pages call port 6789, wherever they came from: they visit another.
    site = mage.address.replace("//localhost", "//mage.localhost")
    emulator.change_app(CLIENT_ID, web_redirect_uris=[f"{site}/oauth"])
    page.set_default_timeout(45_000)
    page.goto(f"{site}/sign-in", wait_until="commit")
    page.get_by_text("Sign in with Microsoft").click()
    page.get_by_role("button", name="Ed Codd").click()
    page.wait_for_url(f"{site}/overview**", wait_until="commit")
    assert "oauth_token" in {cookie["name"] for cookie in page.context.cookies(site)}
