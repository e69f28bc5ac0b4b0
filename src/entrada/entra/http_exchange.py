"""One request and its answer on one connection that is kept: HTTP/1.1, read strictly.

Owns the bytes of a message, nothing of connecting. Written for one purpose, because whatever library reads
an answer for us costs more than the rest of redeeming a code; so it knows no redirect, cookie, encoding,
HEAD, upgrade or pipelining, and refuses what two readers could understand differently: folded lines, odd
names, two lengths, a length beside chunks, no length at all. A connection is not used again once anything
was odd.

    request_bytes(...)         method, target and fields → bytes
    KeptConnection.exchange    send them → status line → fields → body, within size and time

Source: RFC 9112, sections 3, 4, 5.1, 6, 7.1 and 9.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from urllib3.util import wait_for_read

from entrada.entra.transport import HttpAnswer

LARGEST_HEAD_BYTES = 64 * 1024
_READ_BYTES = 65_536
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?", re.DOTALL)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[^\x00\r\n]*")
_TARGET = re.compile(r"[\x21-\x7e]+")
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_LONGEST_CHUNK_LINE_BYTES = 1024


class AnswerBroken(Exception):
    """The connection ended, or what came is no answer in the strict reading. Quotes nothing of it."""


class AnswerTooLarge(Exception):
    """More than was allowed."""


class AnswerTooSlow(Exception):
    """Still going on at the end of the time for the whole of it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`deadline`: of the monotonic clock, for the whole answer. `read_seconds`: for each wait."""

    deadline: float
    read_seconds: float
    body_bytes: int


def request_bytes(method: str, target: str, fields: Mapping[str, str], body: bytes | None) -> bytes:
    """The message.

    Raises:
        ValueError: something in it could end a line.
    """
    if not (_TOKEN.fullmatch(method.encode()) and _TARGET.fullmatch(target)):
        raise ValueError("a method or target that cannot stand in a request")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in fields.items():
        if not (_TOKEN.fullmatch(name.encode()) and _FIELD_VALUE.fullmatch(value)):
            raise ValueError("a header that cannot stand in a request")
        lines.append(f"{name}: {value}")
    if body is not None or method == "POST":
        lines.append(f"content-length: {len(body or b'')}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class KeptConnection:
    """A connected socket and what it has read ahead. One exchange at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._read = bytearray()
        self._may_be_kept = True

    @property
    def may_rest(self) -> bool:
        """Whether another request may follow: the answer was whole, in order, and nothing came after."""
        return self._may_be_kept and not self._read

    @property
    def has_ended(self) -> bool:
        """Whether the other side closed it, or spoke unasked, while it rested."""
        return wait_for_read(self._socket, timeout=0.0)

    def exchange(self, request: bytes, limits: Limits) -> HttpAnswer:
        """Sends the request, once, and reads the answer.

        Raises:
            AnswerBroken, AnswerTooLarge, AnswerTooSlow: no usable answer.
            OSError: the network's own failure; TimeoutError when nothing came for `read_seconds`.
        """
        kept, self._may_be_kept = self._may_be_kept, False
        self._socket.settimeout(limits.read_seconds)
        self._socket.sendall(request)
        status, fields = self._head(limits)
        while status < 200:
            status, fields = self._head(limits)
        body = self._body(status, fields, limits)
        self._may_be_kept = kept and "close" not in fields.get("connection", "").lower()
        return HttpAnswer(status=status, headers=fields, body=body)

    def close(self) -> None:
        self._socket.close()

    def _head(self, limits: Limits) -> tuple[int, dict[str, str]]:
        head = self._until(b"\r\n\r\n", limits, most_bytes=LARGEST_HEAD_BYTES)
        first, *lines = head.split(b"\r\n")
        status_line = _STATUS_LINE.fullmatch(first)
        if status_line is None:
            raise AnswerBroken
        fields: dict[str, str] = {}
        for line in lines:
            raw_name, colon, raw_value = line.partition(b":")
            if not colon or not _TOKEN.fullmatch(raw_name):
                raise AnswerBroken
            name, value = raw_name.decode("ascii").lower(), raw_value.strip(b" \t").decode("latin-1")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        if status_line[1] == b"0":
            fields.setdefault("connection", "close")
        return int(status_line[2]), fields

    def _body(self, status: int, fields: Mapping[str, str], limits: Limits) -> bytes:
        """The body. One that only the connection's end would end is refused: it may have been cut off."""
        length, coding = fields.get("content-length"), fields.get("transfer-encoding")
        if status in (204, 304):
            return b""
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise AnswerBroken
            return self._chunks(limits)
        if length is None or not _LENGTH.fullmatch(length):
            raise AnswerBroken
        if int(length) > limits.body_bytes:
            raise AnswerTooLarge
        return self._exactly(int(length), limits)

    def _chunks(self, limits: Limits) -> bytes:
        body = bytearray()
        while True:
            line = _CHUNK_SIZE.fullmatch(self._until(b"\r\n", limits, most_bytes=_LONGEST_CHUNK_LINE_BYTES))
            if line is None:
                raise AnswerBroken
            size = int(line[1], 16)
            if size == 0:
                break
            if len(body) + size > limits.body_bytes:
                raise AnswerTooLarge
            body += self._exactly(size, limits)
            if self._exactly(2, limits) != b"\r\n":
                raise AnswerBroken
        # Fields after the last chunk are read over: nothing here may depend on them.
        while self._until(b"\r\n", limits, most_bytes=LARGEST_HEAD_BYTES):
            pass
        return bytes(body)

    def _until(self, end: bytes, limits: Limits, *, most_bytes: int) -> bytes:
        """What comes before `end`, which is taken as well."""
        searched = 0
        while (found := self._read.find(end, max(0, searched - len(end) + 1))) < 0:
            searched = len(self._read)
            if searched > most_bytes:
                raise AnswerBroken
            self._more(limits)
        before = self._taken(found + len(end))
        return before[:found]

    def _exactly(self, count: int, limits: Limits) -> bytes:
        while len(self._read) < count:
            self._more(limits)
        return self._taken(count)

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken

    def _more(self, limits: Limits) -> None:
        if time.monotonic() > limits.deadline:
            raise AnswerTooSlow
        received = self._socket.recv(_READ_BYTES)
        if not received:
            raise AnswerBroken
        self._read += received
