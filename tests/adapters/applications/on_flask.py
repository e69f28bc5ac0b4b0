"""Flask: views of its own, and a blueprint that is guarded as a whole."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, request

from adapters.applications.numbers import lines
from entrada import Entrada
from entrada.adapters.flask import (
    EntradaFlask,
    current_principal,
    login_required,
    roles_required,
    scopes_required,
    token_for,
)
from entrada.entra.callers import CallerKind

app = Flask(__name__)
EntradaFlask(Entrada.from_environment()).init_app(app)
both = (CallerKind.PERSON, CallerKind.APPLICATION)


def shown() -> dict[str, Any]:
    return {
        "name": current_principal.name if current_principal else None,
        "roles": sorted(current_principal.roles) if current_principal else [],
        "query": request.query_string.decode("latin-1"),
    }


@app.get("/")
def front_page() -> dict[str, Any]:
    return shown()


members = Blueprint("members", __name__, url_prefix="/members")
members.before_request(login_required(lambda: None))


@members.get("/<path:rest>")
def member(rest: str) -> dict[str, Any]:
    return shown()


app.register_blueprint(members)


@app.get("/editors/all")
@roles_required("Editor", "Admin")
def editors() -> dict[str, Any]:
    return shown()


@app.get("/files")
@scopes_required("access_as_user")
def files() -> dict[str, Any]:
    return shown()


@app.get("/jobs")
@scopes_required("access_as_user", roles=["Editor"], callers=both)
def jobs() -> dict[str, Any]:
    return shown()


@app.get("/mail")
@login_required
def mail() -> dict[str, Any]:
    return {"api": token_for(["Mail.Read"]).scopes}


@app.get("/stream")
@login_required
def stream() -> Response:
    return Response(lines(request.query_string.decode()))
