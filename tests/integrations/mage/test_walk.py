"""Mage's page followed word for word: its variables, its button, its redirect URI; what is behind is ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID
from entrada.integrations.mage.other_sign_ins import UNKNOWN_PROVIDER
from integrations.mage import pages
from integrations.mage.desk import OWNER, Desk

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("who", "roles"), [("ada", ["Admin"]), ("ed", ["Editor"]), ("vi", ["Viewer"])])
def test_the_dashboard_with_the_mapped_role(
    desk: Desk, visitor: BrowserContext, shot: Callable[[Tab, str], Path], who: str, roles: list[str]
) -> None:
    """Mage's button, the account, Mage's dashboard; the role is the one that the mapping names."""
    tab = visitor.new_page()
    pages.sign_in(tab, desk, f"{who}@contoso.test")
    shot(tab, f"mage-dashboard-{who}")
    session = pages.session_of(visitor, desk)
    assert desk.roles_of(session) == roles
    shown = json.loads(tab.evaluate("() => localStorage.getItem('current_user')"))
    user = desk.behind(session)
    assert user is not None
    assert (shown["id"], shown["username"]) == (user.user_id, f"{who}@contoso.test")


def test_the_button_is_mages_own(
    desk: Desk, visitor: BrowserContext, shot: Callable[[Tab, str], Path]
) -> None:
    """Its sign-in page looks as it does without us."""
    tab = visitor.new_page()
    tab.goto(f"{desk.mage.site}/sign-in")
    tab.get_by_text(pages.BUTTON).wait_for()
    tab.get_by_text("Sign into Mage").wait_for()
    shot(tab, "mage-sign-in")


def test_only_the_registered_redirect_uri_is_needed(desk: Desk) -> None:
    """With `/oauth` alone registered, as Mage's page says, people get in and out."""
    desk.register("/oauth")
    session = desk.sign_in("ed@contoso.test")
    assert desk.opens(session)


def test_what_is_asked_of_entra(desk: Desk) -> None:
    """The tenant's own endpoints, state, nonce and PKCE (A19); Graph is not asked for roles."""
    desk.sign_in("ed@contoso.test")
    asked = [one for one in desk.entra.requests if one.endpoint in ("authorize", "token", "graph")]
    assert [one.endpoint for one in asked] == ["authorize", "token"]
    authorize, token = asked
    assert authorize.path == f"/{CONTOSO_ID}/oauth2/v2.0/authorize"
    assert token.path == f"/{CONTOSO_ID}/oauth2/v2.0/token"
    assert authorize.query["client_id"] == CLIENT_ID
    assert authorize.query["redirect_uri"] == f"{desk.mage.site}/oauth"
    assert authorize.query["code_challenge_method"] == "S256"
    assert authorize.query["state"] != authorize.query["nonce"]
    assert "code_verifier" in token.form


def test_no_code_is_in_the_log(desk: Desk) -> None:
    """Mage's access log has the path of Entra's answer, and neither its code nor its state."""
    before = len(desk.mage.log)
    assert desk.sign_in("ed@contoso.test")
    written = desk.mage.log[before:]
    assert "/oauth" in written
    assert "code=" not in written
    assert "state=" not in written


def test_a03_an_answer_belongs_to_the_browser_that_asked(desk: Desk) -> None:
    """A3: an attacker's unfinished sign-in, finished in the victim's browser, signs nobody in."""
    with desk.person() as attacker, desk.person() as victim:
        attacker.stop_at = (f"{desk.mage.site}/oauth",)
        answer = attacker.sign_in(desk.button(), "vi@contoso.test").url
        before = desk.redemptions()
        victim.open(answer)
        assert not victim.cookie("oauth_token", desk.mage.site)
        assert desk.redemptions() == before


def test_an_answer_counts_once(desk: Desk) -> None:
    """The Back button, or somebody who saw the address, opens no second session."""
    with desk.person() as browser:
        browser.stop_at = (f"{desk.mage.site}/oauth",)
        answer = browser.sign_in(desk.button(), "ed@contoso.test").url
        browser.stop_at = ()
        browser.open(answer)
        first = browser.cookie("oauth_token", desk.mage.site)
        assert desk.opens(first)
        redeemed = desk.redemptions()
        browser.open(answer)
        assert desk.redemptions() == redeemed
        assert browser.cookie("oauth_token", desk.mage.site) in ("", first)


def test_a34_the_second_sign_in_replaces_the_first(desk: Desk) -> None:
    """A34: two people at one browser; the second has it, and nothing of the first's is left open."""
    with desk.person() as browser:
        first = desk.sign_in("ed@contoso.test", browser=browser)
        desk.entra.revoke_sessions()
        second = desk.sign_in("vi@contoso.test", browser=browser)
        user = desk.behind(second)
        assert user is not None
        assert user.username == "vi@contoso.test"
        assert not desk.opens(first)


def test_a22_addresses_come_from_the_settings(desk: Desk) -> None:
    """A22: whatever Host and X-Forwarded-* say, Entra is told the configured redirect URI."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    with desk.api() as api:
        answer = api.get(desk.button(), headers=headers, follow_redirects=False)
    sent = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert sent["redirect_uri"] == f"{desk.mage.site}/oauth"


def test_a25_scripts_without_a_session_get_json(desk: Desk) -> None:
    """A25: Mage's API answers its own JSON error, and sends no script to Entra."""
    with desk.api() as api:
        answer = api.get("/api/pipelines", follow_redirects=False)
    assert answer.headers["content-type"].startswith("application/json")
    assert "error" in answer.json()


def test_mages_other_providers_are_mages(desk: Desk) -> None:
    """Who brings a token of Google's is answered by Mage, which says that Google is not set up here."""
    asked = {"provider": "google", "token": "x", "email": OWNER}
    with desk.api() as api:
        answer = api.post("/api/sessions", json={"session": asked, "api_key": desk.mage.api_key})
    assert "session" not in answer.json()
    assert UNKNOWN_PROVIDER not in answer.text


@pytest.mark.parametrize("provider", ["active_directory", "azure_devops", "okta", "nonsense", "github"])
def test_a27_nobody_brings_a_token(desk: Desk, provider: str) -> None:
    """A27: no session for who posts a token and an address, of whatever provider."""
    asked = {"provider": provider, "token": "x", "email": OWNER, "username": "admin"}
    with desk.api() as api:
        answer = api.post("/api/sessions", json={"session": asked, "api_key": desk.mage.api_key})
    assert "session" not in answer.json()
    assert "oauth_token" not in answer.cookies
