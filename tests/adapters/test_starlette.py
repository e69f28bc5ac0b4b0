"""Starlette and Entrada: requests and answers carried over faithfully, and guards that hold."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from entrada.adapters.asgi import web_request
from entrada.adapters.starlette import (
    EntradaMiddleware,
    login_required,
    principal_of,
    roles_required,
    session_of,
)
from entrada.errors import StoreUnavailable
from entrada.gateway.app import create_app
from entrada.sessions.revocation import LogPosition, Revocations
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.web.messages import LARGEST_BODY_BYTES
from flows.world import PAGE_VISIT, PUBLIC_URL, SCRIPT, Browser, FakeEntra, new_browser

CALLBACK = "/auth/entra/callback"


async def whoami(request: Request) -> Response:
    person = principal_of(request)
    return JSONResponse({"name": person.name if person else None, "session": session_of(request) is not None})


@login_required
async def members(request: Request) -> Response:
    person = principal_of(request)
    assert person is not None
    return PlainTextResponse(f"hello {person.name}")


@roles_required("Editor", "Admin")
async def editors(_: Request) -> Response:
    return PlainTextResponse("edit")


async def live(socket: WebSocket) -> None:
    await socket.accept()
    session = session_of(socket)
    await socket.send_text(session.principal.name if session else "nobody")
    await socket.close()


def app_of(browser: Browser) -> Starlette:
    return Starlette(
        routes=[
            Route("/whoami", whoami),
            Route("/members", members, methods=["GET", "POST"]),
            Route("/editors", editors),
            WebSocketRoute("/live", live),
        ],
        middleware=[Middleware(EntradaMiddleware, auth=browser.auth)],
    )


@pytest.fixture
def browser() -> Browser:
    return new_browser()


class Client:
    """Speaks ASGI to an application as a browser would over the network, and keeps its cookies."""

    def __init__(self, app: Any, cookie_header: str = "") -> None:
        self.app = app
        self._cookies = httpx.Cookies()
        self._cookie_header = {"cookie": cookie_header} if cookie_header else {}

    def request(self, method: str, url: str, **sent: Any) -> httpx.Response:
        return asyncio.run(self._request(method, url, **sent))

    def get(self, url: str, **sent: Any) -> httpx.Response:
        return self.request("GET", url, **sent)

    async def _request(self, method: str, url: str, **sent: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        sent["headers"] = {**self._cookie_header, **sent.get("headers", {})}
        async with httpx.AsyncClient(
            transport=transport, base_url=PUBLIC_URL, cookies=self._cookies
        ) as client:
            got = await client.request(method, url, **sent)
            self._cookies = client.cookies
            return got

    def websocket(self, path: str) -> list[dict[str, Any]]:
        """What the application sends to a websocket that only connects."""
        sent: list[dict[str, Any]] = []
        headers = [(b"host", b"app.contoso.test")]
        headers += [(name.encode(), value.encode()) for name, value in self._cookie_header.items()]
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers}

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        return sent


def client_of(browser: Browser, app: Any = None) -> Client:
    """A client that brings the browser's cookies, as they are now."""
    return Client(app or app_of(browser), browser.cookie_header)


def test_a_whole_sign_in_through_the_adapter(browser: Browser) -> None:
    """Start, Entra, callback, protected page: all over ASGI, cookies as the client keeps them."""
    client = client_of(browser)
    got = client.get("/members", headers=PAGE_VISIT)
    assert (got.status_code, got.headers["location"]) == (303, "/auth/login?next=/members")
    assert client.get(got.headers["location"], headers=PAGE_VISIT).status_code == 200
    got = client.get("/auth/entra/start?next=/members", headers=PAGE_VISIT)
    brought = browser.entra.approve(got.headers["location"])
    got = client.get(CALLBACK, params=brought, headers=PAGE_VISIT)
    assert (got.status_code, got.headers["location"]) == (303, "/members")
    assert client.get("/members", headers=PAGE_VISIT).text == "hello Ada Lovelace"


