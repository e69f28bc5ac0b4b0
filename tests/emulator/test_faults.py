"""Faults on demand: of the wire, of meaning, and the conformance suite's."""

from __future__ import annotations

import time

import httpx
import pytest

from emulator.relying_party import Entra, answered, code_of, header, payload
from entrada.emulator.faults.conformance import module_names

DISCOVERY = "v2.0/.well-known/openid-configuration"
KEYS = "discovery/v2.0/keys"


def test_faults_count_down(entra: Entra) -> None:
    """Two requests meet the fault, the third does not; other endpoints never."""
    entra.emulator.fail("server_error", endpoint="keys", times=2)
    assert entra.http.get(entra.url(DISCOVERY)).status_code == 200
    statuses = [entra.http.get(entra.url(KEYS)).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert entra.emulator.faults == []


def test_faults_for_a_time(entra: Entra) -> None:
    """A fault with a time meets every request until it is over."""
    entra.emulator.fail("null", endpoint="keys", for_seconds=0.3)
    end = time.monotonic() + 5
    seen = [entra.http.get(entra.url(KEYS)).text for _ in range(3)]
    assert seen == ["null"] * 3
    while entra.http.get(entra.url(KEYS)).text == "null":
        assert time.monotonic() < end


def test_the_shapes_of_bad_answers(entra: Entra) -> None:
    """Half JSON, HTML with 200, null, an array, nothing, 429 and a redirect."""

    def meet(name: str, **parameters: object) -> httpx.Response:
        entra.emulator.fail(name, endpoint="discovery", **parameters)
        return entra.http.get(entra.url(DISCOVERY))

    half = meet("half_json")
    assert half.status_code == 200
    with pytest.raises(ValueError):
        half.json()
    assert meet("html").headers["content-type"] == "text/html"
    assert meet("null").json() is None
    assert meet("array").json() == []
    assert meet("empty").content == b""
    busy = meet("too_many_requests", retry_after=9)
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "9")
    away = meet("redirect", to="https://elsewhere.example/")
    assert (away.status_code, away.headers["location"]) == (307, "https://elsewhere.example/")
    assert meet("body", text='{"a":', status=418).status_code == 418
    assert meet("server_error", status=503).status_code == 503


def test_large_answers(entra: Entra) -> None:
    """Five megabytes, and a small gzip body that would be 256."""
    entra.emulator.fail("oversized", endpoint="token")
    assert len(entra.token(grant_type="x").content) > 5_000_000
    entra.emulator.fail("gzip_bomb", endpoint="keys")
    with entra.http.stream("GET", entra.url(KEYS)) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert int(response.headers["content-length"]) < 1_000_000


def test_connections_hang_and_drop(entra: Entra) -> None:
    """A hanging answer runs into the client's limit, a dropped one ends at once; others are served."""
    entra.emulator.fail("hang", endpoint="keys")
    with pytest.raises(httpx.ReadTimeout):
        entra.http.get(entra.url(KEYS), timeout=0.3)
    entra.emulator.fail("drop", endpoint="keys")
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        entra.http.get(entra.url(KEYS))
    assert entra.http.get(entra.url(KEYS)).status_code == 200


def test_a_delay_is_a_delay(entra: Entra) -> None:
    """The answer comes late and is the right one."""
    entra.emulator.fail("delay", endpoint="keys", seconds=0.2)
    begun = time.monotonic()
    assert entra.http.get(entra.url(KEYS)).json()["keys"]
    assert time.monotonic() - begun >= 0.2


def test_keys_rotate(entra: Entra) -> None:
    """A new key signs and old ones stay published; or they go; or the signing key is not in the set."""

    def kids() -> set[str]:
        return {key["kid"] for key in entra.http.get(entra.url(KEYS)).json()["keys"]}

    before = kids()
    entra.emulator.fail("key_rotated")
    signed = header(entra.tokens()["id_token"])["kid"]
    assert signed not in before
    assert signed in kids()
    entra.emulator.fail("rotate_after_signing", keep_old=False)
    signed = header(entra.tokens()["id_token"])["kid"]
    assert signed not in kids()
    entra.emulator.fail("key_removed")
    assert header(entra.tokens()["id_token"])["kid"] not in kids()
    assert header(entra.tokens()["id_token"])["kid"] in kids()
    entra.emulator.withdraw_key()
    assert header(entra.tokens()["id_token"])["kid"] not in kids()


