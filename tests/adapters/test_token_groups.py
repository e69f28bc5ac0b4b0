"""Groups of callers with an access token, inside an application: from the token or Graph, or a refusal."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import flask
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.test_starlette import Client
from emulator.relying_party import Entra
from entrada import Entrada
from entrada.adapters import flask as on_flask
from entrada.adapters import starlette as on_starlette
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID

OLGA, ADA = "olga@contoso.test", "ada@contoso.test"  # Olga is in 250 groups: no token holds them
URL = "http://localhost:8000"


@pytest.fixture
def entra(emulator: RunningEmulator) -> Iterator[Entra]:
    emulator.reset()
    trust = ssl.create_default_context(cafile=emulator.ca_file)
    with httpx.Client(verify=trust, trust_env=False, timeout=20) as client:
        yield Entra(emulator, client)
    emulator.reset()


@pytest.fixture
def entrada(entra: Entra) -> Iterator[Entrada]:
    groups = [group_id(entra, "Project 017"), group_id(entra, "Engineers")]
    made = Entrada.from_environment(
        {
            **entra.emulator.env("entrada"),
            "ENTRADA_PUBLIC_URL": URL,
            "ENTRADA_DATABASE_URL": "memory:",
            "ENTRADA_BEARER_SCOPES": "access_as_user",
            "ENTRADA_GROUPS": ",".join(groups),
        }
    )
    yield made
    made.close()


def group_id(entra: Entra, name: str) -> str:
    directory = entra.emulator.directory
    return next(g.object_id for g in directory.groups.values() if g.display_name == name)


@on_starlette.scopes_required("access_as_user")
async def page(request: Request) -> Response:
    principal = on_starlette.current_principal(request)
    assert principal is not None
    return JSONResponse(sorted(principal.groups))


def asgi_answer(entrada: Entrada, token: str) -> tuple[int, Any]:
    app = Starlette(
        routes=[Route("/page", page)],
        middleware=[Middleware(on_starlette.EntradaMiddleware, entrada=entrada)],
    )
    got = Client(app).get(f"{URL}/page", headers={"authorization": f"Bearer {token}"})
    return got.status_code, got.json()


def wsgi_answer(entrada: Entrada, token: str) -> tuple[int, Any]:
    app = flask.Flask(__name__)
    on_flask.EntradaFlask(entrada).init_app(app)

    @app.get("/page")
    @on_flask.scopes_required("access_as_user")
    def page() -> Any:
        return flask.jsonify(sorted(on_flask.current_principal.groups))

    got = app.test_client().get("/page", base_url=URL, headers={"authorization": f"Bearer {token}"})
    return got.status_code, json.loads(got.data)


ANSWERS = pytest.mark.parametrize("answer", [asgi_answer, wsgi_answer])


def token_of(entra: Entra, entrada: Entrada, person: str) -> str:
    """An access token of somebody who has signed in once."""
    app = Starlette(middleware=[Middleware(on_starlette.EntradaMiddleware, entrada=entrada)])
    browser = Client(app)
    asked = browser.get(f"{URL}/auth/entra/start").headers["location"]
    back = httpx.get(f"{asked}&login_hint={person}&_emulator_approve=1", trust_env=False).headers["location"]
    assert browser.get(back).status_code == 303
    tokens = entra.tokens(person, scope=f"openid api://{CLIENT_ID}/access_as_user")
    token: str = tokens["access_token"]
    return token


@ANSWERS
def test_C19_groups_that_no_token_holds_are_asked_for_with_the_applications_own_credential(
    entra: Entra, entrada: Entrada, answer: Any
) -> None:
    """Of 250 groups the ones that the settings name, by one question to Graph."""
    token = token_of(entra, entrada, OLGA)
    entra.emulator.change_app(CLIENT_ID, application_permissions=["GroupMember.Read.All"])
    assert answer(entrada, token) == (200, [group_id(entra, "Project 017")])


@ANSWERS
def test_a_token_that_holds_its_groups_needs_no_question(entra: Entra, entrada: Entrada, answer: Any) -> None:
    """Ada's stand in her token."""
    token = token_of(entra, entrada, ADA)
    entra.emulator.change_app(CLIENT_ID, application_permissions=[])
    assert answer(entrada, token) == (200, [group_id(entra, "Engineers")])


@ANSWERS
def test_C20_a_caller_whose_groups_nobody_says_is_refused_and_told_why(
    entra: Entra, entrada: Entrada, answer: Any
) -> None:
    """Never let in with no groups: without the permission, and while Graph does not answer."""
    token = token_of(entra, entrada, OLGA)
    entra.emulator.change_app(CLIENT_ID, application_permissions=[])
    status, told = answer(entrada, token)
    assert (status, told["error"]) == (403, "groups_unknown")
    assert "GroupMember.Read.All" in told["hint"]
