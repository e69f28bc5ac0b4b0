"""Plain WSGI."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from adapters.applications.numbers import lines
from entrada import Entrada
from entrada.adapters.wsgi import (
    EntradaMiddleware,
    current_principal,
    login_required,
    roles_required,
    scopes_required,
    token_for,
)
from entrada.entra.callers import CallerKind


def who(environ: Any, start_response: Any) -> Iterable[bytes]:
    principal = current_principal(environ)
    start_response("200 OK", [("Content-Type", "application/json")])
    shown = {
        "name": principal.name if principal else None,
        "roles": sorted(principal.roles) if principal else [],
        "query": environ["QUERY_STRING"],
    }
    return [json.dumps(shown).encode()]


@login_required
def stream(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (line.encode() for line in lines(environ["QUERY_STRING"]))


@login_required
def mail(environ: Any, start_response: Any) -> Iterable[bytes]:
    scopes = list(token_for(environ, ["Mail.Read"]).scopes)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"api": scopes}).encode()]


both = (CallerKind.PERSON, CallerKind.APPLICATION)
PAGES = {
    "": who,
    "members": login_required(who),
    "editors": roles_required("Editor", "Admin")(who),
    "files": scopes_required("access_as_user")(who),
    "jobs": scopes_required("access_as_user", roles=["Editor"], callers=both)(who),
    "mail": mail,
    "stream": stream,
}


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    page = PAGES.get(environ["PATH_INFO"].strip("/").partition("/")[0])
    if page is None:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    return page(environ, start_response)


app = EntradaMiddleware(application, Entrada.from_environment())
