"""The provider's side of attacks on sign-ins: what is asked for by, or in the name of, somebody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest

from broker.client import CALLBACK, SECRET, VERIFIER, Client, listed_client
from broker.conftest import BehindBroker
from broker.world import ADA, APP, CONTOSO, OTHER, World
from clients.plain_browser import PlainBrowser
from entrada.accounts.identity import EntraIdentity
from entrada.broker.end_session import read_sign_out_request
from entrada.broker.installations import ClientId, Installation, installation_at
from entrada.broker.userinfo import userinfo
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID
from entrada.entra.authority import ObjectId, TenantId
from entrada.web.messages import WebRequest
from house import tools

NewBrowser = Callable[[], PlainBrowser]
PAYLOADS: list[str] = json.loads((tools.ROOT / "tests/vectors/open-redirects.json").read_text("utf-8"))
ORIGIN = "https://app.example.test"
PREVIEWS = Installation(
    client_id=ClientId("previews"), tenant_id=CONTOSO, origin_pattern="https://*.apps.example.test"
)
BELOW = installation_at(f"{ORIGIN}/tools/mage", tenant_id=CONTOSO)


def variants(payload: str) -> list[str]:
    """The payload alone, after and instead of what is listed, as it is and encoded once."""
    joined = [
        payload,
        f"{ORIGIN}{payload}",
        f"{ORIGIN}/{payload}",
        f"{APP.redirect_uris[0]}{payload}",
        f"{APP.redirect_uris[0]}?next={payload}",
        f"https://x.apps.example.test{payload}/oauth",
        f"https://{payload}.apps.example.test/oauth",
        f"{BELOW.client_id}/{payload}",
    ]
    return [*joined, *(quote(one, safe="") for one in joined), *(quote(one) for one in joined)]


@pytest.mark.parametrize("installation", [APP, PREVIEWS, BELOW], ids=["url", "pattern", "path"])
def test_e1_e2_i4_no_payload_is_an_address_to_answer_to(installation: Installation) -> None:
    """E1, E2, I4: the 666 lists, in every place of an address, for a code and for the way back."""
    assert len(PAYLOADS) > 600
    for payload in PAYLOADS:
        for address in variants(payload):
            assert not installation.takes_answers_at(address), address
            if installation.takes_people_back_at(address):
                assert address in installation.post_logout_redirect_uris, address


def test_e1_i4_no_payload_leads_out_of_signing_out() -> None:
    """E1, I4: the way back is a listed address, or a page of the broker's."""
    world = World()
    hint = world.redeem(world.code()).json["id_token"]
    for payload in PAYLOADS:
        for address in (payload, f"{ORIGIN}{payload}", f"{APP.post_logout_redirect_uris[0]}{payload}"):
            query = urlencode(
                {"id_token_hint": hint, "post_logout_redirect_uri": address, "state": payload},
                errors="replace",
            )
            request = WebRequest(method="GET", path="/auth/broker/logout", query=query)
            back = read_sign_out_request(world.provider, request).return_to
            assert back is None or back.partition("?")[0] in APP.post_logout_redirect_uris, address


def test_a4_every_token_of_a_replayed_code_ends() -> None:
    """A4, RFC 6749 4.1.2: access token at userinfo, refresh token, and the sign-in that an ID token names."""
    world = World()
    code = world.code()
    tokens = world.redeem(code).json
    assert world.redeem(code).error == "invalid_grant"
    request = WebRequest(
        method="GET", path="/", headers={"authorization": f"Bearer {tokens['access_token']}"}
    )
    assert userinfo(world.provider, request).status == 401
    assert world.refresh(tokens["refresh_token"]).error == "invalid_grant"
    hint = WebRequest(method="GET", path="/", query=f"id_token_hint={tokens['id_token']}")
    assert read_sign_out_request(world.provider, hint).grant is None
    now = world.clock.now()
    told = world.store.due_deliveries(now=now, claim_until=now, limit=9)
    assert [one.client_id for one in told] == [APP.client_id]


def test_a7_a_code_of_one_installation_at_another_ends_at_both() -> None:
    """A7, mix-up: an honest client that was led to bring it gets nothing, and neither does its owner."""
    neighbour = replace(OTHER, tenant_id=APP.tenant_id)
    world = World(listed=[APP, neighbour])
    code = world.code()
    stolen = world.redeem(code, client_id=neighbour.client_id, redirect_uri=neighbour.redirect_uris[0])
    assert stolen.error == "invalid_grant"
    assert world.redeem(code).error == "invalid_grant"
    assert not world.store.grants_of_person(ADA)


@pytest.fixture
def client(behind_broker: BehindBroker) -> Client:
    return listed_client(behind_broker)


