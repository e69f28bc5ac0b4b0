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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvicorn

from entrada.broker.listed import read_listed
from entrada.build.announced import announce_redirect_uris
from entrada.cli.activation import address_of, inherited_listeners, shown
from entrada.cli.gateway_parts import check_rules, hops_of, rules_of, with_groups_of
from entrada.cli.logs import log_at
from entrada.cli.ports import port_number
from entrada.cli.reload import Reading, hangups_noted
from entrada.cli.serving import Plan, serve_here
from entrada.cli.serving_workers import serve_by_workers
from entrada.errors import ConfigurationError
from entrada.gateway.connection_limits import ConnectionLimits, connections_allowed
from entrada.gateway.explain import explain
from entrada.gateway.fast_path import FastChecks, fast_protocol, is_tested
from entrada.gateway.hops import TrustedHops
from entrada.gateway.http_protocol import LimitedHttpProtocol, limited_protocol
from entrada.gateway.tunnels import TunnelHttpProtocol
from entrada.settings import (
    LOOPBACK_HOSTS,
    FoundValues,
    Settings,
    default_file,
    load_settings,
    with_loopback_url,
)
from entrada.settings.tables import read_tables_of
from entrada.web.auth_routes import AuthRoutes

log = logging.getLogger("entrada")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser("serve", help=summary, description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="port to listen on (default %(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=_worker_count,
        default=1,
        metavar="N",
        help="so many processes share the port (default %(default)s); each remembers sessions for itself",
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
        print(explain(args.explain, rules_of(read_tables_of(file), args.upstream)))
        return 0
    return serve(args.host, args.port, file=file, upstream=args.upstream, workers=args.workers)


def serve(
    host: str,
    port: int,
    *,
    file: Path | None,
    upstream: str | None = None,
    is_broker: bool = False,
    workers: int = 1,
) -> int:
    """Serves until a signal ends it; the exit status. `is_broker` whatever the settings say.

    Raises:
        ConfigurationError: a setting is missing or wrong, or the address is taken.
    """
    hangups = hangups_noted()
    inherited = inherited_listeners(os.environ, pid=os.getpid())
    if inherited:
        host, port = address_of(inherited[0]) or ("", 0)
    settings, found = load_settings(os.environ, file=file)
    tables = read_tables_of(file)
    is_broker = is_broker or settings.broker
    with found.names.in_errors():
        hops, book = hops_of(settings), rules_of(tables, upstream)
        listed = read_listed(file) if is_broker else None
    log_at(settings.log_level)
    settings = public_url_of(settings, found, host, port)
    with found.names.in_errors():
        settings = with_groups_of(book, settings)
    with ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in inherited or [listen(host, port)]]
        for_metrics = stack.enter_context(metrics_listener(settings))
        plan = Plan(
            settings=settings,
            found=found,
            hops=hops,
            file=file,
            listed=listed,
            listeners=listeners,
            metrics_listener=for_metrics,
            config_of=server_config,
        )
        reading = Reading(tables=tables, upstream=upstream, check=partial(check_rules, settings))
        told = partial(announce, listeners=listeners)
        if workers > 1:
            return serve_by_workers(plan, book, reading, hangups, count=workers, announce=told)
        # uvicorn sends itself the signal again when it is done. Unhandled, that would end the process before
        # the database is closed, with a status that looks like a failure.
        signal.signal(signal.SIGTERM, _end)
        serve_here(plan, book, reading.changes(hangups), announce=told)
    return 0


def announce(auth: AuthRoutes, listeners: Sequence[socket.socket]) -> None:
    """Where people find it, and what their registration has to hold."""
    log.info("Entrada serves %s on %s", auth.site.urls[0], ", ".join(map(shown, listeners)))
    authority = auth.relying_party.sign_in.application.authority
    announce_redirect_uris(log, authority, [url + auth.site.callback_paths[0] for url in auth.site.urls])


@contextmanager
def metrics_listener(settings: Settings) -> Iterator[socket.socket | None]:
    """The address of metrics, where the settings name one."""
    if settings.metrics_address is None:
        yield None
        return
    host, _, port = settings.metrics_address.rpartition(":")
    with listen(host.strip("[]"), int(port), named="$[metrics_address]") as listener:
        log.info("Metrics are at http://%s/metrics", settings.metrics_address)
        yield listener


def _worker_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("a number from 1 to 64")
    return int(text)


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
