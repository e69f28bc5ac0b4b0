"""Connections to upstreams: HTTP/1.1 on httptools, persistent, with back-pressure both ways.

    Pool                of one upstream (http, https or a unix socket): idle connections, newest first
    UpstreamConnection  one request after another: the response's head, its body in pieces, or bytes after 101

A response is read no faster than the client takes it: beyond `HIGH_WATER_BYTES` the socket is not read.
Interim responses (1xx) are not passed on, and neither are trailers: RFC 9110 lets an intermediary drop both.
docs/adr/0023 says why this is no library's client.

Source: RFC 9112, sections 6, 7 and 9; RFC 9110, sections 6.5.1, 7.8 and 15.2.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

from entrada.errors import UpstreamNotTrusted, UpstreamUnavailable
from entrada.gateway.fields import Field

HIGH_WATER_BYTES = 256 * 1024
MOST_IDLE = 64
CONNECT_SECONDS = 5.0
LARGEST_HEAD_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class ResponseHead:
    status: int
    fields: list[Field]


class UpstreamConnection(asyncio.Protocol):
    """One connection. Used by one request at a time; `is_reusable` once that is done."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # given by connection_made
        self.after_101: Callable[[bytes], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.answered = False
        """Whether a byte of a response to this request has come: then it cannot be sent again."""
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._failed = ""
        self._begin("GET")

    def _begin(self, method: str) -> None:
        self._method = method
        self._fields: list[Field] = []
        self._head_bytes = 0
        self._head: asyncio.Future[ResponseHead] = self._loop.create_future()
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._arrived = asyncio.Event()
        self._is_complete = False
        self._keeps_alive = False
        self._upgraded = False
        self._ends_with_connection = False
        self.early = b""
        """What came behind the head of a 101."""
        self._in_head = True
        self.answered = False
        self.is_sending = False
        """Whether the body of the request is still being sent."""
        self._moved_at = self._loop.time()

    # --- asking ---

    def send_head(self, method: str, head: bytes) -> None:
        self._begin(method)
        self.transport.write(head)

    async def write(self, data: bytes) -> None:
        """Writes, and waits while the upstream takes nothing.

        Raises:
            UpstreamUnavailable: the connection is gone.
        """
        self.check()
        self.transport.write(data)
        if not self._can_write.is_set():
            await self._can_write.wait()
            self.check()
        self._moved_at = self._loop.time()

    async def head(self, seconds: float) -> ResponseHead:
        """What is answered. The time counts from the end of the request: while it is sent, it is no silence.

        Raises:
            UpstreamUnavailable: no head in time, or none that is HTTP.
        """
        self._timer = self._loop.call_later(seconds, self._time_out, seconds)
        try:
            return await self._head
        finally:
            self._timer.cancel()

    async def chunk(self) -> bytes:
        """The next piece of the body, whatever has come; empty at its end.

        Raises:
            UpstreamUnavailable: the connection ended before the body did.
        """
        while not self._chunks:
            if self._is_complete:
                return b""
            self.check()
            self._arrived.clear()
            await self._arrived.wait()
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        if self._buffered > HIGH_WATER_BYTES and not self.transport.is_closing():
            self.transport.resume_reading()
        self._buffered = 0
        return data

    @property
    def has_chunks(self) -> bool:
        return bool(self._chunks)

    @property
    def is_complete(self) -> bool:
        """Whether the whole body has come, taken or not."""
        return self._is_complete

    @property
    def is_reusable(self) -> bool:
        return (
            self._is_complete and self._keeps_alive and not self._failed and not self.transport.is_closing()
        )

    @property
    def is_writable(self) -> bool:
        return self._can_write.is_set()

    def check(self) -> None:
        if self._failed:
            raise UpstreamUnavailable(reason=self._failed)

    def close(self) -> None:
        self.transport.abort()

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's

    def data_received(self, data: bytes) -> None:
        if self.after_101 is not None:
            self.after_101(data)
            return
        if self._is_complete:
            self._fail("more than it was asked for")  # and never kept for the next request (K52)
            return
        self.answered = True
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD_BYTES:
                self._fail("a head without end")
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.early = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._fail("a response that is no HTTP")
        else:
            if self._is_complete and not self._keeps_alive:
                self.transport.close()

    def eof_received(self) -> bool:
        # A body without a length ends with the connection: the parser knows whether that is so.
        if not self._is_complete and self._head.done() and self._ends_with_connection:
            self._is_complete, self._keeps_alive = True, False
            self._arrived.set()
        return False

    def connection_lost(self, _: Exception | None) -> None:
        if not self._is_complete:
            self._fail("the connection ended early")
        self._can_write.set()
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()
        if self.on_writable is not None:
            self.on_writable()

    def _time_out(self, seconds: float) -> None:
        waits_for_client = self.is_sending and self._can_write.is_set()
        left = seconds if waits_for_client else self._moved_at + seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._time_out, seconds)
        elif not self._head.done():
            self._head.set_exception(UpstreamUnavailable(reason="no response in time", timed_out=True))
            self.close()

    def _fail(self, why: str) -> None:
        self._failed = self._failed or why
        if not self._head.done():
            self._head.set_exception(UpstreamUnavailable(reason=why))
            self._head.exception()  # whoever waits gets it; nobody waiting is no mistake
        self._arrived.set()
        self._can_write.set()
        if self.transport is not None:
            self.transport.abort()

    # --- what the parser calls ---

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            return
        self._in_head = False
        self._upgraded = status == 101
        self._keeps_alive = self._parser.should_keep_alive()
        names = {name.lower() for name, _ in self._fields}
        self._ends_with_connection = not names & {b"content-length", b"transfer-encoding"}
        if not self._head.done():  # whoever waited may have been cancelled
            self._head.set_result(ResponseHead(status=status, fields=self._fields))
        if self._method == "HEAD":
            # Its length is that of a body which does not come; httptools cannot be told, so it starts anew.
            self._is_complete = True
            self._parser = httptools.HttpResponseParser(self)
            self._arrived.set()

    def on_body(self, body: bytes) -> None:
        if self._method == "HEAD":
            self._fail("a body in response to HEAD")
            return
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER_BYTES and not self.transport.is_closing():
            self.transport.pause_reading()
        self._arrived.set()

    def on_message_complete(self) -> None:
        if self._in_head:
            self._fields = []  # an interim response ended; the real one follows
            return
        self._is_complete = not self._upgraded
        self._arrived.set()


