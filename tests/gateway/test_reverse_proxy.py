"""The reverse proxy with real sockets on both sides (D1, D2, D5, D10 to D15, K15, scenario 26)."""

from __future__ import annotations

import hashlib
import http.client
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from entrada.accounts.principal import UserPrincipal
from entrada.cli.serve import listen
from entrada.compatibility import tomllib
from entrada.errors import EntradaError
from entrada.gateway.connection_limits import ConnectionLimits
from entrada.gateway.hops import TrustedHops, parse_trusted_hops
from entrada.gateway.http_protocol import limited_protocol
from entrada.gateway.reverse_proxy import ReverseProxy
from entrada.gateway.tables import read_rule_book
from entrada.gateway.tunnels import TunnelHttpProtocol, tunnels_for
from entrada.settings.tables import SettingsFile
from entrada.web.messages import WebRequest, WebResponse, json_response
from entrada.web.refusals import status_of
from walks.site import wait_until

from .callers import ada
from .upstream import Upstream, running_upstream

RULES = """
[[rules]]
path = "/public/**"
access = "public"
[[rules]]
path = "/admin/**"
roles = ["Admin"]
[[rules]]
path = "/closed"
access = "deny"
"""
GOOD = "entrada_session=good"


class Watched:
    """Sessions that tests can end."""

    def __init__(self) -> None:
        self.on_end: list[Callable[[], None]] = []

    def watch(self, _session: Any, on_end: Callable[[], None]) -> Callable[[], None]:
        self.on_end.append(on_end)
        return lambda: self.on_end.remove(on_end) if on_end in self.on_end else None

    def end_all(self) -> None:
        for on_end in list(self.on_end):
            on_end()


def session_of(visit: WebRequest) -> Any:
    """Ada's, or that of somebody without roles; by the cookie's value, as the real check would."""
    values = visit.cookies_named("entrada_session")
    value = values[0] if len(values) == 1 else ""
    if value not in ("good", "viewer"):
        return None
    person = ada()
    principal = UserPrincipal(
        user_id=person.user_id,  # type: ignore[arg-type]
        identity=SimpleNamespace(tenant_id=person.tenant_id, object_id=person.object_id),  # type: ignore[arg-type]
        name="Zoë",
        email=None,
        username="ada@contoso.test",
        roles=frozenset({"Admin"} if value == "good" else ()),
    )
    return SimpleNamespace(principal=principal, live=SimpleNamespace(principal=principal, prepared=None))


class _Server(uvicorn.Server):
    on_shutdown: Callable[[], None]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.on_shutdown()
        await super().shutdown(sockets)


@contextmanager
def proxied(
    upstream: str,
    *,
    watched: Watched | None = None,
    rules: str = RULES,
    route: str = "",
    seen: list[EntradaError] | None = None,
    **parts: Any,
) -> Iterator[int]:
    """A gateway in front of `upstream`; its port. `route` are further lines of the route.

    `seen` gets the errors that are answered.
    """
    text = f'{rules}\n[[routes]]\nupstream = "{upstream}"\nidentity = ["x-forwarded", "remote"]\n{route}'

    def failure(error: EntradaError, _: WebRequest) -> WebResponse:
        if seen is not None:
            seen.append(error)
        return json_response(status_of(error), {"error": error.code})

    proxy = ReverseProxy(
        book=read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(text), text=text)),
        hops=parts.pop("hops", TrustedHops()),
        peek=session_of,
        find=session_of,
        challenge=lambda _: json_response(401, {"error": "login_required"}),
        failure=failure,
        is_ours=lambda name: name.removeprefix("__Host-").startswith("entrada_"),
        scheme_of=lambda _: "https",
        watch=None if watched is None else watched.watch,
        **parts,
    )
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        proxy,
        http=limited_protocol(ConnectionLimits(), of=TunnelHttpProtocol),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config)
    server.on_shutdown = proxy.close
    thread = threading.Thread(target=server.run, args=([listener],), name="gateway")
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=30)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, watched: Watched) -> Iterator[int]:
    with proxied(f"http://127.0.0.1:{upstream.port}", watched=watched) as port:
        yield port


