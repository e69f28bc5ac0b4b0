"""The fast path: the same answer as the general path to any request, however it arrives (D3, D5, D8, F4)."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrada.cli.serve import listen, server_config
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from entrada.gateway import fast_path, whole_head
from entrada.gateway.app import create_gateway, fast_checks
from entrada.gateway.fast_path import FastChecks, FastHttpProtocol
from entrada.gateway.hops import parse_trusted_hops
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile
from walks.site import Site, served, wait_until
from walks.visitor import Visitor

RULES = """
[[rules]]
path = "/public/**"
access = "public"
[[rules]]
path = "/admin/**"
roles = ["Admin"]
[[rules]]
path = "/owners/**"
roles = ["Owner"]
[[rules]]
path = "/closed"
access = "deny"
[[routes]]
path = "/remote/**"
upstream = "http://127.0.0.1:1"
identity = ["remote"]
"""
HOPS = parse_trusted_hops(["127.0.0.1"])
_DATE = re.compile(rb"\r\ndate: [^\r]*")


@dataclass(frozen=True)
class Both:
    """Two servers over one set of sessions and rules: one with the fast path and one without."""

    fast: int
    general: int
    site: Site
    checks: FastChecks
    cookie: str


@pytest.fixture(scope="module")
def both(
    emulator: RunningEmulator, http: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    book = read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(RULES), text=RULES))
    database = tmp_path_factory.mktemp("fast") / "entrada.db"
    with served(emulator, database=database) as site:
        emulator.reset()
        visitor = Visitor(site, http)
        visitor.sign_in_as("ada@contoso.test")
        app = create_gateway(site.auth, hops=HOPS, book=book)
        checks = fast_checks(site.auth, hops=HOPS, book=book)
        cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)
        with serving(app, checks) as fast, serving(app, None) as general:
            yield Both(fast=fast, general=general, site=site, checks=checks, cookie=cookie)


@contextmanager
def serving(app: Any, checks: FastChecks | None) -> Iterator[int]:
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(server_config(app, checks))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(timeout=30)


@pytest.fixture
def answered_fast(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The heads that the fast path answered itself."""
    answered: list[bytes] = []
    original = FastChecks.answer

    def noted(self: FastChecks, data: bytes, *more: Any) -> bytes | None:
        found = original(self, data, *more)
        if found is not None:
            answered.append(data)
        return found

    monkeypatch.setattr(FastChecks, "answer", noted)
    return answered


