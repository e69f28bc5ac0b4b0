"""What an ASGI application sends, until it is known whether it is the response.

A guard that can only raise leaves its own response with the visitor, and that is sent. A mounted application
says 500 before it hands on what it has not caught: that may be a refusal of ours, so a 500 waits until the
application is done.

Source: ASGI specification, "HTTP & WebSocket ASGI Message Format" 2.5.
"""

from __future__ import annotations

from collections.abc import Iterator

from entrada.adapters.asgi_sockets import Message, Send
from entrada.web.guards import Visitor
from entrada.web.messages import WebResponse

BROKEN = 500


class Sending:
    """The `send` of one request's application. `has_begun`: its client has got something."""

    def __init__(self, visitor: Visitor, send: Send) -> None:
        self.has_begun = False
        self._visitor, self._send = visitor, send
        self._held: list[Message] = []

    async def __call__(self, message: Message) -> None:
        """See above. A 500 that goes on for longer is not waited for."""
        refused = self._visitor.refused
        if refused is None and not self.has_begun and (self._held or message.get("status") == BROKEN):
            self._held.append(message)
            if message.get("more_body", False):
                await self.let_go()
            return
        self.has_begun = True
        if refused is None:
            await self._send(message)
        elif message["type"] == "http.response.start":
            whole = refused.with_headers(*_for_other_origins(message))
            await respond(whole, self._send, head=self._visitor.request.method == "HEAD")

    async def let_go(self) -> None:
        """Sends what was held back."""
        while self._held:
            self.has_begun = True
            await self._send(self._held.pop(0))


def _for_other_origins(message: Message) -> Iterator[tuple[str, str]]:
    """What the application says of pages of other origins: without it they may not read a refusal."""
    for name, value in message.get("headers", ()):
        if name.lower() == b"vary" or name.lower().startswith(b"access-control-"):
            yield name.decode("latin-1").lower(), value.decode("latin-1")


async def respond(response: WebResponse, send: Send, *, head: bool = False) -> None:
    """Send the whole response; `head`: without its body, as a HEAD request wants it."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
