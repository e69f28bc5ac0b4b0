"""K40: each mode that bears a conformance module's name does what the suite's module does."""

from __future__ import annotations

import hashlib
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from emulator.relying_party import CALLBACK, Entra, answered, code_of, header, payload
from entrada.emulator.faults.conformance import NOT_AT_ENTRA, PLAIN, PREFIX, module_names
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET

DISCOVERY = "v2.0/.well-known/openid-configuration"
KEYS = "discovery/v2.0/keys"


def discovery(entra: Entra) -> dict[str, Any]:
    document: dict[str, Any] = entra.http.get(entra.url(DISCOVERY)).json()
    return document


def keys(entra: Entra) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = entra.http.get(entra.url(KEYS)).json()["keys"]
    return found


def kids(entra: Entra) -> set[str]:
    return {key["kid"] for key in keys(entra)}


def userinfo(entra: Entra) -> dict[str, Any]:
    token = entra.tokens()["access_token"]
    where = f"{entra.emulator.https_url}/oidc/userinfo"
    told: dict[str, Any] = entra.http.get(where, headers={"Authorization": f"Bearer {token}"}).json()
    return told


def refreshed(entra: Entra, token: str) -> dict[str, Any]:
    return payload(entra.token(grant_type="refresh_token", refresh_token=token).json()["id_token"])


def signed_out(entra: Entra) -> str:
    entra.sign_in()
    query = f"post_logout_redirect_uri={CALLBACK}&client_id={CLIENT_ID}&state=the-state"
    page = entra.http.get(f"{entra.url('oauth2/v2.0/logout', secure=False)}?{query}")
    return next(iter(re.findall(r'id="go-on" href="([^"]+)"', page.text)), page.headers.get("location", ""))


def hybrid(entra: Entra) -> tuple[str, dict[str, Any]]:
    entra.emulator.change_app(CLIENT_ID, id_token_issuance=True)
    answer = entra.sign_in(response_type="code id_token", response_mode="fragment")
    return answer["code"], payload(answer["id_token"])


