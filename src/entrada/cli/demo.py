"""`entrada demo`: the whole sign-in on this machine.

Starts the emulator, the server on SQLite and a small protected application, signs one person in by itself
and tells each step, then says where to click and as whom. `--once` stops after that.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import threading
import time
from pathlib import Path

import uvicorn

from entrada.cli.sample_app import SAMPLE_ROUTES
from entrada.cli.serve import listen, server_config
from entrada.cli.walkthrough import walk_through
from entrada.emulator import RunningEmulator, start
from entrada.errors import ConfigurationError
from entrada.gateway.app import create_app
from entrada.settings import load_settings
from entrada.web.build import build_auth_routes

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


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("demo", help="the whole sign-in on this machine", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the self-made sign-in")
    parser.add_argument("--port", type=int, default=8000, help="the sample app's port (default %(default)s)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    began = time.monotonic()
    for name in ("entrada", "uvicorn", "entrada.events"):
        logging.getLogger(name).setLevel(logging.ERROR)
    state = _state_directory()
    print("Starting the emulator of Entra ID …", flush=True)
    with start(state_dir=state / "emulator") as emulator:
        server, public_url = _start_server(emulator, state, args.port)
        try:
            print(f"Starting the server on SQLite ({state / 'entrada.db'}) …", flush=True)
            print("\nSigning in once, by itself:", flush=True)
            for number, step in enumerate(walk_through(public_url, person="ada@contoso.test"), start=1):
                print(f"  {number}. {step}", flush=True)
            print(f"\nReady in {time.monotonic() - began:.1f} s.", flush=True)
            if not args.once:
                _invite(public_url, emulator)
                threading.Event().wait()
        except KeyboardInterrupt:
            print("\nStopped.")
        finally:
            server.should_exit = True
    return 0


def _start_server(emulator: RunningEmulator, state: Path, port: int) -> tuple[uvicorn.Server, str]:
    try:
        listener = listen("127.0.0.1", port)
    except ConfigurationError:
        listener = listen("127.0.0.1", 0)
    public_url = f"http://localhost:{listener.getsockname()[1]}"
    settings, found = load_settings(
        {
            **emulator.env("entrada"),
            "ENTRADA_PUBLIC_URL": public_url,
            "ENTRADA_DATABASE_URL": f"sqlite:///{state / 'entrada.db'}",
            "ENTRADA_ROLES_MAPPING": json.dumps(ROLES),
            "ENTRADA_GUESTS": "allow",
        }
    )
    auth = build_auth_routes(settings, found, application_name="Entrada demo")
    server = uvicorn.Server(server_config(create_app(auth, routes=SAMPLE_ROUTES)))
    threading.Thread(target=server.run, args=([listener],), name="demo-server", daemon=True).start()
    return server, public_url


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
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    state = Path(base) / "entrada" / "demo"
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"The demo cannot make its directory {str(state)!r} ({error.strerror}).",
            hint="Set XDG_STATE_HOME to a directory you may write to.",
        ) from None
    return state

