"""The switch ENTRADA_ENTRA_ONLY, on its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from entrada.accounts.identity import UserId
from entrada.compatibility import UTC
from entrada.integrations.dstack.entra_only import PURPOSE, EntraOnly, is_user_interface
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest

RULES = CookieRules(secure=True)


@dataclass
class FakeUser:
    """A row of dstack's users, as far as the switch reads it."""

    id: str = "u1"
    name: str = "pat"
    email: str | None = "pat@contoso.test"


@dataclass
class StandingClock:
    at: datetime = datetime(2026, 11, 22, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def switch(clock: StandingClock) -> EntraOnly:
    return EntraOnly(
        sealer=Sealer([b"k" * 32], purpose=PURPOSE),
        life=timedelta(hours=24),
        break_glass=frozenset({"glenda", "help@contoso.test"}),
        clock=clock,
    )


def with_cookie(switch: EntraOnly, user_id: str) -> WebRequest:
    """A request of the browser in which that user signed in."""
    cookie = switch.cookie(UserId(user_id), RULES).partition(";")[0]
    return WebRequest(method="POST", path="/", headers={"cookie": cookie})


def test_a_token_alone_does_not_open(switch: EntraOnly) -> None:
    """Without a sign-in in this browser, or with another person's, the pages stay closed."""
    assert not switch.lets_in(WebRequest(method="POST", path="/"), RULES, FakeUser(), is_admin=False)
    assert not switch.lets_in(with_cookie(switch, "u2"), RULES, FakeUser(), is_admin=False)
    assert switch.lets_in(with_cookie(switch, "u1"), RULES, FakeUser(), is_admin=False)


def test_a_sign_in_opens_for_its_time(switch: EntraOnly, clock: StandingClock) -> None:
    """After ENTRADA_SESSION_ABSOLUTE the person signs in again, whatever the browser keeps."""
    request = with_cookie(switch, "u1")
    clock.at += timedelta(hours=23, minutes=59)
    assert switch.lets_in(request, RULES, FakeUser(), is_admin=False)
    clock.at += timedelta(minutes=1)
    assert not switch.lets_in(request, RULES, FakeUser(), is_admin=False)


@pytest.mark.parametrize(
    ("user", "is_admin"),
    [
        (FakeUser(), True),
        (FakeUser(name="glenda", email=None), False),
        (FakeUser(email="help@contoso.test"), False),
    ],
)
def test_break_glass(switch: EntraOnly, user: FakeUser, is_admin: bool) -> None:
    """Administrators, and whom the setting names, get in with their token when Entra is gone."""
    assert switch.lets_in(WebRequest(method="POST", path="/"), RULES, user, is_admin=is_admin)


def test_a_user_without_address_is_nobody_of_the_list(switch: EntraOnly) -> None:
    """Missing never equals missing: no e-mail address matches nothing."""
    request = WebRequest(method="POST", path="/")
    assert not switch.lets_in(request, RULES, FakeUser(email=None), is_admin=False)


@pytest.mark.parametrize("cookie", ["", "x", "AAAA", '{"user":"u1","until":9999999999}'])
def test_a_cookie_of_somebodys_making_opens_nothing(switch: EntraOnly, cookie: str) -> None:
    """Only what the server sealed for this purpose is believed."""
    header = f"{RULES.name('entrada_dstack')}={cookie}"
    request = WebRequest(method="POST", path="/", headers={"cookie": header})
    assert not switch.lets_in(request, RULES, FakeUser(), is_admin=False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-api-version": "latest"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"x-api-version": "0.22.5"}, False),
        ({}, False),
    ],
)
def test_who_is_asking(headers: dict[str, str], expected: bool) -> None:
    """dstack's page and any browser are told from command line and API, which name a version or nothing."""
    assert is_user_interface(WebRequest(method="POST", path="/", headers=headers)) is expected
