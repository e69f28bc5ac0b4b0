"""One emulator and one site for all tests of administration; each test has people and browsers of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from entrada.accounts.identity import User
from entrada.emulator import RunningEmulator, start
from walks.site import Site, served
from walks.visitor import Visitor, new_http

_FORM = re.compile(r'<form[^>]*method="post" action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
_FIELD = re.compile(r'name="([^"]*)" value="([^"]*)"')
_BUTTON = re.compile(r"<button[^>]*>(.*?)</button>", re.DOTALL)


@dataclass(frozen=True)
class Sent:
    """A form of a page: where it goes and what it carries."""

    path: str
    fields: dict[str, str]


def forms_of(page: httpx.Response) -> dict[str, Sent]:
    """The page's posting forms, by all that their button says."""
    found = {}
    for path, inner in _FORM.findall(page.text):
        button = _BUTTON.search(inner)
        assert button is not None
        said = " ".join(re.sub("<[^>]*>", "", html.unescape(button[1])).split())
        fields = {html.unescape(name): html.unescape(value) for name, value in _FIELD.findall(inner)}
        found[said] = Sent(html.unescape(path), fields)
    return found


def text_of(page: httpx.Response) -> str:
    """What a person reads."""
    body = re.sub(r"<[^>]*>", " ", page.text.partition("<body>")[2])
    return " ".join(html.unescape(body).split())


def press(visitor: Visitor, page: httpx.Response, button: str, **typed: str) -> httpx.Response:
    """Presses a button of the page, with what was typed; follows where it leads."""
    form = forms_of(page)[button]
    return follow(visitor, visitor.post(form.path, {**form.fields, **typed}))


def follow(visitor: Visitor, response: httpx.Response) -> httpx.Response:
    return visitor.open(response.headers["location"]) if response.status_code == 303 else response


@pytest.fixture(scope="session")
def emulator() -> Iterator[RunningEmulator]:
    with start() as running:
        yield running


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with new_http() as client:
        yield client


@pytest.fixture(scope="session")
def site(emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = tmp_path_factory.mktemp("administration") / "entrada.db"
    with served(emulator, database=database, ENTRADA_ADMIN_ROLES="Admin") as running:
        yield running


@pytest.fixture(autouse=True)
def _as_at_the_start(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody has an account, and Entra's directory is as it was."""
    if "site" not in request.fixturenames:
        yield
        return
    site: Site = request.getfixturevalue("site")
    request.getfixturevalue("emulator").reset()
    accounts = site.auth.relying_party.accounts
    for user in accounts.list_users(limit=1_000):
        accounts.delete(user.id)
    before = site.clock.ahead
    yield
    site.clock.ahead = before


SignIn = Callable[..., Visitor]


@pytest.fixture
def sign_in(site: Site, http: httpx.Client) -> SignIn:
    """`sign_in("ada")`: her browser, signed in."""

    def signed_in(who: Any, **headers: str) -> Visitor:
        visitor = Visitor(site, http)
        visitor.begin()
        visitor.approve_as(f"{who}@contoso.test" if isinstance(who, str) else who)
        answer = visitor.open(visitor.coming_back, sec_fetch_site="cross-site", **headers)
        assert answer.status_code == 303, answer.text
        return visitor

    return signed_in


@pytest.fixture
def ada(sign_in: SignIn) -> Visitor:
    """An administrator."""
    return sign_in("ada")


AccountOf = Callable[[str], User]


@pytest.fixture
def account_of(site: Site) -> AccountOf:
    """`account_of("ed")`: the account of a person of Contoso."""

    def found(who: str) -> User:
        (user,) = site.auth.relying_party.accounts.search(f"{who}@contoso.test")
        return user

    return found
