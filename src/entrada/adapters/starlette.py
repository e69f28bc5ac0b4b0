"""Entrada inside a Starlette (or FastAPI) application.

    entrada = Entrada.from_environment()
    app = Starlette(routes=..., middleware=[Middleware(EntradaMiddleware, entrada=entrada)])

    async def page(request):
        person = principal_of(request)      # a UserPrincipal, or None

The middleware responds on the sign-in paths and puts the session into `request.scope`; the walks that may
ask Entra or a database run in a bounded pool of threads. Mounted under a prefix (`Mount`, `--root-path`) it
serves and names its paths there. A WebSocket that another site's page opens is nobody's, and one of a
signed-in person is closed when their session ends, or their roles change.
`login_required` and `roles_required` guard single endpoints: pages, routes of FastAPI, WebSockets.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from entrada.accounts.principal import UserPrincipal
from entrada.adapters.asgi_sockets import NOT_ALLOWED, SESSION_ENDED, run_until_session_ends
from entrada.errors import EntradaError, RequestRefused, RoleRequired
from entrada.flows.session_check import CheckedSession
from entrada.web.auth_routes import AuthRoutes
from entrada.web.limits import head_refusal
from entrada.web.messages import LARGEST_BODY_BYTES, WebRequest, WebResponse
from entrada.web.peers import peer_of

WALKS_AT_ONCE = 40
_SESSION, _AUTH, _REQUEST = "entrada.session", "entrada.auth", "entrada.request"
_MOST_PREFIXES = 100
_TRY_AGAIN_LATER = 1013

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

_scope_of_this_task: ContextVar[Scope] = ContextVar("entrada_scope")
"""For guards around endpoints that do not ask for the request."""


class HasAuth(Protocol):
    """What an adapter needs of an `entrada.Entrada`."""

    @property
    def auth(self) -> AuthRoutes: ...


class EntradaMiddleware:
    """Responds on the sign-in paths; on every other request says who is asking."""

    def __init__(
        self, app: ASGIApp, entrada: HasAuth | None = None, *, auth: AuthRoutes | None = None
    ) -> None:
        auth = auth or (None if entrada is None else entrada.auth)
        if auth is None:
            raise TypeError("EntradaMiddleware(app, entrada) needs an Entrada")
        self._app = app
        self._auth = {auth.site.base_path: auth}
        self._outermost = auth
        self._limiter: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = head_refusal_of(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
            return
        request, auth = web_request(scope), self._auth_under(scope.get("root_path", ""))
        if scope["type"] == "websocket":
            await self._serve_socket(auth, request, scope, receive, send)
            return
        if auth.owns(request.path):
            response = await self._walk(auth, request, receive)
            await to_starlette(response, head=request.method == "HEAD")(scope, receive, send)
            return
        try:
            session = await self._session(auth, request)
        except EntradaError as error:
            await to_starlette(auth.failure(error, request))(scope, receive, send)
            return
        await self._app(_noted(scope, auth, request, session), receive, send)

    async def _serve_socket(
        self, auth: AuthRoutes, request: WebRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            session = await self._session(auth, request) if auth.is_from_here(request) else None
        except EntradaError:
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
            return
        noted = _noted(scope, auth, request, session)
        if session is None:
            await self._app(noted, receive, send)
            return

        opened, watching = session, auth.relying_party.session_watch

        def watch(end: Callable[[], None]) -> Callable[[], None]:
            def changed(now: UserPrincipal) -> None:
                before = opened.principal
                if (now.roles, now.groups) != (before.roles, before.groups):
                    end()  # with other roles or groups it is decided anew who may open it

            return watching.session(opened, on_end=end, on_change=changed)

        await run_until_session_ends(self._app, noted, receive, send, watch=watch)

    def _auth_under(self, root_path: str) -> AuthRoutes:
        """The sign-in pages as they stand under the prefix that the server, not the visitor, has set."""
        prefix = root_path.rstrip("/")
        if not prefix:
            return self._outermost
        auth = self._auth.get(prefix)
        if auth is None:
            auth = self._outermost.under(prefix)
            if len(self._auth) < _MOST_PREFIXES:
                self._auth[prefix] = auth
        return auth

    async def _session(self, auth: AuthRoutes, request: WebRequest) -> CheckedSession | None:
        if "cookie" not in request.headers:
            return None
        lately_checked = auth.session_in_memory(request)
        if lately_checked is not None:
            return lately_checked
        return await to_thread.run_sync(auth.session_of, request, limiter=self._bounded())

    async def _walk(self, auth: AuthRoutes, request: WebRequest, receive: Receive) -> WebResponse:
        try:
            body = await read_body(receive) if request.method == "POST" else b""
        except RequestRefused as error:
            return auth.failure(error, request)
        whole = request.with_body(body)
        if auth.responds_from_memory(whole):
            return auth.handle(whole)
        return await to_thread.run_sync(auth.handle, whole, limiter=self._bounded())

    def _bounded(self) -> CapacityLimiter:
        if self._limiter is None:
            self._limiter = CapacityLimiter(WALKS_AT_ONCE)
        return self._limiter


def _noted(scope: Scope, auth: AuthRoutes, request: WebRequest, session: CheckedSession | None) -> Scope:
    scope[_SESSION], scope[_AUTH], scope[_REQUEST] = session, auth, request
    _scope_of_this_task.set(scope)
    return scope


def session_of(request: HTTPConnection) -> CheckedSession | None:
    """The session of this request."""
    session: CheckedSession | None = request.scope.get(_SESSION)
    return session


def principal_of(request: HTTPConnection) -> UserPrincipal | None:
    """Who is asking, or None."""
    session = session_of(request)
    return None if session is None else session.principal


def login_required(endpoint: EndpointT) -> EndpointT:
    """Lets signed-in people pass; a page visit goes to the sign-in page, a script gets 401, a socket 4401."""
    return _guarded(endpoint, roles=())


def roles_required(*roles: str) -> Callable[[EndpointT], EndpointT]:
    """Lets people with one of these roles pass; other signed-in people get 403 with a page that says why."""
    if not roles:
        raise ValueError("roles_required needs at least one role")
    return lambda endpoint: _guarded(endpoint, roles=roles)


def _guarded(endpoint: EndpointT, *, roles: tuple[str, ...]) -> EndpointT:
    """The endpoint with its own signature, so that FastAPI still finds its parameters and dependencies."""
    is_async = inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(
        getattr(endpoint, "__call__", None)  # noqa: B004  # an object's own method is asked for, not callability
    )

    @wraps(endpoint)
    async def guarded_async(*args: Any, **kwargs: Any) -> Any:
        scope = _scope_of(args, kwargs)
        refused = _refusal(scope, roles)
        if refused is None:
            return await endpoint(*args, **kwargs)
        if scope["type"] == "websocket":
            await _socket_in(args, kwargs).close(SESSION_ENDED if refused.status == 401 else NOT_ALLOWED)
            return None
        return to_starlette(refused)

    @wraps(endpoint)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refused = _refusal(_scope_of(args, kwargs), roles)
        return endpoint(*args, **kwargs) if refused is None else to_starlette(refused)

    made: Any = guarded_async if is_async else guarded
    made.__signature__ = _signature_of(endpoint)  # what inspect and FastAPI read
    return cast("EndpointT", made)


def _signature_of(endpoint: Callable[..., Any]) -> inspect.Signature:
    """With annotations that were written as text evaluated where the endpoint stands, if that can be done."""
    try:
        return inspect.signature(endpoint, eval_str=True)
    except (NameError, TypeError, SyntaxError):
        return inspect.signature(endpoint)


def _refusal(scope: Scope, roles: tuple[str, ...]) -> WebResponse | None:
    """Why this request does not pass, or None."""
    auth, request = scope.get(_AUTH), scope.get(_REQUEST)
    if auth is None or request is None:
        raise RuntimeError("EntradaMiddleware is not installed in this application")
    session: CheckedSession | None = scope.get(_SESSION)
    if session is None:
        challenge: WebResponse = auth.challenge(request)
        return WebResponse(status=401) if scope["type"] == "websocket" else challenge
    if not roles or session.principal.has_any_role(*roles):
        return None
    refusal = RoleRequired(
        f"This page is for people with the role {' or '.join(roles)}.",
        hint="Ask your administrator to assign it to you in Microsoft Entra ID, then sign in again.",
    )
    refused: WebResponse = auth.failure(refusal, request, session=session)
    return refused


def _scope_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope:
    connection = next((it for it in (*args, *kwargs.values()) if isinstance(it, HTTPConnection)), None)
    return connection.scope if connection is not None else _scope_of_this_task.get({})


def _socket_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> WebSocket:
    return next(it for it in (*args, *kwargs.values()) if isinstance(it, WebSocket))


def auth_of(request: HTTPConnection) -> AuthRoutes:
    """The sign-in pages that serve this request, for the token of a sign-out form."""
    auth: AuthRoutes | None = request.scope.get(_AUTH)
    if auth is None:
        raise RuntimeError("EntradaMiddleware is not installed in this application")
    return auth


def web_request_of(request: HTTPConnection) -> WebRequest:
    """This request as the middleware saw it: with its whole path, wherever a router has got to."""
    found: WebRequest | None = request.scope.get(_REQUEST)
    return web_request(request.scope) if found is None else found


def web_request(scope: Scope) -> WebRequest:
    """The request without its body. The path begins with the prefix that the application is mounted under.

    By ASGI it does so anyway; behind a proxy that strips it, FastAPI(root_path=...) has a path without it.
    """
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
    path, prefix = scope["path"], scope.get("root_path", "").rstrip("/")
    raw_path = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    if prefix and not (path == prefix or path.startswith(f"{prefix}/")):
        path, raw_path = prefix + path, raw_path and prefix + raw_path
    return WebRequest(
        method=scope.get("method", "GET"),
        path=path,
        raw_path=raw_path,
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        peer=peer_of(client[0] if (client := scope.get("client")) else None),
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
