"""http.client's response with the bounds that a peer with our client secret in its hands needs.

Owns what urllib3 leaves open on a connection that stays open: a time for the whole response, its head
included; a largest head; one length that two readers cannot understand differently; and nothing left over.
Bytes that nobody asked for, before a request or behind a response, end the connection: read on it, they
would be the answer to somebody else's request.

    StrictHTTPConnection, StrictHTTPSConnection    urllib3's, that answer with a `StrictResponse`

Source: RFC 9112, sections 6.3 (message body length), 9.3 and 9.3.2 (persistence, pipelining).
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

WHOLE_RESPONSE_SECONDS = 15.0
LARGEST_HEAD_BYTES = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)


class ResponseUnreadable(http.client.HTTPException):
    """Two readers could understand it differently, or nobody asked for it. Quotes nothing of it."""


class ResponseTooSlow(http.client.HTTPException):
    """Still going on at the end of the time for the whole of it."""


class StrictResponse(http.client.HTTPResponse):
    """A response within time and size, whose connection is of no more use once anything was odd."""

    def __init__(self, sock: Any, *arguments: Any, **keywords: Any) -> None:
        self._reader = _Reader(sock)
        super().__init__(self, *arguments, **keywords)  # type: ignore[arg-type]  # all it wants is makefile

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self._reader

    def begin(self) -> None:
        """Reads the head.

        Raises:
            ResponseUnreadable: interim but for 100, folded or broken lines, no length, or more than one.
        """
        super().begin()
        self._reader.head_is_over()
        values, defects = list(self.headers.values()), self.headers.defects
        if self.status < 200 or defects or any("\n" in value or "\r" in value for value in values):
            raise ResponseUnreadable("head")
        if self.status not in (http.client.NO_CONTENT, http.client.NOT_MODIFIED):
            self._check_length()

    def _check_length(self) -> None:
        lengths = self.headers.get_all("content-length", [])
        codings = self.headers.get_all("transfer-encoding", [])
        if codings:
            has_one = not lengths and [coding.strip().lower() for coding in codings] == ["chunked"]
        else:
            # Without any, only the end of the connection would end it, and nobody could tell a cut from it.
            has_one = len(lengths) == 1 and _LENGTH.fullmatch(lengths[0].strip(" \t")) is not None
        if not has_one:
            raise ResponseUnreadable("length")


class _Reader(io.BufferedReader):
    """What http.client reads from. Closed at the end of a response, it looks for what was read too much."""

    def __init__(self, sock: Any) -> None:
        self._arriving = _ArrivingBytes(sock.makefile("rb", buffering=0))
        self._sock = sock
        super().__init__(self._arriving)

    def head_is_over(self) -> None:
        self._arriving.head_bytes_left = None

    def close(self) -> None:
        if not self.closed:
            self._arriving.is_over = True
            if self.peek(1) or _decrypted_bytes(self._sock):
                _make_useless(self._sock)
        super().close()


class _ArrivingBytes(io.RawIOBase):
    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._deadline = time.monotonic() + WHOLE_RESPONSE_SECONDS
        self.head_bytes_left: int | None = LARGEST_HEAD_BYTES
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_over:
            return 0
        if time.monotonic() > self._deadline:
            raise ResponseTooSlow
        if self.head_bytes_left is not None and self.head_bytes_left < 0:
            raise ResponseUnreadable("head")
        count = self._source.readinto(buffer)
        if self.head_bytes_left is not None:
            self.head_bytes_left -= count or 0
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class StrictHTTPConnection(HTTPConnection):
    """Over plain TCP, as to an emulator on this machine."""

    response_class: Any = StrictResponse

    def putrequest(self, *arguments: Any, **keywords: Any) -> None:
        ready_to_ask(self)
        super().putrequest(*arguments, **keywords)


class StrictHTTPSConnection(HTTPSConnection):
    """Over TLS, directly or through a tunnel."""

    response_class: Any = StrictResponse

    def putrequest(self, *arguments: Any, **keywords: Any) -> None:
        ready_to_ask(self)
        super().putrequest(*arguments, **keywords)


def ready_to_ask(connection: Any) -> None:
    """Connects where that was not done, and passes if nothing was said before the request.

    Raises:
        ResponseUnreadable: something was.
    """
    if connection.sock is None:
        connection.connect()
    if _has_spoken(connection.sock):
        raise ResponseUnreadable("before the request")


def _has_spoken(sock: Any) -> bool:
    """Whether bytes of the application are there, or the end. A TLS session ticket is neither."""
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        sock.settimeout(timeout)
    return True


def _decrypted_bytes(sock: Any) -> int:
    """What TLS holds ready beside the socket, where `select` does not see it."""
    pending = getattr(getattr(sock, "sslobj", sock), "pending", None)
    try:
        return pending() if pending is not None else 0
    except (OSError, ValueError):  # closed already
        return 0


def _make_useless(sock: Any) -> None:
    """Whoever looks at this socket next finds its end, and opens another."""
    with suppress(OSError):  # the other side was faster
        getattr(sock, "socket", sock).shutdown(socket.SHUT_RDWR)
