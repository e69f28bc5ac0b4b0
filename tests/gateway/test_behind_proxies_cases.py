"""Cases of the catalogue against the gateway behind each real proxy, and by itself (D2 to D20, E1, F4, G)."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest

from emulator.relying_party import Entra
from entrada.emulator.seed import CLIENT_ID
from walks.site import Site
from walks.visitor import SCRIPT, Visitor

from .conftest import SCOPE
from .raw_requests import cookie_of, fields_of, head_of, sent_raw
from .upstream import Upstream

IDENTITY = ("x-forwarded-user", "x-forwarded-email", "x-forwarded-preferred-username", "x-forwarded-groups")


def told(request: object) -> set[str]:
    fields = fields_of(request)  # type: ignore[arg-type]  # what the upstream noted
    return {name for name in IDENTITY if fields.get(name)}


@pytest.mark.parametrize("name", ["Connection", "connection"])
@pytest.mark.parametrize("spelt", [str, str.lower, str.upper])
def test_d2_connection_takes_no_identity_away(
    name: str,
    spelt: type[str],
    vi: Visitor,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """A client names our fields as its hop's own: the application is told all the same, or nothing comes."""
    named = ", ".join(spelt(one) for one in IDENTITY)
    for line in (f"{name}: {named}", f"{name}: close, {named}"):
        head = head_of(behind_proxy, "GET /reports HTTP/1.1", line, cookie=cookie_of(vi))
        assert sent_raw(behind_proxy, head) in (200, 400)
    for request in upstream.requests:
        assert told(request) == set(IDENTITY)