@pytest.mark.parametrize("prompt", [None, "none", "login"])
def test_a11_every_answer_names_its_issuer(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser, prompt: str | None
) -> None:
    """A11, A12, RFC 9207: a client of several providers can tell whose answer it is, errors included."""
    back = client.sign_in(new_browser(), "ada@contoso.test", prompt=prompt).parameters
    assert back["iss"] == behind_broker.url
    assert ("error" in back) is (prompt == "none")
    refused = client.sign_in(new_browser(), "", response_type="token").parameters
    assert (refused["error"], refused["iss"]) == ("unsupported_response_type", behind_broker.url)


def test_a7_an_installation_of_one_tenant_asks_for_another(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """A7, B16: whatever it sends, it gets people of the tenant that it is listed for."""
    browser = new_browser()
    page = client.sign_in(
        browser, "mallory@fabrikam.test", domain_hint=FABRIKAM_ID, tenant=FABRIKAM_ID, tid=FABRIKAM_ID
    )
    assert "code" not in page.parameters
    assert "50020" in page.text
    asked = [one for one in behind_broker.entra.requests if one.endpoint == "authorize"][-1]
    assert asked.path.startswith(f"/{CONTOSO_ID}/")


def test_a7_a_sign_in_at_one_installation_is_none_at_another_of_another_tenant(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """A7: one browser, signed in at Entra for one tenant; the other's installation gets nobody by it."""
    contoso = listed_client(behind_broker, "contoso")
    fabrikam = listed_client(behind_broker, "fabrikam", tenant_id=TenantId(FABRIKAM_ID))
    browser = new_browser()
    assert "code" in contoso.sign_in(browser, "ada@contoso.test").parameters
    assert fabrikam.sign_in(browser, "", prompt="none").parameters["error"] in (
        "login_required",
        "interaction_required",
    )


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"client_secret": ""},
        {"client_secret": "another"},
        {"client_secret": SECRET.upper()},
        {"client_secret": f"{SECRET} "},
        {"client_id": "somebody-else"},
        {"client_id": "https://app.example.test"},
    ],
    ids=str,
)
def test_a_forged_client_gets_nothing_for_a_stolen_code(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser, shown: dict[str, str]
) -> None:
    """With code and verifier, but not the client's secret: invalid_client, and the real one goes on."""
    page = client.sign_in(new_browser(), "ada@contoso.test")
    form = {
        "grant_type": "authorization_code",
        "client_id": client.name,
        "code": page.parameters["code"],
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **shown,
    }
    address = f"{behind_broker.url}/auth/broker/token"
    answer = httpx.post(address, data=form, trust_env=False)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "www-authenticate" in answer.headers
    assert client.redeem(page)["id_token"]


def test_a_stolen_client_without_the_verifier_gets_nothing(client: Client, new_browser: NewBrowser) -> None:
    """With the secret, but in the way of a code that another browser's sign-in asked for (code injection)."""
    page = client.sign_in(new_browser(), "ada@contoso.test")
    answer = client.ask(
        grant_type="authorization_code",
        code=page.parameters["code"],
        redirect_uri=CALLBACK,
        code_verifier="w" * 64,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_cve_2026_27124_consent_counts_in_the_browser_that_gave_it(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """CVE-2026-27124: somebody is sent the middle of an attacker's sign-in, and says yes at Entra. Their yes
    ends at a page of the broker's: no installation has a sign-in by it.
    """
    attacker, victim = new_browser(), new_browser()
    attacker.stop_at = (behind_broker.entra.http_url,)
    at_entra = attacker.open(client.address()).url
    victim.stop_at = (CALLBACK,)
    page = victim.sign_in(at_entra, "ada@contoso.test")
    if "Permissions requested" in page.text:
        page = victim.press("Accept")
    assert urlsplit(page.url).netloc == urlsplit(behind_broker.url).netloc
    assert page.status == 400
    ada = behind_broker.entra.person("ada@contoso.test")
    identity = EntraIdentity(tenant_id=TenantId(ada.tenant_id), object_id=ObjectId(ada.object_id))
    assert not behind_broker.broker.broker.provider.store.grants_of_person(identity)


def test_consent_phishing_by_an_unlisted_address(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """A link with a listed client and a stranger's address, or a stranger as both, never gets to Entra."""
    before = len(behind_broker.entra.requests)
    evil = "https://evil.example/oauth"
    for changes in ({"redirect_uri": evil}, {"client_id": "https://evil.example", "redirect_uri": evil}):
        page = new_browser().open(client.address(**changes, domain_hint=CONTOSO_ID))
        assert page.status == 403
        assert page.url.startswith(behind_broker.url)
        assert "evil.example/oauth" not in page.text
    assert not [one for one in behind_broker.entra.requests[before:] if one.endpoint == "authorize"]
