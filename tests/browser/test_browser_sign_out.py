"""Signing out: here, at Entra, and because Entra says so in a frame."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from browser.visiting import Site, Visitor, heading, is_asked_who, press_the_button, sign_in

pytestmark = pytest.mark.browser

CONTOSO = "contoso.test"


def test_signing_out_ends_it_at_entra_too(site: Site, visitor: Visitor) -> None:
    """After signing out here, Entra knows the person no more: it asks who it is."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url(f"{site.url}/auth/signed-out*")
    tab.get_by_role("link", name="Sign in again").click()
    press_the_button(tab)
    assert is_asked_who(tab)
    assert tab.get_by_text("signed in", exact=True).count() == 0


def test_while_entra_remembers_the_button_is_enough(site: Site, visitor: Visitor) -> None:
    """Our session gone, Entra's alive: one click, no credentials, the same account, never by itself."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    visitor.context.clear_cookies(name=re.compile("entrada_session"))
    tab.goto(f"{site.url}/editors")
    assert tab.url == f"{site.url}/auth/login?next=/editors"
    press_the_button(tab)
    tab.wait_for_url(f"{site.url}/editors")
    assert visitor.session_cookie() is not None


def test_back_after_signing_out_shows_nothing(site: Site, visitor: Visitor) -> None:
    """The Back button brings no page of the session back."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url(f"{site.url}/auth/signed-out*")
    tab.go_back()
    assert tab.url == f"{site.url}/auth/login"
    assert "Ada Lovelace" not in tab.content()


def test_a_link_to_sign_out_asks_first(site: Site, visitor: Visitor) -> None:
    """GET signs nobody out; staying leads back, the button signs out."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    tab.goto(f"{site.url}/auth/logout")
    assert "Ada Lovelace" in tab.get_by_role("main").inner_text()
    tab.get_by_role("link", name="Stay signed in").click()
    assert heading(tab) == "Hello, Ada Lovelace"
    tab.goto(f"{site.url}/auth/logout")
    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url(f"{site.url}/auth/signed-out*")
    assert visitor.session_cookie() is None


def test_e7_another_site_cannot_sign_anybody_out(site: Site, visitor: Visitor) -> None:
    """E7: a form of another site posts to us; the session stands, and the page says that nothing changed."""
    tab = visitor.tab()
    sign_in(tab, site, "ada")
    tab.set_content(f'<form method="post" action="{site.url}/auth/logout"><button>Win</button></form>')
    tab.goto(f"data:text/html,{tab.content()}")
    tab.get_by_role("button", name="Win").click()
    tab.wait_for_url(f"{site.url}/auth/logout")
    assert "nothing was changed" in tab.get_by_role("main").inner_text()
    tab.goto(site.url)
    assert heading(tab) == "Hello, Ada Lovelace"


def test_entra_ends_our_session_in_a_frame(
    site: Site, visitor: Visitor, visitors: Callable[..., Visitor]
) -> None:
    """Signing out at Entra loads our front-channel address in a frame, with sid alone; that session is over.

    The same person's session in another browser, which has another sid, stands.
    """
    ours, entras, elsewhere = visitor.tab(), visitor.tab(), visitors().tab()
    sign_in(ours, site, "ada")
    sign_in(elsewhere, site, "ada")
    with entras.expect_response(f"{site.url}/auth/entra/logout?*") as answer:
        entras.goto(f"{site.entra.http_url}/{CONTOSO}/oauth2/v2.0/logout")
    assert answer.value.status == 200
    assert answer.value.request.frame.parent_frame == entras.main_frame
    assert "set-cookie" not in answer.value.all_headers()
    answer.value.finished()
    frame_url = answer.value.request.frame.url  # had the policy refused it, this would be an error page's
    assert frame_url.startswith(f"{site.url}/auth/entra/logout?sid=")
    ours.goto(f"{site.url}/editors")
    assert ours.url == f"{site.url}/auth/login?next=/editors"
    elsewhere.goto(site.url)
    assert heading(elsewhere) == "Hello, Ada Lovelace"
