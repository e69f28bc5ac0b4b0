"""The addresses of oauth2-proxy and Easy Auth: those who come from there find what they knew, safely."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest

from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_gateway
from entrada.gateway.habits import EASY_AUTH, OAUTH2_PROXY, habits_in_force
from entrada.gateway.hops import TrustedHops, parse_trusted_hops
from entrada.gateway.rules import Route, RuleBook
from walks.site import Site, served
from walks.test_redirects import OWN_PAYLOADS, leaving
from walks.visitor import Visitor

from .upstream import Upstream, running_upstream

LINK_OF_OURS = {"sec_fetch_site": "same-origin"}
LINK_OF_ANOTHER_SITE = {"sec_fetch_site": "cross-site"}
OPEN_REDIRECTS: list[str] = json.loads(
    (Path(__file__).parent.parent / "vectors/open-redirects.json").read_text("utf-8")
)
STARTS = [
    ("/oauth2/start", "rd"),
    ("/oauth2/sign_in", "rd"),
    ("/.auth/login/aad", "post_login_redirect_uri"),
]
SIGN_OUTS = [("/oauth2/sign_out", "rd"), ("/.auth/logout", "post_logout_redirect_uri")]


@pytest.fixture(scope="module")
def alone(emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`entrada serve` without an upstream, with the redirect URIs of both registered."""
    with served(
        emulator,
        database=tmp_path_factory.mktemp("habits") / "entrada.db",
        app_of=lambda auth: create_gateway(auth, hops=TrustedHops(), book=RuleBook()),
        ENTRADA_CALLBACK_PATHS="/oauth2/callback,/.auth/login/aad/callback",
    ) as running:
        yield running


@pytest.fixture
def visitor(alone: Site, http: httpx.Client) -> Visitor:
    return Visitor(alone, http)


@pytest.fixture
def ada(visitor: Visitor) -> Visitor:
    """A browser in which Ada is signed in."""
    visitor.sign_in_as("ada@contoso.test")
    return visitor


# --- signing in ---


@pytest.mark.parametrize(("address", "parameter"), [STARTS[0], STARTS[2]])
def test_a_link_of_theirs_signs_in_and_leads_where_it_says(
    visitor: Visitor, address: str, parameter: str
) -> None:
    """To Entra, back to the redirect URI that was registered for them, and on to the page."""
    away = visitor.open(f"{address}?{urlencode({parameter: '/reports?x=1'})}")
    assert away.status_code == 303
    assert quote(f"{visitor.site.public_url}/oauth2/callback", safe="") in away.headers["location"]
    visitor.approve_as("ada@contoso.test", away.headers["location"])
    assert visitor.complete().headers["location"] == "/reports?x=1"


def test_the_sign_in_page_of_oauth2_proxy_leads_on(visitor: Visitor) -> None:
    """The page with the button, which keeps `rd`; who is signed in goes there at once."""
    page = visitor.open("/oauth2/sign_in?rd=/reports")
    assert page.status_code == 200
    assert 'href="/auth/entra/start?next=/reports"' in page.text
    visitor.sign_in_as("ada@contoso.test")
    assert visitor.open("/oauth2/sign_in?rd=/reports").headers["location"] == "/reports"


def test_e9_the_sign_in_page_clears_a_session_cookie_that_opens_nothing(visitor: Visitor) -> None:
    """As ours does."""
    visitor.present("x" * 20 + "." + "y" * 43)
    visitor.open("/oauth2/sign_in")
    assert visitor.session_cookie is None


@pytest.mark.parametrize(("address", "parameter"), STARTS)
def test_hints_go_along_to_entra(visitor: Visitor, address: str, parameter: str) -> None:
    """`login_hint`, `domain_hint` and `prompt`, as at our own address, and nothing else."""
    if address.endswith("sign_in"):
        return
    query = {"login_hint": "ada@contoso.test", "prompt": "login", "scope": "all", parameter: "/x"}
    location = visitor.open(f"{address}?{urlencode(query)}").headers["location"]
    assert "login_hint=ada%40contoso.test" in location
    assert "prompt=login" in location
    assert "scope=all" not in location


