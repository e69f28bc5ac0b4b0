"""Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from adapters.applications.numbers import lines_async
from entrada import Entrada
from entrada.adapters.starlette import (
    EntradaMiddleware,
    current_principal,
    login_required,
    roles_required,
    scopes_required,
    token_for,
)
from entrada.entra.callers import CallerKind


async def who(request: Request) -> Response:
    principal = current_principal(request)
    return JSONResponse(
        {
            "name": principal.name if principal else None,
            "roles": sorted(principal.roles) if principal else [],
            "query": request.url.query,
        }
    )


@login_required
async def stream(request: Request) -> Response:
    return StreamingResponse(lines_async(request.url.query))


@login_required
async def mail(request: Request) -> Response:
    return JSONResponse({"api": (await token_for(request, ["Mail.Read"])).scopes})


@login_required
async def live(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


both = (CallerKind.PERSON, CallerKind.APPLICATION)
app = Starlette(
    routes=[
        Route("/", who),
        Route("/members/{rest:path}", login_required(who)),
        Route("/editors/all", roles_required("Editor", "Admin")(who)),
        Route("/files", scopes_required("access_as_user")(who)),
        Route("/jobs", scopes_required("access_as_user", roles=["Editor"], callers=both)(who)),
        Route("/mail", mail),
        Route("/stream", stream),
        WebSocketRoute("/live", live),
    ],
    middleware=[Middleware(EntradaMiddleware, entrada=Entrada.from_environment())],
)
