"""Where a person is sent after signing in: never off this origin, as a browser reads addresses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.errors import AddressTooLong
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.redirects import FRONT_PAGE, LONGEST_PATH, safe_next_path
from flows.world import PAGE_VISIT, PUBLIC_URL, SCRIPT, Browser, headers_of, location_of, new_browser

OWN_EXCERPT = [
    "//evil.test",
    "///evil.test",
    "////evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "\\/evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\r\n/evil.test",
    "\t//evil.test",
    " //evil.test",
    "/ /evil.test",
    "/%09/evil.test",
    "/%5cevil.test",
    "/%2fevil.test",
    "//%2f%2fevil.test",
    "/%252fevil.test",
    "/%0d%0aLocation:%20https://evil.test",
    "/\x00/evil.test",
    "https://evil.test",
    "https:evil.test",
    "https:/evil.test",
    "http:\\\\evil.test",
    "HtTpS://evil.test",
    "//evil.test@app.contoso.test",
    "//app.contoso.test@evil.test",
    "//evil.test:443",
    "//[::1]",
    "//3627734734",
    "//evil。test",
    "/。/evil.test",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "?next=//evil.test",
    "#//evil.test",
    "evil.test",
    ".evil.test",
    "@evil.test",
    ":evil.test",
    "/.//evil.test",
    "/..//evil.test",
    "/x/..//evil.test",
    "/;@evil.test",
    "/?//evil.test",
    "/#//evil.test",
    "/https://evil.test",
    "/\u2028/evil.test",
    "/\u00a0/evil.test",
    "/\uff0fevil.test",
    "\uff0f/evil.test",
    "//\ud800evil.test",
]

JUDGE = """
let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", () => {
  const origins = JSON.parse(text).map(([location, base]) => {
    try { return new URL(location, base).origin; } catch (error) { return `no URL: ${location}`; }
  });
  process.stdout.write(JSON.stringify(origins));
});
"""


def payloads(vectors_directory: Path) -> list[str]:
    """The public lists and our excerpt; raw, decoded once and twice."""
    listed = OWN_EXCERPT + json.loads((vectors_directory / "open-redirects.json").read_text("utf-8"))
    return [text for payload in listed for text in (payload, unquote(payload), unquote(unquote(payload)))]


def off_origin(node_path: str, locations: Iterable[str], bases: Iterable[str] = (PUBLIC_URL,)) -> list[str]:
    """Those of `locations` that a WHATWG URL parser takes to another origin, seen from the pages `bases`."""
    pairs = [(location, base) for location in sorted(set(locations)) for base in bases]
    judged = subprocess.run(
        [node_path, "-e", JUDGE],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    origins = json.loads(judged.stdout)
    assert len(origins) == len(pairs)
    return [location for (location, _), origin in zip(pairs, origins, strict=True) if origin != PUBLIC_URL]


def test_the_judge_knows_an_open_redirect(node_path: str) -> None:
    """The judge finds what leaves and lets pass what stays, or the tests below would prove nothing."""
    assert off_origin(node_path, ["//evil.test", "/\\evil.test", "/\t/evil.test", "/home"]) == [
        "/\t/evil.test",
        "//evil.test",
        "/\\evil.test",
    ]


def test_E1_no_payload_leaves_the_origin(node_path: str, vectors_directory: Path) -> None:
    """Of every payload, raw and decoded once and twice, the path that is allowed stays on the origin."""
    allowed = [safe_next_path(payload, own_prefix="/auth") for payload in payloads(vectors_directory)]
    bases = [f"{PUBLIC_URL}/auth/entra/callback?code=x", f"{PUBLIC_URL}//double", PUBLIC_URL]
    assert off_origin(node_path, allowed, bases) == []


def queries(payload: str) -> list[str]:
    """The payload as a query parameter: as it stands, and encoded as a browser would."""
    raw = payload.encode("utf-8", "replace").decode("latin-1")
    return [f"next={raw}", urlencode({"next": payload}, errors="replace")]


def test_E1_no_location_leaves_the_origin(node_path: str, vectors_directory: Path) -> None:
    """With a session, the sign-in page redirects to `next`: whatever that says, the origin stays."""
    browser = new_browser()
    browser.sign_in()
    locations = []
    for payload in payloads(vectors_directory):
        for query in queries(payload):
            got = browser.auth.handle(
                WebRequest(
                    method="GET",
                    path="/auth/login",
                    query=query,
                    headers={**PAGE_VISIT, "cookie": browser.cookie_header, "host": "app.contoso.test"},
                )
            )
            locations.append(location_of(got))
    assert off_origin(node_path, locations) == []


@pytest.mark.parametrize("name", ["rd", "redirect", "returnUrl", "state", "post_logout_redirect_uri", "url"])
def test_E1_no_other_parameter_redirects(name: str) -> None:
    """Only `next` is ever looked at."""
    browser = new_browser()
    browser.sign_in()
    assert location_of(browser.visit(f"/auth/login?{name}=/elsewhere")) == FRONT_PAGE


def test_E1_the_whole_walk_lands_on_this_origin(node_path: str) -> None:
    """From the start over Entra to the callback: the last Location stays on the origin."""
    browser = new_browser()
    landed = [location_of(browser.sign_in(payload.replace("\ud800", ""))) for payload in OWN_EXCERPT]
    assert off_origin(node_path, landed) == []


def test_E1_a_protected_page_with_a_hostile_path_stays(node_path: str, vectors_directory: Path) -> None:
    """A visit to a hostile path without a session leads to the sign-in page, and from there nowhere else."""
    browser = new_browser()
    locations = []
    for payload in payloads(vectors_directory):
        request = WebRequest(method="GET", path=f"/{payload.lstrip('/')}", headers=PAGE_VISIT)
        locations.append(location_of(browser.auth.challenge(request)))
        locations.append(_landing(browser, locations[-1]))
        request = WebRequest(method="GET", path=payload, query="year=2026", headers=PAGE_VISIT)
        challenged = browser.auth.challenge(request)
        if request.target.startswith("//"):
            assert challenged.status == 400
        else:
            locations.append(_landing(browser, location_of(challenged)))
    assert off_origin(node_path, locations) == []


@pytest.mark.parametrize("page", ["//x", "//x?year=2026", "//", "///x", "//evil.test/a", "//x//y"])
def test_E1_a_page_whose_address_begins_with_two_slashes_is_refused_in_so_many_words(page: str) -> None:
    """Its address is a host to browsers, so nobody is led back to it; nor to the front page in silence."""
    path, _, query = page.partition("?")
    asked = WebRequest(method="GET", path=path, raw_path=path, query=query, headers=PAGE_VISIT)
    refused = new_browser().auth.challenge(asked)
    assert refused.status == 400
    assert b"two slashes" in refused.body
    script = new_browser().auth.challenge(WebRequest(method="GET", path=path, headers=SCRIPT))
    assert script.status == 401


def _landing(browser: Browser, login: str) -> str:
    """Where the sign-in page of that address would send somebody in the end."""
    query = WebRequest(method="GET", path="/auth/login", query=login.partition("?")[2])
    return browser.auth.site.next_path(query.first("next"))


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "data:text/html,<script>",
        "https:evil.test",
        "http://app.contoso.test/",
        "https://app.contoso.test/",
        "https://app.contoso.test:8443/",
        "https://user@app.contoso.test/",
        "https://[::1]/",
        "https://äpp.contoso.test/",
        "//app.contoso.test/",
        "app.contoso.test/",
        "reports",
        "?x=1",
        "",
        None,
    ],
)
def test_E3_only_a_path_is_taken(target: str | None) -> None:
    """Anything with a scheme, a host, a port or a user is not taken, not even our own."""
    assert safe_next_path(target, own_prefix="/auth") == FRONT_PAGE


@pytest.mark.parametrize(
    "target",
    ["/a\x00b", "/a\x7f", "/a\nb", "/a b", "/a\\b", "/\\b?x", "/a?b c"],
    ids=lambda target: repr(target)[:20],
)
def test_E4_an_odd_path_is_the_front_page(target: str) -> None:
    """What no browser asks for, such as NUL: the person lands on the front page, not on an error."""
    assert safe_next_path(target, own_prefix="/auth") == FRONT_PAGE
    assert new_browser().visit("/auth/login?" + urlencode({"next": target})).status == 200


@pytest.mark.parametrize("target", ["/" + "a" * 2_048, "/" + "é" * 600], ids=["letters", "encoded"])
def test_E4_K27_an_address_that_is_too_long_is_said_to_be(target: str) -> None:
    """No silent front page: the person is told to sign in first, and how."""
    with pytest.raises(AddressTooLong):
        safe_next_path(target, own_prefix="/auth")
    browser = new_browser()
    for path in ("/auth/login", "/auth/entra/start"):
        got = browser.visit(f"{path}?" + urlencode({"next": target}))
        assert got.status == 414
        assert b"This link is too long" in got.body
        assert b'href="/auth/entra/start"' in got.body
    got = browser.auth.challenge(WebRequest(method="GET", path=target, headers=PAGE_VISIT))
    assert got.status == 414


@pytest.mark.parametrize(
    ("target", "landing"),
    [
        ("/", "/"),
        ("/?discount=100%", "/?discount=100%"),
        ("/100%", "/100%"),
        ("/%zz?x=%", "/%zz?x=%"),
        ("/a%2Fb", "/a%2Fb"),
        ("/?path=C:\\Temp", "/?path=C:\\Temp"),
        ("/app/#/view/42", "/app/#/view/42"),
        ("/#\\", "/#\\"),
        ("/q?a={b}|c^d`e'f", "/q?a={b}|c^d`e'f"),
        ("/reports", "/reports"),
        ("/reports?year=2026&q=a+b", "/reports?year=2026&q=a+b"),
        ("/reports?next=https://a.test/", "/reports?next=https://a.test/"),
        ("/a/b#part", "/a/b#part"),
        ("/größe", "/gr%C3%B6%C3%9Fe"),
        ("/a%20b", "/a%20b"),
        ("/a//b", "/a//b"),
        ("/@user:1/[x]", "/@user:1/[x]"),
        ("/authors", "/authors"),
    ],
)
def test_K27_an_ordinary_path_is_kept(target: str, landing: str) -> None:
    """Path, query and fragment survive, in plain ASCII."""
    assert safe_next_path(target, own_prefix="/auth") == landing


@pytest.mark.parametrize("target", ["/auth", "/auth/login", "/auth/logout?x", "/auth/entra/start", "/auth#x"])
def test_our_own_pages_are_no_landing_page(target: str) -> None:
    """Nobody lands on the sign-in or sign-out page after signing in."""
    assert safe_next_path(target, own_prefix="/auth") == FRONT_PAGE


@settings(deadline=None)
@given(st.text(max_size=60))
def test_what_is_allowed_is_a_plain_path(text: str) -> None:
    """Any text becomes ASCII that begins with one slash and holds nothing a header could break on."""
    landing = safe_next_path(text, own_prefix="/auth")
    assert landing.isascii()
    assert landing.isprintable()
    assert landing[0] == "/"
    assert landing[1:2] not in ("/", "\\")
    assert len(landing) <= LONGEST_PATH
    assert safe_next_path(landing, own_prefix="/auth") == landing


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_A24_any_path_of_the_application_survives_the_way_over_the_sign_in_page(path: str) -> None:
    """A page whose path holds spaces, percent signs, question marks or letters is where the person lands."""
    path = "/p" + path
    browser = new_browser()
    challenge = browser.auth.challenge(WebRequest(method="GET", path=path, headers=PAGE_VISIT))
    assert unquote(_landing(browser, location_of(challenge))) == path


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb",
        "/a%2fb/%2E%2e?x=%2f",
        "/?discount=100%",
        "/?p=C:\\x",
        "/größe".encode().decode("latin-1"),
        "/a//b;v=1?x=+&y=%20",
    ],
)
def test_K27_the_page_asked_for_comes_back_byte_for_byte(target: str) -> None:
    """As the browser sent it, not as it reads after decoding: over the sign-in page and Entra."""
    raw_path, _, query = target.partition("?")
    browser = new_browser()
    request = WebRequest(
        method="GET", path=unquote(raw_path), raw_path=raw_path, query=query, headers=PAGE_VISIT
    )
    login = location_of(browser.auth.challenge(request))
    landed = location_of(browser.sign_in(_landing(browser, login)))
    assert landed == quote(target.encode("latin-1"), safe="".join(map(chr, range(0x21, 0x7F))))


def test_K27_a_backslash_in_the_path_comes_back_as_one() -> None:
    """No browser sends it as it is, and in a Location it would be a slash: it comes back encoded."""
    browser = new_browser()
    request = WebRequest(method="GET", path="/a\\b", raw_path="/a\\b", query="c=\\", headers=PAGE_VISIT)
    login = location_of(browser.auth.challenge(request))
    assert location_of(browser.sign_in(_landing(browser, login))) == "/a%5Cb?c=\\"


def test_the_query_survives_the_way_over_the_sign_in_page() -> None:
    """The query of the page the person wanted is kept as it was sent."""
    browser = new_browser()
    request = WebRequest(method="GET", path="/search", query="q=a%26b&page=2", headers=PAGE_VISIT)
    login = location_of(browser.auth.challenge(request))
    assert login == "/auth/login?next=" + quote("/search?q=a%26b&page=2", safe="/")
    assert location_of(browser.sign_in(_landing(browser, login))) == "/search?q=a%26b&page=2"


def test_E5_the_target_is_checked_again_at_the_callback() -> None:
    """A sealed sign-in with a hostile target, of an older version perhaps, lands on the front page."""
    browser = new_browser()
    party = browser.auth.relying_party
    pending, url = party.begin_sign_in(
        redirect_uri=f"{PUBLIC_URL}/auth/entra/callback", next_path="//evil.test"
    )
    request = WebRequest(method="GET", path="/", headers={"host": "app.contoso.test"})
    rules = browser.auth.site.cookie_rules(request)
    kept = browser.auth.pending.remember(pending, request, rules, now=party.clock.now())
    browser.take_cookies(WebResponse(status=200, headers=[("set-cookie", line) for line in kept]))
    assert location_of(browser.come_back(browser.entra.approve(url))) == FRONT_PAGE


def test_E6_redirects_are_303() -> None:
    """Whatever method brought somebody here, the next request is a GET without a body."""
    browser = new_browser()
    browser.sign_in()
    got = browser.request("POST", "/auth/logout", form={}, **PAGE_VISIT)
    assert got.status == 303
    assert headers_of(got, "content-type") == []
    assert got.body == b""