@pytest.mark.parametrize(("address", "parameter"), STARTS)
def test_a_way_back_may_name_this_very_origin(visitor: Visitor, address: str, parameter: str) -> None:
    """`rd=https://host/path`, as ingress configurations write it, is `/path`; another origin is none."""
    visitor.sign_in_as("ada@contoso.test")
    here = visitor.site.public_url
    landings = {
        f"{here}/reports?x=1": "/reports?x=1",
        here: "/",
        f"{here}.evil.test/x": "/",
        f"{here}@evil.test/x": "/",
        f"{here}//evil.test/x": "/",
        f"{here}/\\evil.test/x": "/",
        f"{here}1/x": "/",
        "https://evil.test/reports": "/",
    }
    for wanted, landing in landings.items():
        assert landing_of(visitor, address, {parameter: wanted}) == landing, wanted


def landing_of(visitor: Visitor, address: str, query: dict[str, str]) -> str:
    """Where a person who signs in by this link lands."""
    away = visitor.open(f"{address}?{urlencode(query)}").headers["location"]
    if away.startswith("/"):
        return away
    visitor.approve_as("ada@contoso.test", away)
    return visitor.complete().headers["location"]


@pytest.mark.parametrize("times", [0, 1, 2], ids=["raw", "encoded once", "encoded twice"])
def test_e1_no_way_back_leaves_the_origin(ada: Visitor, node_path: str, times: int) -> None:
    """Every address of the public lists as `rd` of who is signed in, judged by a browser's parser."""
    locations = []
    for payload in [*OPEN_REDIRECTS, *OWN_PAYLOADS]:
        text = payload
        for _ in range(times):
            text = quote(text, safe="", errors="replace")
        query = "rd=" + quote(text, safe="", errors="replace")
        answer = ada.open(f"/oauth2/sign_in?{query}")
        assert answer.status_code == 303, payload
        locations.append(answer.headers["location"])
    assert leaving(node_path, f"{ada.site.public_url}/oauth2/sign_in", locations) == []


@pytest.mark.parametrize("field", ["/reports", "https://evil.test/", "//evil.test"])
def test_d3_the_way_back_in_a_field_is_believed_from_listed_hops_alone(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path, field: str
) -> None:
    """nginx tells where a person wanted to go by X-Auth-Request-Redirect; a stranger's word is not heard."""
    for hops, landing in ((["127.0.0.1"], "/reports"), ([], "/")):
        with served(
            emulator,
            database=tmp_path / f"{len(hops)}.db",
            app_of=lambda auth, hops=hops: create_gateway(
                auth, hops=parse_trusted_hops(hops), book=RuleBook()
            ),
        ) as running:
            browser = Visitor(running, http)
            browser.sign_in_as("ada@contoso.test")
            answer = browser.open("/oauth2/sign_in", x_auth_request_redirect=field)
            assert answer.headers["location"] == (landing if field == "/reports" else "/")
            asked = browser.open("/oauth2/sign_in?rd=/asked", x_auth_request_redirect=field)
            assert asked.headers["location"] == "/asked"


@pytest.mark.parametrize(
    "landing",
    ["/oauth2/start", "/oauth2/sign_out?rd=/x", "/oauth2/auth", "/.auth/logout", "/.auth/login/aad"],
)
def test_nobody_lands_on_one_of_these_addresses(visitor: Visitor, landing: str) -> None:
    """Or signing in would begin anew, or end at once."""
    assert landing_of(visitor, "/oauth2/start", {"rd": landing}) == "/"
    assert visitor.open(f"/auth/login?{urlencode({'next': landing})}").headers["location"] == "/"


@pytest.mark.parametrize("page", ["/ping", "/ready?x=1", "/oauth2", "/.auth"])
def test_a_page_of_an_application_behind_another_proxy_is_kept(visitor: Visitor, page: str) -> None:
    """The proxy hands on what is below /auth alone, so these may be pages that people ask for."""
    assert landing_of(visitor, "/oauth2/start", {"rd": page}) == page


@pytest.mark.parametrize("address", ["/oauth2/sign_in", "/oauth2/start", "/.auth/login/aad", "/.auth/me"])
def test_a27_no_session_is_made_of_what_a_caller_posts(visitor: Visitor, address: str) -> None:
    """Neither of a password (oauth2-proxy's form) nor of tokens (Easy Auth's client-directed flow)."""
    answer = visitor.post(address, {"access_token": "x", "id_token": "x", "username": "a", "password": "b"})
    assert answer.status_code == 405
    assert visitor.session_cookie is None


# --- signing out ---


