"""The server's application: the sign-in pages, and what a load balancer asks.

    /healthz   the process is up
    /readyz    a sign-in would work: the database can be written, and Entra's metadata has been read

Everything under /auth belongs to `entrada.web`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from entrada.accounts.identity import UserId
from entrada.adapters.starlette import EntradaMiddleware, login_required, to_starlette, web_request_of
from entrada.errors import AdmissionRefused, EntradaError
from entrada.flows.open_connections import end_with_account, end_with_session
from entrada.flows.relying_party import RelyingParty
from entrada.gateway.assertion import Assertions
from entrada.gateway.assertion_keys import key_document
from entrada.gateway.bearer_callers import BearerCallers
from entrada.gateway.caller import Caller
from entrada.gateway.clients import ClientOfTrustedProxies
from entrada.gateway.fast_path import FastChecks
from entrada.gateway.forward_auth_endpoint import ForwardAuthEndpoint
from entrada.gateway.habits import WayBackOfTrustedProxies, habits_in_force, with_habits
from entrada.gateway.hops import TrustedHops
from entrada.gateway.reverse_proxy import ReverseProxy
from entrada.gateway.rules import RuleBook
from entrada.web.auth_routes import AuthRoutes
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.session_cookie import SESSION_COOKIE

KEYS_PATH = "/.well-known/jwks.json"
OWN_PATHS = ("/healthz", "/readyz", "/metrics")
"""Ours even where an upstream has them too."""


def create_gateway(
    auth: AuthRoutes,
    *,
    hops: TrustedHops,
    book: RuleBook,
    assertions: Assertions | None = None,
    bearer: BearerCallers | None = None,
    habits: frozenset[str] | None = None,
    ca_bundle: Path | None = None,
    closing: ExitStack | None = None,
) -> ASGIApp:
    """The application, in front of it the addresses at which proxies ask, behind it the upstreams, if any.

    `ca_bundle` are authorities that upstreams' certificates may be of besides the system's.
    `habits` None: what is usual, see `habits_in_force`. `closing` gets what to do when no more requests come.
    """
    book = replace(book, own_hosts=auth.site.hosts)
    party = auth.relying_party
    auth = with_habits(
        auth,
        habits_in_force(habits, has_upstreams=bool(book.routes)),
        is_ready=lambda: not _what_is_missing(party),
    )
    app: ASGIApp = ClientOfTrustedProxies(create_app(auth), hops=hops)
    app = WayBackOfTrustedProxies(app, hops=hops)

    def failure(error: EntradaError, visit: WebRequest) -> WebResponse:
        # Who is refused as a person reads as whom; anything else has nothing to do with them.
        session = auth.session_in_memory(visit) if isinstance(error, AdmissionRefused) else None
        return auth.failure(error, visit, session=session)

    if book.routes:
        proxy = ReverseProxy(
            book=book,
            hops=hops,
            peek=auth.session_in_memory,
            find=auth.session_of,
            challenge=auth.challenge,
            failure=failure,
            is_ours=_is_our_cookie,
            scheme_of=lambda visit: auth.site.url_of(visit).partition(":")[0],
            watch=lambda session, end: end_with_session(auth.relying_party, session, end),
            watch_account=lambda caller, end: _watch_account(auth, caller, end),
            assertion=None if assertions is None else assertions.about,
            bearer=bearer,
            ca_bundle=ca_bundle,
        )
        beside_ours: frozenset[str] = frozenset().union(*(route.beside_ours for route in book.routes))
        app = _Upstreams(auth, app, proxy, beside_ours)
        if closing is not None:
            closing.callback(proxy.close)
    if assertions is not None:
        app = _PublishedKeys(app, assertions)
    return ForwardAuthEndpoint(
        app=app,
        peek=auth.session_in_memory,
        find=auth.session_of,
        hops=hops,
        book=book,
        asks_about=auth.relying_party.sign_in.identification.asks_about,
        challenge=auth.challenge,
        failure=failure,
        assertions=assertions,
        bearer=bearer,
    )


def _watch_account(auth: AuthRoutes, caller: Caller, end: Callable[[], None]) -> Callable[[], None]:
    if not caller.user_id:
        return lambda: None  # an application: what it may do stands in its token
    return end_with_account(auth.relying_party, UserId(caller.user_id), caller.roles, end)


def fast_checks(auth: AuthRoutes, *, hops: TrustedHops, book: RuleBook) -> FastChecks:
    """What the fast path asks, over the same sessions and rules."""
    check = auth.relying_party.session_check
    book = replace(book, own_hosts=auth.site.hosts)

    def cookie_name(host: str) -> str:
        rules = auth.site.cookie_rules(WebRequest(method="GET", path="/", headers={"host": host}))
        return rules.name(SESSION_COOKIE)

    return FastChecks(
        book=book,
        hops=hops,
        table=check.live,
        monotonic=check.clock.monotonic,
        cookie_name=cookie_name,
        look_ahead=check.look_ahead,
    )


class _PublishedKeys:
    """The keys that verify assertions, in front of everything else."""

    def __init__(self, app: ASGIApp, assertions: Assertions) -> None:
        self._app, self._assertions = app, assertions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != KEYS_PATH:
            await self._app(scope, receive, send)
            return
        try:
            keys = await to_thread.run_sync(self._assertions.keys)
            document = JSONResponse(key_document(keys), headers={"cache-control": "max-age=300"})
        except EntradaError as error:
            document = JSONResponse({"error": error.code, "message": error.sentence}, status_code=503)
        await document(scope, receive, send)


class _Upstreams:
    """What is ours is answered by us, the rest by upstreams."""

    def __init__(
        self, auth: AuthRoutes, app: ASGIApp, proxy: ReverseProxy, beside_ours: frozenset[str]
    ) -> None:
        self._auth, self._app, self._proxy, self._beside_ours = auth, app, proxy, beside_ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope["type"] != "http" or self._auth.owns(scope["path"]) or scope["path"] in OWN_PATHS
        if is_ours and scope["type"] == "http" and scope["path"] in self._beside_ours:
            is_ours = False
        await (self._app if is_ours else self._proxy)(scope, receive, send)


def _is_our_cookie(name: str) -> bool:
    return name.removeprefix("__Host-").startswith("entrada_")


def create_app(auth: AuthRoutes, *, routes: Sequence[BaseRoute] | None = None) -> Starlette:
    """The application behind `entrada serve`; `routes` take the place of its front page."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def readyz(_: Request) -> Response:
        missing = await to_thread.run_sync(_what_is_missing, auth.relying_party)
        if missing:
            return JSONResponse({"status": "not ready", "waiting_for": missing}, status_code=503)
        return JSONResponse({"status": "ready"})

    @login_required
    async def front_page(_: Request) -> Response:
        return RedirectResponse(auth.site.account_path, status_code=303)

    async def no_such_page(request: Request, _: Exception) -> Response:
        return to_starlette(auth.not_found(web_request_of(request)), head=request.method == "HEAD")

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *(routes if routes is not None else [Route("/", front_page)]),
        ],
        middleware=[Middleware(EntradaMiddleware, auth=auth)],
        exception_handlers={404: no_such_page},
    )


def _what_is_missing(relying_party: RelyingParty) -> dict[str, str]:
    missing = {}
    for name, ask in (
        ("database", relying_party.check_database),
        ("entra", relying_party.sign_in.application.metadata),
    ):
        try:
            ask()
        except EntradaError as error:
            missing[name] = getattr(error, "reason", None) or error.sentence
    return missing
