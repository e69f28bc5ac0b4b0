"""K4, K20: a real server on a socket, and clients that send too much, too slowly, or never read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvicorn

from entrada.cli.serve import listen, server_config
from entrada.gateway.connection_limits import ConnectionLimits
from entrada.gateway.http_protocol import LimitedHttpProtocol, limited_protocol
from entrada.web.limits import LARGEST_HEAD_BYTES, LARGEST_TARGET_BYTES
from walks.site import wait_until

SHORT = ConnectionLimits(
    head_seconds=0.3, body_seconds=0.3, unread_seconds=0.3, connections=20, sweep_seconds=0.05
)
GOOD = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
BIG = b"x" * 32_000_000  # more than the buffers of any kernel

Connect = Callable[..., socket.socket]


class App:
    """Answers with the length of the body it got; `/big` is a large response, `/slow` waits until let go."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.ended: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope["path"])
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ended.append(scope["path"])
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = BIG if scope["path"] == "/big" else str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Server:
    def __init__(self, limits: ConnectionLimits) -> None:
        self.app, self.protocol = App(), limited_protocol(limits)
        self._listener = listen("127.0.0.1", 0)
        self.address = self._listener.getsockname()
        config = server_config(self.app)
        config.http = self.protocol
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    @contextmanager
    def running(self) -> Iterator[Server]:
        self._thread.start()
        wait_until(lambda: self._server.started)
        try:
            yield self
        finally:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(timeout=10)

    def connect(self, *, source: str = "127.0.0.1") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=10, source_address=(source, 0))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, request: bytes = GOOD) -> bytes:
        with self.connect() as connection:
            return _asked(connection, request)


def _asked(connection: socket.socket, request: bytes) -> bytes:
    threading.Thread(target=_sent, args=(connection, request), daemon=True).start()
    return _rest_of(connection)


def _sent(connection: socket.socket, request: bytes) -> None:
    try:
        connection.sendall(request)
    except OSError:
        return  # refused and closed before everything was sent


