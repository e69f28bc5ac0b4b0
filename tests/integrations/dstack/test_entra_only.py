"""ENTRADA_ENTRA_ONLY at the real dstack: pages open to who signed in with Entra, and to administrators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients.dstack import Dstack, running_dstack
from entrada.emulator import RunningEmulator
from integrations.dstack.administrator import Administrator, may_use
from integrations.dstack.command_line import command_line
from integrations.dstack.conftest import SHARED_SETTINGS, NewPerson, NewVisitor
from integrations.dstack.visitor import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def started_strict(started_emulator: RunningEmulator) -> Iterator[Dstack]:
    settings = SHARED_SETTINGS | {"ENTRADA_ENTRA_ONLY": "true", "ENTRADA_BREAK_GLASS_USERS": "glenda"}
    with running_dstack(started_emulator, **settings) as running:
        yield running


@pytest.fixture
def strict(started_strict: Dstack, emulator: RunningEmulator) -> Dstack:
    return started_strict


def page_asks_who_i_am(visitor: Visitor, token: str) -> int:
    """The status that dstack's page gets when it asks who has this token."""
    return visitor.fetch("/api/users/get_my_user", authorization=f"Bearer {token}").status_code


def test_a_sign_in_opens_the_pages(strict: Dstack, new_visitor: NewVisitor, new_person: NewPerson) -> None:
    """In the browser that signed in the token works; in another one the token alone does not."""
    visitor, pat = new_visitor(strict), new_person("Viewer")
    token = visitor.sign_in_as(pat)["creds"]["token"]
    assert page_asks_who_i_am(visitor, token) == 200
    assert page_asks_who_i_am(new_visitor(strict), token) in (401, 403)


def test_one_person_does_not_open_the_pages_to_another(
    strict: Dstack, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """A browser in which Pat signed in does not take Kim's token."""
    pats, kims = new_visitor(strict), new_visitor(strict)
    pats.sign_in_as(new_person("Viewer"))
    token = kims.sign_in_as(new_person("Viewer"))["creds"]["token"]
    assert page_asks_who_i_am(pats, token) in (401, 403)
    assert page_asks_who_i_am(kims, token) == 200


def test_command_line_and_api_keep_working(
    strict: Dstack, home: Path, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """What sends the token in a header and is no page has nothing else, and is let through."""
    browser = new_visitor(strict)
    with command_line(strict, home, "-y") as login:
        browser.at_entra = login.address
        browser.approve_as(new_person("Viewer"))
        assert browser.complete().status_code == 200
        status, words = login.end()
    assert status == 0, words
    told = new_visitor(strict).sign_in_as(new_person("Viewer"))
    assert may_use(strict, told["creds"]["token"])


def test_the_ways_in_when_entra_is_gone(strict: Dstack, new_visitor: NewVisitor) -> None:
    """An administrator's token, and that of a user named in ENTRADA_BREAK_GLASS_USERS, open the pages."""
    admin, stranger = Administrator(strict), new_visitor(strict)
    for name in ("glenda", "somebody"):
        admin.make_user(name)
    assert page_asks_who_i_am(stranger, strict.admin_token) == 200
    assert page_asks_who_i_am(stranger, admin.user("glenda")["creds"]["token"]) == 200
    assert page_asks_who_i_am(stranger, admin.user("somebody")["creds"]["token"]) in (401, 403)


def test_the_token_form(strict: Dstack, tab: Page) -> None:
    """In Chromium: the form refuses a user's token, and takes an administrator's."""
    Administrator(strict).make_user("with-a-token")
    token = Administrator(strict).user("with-a-token")["creds"]["token"]
    tab.goto(f"{strict.address}/auth/token")
    for typed in (token, strict.admin_token):
        tab.get_by_label("Token").fill(typed)
        tab.get_by_role("button", name="Continue").click()
        if typed == token:
            tab.get_by_text("Invalid token").wait_for()
    tab.wait_for_function("localStorage.getItem('authData') !== null")
