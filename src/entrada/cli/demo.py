"""`entrada demo`: the whole sign-in on this machine.

Starts the emulator, the server on SQLite and a small protected application, signs one person in by itself
and tells each step, then says where to click and as whom. `--once` stops after that.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from entrada.build import build_auth_routes
from entrada.cli.logs import errors_alone
from entrada.cli.ports import port_number
from entrada.cli.sample_app import SAMPLE_ROUTES
from entrada.cli.serve import listen, server_config
from entrada.cli.state_directory import user_state_directory
from entrada.cli.walkthrough import walk_through
from entrada.emulator import EmulatorError, RunningEmulator, start
from entrada.errors import ConfigurationError, StoreUnavailable
from entrada.gateway.app import create_app
from entrada.settings import load_settings

ROLES = {"Admin": "Admin", "Editor": "Editor", "Viewer": "Viewer"}
PEOPLE = (
    ("ada@contoso.test", "Admin: may open both pages"),
    ("ed@contoso.test", "Editor: may open both pages"),
    ("vi@contoso.test", "Viewer: the editors' page is refused"),
    ("nora@contoso.test", "no role"),
    ("dan@contoso.test", "disabled at Entra: see the failure page"),
    ("carla@contoso.test", "blocked by Conditional Access"),
    ("mia@contoso.test", "must give a second factor"),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser("demo", help=summary, description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the self-made sign-in")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="the sample app's port (default %(default)s)"
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    began = time.monotonic()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of an older character set shows a question mark rather than a traceback.
        sys.stdout.reconfigure(errors="replace")
    state = _state_directory()
    try:
        print("Starting the emulator of Entra ID …", flush=True)
        with (
            errors_alone("entrada", "entrada.events", "uvicorn"),
            _emulator(state) as emulator,
            _server(emulator, state, args.port) as public_url,
        ):
            print("\nSigning in once, by itself:", flush=True)
            for number, step in enumerate(walk_through(public_url, person="ada@contoso.test"), start=1):
                print(f"  {number}. {step}", flush=True)
            print(f"\nReady in {time.monotonic() - began:.1f} s.", flush=True)
            if not args.once:
                _invite(public_url, emulator)
                threading.Event().wait()
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


@contextlib.contextmanager
def _emulator(state: Path) -> Iterator[RunningEmulator]:
    """The emulator, with its keys kept between runs.

    Raises:
        ConfigurationError: it cannot start.
    """
    try:
        emulator = start(state_dir=state / "emulator")
    except EmulatorError as error:
        raise ConfigurationError(str(error), hint=f"Delete {state}, and the demo begins afresh.") from None
    with emulator:
        yield emulator


@contextlib.contextmanager
def _server(emulator: RunningEmulator, state: Path, port: int) -> Iterator[str]:
    """The server on SQLite, with the sample application; gives the address people open.

    Raises:
        ConfigurationError: it cannot start.
    """
    listeners = _listen(port)
    database = state / "entrada.db"
    print(f"Starting the server on SQLite ({database}) …", flush=True)
    settings, found = load_settings(
        {
            **emulator.env("entrada"),
            "ENTRADA_PUBLIC_URL": f"http://localhost:{listeners[0].getsockname()[1]}",
            "ENTRADA_DATABASE_URL": f"sqlite:///{database}",
            "ENTRADA_ROLES_MAPPING": json.dumps(ROLES),
            "ENTRADA_GUESTS": "allow",
        }
    )
    try:
        auth = build_auth_routes(settings, found, application_name="Entrada demo")
    except StoreUnavailable as error:
        raise ConfigurationError(
            error.sentence, hint=f"Delete {database}, and the demo begins afresh."
        ) from None
    server = uvicorn.Server(server_config(create_app(auth, routes=SAMPLE_ROUTES)))
    thread = threading.Thread(target=server.run, args=(listeners,), name="demo-server", daemon=True)
    thread.start()
    try:
        yield auth.site.urls[0]
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=2)
        auth.relying_party.close()


def _listen(port: int) -> list[socket.socket]:
    """`localhost` at that port, or at a free one; where there is IPv6, on both of its addresses.

    A browser may try ::1 first, and whoever listens there would be taken for the demo.
    """
    try:
        return _both_loopbacks(port)
    except ConfigurationError:
        print(f"Port {port} cannot be opened, so another one is used.", flush=True)
        return _both_loopbacks(0)


def _both_loopbacks(port: int) -> list[socket.socket]:
    first = listen("127.0.0.1", port)
    if not _has_ipv6():
        return [first]
    try:
        return [first, listen("::1", first.getsockname()[1])]
    except ConfigurationError:
        first.close()
        raise


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _invite(public_url: str, emulator: RunningEmulator) -> None:
    print(f"\nOpen {public_url} and sign in as:\n")
    for person, remark in PEOPLE:
        print(f"  {person:<22} {remark}")
    print(f"\nThe emulator's own page: {emulator.http_url}/_emulator/")
    print("Ctrl-C stops everything.", flush=True)


def _state_directory() -> Path:
    """Where the demo keeps its database between runs, so that a second sign-in finds the first account.

    Raises:
        ConfigurationError: it cannot be made.
    """
    ours = user_state_directory()
    if ours is None:
        raise ConfigurationError(
            "There is no home directory to keep the demo's database in.",
            hint="Set HOME or XDG_STATE_HOME to a directory you may write to.",
        )
    state = ours / "demo"
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"The demo cannot make its directory {str(state)!r} ({error.strerror}).",
            hint="Set XDG_STATE_HOME to a directory you may write to.",
        ) from None
    return state
