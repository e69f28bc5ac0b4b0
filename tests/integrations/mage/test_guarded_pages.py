"""Mage's own pages behind the guard, in a real browser: what works on, and what people see at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from integrations.mage import pages
from integrations.mage.desk import Desk

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, WebSocket
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

Shot = Callable[["Tab", str], Path]


def test_k62_who_has_no_role_reads_so(desk: Desk, visitor: BrowserContext, shot: Shot) -> None:
    """K62: signed in without a role: a page of ours that names the person, in place of Mage's errors."""
    tab = visitor.new_page()
    pages.press_the_button(tab, desk)
    tab.get_by_role("button", name="nora@contoso.test").click()
    tab.get_by_role("heading", level=1).wait_for()
    shot(tab, "mage-no-role")
    said = tab.inner_text("main")
    assert "nora@contoso.test" in said
    assert "no role in Mage" in said
    user = desk.user_called("nora@contoso.test")
    assert user is not None
    names = desk.in_the_database('select first_name, last_name from "user" where id = :n', n=user.user_id)
    assert names[0][0]
    tab.get_by_role("link", name="Use another account").click()
    tab.get_by_text("Pick an account").wait_for()


def test_k5_mages_terminal_works_and_closes(desk: Desk, visitor: BrowserContext, shot: Shot) -> None:
    """K5: Mage's own page opens its shell with the session's cookie; it closes when Entra ends the session,
    and the next page is the sign-in page.
    """
    tab = visitor.new_page()
    pages.sign_in(tab, desk, "ed@contoso.test")
    sockets: list[WebSocket] = []
    tab.on("websocket", lambda opened: sockets.append(opened))  # Playwright marks it
    tab.goto(f"{desk.mage.site}/terminal")
    said: list[str] = []
    deadline = time.monotonic() + 30
    while not any("terminal" in one.url for one in sockets):
        assert time.monotonic() < deadline
        tab.wait_for_timeout(100)
    shell = next(one for one in sockets if "terminal" in one.url)
    shell.on("framereceived", lambda frame: said.append(str(frame)))
    tab.wait_for_timeout(2000)
    shot(tab, "mage-terminal")
    assert not shell.is_closed()
    (sid,) = desk.in_the_database(
        "select entra_session_id from entrada_mage_open_session "
        "where entra_session_id is not null order by expires_at desc limit 1"
    )[0]
    httpx.get(f"{desk.mage.site}/auth/entra/logout", params={"sid": sid}, trust_env=False)
    began = time.monotonic()
    while not shell.is_closed():
        assert time.monotonic() - began < 2
        tab.wait_for_timeout(50)
    tab.goto(f"{desk.mage.site}/pipelines")
    tab.get_by_text(pages.BUTTON).wait_for()
    shot(tab, "mage-session-ended")
    assert urlsplit(tab.url).path == "/sign-in"
    assert not pages.session_of(visitor, desk)
    tab.get_by_text(pages.BUTTON).click()
    tab.get_by_text("Pick an account").or_(tab.get_by_text("Pipeline")).first.wait_for()
