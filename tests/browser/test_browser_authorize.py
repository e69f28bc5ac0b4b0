"""The button "Authorize" of a FastAPI application's own documentation, pressed in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from browser.test_browser_applications import HOW_TO, as_printed
from browser.visiting import pick
from entrada.emulator import RunningEmulator
from house import tools

pytestmark = pytest.mark.browser

SWAGGER = Path(__file__).with_name("node_modules") / "swagger-ui-dist"


def from_npm(route: Any) -> None:
    """Swagger UI's files, which FastAPI's page takes from a network for such."""
    file = SWAGGER / route.request.url.rpartition("/")[2]
    if file.is_file():
        route.fulfill(path=file)
    else:
        route.fulfill(status=204)


def test_authorize_in_docs_signs_in_by_pkce_and_the_call_bears_the_token(
    entra: RunningEmulator, browser: Browser, tmp_path: Path
) -> None:
    """The how-to's application as printed: the person picks an account, and "Execute" calls as them."""
    if not SWAGGER.is_dir():
        tools.could_not_run("npm packages of tests/browser are not installed (sh scripts/setup-tests)")
    entra.reset()
    with as_printed(HOW_TO / "protect-a-fastapi-app.md", entra, tmp_path) as place:
        redirect = f"{place.url}/docs/oauth2-redirect"
        entra.change_app("Entrada (emulated)", spa_redirect_uris=[redirect])
        context = browser.new_context(ignore_https_errors=True)
        context.route("https://cdn.jsdelivr.net/**", from_npm)
        context.route("https://fastapi.tiangolo.com/**", from_npm)
        try:
            tab = context.new_page()
            tab.goto(f"{place.url}/auth/entra/start?next=/me")
            pick(tab, "ada")  # an account here, once
            tab.wait_for_url(f"{place.url}/me")
            context.clear_cookies()

            tab.goto(f"{place.url}/docs")
            tab.get_by_role("button", name="Authorize").first.click()
            dialog = tab.locator(".dialog-ux")
            with context.expect_page() as opened:
                dialog.get_by_role("button", name="Apply given OAuth2 credentials").click()
            pick(opened.value, "ada")
            dialog.get_by_role("button", name="Remove authorization").wait_for()
            dialog.get_by_role("button", name="Close", exact=True).click()

            files = tab.locator(".opblock", has_text="/files")
            files.locator(".opblock-summary-control").click()
            files.get_by_role("button", name="Try it out").click()
            files.get_by_role("button", name="Execute").click()
            answer = files.locator(".live-responses-table")
            expect(answer).to_contain_text("files of")
            expect(answer).to_contain_text("Ada Lovelace")
            expect(files.locator(".curl")).to_contain_text("Bearer ")
        finally:
            context.close()
            entra.reset()