@pytest.fixture(scope="module")
def behind_proxy(upstream: Upstream) -> Iterator[int]:
    """A gateway to which the tests are a listed proxy."""
    with proxied(f"http://127.0.0.1:{upstream.port}", hops=parse_trusted_hops(["127.0.0.1"])) as port:
        yield port


@pytest.fixture(autouse=True)
def _nothing_received(upstream: Upstream) -> None:
    upstream.requests.clear()


def ask(port: int, method: str, target: str, *, cookie: str = GOOD, body: Any = None, **fields: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"host": "tool.contoso.com", **({"cookie": cookie} if cookie else {})}
    headers |= {name.replace("_", "-"): value for name, value in fields.items()}
    try:
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        data = response.read()
        return SimpleNamespace(status=response.status, headers=response.headers, data=data)
    finally:
        connection.close()


def told(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.data)
    return found


def by_name(found: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in found["fields"]}


def test_a_request_goes_to_the_upstream_as_it_was(gateway: int) -> None:
    """Method, target to the byte, Host and body; identity and where it came from beside."""
    found = told(ask(gateway, "POST", "/a%20b/c?x=%2F..;&y", body=b"hello", content_type="text/x"))
    fields = by_name(found)
    assert (found["method"], found["target"], found["body"]) == ("POST", "/a%20b/c?x=%2F..;&y", "hello")
    assert (fields["host"], fields["content-type"]) == ("tool.contoso.com", "text/x")
    assert fields["x-forwarded-user"] == fields["remote-user"] == ada().object_id
    assert fields["remote-name"] == "Zo%C3%AB"
    assert fields["x-forwarded-groups"] == "Admin"
    assert "x-forwarded-email" not in fields
    assert (fields["x-forwarded-for"], fields["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert fields["x-forwarded-host"] == "tool.contoso.com"


@pytest.mark.parametrize(
    ("target", "cookie", "status"),
    [
        ("/public/a", "", 200),
        ("/", "", 401),
        ("/", "entrada_session=bad", 401),
        ("/", GOOD + "; entrada_session=bad", 401),
        ("/", GOOD, 200),
        ("/admin/x", "entrada_session=viewer", 403),
        ("/admin/x", GOOD, 200),
        ("/closed", GOOD, 403),
        ("/public/../admin", GOOD, 400),
        ("/public/..%2fadmin", GOOD, 400),
        ("/public;x/a", "", 400),
        ("//public/a", "", 400),
        ("/PUBLIC/a", "", 400),
        ("/public/a#x", "", 400),
    ],
)
def test_the_rules_decide_before_the_upstream_hears_of_it(
    target: str, cookie: str, status: int, gateway: int, upstream: Upstream
) -> None:
    """What is refused never reaches the application (D4, D5, F4)."""
    assert ask(gateway, "GET", target, cookie=cookie).status == status
    assert len(upstream.requests) == (status == 200)


def test_d13_our_cookie_and_authorization_stay_here(gateway: int, upstream: Upstream) -> None:
    """The application gets its own cookies, not ours, and no credentials."""
    cookie = f"a=1; {GOOD}; __Host-entrada_pending_x=y; b=2"
    fields = by_name(told(ask(gateway, "GET", "/", cookie=cookie, authorization="Basic YTpi")))
    assert fields["cookie"] == "a=1;  b=2".replace("  ", " ")
    assert "authorization" not in fields
    assert "cookie" not in by_name(told(ask(gateway, "GET", "/")))


def test_d1_d2_d3_nothing_a_client_says_of_itself_gets_through(gateway: int) -> None:
    """Other spellings, named in Connection, and what only a hop may say."""
    answer = raw(
        gateway,
        b"GET /public/x HTTP/1.1\r\nHost: h\r\nX-Forwarded-User: admin\r\nx_forwarded_user: admin\r\n"
        b"X.Forwarded.Email: admin\r\nREMOTE-USER: admin\r\nX-Forwarded-For: 9.9.9.9\r\n"
        b"X-Forwarded-Uri: /admin\r\n"
        b"Connection: close, X-Forwarded-User, Host\r\nX-Entrada-Assertion: admin\r\n"
        b"X-Original-URL: /admin\r\n\r\n",
    )
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    values = dict(found["fields"])
    assert "admin" not in str(found["fields"])
    assert values["x-forwarded-for"] == "127.0.0.1"
    assert values["host"] == "h"


@pytest.mark.parametrize(
    "name",
    [
        "Transfer_Encoding",
        "Content_Length",
        "Content.Type",
        "Proxy",
        "X-WebAuth-Role",
        "x.remote.user",
        "X-Forwarded-Roles",
        "X_Forwarded_Host",
        "X_Real_IP",
    ],
)
@pytest.mark.parametrize("is_trusted", [False, True], ids=["stranger", "listed proxy"])
def test_d1b_a_field_in_another_s_spelling_is_nobody_s(
    name: str, is_trusted: bool, gateway: int, behind_proxy: int
) -> None:
    """A proxy passes on what clients send beside its own fields; readers that fold names mix them up."""
    head = f"POST /public/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n{name}: forged\r\n"
    answer = raw(behind_proxy if is_trusted else gateway, f"{head}Connection: close\r\n\r\nhi".encode())
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert "forged" not in str(found["fields"])
    assert found["body"] == "hi"


def test_d3_a_listed_proxy_s_own_line_counts_beside_the_client_s(behind_proxy: int) -> None:
    """HAProxy adds its line behind that of the client: none is lost, and the last one names the client."""
    answer = raw(
        behind_proxy,
        b"GET /public/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Forwarded-For: 6.6.6.6\r\n"
        b"X_Forwarded_Proto: gopher\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Proto: https\r\n\r\n",
    )
    fields = by_name(json.loads(answer.partition(b"\r\n\r\n")[2]))
    assert fields["x-forwarded-for"] == "6.6.6.6, 9.9.9.9, 127.0.0.1"
    assert fields["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("between", [b", ", b"\r\nTransfer-Encoding: "], ids=["one line", "two lines"])
def test_d10_a_body_coded_for_the_hop_is_refused(between: bytes, gateway: int, upstream: Upstream) -> None:
    """Passed on as chunked alone it would be another body; a list may stand in one line or in several."""
    head = b"POST /public/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip%schunked\r\n\r\n" % between
    assert raw(gateway, head + b"2\r\nhi\r\n0\r\n\r\n")[:12] == b"HTTP/1.1 403"
    assert upstream.requests == []


def test_d10_trailers_become_no_headers(gateway: int) -> None:
    """A chunked body whose trailers claim an identity, all in one packet: the body passes, they do not."""
    answer = raw(
        gateway,
        b"POST /public/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Custom: trailer\r\nX-Forwarded-User: admin\r\n"
        b"Cookie: entrada_session=good\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"trailer" not in answer
    assert b"admin" not in answer
    assert ada().object_id.encode() not in answer


@pytest.mark.parametrize(
    "head",
    [
        b"POST /public/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
        b"POST /public/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"GET /public/x HTTP/1.1\r\nHost: h\r\n X: folded\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: h\r\nX-Forwarded-User : admin\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n",
        b"GET http://h/public/x HTTP/1.1\r\nHost: g\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /public/x HTTP/1.1\nHost: h\n\n"[:-1] + b"\x00\n",
    ],
    ids=[
        "CL and TE",
        "two CL",
        "obs-fold",
        "blank before colon",
        "no host",
        "two hosts",
        "absolute",
        "connect",
        "NUL",
    ],
)
def test_d10_a_request_that_can_be_cut_in_two_ways_is_400(
    head: bytes, gateway: int, upstream: Upstream
) -> None:
    """Refused by parser or rules; nothing of it reaches the upstream."""
    assert raw(gateway, head)[:12] == b"HTTP/1.1 400"
    assert upstream.requests == []


def test_d12_a_socket_echoes_and_is_refused_without_a_session(gateway: int, upstream: Upstream) -> None:
    """401 before the upgrade; with a session bytes both ways after 101, early ones too."""
    head = b"GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: Upgrade\r\n%s\r\n"
    assert raw(gateway, head % b"")[:12] == b"HTTP/1.1 401"
    with link(gateway) as client:
        client.sendall(head % b"Cookie: entrada_session=good\r\n" + b"early")
        assert read_until(client, b"early").startswith(b"HTTP/1.1 101")
        client.sendall(b"late")
        assert read_until(client, b"late")
    fields = by_name(upstream.requests[-1])
    assert (fields["upgrade"], fields["connection"]) == ("echo", "upgrade")
    assert fields["x-forwarded-user"] == ada().object_id


def test_after_a_refused_upgrade_nothing_more_is_read(gateway: int, upstream: Upstream) -> None:
    """What follows is no HTTP; it is neither answered nor passed on."""
    head = b"GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
    answer = raw(gateway, head + b"GET /public/x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert upstream.requests == []


@pytest.mark.parametrize(
    "token",
    [
        b"h2c",
        b"H2C",
        b"h2c-14",
        b"h3",
        b"HTTP",
        b"HTTP/2.0",
        b"SPDY/3.1",
        b"TLS/1.0",
        b"websocket, h2c",
        b"connect-udp",
    ],
)
def test_an_upgrade_to_http_is_no_tunnel(token: bytes, gateway: int, upstream: Upstream) -> None:
    """Requests inside it would pass no rule: the request goes on as an ordinary one."""
    assert not tunnels_for(token)
    answer = raw(
        gateway,
        b"GET /public/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n"
        b"Upgrade: " + token + b"\r\n\r\n",
    )
    assert answer[:12] == b"HTTP/1.1 200"
    assert not {"upgrade", "connection", "http2-settings"} & by_name(upstream.requests[-1]).keys()


def test_k15_another_site_s_page_opens_no_socket(gateway: int, upstream: Upstream) -> None:
    """The cookie comes along, the Origin tells: 403 before the upgrade."""
    head = (
        b"GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Cookie: entrada_session=good\r\nOrigin: https://evil\r\n\r\n"
    )
    assert raw(gateway, head)[:12] == b"HTTP/1.1 403"
    assert upstream.requests == []


@pytest.mark.parametrize("origin", [b"http://[", b"null", b"https://h:443", b"https://h@evil", b"h", b""])
def test_k15_an_origin_that_is_no_address_of_this_host_opens_no_socket(
    origin: bytes, gateway: int, upstream: Upstream
) -> None:
    """Odd ones, too, are 403 and no fault of ours."""
    answer = raw(
        gateway,
        b"GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Cookie: entrada_session=good\r\nOrigin: " + origin + b"\r\n\r\n",
    )
    assert answer[:12] == b"HTTP/1.1 403"
    assert upstream.requests == []


def test_a_socket_closes_when_its_session_ends(gateway: int, watched: Watched) -> None:
    """Within a second of being told."""
    with link(gateway) as client:
        client.sendall(
            b"GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Cookie: entrada_session=good\r\nOrigin: https://h\r\n\r\nx"
        )
        read_until(client, b"x")
        started = time.monotonic()
        watched.end_all()
        assert at_end(client)
        assert time.monotonic() - started < 1
    wait_until(lambda: not watched.on_end)


class Slow:
    """An upstream that does one thing with each connection."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Slow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._answer(connection)
            except OSError:
                return


def head_read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    return data


def test_an_event_stream_ends_when_its_session_ends(watched: Watched) -> None:
    """Events come one by one; when the session ends, the stream does, and does not look complete."""

    def events(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        connection.recv(1)

    with (
        Slow(events) as slow,
        proxied(f"http://127.0.0.1:{slow.port}", watched=watched) as port,
        link(port) as client,
    ):
        client.sendall(b"GET /events HTTP/1.1\r\nHost: h\r\nCookie: entrada_session=good\r\n\r\n")
        received = read_until(client, b"data: 1\n\n")
        assert b"transfer-encoding: chunked" in received
        wait_until(lambda: watched.on_end)
        started = time.monotonic()
        watched.end_all()
        rest = drained(client)
        assert b"0\r\n\r\n" not in rest
        assert time.monotonic() - started < 1


def test_fault_26_an_upstream_that_is_gone_is_502(gateway: int) -> None:
    """Nothing listens: 502 at once."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port_of_nobody = unused.getsockname()[1]
    with proxied(f"http://127.0.0.1:{port_of_nobody}") as port:
        answer = ask(port, "GET", "/")
        assert (answer.status, told(answer)["error"]) == (502, "upstream_unavailable")


NO_HTTP = {
    "nothing": b"",
    "garbage": b"garbage\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 400_000,
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_fault_26_an_upstream_that_answers_no_http_is_502(sent: bytes) -> None:
    """Closed, garbage, cut off, an upgrade that nobody asked for: 502, and the next request is served."""

    def answer(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(sent)

    with Slow(answer) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        for _ in range(2):
            assert ask(port, "GET", "/").status == 502


def test_fault_26_an_upstream_that_says_nothing_is_504(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the stated time; its connection is closed."""
    monkeypatch.setattr("entrada.gateway.reverse_proxy.HEAD_SECONDS", 0.2)

    def silent(connection: socket.socket) -> None:
        head_read(connection)
        connection.recv(1)

    with Slow(silent) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        assert ask(port, "GET", "/").status == 504


def test_fault_26_a_route_says_how_long_an_answer_may_take() -> None:
    """`answer_within` of the route: 504 then, and the log names the time-out."""
    seen: list[Any] = []

    def silent(connection: socket.socket) -> None:
        head_read(connection)
        connection.recv(1)

    with (
        Slow(silent) as slow,
        proxied(f"http://127.0.0.1:{slow.port}", route='answer_within = "1s"\n', seen=seen) as port,
    ):
        assert ask(port, "GET", "/").status == 504
    assert "no response in time" in seen[-1].reason


def test_fault_26_a_body_that_is_still_being_sent_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that takes longer than an upstream may be silent is answered like any other."""
    monkeypatch.setattr("entrada.gateway.reverse_proxy.HEAD_SECONDS", 0.2)
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def takes_all(connection: socket.socket) -> None:
        rest = head_read(connection).partition(b"\r\n\r\n")[2]
        while len(rest) < 4:
            part = connection.recv(16)
            arrived.put(part)
            rest += part
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with (
        Slow(takes_all) as slow,
        proxied(f"http://127.0.0.1:{slow.port}") as port,
        link(port) as client,
    ):
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: h\r\nCookie: entrada_session=good\r\nContent-Length: 4\r\n\r\n"
        )
        client.settimeout(0.15)
        for byte in (b"a", b"b", b"c", b"d"):
            with pytest.raises(TimeoutError):  # nothing is answered before it was sent
                client.recv(1)
            client.sendall(byte)
            assert arrived.get(timeout=10) == byte
        client.settimeout(10)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("ended", ["the session", "the client"])
def test_d12_a_response_that_is_waited_for_is_given_up(
    ended: str, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it comes after the session ended or the client went, and it is not asked for again."""
    monkeypatch.setattr("entrada.gateway.reverse_proxy.MOMENT_SECONDS", 0.1)
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def answers_one(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        head_read(connection)
        asked.put("asked")
        asked.put("left" if connection.recv(1) == b"" else "more")

    request = b"GET /held HTTP/1.1\r\nHost: h\r\nCookie: entrada_session=good\r\n\r\n"
    with (
        Slow(answers_one) as slow,
        proxied(f"http://127.0.0.1:{slow.port}", watched=watched) as port,
        link(port) as client,
    ):
        client.sendall(request)
        read_until(client, b"\r\n\r\n")
        client.sendall(request)
        assert asked.get(timeout=10) == "asked"
        wait_until(lambda: watched.on_end)
        if ended == "the session":
            watched.end_all()
            assert at_end(client)
        else:
            client.close()
        assert asked.get(timeout=10) == "left"
        wait_until(lambda: not watched.on_end)
        assert slow.connections == 1


@pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked\r\n"], ids=["until the end", "in chunks"])
def test_d14_a_client_of_http_1_0_gets_no_chunks(head: bytes) -> None:
    """A body without a length ends with the connection there."""
    body = b"5\r\nhello\r\n6\r\n again\r\n0\r\n\r\n" if head else b"hello again"

    def answers(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        connection.sendall(body)

    with Slow(answers) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        for method, wanted in ((b"GET", b"hello again"), (b"HEAD", b"")):
            request = method + b" /public/x HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
            answer, _, rest = raw(port, request).partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in answer.lower()
            assert rest == wanted


def test_fault_26_a_response_that_is_cut_off_does_not_look_whole() -> None:
    """The client sees the connection end before the length that was promised."""

    def cut(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    broken = pytest.raises((http.client.IncompleteRead, ConnectionError))
    with Slow(cut) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port, broken:
        ask(port, "GET", "/")


def test_a_kept_connection_that_went_stale_is_tried_once_more() -> None:
    """An idempotent request is sent again on a new connection; a POST is not."""

    def one_each(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        head_read(connection)  # and is closed without a word

    with Slow(one_each) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        assert [ask(port, "GET", "/").status for _ in range(3)] == [200, 200, 200]
        assert slow.connections == 3
        assert ask(port, "POST", "/", body=b"x").status == 502


def test_connections_to_the_upstream_are_kept() -> None:
    """Ten requests, one connection."""

    def many(connection: socket.socket) -> None:
        while head_read(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Slow(many) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        assert {ask(port, "GET", "/").status for _ in range(10)} == {200}
        assert slow.connections == 1


@pytest.mark.parametrize(
    ("response", "status", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
    ],
    ids=["100", "103 and 204", "304 with a length", "chunked with a trailer", "HTTP/1.0"],
)
def test_d14_responses_by_rfc_9110(response: bytes, status: int, body: bytes) -> None:
    """Interim ones are passed over, lengths hold, trailers are dropped."""

    def answer(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(response)

    with Slow(answer) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        found = ask(port, "GET", "/")
        assert (found.status, found.data) == (status, body)
        assert "x-t" not in found.headers


def test_d13_d14_fields_of_a_response_that_stay_behind() -> None:
    """Hop-by-hop ones, those that Connection names, and cookies of our names; the others pass."""

    def answer(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
            b"Keep-Alive: timeout=5\r\n"
            b"Set-Cookie: entrada_session=stolen\r\nSet-Cookie: __Host-entrada_session=x; Path=/\r\n"
            b"Set-Cookie: =entrada_session=planted\r\nSet-Cookie: \t=\tentrada_session=planted\r\n"
            b"Set-Cookie: a=1\r\n"
            b"Location: http://elsewhere/x\r\n\r\n"
        )

    with Slow(answer) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        found = ask(port, "GET", "/")
        assert found.headers.get_all("set-cookie") == ["a=1"]
        assert found.headers["location"] == "http://elsewhere/x"
        assert not {"x-hop", "keep-alive"} & {name.lower() for name in found.headers}


def test_d13_an_upgraded_connection_plants_no_cookie_of_ours() -> None:
    """The head of a 101 is a head like any other."""

    def answer(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n"
            b"Set-Cookie: entrada_session=planted\r\nSet-Cookie: a=1\r\n\r\n"
        )

    with Slow(answer) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        head = b"GET /public/s HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
        answered = raw(port, head)
    assert answered[:12] == b"HTTP/1.1 101"
    assert b"a=1" in answered
    assert b"planted" not in answered


def test_expect_100_continue_is_answered_here(gateway: int) -> None:
    """The client hears 100, sends its body, and the upstream gets no Expect."""
    with link(gateway) as client:
        client.sendall(
            b"POST /public/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        client.sendall(b"hello")
        found = json.loads(drained(client).partition(b"\r\n\r\n")[2])
    assert found["body"] == "hello"
    assert "expect" not in by_name(found)


def test_a_body_streams_both_ways_with_back_pressure() -> None:
    """20 MB up and down, unchanged, while neither side holds it all."""
    size = 20 * 1024 * 1024

    def echo(connection: socket.socket) -> None:
        _, _, first = head_read(connection).partition(b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + first)
        left = size - len(first)
        while left:
            chunk = connection.recv(65_536)
            connection.sendall(chunk)
            left -= len(chunk)

    data = bytes(range(256)) * (size // 256)
    with Slow(echo) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port, link(port) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: h\r\nCookie: %s\r\nContent-Length: %d\r\n\r\n" % (GOOD.encode(), size)
        )
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        received = read_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
        digest, left = hashlib.sha256(received), size - len(received)
        while left:
            chunk = client.recv(65_536)
            assert chunk
            digest.update(chunk)
            left -= len(chunk)
    assert digest.digest() == hashlib.sha256(data).digest()


@pytest.mark.heavy
def test_a_gigabyte_passes_in_flat_memory() -> None:
    """1 GB down through the gateway: this process grows by no more than 30 MB."""
    size = 1024 * 1024 * 1024
    piece = b"x" * 65_536

    def send(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            connection.sendall(piece)

    def resident_kb() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    with Slow(send) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port, link(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: entrada_session=good\r\n\r\n")
        left = size - len(read_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")[2])
        before = most = resident_kb()
        while left:
            left -= len(client.recv(1 << 20))
            most = max(most, resident_kb())
    assert most - before < 30_000


def test_fault_26_a_client_that_goes_away_ends_the_request_upstream() -> None:
    """An event stream nobody reads any more is closed at the upstream, too."""
    ended = threading.Event()

    def stream(connection: socket.socket) -> None:
        head_read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        try:
            connection.recv(1)
        finally:
            ended.set()

    with Slow(stream) as slow, proxied(f"http://127.0.0.1:{slow.port}") as port:
        with link(port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: entrada_session=good\r\n\r\n")
            read_until(client, b"first")
        assert ended.wait(5)


def test_an_upstream_on_a_unix_socket(tmp_path: Path) -> None:
    """`unix:/path` is an upstream like another."""
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def one() -> None:
            connection, _ = server.accept()
            with connection:
                head_read(connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=one)
        thread.start()
        with proxied(f"unix:{path}") as port:
            assert ask(port, "GET", "/").data == b"ok"
        thread.join(timeout=10)


def link(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def drained(client: socket.socket) -> bytes:
    data = b""
    try:
        while chunk := client.recv(65_536):
            data += chunk
    except ConnectionError:
        pass
    return data


def at_end(client: socket.socket) -> bool:
    return drained(client) == b""


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        chunk = client.recv(65_536)
        assert chunk, data
        data += chunk
    return data


def raw(port: int, data: bytes) -> bytes:
    """Everything that comes back for these bytes, to the end of the connection or of patience."""
    with link(port) as client:
        client.sendall(data)
        client.settimeout(20 if b"close" in data else 1.5)
        received = b""
        try:
            while chunk := client.recv(65_536):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
        return received
