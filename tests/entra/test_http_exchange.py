"""One exchange on a kept connection: what is read, what is refused, and when another may follow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from entrada.entra.http_exchange import (
    AnswerBroken,
    AnswerTooLarge,
    AnswerTooSlow,
    KeptConnection,
    Limits,
    request_bytes,
)
from entrada.entra.transport import HttpAnswer

REQUEST = request_bytes("GET", "/", {"host": "there"}, None)


class Line:
    """A connection whose other end is in the test's hand."""

    def __init__(self) -> None:
        ours, self.far = socket.socketpair()
        self.connection = KeptConnection(ours)

    def exchange(self, answer: bytes, *, body_bytes: int = 1000, ends: bool = True) -> HttpAnswer:
        self.far.sendall(answer)
        if ends:
            self.far.shutdown(socket.SHUT_WR)
        limits = Limits(deadline=time.monotonic() + 2, read_seconds=0.2, body_bytes=body_bytes)
        return self.connection.exchange(REQUEST, limits)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.connection.close()
    made.far.close()


def test_a_request_is_one_message_with_its_length() -> None:
    """Fields in order, the length of the body last, then the body."""
    sent = request_bytes("POST", "/token?x=1", {"host": "there", "x-a": "b"}, b"code=1")
    assert sent == b"POST /token?x=1 HTTP/1.1\r\nhost: there\r\nx-a: b\r\ncontent-length: 6\r\n\r\ncode=1"
    assert request_bytes("POST", "/", {}, None).endswith(b"content-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "target", "name", "value"),
    [
        ("GET", "/a b", "x", "y"),
        ("GET", "/a\r\nx: y", "x", "y"),
        ("GET", "", "x", "y"),
        ("GE T", "/", "x", "y"),
        ("GET", "/", "x\r\ny", "z"),
        ("GET", "/", "x y", "z"),
        ("GET", "/", "x", "y\r\nz: 1"),
        ("GET", "/", "x", "y\0"),
    ],
)
def test_nothing_that_could_end_a_line_goes_out(method: str, target: str, name: str, value: str) -> None:
    """Whoever gave it meant one field, and one field it stays, or nothing is sent."""
    with pytest.raises(ValueError, match="cannot stand in a request"):
        request_bytes(method, target, {name: value}, None)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 204 None\r\n\r\n", b""),
        (b"HTTP/1.1 304 Same\r\ncontent-length: 9\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
         b"1;a=b\r\nh\r\n1 \r\ni\r\n0\r\nx: y\r\n\r\n", b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nx: y\r\n\r\n"
         b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
    ],
)  # fmt: skip
def test_a_whole_answer_is_read_and_another_may_follow(line: Line, answer: bytes, body: bytes) -> None:
    """By its length or in chunks; interim answers and trailers are read over."""
    assert line.exchange(answer, ends=False).body == body
    assert line.connection.may_rest
    assert not line.connection.has_ended


def test_an_answer_may_come_byte_by_byte(line: Line) -> None:
    """However the network cuts it."""
    line.far.settimeout(1)
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"

    def drip() -> None:
        for number in range(len(whole)):
            line.far.sendall(whole[number : number + 1])

    sender = threading.Thread(target=drip)
    sender.start()
    assert line.exchange(b"", ends=False).body == b"hi"
    sender.join()


def test_names_are_lower_case_and_repeated_fields_are_joined(line: Line) -> None:
    """As RFC 9110, section 5.3 says; values lose the blanks around them."""
    got = line.exchange(b"HTTP/1.1 200 OK\r\nX-A:  one \r\nx-a: two\r\nContent-Length: 0\r\n\r\n")
    assert got.headers["x-a"] == "one, two"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf",
        b"HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 999 OK\r\ncontent-length: 0\r\n\r\n",
        b"ICY 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi--0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n123456789\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    ],
)
def test_what_two_readers_could_understand_differently_is_no_answer(line: Line, answer: bytes) -> None:
    """Cut off, folded, doubled, without a length or with two: refused, and the connection is done."""
    with pytest.raises(AnswerBroken):
        line.exchange(answer)
    assert not line.connection.may_rest


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
    ],
)
def test_A29_too_much_is_refused_before_it_is_read(line: Line, answer: bytes) -> None:
    """The announced size decides."""
    with pytest.raises(AnswerTooLarge):
        line.exchange(answer, body_bytes=10)
    assert not line.connection.may_rest


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more",
    ],
)
def test_a_connection_that_is_done_or_odd_does_not_rest(line: Line, answer: bytes) -> None:
    """Announced to close, of HTTP/1.0, or with bytes nobody asked for: no second request follows."""
    assert line.exchange(answer, ends=False).status == 200
    assert not line.connection.may_rest


def test_a_connection_closed_while_it_rested_is_known_to_have_ended(line: Line) -> None:
    """Before the next request goes out, not after."""
    line.exchange(b"HTTP/1.1 204 OK\r\n\r\n", ends=False)
    line.far.close()
    assert line.connection.has_ended


def test_silence_and_dripping_end(line: Line) -> None:
    """Nothing for a while is a time-out; never enough by the deadline is too slow."""
    with pytest.raises(TimeoutError):
        line.exchange(b"HTTP/1.1 200 OK\r\n", ends=False)
    late = Limits(deadline=time.monotonic() - 1, read_seconds=0.2, body_bytes=10)
    with pytest.raises(AnswerTooSlow):
        line.connection.exchange(REQUEST, late)
