"""Entrada inside a Quart application, with the names of the Flask adapter.

    app = Quart(__name__)
    EntradaQuart(Entrada.from_environment()).init_app(app)

    @app.get("/me")
    @login_required
    async def me():
        return {"name": current_principal.name}

    @app.websocket("/live")
    @login_required
    async def live(): ...

`current_principal` stands for whoever makes this request; with nobody signed in it is false.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from entrada.adapters.setup_mistakes import needs, refuse_bare, remember

try:
    from quart import Quart, Response, current_app, has_websocket_context, request, websocket
    from werkzeug.local import LocalProxy
except ModuleNotFoundError as missing:
    raise needs("quart", missing) from None

from entrada.accounts.principal import Principal
from entrada.adapters import asgi
from entrada.adapters.asgi import close_code_of, in_thread, refusal_of, token_of, visitor_of
from entrada.entra.callers import CallerKind
from entrada.errors import EntradaError
from entrada.web.guards import (
    PEOPLE,
    SIGNED_IN,
    HasAuth,
    Requirement,
    Visitor,
    context_requirement,
    role_requirement,
    scope_requirement,
)
from entrada.web.messages import WebResponse

if TYPE_CHECKING:
    from entrada.entra.api_token import ApiToken

ViewT = TypeVar("ViewT", bound=Callable[..., Any])


class EntradaQuart:
    """Quart's form of an extension: made with an Entrada, given to one application or several."""

    def __init__(self, entrada: HasAuth, app: Quart | None = None) -> None:
        self._entrada = entrada
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Sign-in pages and sessions for this application."""
        application: Any = app  # Quart types ASGI's messages one by one
        application.asgi_app = asgi.EntradaMiddleware(application.asgi_app, self._entrada)
        app.extensions["entrada"] = self
        app.register_error_handler(EntradaError, _respond_to)
        app.before_request(_refuse_bare)
        app.before_websocket(_refuse_bare)


def _visitor() -> Visitor:
    scope: Any = websocket.scope if has_websocket_context() else request.scope
    return visitor_of(scope)


def _current() -> Principal | None:
    return _visitor().principal


current_principal = cast("Principal", LocalProxy(_current))
"""Who makes this request, by session or by the token that a guard has let in."""


async def token_for(scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
    """`Entrada.token_for` for who makes this request; in a thread, because Entra may have to be asked."""
    return await token_of(_visitor(), scopes, challenge=challenge)


def login_required(view: ViewT) -> ViewT:
    """Lets signed-in people pass; a page visit goes to the sign-in page, a script gets 401, a socket 4401."""
    return _guarded(view, SIGNED_IN)


def roles_required(*roles: str, callers: Collection[CallerKind] = PEOPLE) -> Callable[[ViewT], ViewT]:
    """Lets callers with one of these roles pass; other people get 403 with a page that says why."""
    required = role_requirement(roles, callers)
    return lambda view: _guarded(view, required)


def scopes_required(
    *scopes: str, roles: Collection[str] = (), callers: Collection[CallerKind] = PEOPLE
) -> Callable[[ViewT], ViewT]:
    """Lets pass who is signed in, and access tokens with one of these scopes; `roles` as above, if any."""
    required = scope_requirement(scopes, roles, callers)
    return lambda view: _guarded(view, required)


async def _respond_to(error: EntradaError) -> Any:
    """Whatever of Entrada's a view has not caught, `token_for` above all: a response, or a closed socket."""
    visitor = _visitor()
    return await _refuse(await in_thread(lambda: visitor.response_to(error)))


async def _refuse(refused: WebResponse) -> Response | None:
    if has_websocket_context():
        await websocket.close(close_code_of(refused))
        return None
    return _response(refused)


def _response(refused: WebResponse) -> Response:
    response = Response(refused.body, status=refused.status)
    del response.headers["content-type"]
    response.headers.extend(list(refused.headers))
    return response


def auth_context_required(
    auth_context: str,
    *,
    scopes: Collection[str] = (),
    roles: Collection[str] = (),
    callers: Collection[CallerKind] = PEOPLE,
) -> Callable[[ViewT], ViewT]:
    """Lets pass whose sign-in met this authentication context, such as "c1"; Entra is asked for it once."""
    required = context_requirement(auth_context, scopes, roles, callers)
    return lambda view: _guarded(view, required)


async def _refuse_bare() -> None:
    asked, views = websocket if has_websocket_context() else request, current_app.view_functions
    refuse_bare(views.get(asked.endpoint or ""), views.values())


def _guarded(view: ViewT, required: Requirement) -> ViewT:
    remember(view)

    @wraps(view)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        refused = await refusal_of(_visitor(), required)
        if refused is None:
            return await current_app.ensure_async(view)(*args, **kwargs)
        return await _refuse(refused)

    return cast("ViewT", guarded)
