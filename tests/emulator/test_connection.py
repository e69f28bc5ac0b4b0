"""HTTP/1.1 as the emulator speaks it, over a bare socket: what clients seldom do must not confuse it."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import BinaryIO

import httpx
import pytest

from emulator.relying_party import Entra
from entrada.emulator import RunningEmulator

KEYS = b"/contoso.test/discovery/v2.0/keys"
TOKEN = b"/contoso.test/oauth2/v2.0/token"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"

Say = Callable[..., list[tuple[int, bytes, bytes]]]


@pytest.fixture
def say(emulator: RunningEmulator) -> Iterator[Say]:
    """Sends bytes piece by piece; gives status, head and body of as many answers as are awaited."""
    port = int(emulator.http_url.rpartition(":")[2])
    with (
        socket.create_connection(("localhost", port), timeout=10) as connection,
        connection.makefile("rb") as reader,
    ):

        def spoken(*pieces: bytes, answers: int = 1, bodies: bool = True) -> list[tuple[int, bytes, bytes]]:
            for piece in pieces:
                connection.sendall(piece)
            return [_read(reader, bodies) for _ in range(answers)]

        yield spoken


def _read(reader: BinaryIO, bodies: bool) -> tuple[int, bytes, bytes]:
    head = b""
    while (line := reader.readline()) not in (b"\r\n", b""):
        head += line
    length = re.search(rb"content-length: (\d+)", head)
    return int(head.split()[1]), head, reader.read(int(length[1])) if length and bodies else b""


def test_requests_sent_ahead_are_answered_in_order(emulator: RunningEmulator, say: Say) -> None:
    """Pipelining: the answers keep the order of the requests, also when the first takes its time."""
    ahead = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (KEYS, b"/nothing", KEYS))
    assert [status for status, _, _ in say(ahead, answers=3)] == [200, 404, 200]
    emulator.fail("delay", endpoint="keys", seconds=0.1)
    assert [status for status, _, _ in say(ahead, answers=3)] == [200, 404, 200]


def test_a_request_may_come_in_pieces(say: Say) -> None:
    """A target, a header and a chunked body that are cut anywhere are put together."""
    whole = b"POST %s HTTP/1.1\r\nHost: x\r\n%sTransfer-Encoding: chunked\r\n\r\n" % (TOKEN, FORM)
    whole += b"5\r\ngrant\r\n8\r\n_type=xx\r\n0\r\n\r\n"
    for size in (1, 7, 50):
        (answer,) = say(*(whole[at : at + size] for at in range(0, len(whole), size)))
        assert json.loads(answer[2])["error_codes"] == [900144]


def test_head_has_the_length_and_no_body(say: Say) -> None:
    """HEAD is answered like GET, without the body, and the connection goes on."""
    ((status, head, _),) = say(b"HEAD /_emulator/state HTTP/1.1\r\nHost: localhost\r\n\r\n", bodies=False)
    assert status == 200
    assert b"content-length: " in head
    assert say(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % KEYS)[0][0] == 200


def test_a_client_may_ask_before_it_sends(say: Say) -> None:
    """`Expect: 100-continue` is answered before the body comes."""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert say(head % (TOKEN, FORM))[0][0] == 100
    assert say(b"a=b")[0][0] == 400


def test_another_protocol_is_not_taken_up(say: Say) -> None:
    """A request to upgrade is answered as if it had not asked, and so is what follows it."""
    ask = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" % KEYS
    plain = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % KEYS
    assert [status for status, _, _ in say(ask + plain + ask, answers=3)] == [200, 200, 200]
    assert say(plain)[0][0] == 200


@pytest.mark.parametrize("request_line", [b"GET %s HTTP/1.0", b"GET %s HTTP/1.1\r\nConnection: close"])
def test_the_last_request_ends_the_connection(say: Say, request_line: bytes) -> None:
    """HTTP/1.0 and `Connection: close` are answered, and the connection closed."""
    (answer,) = say(request_line % KEYS + b"\r\nHost: x\r\n\r\n")
    assert answer[0] == 200
    assert b"connection: close" in answer[1]
    with pytest.raises((IndexError, OSError)):  # an empty answer has no status
        say(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % KEYS)


def test_what_is_not_http_is_refused(say: Say) -> None:
    """400, and the connection closed."""
    assert say(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")[0][0] == 400


def test_a_whole_address_may_be_asked_for(say: Say) -> None:
    """A proxy's request target names the server too; only its path and query count."""
    assert say(b"GET http://elsewhere.test%s?x=1 HTTP/1.1\r\nHost: x\r\n\r\n" % KEYS)[0][0] == 200


