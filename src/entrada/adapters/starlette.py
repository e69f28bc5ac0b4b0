"""Entrada inside a Starlette (or FastAPI) application.

    entrada = Entrada.from_environment()
    app = Starlette(routes=..., middleware=[Middleware(EntradaMiddleware, entrada=entrada)])

    async def page(request):
        person = principal_of(request)      # a UserPrincipal, or None

The middleware answers the sign-in paths and puts the session into `request.scope`; the walks that may ask
Entra or a database run in a bounded pool of threads.
`login_required` and `roles_required` guard single endpoints.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Protocol

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrada.accounts.principal import UserPrincipal
from entrada.errors import EntradaError, RequestRefused, RoleRequired
from entrada.flows.session_check import CheckedSession
from entrada.web.auth_routes import AuthRoutes
from entrada.web.limits import head_refusal
from entrada.web.messages import LARGEST_BODY_BYTES, WebRequest, WebResponse

WALKS_AT_ONCE = 40
_SESSION, _AUTH = "entrada.session", "entrada.auth"

Endpoint = Callable[[Request], Awaitable[Response]]


class HasAuth(Protocol):
    """What an adapter needs of an `entrada.Entrada`."""

    @property
    def auth(self) -> AuthRoutes: ...


class EntradaMiddleware:
    """Answers the sign-in paths; on every other request says who is asking."""

    def __init__(
        self, app: ASGIApp, entrada: HasAuth | None = None, *, auth: AuthRoutes | None = None
    ) -> None:
        auth = auth or (None if entrada is None else entrada.auth)
        if auth is None:
            raise TypeError("EntradaMiddleware(app, entrada) needs an Entrada")
        self._app = app
        self._auth = auth
        self._limiter: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = head_refusal_of(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
            return
        request = web_request(scope)
        if scope["type"] == "http" and self._auth.owns(request.path):
            answer = await self._walk(request, receive)
            await to_starlette(answer, head=request.method == "HEAD")(scope, receive, send)
            return
        try:
            session = await self._session(request)
        except EntradaError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1013})
                return
            await to_starlette(self._auth.failure(error, request))(scope, receive, send)
            return
        scope[_SESSION], scope[_AUTH] = session, self._auth
        await self._app(scope, receive, send)

    async def _session(self, request: WebRequest) -> CheckedSession | None:
        if "cookie" not in request.headers:
            return None
        lately_checked = self._auth.session_in_memory(request)
        if lately_checked is not None:
            return lately_checked
        return await to_thread.run_sync(self._auth.session_of, request, limiter=self._bounded())

    async def _walk(self, request: WebRequest, receive: Receive) -> WebResponse:
        try:
            body = await read_body(receive) if request.method == "POST" else b""
        except RequestRefused as error:
            return self._auth.failure(error, request)
        whole = WebRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=body,
        )
        if self._auth.answers_at_once(whole):
            return self._auth.handle(whole)
        return await to_thread.run_sync(self._auth.handle, whole, limiter=self._bounded())

    def _bounded(self) -> CapacityLimiter:
        if self._limiter is None:
            self._limiter = CapacityLimiter(WALKS_AT_ONCE)
        return self._limiter


def session_of(request: Request) -> CheckedSession | None:
    """The session of this request."""
    session: CheckedSession | None = request.scope.get(_SESSION)
    return session


def principal_of(request: Request) -> UserPrincipal | None:
    """Who is asking, or None."""
    session = session_of(request)
    return None if session is None else session.principal


def login_required(endpoint: Endpoint) -> Endpoint:
    """Lets signed-in people pass; a page visit goes to the sign-in page, a script gets 401."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        if principal_of(request) is None:
            return to_starlette(_auth(request).challenge(web_request(request.scope)))
        return await endpoint(request)

    return guarded


def roles_required(*roles: str) -> Callable[[Endpoint], Endpoint]:
    """Lets people with one of these roles pass; other signed-in people get 403 with a page that says why."""
    if not roles:
        raise ValueError("roles_required needs at least one role")

    def guard(endpoint: Endpoint) -> Endpoint:
        @login_required
        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            principal = principal_of(request)
            if principal is None or not principal.has_any_role(*roles):
                refusal = RoleRequired(
                    f"This page is for people with the role {' or '.join(roles)}.",
                    hint="Ask your administrator to assign it to you in Microsoft Entra ID, "
                    "then sign in again.",
                )
                visit = web_request(request.scope)
                return to_starlette(_auth(request).failure(refusal, visit, next_path=visit.path))
            return await endpoint(request)

        return guarded

    return guard


def auth_of(request: Request) -> AuthRoutes:
    """The sign-in pages that serve this request, for the token of a sign-out form."""
    return _auth(request)


def web_request(scope: Scope) -> WebRequest:
    """The request without its body. The path is the one that was sent, decoded once."""
    headers: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            repeated.setdefault(name, [headers[name]]).append(value)
        else:
            headers[name] = value
    for name, values in repeated.items():
        headers[name] = ("; " if name == "cookie" else ", ").join(values)
    return WebRequest(
        method=scope.get("method", "GET"),
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
    )


def head_refusal_of(scope: Scope) -> WebResponse | None:
    """414 or 431 for a request that is too large to be looked at, whatever its server let pass."""
    target = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    return head_refusal(target_bytes=target, headers=scope["headers"])


async def _refuse(refusal: WebResponse, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1009})
    else:
        await to_starlette(refusal, head=scope["method"] == "HEAD")(scope, receive, send)


def to_starlette(answer: WebResponse, *, head: bool = False) -> Response:
    response = Response(content=b"" if head else answer.body, status_code=answer.status)
    del response.headers["content-length"]
    response.raw_headers.extend(
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
    )
    response.raw_headers.append((b"content-length", str(len(answer.body)).encode()))
    return response


async def read_body(receive: Receive) -> bytes:
    """The whole body.

    Raises:
        RequestRefused: too large, or cut off.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            raise RequestRefused("The connection ended before the form was complete.")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY_BYTES:
            raise RequestRefused("This form is too large to be an answer from Entra.")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _auth(request: Request) -> AuthRoutes:
    auth: AuthRoutes | None = request.scope.get(_AUTH)
    if auth is None:
        raise RuntimeError("EntradaMiddleware is not installed in this application")
    return auth
