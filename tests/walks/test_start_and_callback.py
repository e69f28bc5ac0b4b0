"""Starting a sign-in and coming back: cases A1 to A35 of the catalogue, over real HTTP."""

from __future__ import annotations

import http.client
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from entrada.emulator import RunningEmulator
from entrada.flows.pending import unseal_pending
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.refusals import text_of
from walks.site import Site
from walks.visitor import PAGE_VISIT, Visitor, query_of, with_query

CALLBACK = "/auth/entra/callback"
OTHER_ISSUER = "https://login.microsoftonline.com/99999999-7777-6666-5555-444433332222/v2.0"


def asked(emulator: RunningEmulator, endpoint: str) -> list[Any]:
    return [request for request in emulator.requests if request.endpoint == endpoint]


def test_A1_no_state(visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """An answer without state is refused, and no token request leaves."""
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    answer = visitor.complete(with_query(visitor.coming_back, without=("state",)))
    watching.refused(answer, 400, "state_missing", token_requests=0)


@pytest.mark.parametrize("state", ["nobody-sent-this", "é", "x" * 600, "'; DROP TABLE entrada_user; --"])
def test_A2_unknown_state(state: str, visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """An answer with a state nobody was given is refused, and no token request leaves."""
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    watching.refused(visitor.complete(with_query(visitor.coming_back, state=state)), 400, token_requests=0)


def test_A2_tampered_state(visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """A state with one letter changed is refused, and no token request leaves."""
    visitor.begin()
    visitor.approve_as(pat)
    watching, state = watch(visitor), query_of(visitor.coming_back)["state"]
    other = state[:-1] + ("A" if state[-1] != "A" else "B")
    answer = visitor.complete(with_query(visitor.coming_back, state=other))
    watching.refused(answer, 400, "state_missing", token_requests=0)


def test_A3_state_of_another_browser(new_visitor: NewVisitor, pat: Any, watch: NewWatch) -> None:
    """A link with an answer to somebody else's sign-in signs nobody in and redeems nothing."""
    attacker, victim = new_visitor(), new_visitor()
    attacker.begin()
    link = attacker.approve_as(pat)
    watching = watch(victim)
    page = watching.refused(victim.complete(link), 400, "state_missing", token_requests=0)
    assert "If someone sent you this link, do not use it." in page
    assert victim.whoami() is None


def test_A3_with_a_sign_in_of_ones_own_under_way(new_visitor: NewVisitor, pat: Any, kim: Any) -> None:
    """Such a link does not disturb the sign-in that the browser has under way itself."""
    attacker, victim = new_visitor(), new_visitor()
    attacker.begin()
    victim.begin()
    assert victim.complete(attacker.approve_as(pat)).status_code == 400
    victim.approve_as(kim)
    victim.complete()
    assert victim.whoami()["object_id"] == kim.object_id


def test_A4_replay(visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """An answer used once is refused the second time, though the cookie is put back; the session stays."""
    visitor.begin()
    kept = dict(visitor.jar.cookies)
    visitor.approve_as(pat)
    visitor.complete()
    session = visitor.session_cookie
    for cookies in ({}, kept):
        visitor.jar.cookies.update(cookies)
        watching = watch(visitor)
        code = "sign_in_already_used" if cookies else "state_missing"
        watching.refused(visitor.complete(), 400, code, token_requests=0)
    assert visitor.session_cookie == session
    assert visitor.whoami()["object_id"] == pat.object_id


def test_A5_same_answer_twice_at_once(
    visitor: Visitor, pat: Any, site: Site, emulator: RunningEmulator
) -> None:
    """Two of the same answer at the same moment: one token request, one session, the other hears why."""
    visitor.begin()
    visitor.approve_as(pat)
    sessions, together = len(site.rows()["entrada_session"]), threading.Barrier(8)
    cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)

    def come_back(_: int) -> Any:
        together.wait()
        return visitor.send("GET", visitor.coming_back, {**PAGE_VISIT, "cookie": cookie})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(come_back, range(8)))
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 7
    assert all("already used" in text_of(answer) for answer in answers if answer.status_code == 400)
    assert len(asked(emulator, "token")) == 1
    assert len(site.rows()["entrada_session"]) == sessions + 1


def test_A6_too_late(serve: Serve, new_visitor: NewVisitor, pat: Any, watch: NewWatch) -> None:
    """After an hour the answer is refused, with a way to start again at the page one wanted."""
    site = serve()
    visitor = new_visitor(site)
    visitor.begin(next="/reports?week=3")
    visitor.approve_as(pat)
    watching = watch(visitor)
    site.clock.pass_by(minutes=61)
    answer = visitor.complete()
    watching.refused(answer, 400, "sign_in_expired", token_requests=0)
    assert 'href="/auth/entra/start?next=/reports%3Fweek%3D3"' in answer.text
    site.clock.pass_by(minutes=-61)  # the emulator's clock was right all the time
    visitor.sign_in_as(pat, next="/reports?week=3")
    assert visitor.whoami() is not None


@pytest.mark.parametrize("other", ["ENTRADA_CLIENT_ID", "ENTRADA_TENANT_ID"])
def test_A7_begun_with_another_application(
    other: str, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """A sign-in begun with another application or tenant is not finished here, though the keys are shared."""
    shared = {"ENTRADA_SECRET_KEYS": "one-key-for-all-of-them-0123456789-abcdef"}
    there = serve(**shared)
    changed = emulator.add_app("Other").client_id if other == "ENTRADA_CLIENT_ID" else "fabrikam.test"
    here = serve(**shared, **{other: changed}, public_url=there.public_url)
    beginning = new_visitor(there)
    beginning.begin()
    coming_back = beginning.approve_as(pat)
    visitor = new_visitor(here)
    visitor.jar = beginning.jar
    watching = watch(visitor)
    answer = visitor.complete(coming_back)
    watching.refused(answer, 400, "response_refused", token_requests=0)


@pytest.mark.parametrize("name", ["state", "code", "error", "iss", "id_token"])
def test_A8_doubled_parameter(name: str, visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """A parameter twice is refused before anything leaves, even with the same value."""
    visitor.begin()
    visitor.approve_as(pat)
    value = query_of(visitor.coming_back).get(name, "access_denied")
    watching = watch(visitor)
    single = (
        visitor.coming_back
        if name in query_of(visitor.coming_back)
        else f"{visitor.coming_back}&{name}={value}"
    )
    answer = visitor.complete(f"{single}&{name}={value}")
    watching.refused(answer, 400, "response_refused", token_requests=0)


def test_A9_code_and_error(visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """With an error beside it, the code is not redeemed."""
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    answer = visitor.complete(with_query(visitor.coming_back, error="access_denied"))
    watching.refused(answer, 403, "entra_refused", token_requests=0)


def test_A10_neither_code_nor_error(visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """With neither, it is no answer."""
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    answer = visitor.complete(with_query(visitor.coming_back, without=("code",)))
    watching.refused(answer, 400, "response_refused", token_requests=0)


def test_A11_another_issuer(visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """An answer that says it is from another issuer is refused before the token request (RFC 9207)."""
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    answer = visitor.complete(with_query(visitor.coming_back, iss=OTHER_ISSUER))
    watching.refused(answer, 400, "response_refused", token_requests=0)


def test_A11_our_issuer(visitor: Visitor, pat: Any, emulator: RunningEmulator) -> None:
    """An answer that names the tenant's own issuer is taken."""
    visitor.begin()
    visitor.approve_as(pat)
    issuer = f"{emulator.https_url}/{pat.tenant_id}/v2.0"
    assert visitor.complete(with_query(visitor.coming_back, iss=issuer)).status_code == 303
    assert visitor.whoami() is not None


def test_A12_issuer_promised_and_not_sent(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """Where the metadata promises `iss`, an answer without it is refused and one with it is taken."""
    emulator.fail("tamper", target="discovery", set={"authorization_response_iss_parameter_supported": True})
    visitor = new_visitor(serve())
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    watching.refused(visitor.complete(), 400, "response_refused", token_requests=0)
    visitor.begin()
    visitor.approve_as(pat)
    issuer = f"{emulator.https_url}/{pat.tenant_id}/v2.0"
    assert visitor.complete(with_query(visitor.coming_back, iss=issuer)).status_code == 303


@pytest.fixture
def by_form(serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator) -> Visitor:
    """A visitor of a site on https that Entra answers by a form."""
    app = emulator.app("Entrada (emulated)")
    address = f"https://app.test{CALLBACK}"
    emulator.change_app(app.client_id, web_redirect_uris=[*app.web_redirect_uris, address])
    return new_visitor(serve(public_url="https://app.test", ENTRADA_RESPONSE_MODE="form_post"))


def test_A13_form_post(by_form: Visitor, emulator: RunningEmulator, pat: Any) -> None:
    """Entra's form comes without Lax cookies and signs in; the session cookie is Secure and __Host-."""
    by_form.begin(next="/reports")
    assert query_of(by_form.at_entra)["response_mode"] == "form_post"
    (pending,) = by_form.pending.values()
    assert pending.attributes["samesite"] == "None"
    assert "secure" in pending.attributes
    where, fields = by_form.approve_by_form(pat)
    answer = by_form.post_from_elsewhere(where, fields, origin=emulator.http_url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/reports")
    assert by_form.whoami()["object_id"] == pat.object_id
    assert by_form.pending == {}
    cookie = by_form.session_cookie
    assert cookie is not None
    assert cookie.attributes == {"path": "/", "httponly": "", "secure": "", "samesite": "Lax"}


def test_A13_form_post_stays_with_its_browser(
    by_form: Visitor, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """The same form sent by another browser is refused."""
    by_form.begin()
    where, fields = by_form.approve_by_form(pat)
    victim = new_visitor(by_form.site)
    watching = watch(victim)
    answer = victim.post_from_elsewhere(where, fields, origin=emulator.http_url)
    watching.refused(answer, 400, "state_missing", token_requests=0)


def test_A13_form_post_replaces_the_session_there_was(
    by_form: Visitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """A second person by form ends the first one's session, though its Lax cookie stayed at home."""
    for person in (pat, kim):
        by_form.begin()
        where, fields = by_form.approve_by_form(person)
        before = by_form.session_cookie
        by_form.post_from_elsewhere(where, fields, origin=emulator.http_url)
    assert by_form.whoami()["object_id"] == kim.object_id
    assert before is not None
    by_form.present(before.value)
    assert by_form.whoami() is None


def test_A14_get_where_a_form_was_asked_for(by_form: Visitor, pat: Any, watch: NewWatch) -> None:
    """An answer in the query is refused where a form was asked for."""
    by_form.begin()
    where, fields = by_form.approve_by_form(pat)
    watching = watch(by_form)
    answer = by_form.open(with_query(f"{where}?state=x", **fields))
    watching.refused(answer, 400, "response_refused", token_requests=0)


def test_A14_form_where_a_query_was_asked_for(visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """An answer by form is refused where the query was asked for."""
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    answer = visitor.post(CALLBACK, query_of(visitor.coming_back))
    watching.refused(answer, 400, "response_refused", token_requests=0)


@pytest.mark.parametrize(
    "description",
    [
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "first line\r\nset-cookie: evil=1\r\n\r\nsign_in_completed user_id=1",
        "\x1b[31mred\x1b[0m \x07 \x9b31m",
        "\u202egnp.exe \u2066x\u2069",
        "AADSTS65004: " + "x" * 50_000,
    ],
    ids=["script", "lines", "terminal", "direction", "50 kB"],
)
def test_A15_description_of_a_stranger(description: str, visitor: Visitor, watch: NewWatch) -> None:
    """Entra's words are escaped, cut and stripped of control characters; the log gets one line."""
    visitor.begin()
    state = query_of(visitor.at_entra)["state"]
    watching = watch(visitor)
    answer = visitor.open(
        with_query(
            f"{visitor.site.public_url}{CALLBACK}?state={state}",
            error="access_denied",
            error_description=description,
        )
    )
    watching.refused(answer, 403, "entra_refused", token_requests=0)
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", answer.text)
    assert len(answer.content) < 60_000
    assert "evil" not in str(answer.headers)


def test_A16_silent_request_gets_one_interactive_try(visitor: Visitor, pat: Any) -> None:
    """prompt=none that needs a person leads back to Entra once, without prompt=none, then to a page."""
    visitor.begin(next="/reports", prompt="none")
    assert query_of(visitor.at_entra)["prompt"] == "none"
    visitor.answer_at_entra()
    assert query_of(visitor.coming_back)["error"] in ("login_required", "interaction_required")
    again = visitor.complete()
    assert again.status_code == 303
    assert "prompt" not in query_of(again.headers["location"])
    visitor.answer_at_entra(again.headers["location"], _emulator_decline="1")
    assert visitor.complete().status_code == 403
    visitor.sign_in_as(pat)
    assert visitor.whoami() is not None


def test_A16_interactive_try_lands_where_the_silent_one_would(visitor: Visitor, pat: Any) -> None:
    """The interactive try ends on the page that the silent one was for."""
    visitor.begin(next="/reports", prompt="none")
    visitor.answer_at_entra()
    again = visitor.complete().headers["location"]
    visitor.approve_as(pat, again)
    assert visitor.complete().headers["location"] == "/reports"


def test_A16_silent_success(visitor: Visitor, pat: Any) -> None:
    """prompt=none succeeds without a page where Entra knows the browser."""
    visitor.sign_in_as(pat)
    visitor.begin(next="/reports", prompt="none")
    visitor.answer_at_entra()
    assert visitor.complete().headers["location"] == "/reports"


def test_A17_refused_again_and_again(visitor: Visitor, emulator: RunningEmulator, pat: Any) -> None:
    """After three refusals in a row the start leads to a page that says why; the login page begins anew."""
    for _ in range(3):
        visitor.begin()
        visitor.answer_at_entra(_emulator_decline="1")
        assert visitor.complete().status_code == 403
    stopped = visitor.open("/auth/entra/start?next=/")
    assert stopped.status_code == 429
    assert "3 times in a row" in text_of(stopped)
    assert "You cancelled" in text_of(stopped)
    assert visitor.open("/auth/login").status_code == 200
    visitor.sign_in_as(pat)
    assert visitor.whoami() is not None


@pytest.mark.parametrize(
    "code",
    ["x" * 50_000, "a%00b", "a%0d%0aset-cookie:%20x=1", "a%20b", "%ff%fe", "%F0%9F%92%A9"],
    ids=["50 kB", "NUL", "CRLF", "space", "no UTF-8", "emoji"],
)
def test_A18_odd_code(code: str, visitor: Visitor, emulator: RunningEmulator) -> None:
    """A code that no Entra ever sent is answered with a 4xx and sent nowhere."""
    visitor.begin()
    state = query_of(visitor.at_entra)["state"]
    answer = visitor.open(f"{CALLBACK}?state={state}&code={code}")
    assert 400 <= answer.status_code < 500, answer.status_code
    assert "set-cookie" not in answer.headers or "x=1" not in answer.headers["set-cookie"]
    assert asked(emulator, "token") == []
    assert visitor.whoami() is None


def test_A18_code_of_a_megabyte(visitor: Visitor, emulator: RunningEmulator) -> None:
    """A code of a megabyte is answered with a 4xx, and the server goes on."""
    visitor.begin()
    state = query_of(visitor.at_entra)["state"]
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(visitor.site.address).port or 0, timeout=30)
    with closing(connection):
        connection.request("GET", f"{CALLBACK}?state={state}&code={'x' * 1_000_000}")
        assert 400 <= connection.getresponse().status < 500
    assert asked(emulator, "token") == []
    assert visitor.open("/auth/login").status_code == 200


def test_A19_every_request_has_its_own_proofs(visitor: Visitor, emulator: RunningEmulator, pat: Any) -> None:
    """Every request to Entra carries S256, and state, nonce and verifier are new each time."""
    seen: dict[str, set[str]] = {"state": set(), "nonce": set(), "code_challenge": set()}
    for prompt in ("", "login", "select_account", "none") * 5:
        sent = query_of(visitor.begin(**({"prompt": prompt} if prompt else {})))
        assert sent["code_challenge_method"] == "S256"
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", sent["code_challenge"])
        for name, values in seen.items():
            assert len(sent[name]) >= 32
            assert sent[name] not in values
            values.add(sent[name])
        assert "code_verifier" not in visitor.at_entra
    pending = visitor.site.auth.pending.sealer
    for name, cookie in visitor.pending.items():
        under_way = unseal_pending(cookie.value, tag=name.rpartition("_")[2], sealer=pending)
        assert under_way is not None
        assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", under_way.code_verifier)
    visitor.sign_in_as(pat)
    (redeemed,) = asked(emulator, "token")
    assert redeemed.form["code_verifier"]


def test_A20_no_parameter_is_smuggled(visitor: Visitor) -> None:
    """Parameters of the start page do not become parameters of the request to Entra."""
    query = "&".join(
        [
            "next=/reports",
            "code_challenge_method=plain",
            "code_challenge=x",
            "scope=offline",
            "redirect_uri=https://evil.test/",
            "client_id=evil",
            "response_mode=fragment",
            "response_type=token",
            "state=mine",
            "nonce=mine",
            "claims=%7B%7D",
            "prompt=admin_consent",
            "domain_hint=contoso.test&domain_hint=evil.test",
            "login_hint=a%26prompt%3Dnone",
        ]
    )
    sent = query_of(visitor.open(f"/auth/entra/start?{query}").headers["location"])
    assert sent["code_challenge_method"] == "S256"
    assert sent["redirect_uri"] == f"{visitor.site.public_url}{CALLBACK}"
    assert sent["response_mode"] == "query"
    assert sent["response_type"] == "code"
    assert sent["state"] != "mine"
    assert sent["nonce"] != "mine"
    assert "evil" not in str(sent)
    assert "claims" not in sent
    assert "prompt" not in sent
    assert sent["login_hint"] == "a&prompt=none"


@pytest.mark.parametrize(
    ("hint", "passed_on"),
    [
        ("pat@contoso.test", True),
        ("pat@contoso.test&prompt=none", True),
        ("Zoë+tag@contoso.test", True),
        ("pat\r\nset-cookie: x=1", False),
        ("pat\x00", False),
        ("p" * 10_000, False),
    ],
)
@pytest.mark.parametrize("name", ["login_hint", "domain_hint"])
def test_A21_hints(name: str, hint: str, passed_on: bool, visitor: Visitor) -> None:
    """A hint reaches Entra encoded, as one parameter, or not at all."""
    sent = query_of(visitor.begin(**{name: hint}))
    assert sent.get(name) == (hint if passed_on else None)
    assert "prompt" not in sent


@pytest.mark.parametrize("host", ["evil.test", "localhost:1", "127.0.0.1"])
@pytest.mark.parametrize("path", ["/auth/login", "/auth/entra/start"])
def test_A22_K24_another_name_leads_to_the_public_url_before_a_cookie(
    path: str, host: str, visitor: Visitor
) -> None:
    """Under a name that is not configured no sign-in begins: the visitor goes to the public URL, once.

    Behind a proxy that hides the name every request bears that one; the second time the sign-in goes on.
    """
    sent_home = visitor.open(f"{path}?next=/reports%3Fa=1%252", host=host)
    assert sent_home.status_code == 303
    assert "set-cookie" not in sent_home.headers
    home = sent_home.headers["location"]
    assert home == f"{visitor.site.public_url}{path}?next=/reports%3Fa=1%252&here=1"
    again = visitor.open(home.removeprefix(visitor.site.public_url), host=host)
    if path == "/auth/login":
        assert again.status_code == 200
    else:
        at_entra = query_of(again.headers["location"])
        assert at_entra["redirect_uri"] == f"{visitor.site.public_url}{CALLBACK}"


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_host": "evil.test"},
        {"x_forwarded_proto": "http", "x_forwarded_port": "80"},
        {"forwarded": "host=evil.test;proto=http"},
        {"x_original_url": "https://evil.test/", "x_forwarded_prefix": "/evil"},
    ],
    ids=["X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL"],
)
def test_A22_headers_do_not_choose_the_address(headers: dict[str, str], visitor: Visitor) -> None:
    """Whatever host a request claims, the redirect URI is the configured one."""
    answer = visitor.open("/auth/entra/start?next=/reports", **headers)
    assert query_of(answer.headers["location"])["redirect_uri"] == f"{visitor.site.public_url}{CALLBACK}"
    for path in ("/auth/login", "/", "/auth/me", "/auth/logout"):
        answer = visitor.open(path, **headers)
        assert "evil" not in answer.text + str(answer.headers)


def test_A23_a_thousand_starts(visitor: Visitor, pat: Any) -> None:
    """A thousand starts in one browser leave five cookies, the newest, under 8 kB; the last one works."""
    before = threading.active_count()
    for number in range(1_000):
        visitor.begin(next=f"/page/{number}")
        assert len(visitor.pending) <= 5
    header = visitor.jar.header("localhost", secure=False, from_another_site=False)
    assert len(header) < 8_000
    visitor.approve_as(pat)
    assert visitor.complete().headers["location"] == "/page/999"
    assert threading.active_count() <= before + 45


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 4, 0, 3, 1)])
def test_A24_five_tabs(order: tuple[int, ...], visitor: Visitor, pat: Any) -> None:
    """Five tabs begun at once finish in any order, each on its own page."""
    leaving = [visitor.begin(next=f"/tab/{number}") for number in range(5)]
    for number in order:
        visitor.approve_as(pat, leaving[number])
        answer = visitor.complete()
        assert (answer.status_code, answer.headers["location"]) == (303, f"/tab/{number}")
    assert visitor.whoami()["object_id"] == pat.object_id
    assert visitor.pending == {}


def test_A24_five_tabs_under_way_at_once(visitor: Visitor, pat: Any) -> None:
    """Five tabs that come back at the same moment all land on their own page."""
    leaving = [visitor.begin(next=f"/tab/{number}") for number in range(5)]
    coming_back = [visitor.approve_as(pat, url) for url in leaving]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(visitor.complete, coming_back))
    assert [answer.headers.get("location") for answer in answers] == [f"/tab/{n}" for n in range(5)]
    assert visitor.whoami() is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
        {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
        {"sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
    ],
    ids=["favicon", "fetch", "frame"],
)
def test_A24_only_a_page_visit_becomes_a_landing_page(headers: dict[str, str], visitor: Visitor) -> None:
    """An icon, a fetch or a frame is answered 401 and never becomes the page one lands on."""
    answer = visitor.open("/favicon.ico", **headers)
    assert answer.status_code == 401
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_A25_a_script_without_a_session(method: str, visitor: Visitor) -> None:
    """A script without a session gets 401, not a redirect to Microsoft, whatever the method."""
    answer = visitor.fetch("/api/things", method)
    assert answer.status_code == 401
    assert "location" not in answer.headers
    if method != "HEAD":
        assert answer.json()["error"] == "login_required"
    old_browser = visitor.send(method, "/api/things", {"x-requested-with": "XMLHttpRequest", "accept": "*/*"})
    assert old_browser.status_code == 401


@pytest.mark.parametrize("name", ["id_token", "access_token"])
def test_A26_a_token_in_the_answer(name: str, visitor: Visitor, pat: Any, watch: NewWatch) -> None:
    """A token in the answer is refused: only codes were asked for."""
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    answer = visitor.complete(f"{visitor.coming_back}&{name}=e30.e30.")
    watching.refused(answer, 400, "response_refused", token_requests=0)


def test_A26_a_posted_token(by_form: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch) -> None:
    """A token in Entra's form is refused as well."""
    by_form.begin()
    where, fields = by_form.approve_by_form(pat)
    watching = watch(by_form)
    answer = by_form.post_from_elsewhere(where, {**fields, "id_token": "e30.e30."}, origin=emulator.http_url)
    watching.refused(answer, 400, "response_refused", token_requests=0)


@pytest.mark.parametrize(
    "path",
    [
        "/auth/me",
        "/auth/login",
        "/auth/entra/start",
        "/auth/entra/callback",
        "/auth/account",
        "/auth/sessions",
        "/auth/token",
        "/auth/",
        "/api/sessions",
        "/sessions",
        "/auth/logout",
    ],
)
def test_A27_no_session_for_a_token(path: str, visitor: Visitor, emulator: RunningEmulator) -> None:
    """No address makes a session from an access token that the caller brings."""
    told = {"provider": "active_directory", "token": "e30.e30.e30", "email": "ada@contoso.test"}
    for answer in (
        visitor.fetch(path, "POST", body={"session": told}),
        visitor.fetch(path, "POST", body=told),
        visitor.post(path, told),
        visitor.send("POST", path, {"authorization": "Bearer e30.e30.e30"}),
        visitor.fetch(path, authorization="Bearer e30.e30.e30"),
    ):
        assert answer.status_code < 500
        assert not re.search(r"entrada_session\w*=[^;]", answer.headers.get("set-cookie", ""))
    assert visitor.whoami() is None
    assert [request for request in emulator.requests if request.endpoint in ("token", "graph")] == []


def test_A28_token_endpoint_redirects(
    visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """A redirect of the token endpoint is not followed: code and secret go nowhere else."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("redirect", endpoint="token", to=f"{emulator.https_url}/elsewhere")
    watching = watch(visitor)
    watching.refused(visitor.complete(), 503, "entra_unavailable", token_requests=1)
    assert not [request for request in emulator.requests if "elsewhere" in request.path]


@pytest.mark.parametrize(
    ("fault", "parameters", "status"),
    [
        ("html", {}, 502),
        ("null", {}, 502),
        ("array", {}, 502),
        ("empty", {}, 502),
        ("half_json", {}, 502),
        ("oversized", {}, 502),
        ("gzip_bomb", {}, 502),
        ("body", {"text": '{"access_token": 5, "token_type": []}'}, 502),
        ("body", {"text": "[" * 100_000}, 502),
        ("body", {"text": '{"id_token": {}, "token_type": "Bearer"}'}, 400),
        ("tamper", {"target": "token_response", "remove": ["id_token"]}, 502),
        ("tamper", {"target": "token_response", "set": {"id_token": ""}}, 400),
        ("tamper", {"target": "token_response", "set": {"id_token": "e30.e30"}}, 400),
        ("tamper", {"target": "token_response", "set": {"id_token": "\u0000.é.x"}}, 400),
        ("tamper", {"target": "token_response", "set": {"id_token": 7}}, 400),
    ],
)
def test_A29_unusable_token_answer(
    fault: str,
    parameters: dict[str, Any],
    status: int,
    visitor: Visitor,
    emulator: RunningEmulator,
    pat: Any,
    watch: NewWatch,
) -> None:
    """Whatever the token endpoint says instead of tokens: a page, no session, nothing kept."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail(fault, endpoint="token", **parameters)
    watching = watch(visitor)
    watching.refused(visitor.complete(), status, token_requests=1)
    assert visitor.whoami() is None


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"set": {"token_type": "bearer"}}, True),
        ({"set": {"token_type": "BEARER"}}, True),
        ({"remove": ["expires_in"]}, True),
        ({"set": {"expires_in": "3599"}}, True),
        ({"remove": ["refresh_token"]}, True),
        ({"remove": ["scope"]}, True),
        ({"remove": ["client_info"]}, True),
        ({"set": {"token_type": "DPoP"}}, False),
        ({"set": {"token_type": "mac"}}, False),
        ({"remove": ["token_type"]}, False),
    ],
)
def test_A30_token_types(
    change: dict[str, Any],
    taken: bool,
    visitor: Visitor,
    emulator: RunningEmulator,
    pat: Any,
    watch: NewWatch,
) -> None:
    """Bearer in any case and no lifetime are taken; another kind of token is refused."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", target="token_response", **change)
    watching = watch(visitor)
    answer = visitor.complete()
    if taken:
        assert answer.status_code == 303, text_of(answer)
        assert visitor.whoami() is not None
    else:
        watching.refused(answer, 502, "entra_unavailable")


@pytest.mark.parametrize("secret", ["a+b%c&d=e:f~g h", "Schlüssel✓", "%41%2B+", "'\"\\{}", "=&="])
def test_A31_secret_with_odd_characters(
    secret: str, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A client secret of any characters reaches Entra unchanged."""
    emulator.change_app("Entrada (emulated)", secrets=[{"value": secret}])
    visitor = new_visitor(serve(ENTRADA_CLIENT_SECRET=secret))
    assert visitor.sign_in_as(pat).status_code == 303
    assert visitor.whoami() is not None


def test_A31_second_of_two_secrets(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """While a secret is being changed both work, and the one that worked is tried first afterwards."""
    emulator.change_app("Entrada (emulated)", secrets=[{"value": "the-new-one~as-long-as-they-are-today"}])
    site = serve(
        ENTRADA_CLIENT_SECRET="the-old-one~as-long-as-they-are-today,the-new-one~as-long-as-they-are-today"
    )
    assert new_visitor(site).sign_in_as(pat).status_code == 303
    assert [request.status for request in asked(emulator, "token")] == [401, 200]
    emulator.clear_requests()
    assert new_visitor(site).sign_in_as(kim).status_code == 303
    assert [request.status for request in asked(emulator, "token")] == [200]


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://login.evil.test/common/v2.0"},
        {"token_endpoint": "http://localhost:1/token"},
        {"token_endpoint": "https://evil.test/token"},
        {"jwks_uri": "https://evil.test/keys"},
        {"jwks_uri": "http://localhost:1/keys"},
        {"authorization_endpoint": "https://evil.test/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
    ids=lambda change: " ".join(f"{name}={value}" for name, value in change.items()),
)
def test_A32_metadata_that_the_settings_do_not_promise(
    change: dict[str, str], serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """Metadata with another issuer, a foreign host or plain http is refused, and it says both values."""
    emulator.fail("tamper", target="discovery", times=None, set=change)
    visitor = new_visitor(serve())
    answer = visitor.open("/auth/entra/start?next=/")
    assert answer.status_code == 503
    assert "location" not in answer.headers
    page = text_of(answer)
    assert "evil.test" in page or "http://localhost:1" in page or "javascript" in page, page
    if "issuer" in change:
        assert emulator.https_url in page
    assert visitor.open("/readyz").status_code == 503


def test_A33_entra_comes_later(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Without Entra the site runs, says that it is not ready and why, and recovers by itself."""
    emulator.fail("server_error", endpoint="discovery", times=None, status=503)
    site = serve()
    visitor = new_visitor(site)
    assert visitor.open("/healthz").status_code == 200
    not_ready = visitor.open("/readyz")
    assert not_ready.status_code == 503
    assert "503" in not_ready.json()["waiting_for"]["entra"]
    assert visitor.open("/auth/login").status_code == 200
    assert visitor.open("/auth/entra/start").status_code == 503
    assert visitor.open("/reports").status_code == 303
    emulator.clear_faults()
    site.clock.pass_by(seconds=5)
    assert visitor.open("/readyz").status_code == 200
    assert visitor.sign_in_as(pat).status_code == 303


def test_A34_two_people_in_one_browser(visitor: Visitor, pat: Any, kim: Any) -> None:
    """The second person replaces the first wholly, and the first one's cookie opens nothing any more."""
    visitor.sign_in_as(pat)
    first = visitor.session_cookie
    visitor.sign_in_as(kim)
    me = visitor.whoami()
    assert (me["object_id"], me["roles"]) == (kim.object_id, ["Viewer"])
    assert "Pat" not in str(me)
    assert visitor.open("/editors").status_code == 403
    assert first is not None
    visitor.present(first.value)
    assert visitor.whoami() is None


def test_A35_what_every_page_forbids(visitor: Visitor, pat: Any) -> None:
    """No page may be framed, cached, or tell another site where one was."""
    visitor.begin()
    visitor.approve_as(pat)
    pages = [
        visitor.open("/auth/login"),
        visitor.open("/auth/entra/start"),
        visitor.open("/auth/entra/callback"),
        visitor.complete(),
        visitor.open("/auth/account"),
        visitor.open("/auth/logout"),
        visitor.open("/auth/signed-out"),
        visitor.open("/auth/nothing-here"),
        visitor.open("/auth/me"),
    ]
    for answer in pages:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        if answer.headers.get("content-type", "").startswith("text/html"):
            policy = answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy


def test_A35_query_parameters_of_the_callback_go_nowhere(visitor: Visitor, pat: Any) -> None:
    """The code leaves the address bar at once: the answer is a redirect without it."""
    answer = visitor.sign_in_as(pat, next="/reports")
    assert dict(parse_qsl(urlsplit(answer.headers["location"]).query)) == {}
    assert answer.content == b""