@pytest.mark.parametrize(
    "target",
    ["/private?x=/status", "/private#/status", "/private%23/status", "/private;/status", "/status#/.."],
)
def test_d4_a_public_path_in_a_query_or_fragment_opens_nothing(
    target: str,
    visitor: Visitor,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """Rules see the path alone; where a fragment begins is not guessed."""
    status = sent_raw(behind_proxy, head_of(behind_proxy, f"GET {target} HTTP/1.1", *_of_script()))
    assert status in (400, 401, 403) or (target.startswith("/status#") and status == 200)
    for request in upstream.requests:
        assert request["target"] == "/status"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/private", "localhost/status?x="),
        ("/private", "localhost@status"),
        ("/private", "localhost#/status"),
        ("@localhost/status", "localhost"),
        ("http://localhost/status@localhost/private", "localhost"),
        ("/private", "/status"),
    ],
)
def test_d6_a_host_is_no_part_of_a_path(
    target: str,
    host: str,
    visitor: Visitor,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """Nothing that a client writes into Host becomes a path that is public."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *_of_script(), "", ""]
    assert sent_raw(behind_proxy, "\r\n".join(lines).encode()) not in (200, 101, 500)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "agent",
    ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Uptime-Kuma/1.23", "Go-http-client/1.1"],
)
def test_d7_a_health_checker_s_name_opens_nothing(
    agent: str,
    visitor: Visitor,
    upstream: Upstream,
) -> None:
    """User-Agent decides nothing, on no path."""
    for path in ("/", "/admin", "/ping", "/ready", "/metrics"):
        assert visitor.send("GET", path, {**SCRIPT, "user-agent": agent}).status_code in (200, 401, 404)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "line",
    [
        "GET /admin",
        "GET  /admin HTTP/1.1",
        "GET /admin HTTP/1.1 x",
        "GET /admin HTTP/9.9",
        "GET\t/admin HTTP/1.1",
        "\x00GET /admin HTTP/1.1",
        " GET /admin HTTP/1.1",
        "GET /admin /status HTTP/1.1",
        "/admin HTTP/1.1",
        "GET /ad\x01min HTTP/1.1",
        "",
    ],
)
def test_d9_a_malformed_request_line_passes_nothing(
    line: str,
    visitor: Visitor,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """An error or the end of the connection, never 200."""
    assert sent_raw(behind_proxy, head_of(behind_proxy, line, *_of_script())) in (
        0,
        400,
        401,
        403,
        404,
        426,
        505,
    )
    assert upstream.requests == []


HIDDEN = b"GET /admin/hidden HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Email: ada@contoso.test\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        pytest.param(["Content-Length: 4", "Transfer-Encoding: chunked"], CHUNKED, id="TE.CL"),
        pytest.param(
            [f"Content-Length: {len(HIDDEN) + 5}", "Transfer-Encoding: chunked"],
            b"0\r\n\r\n" + HIDDEN,
            id="CL.TE",
        ),
        pytest.param(["Content-Length: 0", f"Content-Length: {len(HIDDEN)}"], HIDDEN, id="two lengths"),
        pytest.param(["Transfer-Encoding: \x0bchunked"], CHUNKED, id="an odd coding"),
        pytest.param(["Transfer-Encoding : chunked"], CHUNKED, id="a blank before the colon"),
        pytest.param(["Transfer_Encoding: chunked", "Content-Length: 4"], CHUNKED, id="folded"),
        pytest.param(["X-Note: a\n Transfer-Encoding: chunked"], CHUNKED, id="bare LF"),
        pytest.param(["Transfer-Encoding:\r\n chunked"], CHUNKED, id="obs-fold"),
        pytest.param(["Content-Length: +4"], CHUNKED, id="a sign"),
        pytest.param(["Transfer-Encoding: chunked"], b"0;\n\r\n\r\n" + HIDDEN, id="LF in a chunk extension"),
    ],
)
def test_d10_a_request_hidden_in_a_body_is_none(
    lines: list[str],
    body: bytes,
    vi: Visitor,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """However two readers count its length: nobody gets to /admin, and the next request is answered."""
    head = head_of(behind_proxy, "POST /reports HTTP/1.1", *lines, *_of_script(), cookie=cookie_of(vi))
    sent_raw(behind_proxy, head + body, patience=0.3)
    for _ in range(3):
        assert vi.fetch("/next").json()["target"] == "/next"
    assert {request["target"] for request in upstream.requests} <= {"/reports", "/next"}
    for request in upstream.requests:
        assert fields_of(request)["x-forwarded-email"] == "vi@contoso.test"


def test_d10b_connect_with_a_body_passes_nothing(
    vi: Visitor,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """Not the request, and nothing that stands in its body."""
    for target in ("/status", "localhost:80", "/reports"):
        for lines in ([f"Content-Length: {len(HIDDEN)}"], ["Transfer-Encoding: chunked"]):
            head = head_of(behind_proxy, f"CONNECT {target} HTTP/1.1", *lines, cookie=cookie_of(vi))
            body = HIDDEN if "Length" in lines[0] else CHUNKED
            assert sent_raw(behind_proxy, head + body, patience=0.3) in (0, 400, 403, 404, 405, 411, 501)
    assert upstream.requests == []


def test_d17_what_was_decided_for_one_is_not_told_to_another(
    ada: Visitor,
    http: httpx.Client,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """The same paths in turns, over the same connections: each is told, and let in, as themselves."""
    vi, stranger = Visitor(behind_proxy, http), Visitor(behind_proxy, http)
    vi.sign_in_as("vi@contoso.test")
    for _ in range(5):
        for who, email, admin in ((ada, "ada@", 200), (vi, "vi@", 403), (stranger, "", 401)):
            answer = who.fetch("/reports")
            assert (answer.status_code == 200) == bool(email)
            if email:
                assert fields_of(answer.json())["x-forwarded-email"] == f"{email}contoso.test"
            assert who.fetch("/admin").status_code == admin
            public = fields_of(who.fetch("/status").json())
            assert public.get("x-forwarded-email", "") == (f"{email}contoso.test" if email else "")


def test_d18_a_preflight_passes_only_where_everybody_does(
    visitor: Visitor,
    upstream: Upstream,
) -> None:
    """OPTIONS is a method like any other, and carries no identity of the client's own."""
    asked = {
        "origin": "https://elsewhere.test",
        "access-control-request-method": "DELETE",
        "x-forwarded-user": "admin",
        "x-forwarded-email": "admin@contoso.test",
    }
    assert visitor.send("OPTIONS", "/reports", {**SCRIPT, **asked}).status_code == 401
    assert upstream.requests == []
    assert visitor.send("OPTIONS", "/status", {**SCRIPT, **asked}).status_code == 200
    assert told(upstream.requests[-1]) == set()


def test_d19_a_refusal_tells_the_application_nothing(
    vi: Visitor,
    upstream: Upstream,
) -> None:
    """Not even to draw its page: neither the cookie nor Authorization of a refused request arrives."""
    secret = {**SCRIPT, "authorization": "Basic c2VjcmV0OnNlY3JldA=="}
    for path, status in (("/admin", 403), ("//", 400), ("/auth/nowhere", 404)):
        answer = vi.send("GET", path, secret)
        assert answer.status_code in (status, 403)
        assert "c2VjcmV0" not in answer.text
    assert upstream.requests == []


def test_d20_giant_heads_are_refused_and_others_served(
    vi: Visitor,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """A long address, a long field, a thousand of them, a long cookie: 4xx, and the next one is served."""
    many = [f"X-F{number}: {'a' * 80}" for number in range(1_000)]
    for line, fields in (
        (f"GET /{'a' * 70_000} HTTP/1.1", []),
        ("GET /reports HTTP/1.1", [f"X-Long: {'a' * 80_000}"]),
        ("GET /reports HTTP/1.1", many),
        ("GET /reports HTTP/1.1", [f"Cookie: a={'a' * 80_000}"]),
    ):
        assert sent_raw(behind_proxy, head_of(behind_proxy, line, *fields)) in (0, 400, 413, 414, 431, 401)
        assert vi.fetch("/reports").status_code == 200
    assert {request["target"] for request in upstream.requests} == {"/reports"}


@pytest.mark.parametrize(
    "target",
    ["//evil.test/", "/\\evil.test", "/%2fevil.test", "/\t/evil.test", "///evil.test", "/.//evil.test"],
)
def test_e1_a_visit_never_leads_to_another_origin(
    target: str,
    visitor: Visitor,
    behind_proxy: Site,
) -> None:
    """Where a page visit is sent to sign in or back, it is on this origin."""
    page = ["Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]
    location: list[str] = []
    sent_raw(behind_proxy, head_of(behind_proxy, f"GET {target} HTTP/1.1", *page), locations=location)
    for found in location:
        parts = urlsplit(found)
        assert parts.netloc in ("", urlsplit(behind_proxy.public_url).netloc), found
        assert "evil" not in parts.path.partition("?")[0]


def test_f4_odd_cookies_are_somebody_s_whole_or_nobody_s(
    ada: Visitor,
    http: httpx.Client,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """Two of a name, nameless, quoted, two hundred, chunks that are none: no 500, and no wrong person."""
    vi = Visitor(behind_proxy, http)
    vi.sign_in_as("vi@contoso.test")
    name = vi.cookie_name("entrada_session")
    sessions = [one.session_cookie.value for one in (ada, vi) if one.session_cookie is not None]
    hers, other = (f"{name}={value}" for value in sessions)
    for cookies in (
        f"{hers}; {other}",
        f"{hers}\r\nCookie: {other}",
        f"={hers}",
        f'"{hers}"',
        f"{name}=; {hers}",
        f"{'; '.join(f'c{number}=1' for number in range(200))}; {hers}",
        f"{name}.0={sessions[0][:10]}; {name}.9999999999={sessions[0][10:]}",
        f"{hers[:-1]}",
        f"{hers}x",
    ):
        upstream.requests.clear()
        head = head_of(behind_proxy, "GET /reports HTTP/1.1", *_of_script(), cookie=cookies)
        assert sent_raw(behind_proxy, head) in (200, 400, 401, 403), cookies
        for request in upstream.requests:
            assert told(request) == set(IDENTITY)
            assert fields_of(request)["x-forwarded-email"] in ("ada@contoso.test", "vi@contoso.test")


def test_g1_g9_g10_access_tokens_come_through(
    ada: Visitor,
    entra: Entra,
    behind_proxy: Site,
    upstream: Upstream,
) -> None:
    """A good one is its person; an ID token, one twice, one in the address or in another form is refused."""
    tokens = entra.tokens(scope=f"openid api://{CLIENT_ID}/{SCOPE}", prompt="login")
    good = f"Authorization: Bearer {tokens['access_token']}"

    def status(*lines: str, target: str = "/reports") -> int:
        return sent_raw(behind_proxy, head_of(behind_proxy, f"GET {target} HTTP/1.1", *_of_script(), *lines))

    upstream.requests.clear()
    assert status(good) == 200
    assert fields_of(upstream.requests[-1])["x-forwarded-email"] == "ada@contoso.test"
    upstream.requests.clear()
    assert status(f"Authorization: Bearer {tokens['id_token']}") == 401
    assert status(good, good) in (400, 401, 403)
    assert status(good, target="/reports?access_token=x") in (400, 403)
    for form in ("Bearer", "Bearer a b", "Bearer\ta", "Bearer a,Bearer b", "Bearer \xff", "bearer a.b.c"):
        assert status(f"Authorization: {form}") in (400, 401, 403), form
    assert upstream.requests == []


def _of_script() -> list[str]:
    return ["Accept: application/json", "Sec-Fetch-Mode: cors"]