@dataclass(kw_only=True)
class Pool:
    """Connections to one upstream. `origin` as `entrada.gateway.tables.parse_upstream` has it."""

    origin: str
    tls: ssl.SSLContext | None = None
    """For https; None: the system's authorities."""
    server_name: str | None = None
    """The name that the certificate must be for; None: the host of `origin`."""
    is_closed: bool = False
    """Nothing is kept for a next request: there will be none."""
    _idle: list[UpstreamConnection] = field(default_factory=list, repr=False)

    async def connection(self, *, fresh: bool = False) -> tuple[UpstreamConnection, bool]:
        """A connection, and whether it has been used before.

        Raises:
            UpstreamUnavailable: none could be opened.
        """
        while self._idle and not fresh:
            idle = self._idle.pop()
            if idle.is_reusable:
                return idle, True
        loop = asyncio.get_running_loop()
        parts = urlsplit(self.origin)
        try:
            if parts.scheme == "unix":
                opening = loop.create_unix_connection(UpstreamConnection, self.origin.removeprefix("unix:"))
            else:
                is_tls = parts.scheme == "https"
                port = parts.port or (443 if is_tls else 80)
                opening = loop.create_connection(
                    UpstreamConnection,
                    parts.hostname or "",
                    port,
                    ssl=(self.tls or ssl.create_default_context()) if is_tls else None,
                    server_hostname=(self.server_name or parts.hostname) if is_tls else None,
                )
            _, made = await asyncio.wait_for(opening, CONNECT_SECONDS)
        except asyncio.TimeoutError:
            raise UpstreamUnavailable(
                reason=f"{self.origin}: no connection in time", timed_out=True
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise UpstreamNotTrusted(
                reason=f"{self.origin}: its certificate: {error.verify_message}"
            ) from None
        except OSError as error:
            raise UpstreamUnavailable(reason=f"{self.origin}: no connection ({_why(error)})") from None
        return made, False

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keeps it for the next request, if it may be; closes it otherwise."""
        if connection.is_reusable and not self.is_closed and len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Closes what waits; what is in use is closed when it is given back."""
        self.is_closed = True
        while self._idle:
            self._idle.pop().close()


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or type(error).__name__).lower().replace('_', ' ')}"
    return error.strerror or type(error).__name__
