"""Every refusal is a page that a person can act on, in the browser they met it in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from browser.visiting import (
    BUTTON,
    Site,
    Visitor,
    heading,
    pick,
    press_the_button,
    running_site,
    sign_in,
    visiting,
)
from entrada.emulator import RunningEmulator
from house.tools import free_port

pytestmark = pytest.mark.browser
Shot = Callable[[Tab, str], Path]


def shown(tab: Tab) -> str:
    return " ".join(tab.get_by_role("main").inner_text().split())


def test_declined(site: Site, visitor: Visitor, shot: Shot) -> None:
    """Cancel at Entra's page: no session, the page says so, and trying again leads to where one was going."""
    tab = visitor.tab()
    tab.goto(f"{site.url}/editors")
    press_the_button(tab)
    tab.get_by_role("button", name="Cancel").click()
    tab.wait_for_url(f"{site.url}/auth/entra/callback?*")
    assert heading(tab) == "Microsoft did not sign you in"
    assert "You can fix this" in shown(tab)
    assert visitor.session_cookie() is None
    shot(tab, "failure-declined")
    tab.get_by_text("Details for your administrator").click()
    assert "AADSTS65004" in shown(tab)
    shot(tab, "failure-declined-details")
    tab.get_by_role("link", name="Try again").click()
    pick(tab, "ed")
    tab.wait_for_url(f"{site.url}/editors")


@pytest.mark.parametrize(
    ("person", "aadsts", "says"),
    [
        ("dan", "AADSTS50057", "disabled"),
        ("carla", "AADSTS53003", "Conditional Access"),
    ],
)
def test_a_blocked_person(
    person: str, aadsts: str, says: str, site: Site, visitor: Visitor, shot: Shot
) -> None:
    """Entra shows its own page; brought back to us, the refusal names code, cause, and who can help."""
    tab = visitor.tab()
    tab.goto(site.url)
    press_the_button(tab)
    pick(tab, person)
    assert aadsts in shown(tab)
    shot(tab, f"emulator-refuses-{person}")
    tab.get_by_role("link", name="Return this error").click()
    tab.wait_for_url(f"{site.url}/auth/entra/callback?*")
    assert aadsts in shown(tab)
    assert says.lower() in shown(tab).lower()
    assert "Your administrator can fix this" in shown(tab)
    assert visitor.session_cookie() is None
    shot(tab, f"failure-{person}")


def callback_of(visitor: Visitor) -> str:
    """The last address of the redirect URI that this browser asked for, query and all."""
    return next(
        one.url for one in reversed(visitor.requests) if urlsplit(one.url).path == "/auth/entra/callback"
    )


def test_a4_the_answer_again_after_success(site: Site, visitor: Visitor, shot: Shot) -> None:
    """A4: the redirect URI visited again is refused with a page, and the session is untouched."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    session = visitor.session_cookie()
    for _ in range(2):
        answer = tab.goto(callback_of(visitor))
        assert answer is not None
        assert answer.status == 400
        assert tab.get_by_role("heading", level=1).count() == 1
    shot(tab, "failure-stale")
    answer = tab.reload()
    assert answer is not None
    assert answer.status == 400
    assert visitor.session_cookie() == session
    tab.goto(site.url)
    assert heading(tab) == "Hello, Ada Lovelace"


def test_the_back_button_after_signing_in(site: Site, visitor: Visitor, shot: Shot) -> None:
    """Back leads through Entra to an old answer: a page that says what to do, the session untouched."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    session = visitor.session_cookie()
    tab.go_back()
    tab.wait_for_url(f"{site.url}/auth/entra/callback?*")
    assert heading(tab) == "You are signed in already"
    assert visitor.session_cookie() == session
    shot(tab, "failure-back-button")
    tab.get_by_role("link", name="Go to the application").click()  # K57
    tab.wait_for_url(f"{site.url}/")
    assert heading(tab) == "Hello, Ada Lovelace"


def test_a3_an_answer_in_another_browser(
    site: Site, visitor: Visitor, visitors: Callable[..., Visitor], shot: Shot
) -> None:
    """A3: whoever opens a link with somebody else's answer is not signed in, and learns not to use it."""
    attacker, victim = visitor, visitors()
    tab = attacker.tab()
    attacker.context.route("**/auth/entra/callback?*", lambda route: route.abort())
    attacker.expected.append("net::ERR_FAILED")
    tab.goto(site.url)
    press_the_button(tab)
    with tab.expect_request(f"{site.url}/auth/entra/callback?*") as prepared:
        pick(tab, "ed")
    theirs = victim.tab()
    answer = theirs.goto(prepared.value.url)
    assert answer is not None
    assert (answer.status, heading(theirs)) == (400, "Please start again")
    assert "If someone sent you this link, do not use it." in shown(theirs)
    assert victim.session_cookie() is None
    shot(theirs, "failure-another-browser")
    theirs.get_by_role("link", name="Go to the sign-in page").click()
    assert theirs.get_by_role("link", name=BUTTON).count() == 1


