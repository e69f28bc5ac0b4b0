"""What the gateway reads of an ASGI request that frameworks have already lost: the target as it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from starlette.types import Scope

from entrada.gateway.fields import Field
from entrada.web.messages import WebRequest

TARGET = "entrada.target"
"""The key of a scope under which the server's protocol keeps the request target, to the byte."""


def target_of(scope: Scope) -> bytes:
    """The request target. Without our own protocol a fragment in it is lost, as the server left it out."""
    target: bytes | None = scope.get(TARGET)
    if target is not None:
        return target
    query: bytes = scope["query_string"]
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    return raw_path + (b"?" + query if query else b"")


def peer_of(scope: Scope) -> str | None:
    """The address of the peer; None on a unix socket."""
    client: Sequence[Any] | None = scope.get("client")
    return str(client[0]) if client and client[0] else None


def forwarded_request(*, method: str, host: str, target: bytes, fields: Sequence[Field]) -> WebRequest:
    """The request that a proxy asks about, as the sign-in pages would see it."""
    path, _, query = target.partition(b"?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        separator = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{separator}{value}" if name in headers else value
    headers["host"] = host
    return WebRequest(
        method=method,
        path=unquote(path.decode("latin-1"), errors="replace"),
        raw_path=path.decode("latin-1"),
        query=query.decode("latin-1"),
        headers=headers,
    )


def is_from_this_host(visit: WebRequest) -> bool:
    """Whether the page that opens a connection is of this host: browsers say, other programs need not (K15).

    Compared as text: an Origin is a scheme and an authority, or `null`, which is no host's.
    """
    origin = visit.headers.get("origin")
    return origin is None or origin.partition("://")[2] == visit.headers["host"]


def opens_socket(visit: WebRequest) -> bool:
    """Whether the request asks for a WebSocket. Proxies that ask may have taken the hop's fields away."""
    return "sec-websocket-key" in visit.headers or "upgrade" in visit.headers