def test_wrong_issuer(entra: Entra) -> None:
    """Discovery can lie about the issuer."""
    entra.emulator.fail("wrong_issuer")
    assert "somebody-else" in entra.http.get(entra.url(DISCOVERY)).json()["issuer"]


def test_every_claim_can_be_spoiled(entra: Entra) -> None:
    """`tamper` sets, removes, shifts and doubles members before signing."""
    entra.emulator.fail(
        "tamper", set={"tid": "x"}, remove=["oid"], header_set={"typ": "at+jwt"}, shift={"exp": 60}
    )
    token = entra.tokens()["id_token"]
    assert payload(token)["tid"] == "x"
    assert "oid" not in payload(token)
    assert header(token)["typ"] == "at+jwt"
    entra.emulator.fail("tamper", duplicate={"sub": "second"})
    from base64 import urlsafe_b64decode

    part = entra.tokens()["id_token"].split(".")[1]
    assert urlsafe_b64decode(part + "==").count(b'"sub":') == 2
    assert "oid" in entra.claims()


@pytest.mark.parametrize(
    ("signature", "algorithm"),
    [("none", "none"), ("empty", "RS256"), ("corrupt", "RS256"), ("hs256", "HS256"), ("es256", "ES256"),
     ("hs256_public_key", "HS256"), ("rs512", "RS512"), ("ps256", "PS256"), ("unknown_key", "RS256"),
     ("personal_key", "RS256")],
)  # fmt: skip
def test_every_signature_can_be_spoiled(entra: Entra, signature: str, algorithm: str) -> None:
    """The header says what was done, and the next token is right again."""
    entra.emulator.fail("tamper", signature=signature)
    assert header(entra.tokens()["id_token"])["alg"] == algorithm
    assert header(entra.tokens()["id_token"])["kid"] in {
        key["kid"] for key in entra.http.get(entra.url(KEYS)).json()["keys"]
    }


def test_other_answers_can_be_spoiled(entra: Entra) -> None:
    """Token response, authorization response, discovery."""
    entra.emulator.fail("tamper", target="token_response", remove=["id_token"], set={"token_type": "DPoP"})
    answer = entra.tokens()
    assert "id_token" not in answer
    assert answer["token_type"] == "DPoP"
    entra.emulator.fail(
        "tamper", target="authorization_response", set={"iss": "https://evil/"}, remove=["state"]
    )
    response = entra.authorize(login_hint="ada@contoso.test", _emulator_approve="1")
    assert answered(response)["iss"] == "https://evil/"
    assert "state" not in answered(response)
    entra.emulator.fail("tamper", target="discovery", set={"token_endpoint": "http://evil/"})
    assert entra.http.get(entra.url(DISCOVERY)).json()["token_endpoint"] == "http://evil/"


def test_any_code_by_switch(entra: Entra) -> None:
    """An AADSTS number at the token endpoint or, shown either way, at authorize."""
    entra.emulator.fail("aadsts", endpoint="token", code=90033)
    response = entra.redeem(entra.sign_in()["code"])
    assert (response.status_code, code_of(response)) == (503, 90033)
    assert "retry-after" in response.headers
    entra.emulator.fail("aadsts", endpoint="authorize", code=53003)
    assert entra.authorize().status_code == 200
    entra.emulator.fail("aadsts", endpoint="authorize", code=53003, shown="redirect")
    assert answered(entra.authorize())["error"] == "access_denied"
    entra.emulator.change_person("ed@contoso.test", error=50053)
    assert code_of(entra.authorize(login_hint="ed@contoso.test", _emulator_approve="1")) == 50053


@pytest.mark.parametrize("name", module_names())
def test_conformance_modules(entra: Entra, name: str) -> None:
    """Every module of the catalogue can be switched on by its name, and off."""
    faults = entra.emulator.fail(name)
    assert len(entra.emulator.faults) == len(faults)
    entra.emulator.clear_faults()
    assert entra.emulator.faults == []


@pytest.mark.parametrize(
    "name",
    ["oidcc-client-test-dynamic-registration", "oidcc-client-test-rp-backchannel-rpinitlogout", "nonsense"],
)
def test_what_cannot_be_emulated_says_so(entra: Entra, name: str) -> None:
    """A feature Entra does not have, or a name that is none, is an error rather than a silent pass."""
    with pytest.raises(Exception, match="fault"):
        entra.emulator.fail(name)
    with pytest.raises(Exception, match="endpoint"):
        entra.emulator.fail("drop", endpoint="nowhere")
