"""Plain ASGI."""

from __future__ import annotations

import json
from typing import Any

from adapters.applications.numbers import lines_async
from entrada import Entrada
from entrada.adapters.asgi import (
    EntradaMiddleware,
    close_code_of,
    refusal_of,
    respond,
    token_for,
    visitor_of,
)
from entrada.entra.callers import CallerKind
from entrada.web.guards import SIGNED_IN, Requirement

GUARDS = {
    "/members": SIGNED_IN,
    "/editors": Requirement(roles=["Editor", "Admin"]),
    "/files": Requirement(scopes=["access_as_user"]),
    "/jobs": Requirement(
        roles=["Editor"],
        scopes=["access_as_user"],
        callers=frozenset({CallerKind.PERSON, CallerKind.APPLICATION}),
    ),
    "/mail": SIGNED_IN,
    "/stream": SIGNED_IN,
    "/live": SIGNED_IN,
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    visitor = visitor_of(scope)
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    required = GUARDS.get("/" + path.split("/")[1])
    refused = None if required is None else await refusal_of(visitor, required)
    if scope["type"] == "websocket":
        await receive()
        if refused is not None:
            await send({"type": "websocket.close", "code": close_code_of(refused)})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if refused is not None:
        await respond(refused, send)
        return
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for line in lines_async(scope["query_string"].decode()):
            await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
        await send({"type": "http.response.body"})
        return
    principal = visitor.principal
    who = {
        "name": principal.name if principal else None,
        "roles": sorted(principal.roles) if principal else [],
        "query": scope["query_string"].decode("latin-1"),
    }
    if path == "/mail":
        who["api"] = list((await token_for(scope, ["Mail.Read"])).scopes)
    body = json.dumps(who).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = EntradaMiddleware(application, Entrada.from_environment())
