"""ASGI middleware around dstack: it serves our addresses and hands everything else on to dstack untouched.

It wraps the application as it is served, instead of adding routes: dstack mounts its static files on `/`, in
front of whatever is added later, and FastAPI keeps included routers in a shape of its own.
Walks run in a bounded pool of threads; dstack's loop is never held up.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrada.adapters.asgi import WALKS_AT_ONCE, head_refusal_of, read_body, web_request
from entrada.adapters.starlette import to_starlette
from entrada.errors import EntradaError, RequestRefused
from entrada.integrations.dstack import responses
from entrada.integrations.dstack.entra_only import is_user_interface
from entrada.integrations.dstack.label import LabelledScript
from entrada.integrations.dstack.routes import NEXT_REDIRECT_PATH, DstackRoutes
from entrada.web.messages import WebRequest, WebResponse, json_response

log = logging.getLogger("entrada")

MY_USER_PATH = "/api/users/get_my_user"
UPDATE_USER_PATH = "/api/users/update"


@dataclass(kw_only=True)
class DstackMiddleware:
    """One application with ours around it; `inner` is what dstack serves."""

    inner: ASGIApp
    routes: DstackRoutes
    scripts: Mapping[str, LabelledScript] = field(repr=False)
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WALKS_AT_ONCE))

    def __post_init__(self) -> None:
        self._handlers = self.routes.handlers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        refusal = head_refusal_of(scope)
        if refusal is not None:
            await to_starlette(refusal, head=scope["method"] == "HEAD")(scope, receive, send)
            return
        request = web_request(scope)
        response: WebResponse | None = None
        handler = self._handlers.get((request.method, request.path))
        if handler is not None:
            response = await self._walk(handler, request, receive)
        elif request.method == "GET" and request.path in self.scripts:
            response = self.scripts[request.path].response_to(request)
        elif request.method == "POST" and request.path == NEXT_REDIRECT_PATH:
            response, receive = await self._next_redirect(request, receive)
        elif request.method == "POST" and request.path == MY_USER_PATH:
            response = await self._refusal_of_token(request)
        elif request.method == "POST" and request.path == UPDATE_USER_PATH:
            await self._update_user(scope, receive, send)
            return
        await (self.inner if response is None else to_starlette(response))(scope, receive, send)

    async def _walk(
        self, handler: Callable[[WebRequest], WebResponse], request: WebRequest, receive: Receive
    ) -> WebResponse:
        try:
            whole = await _with_body(request, receive)
            return await to_thread.run_sync(partial(handler, whole), limiter=self.limiter)
        except EntradaError as error:
            return responses.failure_json(error)
        except Exception:
            log.exception("A mistake of Entrada's, at %s", request.path)
            detail = {"msg": "Entrada made a mistake; dstack's log says more.", "code": "error"}
            return json_response(500, {"detail": [detail]})

    async def _next_redirect(
        self, request: WebRequest, receive: Receive
    ) -> tuple[WebResponse | None, Receive]:
        """dstack's own response only where another provider may have made the state."""
        try:
            whole = await _with_body(request, receive)
            response = self.routes.next_redirect(whole)
        except EntradaError as error:
            return responses.failure_json(error), receive
        others = [p for p in self.routes.hooks.list_providers() if p.enabled and p.name != "entra"]
        if response is None and not others:
            refused = RequestRefused("This server has not begun that sign-in.")
            return responses.failure_json(refused), receive
        return response, _again(whole.body)

    async def _refusal_of_token(self, request: WebRequest) -> WebResponse | None:
        """What the user interface gets for a token alone, where the setting entra_only wants more."""
        switch, hooks = self.routes.entra_only, self.routes.hooks
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if switch is None or not is_user_interface(request) or scheme.lower() != "bearer":
            return None
        try:
            async with hooks.get_db().get_session() as session:
                user = await hooks.log_in_with_token(session=session, token=token.strip())
        except (SQLAlchemyError, OSError):
            return json_response(
                503, {"detail": {"msg": "dstack's database did not response.", "code": None}}
            )
        if user is None:
            return None
        is_admin = user.global_role == hooks.GlobalRole.ADMIN
        if switch.lets_in(request, self.routes.rules(request), user, is_admin=is_admin):
            return None
        words = "Sign in with Microsoft Entra ID: a token alone does not open this page here."
        return json_response(403, {"detail": {"msg": words, "code": None}})

    async def _update_user(self, scope: Scope, receive: Receive, send: Send) -> None:
        """dstack's own response; if an administrator changed a user, that user is in their hands again."""
        statuses: list[int] = []

        async def noting_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            body = await read_body(receive)
        except RequestRefused as error:
            await to_starlette(responses.failure_json(error))(scope, receive, send)
            return
        await self.inner(scope, _again(body), noting_status)
        name = _username_in(body)
        if statuses == [200] and name is not None:
            await self.routes.ending.store.note_changed_by_hand(name)


async def _with_body(request: WebRequest, receive: Receive) -> WebRequest:
    return request.with_body(await read_body(receive) if request.method == "POST" else b"")


def _again(body: bytes) -> Receive:
    """The same body once more, for dstack."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _username_in(body: bytes) -> str | None:
    try:
        document: Any = json.loads(body)
    except ValueError:
        return None
    name = document.get("username") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None
