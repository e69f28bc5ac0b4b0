"""The application's own token for Graph: kept, renewed, and used on while Entra gives no new one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from entrada.entra.app_only_token import EARLIER, TRIED_AGAIN_AFTER, AppOnlyToken
from entrada.entra.transport import HttpResponse
from entrada.errors import EntraUnavailable
from flows.world import GRAPH, FakeEntra, answer, application

LIFE = timedelta(hours=1)


class TokenEndpoint:
    """Gives a new token each time, or an error while `fails`."""

    def __init__(self) -> None:
        self.asked, self.fails = 0, False

    def __call__(self, form: Mapping[str, str]) -> HttpResponse:
        assert form["scope"] == f"{GRAPH}/.default"
        self.asked += 1
        if self.fails:
            return answer({"error": "temporarily_unavailable"}, status=503)
        return answer({"access_token": f"t{self.asked}", "expires_in": LIFE.seconds, "token_type": "Bearer"})


@pytest.fixture
def endpoint() -> TokenEndpoint:
    return TokenEndpoint()


@pytest.fixture
def token(endpoint: TokenEndpoint) -> AppOnlyToken:
    return AppOnlyToken(application=application(FakeEntra(token_response=endpoint)), graph_url=GRAPH)


NOW = FakeEntra().clock.now()


def test_one_is_kept_until_some_minutes_before_it_expires(
    token: AppOnlyToken, endpoint: TokenEndpoint
) -> None:
    """And renewed from then on."""
    last = NOW + LIFE - EARLIER - timedelta(seconds=1)
    assert [token.get(NOW), token.get(last)] == ["t1", "t1"]
    assert [token.get(last + timedelta(seconds=1)), endpoint.asked] == ["t2", 2]


def test_a_stale_one_is_replaced_at_the_next_question(token: AppOnlyToken, endpoint: TokenEndpoint) -> None:
    """Not before, so that many failures at once fetch one."""
    assert token.get(NOW) == "t1"
    token.mark_stale()
    token.mark_stale()
    assert [token.get(NOW), token.get(NOW), endpoint.asked] == ["t2", "t2", 2]


def test_k12_while_entra_gives_none_the_old_one_is_used_until_it_expires(
    token: AppOnlyToken, endpoint: TokenEndpoint
) -> None:
    """What one question may not ask takes the token from no other; Entra is asked now and then."""
    token.get(NOW)
    token.mark_stale()
    endpoint.fails = True
    assert [token.get(NOW), token.get(NOW + TRIED_AGAIN_AFTER / 2), endpoint.asked] == ["t1", "t1", 2]
    last = NOW + LIFE - timedelta(seconds=1)
    assert [token.get(last), endpoint.asked] == ["t1", 3]
    with pytest.raises(EntraUnavailable):
        token.get(NOW + LIFE)
    endpoint.fails = False
    assert token.get(NOW + LIFE) == "t5"


def test_without_any_that_is_said(token: AppOnlyToken, endpoint: TokenEndpoint) -> None:
    """There is nothing to ask Graph with."""
    endpoint.fails = True
    with pytest.raises(EntraUnavailable):
        token.get(NOW)
