"""Upgraded connections: after the upstream's 101, bytes both ways, and an end when the session's end is told.

The server's protocol keeps what an upgrade needs: it holds back what a client sends behind the head of its
request until the upstream has answered, and closes a connection whose upgrade was refused: what follows on it
is no HTTP. Trailers of a request are dropped, so that none becomes a header of it.

    tunnels_for(upgrade)     whether bytes of this protocol may pass unread: not where they are HTTP again
                             (h2c and its drafts), or the rules would hold for the first request alone

Source: RFC 9110, sections 6.5.1 and 7.8; RFC 9113, section 3.1 (h2c); RFC 6455, section 4.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

import httptools

from entrada.gateway.fields import Field
from entrada.gateway.http_protocol import LimitedHttpProtocol
from entrada.gateway.upstream import UpstreamConnection

CONNECTION = "entrada.connection"
"""The key of a scope under which its connection stands."""

MOST_EARLY_BYTES = 64 * 1024

_HTTP_AGAIN = re.compile(rb"(?:h[23]|http|spdy|quic|tls|connect).*", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")


def tunnels_for(upgrade: bytes) -> bool:
    """Whether the value of an Upgrade field names one protocol whose bytes may pass unread."""
    return bool(_TOKEN.fullmatch(upgrade)) and not _HTTP_AGAIN.fullmatch(upgrade)


class TunnelHttpProtocol(LimitedHttpProtocol):
    """The server's protocol where there are upstreams. See `limited_protocol`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self._upstream: UpstreamConnection | None = None
        self._is_upgrade = False
        self._early = b""
        self.parser = _Parser(self)
        with suppress(AttributeError):  # httptools before 0.6.3
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        super().connection_made(transport)

    def on_headers_complete(self) -> None:
        # The list goes on being filled with trailers: the application gets what stood in the head.
        self.scope["headers"] = list(self.headers)
        self.scope[CONNECTION] = self  # type: ignore[literal-required]  # ours, beside the server's
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        if self._upstream is not None:
            self._to_upstream(self._upstream, data)
        elif self._is_upgrade:
            self.note_early(data)
        else:
            super().data_received(data)

    def note_early(self, data: bytes) -> None:
        """Keeps what came behind the head of an upgrade."""
        self._is_upgrade = True
        self._early += data
        if len(self._early) > MOST_EARLY_BYTES:
            self.give_up()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_upgrade and self._upstream is None:
            self.transport.close()

    async def tunnel(self, upstream: UpstreamConnection, fields: list[Field]) -> None:
        """Answers 101 with these fields, and passes bytes until either side ends."""
        ended = asyncio.Event()
        lines = [b"HTTP/1.1 101 Switching Protocols\r\n"]
        lines += [name + b": " + value + b"\r\n" for name, value in fields]
        self.cycle.response_started = True
        self.transport.write(b"".join([*lines, b"\r\n", upstream.early]))
        self._upstream = upstream
        upstream.after_101, upstream.on_lost = self._to_client, ended.set
        upstream.on_writable = self._read_on
        if self._early:
            self._to_upstream(upstream, self._early)
        self.cycle.on_response = lambda: None
        lost = asyncio.ensure_future(self._lost())
        try:
            gone = asyncio.ensure_future(ended.wait())
            await asyncio.wait({lost, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
        finally:
            lost.cancel()
            self.cycle.response_complete = True
            upstream.close()
            self.transport.close()

    def shutdown(self) -> None:
        if self._upstream is not None:
            self.transport.close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.resume_reading()

    async def _lost(self) -> None:
        while not (self.cycle.disconnected or self.transport.is_closing()):
            self.cycle.message_event.clear()
            await self.cycle.message_event.wait()

    def _to_client(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def _to_upstream(self, upstream: UpstreamConnection, data: bytes) -> None:
        if upstream.transport.is_closing():
            return
        upstream.transport.write(data)
        if not upstream.is_writable:
            self.flow.pause_reading()

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()


class _Parser(httptools.HttpRequestParser):
    """Tells the protocol what followed the head of an upgrade in the same read."""

    def __init__(self, protocol: TunnelHttpProtocol) -> None:
        super().__init__(protocol)
        self._owner = protocol

    def feed_data(self, data: Any) -> None:
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._owner.note_early(data[upgrade.args[0] :])
            raise
