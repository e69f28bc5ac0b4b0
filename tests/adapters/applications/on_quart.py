"""Quart."""

from __future__ import annotations

from typing import Any

from quart import Quart, Response, request, websocket

from adapters.applications.numbers import lines_async
from entrada import Entrada
from entrada.adapters.quart import (
    EntradaQuart,
    current_principal,
    login_required,
    roles_required,
    scopes_required,
    token_for,
)
from entrada.entra.callers import CallerKind

app = Quart(__name__)
EntradaQuart(Entrada.from_environment()).init_app(app)
both = (CallerKind.PERSON, CallerKind.APPLICATION)


@app.get("/")
async def front_page() -> dict[str, Any]:
    return {
        "name": current_principal.name if current_principal else None,
        "roles": sorted(current_principal.roles) if current_principal else [],
        "query": request.query_string.decode("latin-1"),
    }


@app.get("/members/<path:rest>")
@login_required
async def member(rest: str) -> dict[str, Any]:
    return await front_page()


app.get("/editors/all", endpoint="editors")(roles_required("Editor", "Admin")(front_page))
app.get("/files", endpoint="files")(scopes_required("access_as_user")(front_page))
app.get("/jobs", endpoint="jobs")(
    scopes_required("access_as_user", roles=["Editor"], callers=both)(front_page)
)


@app.get("/mail")
@login_required
async def mail() -> dict[str, Any]:
    return {"api": (await token_for(["Mail.Read"])).scopes}


@app.get("/stream")
@login_required
async def stream() -> Response:
    return Response(lines_async(request.query_string.decode()))


@app.websocket("/live")
@login_required
async def live() -> None:
    while True:
        await websocket.send(await websocket.receive())
