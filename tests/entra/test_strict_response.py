"""What is no answer, and when another may follow on the same connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from urllib3.util import wait_for_read

from entra.tiny_server import Handler, certificate, serving
from entrada.entra import pooled_transport, strict_response
from entrada.entra.pooled_transport import PooledTransport
from entrada.entra.proxies import Proxies
from entrada.entra.strict_response import StrictHTTPConnection
from entrada.errors import EntraUnavailable

ONE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
STRANGER = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nstranger"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled_transport, "READ_SECONDS", 1.0)
    monkeypatch.setattr(strict_response, "WHOLE_RESPONSE_SECONDS", 1.5)


@pytest.fixture
def transport() -> Iterator[PooledTransport]:
    made = PooledTransport(proxies=Proxies())
    yield made
    made.close()


def saying(answer: bytes, *, hangs_up: bool = True) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = hangs_up

    return behave


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (ONE, b"hi"),
        (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 204 None\r\n\r\n", b""),
        (b"HTTP/1.1 304 Same\r\ncontent-length: 9\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
         b"1;a=b\r\nh\r\n1 \r\ni\r\n0\r\nx: y\r\n\r\n", b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + ONE, b"hi"),
    ],
)  # fmt: skip
def test_a_whole_answer_is_read_and_another_may_follow(
    transport: PooledTransport, answer: bytes, body: bytes
) -> None:
    """By its length or in chunks; the next request goes out on the same connection."""
    with serving(saying(answer, hangs_up=False)) as server:
        assert [transport.send("GET", server.url).body for _ in range(3)] == [body] * 3
        assert server.connections == 1


def test_an_answer_may_come_byte_by_byte(transport: PooledTransport) -> None:
    """However the network cuts it."""

    def drip(handler: Handler) -> None:
        whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        for number in range(len(whole)):
            handler.wfile.write(whole[number : number + 1])

    with serving(drip) as server:
        assert [transport.send("GET", server.url).body for _ in range(2)] == [b"hi"] * 2
        assert server.connections == 1


def test_names_are_lower_case_and_repeated_fields_are_joined(transport: PooledTransport) -> None:
    """As RFC 9110, section 5.3 says; values lose the blanks around them."""
    answer = b"HTTP/1.1 200 OK\r\nX-A:  one \r\nx-a: two\r\nContent-Length: 0\r\n\r\n"
    with serving(saying(answer)) as server:
        assert transport.send("GET", server.url).headers["x-a"] == "one, two"


AMBIGUOUS = [
    b"",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf",
    b"HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\nx: y\r\n\r\n" + ONE,
    b"ICY 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n folded\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: y\r\n folded\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nh",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000 + b"content-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + (b"x: " + b"y" * 5_000 + b"\r\n") * 20 + b"content-length: 0\r\n\r\n",
]


@pytest.mark.parametrize("answer", AMBIGUOUS, ids=lambda answer: repr(answer[:70]))
def test_what_two_readers_could_understand_differently_is_no_answer(
    transport: PooledTransport, answer: bytes
) -> None:
    """Cut off, folded, doubled, without a length or with two: refused, and the next request starts anew."""
    behaviours = iter([saying(answer)])
    with serving(lambda handler: next(behaviours, saying(ONE))(handler)) as server:
        with pytest.raises(EntraUnavailable) as refusal:
            transport.send("GET", server.url)
        assert refusal.value.reason
        assert transport.send("GET", server.url).body == b"hi"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "surplus",
    [
        b"\n",
        b"x",
        STRANGER,
        STRANGER * 3,
        b"x" * 8_192 + STRANGER,
        # As much as the reader takes ahead: what is behind it would be the next answer.
        b"x" * (8_192 - len(ONE)) + STRANGER,
        b"x" * (16_384 - len(ONE)) + STRANGER,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"0\r\n\r\n",
    ],
    ids=["newline", "byte", "response", "three", "padded", "boundary", "record", "interim", "chunk"],
)
def test_K52_an_unasked_answer_never_becomes_the_next_ones(
    tmp_path: Path, tls: bool, method: str, surplus: bytes
) -> None:
    """Whatever comes behind an answer closes its connection; ten later requests get their own answers."""
    context, authority = certificate(tmp_path) if tls else (None, None)
    transport = PooledTransport(ca_bundle=authority, proxies=Proxies())

    def answer_and_more(handler: Handler) -> None:
        said = handler.path.encode()
        more = surplus if handler.path == "/0" else b""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s%s" % (len(said), said, more))

    with serving(answer_and_more, tls=context) as server:
        said = [transport.send(method, f"{server.url}/{number}").body.decode() for number in range(11)]
        assert said == [f"/{number}" for number in range(11)]
        assert server.connections == 2
    transport.close()


def test_K52_an_answer_that_comes_unasked_while_nobody_asks_closes_the_connection(
    transport: PooledTransport,
) -> None:
    """A second answer that arrives between two requests is nobody's."""
    late = threading.Event()

    def answer_then_more(handler: Handler) -> None:
        handler.wfile.write(ONE)
        if len(handler.server.requests) == 1:
            assert late.wait(5)
            handler.wfile.write(STRANGER)
            handler.server.closed_one.set()

    with serving(answer_then_more) as server:
        assert transport.send("GET", server.url).body == b"hi"
        late.set()
        assert server.closed_one.wait(5)
        assert [transport.send("GET", server.url).body for _ in range(3)] == [b"hi"] * 3