def _rest_of(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with ExitStack() as running:

        def start(**limits: Any) -> Server:
            return running.enter_context(Server(replace(SHORT, **limits)).running())

        yield start


def _status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def _head(lines: bytes, *, target: bytes = b"/") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + lines + b"\r\n"


# --- K4: how large ---

MANY_NAMES = b"".join(b"h%d:b\r\n" % number for number in range(90_000))
TOO_LARGE = {
    "K4 a megabyte of one short header repeated": (_head(b"a:b\r\n" * 200_000), 431),
    "K4 a megabyte of different short headers": (_head(MANY_NAMES), 431),
    "K4 one header of a megabyte": (_head(b"a:" + b"b" * 1_000_000 + b"\r\n"), 431),
    "K4 a header name of a megabyte": (_head(b"a" * 1_000_000 + b":b\r\n"), 431),
    "K4 cookies of a megabyte": (_head(b"cookie: a=b\r\n" * 80_000), 431),
    "K4 a head just over the limit": (_head(b"a:" + b"b" * LARGEST_HEAD_BYTES + b"\r\n"), 431),
    "K4 a head that never ends": (b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 200_000, 431),
    "K4 a target of 4 MB": (_head(b"", target=b"/" + b"a" * 4_000_000), 414),
    "K4 a target without end": (b"GET /" + b"a" * 1_000_000, 414),
    "K4 a target just over its limit": (_head(b"", target=b"/" + b"a" * LARGEST_TARGET_BYTES), 414),
    "K4 a query of a megabyte": (_head(b"", target=b"/?" + b"a=1&" * 250_000), 414),
    "K4 empty lines without end": (b"\r\n" * 200_000, 431),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_LARGE)
def test_K4_a_head_over_the_limit_is_refused_and_never_seen(serve: Any, case: str) -> None:
    """431, or 414 for the address; the application is not asked, and the response arrives whole."""
    server, (request, status) = serve(), TOO_LARGE[case]
    response = server.ask(request)
    assert _status(response) == status, response[:200]
    assert b"connection: close" in response
    assert server.app.seen == []


def test_K4_a_head_just_under_the_limit_is_served(serve: Any) -> None:
    """The limit is that of the whole head, not a byte less; 13,000 headers are no more work than one."""
    server = serve()
    frame = len(_head(b""))
    for filling in (b"a:" + b"b" * (LARGEST_HEAD_BYTES - frame - 4) + b"\r\n", b"a:b\r\n" * 13_000):
        request = _head(filling)
        assert LARGEST_HEAD_BYTES - 1000 < len(request) <= LARGEST_HEAD_BYTES
        assert _status(server.ask(request)) == 200


def test_K4_a_head_that_comes_in_many_pieces_is_counted_whole(serve: Any) -> None:
    """However it is cut: the bytes of one head add up."""
    server = serve(head_seconds=30)
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        piece = b"a:b\r\n" * 100
        for _ in range(LARGEST_HEAD_BYTES // len(piece) + 1):
            _sent(connection, piece)
        assert _status(_rest_of(connection)) == 431


def test_K4_a_second_request_of_the_connection_is_measured_alone(serve: Any) -> None:
    """Many requests on one connection may be more than the limit together, also sent ahead of time."""
    server = serve()
    one = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n" + b"b" * 5000
    response = server.ask(one * 50 + GOOD)
    assert response.count(b"HTTP/1.1 200") == 51


def test_K4_a_large_head_behind_a_good_request_is_refused_as_well(serve: Any) -> None:
    """Keep-alive is no way around it: the first request is answered, the second never reaches anybody."""
    server = serve()
    first = b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(first)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert _status(_asked(connection, TOO_LARGE["K4 one header of a megabyte"][0])) == 431
    assert server.app.seen == ["/first"]


def test_K4_requests_sent_ahead_are_bounded(serve: Any) -> None:
    """A connection with more requests ahead than anybody sends is ended, and what it sent is not kept."""
    server = serve(pipelined=10)
    server.ask(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" * 5000)
    assert len(server.app.seen) < 50


# --- K20: how long ---


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx", b"\r\n"],
    ids=["K20-nothing", "K20-a-byte", "K20-a-line", "K20-half-a-header", "K20-an-empty-line"],
)
def test_fault_27_K20_a_half_sent_head_is_timed_out(serve: Any, sent: bytes) -> None:
    """The server closes by itself; who began to speak is told 408."""
    server = serve()
    with server.connect() as connection:
        connection.sendall(sent)
        response = _rest_of(connection)
    assert (_status(response) == 408) if sent else (response == b"")
    wait_until(lambda: len(server.protocol.table) == 0)


def test_K20_a_dripping_head_does_not_set_the_clock_back(serve: Any) -> None:
    """A byte now and then is not progress: the whole head has its time, and no more."""
    server, began = serve(head_seconds=1.0), time.monotonic()
    with server.connect() as connection:
        connection.settimeout(0.1)
        response = b""
        while not response and time.monotonic() - began < 20:
            _sent(connection, b"G")
            try:
                response = connection.recv(65536)
            except TimeoutError:
                continue
        assert _status(response) in (400, 408)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("sent", [b"", b"123"], ids=["K20-no-body", "K20-half-a-body"])
def test_K20_a_half_sent_body_is_timed_out(serve: Any, sent: bytes) -> None:
    """The application that waits for the rest learns that the client is gone."""
    server = serve()
    with server.connect() as connection:
        connection.sendall(b"POST /form HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n" + sent)
        assert _status(_rest_of(connection)) == 408
    wait_until(lambda: server.app.ended == ["/form"])


def test_K20_after_a_response_a_second_half_request_is_timed_out(serve: Any) -> None:
    """Also where uvicorn's own idle clock has been stopped by the first byte."""
    server = serve()
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert _status(connection.recv(65536)) == 200
        connection.sendall(b"\r\nGET ")
        assert _status(_rest_of(connection)) == 408


def test_K20_a_steady_body_takes_as_long_as_it_needs(serve: Any) -> None:
    """What comes at the asked pace is not cut, however long it takes in all."""
    server = serve(body_bytes_per_second=1)
    body = b"x" * 40
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 40\r\n\r\n")
        connection.sendall(body[:20])
        # Past the bare time-out, and past many sweeps: nothing may come before the body is whole.
        connection.settimeout(1.0)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(body[20:])
        assert _rest_of(connection).endswith(b"40")


def test_K20_a_response_that_nobody_reads_is_given_up(serve: Any) -> None:
    """A client that asks and never reads does not hold its connection for ever."""
    server = serve()
    with server.connect() as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n")
        wait_until(lambda: server.app.seen == ["/big"])
        wait_until(lambda: len(server.protocol.table) == 0)


def test_D20_fault_27_K20_with_all_connections_half_open_a_newcomer_is_served(serve: Any) -> None:
    """Many more half-open connections than places: the next request is answered at once."""
    server = serve(head_seconds=60, connections=20)
    with ExitStack() as open_ones:
        for number in range(60):
            connection = open_ones.enter_context(server.connect())
            connection.sendall(b"GET / HTTP/1.1\r\n" if number % 2 else b"")
        assert _status(server.ask()) == 200
        assert len(server.protocol.table) <= 20


def test_D20_fault_27_K20_idle_connections_go_first_and_then_those_of_the_peer_with_most(serve: Any) -> None:
    """Somebody slow from elsewhere keeps their place while one peer opens connection after connection."""
    server = serve(head_seconds=60, connections=20)
    with ExitStack() as open_ones:
        slow = open_ones.enter_context(server.connect(source="127.0.0.2"))
        slow.sendall(b"GET /slow-one HTTP/1.1\r\n")
        for _ in range(100):
            open_ones.enter_context(server.connect()).sendall(b"GET / HT")
        assert _status(server.ask()) == 200
        slow.sendall(b"host: x\r\nconnection: close\r\n\r\n")
        assert _status(_rest_of(slow)) == 200


def test_K20_every_server_has_a_limit_on_connections() -> None:
    """What `entrada serve` runs with: our protocol, and a number of connections that the process can hold."""
    protocol = server_config(lambda: None).http
    assert isinstance(protocol, type)
    assert issubclass(protocol, LimitedHttpProtocol)
    assert 1 <= protocol.table.limits.connections <= ConnectionLimits().connections