def half_hash(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()


def number(text: str) -> int:
    return int.from_bytes(urlsafe_b64decode(text + "=="), "big")


def verifies(token: str, key: dict[str, Any]) -> bool:
    """Whether an RSA or P-256 key of the set made the token's signature."""
    signed, _, text = token.rpartition(".")
    made = urlsafe_b64decode(text + "==")
    try:
        if key["kty"] == "RSA":
            public = RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
            strong = hashes.SHA512() if header(token)["alg"] == "RS512" else hashes.SHA256()
            public.verify(made, signed.encode(), padding.PKCS1v15(), strong)
        else:
            point = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1())
            pair = encode_dss_signature(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:], "big"))
            point.public_key().verify(pair, signed.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def claim_ends_in_1(name: str) -> Callable[[Entra, Callable[[], None]], None]:
    def check(entra: Entra, fail: Callable[[], None]) -> None:
        good = entra.claims()
        fail()
        assert entra.claims()[name] == f"{good[name]}1"

    return check


def claim_is_missing(name: str) -> Callable[[Entra, Callable[[], None]], None]:
    def check(entra: Entra, fail: Callable[[], None]) -> None:
        assert name in entra.claims()
        fail()
        assert name not in entra.claims()

    return check


def key_absent(entra: Entra, fail: Callable[[], None], *, rsa_keys: Callable[[int], bool]) -> None:
    assert "kid" in header(entra.tokens()["id_token"])
    assert {key["kty"] for key in keys(entra)} == {"RSA"}
    fail()
    token, found = entra.tokens()["id_token"], keys(entra)
    assert "kid" not in header(token)
    signing = [key for key in found if key["use"] == "sig"]
    assert not any("kid" in key for key in signing)
    assert {key.get("crv", key["kty"]) for key in signing} == {"RSA", "P-256", "secp256k1", "Ed25519"}
    assert [key["kty"] for key in found if key["use"] == "enc"] == ["RSA"]
    mine = [key for key in signing if key["kty"] == "RSA"]
    assert rsa_keys(len(mine))
    assert sum(verifies(token, key) for key in mine) == 1


def single(entra: Entra, fail: Callable[[], None]) -> None:
    key_absent(entra, fail, rsa_keys=lambda number: number == 1)


def multiple(entra: Entra, fail: Callable[[], None]) -> None:
    key_absent(entra, fail, rsa_keys=lambda number: number > 1)


def unsigned(entra: Entra, fail: Callable[[], None]) -> None:
    assert header(entra.tokens()["id_token"])["alg"] == "RS256"
    fail()
    token = entra.tokens()["id_token"]
    assert header(token) == {"alg": "none"}
    assert token.endswith(".")


def wrong_rs256(entra: Entra, fail: Callable[[], None]) -> None:
    def good() -> bool:
        token = entra.tokens()["id_token"]
        (key,) = (key for key in keys(entra) if key["kid"] == header(token)["kid"])
        return verifies(token, key)

    assert good()
    fail()
    assert not good()


def wrong_hs256(entra: Entra, fail: Callable[[], None]) -> None:
    assert discovery(entra)["id_token_signing_alg_values_supported"] == ["RS256"]
    fail()
    assert discovery(entra)["id_token_signing_alg_values_supported"] == ["HS256"]
    token = entra.tokens()["id_token"]
    right = hashlib.sha256
    import hmac

    made = hmac.digest(CLIENT_SECRET.encode(), token.rpartition(".")[0].encode(), right)
    assert header(token)["alg"] == "HS256"
    assert urlsafe_b64decode(token.rpartition(".")[2] + "==") != made


def wrong_es256(entra: Entra, fail: Callable[[], None]) -> None:
    fail()
    assert discovery(entra)["id_token_signing_alg_values_supported"] == ["ES256"]
    token, found = entra.tokens()["id_token"], keys(entra)
    (key,) = (key for key in found if key["kid"] == header(token)["kid"])
    assert (header(token)["alg"], key["kty"], key["crv"]) == ("ES256", "EC", "P-256")
    assert not verifies(token, key)
    head, _, text = token.rpartition(".")
    made = urlsafe_b64decode(text + "==")
    mended = urlsafe_b64encode(bytes([made[0] ^ 1]) + made[1:]).rstrip(b"=").decode()
    assert verifies(f"{head}.{mended}", key)


def userinfo_sub(entra: Entra, fail: Callable[[], None]) -> None:
    good = userinfo(entra)
    fail()
    assert userinfo(entra) == {**good, "sub": f"{good['sub']}invalid"}


def nonce_is_wanted(entra: Entra, fail: Callable[[], None]) -> None:
    assert "code" in entra.sign_in(nonce=None)
    fail()
    assert "code" in entra.sign_in()
    told = answered(entra.authorize(nonce=None, login_hint="ada@contoso.test", _emulator_approve="1"))
    assert (told["error"], told["state"]) == ("invalid_request", "the-state")
    assert "nonce" in told["error_description"]


def basic_alone(entra: Entra, fail: Callable[[], None]) -> None:
    assert entra.redeem(entra.sign_in()["code"]).status_code == 200
    fail()
    code = entra.sign_in()["code"]
    assert code_of(entra.redeem(code)) == 7000218
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": "a" * 43,
    }
    where = entra.url("oauth2/v2.0/token")
    assert entra.http.post(where, data=form, auth=(CLIENT_ID, CLIENT_SECRET)).status_code == 200


def fresh_jwks_uri(entra: Entra, fail: Callable[[], None]) -> None:
    plain = discovery(entra)["jwks_uri"]
    fail()
    other = discovery(entra)["jwks_uri"]
    assert other not in (plain, "")
    assert entra.http.get(other).json()["keys"]


def other_issuer(entra: Entra, fail: Callable[[], None]) -> None:
    good = discovery(entra)
    fail()
    assert discovery(entra) == {**good, "issuer": f"{good['issuer']}1"}


def rotated_before(entra: Entra, fail: Callable[[], None]) -> None:
    before = kids(entra)
    fail()
    signed = header(entra.tokens()["id_token"])["kid"]
    assert signed not in before
    assert kids(entra) == {signed}


def rotated_after(entra: Entra, fail: Callable[[], None]) -> None:
    before = kids(entra)
    fail()
    assert header(entra.tokens()["id_token"])["kid"] in before
    assert not kids(entra) & before
    second = header(entra.tokens()["id_token"])["kid"]
    assert kids(entra) == {second}


def posted_error(entra: Entra, fail: Callable[[], None]) -> None:
    def posted() -> dict[str, str]:
        page = entra.authorize(
            response_mode="form_post", login_hint="ada@contoso.test", _emulator_approve="1"
        )
        return dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))

    assert "code" in posted()
    fail()
    assert "code" in entra.sign_in()  # by query nothing changes, and the fault waits
    told = posted()
    assert (told["error"], told["state"], "code" in told) == ("login_required", "the-state", False)


def refreshed_claim(name: str) -> Callable[[Entra, Callable[[], None]], None]:
    def check(entra: Entra, fail: Callable[[], None]) -> None:
        fail()
        tokens = entra.tokens()
        first = payload(tokens["id_token"])
        assert refreshed(entra, tokens["refresh_token"])[name] == f"{first[name]}1"
        assert refreshed(entra, tokens["refresh_token"])[name] == first[name]

    return check


