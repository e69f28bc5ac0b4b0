"""`entrada serve`: the sign-in server; with ENTRADA_BROKER=true it is a broker, too.

Asks Entra again about whoever is signed in: somebody who is disabled there is out within
ENTRADA_RECHECK_EVERY (15 minutes).

Stops at once, with one sentence, when a setting is missing or wrong.
Starts without Entra: /readyz says when it can sign people in.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import uvicorn

from entrada.accounts.groups import WantedGroups
from entrada.broker.installations import Installation
from entrada.broker.listed import read_listed
from entrada.broker.routes import BrokerRoutes
from entrada.broker.running import in_background
from entrada.broker.start import build_broker
from entrada.build import build_auth_routes
from entrada.build.stores import open_stores
from entrada.cli.logs import log_at
from entrada.cli.ports import port_number
from entrada.clock import SystemClock
from entrada.errors import ConfigurationError
from entrada.events import subscribe
from entrada.gateway.app import create_gateway, fast_checks
from entrada.gateway.assertion import Assertions
from entrada.gateway.bearer_callers import bearer_callers
from entrada.gateway.connection_limits import ConnectionLimits, connections_allowed
from entrada.gateway.explain import explain
from entrada.gateway.fast_path import FastChecks, fast_protocol, is_tested
from entrada.gateway.hops import TrustedHops, parse_trusted_hops
from entrada.gateway.http_protocol import LimitedHttpProtocol, limited_protocol
from entrada.gateway.metrics import Metrics
from entrada.gateway.metrics_endpoint import MetricsAddress, MetricsOnLoopback, ServerWithMetrics
from entrada.gateway.outcome import Observed
from entrada.gateway.rules import Route, RuleBook
from entrada.gateway.tables import parse_upstream, read_file
from entrada.gateway.tunnels import TunnelHttpProtocol
from entrada.settings import (
    LOOPBACK_HOSTS,
    FoundValues,
    Settings,
    default_file,
    load_settings,
    with_loopback_url,
)
from entrada.web.auth_routes import AuthRoutes

log = logging.getLogger("entrada")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("serve", help="the sign-in server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="port to listen on (default %(default)s)"
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings file (default entrada.toml)")
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help="protect this application: http://host:port, https://host:port or unix:/path (one that no route"
        " of the settings file fits goes there)",
    )
    parser.add_argument(
        "--explain",
        metavar='"GET URL"',
        help="say which rule of the settings file decides, for whom, and stop",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    file = args.settings or default_file()
    if args.explain is not None:
        print(explain(args.explain, _rules(file, args.upstream)))
        return 0
    serve(args.host, args.port, file=file, upstream=args.upstream)
    return 0


def serve(
    host: str, port: int, *, file: Path | None, upstream: str | None = None, is_broker: bool = False
) -> None:
    """Serves until a signal ends it; `is_broker` whatever the settings say.

    Raises:
        ConfigurationError: a setting is missing or wrong, or the address is taken.
    """
    settings, found = load_settings(os.environ, file=file)
    is_broker = is_broker or settings.broker
    with found.names.in_errors():
        hops, book = _hops(settings), _rules(file, upstream)
        listed = read_listed(file) if is_broker else None
    log_at(settings.log_level)
    settings = public_url_of(settings, found, host, port)
    with found.names.in_errors():
        settings = _with_groups_of(book, settings)
        assertions = _assertions(settings, book)
    metrics = Metrics(clock=SystemClock())
    with listen(host, port) as listener, _metrics_listener(settings) as metrics_listener:
        auth = _build(settings, found, metrics, listed)
        log.info("Entrada serves %s on %s:%d", settings.public_url, host, port)
        for url in auth.site.urls:
            log.info("Redirect URI to register in Entra, platform Web: %s", url + auth.site.callback_paths[0])
        auth.relying_party.start_recheck()
        unwatch = _watched(auth, metrics, assertions)
        try:
            with found.names.in_errors():
                bearer = bearer_callers(
                    auth.relying_party, scopes=settings.bearer_scopes, mapping=settings.roles
                )
            gateway = create_gateway(
                auth, hops=hops, book=book, assertions=assertions, bearer=bearer, habits=settings.habits
            )
            app = MetricsOnLoopback(gateway, metrics, public_urls=auth.site.urls)
            checks = replace(fast_checks(auth, hops=hops, book=book), answered=metrics.fast)
            with in_background(auth) if isinstance(auth, BrokerRoutes) else nullcontext():
                run_server(
                    Observed(app, finished=[metrics.request_finished]),
                    listener,
                    checks,
                    metrics=None if metrics_listener is None else (MetricsAddress(metrics), metrics_listener),
                )
        finally:
            unwatch()
            auth.relying_party.close()


def run_server(
    app: object,
    listener: socket.socket,
    checks: FastChecks | None = None,
    *,
    metrics: tuple[MetricsAddress, socket.socket] | None = None,
) -> None:
    """Serves until a signal ends it, and finishes what is under way. `checks` are for the fast path.

    `metrics` are answered at a listener of their own.
    """
    # uvicorn sends itself the signal again when it is done. Unhandled, that would end the process before the
    # database is closed, with a status that looks like a failure.
    signal.signal(signal.SIGTERM, _end)
    config = server_config(app, checks)
    if metrics is None:
        server = uvicorn.Server(config)
    else:
        server = ServerWithMetrics(config, metrics=server_config(metrics[0]), listener=metrics[1])
    server.run(sockets=[listener])


def _build(
    settings: Settings, found: FoundValues, metrics: Metrics, listed: Sequence[Installation] | None
) -> AuthRoutes:
    """The sign-in pages over stores whose calls are timed; with `listed`, a broker's."""
    stores = open_stores(settings.database_url)
    try:
        if listed is not None:
            return build_broker(settings, found, listed=listed, stores=metrics.timed(stores))
        return build_auth_routes(settings, found, stores=metrics.timed(stores))
    except BaseException:
        stores.close()
        raise