def test_several_cookies_of_an_answer_all_arrive(browser: Browser) -> None:
    """The session's cookie, the spent sign-in's deletion and the browser's mark are headers of their own."""
    client = client_of(browser)
    got = client.get("/auth/entra/start", headers=PAGE_VISIT)
    got = client.get(CALLBACK, params=browser.entra.approve(got.headers["location"]), headers=PAGE_VISIT)
    assert len(got.headers.get_list("set-cookie")) == 3


def test_a_request_without_a_session_is_nobodys(browser: Browser) -> None:
    """An open page is served, and knows that nobody is signed in."""
    assert client_of(browser).get("/whoami").json() == {"name": None, "session": False}


def test_a_request_with_a_session_has_a_person(browser: Browser) -> None:
    """An open page may ask who is there."""
    browser.sign_in()
    assert client_of(browser).get("/whoami").json() == {"name": "Ada Lovelace", "session": True}


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_A25_a_script_without_a_session_gets_401(browser: Browser, method: str) -> None:
    """login_required answers scripts, posts and HEAD with 401 in JSON."""
    got = client_of(browser).request(method, "/members", headers=SCRIPT)
    assert got.status_code == 401
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("roles", "status"), [([], 403), (["Admin"], 200), (["Editor"], 200), (["Viewer"], 403)]
)
def test_roles_required_lets_one_of_the_roles_pass(browser: Browser, roles: list[str], status: int) -> None:
    """Somebody with none of the roles gets 403 and a page that names them."""
    browser.sign_in(roles=roles)
    got = client_of(browser).get("/editors", headers=PAGE_VISIT)
    assert got.status_code == status
    assert status == 200 or "Editor or Admin" in got.text


def test_roles_required_asks_strangers_to_sign_in(browser: Browser) -> None:
    """Without a session the answer is the sign-in page, not a refusal."""
    got = client_of(browser).get("/editors", headers=PAGE_VISIT)
    assert got.headers["location"] == "/auth/login?next=/editors"
    assert client_of(browser).get("/editors", headers=SCRIPT).status_code == 401


def test_roles_required_needs_a_role() -> None:
    """An empty list of roles is a mistake of the programmer, told at once."""
    with pytest.raises(ValueError, match="at least one role"):
        roles_required()


def test_a_guard_without_the_middleware_lets_nobody_in() -> None:
    """Forgetting the middleware is an error, never an open door."""
    client = Client(Starlette(routes=[Route("/members", members)]))
    with pytest.raises(RuntimeError, match="Entrada does not stand in front"):
        client.get("/members")


@pytest.mark.parametrize("path", ["/auth/login", "/auth/signed-out", "/auth/me", "/auth/x"])
def test_HEAD_is_GET_without_the_body(browser: Browser, path: str) -> None:
    """The same status and headers, and no byte of a body."""
    client = client_of(browser)
    head, got = client.request("HEAD", path, headers=PAGE_VISIT), client.get(path, headers=PAGE_VISIT)
    assert head.content == b""
    assert head.status_code == got.status_code
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


def test_a_post_body_arrives(browser: Browser) -> None:
    """The form of a sign-out reaches the walk, in however many pieces it comes."""
    browser.sign_in()

    async def pieces() -> Any:
        for piece in (b"every", b"where=", b"1"):
            yield piece

    headers = {"origin": PUBLIC_URL, "content-type": "application/x-www-form-urlencoded"}
    other = Browser(auth=browser.auth, entra=browser.entra)
    other.sign_in()
    got = client_of(browser).request("POST", "/auth/logout", content=pieces(), headers=headers)
    assert got.status_code == 303
    browser.entra.clock.advance(seconds=1)
    assert other.me().status == 401


@pytest.mark.parametrize("path", ["/auth/logout", CALLBACK, "/auth/x"])
def test_a_body_beyond_the_limit_is_refused(browser: Browser, path: str) -> None:
    """A form that is too large is answered with a refusal, not read to its end."""
    read = 0

    async def endless() -> Any:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b"x" * 10_000

    got = client_of(browser).request("POST", path, content=endless())
    assert got.status_code == 403
    assert read * 10_000 <= LARGEST_BODY_BYTES + 20_000


