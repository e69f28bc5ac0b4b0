"""openid-client as npm has it: a certified client that checks what the standards say, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clients.conftest import APPLICATION
from clients.javascript import JavaScriptClient, JavaScriptRefusal, javascript_client
from clients.plain_browser import PlainBrowser
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID

pytestmark = pytest.mark.heavy

CALLBACK = f"{APPLICATION}/auth/entra/callback"
SCOPE = "openid profile email offline_access User.Read"


@pytest.fixture
def emulator(started_https_emulator: RunningEmulator) -> RunningEmulator:
    """The emulator as it is just after starting, all its endpoints on https: the client takes no other."""
    started_https_emulator.reset()
    return started_https_emulator


@pytest.fixture(scope="module")
def running_script(node_path: str, started_https_emulator: RunningEmulator) -> Iterator[JavaScriptClient]:
    ca_file = started_https_emulator.ca_file
    with javascript_client(node_path, "openid_client.mjs", ca_file=ca_file) as client:
        yield client


@pytest.fixture
def relying_party(running_script: JavaScriptClient, emulator: RunningEmulator) -> JavaScriptClient:
    """A relying party that has read the tenant's metadata."""
    running_script.ask("open", issuer=issuer(emulator), clientId=CLIENT_ID, secret=CLIENT_SECRET)
    return running_script


def issuer(emulator: RunningEmulator) -> str:
    return f"{emulator.https_url}/{CONTOSO_ID}/v2.0"


def test_discovery_is_what_openid_connect_asks_for(
    emulator: RunningEmulator, running_script: JavaScriptClient
) -> None:
    """The issuer in the metadata is the one that was asked for; another one is refused."""
    metadata = running_script.ask("open", issuer=issuer(emulator), clientId=CLIENT_ID, secret=CLIENT_SECRET)
    assert metadata["issuer"] == issuer(emulator)
    emulator.fail("wrong_issuer", issuer="https://elsewhere.example/v2.0")
    with pytest.raises(JavaScriptRefusal, match="issuer"):
        running_script.ask("open", issuer=issuer(emulator), clientId=CLIENT_ID, secret=CLIENT_SECRET)


def test_the_code_flow_with_everything_checked(
    emulator: RunningEmulator, relying_party: JavaScriptClient, person: PlainBrowser
) -> None:
    """PKCE, state and nonce hold, and the ID token's signature verifies against the key set."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE)
    back = person.sign_in(address, "ada@contoso.test")
    answer = relying_party.ask("complete", url=back.url)
    assert answer["claims"]["iss"] == issuer(emulator)
    assert answer["claims"]["aud"] == CLIENT_ID
    assert answer["claims"]["preferred_username"] == "ada@contoso.test"
    assert "keys" in {one.endpoint for one in emulator.requests}


def test_plain_http_when_the_client_allows_it(
    emulator: RunningEmulator, running_script: JavaScriptClient, person: PlainBrowser
) -> None:
    """The http listener is an issuer of its own, for a client told to put up with http."""
    plain = f"{emulator.http_url}/{CONTOSO_ID}/v2.0"
    running_script.ask("open", issuer=plain, clientId=CLIENT_ID, secret=CLIENT_SECRET, insecure=True)
    address = running_script.ask("begin", redirectUri=CALLBACK, scope=SCOPE)
    answer = running_script.ask("complete", url=person.sign_in(address, "ada@contoso.test").url)
    assert answer["claims"]["iss"] == plain


def test_the_older_endpoints(
    emulator: RunningEmulator, running_script: JavaScriptClient, person: PlainBrowser
) -> None:
    """A client pointed at version 1 signs in there: older issuer, older claims, the tenant's userinfo."""
    older = f"{emulator.https_url}/{CONTOSO_ID}/"
    running_script.ask("open", issuer=older, clientId=CLIENT_ID, secret=CLIENT_SECRET)
    address = running_script.ask("begin", redirectUri=CALLBACK, scope="openid")
    answer = running_script.ask("complete", url=person.sign_in(address, "ed@contoso.test").url)
    claims = answer["claims"]
    assert (claims["iss"], claims["ver"], claims["upn"]) == (older, "1.0", "ed@contoso.test")
    told = running_script.ask("userInfo", accessToken=answer["access_token"], subject=claims["sub"])
    assert told["name"] == "Ed Codd"


