"""Requests and responses: cookies read warily and written strictly, pages told from scripts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.errors import RequestRefused
from entrada.web.cookies import CookieRules
from entrada.web.messages import SAFE_HEADERS, WebRequest, json_response, redirect

NAME = "__Host-entrada_session"
SECURE, PLAIN = CookieRules(secure=True), CookieRules(secure=False)


def request(**values: object) -> WebRequest:
    return WebRequest(**({"method": "GET", "path": "/"} | values))  # type: ignore[arg-type]


def with_cookies(header: str) -> WebRequest:
    return request(headers={"cookie": header})


def attributes(line: str) -> set[str]:
    return set(line.split("; ")[1:])


# --- writing cookies ---


def test_F3_the_session_cookie_is_as_strict_as_cookies_are() -> None:
    """Over https: __Host- prefix, Secure, HttpOnly, SameSite=Lax, Path=/, no Domain, no age."""
    line = SECURE.set("entrada_session", "value", max_age_seconds=None)
    assert line.startswith(f"{NAME}=value; ")
    assert attributes(line) == {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"}


def test_F3_plain_http_has_another_name_and_no_secure() -> None:
    """On plain-http loopback the cookie has no prefix that a browser would refuse."""
    line = PLAIN.set("entrada_session", "value", max_age_seconds=60)
    assert line.startswith("entrada_session=value; ")
    assert attributes(line) == {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=60"}


def test_A13_a_cookie_for_a_cross_site_post_is_none_and_secure() -> None:
    """Entra's form_post brings only SameSite=None cookies, which browsers want Secure."""
    assert {"SameSite=None", "Secure"} <= attributes(
        SECURE.set("x", "y", max_age_seconds=600, cross_site=True)
    )


def test_A13_without_tls_no_cookie_is_cross_site() -> None:
    """SameSite=None without Secure would be dropped: it is not written."""
    assert "SameSite=Lax" in attributes(PLAIN.set("x", "y", max_age_seconds=600, cross_site=True))


@pytest.mark.parametrize("rules", [SECURE, PLAIN])
def test_a_deleted_cookie_is_empty_and_over(rules: CookieRules) -> None:
    """Deleting writes the same name and path, no value, and no age."""
    line = rules.delete("entrada_session")
    assert line.startswith(f"{rules.name('entrada_session')}=; ")
    assert {"Max-Age=0", "Path=/"} <= attributes(line)


# --- reading cookies ---


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (f"{NAME}=a", "a"),
        (f"x=1; {NAME}=a; y=2", "a"),
        (f"x=1;{NAME}=a", "a"),
        (f"{NAME}=a=b==", "a=b=="),
        (f'{NAME}="a"', '"a"'),
        (f"=b; {NAME}=a", "a"),
        (f"={NAME}=b; {NAME}=a", "a"),
        (f"{NAME}; {NAME}=a", "a"),
        (f"{NAME}=", ""),
        (f"{NAME} =a", None),
        (f"{NAME}_2=a; {NAME}2=b", None),
        (f"{NAME.lower()}=a", None),
        (f"{NAME}=a; {NAME}=a", "a"),
        (f"{NAME}=a\t; x=1", "a"),
        (f"\t {NAME}=a", "a"),
        ("", None),
        (";;;", None),
        ("=" * 1000, None),
    ],
)
def test_F4_a_cookie_is_read_by_its_exact_name(header: str, value: str | None) -> None:
    """Nameless, quoted and neighbouring cookies neither crash nor become the session."""
    assert with_cookies(header).cookies_named(NAME) == ([] if value is None else [value])


@pytest.mark.parametrize(
    "odd", [*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0x100)), *'"(),/:<>?@[]{}', "\u3000"]
)
def test_K3_only_space_and_tab_are_no_part_of_a_name(odd: str) -> None:
    """Every other character makes it another name, and one outside the alphabet makes it nobody's."""
    if odd in "\t;":
        return
    for name in (f"{odd}{NAME}", f"{NAME}{odd}", f"{NAME[:5]}{odd}{NAME[5:]}"):
        assert list(with_cookies(f"{name}=theirs").cookies()) == []
        assert with_cookies(f"{name}=theirs; {NAME}=ours").cookies_named(NAME) == ["ours"]


def test_F4_two_hundred_cookies_are_read() -> None:
    """Many cookies, chunk counters and gaps included, only make the right one be found."""
    header = "; ".join([*(f"c{number}=x" for number in range(200)), f"{NAME}_count=9999999999", f"{NAME}=a"])
    assert with_cookies(header).cookies_named(NAME) == ["a"]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_F4_no_cookie_header_makes_reading_raise(header: str) -> None:
    """Any text is some cookies or none."""
    for name, _ in with_cookies(header).cookies():
        assert name


