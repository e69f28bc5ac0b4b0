"""Puts the guard in front of every handler of a Tornado application, also of those added later.

An application asks one method of its own for whatever will answer a request; here that method gives a
subclass of the handler that looks first. A rule that leads past handlers leads nowhere.

Source: Tornado 6, web.Application.find_handler and get_handler_delegate, RequestHandler.prepare.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tornado.concurrent import Future
from tornado.ioloop import IOLoop
from tornado.web import ErrorHandler
from tornado.websocket import WebSocketHandler

from entrada.adapters.tornado import request_of, send
from entrada.errors import EntradaError, RequestRefused, Unavailable
from entrada.events import Event, record
from entrada.integrations.mage import guard
from entrada.integrations.mage.credentials import Brought, brought_by, chosen
from entrada.integrations.mage.guard import Asks, Rule
from entrada.integrations.mage.pages import TOKEN_COOKIE
from entrada.integrations.mage.sessions import OpenSession
from entrada.integrations.mage.sockets import SESSION_ENDED, OpenConnections
from entrada.web.messages import WebRequest, WebResponse, json_response

log = logging.getLogger("entrada.mage")

UNAUTHORIZED = 401
_AT_ONCE = 4
_TOKEN_PARAMETERS: Mapping[str, Sequence[str]] = {"ApiDownloadHandler": ("HTTP_AUTHORIZATION", "token")}
"""Where a token may stand in an address, because Mage's own pages and clients put it there."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What is asked before a handler runs.

    `open_sessions` gives those of the tokens that open Mage now; `may` says what a user may do at most;
    `decode` reads Mage's cookie, `token_of` our own; `refused_page` is shown to somebody who is signed in and
    may see nothing, `ended_page` to a browser that still has the cookie of a session that has ended.
    All but `decode` and `ended_page` may ask a database, and run in a thread.
    """

    urls: Collection[str]
    open_sessions: Callable[[Collection[str]], Sequence[OpenSession]]
    may: Callable[[int], Asks]
    decode: Callable[[str], str | None]
    token_of: Callable[[WebRequest], str | None]
    refused_page: Callable[[WebRequest, int], WebResponse]
    ended_page: Callable[[WebRequest], WebResponse]
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="entrada-guard")
    )


def put_before(app: Any, asks: Guard, *, ours: Collection[type[Any]]) -> None:
    """Nothing of this application runs unasked from here on. `ours` are handlers of our own."""
    for pattern, handler in registered(app):
        if guard.rule_of(handler, ours=ours) is guard.CLOSED:
            log.warning("Mage's %s (%s) is not in Entrada's table: closed.", pattern, handler.__name__)
    connections = OpenConnections(asks.open_sessions, asks.pool)
    guarded: dict[type[Any], type[Any]] = {}
    stock_delegate, stock_find = app.get_handler_delegate, app.find_handler

    def get_handler_delegate(request: Any, target_class: type[Any], *args: Any, **kwargs: Any) -> Any:
        if target_class not in guarded:
            rule = guard.rule_of(target_class, ours=ours)
            guarded[target_class] = _guarded(target_class, rule, asks, connections)
        delegate = stock_delegate(request, guarded[target_class], *args, **kwargs)
        delegate.entrada = True
        return delegate

    def find_handler(request: Any, **kwargs: Any) -> Any:
        found = stock_find(request, **kwargs)
        if getattr(found, "entrada", False):
            return found
        return get_handler_delegate(request, ErrorHandler, {"status_code": 404})

    app.get_handler_delegate = get_handler_delegate
    app.find_handler = find_handler


def registered(router: Any) -> Iterator[tuple[str, type[Any]]]:
    """Every address that an application has a handler for, as its rules write it."""
    for rule in getattr(router, "rules", None) or router.default_router.rules:
        target = rule.target
        if inspect.isclass(target):
            yield rule.matcher.regex.pattern.rstrip("$"), target
        elif hasattr(target, "rules"):
            yield from registered(target)


def _guarded(stock: type[Any], rule: Rule, asks: Guard, connections: OpenConnections) -> type[Any]:
    """The handler, asking first. Its name stays: Mage and Tornado log it."""

    async def prepare(self: Any) -> None:
        refused = await _refusal(self, stock, rule, asks, connections)
        if refused is not None:
            send(self, refused)
            return
        prepared = stock.prepare(self)
        if inspect.isawaitable(prepared):
            await prepared

    def on_finish(self: Any) -> None:
        connections.forget(self)
        stock.on_finish(self)

    def log_exception(self: Any, *about: Any) -> None:
        if not connections.has_ended(self):  # else what fails is writing to a connection that we cut
            stock.log_exception(self, *about)

    members: dict[str, Any] = {
        "prepare": prepare,
        "log_exception": log_exception,
        "__module__": stock.__module__,
    }
    if issubclass(stock, WebSocketHandler):
        members |= _socket_members(stock, connections)
    else:
        members["on_finish"] = on_finish
    return type(stock.__name__, (stock,), members)


def _socket_members(stock: type[Any], connections: OpenConnections) -> dict[str, Any]:
    """A socket whose session has ended hears and says nothing more, also until its client has hung up."""

    def on_message(self: Any, message: Any) -> Any:
        return stock.on_message(self, message) if connections.may_go_on(self) else None

    def open_(self: Any, *args: str, **kwargs: str) -> Any:
        if connections.has_ended(self):
            return self.close(SESSION_ENDED)
        return stock.open(self, *args, **kwargs)

    def write_message(self: Any, *args: Any, **kwargs: Any) -> Any:
        if connections.has_ended(self):
            nothing: Future[None] = Future()
            nothing.set_result(None)
            return nothing  # Mage tells all sockets in a row: one that raised would keep the rest waiting
        return stock.write_message(self, *args, **kwargs)

    def on_connection_close(self: Any) -> None:
        connections.forget(self)
        stock.on_connection_close(self)

    return {
        "open": open_,
        "on_message": on_message,
        "write_message": write_message,
        "on_connection_close": on_connection_close,
    }


async def _refusal(
    handler: Any, stock: type[Any], rule: Rule, asks: Guard, connections: OpenConnections
) -> WebResponse | None:
    request = request_of(handler)
    names = _api_path(handler) if rule.is_api else []
    needs = guard.asked(rule, method=request.method, api_path=names)
    try:
        if not rule.any_site and (needs is not Asks.NOTHING or request.method not in ("GET", "HEAD")):
            guard.require_our_origin(request, urls=asks.urls)
        if needs is Asks.CLOSED:
            return _told(403, "closed", "Entrada keeps this address of Mage's closed.")
        if rule.any_site and not rule.is_page:
            return None
        return await _ask(handler, request, stock, rule, needs, asks, connections)
    except RequestRefused as refused:
        return _refused(403, refused)
    except Unavailable as failure:
        return _refused(503, failure)


async def _ask(
    handler: Any,
    request: WebRequest,
    stock: type[Any],
    rule: Rule,
    needs: Asks,
    asks: Guard,
    connections: OpenConnections,
) -> WebResponse | None:
    brought = brought_by(
        request,
        decode=asks.decode,
        parameters=_TOKEN_PARAMETERS.get(stock.__name__, ("HTTP_AUTHORIZATION",)),
    )
    session, may = await IOLoop.current().run_in_executor(
        asks.pool, _session_of, request, brought, asks, needs, rule.is_page
    )
    if rule.is_api:
        _leave_one_cookie(handler, brought, session)
    if rule.is_page:
        if not request.is_page_visit or may >= Asks.VIEWER:
            return None
        if session is None:
            return asks.ended_page(request) if brought.cookies else None
        page: WebResponse = await IOLoop.current().run_in_executor(
            asks.pool, asks.refused_page, request, session.user_number
        )
        return page
    if needs is Asks.NOTHING:
        return None
    if session is None:
        return _told(UNAUTHORIZED, "invalid_oauth_token", "Sign in first.")
    if may < needs:
        return _told(403, "unauthorized_access", "Unauthorized access.")
    connections.add(handler, session.token)
    return None


def _session_of(
    request: WebRequest, brought: Brought, asks: Guard, needs: Asks, is_page: bool
) -> tuple[OpenSession | None, Asks]:
    """The session the request comes with, and what its user may do, as far as anybody wants to know."""
    opening = (
        {session.token: session for session in asks.open_sessions(brought.texts)} if brought.texts else {}
    )
    ours = asks.token_of(request) if len(brought.cookies) > 1 else None
    text = chosen(brought, opening=frozenset(opening), ours=ours)
    session = None if text is None else opening[text]
    if session is None:
        return None, Asks.NOTHING
    if needs <= Asks.SESSION and not is_page:
        return session, Asks.SESSION
    return session, asks.may(session.user_number)


def _leave_one_cookie(handler: Any, brought: Brought, session: OpenSession | None) -> None:
    """Of Mage's cookies the one that was chosen, or none: Mage would take the last, or fail at it."""
    parts = [part.strip() for part in handler.request.headers.get("Cookie", "").split(";")]
    kept = [part for part in parts if part and part.partition("=")[0].strip() != TOKEN_COOKIE]
    if session is not None:
        kept += [f"{TOKEN_COOKIE}={value}" for text, value in brought.cookies if text == session.token][:1]
    if "Cookie" in handler.request.headers:
        handler.request.headers["Cookie"] = "; ".join(kept)


def _api_path(handler: Any) -> list[str]:
    """The names in an API's address: Mage's rule gives them by name, its rule for health by itself."""
    found = getattr(handler, "path_kwargs", {})
    names = [found.get(name) for name in ("resource", "pk", "child", "child_pk")]
    first = names[0] or getattr(handler, "resource", None)
    return [name for name in [first, *names[1:]] if name]


def _refused(status: int, error: EntradaError) -> WebResponse:
    return _told(status, error.code, f"{error.sentence} {error.hint}")


def _told(status: int, code: str, sentence: str) -> WebResponse:
    """As Mage's API tells its pages of errors."""
    if status != UNAUTHORIZED:  # pages ask on after their session has ended
        record(Event.REQUEST_REFUSED, code=code, status=status)
    document = {"error": {"code": status, "type": code, "message": sentence}, "status": status}
    return json_response(status, document)
