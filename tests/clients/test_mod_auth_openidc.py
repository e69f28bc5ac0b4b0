"""Apache with Debian's mod_auth_openidc: a relying party in C that nobody here wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from clients.apache import of_the_emulator, running_apache
from clients.plain_browser import PlainBrowser
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def site(started_https_emulator: RunningEmulator) -> Iterator[str]:
    with running_apache(of_the_emulator(started_https_emulator)) as address:
        yield address


@pytest.fixture
def emulator(started_https_emulator: RunningEmulator) -> RunningEmulator:
    """The emulator as it is just after starting, its application registered for Apache's front channel."""
    started_https_emulator.reset()
    started_https_emulator.change_app(CLIENT_ID, logout_url="http://localhost/oauth2/callback?logout=get")
    return started_https_emulator


@pytest.fixture
def person(emulator: RunningEmulator) -> Iterator[PlainBrowser]:
    """A person with a browser that has no past."""
    with PlainBrowser(emulator.ca_file) as browser:
        yield browser


def told(person: PlainBrowser, site: str) -> dict[str, Any]:
    """What the module knows of the person, as its information hook tells."""
    known: dict[str, Any] = json.loads(person.open(f"{site}/oauth2/callback?info=json").text)
    return known


def test_a_protected_page_after_signing_in(
    emulator: RunningEmulator, site: str, person: PlainBrowser
) -> None:
    """The module discovers, sends to sign in, redeems with PKCE, verifies, and serves the page asked for."""
    page = person.sign_in(f"{site}/index.html", "ada@contoso.test")
    assert (page.url, page.title) == (f"{site}/index.html", "Welcome.")
    assert page.headers["x-remote-user"] == "ada@contoso.test"
    asked = {one.endpoint for one in emulator.requests}
    assert {"authorize", "token", "keys", "userinfo"} <= asked


def test_claims_of_token_and_userinfo(emulator: RunningEmulator, site: str, person: PlainBrowser) -> None:
    """Both name the same `sub`, which the module insists on, and the token brings tenant and roles."""
    person.sign_in(f"{site}/index.html", "ed@contoso.test")
    known = told(person, site)
    assert known["id_token"]["iss"] == f"{emulator.https_url}/{CONTOSO_ID}/v2.0"
    assert known["id_token"]["roles"] == ["Editor"]
    assert known["userinfo"]["sub"] == known["id_token"]["sub"]
    assert known["userinfo"]["email"] == "ed@contoso.test"


@pytest.mark.parametrize(("who", "status"), [("ada@contoso.test", 200), ("ed@contoso.test", 401)])
def test_a_page_for_one_role(
    emulator: RunningEmulator, site: str, person: PlainBrowser, who: str, status: int
) -> None:
    """`Require claim roles:Admin` reads the app roles."""
    assert person.sign_in(f"{site}/admin.html", who).status == status


def test_signing_out_at_the_site(emulator: RunningEmulator, site: str, person: PlainBrowser) -> None:
    """The module ends its session, then Entra's by id_token_hint, and the person comes back to a page."""
    person.sign_in(f"{site}/index.html", "ada@contoso.test")
    page = person.open(f"{site}/oauth2/callback?logout={site}/signed-out")
    assert page.title.startswith("You are signed out")
    assert person.open(page.links["Continue"]).title == "Goodbye."
    assert "Pick an account" in person.open(f"{site}/index.html").text


def test_signing_out_elsewhere(emulator: RunningEmulator, site: str, person: PlainBrowser) -> None:
    """Signing out at Entra loads the module's front-channel address, and its session is gone."""
    person.sign_in(f"{site}/index.html", "ada@contoso.test")
    sid = told(person, site)["id_token"]["sid"]
    page = person.open(f"{emulator.https_url}/{CONTOSO_ID}/oauth2/v2.0/logout")
    assert page.frames == [f"{site}/oauth2/callback?logout=get&sid={sid}"]
    for frame in page.frames:
        assert person.open(frame).status == 200
    assert "Pick an account" in person.open(f"{site}/index.html").text


def test_one_sign_in_for_two_sites(emulator: RunningEmulator, site: str, person: PlainBrowser) -> None:
    """A second site by another way of proof, answered by a form, signs in the same person without a page."""
    person.sign_in(f"{site}/index.html", "ada@contoso.test")
    with running_apache(
        of_the_emulator(emulator), authentication="client_secret_basic", response_mode="form_post"
    ) as second:
        page = person.open(f"{second}/index.html")
        assert page.title.startswith("Working")
        page = person.press("Continue")
        assert (page.url, page.title) == (f"{second}/index.html", "Welcome.")
        assert page.headers["x-remote-user"] == "ada@contoso.test"


def test_cancelling(emulator: RunningEmulator, site: str, person: PlainBrowser) -> None:
    """A person who cancels gets the module's own error page with Entra's reason."""
    person.open(f"{site}/index.html")
    page = person.press("Cancel")
    assert page.url.startswith(site)
    assert "access_denied" in page.text
    assert "AADSTS65004" in page.text


def test_a_key_that_is_not_published(emulator: RunningEmulator, site: str, person: PlainBrowser) -> None:
    """A token signed by a withdrawn key is refused, whatever else is right."""
    emulator.rotate_keys(keep_old=False)
    emulator.withdraw_key()
    page = person.sign_in(f"{site}/index.html", "ada@contoso.test")
    assert page.title != "Welcome."
    assert person.open(f"{site}/signed-out").title == "Goodbye."