# --- who asks ---

OFFICE = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/15.6 Safari/605.1.15"
NAVIGATES = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        (NAVIGATES, True),
        ({"sec-fetch-mode": "navigate"}, True),
        ({"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, True),
        ({"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "accept": "text/html"}, False),
        ({"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image", "accept": "image/*"}, False),
        ({"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, False),
        ({"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe", "accept": "text/html"}, False),
        ({"sec-fetch-mode": "websocket"}, False),
        ({"x-requested-with": "XMLHttpRequest", "accept": "text/html"}, False),
        ({"accept": "application/json"}, False),
        ({"accept": "*/*"}, False),
        ({}, False),
        ({"accept": "*/*", "user-agent": "curl/8.5.0"}, False),
        ({"user-agent": "python-requests/2.32.3", "accept": "*/*"}, False),
        ({"accept": "*/*", "user-agent": OFFICE}, True),
        ({"user-agent": OFFICE}, True),
        ({"accept": "*/*", "user-agent": "Microsoft Office/16.0 (Windows NT 10.0; Word 16.0.17328)"}, True),
        ({"accept": "*/*", "user-agent": "Mozilla/5.0 (compatible; SomePreview/1.0)"}, True),
        ({"accept": "*/*", "user-agent": SAFARI, "referer": "https://app.test/"}, False),
        ({"accept": "*/*", "user-agent": SAFARI, "authorization": "Bearer x"}, False),
        ({"accept": "*/*", "user-agent": SAFARI, "origin": "https://app.test"}, False),
        ({"accept": "*/*", "user-agent": SAFARI, "sec-fetch-mode": "cors"}, False),
        ({"accept": "application/json, */*", "user-agent": SAFARI}, False),
    ],
)
def test_A25_K67_a_page_visit_is_told_from_a_script(headers: dict[str, str], is_page: bool) -> None:
    """What navigates is a visit; fetch, XHR, images, frames and plain clients are not."""
    assert request(headers=headers).is_page_visit is is_page


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PROPFIND"])
def test_A25_only_a_GET_or_HEAD_is_a_page_visit(method: str) -> None:
    """No other method can be where a person lands after signing in."""
    assert request(method=method, headers=NAVIGATES).is_page_visit is False


# --- parameters ---


def test_a_query_is_decoded_once() -> None:
    """Percent signs that were encoded stay encoded."""
    assert request(query="a=%252f&b=c+d&e").query_pairs() == [("a", "%2f"), ("b", "c d"), ("e", "")]


def test_a_form_is_read_only_as_a_form() -> None:
    """A body of another content type is no form, whatever it looks like."""
    body = b"csrf_token=x"
    form = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
    assert request(headers=form, body=body).form_pairs() == [("csrf_token", "x")]
    for other in ("text/plain", "application/json", "multipart/form-data; boundary=x", ""):
        assert request(headers={"content-type": other}, body=body).form_pairs() == []


def test_too_many_parameters_are_refused() -> None:
    """A query or form of thousands of fields is not taken apart."""
    with pytest.raises(RequestRefused):
        request(query="&".join(["a=b"] * 51)).query_pairs()
    assert len(request(query="&".join(["a=b"] * 50)).query_pairs()) == 50


@settings(deadline=None)
@given(st.text(max_size=100), st.binary(max_size=100))
def test_no_query_and_no_body_makes_reading_raise(query: str, body: bytes) -> None:
    """Any bytes are some parameters or none."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    got = request(query=query, body=body, headers=form)
    assert isinstance(got.query_pairs() + got.form_pairs(), list)


def test_a_request_does_not_show_what_it_carries() -> None:
    """Query, headers and body, which hold codes and cookies, stay out of a representation."""
    got = request(query="code=hush", headers={"cookie": "hush"}, body=b"hush")
    assert "hush" not in repr(got)


# --- answers ---


@pytest.mark.parametrize("answer", [redirect("/x", cookies=["a=b"]), json_response(401, {}, cookies=["a=b"])])
def test_A35_every_answer_is_stored_nowhere_and_tells_no_referrer(answer: object) -> None:
    """Cache-Control, Referrer-Policy and nosniff are on redirects and JSON alike, and cookies ride along."""
    headers = answer.headers  # type: ignore[attr-defined]
    assert set(SAFE_HEADERS) <= set(headers)
    assert ("cache-control", "no-store") in headers
    assert ("referrer-policy", "no-referrer") in headers
    assert ("set-cookie", "a=b") in headers