def test_a_connection_that_ends_in_the_middle_of_a_form_is_no_error(browser: Browser) -> None:
    """If the client goes away while it sends, nothing is raised."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/auth/logout",
        "query_string": b"",
        "headers": [],
    }

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app_of(browser)(scope, receive, send))
    assert sent[0]["status"] == 403


def test_F4_repeated_headers_are_joined_as_http_says() -> None:
    """Cookies that came in several lines are one header, other headers a comma list: none is lost."""
    scope = {
        "method": "GET",
        "path": "/",
        "query_string": b"a=%2f",
        "headers": [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"accept", b"text/html"), (b"accept", b"*/*")],
    }
    request = web_request(scope)
    assert list(request.cookies()) == [("a", "1"), ("b", "2")]
    assert request.headers["accept"] == "text/html, */*"
    assert request.query == "a=%2f"


@pytest.mark.parametrize("header", [b"\xff\xfe=\x00", b"=" * 5000, b"\xe9=\xe9", b";;;=;=;"])
def test_F4_odd_bytes_in_a_cookie_are_nobodys_session(browser: Browser, header: bytes) -> None:
    """No bytes of a cookie header make an error."""
    got = client_of(browser).get("/whoami", headers={"cookie": header})
    assert got.json()["session"] is False


class FailingSessions(MemorySessionStore):
    off = False

    def revocations(self, since: LogPosition | None) -> Revocations:
        if self.off:
            raise StoreUnavailable
        return super().revocations(since)


def failing_browser() -> Browser:
    store = FailingSessions()
    browser = new_browser(sessions=store)
    browser.sign_in()
    store.off = True
    browser.entra.clock.advance(seconds=1)
    return browser


def test_a_store_that_fails_is_503_for_everybody_with_a_cookie() -> None:
    """Nobody is let in on trust, and nobody without a cookie notices."""
    browser = failing_browser()
    assert client_of(browser).get("/whoami", headers=SCRIPT).status_code == 503
    browser.cookies.clear()
    assert client_of(browser).get("/whoami", headers=SCRIPT).status_code == 200


def test_a_websocket_knows_who_is_there(browser: Browser) -> None:
    """The session stands in the scope of a websocket, too."""
    assert client_of(browser).websocket("/live")[1]["text"] == "nobody"
    browser.sign_in()
    assert client_of(browser).websocket("/live")[1]["text"] == "Ada Lovelace"


def test_a_websocket_is_closed_when_the_store_fails() -> None:
    """With the store gone a websocket is refused before it is accepted."""
    assert client_of(failing_browser()).websocket("/live") == [{"type": "websocket.close", "code": 1013}]


def test_a_session_in_memory_needs_no_thread(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that was checked a moment ago is answered on the event loop itself."""
    browser.sign_in()
    client = client_of(browser)
    client.get("/whoami")
    monkeypatch.setattr(type(browser.auth), "session_of", lambda *_: pytest.fail("asked the store"))
    assert client.get("/whoami").json()["session"] is True


