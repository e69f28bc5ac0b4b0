"""Forward auth behind a real nginx, configured as the documentation shows (D1, D3, D5, D8, D12)."""

from __future__ import annotations

import http.client
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from entrada.emulator import RunningEmulator
from walks.site import Site
from walks.visitor import SCRIPT, Visitor

from .test_identity import OURS, spelled
from .upstream import Upstream


@pytest.fixture
def visitor(behind_nginx: Site, http: httpx.Client, upstream: Upstream) -> Visitor:
    upstream.requests.clear()
    return Visitor(behind_nginx, http)


@pytest.fixture
def ada(visitor: Visitor, emulator: RunningEmulator) -> Visitor:
    assert visitor.sign_in_as("ada@contoso.test", "/reports").headers["location"] == "/reports"
    return visitor


@pytest.fixture
def vi(visitor: Visitor, emulator: RunningEmulator) -> Visitor:
    visitor.sign_in_as("vi@contoso.test")
    return visitor


def fields_of(request: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in request["fields"]}


def cookie_of(visitor: Visitor) -> str:
    return visitor.jar.header("localhost", secure=False, from_another_site=False)


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


def test_a_form_without_a_session_gets_the_page_that_helps_to_send_it_again(
    visitor: Visitor, upstream: Upstream
) -> None:
    """nginx keeps the method; the person reads that it was not sent, and the application hears nothing."""
    answer = visitor.post("/orders", {"text": "much work"})
    assert answer.status_code == 401
    assert "Your form was not sent" in answer.text
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
    assert vi.fetch("/admin/users").json()["error"] == "forbidden"
    assert upstream.requests == []


def test_a_refused_path_is_a_page_for_a_person(vi: Visitor, upstream: Upstream) -> None:
    """What two readers could take differently is refused with a sentence and a way on."""
    page = vi.open("/a%5cb")
    assert page.status_code in (400, 403)
    assert "more than one way" in page.text
    assert 'href="/">Go to the' in page.text
    assert upstream.requests == []


def test_a_script_gets_401_and_the_application_hears_nothing(visitor: Visitor, upstream: Upstream) -> None:
    """No redirect for what no person sees; nothing reaches the application."""
    refused = visitor.fetch("/api/data")
    assert (refused.status_code, refused.json()["error"]) == (401, "login_required")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert visitor.fetch("/api/data", method).status_code == 401
    assert upstream.requests == []


def test_rules_by_path_and_role(ada: Visitor, http: httpx.Client, behind_nginx: Site) -> None:
    """A public path for everybody, an administrators' path for one of the two."""
    stranger, vi = Visitor(behind_nginx, http), Visitor(behind_nginx, http)
    vi.sign_in_as("vi@contoso.test")
    assert stranger.fetch("/healthz").status_code == 200
    assert [who.fetch("/admin/users").status_code for who in (stranger, vi, ada)] == [401, 403, 200]
    assert [who.fetch("/").status_code for who in (stranger, vi, ada)] == [401, 200, 200]


@pytest.mark.parametrize("path", ["/healthz", "/reports"])
def test_d1_no_spelling_of_an_identity_field_reaches_the_application(
    path: str, vi: Visitor, behind_nginx: Site, upstream: Upstream
) -> None:
    """On a public path and a protected one: what a client writes itself is cleared or replaced."""
    names = [name for name in OURS if name.startswith("X-Forwarded-")]
    for name in names:
        for spelling in spelled(name):
            if b"|" in spelling or b"`" in spelling:
                continue  # http.client refuses them itself
            headers = {**SCRIPT, spelling.decode(): "admin", "cookie": cookie_of(vi)}
            vi.send("GET", path, headers)
    assert upstream.requests
    for request in upstream.requests:
        assert not [value for _, value in request["fields"] if value == "admin"]


def test_d1c_a_field_that_nobody_has_is_cleared_on_a_public_path(
    visitor: Visitor, upstream: Upstream
) -> None:
    """Nobody is signed in: no identity field of the client's own gets through."""
    visitor.fetch("/healthz", x_forwarded_user="admin", x_forwarded_email="a@b")
    assert not {"x-forwarded-user", "x-forwarded-email"} & fields_of(upstream.requests[-1]).keys()