def check_of(
    both: Both, target: str = "/reports", *, address: str = "/auth/nginx", method: str = "GET", **more: str
) -> bytes:
    prefix = "x-original" if "nginx" in address or "haproxy" in address else "x-forwarded"
    fields = {
        "Host": "entrada.internal",
        f"{prefix}-method": "GET",
        f"{prefix}-host": both.site.public_url.removeprefix("http://"),
        f"{prefix}-uri": target,
        "Cookie": both.cookie,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    lines = [f"{method} {address} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def exchange(port: int, *pieces: bytes) -> bytes:
    """Everything that comes back, without the dates; the last request asks for the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        try:
            for piece in pieces:
                if piece:
                    link.sendall(piece)
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            while chunk := link.recv(65_536):
                received += chunk
        except ConnectionError:
            pass
    return _DATE.sub(b"", received)


def answers_in_turn(port: int, *requests: bytes) -> list[bytes]:
    """Each request is sent when the one before is answered, as a proxy does on a kept-alive connection."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            link.sendall(request)
            answers.append(received_answer(link))
    return answers


def received_answer(link: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += link.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length, head
    while len(body) < int(length[1]):
        body += link.recv(65_536)
    return _DATE.sub(b"", head + b"\r\n\r\n" + body)


ADDRESSES = ["/auth/nginx", "/auth/haproxy", "/auth/traefik", "/auth/caddy", "/auth/verify"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_check_of_a_live_session_takes_the_fast_path(
    address: str, both: Both, answered_fast: list[bytes]
) -> None:
    """To the byte what the general path answers, the same on the hundredth request as on the first."""
    request = check_of(both, address=address)
    (general,) = answers_in_turn(both.general, request)
    assert general.startswith(b"HTTP/1.1 200 OK\r\nx-auth-request-user: ")
    assert answers_in_turn(both.fast, *[request] * 4) == [general] * 4
    assert len(answered_fast) >= 3


@pytest.mark.parametrize("name", ["Sec_WebSocket_Key", "Upgrade"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_k15_a_proxy_hears_no_when_another_site_s_page_opens_a_socket(
    address: str, name: str, both: Both
) -> None:
    """A proxy that asks passes the handshake on: the cookie is good, the Origin is not of the host."""
    for origin, status in (("https://evil", b"403"), ("http://[", b"403"), (both.site.public_url, b"200")):
        more = {name: "websocket", "Origin": origin}
        for port in (both.fast, both.general):
            assert exchange(port, check_of(both, address=address, **more))[9:12] == status


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("/public/a", {}),
        ("/closed", {}),
        ("/owners/x", {}),
        ("/a/../b", {}),
        ("/ADMIN", {}),
        ("//x", {}),
        ("/reports", {"Cookie": ""}),
        ("/reports", {"Cookie": "a=1"}),
        ("/reports", {"Authorization": "Bearer x"}),
        ("/reports", {"X_HTTP_Method_Override": "DELETE"}),
        ("/reports", {"Expect": "100-continue"}),
        ("/reports", {"Connection": "keep-alive"}),
        ("/reports", {"Sec_WebSocket_Key": "x", "Origin": "https://evil"}),
        ("/reports", {"Upgrade": "websocket", "Origin": "https://evil"}),
        ("/reports", {"Content_Length": "0"}),
        ("/reports", {"x_original_uri ": "/public/a"}),
    ],
)
def test_what_is_unusual_takes_the_general_path(
    target: str, more: dict[str, str], both: Both, answered_fast: list[bytes]
) -> None:
    """Refusals, public paths and odd fields: answered as without the fast path, because it keeps out."""
    request = check_of(both, target, **more)
    assert exchange(both.fast, request) == exchange(both.general, request)
    assert answered_fast == []


@pytest.mark.parametrize("name", ["X_HTTP_Method_Override", "x.method.override", "X-HTTP_METHOD"])
def test_d8_d1b_a_method_in_another_spelling_takes_the_general_path(
    name: str, both: Both, answered_fast: list[bytes]
) -> None:
    """An application that folds names would take it for the field itself."""
    end = b"\r\n\r\n"
    request = check_of(both).removesuffix(end) + f"\r\n{name}: DELETE".encode() + end
    assert exchange(both.fast, request) == exchange(both.general, request)
    assert answered_fast == []


SPOILED = [
    lambda c: f"{c}; {c}",
    lambda c: c[:-1],
    lambda c: c + "x",
    lambda c: "x" + c,
    lambda c: f"a={c}",
    lambda c: c.upper(),
    lambda c: c.replace("=", "= "),
    lambda c: f"{c.partition('=')[0]}=x; {c}",
    lambda c: c.replace(".", ";"),
    lambda c: f"\t{c}",
    lambda c: f"a=1;{c}",
    lambda c: f'{c}"',
]


@pytest.mark.parametrize("spoil", SPOILED)
def test_f4_odd_cookies_are_answered_as_without(spoil: Any, both: Both) -> None:
    """Twice, cut, longer, nested, in other letters: the same answer on both paths."""
    request = check_of(both, Cookie=spoil(both.cookie.split("; ")[-1]))
    assert exchange(both.fast, request) == exchange(both.general, request)


def test_d3_a_hop_that_is_not_listed_gets_no_fast_answer(
    both: Both, emulator: RunningEmulator, answered_fast: list[bytes]
) -> None:
    """The list decides on both paths."""
    nobody = replace(both.checks, hops=parse_trusted_hops(["10.0.0.1"]))
    app = create_gateway(both.site.auth, hops=nobody.hops, book=nobody.book)
    with serving(app, nobody) as port:
        assert exchange(port, check_of(both)).startswith(b"HTTP/1.1 403")
    assert answered_fast == []


def test_an_ended_session_gets_no_fast_answer(
    both: Both, emulator: RunningEmulator, http: httpx.Client, answered_fast: list[bytes]
) -> None:
    """Signing out takes the session out of the table at once."""
    visitor = Visitor(both.site, http)
    visitor.sign_in_as("ed@contoso.test")
    cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)
    request = check_of(both, Cookie=cookie)
    first, second = answers_in_turn(both.fast, request, request)
    assert first == second
    assert second.startswith(b"HTTP/1.1 200")
    assert answered_fast
    visitor.sign_out()
    assert answers_in_turn(both.fast, request)[0].startswith(b"HTTP/1.1 401")


def test_a_repeated_head_is_taken_for_nobody_else(
    both: Both, emulator: RunningEmulator, http: httpx.Client, answered_fast: list[bytes]
) -> None:
    """The same head with another person's cookie in it is theirs; with one that no session has, nobody's."""
    visitor = Visitor(both.site, http)
    visitor.sign_in_as("ed@contoso.test")
    ed = visitor.jar.header("localhost", secure=False, from_another_site=False)
    session = re.compile(r"entrada_session_?\d*=[^;]*")
    cookies = [
        session.search(both.cookie)[0],  # type: ignore[index]  # there is one
        session.search(ed)[0],  # type: ignore[index]  # there is one
    ]
    made_up = cookies[0][:-5] + "AAAAA"
    requests = [check_of(both, "/repeated", Cookie=cookie) for cookie in (*cookies, *cookies, made_up)]
    answers = answers_in_turn(both.fast, *requests)
    assert answers == answers_in_turn(both.general, *requests)
    assert answers[0] == answers[2] != answers[1] == answers[3]
    assert answers[4].startswith(b"HTTP/1.1 401")
    assert answered_fast[-2:] == requests[2:4]


def test_new_rules_hold_for_repeated_heads(both: Both, answered_fast: list[bytes]) -> None:
    """What was decided by the rules before is not asked any more."""
    request = check_of(both, "/reload")
    checks = replace(both.checks, _known={})
    app = create_gateway(both.site.auth, hops=checks.hops, book=checks.book)
    with serving(app, checks) as port:
        answers_in_turn(port, request, request)
        assert answered_fast[-1:] == [request]
        rules = '[[rules]]\npath = "/reload"\nroles = ["Owner"]\n'
        book = read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(rules), text=rules))
        checks.change_rules(book)
        answered_fast.clear()
        answers_in_turn(port, request)
    assert answered_fast == []


def test_only_where_no_request_has_begun_another_is_read(both: Both) -> None:
    """A whole head behind a part of another is a part of that one, never a request of its own (F4)."""
    inner = check_of(both)
    outer = b"GET /closed HTTP/1.1\r\nHost: h\r\nX-Part: "
    for port in (both.fast, both.general):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n" + outer)
            assert received_answer(link).startswith(b"HTTP/1.1 200")
            link.sendall(inner)
            assert received_answer(link).startswith(b"HTTP/1.1 400")  # two Hosts


KINDS = (
    "fast fast admin public denied no_cookie two_cookies other_method head query bad_query me body twice_uri "
    "envoy long"
)
PIECES = st.sampled_from(KINDS.split())


def request_of(kind: str, both: Both) -> bytes:
    match kind:
        case "fast":
            return check_of(both)
        case "admin":
            return check_of(both, "/admin/x?y=1", address="/auth/traefik")
        case "public":
            return check_of(both, "/public/x")
        case "denied":
            return check_of(both, "/owners/x")
        case "no_cookie":
            return check_of(both, Cookie="a=b")
        case "two_cookies":
            return check_of(both).replace(b"\r\n\r\n", b"\r\ncookie: a=b\r\n\r\n")
        case "other_method":
            return check_of(both, method="POST")
        case "head":
            return check_of(both, method="HEAD")
        case "query":
            return check_of(both, address="/auth/nginx?allowed_roles=Admin,Owner")
        case "bad_query":
            return check_of(both, address="/auth/nginx?allowed_role=Admin")
        case "me":
            return check_of(both, address="/auth/logout")
        case "body":
            return check_of(both, Content_Length="5") + b"hello"
        case "twice_uri":
            return check_of(both).replace(b"\r\n\r\n", b"\r\nX-Original-URI: /public/a\r\n\r\n")
        case "envoy":
            return check_of(both, address="/auth/envoy/remote/x")
        case _:
            return check_of(both, "/" + "x" * 3000)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(PIECES, min_size=1, max_size=6), cuts=st.lists(st.integers(1, 400), max_size=12))
