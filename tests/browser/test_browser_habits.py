"""Links of oauth2-proxy and Easy Auth in a real browser, which says by itself where a click comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser.visiting import PLAIN_PAGE, Site, Visitor, heading, pick, running_site, sign_in, visiting
from entrada.emulator import RunningEmulator
from entrada.gateway.habits import habits_in_force, with_habits
from entrada.web.auth_routes import AuthRoutes

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SIGN_OUTS = [f"/oauth2/sign_out?rd={PLAIN_PAGE}", f"/.auth/logout?post_logout_redirect_uri={PLAIN_PAGE}"]


@pytest.fixture(scope="module")
def module_site(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    def changed(auth: AuthRoutes) -> AuthRoutes:
        return with_habits(auth, habits_in_force(None, has_upstreams=False), is_ready=lambda: True)

    with running_site(entra, tmp_path_factory.mktemp("habits"), changed=changed) as site:
        yield site


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    """A browser that may miss an icon: the plain page has none."""
    with visiting(browser, site, expected=["favicon"]) as visitor:
        yield visitor


@pytest.mark.parametrize(
    "link", ["/oauth2/start?rd=/editors", "/.auth/login/aad?post_login_redirect_uri=/editors"]
)
def test_a_link_signs_in(site: Site, visitor: Visitor, link: str) -> None:
    """To Entra at once, and on to the page that it names."""
    tab = visitor.tab()
    tab.goto(site.url + link)
    pick(tab, "ada")
    tab.wait_for_url(f"{site.url}/editors")
    assert visitor.session_cookie() is not None


@pytest.mark.parametrize("link", SIGN_OUTS)
def test_a_link_on_a_page_of_ours_signs_out(site: Site, visitor: Visitor, link: str) -> None:
    """One click, here and at Entra, and back to the page that it names."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    tab.goto(site.url + PLAIN_PAGE)
    tab.evaluate("link => { document.body.innerHTML = `<a href='${link}'>Out</a>` }", link)
    with tab.expect_response(lambda one: "/auth/signed-out?state=" in one.url) as back:
        tab.get_by_role("link", name="Out").click()
    assert back.value.headers["location"] == PLAIN_PAGE
    tab.get_by_text("Plain.").wait_for()
    assert visitor.session_cookie() is None


@pytest.mark.parametrize("link", SIGN_OUTS)
def test_e7_a_link_on_another_site_asks_first(site: Site, visitor: Visitor, link: str) -> None:
    """The session stands until the button is pressed; then it ends where the link said."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    tab.goto(f"data:text/html,<a href='{site.url}{link}'>Win</a>")
    tab.get_by_role("link", name="Win").click()
    tab.get_by_role("button", name="Sign out").wait_for()
    assert visitor.session_cookie() is not None
    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url(site.url + PLAIN_PAGE)
    assert visitor.session_cookie() is None


@pytest.mark.parametrize(
    "element", ["<img src='{}'>", "<iframe src='{}'></iframe>", "<link rel=prefetch href='{}'>"]
)
def test_e7_a_page_of_ours_signs_nobody_out_by_being_looked_at(
    browser: Browser, site: Site, element: str
) -> None:
    """What other people may have written into a wiki: a picture, a frame, a prefetch."""
    expected = ["favicon", "status of 403", "status of 503", "frame", "HTTP 503"]
    with visiting(browser, site, expected=expected) as visitor:
        tab = visitor.tab()
        sign_in(tab, site, "ada")
        tab.goto(site.url + PLAIN_PAGE)
        with tab.expect_response(lambda one: "/oauth2/sign_out" in one.url) as answer:
            tab.evaluate("html => { document.body.innerHTML = html }", element.format(SIGN_OUTS[0]))
        assert answer.value.status in (403, 503)
        tab.goto(site.url)
        assert heading(tab) == "Hello, Ada Lovelace"
