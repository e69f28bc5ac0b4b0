"""What the tokens say about people."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from emulator.relying_party import Entra, header, payload
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID, FABRIKAM_ID


def _verify(entra: Entra, token: str) -> None:
    """The signature, by the key that the key set names for it."""
    keys = entra.http.get(entra.url("discovery/v2.0/keys")).json()["keys"]
    key = next(key for key in keys if key["kid"] == header(token)["kid"])
    number = {name: int.from_bytes(urlsafe_b64decode(key[name] + "=="), "big") for name in "ne"}
    signed, _, signature = token.rpartition(".")
    RSAPublicNumbers(n=number["n"], e=number["e"]).public_key().verify(
        urlsafe_b64decode(signature + "=="), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_an_id_token_is_as_entra_makes_it(entra: Entra) -> None:
    """Signed RS256 by a published key; version 2.0 claims; no at_hash, c_hash or email_verified."""
    token = entra.tokens()["id_token"]
    _verify(entra, token)
    assert header(token)["alg"] == "RS256"
    claims = payload(token)
    assert claims["iss"] == f"{entra.emulator.https_url}/{CONTOSO_ID}/v2.0"
    assert claims["aud"] == CLIENT_ID
    assert claims["ver"] == "2.0"
    assert claims["tid"] == CONTOSO_ID
    assert claims["oid"] == entra.emulator.person("ada@contoso.test").object_id
    assert claims["preferred_username"] == "ada@contoso.test"
    assert claims["nonce"] == "the-nonce"
    assert claims["roles"] == ["Admin"]
    assert claims["acct"] == 0
    assert len(claims["groups"]) == 4
    assert claims["exp"] > claims["iat"]
    assert not {"at_hash", "c_hash", "email_verified", "amr", "idp", "xms_edov"} & set(claims)


def test_redeemed_at_the_plain_listener_the_issuer_is_its_own(entra: Entra) -> None:
    """`iss` is that of the listener the token is redeemed at."""
    code = entra.sign_in()["code"]
    form = {"client_id": CLIENT_ID, "client_secret": entra.emulator.env("entrada")["ENTRADA_CLIENT_SECRET"],
            "grant_type": "authorization_code", "code": code, "code_verifier": "a" * 43,
            "redirect_uri": "http://localhost:5000/auth/entra/callback"}  # fmt: skip
    token = entra.http.post(entra.url("oauth2/v2.0/token", secure=False), data=form).json()["id_token"]
    assert payload(token)["iss"] == f"{entra.emulator.http_url}/{CONTOSO_ID}/v2.0"


@pytest.mark.parametrize(
    ("who", "roles"),
    [("ed@contoso.test", ["Editor"]), ("vi@contoso.test", ["Viewer"]), ("nora@contoso.test", None)],
)
def test_roles(entra: Entra, who: str, roles: list[str] | None) -> None:
    """Roles come in the token, and are absent rather than empty without any."""
    assert entra.claims(who).get("roles") == roles


def test_overage(entra: Entra) -> None:
    """Above 200 groups the claim gives way to a pointer at a retired host."""
    claims = entra.claims("olga@contoso.test")
    assert "groups" not in claims
    assert claims["_claim_names"] == {"groups": "src1"}
    assert "graph.windows.net" in claims["_claim_sources"]["src1"]["endpoint"]


def test_a_guest(entra: Entra) -> None:
    """Gus is found by the name he types; acct 1 and idp tell his home."""
    claims = entra.claims("gus@fabrikam.test")
    assert claims["acct"] == 1
    assert claims["idp"] == f"https://sts.windows.net/{FABRIKAM_ID}/"
    assert claims["preferred_username"] == "gus@fabrikam.test"
    assert claims["tid"] == CONTOSO_ID
    assert claims["oid"] == entra.claims("gus_fabrikam.test#EXT#@contoso.test", prompt="login")["oid"]


def test_sub_is_pairwise(entra: Entra) -> None:
    """Another application sees another sub; the same sees the same."""
    other = entra.emulator.add_app("Other", secrets=[{"value": "other"}], admin_consented=["User.Read"],
                                   web_redirect_uris=["http://localhost/other"])  # fmt: skip
    mine, again = entra.claims(), entra.claims()
    there = {"client_id": other.client_id, "redirect_uri": "http://localhost:1/other"}
    code = entra.sign_in(**there)["code"]
    claims = payload(entra.redeem(code, client_secret="other", **there).json()["id_token"])
    assert mine["sub"] == again["sub"] != claims["sub"]
    assert mine["oid"] == claims["oid"]


def test_scopes_decide(entra: Entra) -> None:
    """Without profile no oid and no names; without openid no ID token; likewise offline_access."""
    claims = entra.claims(scope="openid")
    assert not {"oid", "name", "preferred_username"} & set(claims)
    answer = entra.tokens(scope="User.Read")
    assert "id_token" not in answer
    assert "refresh_token" not in answer


def test_mallory_carries_adas_address(entra: Entra) -> None:
    """The attack on linking by e-mail: another tenant's unverified address; xms_edov tells, if asked for."""
    entra.emulator.change_app(
        CLIENT_ID, audience="AzureADMultipleOrgs", optional_claims=["email", "xms_edov"]
    )
    claims = entra.claims("mallory@fabrikam.test", tenant="organizations")
    assert claims["email"] == "ada@contoso.test"
    assert claims["xms_edov"] is False
    assert claims["tid"] == FABRIKAM_ID
    assert entra.claims("ada@contoso.test", prompt="login")["xms_edov"] is True


def test_graph_tokens_are_for_graph_alone(entra: Entra) -> None:
    """A Graph token carries a nonce in its header and does not verify with the published keys."""
    token = entra.tokens()["access_token"]
    assert "nonce" in header(token)
    assert payload(token)["aud"] == "00000003-0000-0000-c000-000000000000"
    with pytest.raises(InvalidSignature):
        _verify(entra, token)


def test_tokens_for_an_own_api(entra: Entra) -> None:
    """Asked for the application's own scope, the token verifies, with scp, azp and roles."""
    token = entra.tokens(scope=f"openid offline_access api://{CLIENT_ID}/access_as_user")["access_token"]
    _verify(entra, token)
    claims = payload(token)
    assert claims["aud"] == CLIENT_ID
    assert claims["scp"] == "access_as_user"
    assert claims["azp"] == CLIENT_ID
    assert claims["roles"] == ["Admin"]
    assert claims["ver"] == "2.0"


def test_client_info_names_the_home_account(entra: Entra) -> None:
    """What MSAL keys its cache by: object id and home tenant."""
    answer = entra.redeem(entra.sign_in("gus@fabrikam.test")["code"], client_info="1").json()
    info = json.loads(urlsafe_b64decode(answer["client_info"] + "=="))
    assert info["utid"] == FABRIKAM_ID


def test_a_wrong_clock_shows_in_the_tokens(entra: Entra) -> None:
    """An offset moves iat and exp alike."""
    right = entra.claims()
    entra.emulator.clock(-3600)
    wrong = entra.claims()
    assert 3500 < right["iat"] - wrong["iat"] < 3700
