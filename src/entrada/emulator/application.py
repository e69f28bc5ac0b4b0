"""The ASGI application: read the request, find its endpoint, apply faults, answer, write it down.

Raw ASGI, no framework: signing is the only expensive step of a token, and is to stay so.
Both listeners serve this one application; which one was asked is told by the scheme.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from . import wire_faults
from .faults import WIRE_FAULTS
from .http import MAX_BODY_BYTES, Parameters, Request, Response
from .routes import find_endpoint
from .world import World

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

ABORT = "entrada.abort"
"""The scope member by which the listener lets the application cut a connection."""


class Application:
    """One emulator as an ASGI application."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = await self._read(scope, receive)
        if request is None:
            await _send(send, Response(status=413, body=b"The request is too large."), scope["method"])
            return
        endpoint, answer = find_endpoint(self._world, request)
        try:
            response = (
                await self._faulty(endpoint, request, answer) if self._world.faults else _answer(answer)
            )
        except wire_faults.DropConnection:
            self._world.log.add(request, endpoint, 0, self._world.clock.now())
            abort = scope.get(ABORT)
            if abort is not None:
                abort()
            return
        self._world.log.add(request, endpoint, response.status, self._world.clock.now())
        if self._world.changed is not None:
            self._world.changed()
        await _send(send, response, scope["method"])

    async def _faulty(self, endpoint: str, request: Request, answer: Callable[[], Response]) -> Response:
        """The answer when faults are on; the control API itself is never spoiled."""
        if endpoint == "control":
            return _answer(answer)
        name = _fault_name(endpoint, request)
        fault = self._world.faults.take(WIRE_FAULTS, name)
        if fault is None:
            return _answer(answer)
        replacement = await wire_faults.before(fault, name)
        return replacement or wire_faults.after(fault, _answer(answer))

    async def _read(self, scope: Scope, receive: Receive) -> Request | None:
        body = b""
        if scope["method"] not in ("GET", "HEAD"):
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    return None
        world = self._world
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1")
            text = value.decode("latin-1")
            headers[key] = f"{headers[key]}; {text}" if key == "cookie" and key in headers else text
        return Request(
            method=scope["method"],
            path=scope["path"],
            query=Parameters(scope["query_string"].decode("latin-1")),
            headers=headers,
            body=body,
            base_url=world.https_url if scope["scheme"] == "https" else world.http_url,
        )


def _fault_name(endpoint: str, request: Request) -> str:
    return f"graph:{unquote(request.path)}" if endpoint == "graph" else endpoint


def _answer(answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except Exception:
        # A defect of the emulator itself: say so instead of looking like one of Entra's failures.
        traceback.print_exc()
        return Response(status=500, body=b"The emulator itself failed; its terminal shows where.")


async def _send(send: Send, response: Response, method: str) -> None:
    headers = [
        (b"content-type", response.content_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
    ]
    headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else response.body})
