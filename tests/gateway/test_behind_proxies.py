"""The gateway behind each real proxy, configured as the documentation shows, and by itself (D1–D12)."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.emulator import RunningEmulator
from house import tools
from walks.site import Site
from walks.visitor import SCRIPT, Visitor

from .conftest import entrada_behind
from .proxies import STARTS
from .raw_requests import connected, cookie_of, fields_of, head_of, raw_request
from .test_identity import OURS, spelled
from .upstream import Upstream


def test_a_form_without_a_session_gets_the_page_that_helps_to_send_it_again(
    visitor: Visitor, upstream: Upstream
) -> None:
    """The person reads that it was not sent, under our policy; the application hears nothing of it."""
    answer = visitor.post("/orders", {"text": "much work"})
    assert answer.status_code == 401
    assert "Your form was not sent" in answer.text
    assert answer.text.rstrip().endswith("</html>")
    assert "style-src" in answer.headers["content-security-policy"]
    assert upstream.requests == []


def test_somebody_without_the_role_reads_who_they_are_and_who_can_help(
    vi: Visitor, upstream: Upstream
) -> None:
    """403 as a page for a person, as JSON for a script; a closed page says so."""
    page = vi.open("/admin/users")
    assert page.status_code == 403
    assert "This page is for people with the role Admin." in page.text
    assert "Vi Hart" in page.text
    assert "Your administrator can fix this" in page.text
    assert vi.fetch("/admin/users").json()["error"] in ("forbidden", "role_required")
    assert upstream.requests == []


def test_a_refused_path_is_a_page_for_a_person(vi: Visitor, upstream: Upstream) -> None:
    """What two readers could take differently is refused with a sentence and a way on."""
    page = vi.open("/a%5cb")
    assert page.status_code in (400, 403)
    assert "more than one way" in page.text
    assert 'href="/">Go to the' in page.text
    assert upstream.requests == []


def test_a_page_visit_goes_to_sign_in_and_back_to_the_page(
    visitor: Visitor, emulator: RunningEmulator
) -> None:
    """A deep link with a query is kept through the whole sign-in, and the application is told who it is."""
    away = visitor.open("/reports?year=2026&x=a%20b")
    assert away.status_code == 303
    assert away.headers["location"] == "/auth/login?next=/reports%3Fyear%3D2026%26x%3Da%2520b"
    visitor.sign_in_as("ada@contoso.test", "/reports?year=2026&x=a%20b")
    told = visitor.open("/reports?year=2026&x=a%20b").json()
    fields = fields_of(told)
    assert told["target"] == "/reports?year=2026&x=a%20b"
    assert fields["x-forwarded-email"] == "ada@contoso.test"
    assert fields["x-forwarded-groups"] == "Admin"
    assert len(fields["x-forwarded-user"]) == 36


def test_a_script_gets_401_and_the_application_hears_nothing(visitor: Visitor, upstream: Upstream) -> None:
    """No redirect for what no person sees; nothing reaches the application."""
    refused = visitor.fetch("/api/data")
    assert (refused.status_code, refused.json()["error"]) == (401, "login_required")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"):
        assert visitor.fetch("/api/data", method).status_code == 401
    assert upstream.requests == []


def test_rules_by_path_and_role(ada: Visitor, http: httpx.Client, behind_proxy: Site) -> None:
    """A public path for everybody, an administrators' path for one of the two."""
    stranger, vi = Visitor(behind_proxy, http), Visitor(behind_proxy, http)
    vi.sign_in_as("vi@contoso.test")
    assert stranger.fetch("/status").status_code == 200
    assert [who.fetch("/admin/users").status_code for who in (stranger, vi, ada)] == [401, 403, 200]
    assert [who.fetch("/").status_code for who in (stranger, vi, ada)] == [401, 200, 200]


def test_methods_and_bodies_reach_the_application_as_they_are(ada: Visitor, upstream: Upstream) -> None:
    """The check changes neither; HEAD is answered without a body."""
    assert ada.fetch("/reports", "HEAD").content == b""
    assert ada.fetch("/reports", "PUT", body={"a": 1}).status_code == 200
    assert [(told["method"], told["body"]) for told in upstream.requests] == [
        ("HEAD", ""),
        ("PUT", '{"a":1}'),
    ]


@pytest.mark.parametrize("path", ["/status", "/reports"])
def test_d1_d1b_no_spelling_of_an_identity_field_reaches_the_application(
    path: str, vi: Visitor, behind_proxy: Site, upstream: Upstream
) -> None:
    """On a public path and a protected one: what a client writes itself is cleared or replaced."""
    cookie = cookie_of(vi)
    for name in OURS:
        for number, spelling in enumerate(spelled(name)):
            line = f"{spelling.decode()}: admin"
            status = raw_request(behind_proxy, f"GET {path}?{number} HTTP/1.1", line, cookie=cookie)
            assert status in (200, 400)
    assert len(upstream.requests) > len(OURS) * 10
    for request in upstream.requests:
        assert not [field for field in request["fields"] if field[1] == "admin"]
        assert fields_of(request).get("x-forwarded-email") == ("vi@contoso.test")