def test_both_paths_answer_alike_fragmented_and_pipelined_in_any_way(
    both: Both, kinds: list[str], cuts: list[int]
) -> None:
    """Any row of requests on one connection, cut anywhere: the same bytes come back from both servers."""
    data = b"".join(request_of(kind, both) for kind in kinds)
    pieces, rest = [], data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    assert exchange(both.fast, *pieces) == exchange(both.general, *pieces)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PIECES.filter(lambda kind: kind != "head"), st.integers(0, 900)), max_size=8))
def test_both_paths_answer_alike_one_request_after_the_other(
    both: Both, turns: list[tuple[str, int]]
) -> None:
    """On a kept-alive connection, each in one piece or in two: the same answer to each from both servers."""
    answers: list[list[bytes]] = [[], []]
    for port, found in zip((both.fast, both.general), answers, strict=True):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for kind, cut in turns:
                request = request_of(kind, both)
                for piece in (request[:cut], request[cut:]):
                    link.sendall(piece)
                found.append(received_answer(link))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("versions", [{"uvicorn": ((0, 1), (0, 2))}, {"httptools": ((1, 0), (2, 0))}])
def test_outside_the_tested_versions_the_server_starts_without_it_and_says_so(
    versions: Any, monkeypatch: pytest.MonkeyPatch, both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    """No fast path where nobody has tried it; one warning names the package."""
    assert isinstance(server_config(None, both.checks).http, type)
    assert issubclass(server_config(None, both.checks).http, FastHttpProtocol)  # type: ignore[arg-type]
    monkeypatch.setattr(fast_path, "TESTED", versions)
    assert not issubclass(server_config(None, both.checks).http, FastHttpProtocol)  # type: ignore[arg-type]
    assert next(iter(versions)) in caplog.text


def test_what_is_remembered_of_paths_is_bounded(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor who asks for ten thousand paths makes the server keep no more than the stated number."""
    monkeypatch.setattr(fast_path, "MOST_KNOWN", 10)
    monkeypatch.setattr(whole_head, "MOST_REMEMBERED", 10)
    checks = replace(both.checks, _known={})
    for number in range(50):
        request = check_of(both, f"/{number}", address=f"/auth/nginx?allowed_roles=Admin,{number}")
        checks.answer(request.replace(b"Host:", b"Host-%d: a\r\nHost:" % number), [])
    assert len(checks._known) == len(checks._known_heads) == len(checks._heads._lines) == 10
    assert {len(rows) for rows in checks._heads._rows.values()} == {0, 10}
    for target in ("/" + "x" * 3000, "/y"):
        checks.answer(check_of(both, target, **{"x" * 3000: "1"}), [])
    assert max(len(head) for head in checks._known_heads) < 2048
