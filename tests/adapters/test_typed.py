"""What a type checker says of applications: guards keep signatures, principals have their types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FASTAPI = """
from typing import Annotated

from fastapi import Depends, FastAPI, Security
from typing_extensions import assert_type

from entrada import AppPrincipal, Entrada, UserPrincipal
from entrada.adapters.fastapi import current_principal, install, optional_principal, roles_required

app = FastAPI()
entra = install(app, Entrada.from_environment())


@app.get("/me")
async def me(person: Annotated[UserPrincipal, Depends(current_principal)]) -> dict[str, str]:
    assert_type(person.roles, frozenset[str])
    return {"name": person.name}


@app.get("/maybe")
def maybe(person: Annotated[UserPrincipal | None, Depends(optional_principal)]) -> str:
    return person.email  # ERROR union-attr, return-value


@app.get("/files", dependencies=[Depends(roles_required("Editor"))])
def files(caller: Annotated[UserPrincipal | AppPrincipal, Security(entra, scopes=["Files.Read"])]) -> str:
    assert_type(caller.tenant_id, int)  # ERROR assert-type
    return caller.name


async def direct() -> None:
    roles_required(1)  # ERROR arg-type
"""
STARLETTE = """
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket
from typing_extensions import assert_type

from entrada import AppPrincipal, UserPrincipal
from entrada.adapters.starlette import current_principal, login_required, principal_of, roles_required


@login_required
async def page(request: Request) -> Response:
    assert_type(principal_of(request), UserPrincipal | None)
    assert_type(current_principal(request), UserPrincipal | AppPrincipal | None)
    return PlainTextResponse(principal_of(request).name)  # ERROR union-attr


@roles_required("Editor")
async def live(socket: WebSocket, *, room: str = "all") -> None: ...


async def direct(socket: WebSocket, request: Request) -> None:
    await live(socket, room=1)  # ERROR arg-type
    await live(socket, room="x")
    assert_type(await page(request), Response)
"""
FLASK = """
from flask import Flask
from typing_extensions import assert_type

from entrada import AppPrincipal, Entrada, UserPrincipal
from entrada.adapters.flask import EntradaFlask, current_principal, login_required, scopes_required

app = Flask(__name__)
EntradaFlask(Entrada.from_values(tenant_id="contoso.test", client_id="x", client_secret=None)).init_app(app)
Entrada.from_values(tenant="contoso.test")  # ERROR call-arg
Entrada.from_values(session_idle=8)  # ERROR arg-type


@app.get("/drafts/<int:number>")
@login_required
def draft(number: int) -> dict[str, int]:
    assert_type(current_principal, UserPrincipal | AppPrincipal)
    return {"draft": number}


@scopes_required("Files.Read", roles=["Editor"])
def files() -> str:
    return current_principal.name


assert_type(draft(1), dict[str, int])
draft("1")  # ERROR arg-type
scopes_required("Files.Read", callers="person")  # ERROR arg-type
"""
QUART = """
from quart import Quart
from typing_extensions import assert_type

from entrada import Entrada
from entrada.adapters.quart import EntradaQuart, current_principal, login_required

app = Quart(__name__)
EntradaQuart(Entrada.from_environment(), app)


@login_required
async def me(number: int) -> str:
    return current_principal.nam  # ERROR union-attr, no-any-return


async def direct() -> None:
    assert_type(await me(1), str)
    await me("1")  # ERROR arg-type
"""
TORNADO = """
from tornado.web import Application, RequestHandler
from typing_extensions import assert_type

from entrada import AppPrincipal, Entrada, UserPrincipal
from entrada.adapters.tornado import EntradaMixin, current_principal, install, roles_required


class Page(EntradaMixin, RequestHandler):
    @roles_required("Editor")
    async def get(self, number: str) -> None:
        assert_type(current_principal(self), UserPrincipal | AppPrincipal | None)
        self.write({"number": number})


install(Application([(r"/(.*)", Page)]), Entrada.from_environment())
install(Application([]), "entrada")  # ERROR arg-type


async def direct(page: Page) -> None:
    await page.get(1)  # ERROR arg-type
"""
DJANGO = """
from typing import Any

from typing_extensions import assert_type

from entrada import AppPrincipal, UserPrincipal
from entrada.adapters.django import current_principal, login_required, roles_required


@login_required
def me(request: Any, number: int) -> str:
    assert_type(current_principal(request), UserPrincipal | AppPrincipal | None)
    return current_principal(request).name  # ERROR union-attr


@roles_required("Editor")
async def drafts(request: Any) -> int:
    return 1


async def direct() -> None:
    me(None, "1")  # ERROR arg-type
    assert_type(await drafts(None), int)
"""
WSGI = """
from typing_extensions import assert_type
from wsgiref.types import StartResponse, WSGIEnvironment

from entrada import AppPrincipal, Entrada, UserPrincipal
from entrada.adapters.wsgi import EntradaMiddleware, current_principal, login_required


@login_required
def hello(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    assert_type(current_principal(environ), UserPrincipal | AppPrincipal | None)
    start_response(200, [])  # ERROR arg-type
    return []


application = EntradaMiddleware(hello, Entrada.from_environment())
"""
APPLICATIONS = {
    "on_fastapi.py": FASTAPI,
    "on_starlette.py": STARLETTE,
    "on_flask.py": FLASK,
    "on_quart.py": QUART,
    "on_tornado.py": TORNADO,
    "on_django.py": DJANGO,
    "on_wsgi.py": WSGI,
}
MARK = "  # ERROR "


def test_an_application_of_each_framework_passes_mypy_strict_and_mistakes_do_not(tmp_path: Path) -> None:
    """Exactly the marked lines are wrong, each for its reason: everything else has the types it should."""
    expected: set[tuple[str, int, str]] = set()
    for name, text in APPLICATIONS.items():
        (tmp_path / name).write_text(text, "utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            for reason in line.partition(MARK)[2].split(", ") if MARK in line else ():
                expected.add((name, number, reason))
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\ncache_dir = cache\n[mypy-django.*]\nignore_missing_imports = true\n", "utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", *APPLICATIONS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    found: set[tuple[str, int, str]] = set()
    for line in done.stdout.splitlines():
        if ": error: " in line:
            place, _, said = line.partition(": error: ")
            found.add((place.split(":")[0], int(place.split(":")[1]), said.rpartition("[")[2].rstrip("]")))
    assert found == expected, done.stdout + done.stderr
