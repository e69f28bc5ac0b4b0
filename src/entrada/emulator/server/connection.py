"""One connection: HTTP/1.1 read with httptools, and each request answered in one write.

No web server stands in between: signing is to stay the only expensive step of a token, and the start quick.
Requests of one connection are answered in their order, one at a time; a client that does not read its
responses is not read from either, so that what it sent ahead cannot pile up.
Refuses what is not HTTP (400) or has a head without end (431), and knows no protocol to upgrade to.
Source: RFC 9110, RFC 9112; RFC 6585, section 5.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

import httptools

from ..faults.wire import DropConnection
from ..protocol.http import MAX_BODY_BYTES, Parameters, Request, Response
from .application import Application

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_NO_CONTENT = 204
_MAX_HEAD_BYTES = 64 * 1024
_MAX_WAITING = 16
"""So many requests sent ahead may wait for a response; then nothing more is read."""


class Connection(asyncio.Protocol):
    """One client's connection to one listener, named by `base_url`.  `all_open` holds it while it lasts."""

    _transport: asyncio.Transport

    def __init__(self, application: Application, base_url: str, all_open: set[Connection]) -> None:
        self._application = application
        self._base_url = base_url
        self._all_open = all_open
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._busy: asyncio.Task[None] | None = None
        self._unread = False
        self._holding = False
        self._read_anew()

    def cut(self) -> None:
        """End the connection at once, whatever was promised."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop, as are the next two."""
        # uvloop's transports are such in all but ancestry.
        self._transport = cast(asyncio.Transport, transport)
        self._all_open.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Nobody waits for an answer any more."""
        self._all_open.discard(self)
        if self._busy is not None:
            self._busy.cancel()

    def pause_writing(self) -> None:
        """The client reads too slowly: answer nothing and read nothing until it has caught up."""
        self._unread = True

    def resume_writing(self) -> None:
        """It has: go on with what it sent meanwhile, and read again when that is answered."""
        self._unread = False
        self._answer_next()

    def data_received(self, data: bytes) -> None:
        """Read on; the parser calls the methods below."""
        try:
            while data:
                data = self._fed(data)
        except httptools.HttpParserError:
            self._send(Response(status=400, body=b"This is not HTTP."), method="", last=True)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._send(
                Response(status=431, body=b"The head of this request is too large."), method="", last=True
            )

    def _fed(self, data: bytes) -> bytes:
        """What is still to be read: something only behind a request that asked for another protocol."""
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # That request was answered as if it had not asked; the parser would read no further.
            self._read_anew()
            return data[upgrade.args[0] :]
        return b""

    def _read_anew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._head_bytes = 0
        self.on_message_begin()

    def on_message_begin(self) -> None:
        """Called by the parser, as are the next ones: a request begins."""
        self._target, self._body = b"", b""
        self._headers: dict[str, str] = {}

    def on_url(self, part: bytes) -> None:
        """A part of the request target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header; several cookies are one, of other headers the last counts."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key == "cookie" and key in self._headers:
            text = f"{self._headers[key]}; {text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        """Let a client that asks first send its body."""
        self._head_bytes = 0
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """A part of the body; of one that is too large enough is kept to see that it is."""
        self._head_bytes = 0
        if len(self._body) <= MAX_BODY_BYTES:
            self._body += part

    def on_message_complete(self) -> None:
        """The request is whole: answer it, when those before it are answered."""
        parser, self._head_bytes = self._parser, 0
        path, _, query = self._target.decode("latin-1").partition("?")
        request = Request(
            method=parser.get_method().decode("latin-1"),
            path=_path(path),
            query=Parameters(query),
            headers=self._headers,
            body=self._body,
            base_url=self._base_url,
        )
        last = not parser.should_keep_alive() or parser.get_http_version() != "1.1"
        self._waiting.append((request, last))
        self._answer_next()

    def _answer_next(self) -> None:
        while self._waiting and self._busy is None and not self._unread:
            request, last = self._waiting.popleft()
            if self._application.spoiled:
                answering = self._answer_spoiled(request, last)
                self._busy = asyncio.get_running_loop().create_task(answering)
            else:
                self._send(self._application.answer(request), method=request.method, last=last)
        if (len(self._waiting) > _MAX_WAITING or self._unread) != self._holding:
            self._holding = not self._holding
            (self._transport.pause_reading if self._holding else self._transport.resume_reading)()

    async def _answer_spoiled(self, request: Request, last: bool) -> None:
        try:
            response = await self._application.answer_spoiled(request)
        except DropConnection:
            self.cut()
            return
        self._send(response, method=request.method, last=last)
        self._busy = None
        self._answer_next()

    def _send(self, response: Response, *, method: str, last: bool) -> None:
        if self._transport.is_closing():
            return
        head = _head(response, date=self._application.clock.http_date(), last=last)
        self._transport.write(head if method == "HEAD" else head + response.body)
        if last:
            self._transport.close()


def _path(target: str) -> str:
    """The decoded path of a request target; a proxy's client sends the whole address."""
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    return unquote(target) if "%" in target else target


def _head(response: Response, *, date: str, last: bool) -> bytes:
    """Status line and headers, ready to be followed by the body."""
    lines = [f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, '')}", f"date: {date}"]
    if response.status != _NO_CONTENT:
        lines += [f"content-type: {response.content_type}", f"content-length: {len(response.body)}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if last:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
