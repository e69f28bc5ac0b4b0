"""K23: an application under a prefix, however the prefix comes about, has its whole sign-in there."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from adapters.test_starlette import Client
from entrada.adapters import wsgi
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


@pytest.mark.parametrize(
    "tenant", ["contoso", "%5Cevil.test", "%0D%0AX-Own:%20y", "%E6%97%A5%E6%9C%AC", "caf%C3%A9", "a%3Fb%23c"]
)
def test_K23_a_prefix_that_a_visitor_chooses_is_a_path_in_every_address(tenant: str) -> None:
    """`Mount("/{tenant}", …)`: no other host, no query, no header, no 500; the sign-in works under each."""
    browser = new_browser()
    client = Client(Starlette(routes=[Mount("/{tenant}", app=inner(browser))]))
    wanted, own = f"/{tenant}/page", tenant.replace("%20", "%20")
    asked = client.get(wanted, headers=PAGE_VISIT)
    assert asked.headers["location"].startswith(f"/{own}/auth/login?next=/")
    start = asked.headers["location"].replace("/auth/login", "/auth/entra/start")
    started = client.get(start, headers=PAGE_VISIT).headers["location"]
    assert parse_qs(urlsplit(started).query)["redirect_uri"] == [f"{PUBLIC_URL}/{own}/auth/entra/callback"]
    brought = browser.entra.approve(started)
    done = client.get(f"/{tenant}/auth/entra/callback?{httpx.QueryParams(brought)}", headers=PAGE_VISIT)
    assert (done.status_code, done.headers["location"]) == (303, wanted)
    assert client.get(wanted, headers=PAGE_VISIT).text == "hello Ada Lovelace"
    assert client.get(f"/{tenant}/auth/signed-out", headers=PAGE_VISIT).status_code == 200


@pytest.mark.parametrize(
    "script_name", ["/tool", "/caf\u00e9", "/\u65e5\u672c", "/\\evil.test", "//evil.test", "/caf%C3%A9"]
)
def test_K23_a_prefix_that_a_wsgi_server_says_is_a_path_in_every_address(script_name: str) -> None:
    """SCRIPT_NAME as PEP 3333 has it, bytes as latin-1, and as Gunicorn does, as it stands in addresses."""
    auth, told = new_browser().auth, script_name.encode().decode("latin-1")

    class Held:
        pass

    held = Held()
    held.auth = auth  # type: ignore[attr-defined]

    @wsgi.login_required
    def application(environ: Any, start_response: Any) -> Any:
        raise AssertionError

    served = wsgi.EntradaMiddleware(application, held)  # type: ignore[arg-type]
    with httpx.Client(
        transport=httpx.WSGITransport(app=served, script_name=told), base_url=PUBLIC_URL
    ) as client:
        asked = client.get("/page", headers=PAGE_VISIT)
        own = quote("/" + script_name.lstrip("/"), safe="/%")
        assert asked.headers["location"] == f"{own}/auth/login?next={quote(own)}/page"
        assert client.get("/auth/signed-out", headers=PAGE_VISIT).status_code == 200


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
