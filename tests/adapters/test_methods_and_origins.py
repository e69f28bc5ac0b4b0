"""Guarded endpoints and what is asked besides GET: preflights of other origins, HEAD, what is not there."""

from __future__ import annotations

from typing import Any

import fastapi
import pytest
from fastapi.middleware.cors import CORSMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adapters.test_starlette import Client
from entrada.adapters.fastapi import current_principal, install
from entrada.adapters.starlette import login_required
from flows.world import PAGE_VISIT, SCRIPT, Browser, new_browser

ELSEWHERE = "https://spa.contoso.test"
FROM_ELSEWHERE = {**SCRIPT, "origin": ELSEWHERE, "sec-fetch-site": "same-site"}


class Held:
    def __init__(self, browser: Browser) -> None:
        self.auth = browser.auth


def app_of(browser: Browser) -> Any:
    app = fastapi.FastAPI(dependencies=[fastapi.Depends(current_principal)])
    app.add_middleware(CORSMiddleware, allow_origins=[ELSEWHERE], allow_credentials=True)
    install(app, Held(browser))

    @app.get("/page")
    async def page() -> str:
        return "in"

    @app.get("/broken")
    async def broken() -> str:
        raise fastapi.HTTPException(418, "the application's own")

    return app


def test_a_page_of_another_origin_may_read_why_it_is_refused() -> None:
    """What the application allows other origins stands on a refusal, too; a preflight is its own affair."""
    browser = new_browser()
    client = Client(app_of(browser))
    refused = client.get("/page", headers=FROM_ELSEWHERE)
    assert (refused.status_code, refused.json()["error"]) == (401, "login_required")
    assert refused.headers["access-control-allow-origin"] == ELSEWHERE
    preflight = client.request(
        "OPTIONS", "/page", headers={"origin": ELSEWHERE, "access-control-request-method": "GET"}
    )
    assert preflight.status_code == 200
    assert "access-control-allow-origin" not in client.get("/page", headers=SCRIPT).headers
    assert "access-control-allow-origin" not in client.get("/auth/me", headers=FROM_ELSEWHERE).headers


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "TRACE", "QUERY"])
def test_other_methods_let_nobody_in(method: str) -> None:
    """Nothing of the endpoint is shown, whatever the method."""
    refused = Client(app_of(new_browser())).request(method, "/page", headers=SCRIPT)
    assert refused.status_code in (401, 405)
    assert refused.text != "in"


def test_the_applications_own_errors_stay_its_own() -> None:
    """404 and its own exceptions, behind a guard and signed in."""
    browser = new_browser()
    browser.sign_in()
    client = Client(app_of(browser), browser.cookie_header)
    assert client.get("/broken", headers=PAGE_VISIT).status_code == 418
    assert client.get("/nowhere", headers=PAGE_VISIT).status_code == 404


def test_a_guard_without_the_middleware_fails_closed_with_a_sentence() -> None:
    """Forgotten, or outside of what is guarded."""

    @login_required
    async def page(_: Request) -> Response:
        return PlainTextResponse("in")

    with pytest.raises(RuntimeError, match="Entrada does not stand in front"):
        Client(Starlette(routes=[Route("/page", page)])).get("/page", headers=SCRIPT)
    app = fastapi.FastAPI()
    app.get("/page", dependencies=[fastapi.Depends(current_principal)])(lambda: "in")
    with pytest.raises(RuntimeError, match="Entrada does not stand in front"):
        Client(app).get("/page", headers=SCRIPT)