@pytest.mark.parametrize(("address", "parameter"), SIGN_OUTS)
def test_a_link_of_this_application_signs_out_and_leads_where_it_says(
    ada: Visitor, address: str, parameter: str
) -> None:
    """Here at once, then at Entra, and from there to the page that the link named."""
    assert ada.session_cookie is not None
    value = ada.session_cookie.value
    out = ada.open(f"{address}?{urlencode({parameter: '/goodbye?x=1'})}", **LINK_OF_OURS)
    back = back_from_entra(ada, out)
    assert ada.open(back, **LINK_OF_ANOTHER_SITE).headers["location"] == "/goodbye?x=1"
    ada.present(value)  # kept by somebody
    assert ada.whoami() is None


def back_from_entra(visitor: Visitor, out: httpx.Response) -> str:
    """Signs out at Entra, too; the address that Entra leads back to."""
    endpoint = visitor.site.auth.relying_party.sign_in.application.metadata().end_session_endpoint
    assert endpoint is not None
    assert out.status_code == 303
    assert out.headers["location"].startswith(endpoint)
    answer = visitor.open(out.headers["location"], **LINK_OF_ANOTHER_SITE)
    links = [unescape(link) for link in re.findall(r'(?:href|url)="?([^"]*signed-out[^"]*)"', answer.text)]
    back = answer.headers.get("location") or links[0]
    assert back.partition("?")[0] == f"{visitor.site.public_url}/auth/signed-out"
    return back


@pytest.mark.parametrize(("address", "parameter"), SIGN_OUTS)
@pytest.mark.parametrize(
    "evidence",
    [
        LINK_OF_ANOTHER_SITE,
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": ""},
        {"sec_fetch_site": "same-origin, none"},
    ],
    ids=lambda evidence: evidence["sec_fetch_site"] or "nothing",
)
def test_e7_another_site_s_link_gets_a_page_with_a_button(
    ada: Visitor, address: str, parameter: str, evidence: dict[str, str]
) -> None:
    """Nothing has happened until the button is pressed, and then the link's own page is where it ends."""
    page = ada.open(f"{address}?{parameter}=/goodbye", **evidence)
    assert page.status_code == 200
    assert ada.whoami() is not None
    action = re.search(r'<form method="post" action="([^"]*)"', page.text)
    token = re.search(r'name="csrf_token" value="([^"]*)"', page.text)
    assert action is not None
    assert token is not None
    form = {"csrf_token": token[1]}
    forged = ada.post(unescape(action[1]), form, sec_fetch_site="cross-site", origin="https://evil.test")
    assert forged.status_code == 403
    assert ada.whoami() is not None
    out = ada.post(unescape(action[1]), form)
    assert ada.whoami() is None
    assert ada.open(back_from_entra(ada, out)).headers["location"] == "/goodbye"


