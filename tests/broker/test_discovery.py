"""What the broker says of itself holds, and its keys roll without a gap."""

from __future__ import annotations

import json
from datetime import timedelta

import jwt

from broker.world import ISSUER, World
from entrada.broker.discovery import jwks_document, openid_discovery
from entrada.broker.signing_keys import KEYS_ARE_BELIEVED_FOR, PUBLISHED_AHEAD
from entrada.broker.userinfo import userinfo
from entrada.web.messages import WebRequest

ASKED = WebRequest(method="GET", path="/")


def published(world: World) -> list[str]:
    return [key["kid"] for key in json.loads(jwks_document(world.provider, ASKED).body)["keys"]]


def test_the_document_names_what_there_is() -> None:
    """Issuer and endpoints are below the public URL; PKCE S256 and the iss parameter are promised."""
    document = json.loads(openid_discovery(World().provider, ASKED).body)
    assert document["issuer"] == ISSUER
    assert all(
        document[name].startswith(ISSUER + "/auth/broker/")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    )
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["backchannel_logout_session_supported"] is True


def test_keys_are_public_and_alone() -> None:
    """Only public members of RSA keys for signatures are shown, readable by anybody."""
    response = jwks_document(World().provider, ASKED)
    (key,) = json.loads(response.body)["keys"]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
    assert ("access-control-allow-origin", "*") in response.headers


def test_a_rolled_key_is_believed_as_long_as_what_it_signed_lives() -> None:
    """Then it is gone. The next is published before it signs, so nobody meets a key they cannot find."""
    world = World()
    old = world.redeem(world.code()).json["id_token"]
    (first,) = published(world)
    world.clock.move(timedelta(minutes=1))
    second = world.provider.rotate_keys().kid
    assert published(world) == [first, second]
    assert signer(world) == first
    world.clock.move(PUBLISHED_AHEAD)
    assert published(world) == [second, first]
    assert signer(world) == second
    assert world.claims_of(old)["iss"] == ISSUER
    world.clock.move(KEYS_ARE_BELIEVED_FOR)
    assert published(world) == [second]


def test_keys_rolled_one_after_the_other_sign_in_their_order() -> None:
    """Two rolls within the time ahead: each key was published for all of it before it signs."""
    world = World()
    (first,) = published(world)
    second = world.provider.rotate_keys().kid
    world.clock.move(timedelta(minutes=2))
    third = world.provider.rotate_keys().kid
    signers = []
    for _ in range(8):
        signers.append(signer(world))
        world.clock.move(timedelta(minutes=1))
    assert signers == [first] * 3 + [second] * 2 + [third] * 3


def test_a_stolen_key_is_withdrawn_at_once() -> None:
    """What it signed counts no more, at userinfo either; the new key signs from now on."""
    world = World()
    stolen = world.redeem(world.code()).json["access_token"]
    assert userinfo(world.provider, bearer(stolen)).status == 200
    fresh = world.provider.replace_stolen_keys().kid
    assert published(world) == [fresh]
    assert signer(world) == fresh
    assert userinfo(world.provider, bearer(stolen)).status == 401


def signer(world: World) -> str:
    token = world.redeem(world.code()).json["id_token"]
    return str(jwt.get_unverified_header(token)["kid"])


def bearer(token: str) -> WebRequest:
    return WebRequest(
        method="GET", path="/auth/broker/userinfo", headers={"authorization": f"Bearer {token}"}
    )
