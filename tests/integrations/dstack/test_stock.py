"""dstack as it comes, without the plug-in: what there is to build on, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from clients.dstack import CONFIGURATION, Dstack, running_dstack
from integrations.dstack.command_line import command_line

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def stock() -> Iterator[Dstack]:
    """The plug-in is installed beside it, and not switched on."""
    with running_dstack(None, configuration=CONFIGURATION) as running:
        yield running


def test_no_provider_and_no_endpoints(stock: Dstack) -> None:
    """An installed plug-in that is not switched on changes nothing: no provider, no endpoint of ours."""
    assert stock.api.post("/api/auth/list_providers").json() == []
    for name in ("info", "authorize", "callback"):
        assert stock.api.post(f"/api/auth/entra/{name}", json={}).status_code in (404, 405)


def test_its_login_page_asks_for_a_token(stock: Dstack, page: Page) -> None:
    """In Chromium: a field for the token, and no button of Entra's."""
    page.goto(stock.address)
    page.get_by_label("Token").wait_for()
    assert page.get_by_role("button", name="Entra").count() == 0


def test_its_callback_page_keeps_the_reason_to_itself(stock: Dstack, page: Page) -> None:
    """In Chromium: an answer with an error is answered by a page that does not say which."""
    reason = httpx.QueryParams(error="access_denied", error_description="AADSTS65004: declined")
    page.goto(f"{stock.address}/auth/entra/callback?{reason}")
    page.get_by_text("Authorization is failed").wait_for()
    assert "declined" not in page.inner_text("body")


def test_dstack_login_finds_no_provider(stock: Dstack, tmp_path: Path) -> None:
    """The command line says that there is nothing to sign in with."""
    with command_line(stock, tmp_path, "-n") as login:
        status, words = login.end()
    assert status != 0
    assert "No SSO providers configured" in words