def wrong_at_hash(entra: Entra, fail: Callable[[], None]) -> None:
    assert "at_hash" not in entra.claims()
    fail()
    tokens = entra.tokens()
    assert payload(tokens["id_token"])["at_hash"] == half_hash(tokens["access_token"]) + "1"


def wrong_c_hash(entra: Entra, fail: Callable[[], None]) -> None:
    code, claims = hybrid(entra)
    assert claims["c_hash"] == half_hash(code)
    fail()
    code, claims = hybrid(entra)
    assert claims["c_hash"] == half_hash(code) + "1"


def no_c_hash(entra: Entra, fail: Callable[[], None]) -> None:
    fail()
    assert "c_hash" not in hybrid(entra)[1]
    assert "c_hash" in hybrid(entra)[1]


def further_source(member: str) -> Callable[[Entra, Callable[[], None]], None]:
    def check(entra: Entra, fail: Callable[[], None]) -> None:
        assert "_claim_sources" not in userinfo(entra)
        fail()
        told = userinfo(entra)
        assert set(told["_claim_names"].values()) == {"src1"}
        assert member in told["_claim_sources"]["src1"]

    return check


def logout_state(wanted: str) -> Callable[[Entra, Callable[[], None]], None]:
    def check(entra: Entra, fail: Callable[[], None]) -> None:
        assert signed_out(entra) == f"{CALLBACK}?state=the-state"
        fail()
        assert signed_out(entra) == f"{CALLBACK}{wanted}"

    return check


def response_member(name: str, wanted: str | None) -> Callable[[Entra, Callable[[], None]], None]:
    def check(entra: Entra, fail: Callable[[], None]) -> None:
        good = entra.sign_in()
        assert good["state"] == "the-state"
        fail()
        assert entra.sign_in().get(name) == wanted

    return check


def promised_issuer(entra: Entra, fail: Callable[[], None]) -> None:
    assert "authorization_response_iss_parameter_supported" not in discovery(entra)
    fail()
    assert discovery(entra)["authorization_response_iss_parameter_supported"] is True
    assert "iss" not in entra.sign_in()


def wrong_issuer_in_response(entra: Entra, fail: Callable[[], None]) -> None:
    issuer = entra.claims()["iss"].replace(entra.emulator.https_url, entra.emulator.http_url)
    fail()
    assert discovery(entra)["authorization_response_iss_parameter_supported"] is True
    assert entra.sign_in()["iss"] == f"{issuer}1"


def expired(entra: Entra, fail: Callable[[], None]) -> None:
    assert entra.claims()["exp"] > time.time()
    fail()
    assert -362 <= entra.claims()["exp"] - time.time() <= -358


def secondary_audience(entra: Entra, fail: Callable[[], None]) -> None:
    fail()
    audience = entra.claims()["aud"]
    assert (audience[0], len(audience)) == (CLIENT_ID, 2)


def audience_as_array(entra: Entra, fail: Callable[[], None]) -> None:
    assert entra.claims()["aud"] == CLIENT_ID
    fail()
    assert entra.claims()["aud"] == [CLIENT_ID]


def another_algorithm(entra: Entra, fail: Callable[[], None]) -> None:
    fail()
    token = entra.tokens()["id_token"]
    (key,) = (key for key in keys(entra) if key["kid"] == header(token)["kid"])
    assert header(token)["alg"] == "RS512"
    assert verifies(token, key)


def no_expires_in(entra: Entra, fail: Callable[[], None]) -> None:
    good = set(entra.tokens())
    fail()
    assert good - set(entra.tokens()) == {"expires_in"}


def token_type(entra: Entra, fail: Callable[[], None]) -> None:
    assert entra.tokens()["token_type"] == "Bearer"
    fail()
    assert entra.tokens()["token_type"] == "bEARER"


def week_old(entra: Entra, fail: Callable[[], None]) -> None:
    fail()
    assert abs(time.time() - 7 * 24 * 3600 - entra.claims()["iat"]) < 310


