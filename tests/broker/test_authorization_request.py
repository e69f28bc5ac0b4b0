"""What an installation may ask for, and which mistakes go back to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.world import APP, CALLBACK, CHALLENGE
from entrada.broker.authorization_request import (
    AuthorizationRequest,
    read_authorization_request,
    read_client_id,
    read_return_address,
)
from entrada.broker.installations import Installation, Proof, Standing
from entrada.broker.oauth_errors import OAuthError
from entrada.errors import InstallationRefused

GOOD = {
    "client_id": APP.client_id,
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid profile email offline_access",
    "state": "s-1",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def read(pairs: list[tuple[str, str]], installation: Installation = APP) -> AuthorizationRequest:
    address = read_return_address(pairs, installation)
    return read_authorization_request(pairs, installation=installation, return_address=address)


def changed(**changes: str | None) -> list[tuple[str, str]]:
    return [(name, value) for name, value in {**GOOD, **changes}.items() if value is not None]


def test_a_request_as_our_own_installations_send_it() -> None:
    """Client, address, scopes, challenge and nonce are what was asked."""
    request = read(changed(prompt="select_account", max_age="60", login_hint="ada@contoso.test"))
    assert request.return_address.redirect_uri == CALLBACK
    assert request.return_address.state == "s-1"
    assert (request.prompt, request.max_age_seconds, request.login_hint) == (
        "select_account",
        60,
        "ada@contoso.test",
    )
    assert request.code_challenge == CHALLENGE


def test_unknown_parameters_and_scopes_are_left_out() -> None:
    """What a client adds of its own neither stops the sign-in nor is believed."""
    request = read(changed(scope="openid User.Read frobnicate", client_info="1", **{"x-client-SKU": "MSAL"}))
    assert request.scopes == frozenset({"openid"})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "other"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"nonce": ""}, "invalid_request"),
        ({"nonce": "n" * 513}, "invalid_request"),
        ({"state": "s" * 2049}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://x"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
    ],
)
def test_a_mistake_goes_back_to_the_installation(changes: dict[str, str | None], error: str) -> None:
    """Each in the specification's own code; A19: no PKCE, or `plain`, is refused."""
    with pytest.raises(OAuthError) as refused:
        read(changed(**changes))
    assert refused.value.error == error
    assert refused.value.description.isascii()


@pytest.mark.parametrize("proof", Proof)
def test_a19_pkce_is_left_out_only_by_who_has_another_proof(proof: Proof) -> None:
    """A19: `insecure_without_pkce` is for a client with a secret or a key; half of PKCE is a mistake."""
    lax = replace(APP, proof=proof, insecure_without_pkce=True)
    without = changed(code_challenge=None, code_challenge_method=None)
    if proof is Proof.PKCE:
        with pytest.raises(OAuthError, match="PKCE"):
            read(without, lax)
    else:
        assert read(without, lax).code_challenge is None
        assert read(changed(), lax).code_challenge == CHALLENGE
    method = "code_challenge_method"
    for half in ({"code_challenge": None}, {method: None}, {method: "plain"}):
        with pytest.raises(OAuthError):
            read(changed(**half), lax)


@pytest.mark.parametrize("name", ["state", "scope", "code_challenge", "nonce", "prompt"])
def test_a_doubled_parameter_is_refused_a8(name: str) -> None:
    """A8: two values of one parameter are no request."""
    with pytest.raises(OAuthError) as refused:
        read([*changed(prompt="login"), (name, "other")])
    assert refused.value.error == "invalid_request"


def test_a_doubled_parameter_of_any_name_is_named_safely() -> None:
    """The description is ASCII whatever the parameter was called."""
    with pytest.raises(OAuthError) as refused:
        read([*changed(), ("ä\n", "1"), ("ä\n", "2")])
    assert refused.value.description.isascii()


@pytest.mark.parametrize(
    "addresses",
    [[], ["https://evil.test/"], [CALLBACK, CALLBACK], [CALLBACK, "https://evil.test/"], [CALLBACK + "/"]],
    ids=lambda addresses: f"E2-{addresses}",
)
def test_an_address_that_is_not_the_installations_gets_a_page(addresses: list[str]) -> None:
    """Nothing is ever sent to an address that only the request names: consent phishing ends at our page."""
    pairs = [*changed(redirect_uri=None), *(("redirect_uri", one) for one in addresses)]
    with pytest.raises(InstallationRefused, match="address"):
        read_return_address(pairs, APP)


def test_an_unknown_client_gets_a_page() -> None:
    """Nobody knows where its answer might go."""
    with pytest.raises(InstallationRefused):
        read_return_address(changed(), None)


def test_an_installation_that_waits_gets_a_page() -> None:
    """Asking to be let in opens nothing before an administrator's yes."""
    waiting = replace(APP, standing=Standing.WAITING)
    with pytest.raises(InstallationRefused, match="administrator"):
        read_return_address(changed(), waiting)


@pytest.mark.parametrize("named", [[], [""], ["a", "b"], ["a", "a"]])
def test_a_request_names_one_client(named: list[str]) -> None:
    """None, an empty one or two are refused."""
    with pytest.raises(InstallationRefused):
        read_client_id([("client_id", one) for one in named])
