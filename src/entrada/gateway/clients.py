"""Whose request it is when a proxy brings it: the last hop that is not one of our trusted proxies.

Only a listed hop's X-Forwarded-For is believed, and only the entries that listed hops have added (D3).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from entrada.gateway.asgi import peer_of
from entrada.gateway.hops import TrustedHops
from entrada.web.peers import address_in


class ClientOfTrustedProxies:
    """Puts the client's address in the place of the proxy's, for whoever counts by it."""

    def __init__(self, app: ASGIApp, *, hops: TrustedHops) -> None:
        self._app = app
        self._hops = hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._hops.trust(peer_of(scope)):
            client = client_behind(scope, self._hops)
            if client is not None:
                scope = {**scope, "client": (client, 0)}
        await self._app(scope, receive, send)


def client_behind(scope: Scope, hops: TrustedHops) -> str | None:
    """The address nearest to us that is no trusted hop; None when the proxy has named none."""
    lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    named = b",".join(lines).decode("latin-1").split(",") if lines else []
    for text in reversed(named):
        address = address_in(text)
        if address is None:
            return None
        if not hops.trust(str(address)):
            return str(address)
    return None