EFFECTS: dict[str, Callable[[Entra, Callable[[], None]], None]] = {
    f"{PREFIX}-invalid-iss": claim_ends_in_1("iss"),
    f"{PREFIX}-missing-sub": claim_is_missing("sub"),
    f"{PREFIX}-invalid-aud": claim_ends_in_1("aud"),
    f"{PREFIX}-missing-aud": claim_is_missing("aud"),
    f"{PREFIX}-missing-iat": claim_is_missing("iat"),
    f"{PREFIX}-kid-absent-single-jwks": single,
    f"{PREFIX}-kid-absent-multiple-jwks": multiple,
    f"{PREFIX}-idtoken-sig-none": unsigned,
    f"{PREFIX}-invalid-sig-rs256": wrong_rs256,
    f"{PREFIX}-invalid-sig-hs256": wrong_hs256,
    f"{PREFIX}-invalid-sig-es256": wrong_es256,
    f"{PREFIX}-userinfo-invalid-sub": userinfo_sub,
    f"{PREFIX}-nonce-invalid": claim_ends_in_1("nonce"),
    f"{PREFIX}-nonce-unless-code-flow": nonce_is_wanted,
    f"{PREFIX}-client-secret-basic": basic_alone,
    f"{PREFIX}-discovery-jwks-uri-keys": fresh_jwks_uri,
    f"{PREFIX}-discovery-issuer-mismatch": other_issuer,
    f"{PREFIX}-signing-key-rotation-just-before-signing": rotated_before,
    f"{PREFIX}-signing-key-rotation": rotated_after,
    f"{PREFIX}-form-post-error": posted_error,
    f"{PREFIX}-refresh-token-invalid-issuer": refreshed_claim("iss"),
    f"{PREFIX}-refresh-token-invalid-sub": refreshed_claim("sub"),
    f"{PREFIX}-invalid-athash": wrong_at_hash,
    f"{PREFIX}-invalid-chash": wrong_c_hash,
    f"{PREFIX}-missing-chash": no_c_hash,
    f"{PREFIX}-aggregated-claims": further_source("JWT"),
    f"{PREFIX}-distributed-claims": further_source("endpoint"),
    f"{PREFIX}-rp-init-logout-no-state": logout_state(""),
    f"{PREFIX}-rp-init-logout-other-state": logout_state("?state=the-state1"),
    "invalid-authorization-response-iss": wrong_issuer_in_response,
    "remove-authorization-response-iss": promised_issuer,
    "ensure-authorization-response-with-invalid-state-fails": response_member("state", "the-state1"),
    "ensure-authorization-response-with-invalid-missing-state-fails": response_member("state", None),
    "invalid-expired-exp": expired,
    "invalid-missing-exp": claim_is_missing("exp"),
    "invalid-missing-nonce": claim_is_missing("nonce"),
    "invalid-null-alg": unsigned,
    "invalid-secondary-aud": secondary_audience,
    "valid-aud-as-array": audience_as_array,
    "invalid-alternate-alg": another_algorithm,
    "token-endpoint-response-without-expires_in": no_expires_in,
    "token-type-case-insensitivity": token_type,
    "iat-is-week-in-past": week_old,
}


@pytest.mark.parametrize("module", EFFECTS)
def test_K40_the_difference_to_a_good_sign_in(entra: Entra, module: str) -> None:
    """With the mode on a client meets exactly the suite's change; without it, or afterwards, none of it."""

    def fail() -> None:
        # Without the nonce of one sign-in the next is another one; every other value is the same each time.
        assert entra.emulator.fail(module)

    EFFECTS[module](entra, fail)
    if any(fault.times is not None for fault in entra.emulator.faults):
        entra.emulator.clear_faults()
    assert payload(entra.tokens()["id_token"])["iss"] == discovery(entra)["issuer"]


def test_K40_every_module_is_accounted_for() -> None:
    """Of the suite's 57 client modules each changes something, is plain success, or cannot be at Entra."""
    changing = {name.removeprefix(PREFIX) for name in EFFECTS if name.startswith(PREFIX)}
    assert set(module_names()) == {*EFFECTS, *(PREFIX + suffix for suffix in PLAIN)}
    assert not changing & set(PLAIN)
    assert not (changing | set(PLAIN)) & set(NOT_AT_ENTRA)
    assert len(changing) + len(PLAIN) + len(NOT_AT_ENTRA) == 57


@pytest.mark.parametrize("suffix", PLAIN)
def test_K40_a_module_in_which_nothing_is_wrong_is_no_fault(entra: Entra, suffix: str) -> None:
    """It is accepted by name and switches nothing."""
    assert entra.emulator.fail(PREFIX + suffix) == []
    assert entra.emulator.faults == []


@pytest.mark.parametrize("suffix", NOT_AT_ENTRA)
def test_K40_a_module_that_cannot_be_is_refused_with_the_reason(entra: Entra, suffix: str) -> None:
    """What Entra does not have is an error rather than a test that passes because nothing happened."""
    with pytest.raises(Exception, match=re.escape(NOT_AT_ENTRA[suffix])):
        entra.emulator.fail(PREFIX + suffix)
