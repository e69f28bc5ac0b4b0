"""K23: an application under a prefix, however the prefix comes about, has its whole sign-in there."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from adapters.test_starlette import Client
from entrada.adapters.starlette import EntradaMiddleware, login_required, principal_of
from flows.world import PAGE_VISIT, PUBLIC_URL, SCRIPT, Browser, new_browser

CALLBACK = "/tool/auth/entra/callback"


@login_required
async def page(request: Request) -> Response:
    person = principal_of(request)
    assert person is not None
    return PlainTextResponse(f"hello {person.name}")


def inner(browser: Browser) -> Starlette:
    return Starlette(
        routes=[Route("/a b", page), Route("/page", page)],
        middleware=[Middleware(EntradaMiddleware, auth=browser.auth)],
    )


def by_mount(browser: Browser) -> Any:
    return Starlette(routes=[Mount("/tool", app=inner(browser))])


def by_server(browser: Browser) -> Any:
    """As `uvicorn --root-path /tool` calls an application: the path begins with the prefix."""
    app = inner(browser)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/tool"}, receive, send)

    return serve


def by_stripping_proxy(browser: Browser) -> Any:
    """As `FastAPI(root_path="/tool")` behind a proxy that takes the prefix away."""
    app = inner(browser)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix("/tool")
        raw = scope["raw_path"].removeprefix(b"/tool")
        await app({**scope, "root_path": "/tool", "path": path, "raw_path": raw}, receive, send)

    return serve


@pytest.mark.parametrize("made", [by_mount, by_server, by_stripping_proxy])
@pytest.mark.parametrize("wanted", ["/tool/page?x=1%2F", "/tool/a%20b"])
def test_K23_a_whole_sign_in_under_a_prefix(made: Any, wanted: str) -> None:
    """From the protected page over Entra back to it: every address has the prefix, the redirect URI too."""
    browser = new_browser()
    client = Client(made(browser))
    asked = client.get(wanted, headers=PAGE_VISIT)
    assert asked.status_code == 303
    login = asked.headers["location"]
    assert login.startswith(
        "/tool/auth/login?next=%2Ftool" if "%2Ftool" in login else "/tool/auth/login?next=/tool/"
    )
    shown = client.get(login, headers=PAGE_VISIT)
    assert 'href="/tool/auth/entra/start?next=/tool/' in shown.text
    started = client.get(login.replace("/auth/login", "/auth/entra/start"), headers=PAGE_VISIT)
    at_entra = parse_qs(urlsplit(started.headers["location"]).query)
    assert at_entra["redirect_uri"] == [PUBLIC_URL + CALLBACK]
    brought = browser.entra.approve(started.headers["location"])
    done = client.get(f"{CALLBACK}?{httpx.QueryParams(brought)}", headers=PAGE_VISIT)
    assert (done.status_code, done.headers["location"]) == (303, wanted)
    assert client.get(wanted, headers=PAGE_VISIT).text == "hello Ada Lovelace"
    assert client.get("/tool/auth/me", headers=SCRIPT).status_code == 200


def test_K22_K23_two_mounted_applications_keep_apart() -> None:
    """Two applications under one host have cookies of their own."""
    one, other = new_browser(), new_browser()
    app = Starlette(routes=[Mount("/one", app=inner(one)), Mount("/two", app=inner(other))])
    client = Client(app)
    started = client.get("/one/auth/entra/start", headers=PAGE_VISIT)
    brought = one.entra.approve(started.headers["location"])
    client.get("/two/auth/entra/start", headers=PAGE_VISIT)
    client.get("/two/auth/login", headers=PAGE_VISIT)
    client.get(f"/one/auth/entra/callback?{httpx.QueryParams(brought)}", headers=PAGE_VISIT)
    client.get("/two/auth/login", headers=PAGE_VISIT)
    assert client.get("/one/auth/me", headers=SCRIPT).status_code == 200
    assert client.get("/two/auth/me", headers=SCRIPT).status_code == 401
