"""What strangers and odd installations send to a broker's own addresses."""

from __future__ import annotations

from itertools import pairwise
from secrets import token_bytes, token_urlsafe
from urllib.parse import urlencode

from broker.conftest import BehindBroker
from broker.world import APP, CHALLENGE, person
from entrada.broker.grants import (
    CODE_LIFE,
    GRANT_IDLE_LIFE,
    AuthorizationCode,
    Grant,
    new_grant_id,
    new_token,
)
from entrada.web.messages import WebRequest, WebResponse


def test_k21_the_front_channel_of_a_broker_has_a_budget_for_strangers_alone(
    behind_broker: BehindBroker,
) -> None:
    """Sign-ins that end spend nothing, however many; made-up session ids are 429 before the database."""
    routes, store = behind_broker.broker, behind_broker.broker.broker.provider.store
    now = routes.relying_party.clock.now()

    def front_channel(sid: str) -> int:
        path, query = routes.site.front_channel_path, urlencode({"sid": sid})
        return routes.handle(WebRequest(method="GET", path=path, query=query, peer="192.0.2.1")).status

    for number in range(150):
        grant = Grant(
            id=new_grant_id(),
            client_id=APP.client_id,
            person=person(),
            scopes=frozenset({"openid"}),
            begun_at=now,
            expires_at=now + GRANT_IDLE_LIFE,
            entra_session_id=f"entra-{number}",
        )
        code = AuthorizationCode(
            hash=new_token(grant.id).hash,
            grant_id=grant.id,
            client_id=APP.client_id,
            redirect_uri=APP.redirect_uris[0],
            code_challenge=CHALLENGE,
            expires_at=now + CODE_LIFE,
        )
        store.open_grant(grant, code)
        assert front_channel(f"entra-{number}") == 200
        assert store.find_grant(grant.id) is None
    assert {front_channel("\0"), front_channel("")} == {200}
    assert 429 in [front_channel(f"made-up-{number}") for number in range(150)]


def test_k19_a_client_id_that_is_no_text_is_nobody_s(behind_broker: BehindBroker) -> None:
    """Without asking the database, which might not take it."""
    for client_id in ("\0", "a\0b", "\ud800", "\x85"):
        assert behind_broker.broker.broker.provider.installation(client_id) is None


def test_k27_a_request_too_long_to_be_kept_goes_back_with_an_error(behind_broker: BehindBroker) -> None:
    """A cookie that browsers drop would end the sign-in with a page about a foreign link."""
    installation = behind_broker.installation()
    broker = behind_broker.broker

    def authorize(state: str) -> WebResponse:
        asked = {
            "client_id": installation.url,
            "redirect_uri": f"{installation.url}/auth/entra/callback",
            "response_type": "code",
            "scope": "openid",
            "code_challenge": "c" * 43,
            "code_challenge_method": "S256",
            "state": state,
        }
        path = broker.broker.provider.addresses.authorize_path
        return broker.handle(WebRequest(method="GET", path=path, query=urlencode(asked)))

    random = "".join(chr(0x4E00 + byte * 64 + other % 64) for byte, other in pairwise(token_bytes(2_000)))
    fine, long = dict(authorize(token_urlsafe(1_000)).headers), dict(authorize(random).headers)
    assert "set-cookie" in fine
    assert "error=invalid_request" in long["location"]
    assert "set-cookie" not in long
