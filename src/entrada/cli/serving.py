"""One process of `entrada serve`: its own sessions in memory, its own gateway, the listeners of all.

Plan           what all processes of one server have in common
build_auth     the sign-in pages, over a database whose calls are timed
serve_here     builds, serves until a signal, carries out changes of the rules meanwhile, closes
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from socket import socket
from threading import Event, Thread

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from entrada.broker.installations import Installation
from entrada.broker.routes import BrokerRoutes
from entrada.broker.running import in_background
from entrada.broker.start import build_broker
from entrada.build import build_auth_routes
from entrada.build.stores import open_stores
from entrada.cli.gateway_parts import assertion_keys_of, assertions_of
from entrada.cli.logs import errors_alone
from entrada.cli.reload import Change
from entrada.clock import SystemClock
from entrada.errors import EntradaError
from entrada.events import subscribe
from entrada.flows.health import HealthFact, HealthGroup, ago
from entrada.gateway.access_log import AccessLog
from entrada.gateway.app import create_gateway, fast_checks
from entrada.gateway.assertion import Assertions
from entrada.gateway.assertion_keys import AssertionKeys
from entrada.gateway.bearer_callers import BearerCallers, bearer_callers
from entrada.gateway.explain_person import explain_for
from entrada.gateway.fast_path import FastChecks
from entrada.gateway.hops import TrustedHops
from entrada.gateway.metrics import Metrics, SharedFolder
from entrada.gateway.metrics_endpoint import MetricsAddress, MetricsOnLoopback
from entrada.gateway.outcome import Finished, Observed
from entrada.gateway.rules import RuleBook
from entrada.gateway.server import GatewayServer
from entrada.settings import FoundValues, Settings
from entrada.web.auth_routes import AuthRoutes

COLLECT_EVERY_SECONDS = 0.5
"""How often a process among several writes down what its fast path has counted, for the others to tell."""

log = logging.getLogger("entrada")

ConfigOf = Callable[[ASGIApp, FastChecks | None], uvicorn.Config]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all processes of one server have in common."""

    settings: Settings
    found: FoundValues
    hops: TrustedHops
    listed: Sequence[Installation] | None = None
    """The installations of the settings file, at a broker; None: this is none."""
    file: Path | None = None
    """The settings file, whose rules are explained; None: there is none."""
    listeners: Sequence[socket]
    metrics_listener: socket | None = None
    config_of: ConfigOf


def build_auth(plan: Plan, metrics: Metrics | None = None) -> tuple[AuthRoutes, AssertionKeys]:
    """The sign-in pages; a broker's, where the plan says so. And where keys of assertions are stored.

    Raises:
        ConfigurationError: see `build_auth_routes`.
        StoreUnavailable: the database does not answer.
    """
    with plan.found.names.in_errors():
        stores = open_stores(plan.settings.database_url)
    try:
        timed = stores if metrics is None else metrics.timed(stores)
        if plan.listed is not None:
            auth: AuthRoutes = build_broker(plan.settings, plan.found, listed=plan.listed, stores=timed)
        else:
            auth = build_auth_routes(plan.settings, plan.found, stores=timed)
        explained = partial(explain_for, file=plan.file, public_url=plan.settings.public_url)
        auth = replace(auth, explain_path=explained)
        return auth, assertion_keys_of(plan.settings, stores)
    except BaseException:
        stores.close()
        raise


