"""`entrada run -- COMMAND`: an application that has no sign-in, behind one, and started and ended with it.

    entrada run -- streamlit run app.py

The application gets an address that this machine alone reaches, and who is asking in fields of each request.
People open the address of `entrada run`. It knows Streamlit, Gradio, Chainlit, marimo, Panel and Bokeh; any
other command is told its port by the variables PORT and HOST, or where {port}, {host} or {socket} stands.

The exit status is that of the application, 128 and the number for a signal; 127 and 126 where there is no
such command, or it may not be run; 1 where the application did not begin to serve.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from entrada.cli.gateway_parts import assertions_of, hops_of, with_groups_of
from entrada.cli.logs import errors_alone, log_at
from entrada.cli.ports import port_number
from entrada.cli.reload import Change
from entrada.cli.running.command import Place, Prepared, free_port, prepare, recognise, title_of, wants_socket
from entrada.cli.running.supervisor import Application, NotStarted, Supervisor, begun
from entrada.cli.running.waiting import wait_until_listening
from entrada.cli.serve import announce, listen, metrics_listener, public_url_of, server_config
from entrada.cli.serving import Plan, build_auth, serve_here
from entrada.errors import ConfigurationError
from entrada.gateway.rules import Route, RuleBook
from entrada.gateway.tables import read_file
from entrada.settings import default_file, load_settings
from entrada.settings.values import read_duration

STYLES = ("x-forwarded", "x-entrada")
"""The fields that say who is asking."""
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_STARTED_WITHIN = "1m"

log = logging.getLogger("entrada")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "run",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="entrada run [--host HOST] [--port PORT] [--settings FILE] [--audience NAME]\n"
        "                   [--start-within DURATION] -- COMMAND ...",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="port to listen on (default %(default)s)"
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings file (default entrada.toml)")
    parser.add_argument(
        "--audience",
        metavar="NAME",
        help="the audience of the signed assertion (default: the product's name, such as streamlit)",
    )
    parser.add_argument(
        "--start-within",
        type=_seconds,
        default=_seconds(_STARTED_WITHIN),
        metavar="DURATION",
        help=f"how long the application may take until it listens (default {_STARTED_WITHIN})",
    )
    parser.add_argument("forgotten", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(func=run, complain=parser.error)


def _seconds(text: str) -> float:
    try:
        seconds: float = read_duration(text).total_seconds()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds <= 0:
        raise argparse.ArgumentTypeError("longer than nothing")
    return seconds


def run(args: argparse.Namespace) -> int:
    words: Sequence[str] = args.behind or []
    if args.forgotten:
        args.complain(f"write -- before the command: entrada run -- {shlex.join(args.forgotten)}")
    if not words or not words[0]:
        args.complain("name the command that starts the application: entrada run -- streamlit run app.py")
    if not hasattr(os, "fork"):
        raise ConfigurationError(
            "`entrada run` needs Linux or macOS.",
            hint="Start the application yourself, and `entrada serve --upstream` before it.",
        )
    with begun() as supervisor:
        return _Run(args=args, words=words, supervisor=supervisor).run()


@dataclass(kw_only=True)
class _Run:
    args: argparse.Namespace
    words: Sequence[str]
    supervisor: Supervisor
    _application: Application | None = None
    _ended_by: int | None = None
    """The signal that this process got."""

    def run(self) -> int:
        """
        Raises:
            ConfigurationError: a setting, the command or the application does not allow it.
        """
        args, title = self.args, title_of(self.words)
        file = args.settings or default_file()
        settings, found = load_settings(os.environ, file=file)
        with found.names.in_errors():
            _check_registration(settings.tenant_id or settings.broker_url, self.words)
            hops, book = hops_of(settings), read_file(file)
        log_at(settings.log_level)
        settings = public_url_of(settings, found, args.host, args.port)
        with found.names.in_errors():
            settings = with_groups_of(book, settings)
        with ExitStack() as stack:
            listener = stack.enter_context(listen(args.host, args.port))
            for_metrics = stack.enter_context(metrics_listener(settings))
            place = self._place(settings.public_url or "", stack)
            prepared = prepare(self.words, os.environ, place)
            route = self._route(place, title)
            book = replace(book, routes=[*book.routes, route])
            plan = Plan(
                settings=settings,
                found=found,
                hops=hops,
                file=file,
                listeners=[listener],
                metrics_listener=for_metrics,
                config_of=server_config,
            )
            _check_all(plan, book)
            self._take_signals()
            log.info("Starting %s on %s ...", title, place)
            return self._run_behind(plan, book, prepared, place, title)

    def _run_behind(self, plan: Plan, book: RuleBook, prepared: Prepared, place: Place, title: str) -> int:
        """Starts the application, serves as long as it runs, and ends with it."""
        folder = None if place.socket is None else place.socket.parent
        try:
            application = self.supervisor.start(prepared.words, prepared.environment, folder=folder)
        except NotStarted as problem:
            return _not_started(prepared.words[0], problem.error)
        self._application = application
        if self._ended_by is not None:
            application.signal(self._ended_by)
        wait_until_listening(
            application,
            self.supervisor,
            place,
            title=title,
            seconds=self.args.start_within,
            is_ending=lambda: self._ended_by is not None,
        )
        if application.has_ended or self._ended_by is not None:
            application.wait()
            return self._status(application, title, before=str(place))
        serve_here(
            plan,
            book,
            self._until_it_ends(application),
            announce=lambda auth: announce(auth, plan.listeners),
            on_signal=self._end,
        )
        if self._ended_by is None and not application.has_ended:
            application.signal(signal.SIGTERM)  # the server ended by itself
        application.wait()
        return self._status(application, title)

    def _route(self, place: Place, title: str) -> Route:
        """Everything to the application, with what is known of it."""
        known = recognise(self.words)
        route = Route(
            upstream=place.upstream,
            identity=STYLES,
            audience=self.args.audience or (known.product.name if known else title),
        )
        if known is None:
            return route
        product = known.product
        return replace(
            route,
            own_cookies=product.own_cookies,
            beside_ours=product.beside_ours,
            page_tokens=product.page_tokens,
            session_names=product.session_names,
        )

    def _place(self, public_url: str, stack: ExitStack) -> Place:
        folder = None
        if wants_socket(self.words):
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="entrada-run-", ignore_cleanup_errors=True)
            )
        return Place(
            port=free_port(),
            socket=None if folder is None else Path(folder, "application.sock"),
            public_url=public_url,
        )

    def _take_signals(self) -> None:
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, lambda number, _: self._end(number))

    def _end(self, number: int) -> None:
        """Passes it on; a second one is impatience, and kills."""
        self._ended_by = self._ended_by or number
        if self._application is not None and not self._application.has_ended:
            self._application.signal(number)

    def _until_it_ends(self, application: Application) -> Iterator[Change]:
        application.wait()
        yield from ()

    def _status(self, application: Application, title: str, *, before: str | None = None) -> int:
        """Says how it ended, unless somebody has ended it and it went by itself."""
        how = _how(application)
        if application.is_lost:
            _complain(f"What looked after {title} was killed, so {title} was, too.")
            return 1
        if self._ended_by is not None:
            if application.code == -signal.SIGKILL:
                log.warning("%s did not end when asked to, and was killed.", title)
            return application.status
        if before is not None:
            hint = (
                "What it has written above says why."
                if application.status
                else "A command that goes into the background by itself cannot be run: leave that option out."
            )
            _complain(f"{title} {how} before it listened on {before}.", hint)
            return application.status or 1
        _complain(f"{title} {how}, so there is nothing left to serve.")
        return application.status


def _how(application: Application) -> str:
    code = application.code or 0
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}"


def _check_registration(tenant_or_broker: str | None, words: Sequence[str]) -> None:
    if tenant_or_broker is None:
        raise ConfigurationError(
            "$[tenant_id] is not set, so nobody could sign in.",
            hint="Set it with $[client_id] and $[client_secret] as your registration has them; or, to try "
            "it, start `entrada emulator` in another terminal, and here: "
            'eval "$(entrada emulator env entrada)" && entrada run -- ' + shlex.join(words),
            setting="tenant_id",
        )


def _check_all(plan: Plan, book: RuleBook) -> None:
    """What would stop the server stops it before the application is started.

    Raises:
        ConfigurationError: see `build_auth`.
        StoreUnavailable: the database does not answer.
    """
    with errors_alone("entrada"):  # what it warns of is said when it serves
        checked, keys = build_auth(plan)
    try:
        with plan.found.names.in_errors():
            assertions_of(plan.settings, book, keys)
    finally:
        checked.relying_party.close()


def _not_started(command: str, error: OSError) -> int:
    if isinstance(error, FileNotFoundError):
        _complain(
            f"There is no command {command!r}.",
            "Install it, or activate the environment that it is installed in.",
        )
        return _NOT_FOUND
    _complain(
        f"{command!r} cannot be run ({error.strerror or error}).",
        "Name a program, or the shell that runs it.",
    )
    return _NOT_EXECUTABLE


def _complain(sentence: str, hint: str = "") -> None:
    print(f"entrada: {sentence}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)
