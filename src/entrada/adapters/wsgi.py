"""Entrada in front of any WSGI application: no framework is needed.

    application = EntradaMiddleware(application, Entrada.from_environment())

    @login_required
    def application(environ, start_response):
        person = current_principal(environ)

The middleware responds on the sign-in paths and says on every other request who makes it. Mounted under a
prefix (`SCRIPT_NAME`) it serves and names its paths there. An error of Entrada's that the application raises
before it has begun a response (`token_for` does) becomes the response. Every call may wait for Entra or a
database, as WSGI's do: the server's own workers and threads bound how many wait at once.

Source: PEP 3333.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from entrada.accounts.principal import Principal
from entrada.adapters.body_watch import watched_pieces
from entrada.adapters.raw_headers import WsgiHeaders
from entrada.adapters.setup_mistakes import NOT_INSTALLED
from entrada.entra.callers import CallerKind
from entrada.errors import EntradaError, RequestRefused
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
from entrada.web.mounts import below, mounts_of
from entrada.web.peers import peer_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from entrada.entra.api_token import ApiToken
    from entrada.web.auth_routes import AuthRoutes


VISITOR = "entrada.visitor"


class EntradaMiddleware:
    """Responds on the sign-in paths; on every other request says who is asking."""

    def __init__(
        self, app: WSGIApplication, entrada: HasAuth | None = None, *, auth: AuthRoutes | None = None
    ) -> None:
        self._app = app
        self._mounts = mounts_of(entrada, auth)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = WsgiHeaders(environ)
        refusal = head_refusal_of(environ, headers)
        if refusal is not None:
            return respond(refusal, environ, start_response)
        request = web_request(environ, headers)
        auth = self._mounts.under(_text(environ.get("SCRIPT_NAME", "")))
        if auth.owns(request.path):
            return respond(_walk(auth, request, environ), environ, start_response)
        try:
            session = auth.session_of(request) if "cookie" in request.headers else None
        except EntradaError as error:
            return respond(auth.failure(error, request), environ, start_response)
        visitor = environ[VISITOR] = Visitor(auth=auth, request=request, session=session)
        start = _Start(start_response)
        try:
            body = self._app(environ, start)
        except EntradaError as error:
            if start.is_called:
                raise
            return respond(visitor.response_to(error), environ, start_response)
        file_wrapper = environ.get("wsgi.file_wrapper")
        is_file = isinstance(file_wrapper, type) and isinstance(body, file_wrapper)
        if is_file or isinstance(body, (list, tuple)):
            return body  # there at once
        return _Watched(body, visitor, environ, start)


class _Start:
    """A server's `start_response`: once an application has called it, nothing else can take its place."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response, self.is_called = start_response, False

    def __call__(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        self.is_called = True
        return self._start_response(status, headers, *exc_info)


class _Watched:
    """A body that goes on for long, such as an event stream, breaks off when its reader's session is over.

    An application that is a generator runs with the first piece: what it raises before it has called
    `start_response` is a response.
    """

    def __init__(
        self, body: Iterable[bytes], visitor: Visitor, environ: WSGIEnvironment, start: _Start
    ) -> None:
        self._body, self._visitor, self._environ, self._start = body, visitor, environ, start

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from watched_pieces(self._body, self._visitor)
        except EntradaError as error:
            if self._start.is_called:
                raise
            yield from respond(self._visitor.response_to(error), self._environ, self._start)

    def close(self) -> None:
        """The server calls this at the end, whatever the end was."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def visitor_of(environ: WSGIEnvironment) -> Visitor:
    """Who makes this request.

    Raises:
        RuntimeError: no EntradaMiddleware stands in front of this application.
    """
    visitor: Visitor | None = environ.get(VISITOR)
    if visitor is None:
        raise RuntimeError(NOT_INSTALLED)
    return visitor


def current_principal(environ: WSGIEnvironment) -> Principal | None:
    """Who is asking, by session or by the token that a guard has let in; or None."""
    return visitor_of(environ).principal


def token_for(environ: WSGIEnvironment, scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
    """`Entrada.token_for` for who makes this request."""
    return visitor_of(environ).token_for(scopes, challenge=challenge)


def login_required(app: WSGIApplication) -> WSGIApplication:
    """Lets signed-in people pass; a page visit goes to the sign-in page, a script gets 401."""
    return _guarded(app, SIGNED_IN)


def roles_required(
    *roles: str, callers: Collection[CallerKind] = PEOPLE
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Lets callers with one of these roles pass; other people get 403 with a page that says why."""
    required = role_requirement(roles, callers)
    return lambda app: _guarded(app, required)


def scopes_required(
    *scopes: str, roles: Collection[str] = (), callers: Collection[CallerKind] = PEOPLE
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Lets pass who is signed in, and access tokens with one of these scopes; `roles` as above, if any."""
    required = scope_requirement(scopes, roles, callers)
    return lambda app: _guarded(app, required)


def auth_context_required(
    auth_context: str,
    *,
    scopes: Collection[str] = (),
    roles: Collection[str] = (),
    callers: Collection[CallerKind] = PEOPLE,
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Lets pass whose sign-in met this authentication context, such as "c1"; Entra is asked for it once."""
    required = context_requirement(auth_context, scopes, roles, callers)
    return lambda app: _guarded(app, required)


def _guarded(app: WSGIApplication, required: Requirement) -> WSGIApplication:
    @wraps(app)
    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refused = visitor_of(environ).refusal(required)
        if refused is not None:
            return respond(refused, environ, start_response)
        return app(environ, start_response)

    return guarded


def web_request(environ: WSGIEnvironment, headers: WsgiHeaders | None = None) -> WebRequest:
    """The request without its body; `headers` where they are read already.

    The path begins with the prefix that the application is mounted under.
    """
    path, raw_path = _text(environ.get("PATH_INFO", "") or "/"), _raw_path(environ)
    prefix = environ.get("SCRIPT_NAME", "").rstrip("/")
    if prefix:
        path, raw_path = below(_text(prefix), path, raw_path)
    return WebRequest(
        method=environ["REQUEST_METHOD"],
        path=path,
        raw_path=raw_path,
        query=environ.get("QUERY_STRING", ""),
        headers=WsgiHeaders(environ) if headers is None else headers,
        peer=peer_of(environ.get("REMOTE_ADDR")),
    )


def _raw_path(environ: WSGIEnvironment) -> str:
    """The path as it was sent, where the server tells (Gunicorn and Werkzeug do); else nothing."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    raw = target.partition("?")[0].partition("#")[0]
    return raw if raw.startswith("/") else ""


def _text(path: str) -> str:
    """PEP 3333 hands bytes over as latin-1."""
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


def _walk(auth: AuthRoutes, request: WebRequest, environ: WSGIEnvironment) -> WebResponse:
    try:
        body = read_body(environ) if request.method == "POST" else b""
    except RequestRefused as error:
        return auth.failure(error, request)
    return auth.handle(request.with_body(body))


def read_body(environ: WSGIEnvironment) -> bytes:
    """The whole body.

    Raises:
        RequestRefused: too large, cut off, or of no stated length.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    is_terminated = environ.get("wsgi.input_terminated", False)
    if length and not (length.isascii() and length.isdigit()):
        raise RequestRefused("This form does not say how long it is.")
    if not length and not is_terminated and "HTTP_TRANSFER_ENCODING" in environ:
        raise RequestRefused("This form does not say how long it is.")
    wanted = int(length[:10]) if length else (LARGEST_BODY_BYTES + 1 if is_terminated else 0)
    if wanted > LARGEST_BODY_BYTES and length:
        raise form_too_large()
    try:
        body: bytes = environ["wsgi.input"].read(wanted) if wanted else b""
    except (OSError, ValueError):
        raise RequestRefused("The connection ended before the form was complete.") from None
    if len(body) > LARGEST_BODY_BYTES:
        raise form_too_large()
    require_whole(environ, body)
    return body


def require_whole(environ: Mapping[str, Any], body: bytes) -> None:
    """WSGI has no other sign of a connection that ended in the middle than a body shorter than was said.

    Raises:
        RequestRefused: cut off, or of a length that is none and that a framework may take for 0.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise RequestRefused("This form does not say how long it is.")
    if len(body) < int(length[:10]):
        raise RequestRefused("The connection ended before the form was complete.")


def head_refusal_of(environ: WSGIEnvironment, headers: WsgiHeaders) -> WebResponse | None:
    """414 or 431 for a request that is too large to be looked at, whatever its server let pass."""
    target = len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", ""))
    return head_refusal(target_bytes=target, headers=headers.raw.items())


def respond(
    response: WebResponse, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """The whole response; to a HEAD request without its body, but with its length."""
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    try:
        reason = HTTPStatus(response.status).phrase
    except ValueError:
        reason = "Unknown"
    start_response(f"{response.status} {reason}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