@contextmanager
def speaking_first(greeting: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends before it is asked. What it receives is noted."""
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    connection.sendall(greeting)
                    received.append(connection.recv(65_536))
                    connection.sendall(STRANGER)
                except OSError:
                    received.append(b"")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_K52_an_answer_before_the_request_is_none(
    transport: PooledTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose answer is there before it was asked is told nothing: no secret, no code."""
    connect = StrictHTTPConnection.connect

    def connect_and_wait(self: StrictHTTPConnection) -> None:
        connect(self)
        assert wait_for_read(self.sock, timeout=5)

    monkeypatch.setattr(StrictHTTPConnection, "connect", connect_and_wait)
    with speaking_first(ONE) as (url, received):
        for _ in range(3):
            with pytest.raises(EntraUnavailable):
                transport.send("POST", url, body=b"code=hush")
    assert not any(received)


def test_K52_interim_answers_without_end_are_given_up(transport: PooledTransport) -> None:
    """A flood of 100 Continue ends with the size of a head, or with the time for the whole."""

    def flood(handler: Handler) -> None:
        while not handler.server.over.is_set():
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with serving(flood) as server:
        began = time.monotonic()
        with pytest.raises(EntraUnavailable):
            transport.send("GET", server.url)
        assert time.monotonic() - began < 3


def test_a_head_that_drips_is_cut_off(transport: PooledTransport) -> None:
    """The time for the whole answer counts from its first line."""

    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
        for _ in range(200):
            handler.server.over.wait(0.02)
            handler.wfile.write(b"y")

    with serving(drip) as server:
        began = time.monotonic()
        with pytest.raises(EntraUnavailable) as refusal:
            transport.send("GET", server.url)
        assert time.monotonic() - began < 3
    assert "took longer" in refusal.value.reason


def test_A29_too_much_is_refused_before_it_is_read(transport: PooledTransport) -> None:
    """The announced size decides: nothing is waited for."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000001\r\n\r\n"
    with serving(saying(answer, hangs_up=False)) as server, pytest.raises(EntraUnavailable) as refusal:
        transport.send("GET", server.url)
    assert "larger than" in refusal.value.reason


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    ],
)
def test_a_connection_that_is_done_is_not_used_again(transport: PooledTransport, answer: bytes) -> None:
    """Announced to close, or of HTTP/1.0: no second request follows."""
    with serving(saying(answer, hangs_up=False)) as server:
        assert [transport.send("GET", server.url).body for _ in range(2)] == [b"hi"] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    ("name", "value"), [("x", "y\r\nz: 1"), ("x", "y\0"), ("x", "y\r\n z"), ("x\r\ny", "z")]
)
def test_nothing_that_could_end_a_line_goes_out(transport: PooledTransport, name: str, value: str) -> None:
    """Whoever gave it meant one field, and one field it stays, or nothing is sent."""
    with serving(saying(ONE)) as server:
        with pytest.raises(ValueError):  # http.client words one of them
            transport.send("GET", server.url, headers={name: value})
        assert server.requests == []


def test_a_target_cannot_end_its_line(transport: PooledTransport) -> None:
    """What cannot stand in a request line is escaped."""
    with serving(saying(ONE)) as server:
        transport.send("GET", f"{server.url}/a b?c=d e")
        assert [path for _, path, _, _ in server.requests] == ["/a%20b?c=d%20e"]
