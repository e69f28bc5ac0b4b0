"""Whether a request that changes something comes from our own pages."""

from __future__ import annotations

import pytest

from entrada.errors import RequestRefused
from entrada.web.messages import WebRequest
from entrada.web.same_origin import form_token_of, require_same_origin

ORIGINS = ["https://app.contoso.test", "https://two.contoso.test"]
TOKEN = form_token_of("the-session-cookie", b"form key")


def passes(headers: dict[str, str], *, sent_token: str | None = None, form_token: str | None = TOKEN) -> bool:
    body = f"csrf_token={sent_token}".encode() if sent_token is not None else b""
    request = WebRequest(
        method="POST",
        path="/auth/logout",
        headers={"content-type": "application/x-www-form-urlencoded", **headers},
        body=body,
    )
    try:
        require_same_origin(request, origins=ORIGINS, form_token=form_token)
    except RequestRefused:
        return False
    return True


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "origin": ORIGINS[0]},
        {"sec-fetch-site": "none"},
        {"origin": ORIGINS[0]},
        {"origin": ORIGINS[1]},
        {},
    ],
    ids=str,
)
def test_E7_our_own_page_and_no_browser_at_all_may_post(headers: dict[str, str]) -> None:
    """A browser that says the request is our own is believed, and so is a client that is no browser."""
    assert passes(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "https://evil.test"},
        {"sec-fetch-site": "same-site", "origin": "https://evil.contoso.test"},
        {"sec-fetch-site": "cross-site", "origin": ORIGINS[0]},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "Same-Origin"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "same-origin, cross-site"},
        {"origin": "https://evil.test"},
        {"origin": "https://app.contoso.test.evil.test"},
        {"origin": "https://app.contoso.test:8443"},
        {"origin": "http://app.contoso.test"},
        {"origin": "HTTPS://APP.CONTOSO.TEST"},
        {"origin": ""},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": "null"},
    ],
    ids=str,
)
def test_E7_another_sites_post_is_refused(headers: dict[str, str]) -> None:
    """Whatever does not clearly come from our own origin changes nothing."""
    assert not passes(headers)


@pytest.mark.parametrize(
    "headers", [{"origin": "null"}, {"sec-fetch-site": "same-site", "origin": "null"}], ids=str
)
def test_E7_a_hidden_origin_passes_with_the_forms_token(headers: dict[str, str]) -> None:
    """Where a browser hides the origin, the token of the session's own form decides."""
    assert passes(headers, sent_token=TOKEN)


@pytest.mark.parametrize(
    "sent", [None, "", "x", TOKEN[:-1], TOKEN.upper(), form_token_of("other", b"form key")]
)
def test_E7_a_hidden_origin_without_the_right_token_is_refused(sent: str | None) -> None:
    """A missing, wrong or foreign token does not stand in for the origin."""
    assert not passes({"origin": "null"}, sent_token=sent)


def test_E7_without_a_session_no_token_is_right() -> None:
    """Missing never equals missing: where there is no session, an empty or absent token proves nothing."""
    for sent in (None, "", "None", TOKEN):
        assert not passes({"origin": "null"}, sent_token=sent, form_token=None)


def test_E7_the_token_does_not_help_a_cross_site_request() -> None:
    """When the browser says that the request is cross-site, no token changes that."""
    assert not passes({"sec-fetch-site": "cross-site", "origin": "null"}, sent_token=TOKEN)


def test_a_form_token_belongs_to_one_session_and_one_key() -> None:
    """Another cookie or another key gives another token, and the token does not show the cookie."""
    assert form_token_of("the-session-cookie", b"form key") == TOKEN
    assert form_token_of("the-session-cookie", b"other key") != TOKEN
    assert form_token_of("another", b"form key") != TOKEN
    assert "cookie" not in TOKEN
    assert form_token_of("\ud800", b"form key")