@pytest.mark.parametrize(("address", "parameter"), SIGN_OUTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
        {"sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
        {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
        {"sec_purpose": "prefetch"},
        {"sec_purpose": "prefetch;prerender"},
    ],
    ids=["image", "frame", "script", "prefetch", "prerender"],
)
def test_e7_what_no_person_follows_changes_nothing(
    ada: Visitor, address: str, parameter: str, headers: dict[str, str]
) -> None:
    """Not even from a page of this application, whose text another person may have written."""
    answer = ada.open(address, **{**LINK_OF_OURS, **headers})
    assert answer.status_code in (403, 503)
    assert ada.whoami() is not None


@pytest.mark.parametrize(("address", "parameter"), SIGN_OUTS)
def test_looking_signs_nobody_out(ada: Visitor, address: str, parameter: str) -> None:
    """HEAD is no visit."""
    headers = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    ada.send("HEAD", address, headers)
    assert ada.whoami() is not None


@pytest.mark.parametrize(("address", "parameter"), SIGN_OUTS)
def test_who_is_not_signed_in_goes_on_at_once(visitor: Visitor, address: str, parameter: str) -> None:
    """To the page that the link names, or to the signed-out page."""
    named = visitor.open(f"{address}?{parameter}=/goodbye", **LINK_OF_ANOTHER_SITE)
    assert named.headers["location"] == "/goodbye"
    assert visitor.open(address, **LINK_OF_ANOTHER_SITE).headers["location"] == "/auth/signed-out"


@pytest.mark.parametrize("payload", ["https://evil.test", "//evil.test", "/\\evil.test", "/\t/evil.test"])
@pytest.mark.parametrize(("address", "parameter"), SIGN_OUTS)
def test_e1_signing_out_leads_nowhere_else(ada: Visitor, address: str, parameter: str, payload: str) -> None:
    """What Entra is handed is our own page, and from there it goes to the front page."""
    out = ada.open(f"{address}?{urlencode({parameter: payload})}", **LINK_OF_OURS)
    assert ada.open(back_from_entra(ada, out)).headers["location"] == "/"


@pytest.mark.parametrize(("address", "parameter"), SIGN_OUTS)
def test_e1_a_sign_out_of_nobody_leads_nowhere_else(
    visitor: Visitor, node_path: str, address: str, parameter: str
) -> None:
    """Every address of the public lists, for a visitor from another site who is not signed in."""
    locations = []
    for payload in [*OPEN_REDIRECTS, *OWN_PAYLOADS]:
        query = f"{parameter}=" + quote(payload, safe="", errors="replace")
        answer = visitor.open(f"{address}?{query}", **LINK_OF_ANOTHER_SITE)
        assert answer.status_code == 303, payload
        locations.append(answer.headers["location"])
    assert leaving(node_path, f"{visitor.site.public_url}{address}", locations) == []


@pytest.mark.parametrize("state", ["", "x", "/goodbye", "//evil.test", "A" * 80, "\x00", "é"])
def test_e13_a_state_that_was_not_sealed_here_leads_nowhere(visitor: Visitor, state: str) -> None:
    """The signed-out page, and nothing else."""
    answer = visitor.open(f"/auth/signed-out?{urlencode({'state': state})}", **LINK_OF_ANOTHER_SITE)
    assert (answer.status_code, answer.headers.get("location")) == (200, None)


def test_e13_a_seal_of_another_kind_is_no_state(visitor: Visitor) -> None:
    """The sealed sign-in in this browser's own cookie opens for no other purpose."""
    visitor.begin("/reports")
    (cookie,) = visitor.pending.values()
    answer = visitor.open(f"/auth/signed-out?{urlencode({'state': cookie.value})}")
    assert (answer.status_code, answer.headers.get("location")) == (200, None)


# --- who is signed in ---


def test_userinfo_is_oauth2_proxy_s(ada: Visitor) -> None:
    """Its names; the user is the object id, as in the fields of an upstream."""
    whoami = ada.whoami()
    assert whoami is not None
    answer = ada.fetch("/oauth2/userinfo")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "user": whoami["object_id"],
        "email": "ada@contoso.test",
        "groups": ["Admin"],
        "preferredUsername": "ada@contoso.test",
    }


def test_me_is_easy_auth_s(ada: Visitor) -> None:
    """A list of one, with claims by their long names; no token is in it."""
    whoami = ada.whoami()
    assert whoami is not None
    (found,) = ada.fetch("/.auth/me").json()
    assert set(found) == {"provider_name", "user_id", "user_claims"}
    assert (found["provider_name"], found["user_id"]) == ("aad", "ada@contoso.test")
    claims = {(claim["typ"], claim["val"]) for claim in found["user_claims"]}
    assert ("name", "Ada Lovelace") in claims
    assert ("roles", "Admin") in claims
    assert ("http://schemas.microsoft.com/identity/claims/objectidentifier", whoami["object_id"]) in claims


def test_groups_that_are_asked_about_are_told(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path
) -> None:
    """Beside the roles, under both products' names for them."""
    with served(
        emulator,
        database=tmp_path / "entrada.db",
        app_of=lambda auth: create_gateway(auth, hops=TrustedHops(), book=RuleBook()),
        ENTRADA_GROUPS="all",
    ) as running:
        browser = Visitor(running, http)
        browser.sign_in_as("vi@contoso.test")
        held = set(emulator.person("vi@contoso.test").groups)
        told = set(browser.fetch("/oauth2/userinfo").json()["groups"])
        assert held < told
        assert "Viewer" in told
        (found,) = browser.fetch("/.auth/me").json()
        groups = {claim["val"] for claim in found["user_claims"] if claim["typ"] == "groups"}
        assert groups == told - {"Viewer"}