def _watched(auth: AuthRoutes, metrics: Metrics, assertions: Assertions | None) -> Callable[[], None]:
    """Metrics of these sessions, sign-ins and keys, until the end of what is returned."""
    application = auth.relying_party.sign_in.identification.application

    def key_times() -> dict[str, datetime | None]:
        times = {"entra": application.keys_fetched_at}
        if assertions is not None:
            times["assertion"] = assertions.newest_made_at
        return times

    metrics.watch(auth.relying_party.sessions, key_times)
    return subscribe(metrics.event)


@contextmanager
def _metrics_listener(settings: Settings) -> Iterator[socket.socket | None]:
    if settings.metrics_address is None:
        yield None
        return
    host, _, port = settings.metrics_address.rpartition(":")
    with listen(host.strip("[]"), int(port), named="$[metrics_address]") as listener:
        log.info("Metrics are at http://%s/metrics", settings.metrics_address)
        yield listener


def _rules(file: Path | None, upstream: str | None) -> RuleBook:
    book = read_file(file)
    if upstream is not None:
        try:
            last = Route(upstream=parse_upstream(upstream))
        except ValueError as error:
            raise ConfigurationError(
                f"--upstream {upstream!r} cannot be used.", hint=f"Write it as: {error}."
            ) from None
        book = replace(book, routes=[*book.routes, last])
    return book


def _with_groups_of(book: RuleBook, settings: Settings) -> Settings:
    """Groups that rules name are asked about like those of $[groups]."""
    rules = WantedGroups(groups=book.groups)
    if settings.allowed_tenants and (bare := rules.of_no_tenant):
        raise ConfigurationError(
            f"A rule names the group {str(bare)!r} without its tenant, but several tenants may sign in.",
            hint="Write tenant-id/group-id: a group of one tenant must not open anything in another.",
        )
    return settings.model_copy(update={"groups": settings.groups.together_with(book.groups)})


def _assertions(settings: Settings, book: RuleBook) -> Assertions | None:
    """What signs for the routes that have an audience; its keys stand beside the SQLite database."""
    if not any(route.audience for route in book.routes):
        return None
    if not settings.database_url.startswith("sqlite:///"):
        raise ConfigurationError(
            "A route has an audience, and the keys of signed assertions are kept beside an SQLite database.",
            hint="Drop audience from the routes, or use an SQLite database for $[database_url].",
            setting="database_url",
        )
    path = Path(settings.database_url.removeprefix("sqlite:///").partition("?")[0])
    made = Assertions(
        path=path.with_suffix(".assertion-keys"), issuer=settings.public_url or "", clock=SystemClock()
    )
    made.keys()
    return made


def _hops(settings: Settings) -> TrustedHops:
    try:
        return parse_trusted_hops(settings.trusted_proxies)
    except ValueError as error:
        raise ConfigurationError(
            f"$[trusted_proxies] cannot be used: {error}.",
            hint="Name the addresses of your proxies, separated by commas.",
            setting="trusted_proxies",
        ) from None


def _end(*_: object) -> None:
    raise SystemExit(0)


def server_config(app: object, checks: FastChecks | None = None) -> uvicorn.Config:
    """How the server runs: no access log, because the query of a callback holds a code; limits on all.

    `checks` are for the fast path, which is taken where it has been tested.
    """
    # uvicorn logs accesses, whatever it was told, as soon as anything hangs a handler on this logger.
    logging.getLogger("uvicorn.access").disabled = True
    limits = ConnectionLimits()
    limits = replace(limits, connections=connections_allowed(limits.connections))
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI application
        http=_protocol(limits, checks),
        access_log=False,
        log_level=logging.ERROR,  # a request that is no HTTP is no event
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=20,
        ws="none",
        lifespan="off",
    )


def _protocol(limits: ConnectionLimits, checks: FastChecks | None) -> type[LimitedHttpProtocol]:
    if checks is not None and checks.hops != TrustedHops() and is_tested():
        return fast_protocol(limits, checks)
    return limited_protocol(limits, of=TunnelHttpProtocol)


def listen(host: str, port: int, *, named: str = "--port") -> socket.socket:
    """A listening socket. `named` is what chooses the port, for the hint.

    Raises:
        ConfigurationError: the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(
            f"Entrada cannot listen on {host}:{port} ({getattr(error, 'strerror', None) or error}).",
            hint=_LISTEN_HINTS.get(getattr(error, "errno", None), _OTHER_LISTEN_HINT).format(named=named),
        ) from None
    return listener


_LISTEN_HINTS: dict[int | None, str] = {
    None: "Write a port from 0 to 65535.",
    errno.EADDRINUSE: "Stop what is listening there, or choose another port with {named}.",
    errno.EACCES: "This account may not open that port; choose one above 1023 with {named}.",
}
_OTHER_LISTEN_HINT = "Give --host an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them."


def public_url_of(settings: Settings, found: FoundValues, host: str, port: int) -> Settings:
    """On loopback the public URL may be left out; for anybody else's browsers it must be said."""
    return with_loopback_url(settings, found.names, port=port) if host in LOOPBACK_HOSTS else settings
