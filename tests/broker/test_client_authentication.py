"""A confidential installation is never let through without its proof, and a public one shows none."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.world import APP, ISSUER, START, Answer, World
from entrada.broker.client_authentication import ASSERTION_TYPE, authenticate, read_credentials
from entrada.broker.grants import hash_of
from entrada.broker.installations import ClientId, Proof

SECRET = "s3cr&t+%=: ~ü"
WITH_SECRET = replace(APP, proof=Proof.SECRET, secret_hashes=(hash_of("next"), hash_of(SECRET)))
KEY = ec.generate_private_key(ec.SECP256R1())
JWK = {**jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1"}
WITH_KEY = replace(APP, proof=Proof.KEY, jwks=(JWK,))


def basic(client_id: str, secret: str) -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def assertion(key: Any = KEY, *, algorithm: str = "ES256", kid: str = "k1", **changes: Any) -> str:
    claims = {
        "iss": APP.client_id,
        "sub": APP.client_id,
        "aud": f"{ISSUER}/auth/broker/token",
        "exp": int(START.timestamp()) + 60,
        "jti": "j-1",
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


def redeem_with(world: World, text: str) -> Answer:
    return world.redeem(
        world.code(), client_assertion=text, client_assertion_type=ASSERTION_TYPE, client_id=None
    )


def test_a_secret_in_the_header_or_in_the_form_a31() -> None:
    """A31: any characters work in both places, and each of two secrets during a change."""
    world = World(listed=[WITH_SECRET])
    assert world.redeem(world.code(), client_secret=SECRET).status == 200
    assert world.redeem(world.code(), header=basic(APP.client_id, SECRET), client_id=None).status == 200
    assert world.redeem(world.code(), client_secret="next").status == 200


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        (None, None),
        (None, ""),
        (None, "wrong"),
        (basic(APP.client_id, "wrong"), None),
        (basic(APP.client_id, ""), None),
        ("Basic !!!", None),
        ("Bearer x", None),
        ("Basic " + base64.b64encode(b"no colon").decode(), None),
    ],
)
def test_a_missing_or_wrong_secret_is_refused_in_both_places(header: str | None, secret: str | None) -> None:
    """client_secret_basic and client_secret_post are both checked (CVE-2026-135300)."""
    world = World(listed=[WITH_SECRET])
    refused = world.redeem(world.code(), header=header, client_secret=secret)
    assert (refused.status, refused.error) == (401, "invalid_client")
    assert any(name == "www-authenticate" for name, _ in refused.response.headers)


def test_two_ways_at_once_are_none() -> None:
    """RFC 6749, 2.3: a client uses one way in each request."""
    world = World(listed=[WITH_SECRET])
    refused = world.redeem(world.code(), header=basic(APP.client_id, SECRET), client_secret=SECRET)
    assert refused.error == "invalid_request"


def test_the_header_and_the_form_name_one_client() -> None:
    """A right secret for one client redeems nothing for another."""
    world = World(listed=[WITH_SECRET])
    refused = world.redeem(world.code(), header=basic(APP.client_id, SECRET), client_id="other")
    assert refused.error == "invalid_request"


def test_a_public_client_shows_no_secret() -> None:
    """Who sends one believes to be protected by it: better told."""
    world = World()
    assert world.redeem(world.code(), client_secret="x").error == "invalid_client"


def test_an_unknown_client_is_refused() -> None:
    """The same words as for a wrong secret's client tell nothing more."""
    world = World()
    assert world.redeem(world.code(), client_id="https://unknown.test").error == "invalid_client"


def test_an_assertion_signed_by_the_clients_key() -> None:
    """private_key_jwt works, once for each assertion."""
    world = World(listed=[WITH_KEY])
    assert redeem_with(world, assertion()).status == 200
    assert redeem_with(world, assertion()).error == "invalid_client"
    assert redeem_with(world, assertion(jti="j-2")).status == 200


@pytest.mark.parametrize(
    "text",
    [
        assertion(ec.generate_private_key(ec.SECP256R1())),
        assertion(rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256"),
        assertion(b"x" * 32, algorithm="HS256"),
        assertion(kid="other"),
        assertion(iss="https://other.test"),
        assertion(aud="https://evil.test"),
        assertion(aud=None),
        assertion(exp=int(START.timestamp()) - 61),
        assertion(exp=int(START.timestamp()) + 3600),
        assertion(exp=None),
        assertion(exp=True),
        assertion(exp="9999999999"),
        assertion(jti=None),
        assertion(jti=""),
        "a.b.c",
        "",
    ],
    ids=range(16),
)
def test_any_other_assertion_is_refused(text: str) -> None:
    """Another key or algorithm, another client or audience, no end or one far away, no jti."""
    world = World(listed=[WITH_KEY])
    refused = redeem_with(world, text)
    assert (refused.status, refused.error) == (401, "invalid_client")


def test_a_client_with_a_key_is_not_let_through_without_it() -> None:
    """Nor with a secret in its place."""
    world = World(listed=[WITH_KEY])
    assert world.redeem(world.code()).error == "invalid_client"
    assert world.redeem(world.code(), client_secret="x").error == "invalid_client"


def test_comparing_secrets_takes_no_shortcut() -> None:
    """Many wrong tries are refused, each in bounded time."""
    world = World(listed=[WITH_SECRET])
    begun = time.monotonic()
    for number in range(50):
        assert world.redeem(world.code(), client_secret=str(number)).status == 401
    assert time.monotonic() - begun < 5
    assert world.clock.now() - START == timedelta(0)


def test_an_assertion_is_remembered_by_client_and_id_at_one_length() -> None:
    """A long id fits every database's index, and one client's id spends no other's."""
    spent: list[str] = []

    def spend(identifier: str, _expires_at: datetime) -> bool:
        spent.append(identifier)
        return True

    for client_id, identifier in (("a", "b c"), ("a b", "c"), ("a", "\U0001d11e" * 256)):
        made = replace(WITH_KEY, client_id=ClientId(client_id))
        text = assertion(iss=client_id, sub=client_id, jti=identifier)
        shown = read_credentials(None, {"client_assertion": text, "client_assertion_type": ASSERTION_TYPE})
        authenticate(shown, made, audiences=[f"{ISSUER}/auth/broker/token"], spend=spend, now=START)
    assert len(set(spent)) == 3
    assert {len(one) for one in spent} == {64}