@pytest.mark.parametrize(
    "name",
    [
        "X-Original-URI",
        "X-Original-Method",
        "X-Original-Host",
        "X-Forwarded-Uri",
        "X-Original-URL",
        "X-Rewrite-URL",
    ],
)
def test_d3_a_client_chooses_no_other_path(name: str, visitor: Visitor, upstream: Upstream) -> None:
    """nginx says where the request goes; what the client says of it is replaced or not looked at."""
    assert visitor.send("GET", "/admin", {**SCRIPT, name: "/healthz"}).status_code == 401
    assert upstream.requests == []


RAW = [
    "//healthz",
    "/healthz/../admin",
    "/healthz/%2e%2e/admin",
    "/healthz/..%2fadmin",
    "/healthz;/../admin",
    "/healthz%00/admin",
    "/healthz\\..\\admin",
    "/ADMIN",
    "/admin%2f",
    "/%61dmin/..;/healthz",
    "/healthz%23/../admin",
]


@pytest.mark.parametrize("target", RAW, ids="D5 {}".format)
def test_d5_a_path_with_two_readings_reaches_nobody(
    target: str, vi: Visitor, behind_nginx: Site, upstream: Upstream
) -> None:
    """Signed in or not, it is 403 (or nginx's own 400)."""
    status = raw_request(behind_nginx, f"GET {target} HTTP/1.1", cookie=cookie_of(vi))
    assert status in (400, 403)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "line", ["TRACE / HTTP/1.1", "CONNECT /healthz HTTP/1.1", "BREW / HTTP/1.1", "get / HTTP/1.1"]
)
def test_d8_an_odd_method_is_no_way_in(line: str, behind_nginx: Site, upstream: Upstream) -> None:
    """Refused by nginx or by us, never passed on."""
    assert raw_request(behind_nginx, line) in (400, 401, 403, 405, 501)
    assert upstream.requests == []


def test_d12_a_websocket_without_a_session_is_refused_before_the_upgrade(
    visitor: Visitor, ada: Visitor, behind_nginx: Site
) -> None:
    """401 instead of 101; with a session the bytes go both ways."""
    upgrade = ["Upgrade: echo", "Connection: Upgrade"]
    assert raw_request(behind_nginx, "GET /socket HTTP/1.1", *upgrade) == 401
    with connected(behind_nginx) as link:
        link.sendall(head_of(behind_nginx, "GET /socket HTTP/1.1", *upgrade, cookie=cookie_of(ada)))
        answer = link.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 101")
        link.sendall(b"hello")
        assert link.recv(65_536) == b"hello"


def test_events_arrive_one_by_one(ada: Visitor, http: httpx.Client, behind_nginx: Site) -> None:
    """Server-sent events come through as they are sent."""
    with http.stream(
        "GET", behind_nginx.address + "/events", headers={"cookie": cookie_of(ada), "host": "localhost"}
    ) as answer:
        chunks = [chunk for chunk in answer.iter_text() if chunk]
    assert "".join(chunks) == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert len(chunks) > 1


def test_after_signing_out_the_next_request_is_refused(ada: Visitor) -> None:
    """The session's end is the end of access at nginx, too."""
    assert ada.fetch("/reports").status_code == 200
    ada.sign_out()
    assert ada.fetch("/reports").status_code == 401


def test_d3_the_address_of_the_check_tells_a_client_nothing(behind_nginx: Site) -> None:
    """Asked from outside, nginx hands it to us without the three fields, and it lets nobody through."""
    answer = httpx.get(behind_nginx.address + "/auth/nginx", headers={"host": "localhost"}, trust_env=False)
    assert answer.status_code == 403
    assert "x-original" in answer.json()["message"]


def head_of(site: Site, line: str, *fields: str, cookie: str = "") -> bytes:
    host = urlsplit(site.public_url).netloc
    lines = [line, f"Host: {host}", *fields, *([f"Cookie: {cookie}"] if cookie else []), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def connected(site: Site) -> socket.socket:
    parts = urlsplit(site.address)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def raw_request(site: Site, line: str, *fields: str, cookie: str = "") -> int:
    """The status of a request whose bytes no client library would write."""
    with connected(site) as link:
        link.sendall(
            head_of(site, line, "Accept: application/json", "Sec-Fetch-Mode: cors", *fields, cookie=cookie)
        )
        response = http.client.HTTPResponse(link)
        response.begin()
        return response.status