def test_the_answer_as_a_posted_form(relying_party: JavaScriptClient, person: PlainBrowser) -> None:
    """response_mode=form_post answers by a form that the client reads as it reads a query."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE, response_mode="form_post")
    page = person.sign_in(address, "ada@contoso.test")
    (form,) = page.forms
    assert (form.action, form.method) == (CALLBACK, "post")
    answer = relying_party.ask("complete", url=CALLBACK, form=form.fields)
    assert answer["claims"]["name"] == "Ada Lovelace"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expectedState": "another"}, "state"),
        ({"expectedNonce": "another"}, "nonce"),
        ({"pkceCodeVerifier": "x" * 43}, "response body"),
        ({"maxAge": 60}, "auth_time"),
    ],
)
def test_a_spoiled_check_is_noticed(
    relying_party: JavaScriptClient, person: PlainBrowser, change: dict[str, object], words: str
) -> None:
    """State and nonce come back as sent, the verifier is compared, and auth_time is there only on request."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE)
    back = person.sign_in(address, "ada@contoso.test")
    with pytest.raises(JavaScriptRefusal, match=words):
        relying_party.ask("complete", url=back.url, **change)


def test_max_age_brings_the_time_of_the_sign_in(
    relying_party: JavaScriptClient, person: PlainBrowser
) -> None:
    """Asked with max_age the ID token says when the person signed in, recently enough."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE, max_age="60")
    back = person.sign_in(address, "ada@contoso.test")
    answer = relying_party.ask("complete", url=back.url, maxAge=60)
    assert answer["claims"]["auth_time"] >= answer["claims"]["iat"]


def test_a_token_by_another_key_is_refused(
    emulator: RunningEmulator, relying_party: JavaScriptClient, person: PlainBrowser
) -> None:
    """A signature by a key that is not published does not verify."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE)
    back = person.sign_in(address, "ada@contoso.test")
    emulator.withdraw_key()
    with pytest.raises(JavaScriptRefusal, match="key"):
        relying_party.ask("complete", url=back.url)


def test_refreshing(relying_party: JavaScriptClient, person: PlainBrowser) -> None:
    """A refresh keeps the person and brings another refresh token; the first stays good."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE)
    answer = relying_party.ask("complete", url=person.sign_in(address, "ed@contoso.test").url)
    first = relying_party.ask("refresh", refreshToken=answer["refresh_token"])
    assert first["claims"]["sub"] == answer["claims"]["sub"]
    assert first["refresh_token"] != answer["refresh_token"]
    assert relying_party.ask("refresh", refreshToken=answer["refresh_token"])["access_token"]


def test_user_information(relying_party: JavaScriptClient, person: PlainBrowser) -> None:
    """Graph's userinfo tells name and address of the very `sub` that the ID token names."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE)
    answer = relying_party.ask("complete", url=person.sign_in(address, "ed@contoso.test").url)
    subject = answer["claims"]["sub"]
    told = relying_party.ask("userInfo", accessToken=answer["access_token"], subject=subject)
    assert told["email"] == "ed@contoso.test"
    assert told["name"] == "Ed Codd"


@pytest.mark.parametrize("basic", [False, True], ids=["secret in the form", "secret in the header"])
def test_client_credentials(emulator: RunningEmulator, running_script: JavaScriptClient, basic: bool) -> None:
    """Both ways of sending the secret that the metadata announces are accepted."""
    running_script.ask("open", issuer=issuer(emulator), clientId=CLIENT_ID, secret=CLIENT_SECRET, basic=basic)
    answer = running_script.ask("inOwnName", scope=f"api://{CLIENT_ID}/.default")
    assert answer["token_type"] == "bearer"
    assert "refresh_token" not in answer


def test_a_wrong_secret(emulator: RunningEmulator, running_script: JavaScriptClient) -> None:
    """The refusal is OAuth's error object, which the client reads."""
    running_script.ask("open", issuer=issuer(emulator), clientId=CLIENT_ID, secret="wrong")
    with pytest.raises(JavaScriptRefusal) as refused:
        running_script.ask("inOwnName", scope=f"api://{CLIENT_ID}/.default")
    assert refused.value.fields["error"] == "invalid_client"


def test_signing_out(relying_party: JavaScriptClient, person: PlainBrowser) -> None:
    """The client's end-session address ends the session, tells the application, and leads back."""
    address = relying_party.ask("begin", redirectUri=CALLBACK, scope=SCOPE)
    answer = relying_party.ask("complete", url=person.sign_in(address, "ada@contoso.test").url)
    leaving = relying_party.ask(
        "signOut",
        id_token_hint=answer["id_token"],
        post_logout_redirect_uri=f"{APPLICATION}/auth/signed-out",
        state="where we were",
    )
    page = person.open(leaving)
    assert page.frames == [f"{APPLICATION}/auth/entra/logout?sid={answer['claims']['sid']}"]
    assert page.links["Continue"] == f"{APPLICATION}/auth/signed-out?state=where%20we%20were"
    assert "Pick an account" in person.open(address).text