def test_no_refusal_goes_round_in_circles(site: Site, visitor: Visitor, shot: Shot) -> None:
    """A17: refused three times in a row, the next try is a page that says why, and the sign-in page helps."""
    tab = visitor.tab()
    tab.goto(site.url)
    press_the_button(tab)
    for _ in range(3):
        tab.get_by_role("button", name="Cancel").click()
        tab.wait_for_url(f"{site.url}/auth/entra/callback?*")
        tab.get_by_role("link", name="Try again").click()
    assert heading(tab) == "Signing in keeps failing"
    assert tab.url.startswith(f"{site.url}/auth/entra/start")
    shot(tab, "failure-too-many")
    tab.get_by_role("link", name="Go to the sign-in page").click()
    press_the_button(tab)
    pick(tab, "ada")
    tab.wait_for_url(f"{site.url}/")


def test_graph_down_refuses_rather_than_forgets_groups(
    entra: RunningEmulator, tmp_path: Path, browser: Browser, shot: Shot
) -> None:
    """Olga has too many groups for her token; while Graph fails she is told so and not let in with fewer."""
    group = next(iter(entra.person("olga@contoso.test").groups))
    mapping = json.dumps({group: "Editor"})
    with (
        running_site(entra, tmp_path, ENTRADA_ROLES_MAPPING=mapping) as site,
        visiting(
            browser, site, expected=[r"status of 50[23] .*callback", r"HTTP 50[23]: .*callback"]
        ) as visitor,
    ):
        entra.fail("server_error", endpoint="graph", status=503, times=None)
        tab = visitor.tab()
        tab.goto(f"{site.url}/editors")
        press_the_button(tab)
        pick(tab, "olga")
        tab.wait_for_url(f"{site.url}/auth/entra/callback?*")
        assert "waiting helps" in shown(tab)
        assert visitor.session_cookie() is None
        shot(tab, "failure-graph")
        entra.clear_faults()
        tab.get_by_role("link", name="Try again").click()
        tab.wait_for_url(lambda url: url.startswith(site.url) and "/auth/" not in url)
        tab.goto(f"{site.url}/editors")
        assert heading(tab) == "The editors' page"


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("secret", {"ENTRADA_CLIENT_SECRET": "a-secret-that-was-copied-wrong"}, "AADSTS7000215"),
        ("client-id", {"ENTRADA_CLIENT_ID": "e0000000-0000-4000-8000-0000000000ff"}, "AADSTS700016"),
    ],
)
def test_a_wrong_setting_is_a_page_for_the_administrator(
    name: str,
    settings: dict[str, str],
    says: str,
    entra: RunningEmulator,
    tmp_path: Path,
    browser: Browser,
    shot: Shot,
) -> None:
    """A wrong secret is refused at our page, a wrong client ID at Entra's; both name the code."""
    with running_site(entra, tmp_path, **settings) as site, visiting(browser, site) as visitor:
        tab = visitor.tab()
        tab.goto(site.url)
        press_the_button(tab)
        if name == "secret":
            pick(tab, "ada")
            tab.wait_for_url(f"{site.url}/auth/entra/callback?*")
            assert "administrator can fix this" in shown(tab)
        assert says in shown(tab)
        assert "a-secret-that" not in tab.content()
        assert visitor.session_cookie() is None
        shot(tab, f"failure-{name}")


def test_entra_is_down(entra: RunningEmulator, tmp_path: Path, browser: Browser, shot: Shot) -> None:
    """Nobody answers at the login host: the sign-in page still stands, and the button leads to a page."""
    nowhere = f"https://localhost:{free_port()}"
    settings = {"ENTRADA_AUTHORITY_HOST": nowhere, "ENTRADA_GRAPH_HOST": nowhere}
    with (
        running_site(entra, tmp_path, **settings) as site,
        visiting(browser, site, expected=[r"status of 503 .*/start", "HTTP 503: .*/start"]) as visitor,
    ):
        tab = visitor.tab()
        tab.goto(site.url)
        press_the_button(tab)
        assert heading(tab) == "Microsoft cannot be reached right now"
        assert "waiting helps" in shown(tab)
        shot(tab, "failure-entra-down")
