"""What the broker says of itself holds, and its keys roll without a gap."""

from __future__ import annotations

import json
from datetime import timedelta

from broker.world import ISSUER, World
from entrada.broker.discovery import jwks_document, openid_discovery
from entrada.broker.signing_keys import KEYS_ARE_BELIEVED_FOR
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
    """Then it is gone; the new one signs at once."""
    world = World()
    old = world.redeem(world.code()).json["id_token"]
    (first,) = published(world)
    world.clock.move(timedelta(minutes=1))
    second = world.provider.rotate_keys().kid
    assert published(world) == [second, first]
    assert world.claims_of(old)["iss"] == ISSUER
    world.clock.move(KEYS_ARE_BELIEVED_FOR)
    assert published(world) == [second]