def test_the_date_is_the_emulated_one(entra: Entra, http: httpx.Client) -> None:
    """A server whose clock is wrong says so in its Date header as well."""
    url = entra.url("discovery/v2.0/keys")
    right = parsedate_to_datetime(http.get(url).headers["date"])
    entra.emulator.clock(-7200)
    wrong = parsedate_to_datetime(http.get(url).headers["date"])
    assert 7195 < (right - wrong).total_seconds() < 7205


def test_a_hanging_request_is_listed_when_it_comes(entra: Entra, http: httpx.Client) -> None:
    """A request that is never answered is in `requests`, with status 0; an answered one with its own."""
    entra.emulator.fail("hang", endpoint="keys")
    with pytest.raises(httpx.ReadTimeout):
        http.get(entra.url("discovery/v2.0/keys"), timeout=0.2)
    http.get(entra.url("discovery/v2.0/keys"))
    assert [(one.endpoint, one.status) for one in entra.emulator.requests] == [("keys", 0), ("keys", 200)]


@pytest.mark.parametrize(
    "head", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n"], ids=["target", "header", "headers"]
)
def test_a_head_without_end_is_refused(say: Say, head: bytes) -> None:
    """A client that goes on and on gets 431, and does not fill the memory."""
    more = b"X: y\r\n" * 11_000 if head.endswith(b"1.1\r\n") else b"a" * 66_000
    assert say(head, more)[0][0] == 431


def test_a_large_body_is_no_large_head(say: Say) -> None:
    """Only the head is measured so; a body has a limit of its own."""
    body = b"a=" + b"b" * 70_000
    request = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s" % (
        TOKEN,
        FORM,
        len(body),
        body,
    )
    assert say(request[:60_000], request[60_000:])[0][0] == 400


def _sent_until_nobody_reads(connection: socket.socket, ahead: bytes) -> int:
    sent = 0
    try:
        while sent < 64_000_000:
            sent += connection.send(ahead)
    except TimeoutError:
        pass
    return sent


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_k51_a_client_that_never_reads_is_not_read_from(
    emulator: RunningEmulator, trust: ssl.SSLContext, secure: bool
) -> None:
    """Requests sent ahead without end fill the buffers of both sides and no more; others are served."""
    url = emulator.https_url if secure else emulator.http_url
    ahead = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % KEYS * 1_000
    with socket.create_connection(("localhost", int(url.rpartition(":")[2])), timeout=2) as plain:
        connection = trust.wrap_socket(plain, server_hostname="localhost") if secure else plain
        connection.settimeout(0.5)
        sent = _sent_until_nobody_reads(connection, ahead)
        # What the two kernels and the emulator's one unread piece hold.
        assert sent < 20_000_000
        assert httpx.get(f"{emulator.http_url}/contoso.test/discovery/v2.0/keys").status_code == 200
        connection.close()


def test_k51_a_client_that_reads_late_misses_nothing(emulator: RunningEmulator) -> None:
    """Two thousand requests sent ahead get two thousand answers once the client begins to read."""
    port, wanted = int(emulator.http_url.rpartition(":")[2]), 2_000
    with (
        socket.create_connection(("localhost", port), timeout=10) as connection,
        connection.makefile("rb") as reader,
    ):
        ahead = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * wanted
        sending = threading.Thread(target=connection.sendall, args=(ahead,))
        sending.start()
        assert {_read(reader, True)[0] for _ in range(wanted)} == {404}
        sending.join()
