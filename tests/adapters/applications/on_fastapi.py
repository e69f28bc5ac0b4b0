"""FastAPI: endpoints of its own, a router, and an application mounted inside."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from fastapi.responses import StreamingResponse

from adapters.applications.numbers import lines
from entrada import AppPrincipal, Entrada, UserPrincipal
from entrada.adapters.fastapi import (
    EntraScheme,
    api_token,
    current_principal,
    install,
    optional_principal,
    roles_required,
)
from entrada.entra.api_token import ApiToken
from entrada.entra.callers import CallerKind

Principal = UserPrincipal | AppPrincipal
entrada = Entrada.from_environment()
app = FastAPI()
entra = install(app, entrada)
jobs = EntraScheme(entrada, roles=["Editor"], callers=[CallerKind.PERSON, CallerKind.APPLICATION])


def shown(principal: Principal | None, request: Request) -> dict[str, Any]:
    return {
        "name": principal.name if principal else None,
        "roles": sorted(principal.roles) if principal else [],
        "query": request.url.query,
    }


@app.get("/")
async def front_page(
    request: Request, person: Annotated[UserPrincipal | None, Depends(optional_principal)]
) -> dict[str, Any]:
    return shown(person, request)


members = APIRouter(prefix="/members", dependencies=[Depends(current_principal)])


@members.get("/{rest:path}")
def member(
    request: Request, rest: str, person: Annotated[UserPrincipal, Depends(current_principal)]
) -> dict[str, Any]:
    return shown(person, request)


app.include_router(members)
editors = FastAPI()


@editors.get("/all")
async def editor(
    request: Request, person: Annotated[Principal, Depends(roles_required("Editor", "Admin"))]
) -> dict[str, Any]:
    return shown(person, request)


@app.get("/files")
async def files(
    request: Request, caller: Annotated[Principal, Security(entra, scopes=["access_as_user"])]
) -> dict[str, Any]:
    return shown(caller, request)


@app.get("/jobs")
async def job(
    request: Request, caller: Annotated[Principal, Security(jobs, scopes=["access_as_user"])]
) -> dict[str, Any]:
    return shown(caller, request)


@app.get("/mail")
def mail(token: Annotated[ApiToken, Depends(api_token("Mail.Read"))]) -> dict[str, Any]:
    return {"api": token.scopes}


@app.get("/stream", dependencies=[Depends(current_principal)])
def stream(request: Request) -> StreamingResponse:
    return StreamingResponse(lines(request.url.query))


@app.websocket("/live")
async def live(socket: WebSocket, _: Annotated[UserPrincipal, Depends(current_principal)]) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


app.mount("/editors", editors)
