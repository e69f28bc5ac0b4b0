"""The server's HTTP: uvicorn's protocol on httptools, with limits on what a connection may cost.

A head over the limit is refused once that many bytes are read (431; 414 when the address alone is too long),
before any header reaches the application. Heads and bodies that come too slowly get 408.
Everything else is uvicorn's. The gateway's own answers may subclass this further.

Source: RFC 9110, sections 15.5.9 and 15.5.15; RFC 6585, section 5; RFC 9112, section 9.3.2 (pipelining).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from entrada.gateway.asgi import TARGET
from entrada.gateway.connection_limits import ConnectionLimits, ConnectionTable, Waiting
from entrada.web.limits import LARGEST_TARGET_BYTES, REFUSALS
from entrada.web.peers import peer_of


class LimitedHttpProtocol(HttpToolsProtocol):
    """Made by `limited_protocol`, which gives all connections of a server one table."""

    table: ClassVar[ConnectionTable]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.peer = peer_of(_host_of(transport))
        self.body_bytes = 0
        self._head_bytes = 0
        self._reads_head = True
        self._is_refused = False
        super().connection_made(transport)
        if not self.table.admit(self, self.loop):
            self._refuse(503, "This server has all the connections it can serve.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.table.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, a head never further than it may be long."""
        limit = self.table.limits.head_bytes
        while data and not self._is_over():
            room = limit - self._head_bytes
            part, data = data[:room], data[room:]
            if self._reads_head:
                self._head_bytes += len(part)
            super().data_received(part)
            if self._reads_head and self._head_bytes >= limit:
                self._refuse(431)
        self._note_state()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LARGEST_TARGET_BYTES:
            self._refuse(414)

    def on_headers_complete(self) -> None:
        self._reads_head, self._head_bytes, self.body_bytes = False, 0, 0
        if self._is_over():
            return
        if len(self.pipeline) >= self.table.limits.pipelined:
            self.give_up()
            return
        self.scope[TARGET] = self.url  # type: ignore[literal-required]  # ours, beside the server's
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if not self._is_over():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._reads_head = True
        if not self._is_over():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            # uvicorn reads on after each response; what is read ahead shall not grow meanwhile.
            self.flow.pause_reading()
        self._note_state()

    def handle_websocket_upgrade(self) -> None:
        self.table.remove(self)
        super().handle_websocket_upgrade()

    # --- what the table asks and does ---

    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def is_paused(self) -> bool:
        return self.flow.read_paused

    def time_out(self, waiting: Waiting) -> None:
        """The client has not sent what it began; to one that began nothing, nothing is said."""
        if self._is_refused or (waiting == "head" and self._head_bytes == 0):
            self.give_up()
            return
        if waiting == "body" and self._is_under_way() and not self.cycle.response_started:
            # The application learns that nobody is there, and the response is ours.
            self.cycle.disconnected = self.cycle.response_complete = True
            self.cycle.message_event.set()
        self._refuse(408, "This request did not come in time.")

    def give_up(self) -> None:
        """The end of the connection, at once."""
        self.transport.abort()

    def _note_state(self) -> None:
        if self._is_over():
            return
        if not self._reads_head:
            self.table.waits(self, "body", self.loop.time())
        elif self._is_under_way():
            self.table.is_served(self)
        elif self._head_bytes > 0 or self.cycle is None:
            self.table.waits(self, "head", self.loop.time())
        else:
            self.table.is_idle(self)

    def _is_under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_over(self) -> bool:
        """Whether nothing that still comes on this connection is read."""
        return self._is_refused or self.transport.is_closing()

    def _refuse(self, status: int, text: str | None = None) -> None:
        """A response of one line, and no other.

        What the client is still sending is taken and thrown away for a while: closed at once, the connection
        would be reset, and the response lost with it.
        """
        if self._is_over():
            return
        if self._is_under_way() or self.pipeline:
            self.give_up()  # a response now would be taken for that of an earlier request
            return
        body = (text or REFUSALS[status]).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self._is_refused = True
        self._unset_keepalive_if_required()
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self.flow.resume_reading()
        self.table.ends(self, self.loop.time())


def limited_protocol(
    limits: ConnectionLimits, *, of: type[LimitedHttpProtocol] = LimitedHttpProtocol
) -> type[LimitedHttpProtocol]:
    """The class for uvicorn's `http=`, for one server."""

    class OfOneServer(of):  # type: ignore[valid-type,misc]  # a class given as a value
        table = ConnectionTable(limits)

    return OfOneServer


def _host_of(transport: asyncio.Transport) -> str | None:
    address = transport.get_extra_info("peername")
    return address[0] if isinstance(address, tuple) else None