def test_d1c_a_field_that_nobody_has_is_cleared_on_a_public_path(
    visitor: Visitor, upstream: Upstream
) -> None:
    """Nobody is signed in: no identity field of the client's own gets through."""
    visitor.fetch("/status", x_forwarded_user="admin", x_forwarded_email="a@b")
    fields = fields_of(upstream.requests[-1])
    assert not fields.get("x-forwarded-user")
    assert not fields.get("x-forwarded-email")


@pytest.mark.parametrize(
    "name",
    [
        "X-Original-URI",
        "X-Original-Method",
        "X-Original-Host",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
    ],
)
def test_d3_a_client_chooses_no_other_path(name: str, visitor: Visitor, upstream: Upstream) -> None:
    """The proxy says where the request goes; what the client says of it is replaced or not looked at."""
    value = "OPTIONS" if name.endswith("Method") else "/status"
    assert visitor.send("GET", "/admin", {**SCRIPT, name: value}).status_code in (401, 403)
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "SCRIPT_NAME"])
def test_d3_no_other_path_reaches_the_application(name: str, visitor: Visitor, upstream: Upstream) -> None:
    """Some frameworks believe it, and would answer for a path that nobody was asked about."""
    assert visitor.send("GET", "/status", {**SCRIPT, name: "/admin"}).status_code == 200
    (request,) = upstream.requests
    assert name.lower() not in fields_of(request)


RAW = [
    "//status",
    "/status/../admin",
    "/status/%2e%2e/admin",
    "/status/..%2fadmin",
    "/status;/../admin",
    "/status%00/admin",
    "/status\\..\\admin",
    "/ADMIN",
    "/admin%2f",
    "/%61dmin/..;/status",
    "/status%23/../admin",
]


@pytest.mark.parametrize("target", RAW, ids="D5 {}".format)
def test_d5_d5b_a_path_with_two_readings_reaches_nobody(
    target: str, vi: Visitor, behind_proxy: Site, upstream: Upstream
) -> None:
    """Signed in or not, it is refused by us or by the proxy itself."""
    assert raw_request(behind_proxy, f"GET {target} HTTP/1.1", cookie=cookie_of(vi)) in (400, 403)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "line", ["TRACE / HTTP/1.1", "CONNECT /status HTTP/1.1", "BREW / HTTP/1.1", "get / HTTP/1.1"]
)
def test_d8_an_odd_method_is_no_way_in(line: str, behind_proxy: Site, upstream: Upstream) -> None:
    """Refused by the proxy or by us, never passed on."""
    upstream.requests.clear()
    assert raw_request(behind_proxy, line) in (400, 401, 403, 404, 405, 501)
    assert upstream.requests == []


def test_d12_a_websocket_without_a_session_is_refused_before_the_upgrade(
    ada: Visitor, behind_proxy: Site
) -> None:
    """401 instead of 101; with a session the bytes go both ways."""
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    upgrade += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    assert raw_request(behind_proxy, "GET /socket HTTP/1.1", *upgrade) == 401
    with connected(behind_proxy) as link:
        link.sendall(head_of(behind_proxy, "GET /socket HTTP/1.1", *upgrade, cookie=cookie_of(ada)))
        answer = link.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 101")
        link.sendall(b"hello")
        assert link.recv(65_536) == b"hello"


def test_k15_a_page_of_another_site_opens_no_socket(
    ada: Visitor, behind_proxy: Site, upstream: Upstream
) -> None:
    """With her cookie and another site's Origin it is 403; with this site's it opens."""
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    upgrade += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    line, cookie = "GET /socket HTTP/1.1", cookie_of(ada)
    elsewhere = [*upgrade, "Origin: https://elsewhere.test"]
    assert raw_request(behind_proxy, line, *elsewhere, cookie=cookie) == 403
    assert upstream.requests == []
    here = [*upgrade, f"Origin: {behind_proxy.public_url}"]
    assert raw_request(behind_proxy, line, *here, cookie=cookie) == 101


def test_events_arrive_one_by_one(ada: Visitor, http: httpx.Client, behind_proxy: Site) -> None:
    """Server-sent events come through as they are sent."""
    headers = {"cookie": cookie_of(ada), "host": httpx.URL(behind_proxy.public_url).netloc.decode()}
    headers["accept"] = "text/event-stream"
    with http.stream("GET", behind_proxy.address + "/events", headers=headers) as answer:
        chunks = [chunk for chunk in answer.iter_text() if chunk]
    assert "".join(chunks) == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert len(chunks) > 1