def serve_here(
    plan: Plan,
    book: RuleBook,
    changes: Iterator[Change],
    *,
    announce: Callable[[AuthRoutes], None],
    shared: SharedFolder | None = None,
    alive: Callable[[], None] = lambda: None,
    on_signal: Callable[[int], None] | None = None,
) -> None:
    """Serves in this process until a signal comes or the changes end; finishes what is under way.

    `announce` is told when all is built. `shared`: this is one process of several. `alive` is
    called in the server's loop, every second. `on_signal`: see `GatewayServer`.
    """
    metrics = Metrics(clock=SystemClock(), shared=shared)
    with ExitStack() as stack:
        with errors_alone("entrada") if shared else nullcontext():  # what it warns of was said above
            auth, keys = build_auth(plan, metrics)
        stack.callback(auth.relying_party.close)
        auth.relying_party.start_background()
        with plan.found.names.in_errors():
            gateway = _Gateway(plan=plan, auth=auth, assertion_keys=keys)
            gateway.take(gateway.made(book))
            access_log = _access_log(plan)
        if auth.health is not None:
            auth.health.further = [partial(_keys_in_words, gateway.key_times)]
        stack.callback(subscribe(metrics.event))
        metrics.watch(auth.relying_party.sessions, gateway.key_times)
        if auth.relying_party.watch is not None:
            metrics.watch_directories(auth.relying_party.watch.watch.store)
        finished: list[Finished] = [metrics.request_finished]
        if access_log is not None:
            stack.callback(access_log.close)
            finished.append(access_log.request_finished)
        checks = replace(
            fast_checks(auth, hops=plan.hops, book=book), answered=metrics.fast, access_log=access_log
        )
        app = Observed(MetricsOnLoopback(gateway, metrics, public_urls=auth.site.urls), finished=finished)
        further = []
        if plan.metrics_listener is not None:
            further = [(plan.config_of(MetricsAddress(metrics), None), plan.metrics_listener)]
        server = GatewayServer(plan.config_of(app, checks), further=further, alive=alive, on_signal=on_signal)

        def follow() -> None:
            for change in changes:
                if access_log is not None:
                    access_log.reopen()
                if change.book is not None:
                    with plan.found.names.in_errors():
                        _change(change.book, gateway, checks, server)
            server.end()

        Thread(target=follow, name="entrada-changes", daemon=True).start()
        if shared is not None:
            stack.callback(_collecting(metrics))
        if isinstance(auth, BrokerRoutes):
            stack.enter_context(in_background(auth))
        announce(auth)
        server.run(sockets=list(plan.listeners))


def _keys_in_words(key_times: Callable[[], dict[str, datetime | None]], now: datetime) -> HealthGroup:
    """How old the key is that signs what applications are told, for the page of administrators."""
    made_at = key_times().get("assertion")
    text = "None is used: no route asks for one" if made_at is None else f"Made {ago(now - made_at)} ago"
    return HealthGroup(
        heading="Keys of this server", facts=[HealthFact(label="Key that signs assertions", text=text)]
    )


def _change(book: RuleBook, gateway: _Gateway, checks: FastChecks, server: GatewayServer) -> None:
    """In another thread than the server's loop, where the change is made at once for both paths."""
    try:
        made = gateway.made(book)
    except EntradaError as error:
        log.error("The rules and routes stay as they were. %s %s", error.sentence, error.hint)
        return

    def take() -> None:
        gateway.take(made)
        checks.change_rules(book)

    server.call_soon(take)


def _access_log(plan: Plan) -> AccessLog | None:
    target = plan.settings.access_log
    return None if target is None else AccessLog(target, hops=plan.hops, now=SystemClock().now)


def _collecting(metrics: Metrics) -> Callable[[], None]:
    over = Event()

    def collect() -> None:
        while not over.wait(COLLECT_EVERY_SECONDS):
            metrics.collect()
        metrics.collect()

    thread = Thread(target=collect, name="entrada-metrics", daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        thread.join(timeout=1)

    return end


@dataclass(frozen=True, kw_only=True)
class _Made:
    app: ASGIApp
    assertions: Assertions | None
    closing: ExitStack


@dataclass(kw_only=True)
class _Gateway:
    """The application that the rules of the moment make. A request stays with the one it came to."""

    plan: Plan
    auth: AuthRoutes
    assertion_keys: AssertionKeys
    _bearer: BearerCallers | None = field(init=False)
    _now: _Made = field(init=False)

    def __post_init__(self) -> None:
        settings = self.plan.settings
        self._bearer = bearer_callers(
            self.auth.relying_party,
            scopes=settings.bearer_scopes,
            mapping=settings.roles,
            callers=frozenset(settings.bearer_callers),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._now.app(scope, receive, send)

    def made(self, book: RuleBook) -> _Made:
        """
        Raises:
            ConfigurationError: a route asks for something that cannot be.
        """
        settings, closing = self.plan.settings, ExitStack()
        assertions = assertions_of(settings, book, self.assertion_keys)
        app = create_gateway(
            self.auth,
            hops=self.plan.hops,
            book=book,
            assertions=assertions,
            bearer=self._bearer,
            habits=settings.habits,
            ca_bundle=settings.ca_bundle,
            closing=closing,
        )
        return _Made(app=app, assertions=assertions, closing=closing)

    def take(self, made: _Made) -> None:
        """From here on; the connections that the former kept for later requests are closed."""
        before = getattr(self, "_now", None)
        self._now = made
        if before is not None:
            before.closing.close()

    def key_times(self) -> dict[str, datetime | None]:
        """Since when keys are held, for metrics."""
        application = self.auth.relying_party.sign_in.identification.application
        times = {"entra": application.keys_fetched_at}
        if self._now.assertions is not None:
            times["assertion"] = self._now.assertions.newest_made_at
        return times