@pytest.mark.parametrize(
    ("address", "said"),
    [("/oauth2/userinfo", "Unauthorized"), ("/.auth/me", "[]"), ("/.auth/refresh", "Unauthorized")],
)
def test_nobody_is_401(visitor: Visitor, address: str, said: str) -> None:
    """And an empty list for pages that read the list alone."""
    answer = visitor.fetch(address)
    assert (answer.status_code, answer.text) == (401, said)


def test_refresh_answers_while_somebody_is_signed_in(ada: Visitor) -> None:
    """There is no token to refresh; the session goes on with any request."""
    assert ada.fetch("/.auth/refresh").status_code == 200
    ada.sign_out()
    assert ada.fetch("/.auth/refresh").status_code == 401


def test_ping_and_ready(visitor: Visitor) -> None:
    """What a load balancer asks oauth2-proxy."""
    for address in ("/ping", "/ready"):
        answer = visitor.fetch(address)
        assert (answer.status_code, answer.text) == (200, "OK")


def test_ready_says_no_while_nobody_could_sign_in(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path
) -> None:
    """503, as /readyz; /ping goes on."""
    with served(
        emulator,
        database=tmp_path / "entrada.db",
        app_of=lambda auth: create_gateway(auth, hops=TrustedHops(), book=RuleBook()),
        ENTRADA_AUTHORITY_HOST="https://127.0.0.1:1",
    ) as running:
        browser = Visitor(running, http)
        assert browser.fetch("/ready").status_code == 503
        assert browser.fetch("/readyz").status_code == 503
        assert browser.fetch("/ping").status_code == 200


# --- whose addresses they are ---

ADDRESSES = [
    "/ping",
    "/ready",
    "/oauth2/start",
    "/oauth2/sign_in",
    "/oauth2/sign_out",
    "/oauth2/userinfo",
    "/.auth/login/aad",
    "/.auth/logout",
    "/.auth/me",
    "/.auth/refresh",
]


def _of(address: str) -> str:
    return EASY_AUTH if address.startswith("/.auth/") else OAUTH2_PROXY


@contextmanager
def before_an_upstream(
    emulator: RunningEmulator, folder: Path, habits: frozenset[str] | None
) -> Iterator[tuple[Site, Upstream]]:
    """`entrada serve --upstream`. The upstream ends first: that closes the idle connections to it."""
    with ExitStack() as ending:
        upstream = ending.enter_context(running_upstream())
        book = RuleBook(routes=[Route(upstream=f"http://127.0.0.1:{upstream.port}")])
        with served(
            emulator,
            database=folder / "entrada.db",
            app_of=lambda auth: create_gateway(auth, hops=TrustedHops(), book=book, habits=habits),
        ) as running:
            try:
                yield running, upstream
            finally:
                ending.close()


@pytest.mark.parametrize("chosen", [None, "none", OAUTH2_PROXY, EASY_AUTH, f"{OAUTH2_PROXY},{EASY_AUTH}"])
def test_before_an_upstream_they_are_the_upstream_s_unless_chosen(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path, chosen: str | None
) -> None:
    """By default an application's own /ping and /oauth2/… stay its own, behind the rules like any other."""
    habits = None if chosen is None else frozenset(chosen.split(",")) - {"none"}
    with before_an_upstream(emulator, tmp_path, habits) as (running, upstream):
        browser = Visitor(running, http)
        for address in ADDRESSES:
            browser.fetch(address)
            assert upstream.requests == [], address
        browser.sign_in_as("ada@contoso.test")
        for address in ADDRESSES:
            upstream.requests.clear()
            browser.fetch(address)
            reached = [request["target"] for request in upstream.requests]
            assert reached == ([] if _of(address) in (habits or ()) else [address])


def test_without_an_upstream_both_are_there() -> None:
    """Nothing of anybody's own could be hidden; what was chosen is what there is."""
    assert habits_in_force(None, has_upstreams=False) == {OAUTH2_PROXY, EASY_AUTH}
    assert habits_in_force(None, has_upstreams=True) == frozenset()
    assert habits_in_force(frozenset(), has_upstreams=False) == frozenset()


@pytest.mark.parametrize(
    "address", ["/oauth2", "/oauth2/", "/oauth2/static/x", "/.auth/login/google", "/pingx"]
)
def test_only_these_addresses_are_taken(visitor: Visitor, address: str) -> None:
    """Whatever else lies below the same names is not ours."""
    assert visitor.open(address).status_code == 404