def test_after_signing_out_the_next_request_is_refused(ada: Visitor) -> None:
    """The session's end is the end of access at the proxy, too."""
    assert ada.fetch("/reports").status_code == 200
    ada.sign_out()
    assert ada.fetch("/reports").status_code == 401


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("nginx", 500),
        ("caddy", 502),
        ("haproxy", 503),
        pytest.param("envoy", 403, marks=[pytest.mark.heavy, pytest.mark.timeout(300)]),
    ],
)
def test_d11_while_entrada_does_not_answer_nobody_passes(
    name: str, status: int, upstream: Upstream, tmp_path: Path
) -> None:
    """Public paths included; the application hears nothing."""
    upstream.requests.clear()
    port = tools.free_port()
    with ExitStack() as stack:
        nobody = f"127.0.0.1:{tools.free_port()}"
        STARTS[name](stack, tmp_path, port, nobody, f"127.0.0.1:{upstream.port}")
        for path in ("/status", "/reports"):
            url = f"http://127.0.0.1:{port}{path}"
            assert httpx.get(url, headers={"host": "localhost"}, trust_env=False).status_code == status
    assert upstream.requests == []


# What Traefik 3.7 writes to ForwardAuth's address for a visit: the client's own fields are copied, hop-by-hop
# ones are left out, and the X-Forwarded fields are its own.
# Source: Traefik, pkg/middlewares/auth/forward.go.
TRAEFIK = (
    b"GET /auth/traefik HTTP/1.1\r\n"
    b"Host: 127.0.0.1:8000\r\n"
    b"User-Agent: Mozilla/5.0\r\n"
    b"Accept: text/html,application/xhtml+xml\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Cookie: a=b\r\n"
    b"Sec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"X-Forwarded-For: 203.0.113.7\r\n"
    b"X-Forwarded-Host: localhost\r\n"
    b"X-Forwarded-Method: %s\r\n"
    b"X-Forwarded-Port: 443\r\n"
    b"X-Forwarded-Proto: https\r\n"
    b"X-Forwarded-Server: edge\r\n"
    b"X-Forwarded-Uri: %s\r\n"
    b"X-Real-Ip: 203.0.113.7\r\n"
    b"%s"
    b"\r\n"
)


@pytest.fixture(scope="module")
def entrada(emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with entrada_behind(emulator, tmp_path_factory.mktemp("traefik"), 443) as site:
        yield site


@pytest.mark.parametrize(
    ("method", "target", "status", "location"),
    [
        (b"GET", b"/status", 200, None),
        (b"GET", b"/reports?a=%20b", 303, "/auth/login?next=/reports%3Fa%3D%2520b"),
        (b"POST", b"/reports", 401, None),
        (b"GET", b"/status/..%2fadmin", 400, None),
        (b"CONNECT", b"/status", 400, None),
        (b"HEAD", b"/status", 200, None),
        (b"GET", b"/status?x=/../admin", 200, None),
        (b"OPTIONS", b"/reports", 401, None),
        (b"GET", b"/status;x=1/../admin", 400, None),
        (b"GET", b"//admin", 400, None),
        (b"GET", b"/ADMIN", 400, None),
    ],
)
def test_traefik_s_request_replayed(
    method: bytes, target: bytes, status: int, location: str | None, entrada: Site
) -> None:
    """Byte for byte as ForwardAuth writes it, to the server that the documentation's settings make."""
    parts = urlsplit(entrada.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as link:
        link.sendall(TRAEFIK % (method, target, b""))
        response = http.client.HTTPResponse(link)
        response.begin()
        assert (response.status, response.getheader("location")) == (status, location)


@pytest.mark.parametrize(
    "line",
    [
        b"X_Forwarded_Uri: /status",
        b"X.Forwarded.Uri: /status",
        b"X-Original-Uri: /status",
        b"X-Original-Method: GET",
        b"X-Rewrite-Url: /status",
        b"X_Forwarded_Method: GET",
        b"Forwarded: host=localhost;proto=https",
        b"X-Forwarded-Uri: /status",
        b"X-Forwarded-Method: GET",
    ],
    ids="D3 {}".format,
)
def test_d3_d1b_what_a_client_wrote_beside_traefik_s_fields_decides_nothing(
    line: bytes, entrada: Site
) -> None:
    """Fields that Traefik passes on in the check, and its own a second time: never a yes."""
    parts = urlsplit(entrada.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as link:
        link.sendall(TRAEFIK % (b"POST", b"/admin", line + b"\r\n"))
        response = http.client.HTTPResponse(link)
        response.begin()
        assert response.status in (400, 401, 403)
