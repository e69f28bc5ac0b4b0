"""What SECURITY.md says a stolen thing at a broker is worth: no more than that."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import jwt
import pytest

from broker.conftest import BehindBroker
from broker.processes import redeemed_over_http
from broker.world import APP, CALLBACK, OTHER, World, form_request
from clients.plain_browser import PlainBrowser
from entrada.broker.administration import rotate_secret
from entrada.broker.grants import hash_of
from entrada.broker.installations import Proof, installation_at
from entrada.broker.signing_keys import make_signing_key, sign
from entrada.broker.token import token
from entrada.broker.userinfo import userinfo
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from entrada.web.messages import WebRequest

CLIENT = {"client_id": APP.client_id}
THIEF = installation_at("https://thief.example.test", tenant_id=APP.tenant_id)


def test_what_one_installation_was_given_opens_nothing_as_another() -> None:
    """Its code, its refresh token: refused for another client id, and a code shown so ends."""
    world = World(listed=[APP, OTHER, THIEF])
    stolen_code, kept = world.code(), world.redeem(world.code()).json
    for client_id in (THIEF.client_id, OTHER.client_id):
        assert world.redeem(stolen_code, client_id=client_id).error == "invalid_grant"
        assert world.refresh(kept["refresh_token"], client_id=client_id).error == "invalid_grant"
    assert world.redeem(stolen_code).error == "invalid_grant"
    assert world.refresh(kept["refresh_token"]).status == 200


def test_a_stolen_installation_ends_only_sign_ins_it_has_a_hint_of(behind_broker: BehindBroker) -> None:
    """Another's client id beside its own hint, or a hint made for another, ends nothing."""
    provider = behind_broker.broker.broker.provider
    for one in (THIEF.client_id, APP.client_id):
        provider.store.save_installation(installation_at(one, tenant_id=TenantId(CONTOSO_ID)))
    mine = redeemed_over_http(behind_broker, THIEF.client_id, f"{THIEF.client_id}/auth/entra/callback")
    theirs = redeemed_over_http(behind_broker, APP.client_id, CALLBACK)
    hint = jwt.decode(theirs["id_token"], options={"verify_signature": False})["login_hint"]
    for asked in (
        {"id_token_hint": mine["id_token"], "client_id": APP.client_id},
        {"id_token_hint": theirs["id_token"], "client_id": THIEF.client_id},
        {"logout_hint": hint, "client_id": THIEF.client_id},
        {"client_id": APP.client_id},
    ):
        httpx.get(f"{behind_broker.url}/auth/broker/logout", params=asked, trust_env=False)
    for tokens in (mine, theirs):
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        answer = httpx.get(f"{behind_broker.url}/auth/broker/userinfo", headers=headers, trust_env=False)
        assert answer.status_code == 200


def test_a_stolen_installation_sends_nobody_to_itself_as_another(behind_broker: BehindBroker) -> None:
    """Another's client id with its own address, and its own with another's: a page at the broker."""
    app = behind_broker.installation()
    thief = behind_broker.installation()
    with PlainBrowser(behind_broker.entra.ca_file) as browser:
        for client_id, address in ((app.url, thief.url), (thief.url, app.url)):
            asked = {
                "client_id": client_id,
                "redirect_uri": f"{address}/auth/entra/callback",
                "response_type": "code",
                "scope": "openid",
                "code_challenge": "c" * 43,
                "code_challenge_method": "S256",
            }
            page = browser.open(f"{behind_broker.url}/auth/broker/authorize?{urlencode(asked)}")
            assert page.status == 403
            assert page.url.startswith(behind_broker.url)