def test_cookies_of_others_need_no_thread(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who brings cookies of other applications alone has no session, and the event loop says so itself."""
    client = client_of(browser)
    monkeypatch.setattr(type(browser.auth), "session_of", lambda *_: pytest.fail("asked the store"))
    assert client.get("/whoami", headers={"cookie": "theirs=1"}).json()["session"] is False


# --- the server's own addresses ---


def test_the_server_is_up_without_anything(browser: Browser) -> None:
    """/healthz asks neither the database nor Entra."""
    browser.entra.down = True
    got = client_of(browser, create_app(browser.auth)).get("/healthz")
    assert (got.status_code, got.json()) == (200, {"status": "up"})
    assert browser.entra.sent == []


def test_A33_readiness_names_what_is_missing_and_recovers() -> None:
    """While Entra cannot be read the server says so; when it can, it is ready without a restart."""
    entra = FakeEntra(down=True)
    browser = new_browser(entra)
    client = client_of(browser, create_app(browser.auth))
    got = client.get("/readyz")
    assert got.status_code == 503
    assert got.json() == {"status": "not ready", "waiting_for": {"entra": "the connection was refused"}}
    entra.down = False
    entra.clock.advance(seconds=5)
    assert client.get("/readyz").status_code == 200


def test_readiness_names_the_database() -> None:
    """A database that does not answer makes the server not ready."""
    browser = failing_browser()
    browser.cookies.clear()
    got = client_of(browser, create_app(browser.auth)).get("/readyz")
    assert got.status_code == 503
    assert "database" in got.json()["waiting_for"]


def test_the_front_page_is_for_people_who_are_signed_in(browser: Browser) -> None:
    """Strangers are asked to sign in; others see their account."""
    app = create_app(browser.auth)
    assert client_of(browser, app).get("/", headers=PAGE_VISIT).headers["location"] == "/auth/login"
    browser.sign_in()
    assert client_of(browser, app).get("/", headers=PAGE_VISIT).headers["location"] == "/auth/account"


# --- K4: what a server let pass and the middleware does not ---


def scope_with(headers: list[tuple[bytes, bytes]], **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/whoami",
        "query_string": b"",
        "headers": headers,
        **more,
    }


K4_TOO_LARGE = {
    "K4-repeated-short-headers": (scope_with([(b"a", b"b")] * 200_000), 431),
    "K4-one-long-header": (scope_with([(b"a", b"b" * 70_000)]), 431),
    "K4-many-cookies": (scope_with([(b"cookie", b"a=b")] * 80_000), 431),
    "K4-long-path": (scope_with([], path="/" + "a" * 62_000), 414),
    "K4-long-query": (scope_with([], query_string=b"a" * 62_000), 414),
    "K4-of-our-own-pages": (scope_with([(b"a", b"b")] * 200_000, path="/auth/login"), 431),
    "K4-a-socket": (scope_with([(b"a", b"b")] * 200_000, type="websocket", path="/live"), None),
}


@pytest.mark.parametrize("case", K4_TOO_LARGE)
def test_K4_a_head_over_the_limit_is_refused_on_every_path(browser: Browser, case: str) -> None:
    """431 or 414, before the headers are read; a socket is closed before it opens."""
    scope, status = K4_TOO_LARGE[case]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect" if scope["type"] == "websocket" else "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app_of(browser)(scope, receive, send))
    if status is None:
        assert [message["type"] for message in sent] == ["websocket.close"]
    else:
        assert sent[0]["status"] == status


def test_K4_reading_headers_is_linear_work() -> None:
    """Four times as many repeated headers take about four times as long, not sixteen times."""

    def seconds(count: int) -> float:
        scope = scope_with([(b"a", b"b" * 50)] * count)
        times = []
        for _ in range(5):
            began = time.process_time()
            web_request(scope)
            times.append(time.process_time() - began)
        return min(times)

    assert seconds(160_000) < 9 * seconds(40_000)


@pytest.mark.parametrize("what", ["read-only", "full"])
def test_K30_ready_means_that_a_sign_in_could_be_kept(what: str) -> None:
    """A database that answers and cannot be written is not ready."""

    class CannotWrite(MemorySessionStore):
        def spend_sign_in(self, sign_in_id: str, *, expires_at: Any) -> bool:
            raise StoreUnavailable(f"The database is {what}.")

    browser = new_browser(sessions=CannotWrite())
    got = Client(create_app(browser.auth)).get("/readyz")
    assert got.status_code == 503
    assert what in got.json()["waiting_for"]["database"]


def test_K61_an_unknown_address_of_the_server_has_a_page(browser: Browser) -> None:
    """A page of the same make for people, JSON for scripts."""
    client = Client(create_app(browser.auth))
    page = client.get("/nowhere", headers=PAGE_VISIT)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text
    assert client.get("/nowhere", headers=SCRIPT).json()["error"] == "page_not_found"
