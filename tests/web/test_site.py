"""The addresses of an application are configured: no header changes them."""

from __future__ import annotations

import pytest

from entrada.web.messages import WebRequest
from entrada.web.site import Site

SITE = Site(urls=["https://app.contoso.test", "http://localhost:8000"], callback_paths=["/oauth", "/other"])


def request(**headers: str) -> WebRequest:
    return WebRequest(
        method="GET", path="/", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.test"},
        {"host": "app.contoso.test.evil.test"},
        {"host": "app.contoso.test@evil.test"},
        {"host": "app.contoso.test, evil.test"},
        {"host": ""},
        {},
        {"host": "app.contoso.test", "x_forwarded_host": "evil.test"},
        {"x_forwarded_host": "localhost:8000"},
        {"host": "app.contoso.test", "x_forwarded_proto": "http"},
        {"host": "app.contoso.test", "forwarded": "host=evil.test;proto=http"},
    ],
    ids=str,
)
def test_A22_no_header_makes_an_address(headers: dict[str, str]) -> None:
    """Host, X-Forwarded-* and Forwarded never enter the redirect URI; unknown hosts get the first URL."""
    assert SITE.redirect_uri(request(**headers)) == "https://app.contoso.test/oauth"
    assert SITE.cookie_rules(request(**headers)).secure


def test_the_host_chooses_among_the_configured_urls() -> None:
    """A person who came by another configured URL goes back to that one."""
    assert SITE.redirect_uri(request(host="localhost:8000")) == "http://localhost:8000/oauth"
    assert not SITE.cookie_rules(request(host="localhost:8000")).secure


def test_a_sign_in_may_lead_to_the_administrators_page_of_a_broker() -> None:
    """That page of our own and no other; nothing that looks like it."""
    site = Site(urls=["https://app.example.test"], callback_paths=["/auth/entra/callback"])
    page = "/auth/broker/installations"
    assert site.next_path(page) == page
    assert site.next_path(f"{page}?about=x") == f"{page}?about=x"
    for other in ("/auth/broker/installations/", "/auth/broker/token", "/auth/logout", f"/{page}"):
        assert site.next_path(other) == "/"