def test_the_last_secret_works_until_the_second_rotation() -> None:
    """So a stolen one is out after two."""
    confidential = replace(APP, proof=Proof.SECRET, secret_hashes=(hash_of("stolen"),))
    world = World(listed=[])
    world.store.save_installation(confidential)

    def is_taken(secret: str) -> bool:
        code = world.code(installation=confidential)
        return world.redeem(code, client_secret=secret).status == 200

    assert is_taken("stolen")
    for still_works in (True, False):
        installation = world.store.find_installation(APP.client_id)
        assert installation is not None
        rotate_secret(world.provider, installation)
        assert is_taken("stolen") is still_works


def test_the_database_holds_nothing_that_opens_a_door(
    behind_broker: BehindBroker, new_browser: Callable[[], PlainBrowser]
) -> None:
    """Codes, tokens, the private key: none stands there, in any usual spelling."""
    provider = behind_broker.broker.broker.provider
    client = installation_at(APP.client_id, tenant_id=TenantId(CONTOSO_ID))
    provider.store.save_installation(client)
    behind_broker.entra.clear_requests()
    tokens = redeemed_over_http(behind_broker, APP.client_id, CALLBACK)
    app = behind_broker.installation()
    behind_broker.sign_in(new_browser(), app, "vi@contoso.test")
    key = provider.signing_keys()[0]
    numbers = key.private_key.private_numbers()
    secrets = [
        tokens["spent_code"],
        tokens["refresh_token"],
        tokens["access_token"],
        tokens["id_token"],
        tokens["refresh_token"].partition(".")[2],
        key.to_der(),
        numbers.d.to_bytes(256, "big"),
        numbers.p.to_bytes(128, "big"),
    ]
    files = list(Path(behind_broker.folder).glob("broker.db*"))
    stored = b"".join(one.read_bytes() for one in files)
    assert b"ada@contoso.test" in stored  # this is the place
    for secret in secrets:
        plain = secret if isinstance(secret, bytes) else secret.encode()
        for spelt in (plain, base64.b64encode(plain), base64.urlsafe_b64encode(plain), plain.hex().encode()):
            assert spelt.rstrip(b"=") not in stored


def test_a_signature_of_another_key_counts_nowhere() -> None:
    """Not at userinfo, nor in a hint: a key has to be published by this broker."""
    world = World()
    kept = world.redeem(world.code()).json
    claims = jwt.decode(kept["access_token"], options={"verify_signature": False})
    own = make_signing_key(world.clock.now())
    forged = sign(claims, own, typ="at+jwt")
    headers = {"authorization": f"Bearer {forged}"}
    asked = WebRequest(method="GET", path="/auth/broker/userinfo", headers=headers)
    assert userinfo(world.provider, asked).status == 401


def test_a_stolen_signing_key_redeems_and_refreshes_nothing() -> None:
    """Codes and refresh tokens are random, and no signature stands in for them or for a client's own."""
    world = World()
    key = world.provider.signing_keys()[0]
    made = sign({"sub": APP.client_id, "iss": APP.client_id, "exp": int(time.time()) + 60}, key)
    for form in (
        {
            "grant_type": "authorization_code",
            "code": made,
            "redirect_uri": CALLBACK,
            "code_verifier": "v" * 43,
        },
        {"grant_type": "refresh_token", "refresh_token": made},
    ):
        body = "&".join(f"{name}={quote(value)}" for name, value in {**CLIENT, **form}.items())
        answer = token(world.provider, form_request(body))
        assert json.loads(answer.body)["error"] == "invalid_grant"


@pytest.mark.parametrize("name", ["name", "email", "roles", "groups"])
def test_what_an_installation_may_not_learn_it_is_not_told(name: str) -> None:
    """The claim is left out of the ID token and of userinfo."""
    limited = replace(APP, claims=APP.claims - {name})
    world = World(listed=[limited])
    answer = world.redeem(world.code(installation=limited)).json
    told = world.claims_of(answer["id_token"])
    headers = {"authorization": f"Bearer {answer['access_token']}"}
    asked = WebRequest(method="GET", path="/auth/broker/userinfo", headers=headers)
    said = json.loads(userinfo(world.provider, asked).body)
    assert name not in told
    assert name not in said
