"""The middleware: sign-in pages, and `request.user` for whoever is signed in through Entra.

It stands after Django's AuthenticationMiddleware, whose user stays where nobody is signed in through Entra.
Synchronous and asynchronous projects alike. Every request has `request.entrada`, a `Visitor`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import RequestDataTooBig
from django.db import connections
from django.http import HttpRequest, HttpResponse, RawPostDataException, UnreadablePostError
from django.utils.functional import SimpleLazyObject

from entrada.accounts.principal import UserPrincipal
from entrada.adapters import asgi, body_watch, response_watch, wsgi
from entrada.adapters.django.backend import EntradaBackend
from entrada.adapters.django.own_session import keep_own_session_apart
from entrada.errors import EntradaError, RequestRefused
from entrada.web.auth_routes import AuthRoutes
from entrada.web.guards import Visitor
from entrada.web.messages import LARGEST_BODY_BYTES, WebRequest, WebResponse, form_too_large
from entrada.web.mounts import Mounts


class EntradaMiddleware:
    """Responds on the sign-in paths; on every other request says who is asking, as `request.user` too."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._mounts = Mounts(apps.get_app_config("entrada").entrada.auth)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._respond(request)
        response = self._own_response(request)
        return _watched(self._get_response(request), request) if response is None else response

    async def _respond(self, request: HttpRequest) -> Any:
        if self._may_wait(request):
            response = await asgi.in_thread(lambda: self._own_response_in_thread(request))
        else:
            response = self._own_response(request)
        return _watched(await self._get_response(request), request) if response is None else response

    def _own_response_in_thread(self, request: HttpRequest) -> HttpResponse | None:
        """Django closes connections to its database in its own threads alone."""
        try:
            return self._own_response(request)
        finally:
            connections.close_all()

    def _own_response(self, request: HttpRequest) -> HttpResponse | None:
        """The response on our own addresses; else the request learns who makes it."""
        asked, auth = web_request(request), self._auth_of(request)
        if auth.owns(asked.path):
            response = _walk(auth, asked, request)
            keep_own_session_apart(request, auth, asked, response)
            return to_django(response)
        try:
            session = auth.session_of(asked) if "cookie" in asked.headers else None
        except EntradaError as error:
            return to_django(auth.failure(error, asked))
        visitor = Visitor(auth=auth, request=asked, session=session)
        setattr(request, "entrada", visitor)  # noqa: B010  # Django types no such attribute
        if session is not None:
            take_as_user(request, session.principal)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What of Entrada's a view has not caught, `token_for` above all, becomes the response."""
        visitor: Visitor | None = getattr(request, "entrada", None)
        if visitor is None or not isinstance(exception, EntradaError):
            return None
        return to_django(visitor.response_to(exception))

    def _may_wait(self, request: HttpRequest) -> bool:
        """Whether Entra or the database may have to be asked."""
        asked, auth = web_request(request), self._auth_of(request)
        return auth.owns(asked.path) or (auth.bears_session(asked) and auth.session_in_memory(asked) is None)

    def _auth_of(self, request: HttpRequest) -> AuthRoutes:
        return self._mounts.under(request.META.get("SCRIPT_NAME", ""))


def _watched(response: Any, request: HttpRequest) -> Any:
    """A response that is sent piece by piece ends with what let its reader in.

    Over WSGI a file that the server sends by itself is there at once, and an asynchronous body is sent when
    it is whole.
    """
    visitor: Visitor | None = getattr(request, "entrada", None)
    if not getattr(response, "streaming", False) or visitor is None or not visitor.is_anybody:
        return response
    body, is_file = response.streaming_content, getattr(response, "file_to_stream", None) is not None
    if response.is_async and hasattr(request, "scope"):
        response.streaming_content = response_watch.watched_pieces(body, visitor)
    elif not response.is_async and not (is_file and "wsgi.file_wrapper" in request.META):
        response.streaming_content = body_watch.watched_pieces(body, visitor)
    return response


def take_as_user(request: HttpRequest, principal: UserPrincipal) -> None:
    """`request.user` is this person's user from here on; looked up when it is asked for."""
    request.user = SimpleLazyObject(partial(_user, request, principal))
    setattr(request, "auser", partial(_auser, request, principal))  # noqa: B010


def _user(request: HttpRequest, principal: UserPrincipal) -> Any:
    whose, user = getattr(request, "_entrada_user", (None, None))
    if whose != principal:
        user = EntradaBackend().authenticate(request, principal=principal) or AnonymousUser()
        setattr(request, "_entrada_user", (principal, user))  # noqa: B010
    return user


_auser = sync_to_async(_user)


def web_request(request: HttpRequest) -> WebRequest:
    """The request without its body, of either kind of server."""
    scope = getattr(request, "scope", None)
    return wsgi.web_request(_as_it_came(request.META)) if scope is None else asgi.web_request(scope)


def _as_it_came(environ: dict[str, Any]) -> dict[str, Any]:
    """Django has decoded the path in it, which PEP 3333 hands over as latin-1."""
    paths = {name: environ.get(name, "") for name in ("SCRIPT_NAME", "PATH_INFO")}
    if all(path.isascii() for path in paths.values()):
        return environ
    return environ | {name: path.encode("utf-8", "replace").decode("latin-1") for name, path in paths.items()}


def _walk(auth: AuthRoutes, asked: WebRequest, request: HttpRequest) -> WebResponse:
    try:
        body = _body_of(request) if asked.method == "POST" else b""
        if len(body) > LARGEST_BODY_BYTES:
            raise form_too_large()
        if asked.method == "POST":
            wsgi.require_whole(request.META, body)  # Django takes what came for the whole
    except RequestDataTooBig:
        return auth.failure(form_too_large(), asked)
    except RawPostDataException:
        sentence = "This form was read as another kind of form before it came to where it belongs."
        return auth.failure(RequestRefused(sentence), asked)
    except UnreadablePostError:
        return auth.failure(RequestRefused("The connection ended before the form was complete."), asked)
    except RequestRefused as error:
        return auth.failure(error, asked)
    return auth.handle(asked.with_body(body))


def _body_of(request: HttpRequest) -> bytes:
    """Django takes a form in chunks for an empty one where WSGI serves.

    Raises:
        RequestRefused: see `wsgi.read_body`.
    """
    environ = request.META
    if "HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH") and "wsgi.input" in environ:
        return wsgi.read_body(environ)
    return request.body


def to_django(response: WebResponse) -> HttpResponse:
    """The response as Django sends one; several cookies stay several."""
    made = HttpResponse(response.body, status=response.status)
    del made["Content-Type"]
    cookies = [value for name, value in response.headers if name == "set-cookie"]
    for name, value in response.headers:
        if name != "set-cookie":
            made[name] = value
    for cookie in cookies:
        made.cookies.load(cookie)
    return made
