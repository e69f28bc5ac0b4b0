"""One request of a client and the response to it, between its connection and an upstream's.

    send_body    the request's body, as fast as the upstream takes it, beside whatever is answered meanwhile
    respond      the response's head and body, as fast as the client takes it
    tunnel       bytes both ways, after 101
    cut, end     both sides at once; what still runs beside

Source: RFC 9112, sections 6 (6.1 for HTTP/1.0) and 7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from entrada.errors import UpstreamUnavailable
from entrada.gateway.fields import Field, connection_options
from entrada.gateway.outcome import outcome_of
from entrada.gateway.tunnels import CONNECTION, TunnelHttpProtocol, tunnels_for
from entrada.gateway.upstream import ResponseHead, UpstreamConnection


class Exchange:
    """One request of a client and the response to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.upstream: UpstreamConnection | None = None
        self._receive, self._send = receive, send
        self._tasks: list[asyncio.Task[None]] = []
        fields: list[Field] = scope["headers"]
        codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
        self.is_chunked = bool(codings)
        self.is_coded = codings not in ([], [b"chunked"])
        self.has_body = self.is_chunked or dict(fields).get(b"content-length", b"0") != b"0"
        self.is_cut = False
        """Whether it shall not go on: nothing of it is sent again."""
        self.upgrade = self._read_upgrade(fields)
        self._is_sent = not self.has_body

    def _read_upgrade(self, fields: list[Field]) -> bytes:
        wanted = [value for name, value in fields if name == b"upgrade"]
        is_asked = b"upgrade" in connection_options(fields) and len(wanted) == 1
        can = not self.has_body and self.scope["method"] == "GET" and CONNECTION in self.scope
        return wanted[0] if is_asked and can and tunnels_for(wanted[0]) else b""

    @property
    def is_sent(self) -> bool:
        return self._is_sent

    def send_body(self, upstream: UpstreamConnection) -> None:
        """Begins to send the body, beside whatever the upstream answers meanwhile."""
        upstream.is_sending = True
        self._begin(self._send_body(upstream))

    async def _send_body(self, upstream: UpstreamConnection) -> None:
        try:
            more = True
            while more:
                message = await self._receive()
                if message["type"] != "http.request":
                    upstream.close()
                    return
                data, more = message.get("body", b""), message.get("more_body", False)
                if data and self.is_chunked:
                    data = b"%x\r\n" % len(data) + data + b"\r\n"
                if not more and self.is_chunked:
                    data += b"0\r\n\r\n"
                if data:
                    await upstream.write(data)
        except UpstreamUnavailable:
            return  # whoever waits for the response learns of it
        self._is_sent, upstream.is_sending = True, False
        await self._close_when_client_goes()

    async def respond(
        self,
        upstream: UpstreamConnection,
        answer: ResponseHead,
        fields: list[Field],
        *,
        on_long: Callable[[], None],
    ) -> None:
        """Passes the response on. What does not come at once may stay long: it is watched from then on."""
        cycle = self._cycle_of_http_1_0(fields)
        if cycle is not None:
            cycle.chunked_encoding = False
        await self._send({"type": "http.response.start", "status": answer.status, "headers": fields})
        is_watched = False
        try:
            while True:
                if not (is_watched or upstream.is_complete):
                    is_watched = True
                    on_long()
                    self.heed_client()
                data = await upstream.chunk()
                more = bool(data) and not (upstream.is_complete and not upstream.has_chunks)
                if cycle is not None:
                    cycle.expected_content_length = len(data)
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
                if not more:
                    return
        except UpstreamUnavailable:
            self.cut()

    def _cycle_of_http_1_0(self, fields: list[Field]) -> RequestResponseCycle | None:
        """The server's, where a body without a length must end with the connection: 1.0 knows no chunks."""
        has_length = any(name.lower() == b"content-length" for name, _ in fields)
        connection: TunnelHttpProtocol | None = self.scope.get(CONNECTION)
        if connection is None or has_length or self.scope["http_version"] != "1.0":
            return None
        return connection.cycle

    async def tunnel(self, upstream: UpstreamConnection, fields: list[Field]) -> None:
        connection: TunnelHttpProtocol = self.scope[CONNECTION]
        outcome_of(self.scope).answers(101)
        await connection.tunnel(upstream, fields)

    def cut(self) -> None:
        """Ends both sides at once: a response that is cut off must not look whole."""
        self.is_cut = True
        connection = self.scope.get(CONNECTION)
        if connection is not None:
            connection.give_up()
        if self.upstream is not None:
            self.upstream.close()

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    def heed_client(self) -> None:
        """From now on the upstream is left when the client goes; while a body is sent, that is so anyway."""
        if self.upstream is not None and not self._tasks:
            self._begin(self._close_when_client_goes())

    async def _close_when_client_goes(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.upstream is not None and not self.upstream.is_complete:
            self.is_cut = True
            self.upstream.close()

    def _begin(self, work: Awaitable[None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))
