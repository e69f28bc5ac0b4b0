"""K9: a guard changes who gets in, and nothing else about an endpoint."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import fastapi
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adapters.test_starlette import Client
from entrada.adapters.starlette import EntradaMiddleware, login_required, principal_of, roles_required
from flows.world import PAGE_VISIT, SCRIPT, Browser, new_browser


def database() -> str:
    return "the database"


Database = Annotated[str, fastapi.Depends(database)]


def application(browser: Browser) -> Any:
    app = fastapi.FastAPI()

    @app.get("/items/{item}")
    @login_required
    async def item(item: int, db: Database, q: str = "none") -> dict[str, Any]:
        return {"item": item, "q": q, "db": db}

    @app.get("/plain/{item}")
    @login_required
    def plain(item: int, db: Database, q: str = "none") -> dict[str, Any]:
        return {"item": item, "q": q, "db": db}

    @app.get("/editors/{item}")
    @roles_required("Editor")
    def editors(item: int) -> dict[str, Any]:
        return {"item": item}

    @app.get("/who")
    @login_required
    def who(request: Request) -> dict[str, Any]:
        person = principal_of(request)
        assert person is not None
        return {"name": person.name}

    app.add_middleware(EntradaMiddleware, auth=browser.auth)
    return app


def client_of(browser: Browser) -> Client:
    return Client(application(browser), browser.cookie_header)


@pytest.mark.parametrize("path", ["/items/7?q=x", "/plain/7?q=x"])
def test_K9_parameters_and_dependencies_are_found(path: str) -> None:
    """Path, query and Depends, of async and plain functions alike, signed in and out."""
    browser = new_browser()
    assert client_of(browser).get(path, headers=SCRIPT).status_code == 401
    assert client_of(browser).get(path, headers=PAGE_VISIT).status_code == 303
    browser.sign_in()
    got = client_of(browser).get(path, headers=SCRIPT)
    assert (got.status_code, got.json()) == (200, {"item": 7, "q": "x", "db": "the database"})
    assert client_of(browser).get("/items/no-number", headers=SCRIPT).status_code == 422


def test_K9_roles_of_a_plain_function() -> None:
    """Without the role 403, with it the answer."""
    browser = new_browser()
    browser.sign_in(roles=["Viewer"])
    assert client_of(browser).get("/editors/1", headers=SCRIPT).status_code == 403
    browser = new_browser()
    browser.sign_in(roles=["Editor"])
    assert client_of(browser).get("/editors/1", headers=SCRIPT).json() == {"item": 1}
    assert client_of(browser).get("/who", headers=SCRIPT).json() == {"name": "Ada Lovelace"}


def test_K9_the_signature_stays() -> None:
    """Name, parameters and their order are the endpoint's own."""

    @login_required
    def endpoint(one: int, *, two: str = "x") -> None:
        """Its words."""

    assert str(inspect.signature(endpoint)) == "(one: int, *, two: str = 'x') -> None"
    assert (endpoint.__name__, endpoint.__doc__) == ("endpoint", "Its words.")
    assert not inspect.iscoroutinefunction(endpoint)


def test_K9_methods_of_a_class_are_guarded() -> None:
    """A class of Starlette's is guarded method by method."""

    class Page(HTTPEndpoint):
        @login_required
        async def get(self, _: Request) -> Response:
            return PlainTextResponse("in")

    browser = new_browser()
    app = Starlette(
        routes=[Route("/page", Page)], middleware=[Middleware(EntradaMiddleware, auth=browser.auth)]
    )
    assert Client(app).get("/page", headers=SCRIPT).status_code == 401
    browser.sign_in()
    assert Client(app, browser.cookie_header).get("/page", headers=SCRIPT).text == "in"


def test_K29_who_lacks_a_role_reads_who_they_are_and_a_way_out() -> None:
    """Name, account and roles; home, another account, and out."""
    browser = new_browser()
    browser.sign_in(roles=["Admin"])
    got = client_of(browser).get("/editors/1?x=1", headers=PAGE_VISIT)
    assert got.status_code == 403
    for shown in ("Ada Lovelace", "Admin", 'href="/auth/logout"', "Go to the application"):
        assert shown in got.text
    assert "next=/editors/1%3Fx%3D1&amp;prompt=select_account" in got.text, "K27: the query is kept"
