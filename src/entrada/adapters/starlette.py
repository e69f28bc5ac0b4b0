"""Entrada inside a Starlette application.

    entrada = Entrada.from_environment()
    app = Starlette(routes=..., middleware=[Middleware(EntradaMiddleware, entrada=entrada)])

    @login_required
    async def page(request):
        person = current_principal(request)

`login_required`, `roles_required` and `scopes_required` guard single endpoints: pages, methods of a class,
WebSockets. `await token_for(request, ["Mail.Read"])` is a token to call Graph as who makes the request. What
the middleware does is told in `entrada.adapters.asgi`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from entrada.adapters.setup_mistakes import needs

try:
    from starlette.requests import HTTPConnection
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket
except ModuleNotFoundError as missing:
    raise needs("starlette", missing) from None

from entrada.accounts.principal import Principal, UserPrincipal
from entrada.adapters import asgi
from entrada.adapters.asgi import close_code_of, refusal_of, visitor_of, web_request
from entrada.entra.callers import CallerKind
from entrada.web.guards import (
    PEOPLE,
    SIGNED_IN,
    HasAuth,
    Requirement,
    context_requirement,
    role_requirement,
    scope_requirement,
)
from entrada.web.messages import WebRequest, WebResponse

if TYPE_CHECKING:
    from entrada.entra.api_token import ApiToken
    from entrada.flows.session_check import CheckedSession
    from entrada.web.auth_routes import AuthRoutes

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

_scope_of_this_task: ContextVar[Scope] = ContextVar("entrada_scope")
"""For guards around endpoints that do not ask for the request."""


class EntradaMiddleware(asgi.EntradaMiddleware):
    """Responds on the sign-in paths; on every other request says who is asking."""

    def __init__(
        self, app: ASGIApp, entrada: HasAuth | None = None, *, auth: AuthRoutes | None = None
    ) -> None:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            _scope_of_this_task.set(scope)
            await app(scope, receive, send)

        super().__init__(noted, entrada, auth=auth)


def session_of(request: HTTPConnection) -> CheckedSession | None:
    """The session of this request."""
    visitor = request.scope.get(asgi.VISITOR)
    return None if visitor is None else visitor.session


def current_principal(request: HTTPConnection) -> Principal | None:
    """Who is asking, by session or by the token that a guard has let in; or None. Never waits."""
    visitor = request.scope.get(asgi.VISITOR)
    return None if visitor is None else visitor.principal


def principal_of(request: HTTPConnection) -> UserPrincipal | None:
    """The person who is signed in here, or None. Never waits."""
    session = session_of(request)
    return None if session is None else session.principal


async def token_for(
    request: HTTPConnection, scopes: Iterable[str], *, challenge: str | None = None
) -> ApiToken:
    """`Entrada.token_for` for who makes this request; in a thread, because Entra may have to be asked."""
    return await asgi.token_for(request.scope, scopes, challenge=challenge)


def login_required(endpoint: EndpointT) -> EndpointT:
    """Lets signed-in people pass; a page visit goes to the sign-in page, a script gets 401, a socket 4401."""
    return _guarded(endpoint, SIGNED_IN)


def roles_required(*roles: str, callers: Collection[CallerKind] = PEOPLE) -> Callable[[EndpointT], EndpointT]:
    """Lets callers with one of these roles pass; other people get 403 with a page that says why."""
    required = role_requirement(roles, callers)
    return lambda endpoint: _guarded(endpoint, required)


def scopes_required(
    *scopes: str, roles: Collection[str] = (), callers: Collection[CallerKind] = PEOPLE
) -> Callable[[EndpointT], EndpointT]:
    """Lets pass who is signed in, and access tokens with one of these scopes; `roles` as above, if any."""
    required = scope_requirement(scopes, roles, callers)
    return lambda endpoint: _guarded(endpoint, required)


def auth_context_required(
    auth_context: str,
    *,
    scopes: Collection[str] = (),
    roles: Collection[str] = (),
    callers: Collection[CallerKind] = PEOPLE,
) -> Callable[[EndpointT], EndpointT]:
    """Lets pass whose sign-in met this authentication context, such as "c1"; Entra is asked for it once."""
    required = context_requirement(auth_context, scopes, roles, callers)
    return lambda endpoint: _guarded(endpoint, required)


def _guarded(endpoint: EndpointT, required: Requirement) -> EndpointT:
    """The endpoint with its own signature, so that FastAPI still finds its parameters and dependencies."""
    is_async = inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(
        getattr(endpoint, "__call__", None)  # noqa: B004  # an object's own method is asked for, not callability
    )

    @wraps(endpoint)
    async def guarded_async(*args: Any, **kwargs: Any) -> Any:
        scope = _scope_of(args, kwargs)
        refused = await refusal_of(visitor_of(scope), required)
        if refused is None:
            return await endpoint(*args, **kwargs)
        if scope["type"] == "websocket":
            await _socket_in(args, kwargs).close(close_code_of(refused))
            return None
        return to_starlette(refused)

    @wraps(endpoint)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refused = visitor_of(_scope_of(args, kwargs)).refusal(required)
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


def _scope_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope:
    if args and isinstance(args[0], HTTPConnection):  # as Starlette calls its endpoints
        return args[0].scope
    connection = next((it for it in (*args, *kwargs.values()) if isinstance(it, HTTPConnection)), None)
    return connection.scope if connection is not None else _scope_of_this_task.get({})


def _socket_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> WebSocket:
    return next(it for it in (*args, *kwargs.values()) if isinstance(it, WebSocket))


def auth_of(request: HTTPConnection) -> AuthRoutes:
    """The sign-in pages that serve this request, for the token of a sign-out form."""
    return visitor_of(request.scope).auth


def web_request_of(request: HTTPConnection) -> WebRequest:
    """This request as the middleware saw it: with its whole path, wherever a router has got to."""
    visitor = request.scope.get(asgi.VISITOR)
    return web_request(request.scope) if visitor is None else visitor.request


def to_starlette(answer: WebResponse, *, head: bool = False) -> Response:
    """The response as Starlette sends one; `head`: without its body, but with its length."""
    response = Response(content=b"" if head else answer.body, status_code=answer.status)
    del response.headers["content-length"]
    response.raw_headers.extend(
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
    )
    response.raw_headers.append((b"content-length", str(len(answer.body)).encode()))
    return response
