"""Nothing a visitor sends makes a 500, a traceback, or a server that stops answering."""

from __future__ import annotations

import itertools
import logging
import random
import socket
from urllib.parse import urlsplit

import pytest

from walks.site import Site
from walks.visitor import Visitor

PATHS = [
    "/auth",
    "/auth/",
    "/auth/login",
    "/auth/entra/start",
    "/auth/entra/callback",
    "/auth/entra/logout",
    "/auth/logout",
    "/auth/signed-out",
    "/auth/me",
    "/auth/account",
    "/auth/../auth/login",
    "/auth//login",
    "/auth/login%00",
    "/auth/%ff%fe",
    "/auth/l%C3%B6gin",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//evil.test/auth/login",
    "/healthz",
    "/readyz",
    "/",
]
QUERIES = [
    "",
    "?",
    "?&&&=&=",
    "?state=%00&code=%ff",
    "?" + "a=1&" * 200,
    "?next=%ff%fe%00&prompt=none&prompt=x",
    "?state[]=1&code[]=2",
    "?%73tate=x&%63ode=y",
    "?error=%f0%9f%92%a9&state=" + "s" * 500,
    "?sid=%ed%a0%80",
    "?state=x;code=y",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "PATCH", "DELETE", "TRACE", "BREW"]
BODIES = [
    ("application/x-www-form-urlencoded", b"state=x&code=y&" + b"\xff\x00=\xfe"),
    ("application/x-www-form-urlencoded", b"a=1&" * 500),
    ("application/x-www-form-urlencoded; charset=utf-16", "state=x".encode("utf-16")),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--"),
    ("application/json", b'{"state": "x", "code"'),
    ("text/plain", b"\x00" * 1_000),
    ("", b"state=x&code=y"),
]
HEADERS = [
    {},
    {"Cookie": "entrada_session=\xff\xfe; entrada_pending_\xe9=\x01"},
    {"Cookie": "; ".join(f"entrada_pending_{n:010d}=x" for n in range(60))},
    {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Host": "\xe9vil:99999"},
    {"Sec-Fetch-Mode": "navigate, navigate", "Origin": "null, null"},
    {"Content-Encoding": "gzip", "Transfer-Encoding-X": "chunked"},
]


@pytest.mark.parametrize("seed", range(4))
def test_odd_requests(seed: int, visitor: Visitor, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Odd paths, queries, methods, bodies and headers, two hundred at a time: never a 500."""
    chance = random.Random(seed)
    port = urlsplit(site.address).port or 0
    combinations = list(itertools.product(PATHS, QUERIES, METHODS, HEADERS))
    with caplog.at_level(logging.ERROR):
        for path, query, method, headers in chance.sample(combinations, 200):
            content_type, body = chance.choice(BODIES) if method in ("POST", "PUT", "PATCH") else ("", b"")
            status = raw_request(port, method, path + query, headers, content_type, body)
            assert status in range(200, 500) or status == 503, (method, path, query, headers)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert visitor.open("/auth/login").status_code == 200


def raw_request(
    port: int, method: str, target: str, headers: dict[str, str], content_type: str, body: bytes
) -> int:
    """The status of a request written byte for byte; what no client library would send included."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {"Host": f"localhost:{port}", **headers}.items()]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + body)
        answer = b""
        while b"\r\n" not in answer and (chunk := connection.recv(4096)):
            answer += chunk
    return int(answer.split(b" ", 2)[1])


def test_form_that_is_too_large(visitor: Visitor) -> None:
    """A body larger than any answer of Entra's is refused, whether it says so or not."""
    large = {"state": "x", "code": "y" * 200_000}
    for path in ("/auth/entra/callback", "/auth/logout"):
        assert 400 <= visitor.post(path, large).status_code < 500


def test_client_that_goes_away(visitor: Visitor, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A browser that closes in the middle of a form leaves nothing behind and disturbs nobody."""
    port = urlsplit(site.address).port or 0
    head = (
        f"POST /auth/logout HTTP/1.1\r\nHost: localhost:{port}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nstate="
    )
    with caplog.at_level(logging.ERROR):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(head.encode())
        assert visitor.open("/auth/login").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_query_of_a_megabyte(visitor: Visitor, site: Site) -> None:
    """A query of a megabyte is answered like any other nonsense."""
    port = urlsplit(site.address).port or 0
    assert raw_request(port, "GET", "/auth/login?next=/" + "a" * 1_000_000, {}, "", b"") < 500
    assert visitor.open("/auth/login").status_code == 200
