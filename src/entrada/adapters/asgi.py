"""Entrada in front of any ASGI application: no framework is needed.

    application = EntradaMiddleware(application, Entrada.from_environment())

    async def application(scope, receive, send):
        visitor = visitor_of(scope)             # visitor.principal: a UserPrincipal, or None

The middleware responds on the sign-in paths and says on every other request who makes it; the walks that may
ask Entra or a database run in a bounded pool of threads. An error of Entrada's that the application does not
catch (`token_for` raises them) becomes the response. Mounted under a prefix (`--root-path`) it serves and
names its paths there. A WebSocket that another site's page opens is nobody's. An open one is closed (4401)
when what opened it is over: a person's session or access token, or the roles that they had.

Source: ASGI specification, "HTTP & WebSocket ASGI Message Format" 2.5.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from entrada.adapters.asgi_sockets import (
    NOT_ALLOWED,
    SESSION_ENDED,
    Application,
    Message,
    Receive,
    Scope,
    Send,
    run_until_session_ends,
)
from entrada.adapters.raw_headers import AsgiHeaders
from entrada.adapters.response_watch import ResponseWatch, was_cut_off
from entrada.adapters.setup_mistakes import NOT_INSTALLED
from entrada.adapters.socket_watch import SocketWatch
from entrada.errors import EntradaError, RequestRefused
from entrada.web.guards import SIGNED_IN, HasAuth, Requirement, Visitor
from entrada.web.limits import head_refusal
from entrada.web.messages import LARGEST_BODY_BYTES, WebRequest, WebResponse, form_too_large
from entrada.web.mounts import below, mounts_of
from entrada.web.peers import peer_of

if TYPE_CHECKING:
    from entrada.entra.api_token import ApiToken
    from entrada.flows.session_check import CheckedSession
    from entrada.web.auth_routes import AuthRoutes

WALKS_AT_ONCE = 40
VISITOR = "entrada.visitor"
_TRY_AGAIN_LATER = 1013
_BROKEN = 500

ResultT = TypeVar("ResultT")


class EntradaMiddleware:
    """Responds on the sign-in paths; on every other request says who is asking."""

    def __init__(
        self, app: Application, entrada: HasAuth | None = None, *, auth: AuthRoutes | None = None
    ) -> None:
        self._app = app
        self._mounts = mounts_of(entrada, auth)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = head_refusal_of(scope)
        if refusal is not None:
            await _refuse(refusal, scope, send)
            return
        request, auth = web_request(scope), self._mounts.under(scope.get("root_path", ""))
        if scope["type"] == "websocket":
            await self._serve_socket(auth, request, scope, receive, send)
        elif auth.owns(request.path):
            response = await self._walk(auth, request, receive)
            await respond(response, send, head=request.method == "HEAD")
        else:
            await self._serve_page(auth, request, scope, receive, send)

    async def _serve_page(
        self, auth: AuthRoutes, request: WebRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            session = await self._session(auth, request)
        except EntradaError as error:
            await respond(auth.failure(error, request), send, head=request.method == "HEAD")
            return
        visitor = scope[VISITOR] = Visitor(auth=auth, request=request, session=session)

        sending = _Sending(visitor, send)
        serving = self._app(scope, receive, sending)
        is_cut_off = False
        try:
            if visitor.is_anybody:
                is_cut_off = await was_cut_off(serving, visitor, sending.watched_by)
            else:
                await serving
        except EntradaError as error:
            if sending.has_begun:
                raise
            refusal = error
            response = await in_thread(lambda: visitor.response_to(refusal))
            await respond(response, send, head=request.method == "HEAD")
            return
        except Exception:
            await sending.let_go()
            raise
        if is_cut_off and not sending.has_begun:
            await respond(auth.challenge(request), send, head=request.method == "HEAD")
        else:
            await sending.let_go()

    async def _serve_socket(
        self, auth: AuthRoutes, request: WebRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            session = await self._session(auth, request) if auth.is_from_here(request) else None
        except EntradaError:
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
            return
        visitor = scope[VISITOR] = Visitor(auth=auth, request=request, session=session)
        try:
            if not visitor.is_anybody:
                await self._app(scope, receive, send)
            else:
                await run_until_session_ends(
                    self._app, scope, receive, send, watch=lambda end: SocketWatch(visitor, end).over
                )
        except EntradaError as error:
            refusal = error
            response = await in_thread(lambda: visitor.response_to(refusal))
            with suppress(RuntimeError, OSError):  # it is closed already
                await send({"type": "websocket.close", "code": close_code_of(response)})

    async def _session(self, auth: AuthRoutes, request: WebRequest) -> CheckedSession | None:
        if "cookie" not in request.headers:
            return None
        lately_checked = auth.session_in_memory(request)
        if lately_checked is not None or not auth.bears_session(request):
            return lately_checked
        return await in_thread(lambda: auth.session_of(request))

    async def _walk(self, auth: AuthRoutes, request: WebRequest, receive: Receive) -> WebResponse:
        try:
            body = await read_body(receive) if request.method == "POST" else b""
        except RequestRefused as error:
            return auth.failure(error, request)
        whole = request.with_body(body)
        if auth.responds_from_memory(whole):
            return auth.handle(whole)
        return await in_thread(lambda: auth.handle(whole))


class _Sending:
    """The `send` of one request's application. `has_begun`: its client has got something.

    A guard that can only raise leaves its own response with the visitor, and that is sent. A mounted
    application says 500 before it hands on what it has not caught: that may be a refusal of ours, so a 500
    waits until the application is done.
    """

    def __init__(self, visitor: Visitor, send: Send) -> None:
        self.has_begun = False
        self._visitor, self._send = visitor, send
        self._held: list[Message] = []
        self._watch: ResponseWatch | None = None

    def watched_by(self, watch: ResponseWatch) -> None:
        """It is told when the response is whole: an application may do more than respond."""
        self._watch = watch

    def __call__(self, message: Message) -> Awaitable[None]:
        """See above."""
        refused = self._visitor.refused
        if refused is not None:
            return self._send_instead(refused, message)
        if not self.has_begun and (self._held or message.get("status") == _BROKEN):
            return self._hold(message)
        self.has_begun = True
        return self._pass_on(message)

    async def _hold(self, message: Message) -> None:
        """A 500 that goes on for longer is not waited for."""
        self._held.append(message)
        if message.get("more_body", False):
            await self.let_go()

    async def _send_instead(self, refused: WebResponse, message: Message) -> None:
        self.has_begun = True
        if message["type"] == "http.response.start":
            whole = refused.with_headers(*_for_other_origins(message))
            await respond(whole, self._send, head=self._visitor.request.method == "HEAD")

    async def let_go(self) -> None:
        """Sends what was held back."""
        while self._held:
            self.has_begun = True
            await self._pass_on(self._held.pop(0))

    def _pass_on(self, message: Message) -> Awaitable[None]:
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        return self._send_last(message) if is_last else self._send(message)

    async def _send_last(self, message: Message) -> None:
        await self._send(message)
        if self._watch is not None:
            self._watch.over()


class _Threads:
    """One pool for the process. A fork leaves its threads behind, so the child makes its own."""

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=WALKS_AT_ONCE, thread_name_prefix="entrada")

    @cached_property
    def for_tokens(self) -> ThreadPoolExecutor:
        """Of its own: who waits for a token of another API keeps no sign-in and no session waiting."""
        return ThreadPoolExecutor(max_workers=WALKS_AT_ONCE, thread_name_prefix="entrada-tokens")

    def forget(self) -> None:
        self.__dict__.pop("pool", None)
        self.__dict__.pop("for_tokens", None)


_threads = _Threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.forget)


async def in_thread(walk: Callable[[], ResultT]) -> ResultT:
    """What may wait for Entra or a database, while other requests go on; so many at once."""
    return await asyncio.get_running_loop().run_in_executor(_threads.pool, walk)


async def token_for(scope: Scope, scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
    """`Entrada.token_for` for who makes this request, in a thread."""
    return await token_of(visitor_of(scope), scopes, challenge=challenge)


async def token_of(visitor: Visitor, scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
    """`Visitor.token_for` in a thread; so many at once."""
    walk = partial(visitor.token_for, scopes, challenge=challenge)
    return await asyncio.get_running_loop().run_in_executor(_threads.for_tokens, walk)


def visitor_of(scope: Scope) -> Visitor:
    """Who makes this request.

    Raises:
        RuntimeError: no EntradaMiddleware stands in front of this application.
    """
    visitor: Visitor | None = scope.get(VISITOR)
    if visitor is None:
        raise RuntimeError(NOT_INSTALLED)
    return visitor


async def refusal_of(visitor: Visitor, required: Requirement = SIGNED_IN) -> WebResponse | None:
    """As `Visitor.refusal`, waiting in a thread where it waits."""
    if visitor.may_wait(required):
        return await in_thread(lambda: visitor.refusal(required))
    return visitor.refusal(required)


def close_code_of(refused: WebResponse) -> int:
    """What closes a WebSocket that is refused."""
    if refused.status >= _BROKEN:
        return _TRY_AGAIN_LATER
    return NOT_ALLOWED if refused.status == 403 else SESSION_ENDED


def web_request(scope: Scope) -> WebRequest:
    """The request without its body. The path begins with the prefix that the application is mounted under.

    By ASGI it does so anyway; behind a proxy that strips it, FastAPI(root_path=...) has a path without it.
    """
    path, prefix = scope["path"], scope.get("root_path", "").rstrip("/")
    raw_path = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    if prefix:
        is_whole = path == prefix or path.startswith(f"{prefix}/")
        path, raw_path = below(prefix, path[len(prefix) :] if is_whole else path, raw_path)
    return WebRequest(
        method=scope.get("method", "GET"),
        path=path,
        raw_path=raw_path,
        query=scope["query_string"].decode("latin-1"),
        headers=AsgiHeaders(scope["headers"]),
        peer=peer_of(client[0] if (client := scope.get("client")) else None),
    )


def _for_other_origins(message: Message) -> Iterator[tuple[str, str]]:
    """What the application says of pages of other origins: without it they may not read a refusal."""
    for name, value in message.get("headers", ()):
        if name.lower() == b"vary" or name.lower().startswith(b"access-control-"):
            yield name.decode("latin-1").lower(), value.decode("latin-1")


def head_refusal_of(scope: Scope) -> WebResponse | None:
    """414 or 431 for a request that is too large to be looked at, whatever its server let pass."""
    target = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    return head_refusal(target_bytes=target, headers=scope["headers"])


async def _refuse(refusal: WebResponse, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1009})
    else:
        await respond(refusal, send, head=scope["method"] == "HEAD")


async def respond(response: WebResponse, send: Send, *, head: bool = False) -> None:
    """Send the whole response; `head`: without its body, as a HEAD request wants it."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})


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
            raise form_too_large()
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
