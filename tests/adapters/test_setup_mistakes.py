"""Who sets an adapter up wrongly is told the next step, and nothing is served past its guard."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from quart import Quart

from entrada.adapters import flask as on_flask
from entrada.adapters import quart as on_quart
from entrada.adapters.asgi import EntradaMiddleware, visitor_of
from entrada.adapters.tornado import login_required as tornado_login_required
from entrada.adapters.wsgi import visitor_of as wsgi_visitor_of
from entrada.web.guards import PEOPLE, role_requirement, scope_requirement
from flows.world import new_browser


class Held:
    """An `Entrada` as the extensions are given one."""

    def __init__(self) -> None:
        self.auth = new_browser().auth


@pytest.mark.parametrize("framework", ["fastapi", "flask", "quart", "starlette", "tornado"])
def test_a_missing_framework_names_the_extra_that_installs_it(framework: str) -> None:
    """`pip install ./entrada` alone: the last line says which extra there is."""
    program = f"import sys; sys.modules['{framework}'] = None; import entrada.adapters.{framework}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f'Install it with: pip install "./entrada[{framework}]"')


@pytest.mark.parametrize("asking", [visitor_of, wsgi_visitor_of])
def test_an_adapter_that_was_not_installed_says_how(asking: Any) -> None:
    """A guard without its middleware says what to call."""
    with pytest.raises(RuntimeError, match=r"install\(app, entrada\)"):
        asking({})


@pytest.mark.parametrize("given", [["Admin"], lambda: None, 3])
def test_a_guard_takes_names_one_by_one(given: Any) -> None:
    """A list of roles, or a guard without its brackets, is refused where it is written."""
    for made in (
        lambda: role_requirement((given,), PEOPLE),
        lambda: scope_requirement((given,), (), PEOPLE),
    ):
        with pytest.raises(TypeError, match=r'\("One", "Two"\)'):
            made()


def test_a_middleware_says_what_it_needs() -> None:
    """`Entrada.from_environment` without its brackets is no Entrada."""
    wrong: Any = print
    with pytest.raises(TypeError, match=r"Entrada\.from_environment\(\), and this is a builtin"):
        EntradaMiddleware(wrong, wrong)


def test_a_guard_of_tornado_without_the_mixin_says_so() -> None:
    """The class to derive from stands in the sentence."""

    class Bare:
        @tornado_login_required
        async def get(self) -> None: ...

    handler: Any = Bare()
    with pytest.raises(RuntimeError, match=r"class Bare\(EntradaMixin, RequestHandler\)"):
        asyncio.run(handler.get())


def test_flask_does_not_serve_a_view_past_its_guard() -> None:
    """`@login_required` above the route fails closed; below it it guards; open beside guarded is meant."""
    app = Flask("wrong")
    app.testing = True
    on_flask.EntradaFlask(Held()).init_app(app)

    @on_flask.login_required
    @app.get("/bare")
    def bare() -> str:
        return "secret"

    @app.get("/good")
    @on_flask.roles_required("Admin")
    @on_flask.login_required
    def good() -> str:
        return "secret"

    @app.get("/both")
    def both() -> str:
        return "open here"

    app.get("/both/guarded", endpoint="guarded")(on_flask.login_required(both))

    client = app.test_client()
    assert client.get("/both").text == "open here"
    assert client.get("/both/guarded").status_code == 401
    with pytest.raises(RuntimeError, match="The guard of bare stands above its route"):
        client.get("/bare")
    assert client.get("/good").status_code == 401
    assert client.get("/nowhere").status_code == 404


def test_quart_does_not_serve_a_view_past_its_guard(caplog: pytest.LogCaptureFixture) -> None:
    """The same in Quart."""
    app = Quart("wrong")
    on_quart.EntradaQuart(Held()).init_app(app)

    @on_quart.login_required
    @app.get("/bare")
    async def bare() -> str:
        return "secret"

    @app.get("/good")
    @on_quart.login_required
    async def good() -> str:
        return "secret"

    async def visits() -> None:
        client = app.test_client()
        assert (await client.get("/bare")).status_code == 500
        assert "The guard of bare stands above its route" in caplog.text
        assert (await client.get("/good")).status_code == 401

    asyncio.run(visits())
