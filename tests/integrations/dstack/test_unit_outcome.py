"""What a browser keeps of a finished sign-in until dstack's page fetches it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from entrada.accounts.identity import UserId
from entrada.compatibility import UTC
from entrada.integrations.dstack.outcome import LIFE, PURPOSE, Outcomes
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest

RULES = CookieRules(secure=True)
STATE, OTHER = "abcdefghij-one", "abcdefghij-two"


class StandingClock:
    at = datetime(2026, 11, 22, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def outcomes(clock: StandingClock) -> Outcomes:
    return Outcomes(sealer=Sealer([b"k" * 32], purpose=PURPOSE), clock=clock)


def browser_with(cookie: str) -> WebRequest:
    return WebRequest(method="POST", path="/", headers={"cookie": cookie.partition(";")[0]})


def test_the_outcome_comes_back(outcomes: Outcomes) -> None:
    """The browser that finished a sign-in is told whom it made them; one without the cookie is not."""
    cookie = outcomes.cookie(UserId("u1"), STATE, RULES)
    assert outcomes.read(STATE, browser_with(cookie), RULES) == "u1"
    assert outcomes.read(STATE, WebRequest(method="POST", path="/"), RULES) is None
    assert "u1" not in cookie
    assert "HttpOnly" in cookie


def test_A4_a_kept_cookie_ends_with_its_time(outcomes: Outcomes, clock: StandingClock) -> None:
    """After two minutes, when the store may have forgotten that it was fetched, it is worth nothing."""
    request = browser_with(outcomes.cookie(UserId("u1"), STATE, RULES))
    clock.at += LIFE - timedelta(seconds=1)
    assert outcomes.read(STATE, request, RULES) == "u1"
    clock.at += timedelta(seconds=1)
    assert outcomes.read(STATE, request, RULES) is None


def test_A7_an_outcome_belongs_to_its_sign_in(outcomes: Outcomes) -> None:
    """The outcome of another sign-in, even under the same cookie name, does not open."""
    request = browser_with(outcomes.cookie(UserId("u1"), STATE, RULES))
    assert outcomes.read(OTHER, request, RULES) is None
