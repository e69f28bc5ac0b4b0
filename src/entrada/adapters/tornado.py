"""Entrada inside a Tornado application.

    app = tornado.web.Application([(r"/me", Me)])
    install(app, Entrada.from_environment())

    class Me(EntradaMixin, tornado.web.RequestHandler):
        @login_required
        async def get(self):
            self.write({"name": self.current_user.name})

    class Live(EntradaMixin, tornado.websocket.WebSocketHandler):
        required = SIGNED_IN                     # a whole handler is guarded before anything of it runs

The mixin says who makes each request before the handler's method runs; a handler with a `prepare` of its own
awaits `super().prepare()` first. A WebSocket that another site's page opens is nobody's. An open one is
closed (4401) when what opened it is over: a person's session or access token, or the roles that they had.

Source: Tornado, "Structure of a Tornado web application".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from urllib.parse import unquote

from entrada.adapters.setup_mistakes import needs

try:
    from tornado.ioloop import IOLoop
    from tornado.iostream import StreamClosedError
    from tornado.web import Application, RequestHandler
    from tornado.websocket import WebSocketHandler
except ModuleNotFoundError as missing:
    raise needs("tornado", missing) from None

from entrada.accounts.principal import Principal
from entrada.adapters.asgi import in_thread, refusal_of, token_of
from entrada.adapters.asgi_sockets import SESSION_ENDED
from entrada.adapters.response_watch import ResponseWatch
from entrada.adapters.socket_watch import SocketWatch
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
from entrada.web.limits import head_refusal
from entrada.web.messages import LARGEST_BODY_BYTES, WebRequest, WebResponse, form_too_large
from entrada.web.peers import UNKNOWN_PEER, peer_of

if TYPE_CHECKING:
    from entrada.entra.api_token import ApiToken
    from entrada.flows.session_check import CheckedSession
    from entrada.web.auth_routes import AuthRoutes

MethodT = TypeVar("MethodT", bound=Callable[..., Any])

_AUTH = "entrada_auth"
_SWITCHED = 101


def install(app: Application, entrada: HasAuth, *, prefix: str = "") -> None:
    """Sign-in pages for this application. `prefix`: where browsers find it, if not at the root."""
    auth = entrada.auth.under(prefix)
    app.settings[_AUTH] = auth
    app.settings.setdefault("login_url", auth.site.login_path)
    own = [f"{prefix}/auth(?:/.*)?", *(sorted(auth.site.callback_routes))]
    rules: Any = [(path, SignInPages) for path in own]
    app.wildcard_router.rules[:0] = Application(rules).wildcard_router.rules  # before the application's own


class EntradaMixin(RequestHandler):
    """Who makes each request of a handler: `current_user` is the principal, or None."""

    required: ClassVar[Requirement | None] = None
    """What every method of this handler asks; None: each method says for itself, or anybody may."""

    visitor: Visitor

    _watch: SocketWatch | ResponseWatch | None = None

    async def prepare(self) -> None:
        """Finds the session, and closes the door where `required` says so. Await it first in one's own."""
        waiting = super().prepare()
        if waiting is not None:
            await waiting
        if self._finished:
            return
        auth, request = _auth_of(self), request_of(self)
        refusal = head_refusal_of(self)
        if refusal is not None:
            send(self, refusal)
            return
        is_socket = isinstance(self, WebSocketHandler)
        try:
            may_know = not is_socket or auth.is_from_here(request)
            session = await _session(auth, request) if may_know else None
        except EntradaError as error:
            send(self, auth.failure(error, request))
            return
        self.visitor = Visitor(auth=auth, request=request, session=session)
        self.current_user = self.visitor.principal
        if self.visitor.is_anybody:
            self._watch = _watch_socket(self) if is_socket else _watch_response(self)
        if self.required is not None:
            await _let_in(self, self.required)

    async def token_for(self, scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
        """`Entrada.token_for` for who makes this request; in a thread, because Entra may have to be asked."""
        visitor = self.visitor
        try:
            return await token_of(visitor, scopes, challenge=challenge)
        except EntradaError as error:
            refusal = error
            self._response_to = refusal, await in_thread(lambda: visitor.response_to(refusal))
            raise

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What of Entrada's a method has not caught becomes the response."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        found: tuple[EntradaError | None, WebResponse | None] = getattr(self, "_response_to", (None, None))
        if isinstance(error, EntradaError) and hasattr(self, "visitor"):
            made = found[1] if error is found[0] else None
            send(self, made or self.visitor.response_to(error))
        else:
            super().write_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A refusal has its own line in the log; that a connection is closed is no news to who closed it."""
        is_cut_off = isinstance(self._watch, ResponseWatch) and self._watch.is_over
        if not isinstance(value, EntradaError) and not (is_cut_off and isinstance(value, StreamClosedError)):
            super().log_exception(typ, value, tb)

    def on_connection_close(self) -> None:
        """Tornado calls this when the client is gone, a WebSocket's too."""
        self._end_watch()
        super().on_connection_close()

    def on_finish(self) -> None:
        """Tornado calls this when a response has been sent, such as the refusal of a WebSocket."""
        if not isinstance(self, WebSocketHandler) or self.get_status() != _SWITCHED:
            self._end_watch()
        super().on_finish()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.over()


class SignInPages(RequestHandler):
    """Everything under /auth, and the redirect URIs."""

    async def prepare(self) -> None:
        """Responds to every method: what is not served is refused by the same rules as everywhere."""
        refusal = head_refusal_of(self)
        if refusal is not None:
            send(self, refusal)
            return
        auth, request = _auth_of(self), request_of(self)
        if len(request.body) > LARGEST_BODY_BYTES:
            send(self, auth.failure(form_too_large(), request))
        elif auth.responds_from_memory(request):
            send(self, auth.handle(request))
        else:
            send(self, await in_thread(lambda: auth.handle(request)))

    def check_xsrf_cookie(self) -> None:
        """Entra's form_post comes from another site; the pending sign-in is what binds it."""

    def _request_summary(self) -> str:
        return summary(self)


def current_principal(handler: RequestHandler) -> Principal | None:
    """Who is asking, by session or by the token that a guard has let in; or None."""
    visitor: Visitor | None = getattr(handler, "visitor", None)
    return None if visitor is None else visitor.principal


def login_required(method: MethodT) -> MethodT:
    """Lets signed-in people pass; a page visit goes to the sign-in page, a script gets 401."""
    return _guarded(method, SIGNED_IN)


def roles_required(*roles: str, callers: Collection[CallerKind] = PEOPLE) -> Callable[[MethodT], MethodT]:
    """Lets callers with one of these roles pass; other people get 403 with a page that says why."""
    required = role_requirement(roles, callers)
    return lambda method: _guarded(method, required)


def scopes_required(
    *scopes: str, roles: Collection[str] = (), callers: Collection[CallerKind] = PEOPLE
) -> Callable[[MethodT], MethodT]:
    """Lets pass who is signed in, and access tokens with one of these scopes; `roles` as above, if any."""
    required = scope_requirement(scopes, roles, callers)
    return lambda method: _guarded(method, required)


def auth_context_required(
    auth_context: str,
    *,
    scopes: Collection[str] = (),
    roles: Collection[str] = (),
    callers: Collection[CallerKind] = PEOPLE,
) -> Callable[[MethodT], MethodT]:
    """Lets pass whose sign-in met this authentication context, such as "c1"; Entra is asked for it once."""
    required = context_requirement(auth_context, scopes, roles, callers)
    return lambda method: _guarded(method, required)


def _guarded(method: MethodT, required: Requirement) -> MethodT:
    @wraps(method)
    async def guarded(self: EntradaMixin, *args: Any, **kwargs: Any) -> Any:
        if not await _let_in(self, required):
            return
        made = method(self, *args, **kwargs)
        if made is not None:
            await made

    return cast("MethodT", guarded)


async def _let_in(handler: EntradaMixin, required: Requirement) -> bool:
    visitor: Visitor | None = getattr(handler, "visitor", None)
    if visitor is None:
        raise RuntimeError(
            "EntradaMixin.prepare has not run: a prepare of one's own awaits super().prepare()"
            if isinstance(handler, EntradaMixin)
            else f"write class {type(handler).__name__}(EntradaMixin, RequestHandler): guards need the mixin"
        )
    refused = await refusal_of(visitor, required)
    if refused is not None:
        send(handler, refused)
        return False
    handler.current_user = visitor.principal
    return True


def _auth_of(handler: RequestHandler) -> AuthRoutes:
    auth: AuthRoutes | None = handler.settings.get(_AUTH)
    if auth is None:
        raise RuntimeError("entrada.adapters.tornado.install(app, entrada) has not been called")
    return auth


async def _session(auth: AuthRoutes, request: WebRequest) -> CheckedSession | None:
    if "cookie" not in request.headers:
        return None
    lately_checked = auth.session_in_memory(request)
    if lately_checked is not None or not auth.bears_session(request):
        return lately_checked
    return await in_thread(lambda: auth.session_of(request))


def _watch_socket(handler: Any) -> SocketWatch:
    """Closes the WebSocket when what opened it is over."""
    loop = IOLoop.current()
    visitor: Visitor = handler.visitor
    return SocketWatch(visitor, lambda: loop.add_callback(handler.close, SESSION_ENDED, "signed out"))


def _watch_response(handler: EntradaMixin) -> ResponseWatch:
    """Closes the connection when what let its reader in is over; the handler learns of it as of any other."""
    connection: Any = handler.request.connection

    def close() -> None:
        if not handler._finished and connection.stream is not None:
            connection.stream.close()

    return ResponseWatch(handler.visitor, close)


def request_of(handler: RequestHandler) -> WebRequest:
    """The request as ours; of a body only what an answer from Entra can be.

    Behind a proxy, whom Tornado does not know from anybody else, nobody can be told apart by their address.
    """
    request = handler.request
    headers: dict[str, str] = {}
    for name, value in request.headers.get_all():
        key = name.lower()
        separator = "; " if key == "cookie" else ", "
        headers[key] = f"{headers[key]}{separator}{value}" if key in headers else value
    return WebRequest(
        method=request.method or "GET",
        path=unquote(request.path, errors="replace"),
        raw_path=request.path,
        query=request.query,
        headers=headers,
        body=request.body[: LARGEST_BODY_BYTES + 1],
        peer=UNKNOWN_PEER if "x-forwarded-for" in headers else peer_of(request.remote_ip),
    )


def head_refusal_of(handler: RequestHandler) -> WebResponse | None:
    """414 or 431 for a request that is too large to be looked at, whatever Tornado let pass."""
    fields = [(name.encode(), value.encode()) for name, value in handler.request.headers.get_all()]
    return head_refusal(target_bytes=len(handler.request.uri or ""), headers=fields)


def summary(handler: RequestHandler) -> str:
    """What Tornado's log is told of a request: the path alone, because Entra's code stands behind it."""
    return f"{handler.request.method} {handler.request.path} ({handler.request.remote_ip})"


def send(handler: RequestHandler, response: WebResponse) -> None:
    """The response, and nothing of what Tornado says of its own accord about types and itself."""
    handler.clear()
    handler.set_status(response.status)
    for name in ("Content-Type", "Server", "Access-Control-Allow-Origin"):
        handler.clear_header(name)
    for name, value in response.headers:
        if name == "set-cookie":
            handler.add_header(name, value)
        else:
            handler.set_header(name, value)
    handler.finish(b"" if handler.request.method == "HEAD" else response.body)
