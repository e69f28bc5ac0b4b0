"""Debian's mod_auth_openidc behind the broker, behind TLS: the module takes https endpoints only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.conftest import BehindBroker, broker_before
from clients.apache import Registration, running_apache
from clients.plain_browser import Page, PlainBrowser
from entrada.broker.grants import hash_of
from entrada.broker.installations import ClientId, Installation, Proof
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from house import tools
from walks.site import wait_until

pytestmark = pytest.mark.heavy

SECRET = "s3cret+%&=:~ü"
"""Characters that each way of showing it has to encode (A31)."""


def listed_at(site: str, name: str) -> Installation:
    """The module as an operator lists it: its redirect URI is also where it takes logout tokens."""
    return Installation(
        client_id=ClientId(name),
        tenant_id=TenantId(CONTOSO_ID),
        redirect_uris=(f"{site}/oauth2/callback",),
        post_logout_redirect_uris=(f"{site}/signed-out",),
        backchannel_logout_uri=f"{site}/oauth2/callback?logout=backchannel",
        proof=Proof.SECRET,
        secret_hashes=(hash_of(SECRET),),
    )


@pytest.fixture(scope="module")
def broker(
    running_entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BehindBroker]:
    running_entra.reset()
    with broker_before(running_entra, tmp_path_factory.mktemp("broker"), tls=True) as world:
        yield world


@pytest.fixture(scope="module", params=["client_secret_basic", "client_secret_post"])
def site(request: pytest.FixtureRequest, broker: BehindBroker) -> Iterator[str]:
    """A started Apache; one that answers by form_post, too."""
    port = tools.free_port()
    installation = listed_at(f"http://localhost:{port}", f"apache-{request.param}")
    broker.broker.broker.provider.store.save_installation(installation)
    registration = Registration(
        metadata_url=f"{broker.url}/.well-known/openid-configuration",
        client_id=installation.client_id,
        client_secret=SECRET,
        ca_file=broker.entra.ca_file,
    )
    mode = "form_post" if request.param == "client_secret_post" else "query"
    with running_apache(registration, authentication=request.param, response_mode=mode, port=port) as address:
        yield address


@pytest.fixture
def person(broker: BehindBroker) -> Iterator[PlainBrowser]:
    with PlainBrowser(Path(broker.entra.ca_file)) as browser:
        yield browser


def signs_in(person: PlainBrowser, address: str, who: str) -> Page:
    page = person.sign_in(address, who)
    return person.press("Go on to the application") if page.title == "Signing in" else page


def told(person: PlainBrowser, site: str) -> dict[str, Any]:
    """What the module knows of the person, as its information hook tells."""
    known: dict[str, Any] = json.loads(person.open(f"{site}/oauth2/callback?info=json").text)
    return known


def test_a_protected_page_after_signing_in(broker: BehindBroker, site: str, person: PlainBrowser) -> None:
    """It discovers the broker, redeems with PKCE and its secret, verifies, and serves the page asked for."""
    page = signs_in(person, f"{site}/index.html", "ada@contoso.test")
    assert (page.url, page.title) == (f"{site}/index.html", "Welcome."), page.text
    assert page.headers["x-remote-user"] == "ada@contoso.test"
    known = told(person, site)
    assert known["id_token"]["iss"] == broker.url
    assert known["id_token"]["tid"] == CONTOSO_ID
    assert known["userinfo"]["sub"] == known["id_token"]["sub"]
    assert known["userinfo"]["email"] == "ada@contoso.test"


@pytest.mark.parametrize(("who", "status"), [("ada@contoso.test", 200), ("ed@contoso.test", 401)])
def test_a_page_for_one_role(site: str, person: PlainBrowser, who: str, status: int) -> None:
    """`Require claim roles:Admin` reads the app roles of the broker's registration."""
    assert signs_in(person, f"{site}/admin.html", who).status == status


def test_somebody_of_another_tenant(site: str, person: PlainBrowser) -> None:
    """Entra says no to them, at the installation's tenant."""
    assert "50020" in person.sign_in(f"{site}/index.html", "mallory@fabrikam.test").text


def test_signing_out_at_the_site(broker: BehindBroker, site: str, person: PlainBrowser) -> None:
    """The module ends its session, the broker by id_token_hint the sign-in, Entra its own; and back."""
    signs_in(person, f"{site}/index.html", "ada@contoso.test")
    page = person.open(f"{site}/oauth2/callback?logout={site}/signed-out")
    assert page.title.startswith("You are signed out"), page.text
    assert person.open(page.links["Continue"]).title == "Goodbye."
    assert "Pick an account" in person.open(f"{site}/index.html").text


def test_signing_out_elsewhere(broker: BehindBroker, site: str, person: PlainBrowser) -> None:
    """Entra's front channel at the broker, a logout token to the module, and its session is gone."""
    signs_in(person, f"{site}/index.html", "ada@contoso.test")
    page = person.open(f"{broker.entra.https_url}/{CONTOSO_ID}/oauth2/v2.0/logout")
    assert [frame.partition("?")[0] for frame in page.frames] == [f"{broker.url}/auth/entra/logout"]
    for frame in page.frames:
        assert person.open(frame).status == 200
    wait_until(lambda: "Pick an account" in person.open(f"{site}/index.html").text)


def test_a_wrong_secret(broker: BehindBroker, site: str, person: PlainBrowser) -> None:
    """CVE-2026-135300: the secret is looked at, whichever way it is shown; nobody comes in with another."""
    store = broker.broker.broker.provider.store
    (installation,) = [one for one in store.installations() if one.redirect_uris[0].startswith(site)]
    store.save_installation(replace(installation, secret_hashes=(hash_of("another"),)))
    try:
        assert signs_in(person, f"{site}/index.html", "ada@contoso.test").title == "Error"
    finally:
        store.save_installation(installation)
    assert person.open(f"{site}/oauth2/callback?info=json").status == 401
