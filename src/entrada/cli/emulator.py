"""`entrada emulator`: run the emulator, and print the environment that points a product at it."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrada.cli.ports import port_number
from entrada.cli.state_directory import user_state_directory

if TYPE_CHECKING:
    from entrada.emulator import RunningEmulator

_PRODUCTS = ("entrada", "mage", "dstack", "azure")
_ANSWER_SECONDS = 3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    """Add the command and its subcommand to the command line."""
    parser = subparsers.add_parser("emulator", help=summary, description=__doc__)
    parser.add_argument("--port", type=port_number, default=None, help="port of the http listener (8400)")
    parser.add_argument(
        "--tls-port", type=port_number, default=None, help="port of the https listener (8443)"
    )
    parser.add_argument("--directory", type=Path, help="TOML file with tenants, people, groups and apps")
    parser.add_argument("--state-dir", type=Path, help="where keys and certificates are kept")
    parser.add_argument("--state-file", type=Path, help="keep changes of the directory in this file")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; loopback unless told twice"
    )
    parser.add_argument(
        "--insecure-allow-remote", action="store_true", help="accept an address that others can reach"
    )
    parser.add_argument(
        "--browser-over-https", action="store_true", help="send browsers to https too; they will warn"
    )
    parser.add_argument(
        "--issue-as-live",
        action="store_true",
        help="write the live service's issuers into tokens and discovery",
    )
    parser.set_defaults(func=run)
    commands = parser.add_subparsers(title="commands", metavar="[env]")
    env = commands.add_parser("env", help="print export lines for a product")
    env.add_argument(
        "product", choices=_PRODUCTS, help="what is pointed at it; azure: azure-identity and the like"
    )
    env.add_argument(
        "--port", type=port_number, default=argparse.SUPPRESS, help="http port of the running emulator"
    )
    env.add_argument("--state-dir", type=Path, default=argparse.SUPPRESS, help="its state directory")
    env.set_defaults(func=print_environment)


def default_state_dir() -> Path:
    """`emulator` in the user's state directory.

    Raises:
        EmulatorError: there is neither XDG_STATE_HOME nor a home.
    """
    state = user_state_directory()
    if state is not None:
        return state / "emulator"
    from entrada.emulator import EmulatorError

    raise EmulatorError(
        "There is no home directory to keep the emulator's keys and certificates in.",
        hint="Name a directory with --state-dir, or set HOME or XDG_STATE_HOME.",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until interrupted."""
    from entrada.emulator.starting import start

    try:
        emulator = start(
            port=8400 if arguments.port is None else arguments.port,
            tls_port=8443 if arguments.tls_port is None else arguments.tls_port,
            directory=arguments.directory,
            state_dir=arguments.state_dir or default_state_dir(),
            state_file=arguments.state_file,
            host=arguments.host,
            insecure_allow_remote=arguments.insecure_allow_remote,
            browser_over_https=arguments.browser_over_https,
            issue_as_live=arguments.issue_as_live,
        )
    except Exception as error:
        hint = getattr(error, "hint", None)
        if hint is None:
            raise
        return _failed(str(error), hint)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    _greet(emulator, arguments.host)
    stopped.wait()
    emulator.stop()
    return 0


def _greet(emulator: RunningEmulator, host: str) -> None:
    names = ", ".join(person.sign_in_name for person in emulator.people[:10])
    print(
        f"Entra emulator: {emulator.http_url} and {emulator.https_url}\n"
        f"Authority to trust: {emulator.ca_file}\n"
        f"Look and change: {emulator.http_url}/_emulator/\n"
        f"Sign in as: {names}\n"
        "Point a product at it: entrada emulator env entrada|mage|dstack|azure",
        flush=True,
    )
    print(
        "Warning: anybody who reaches this emulator can sign in as anybody; it is for development and tests.",
        file=sys.stderr,
        flush=True,
    )
    if host not in ("127.0.0.1", "localhost", "::1"):
        print(f"Warning: it listens on {host}, which others may reach.", file=sys.stderr, flush=True)


def print_environment(arguments: argparse.Namespace) -> int:
    """Print `export NAME=value` lines for the running emulator."""
    from entrada.emulator import EmulatorError
    from entrada.emulator.environment import environment

    try:
        state = _running_state(arguments)
    except EmulatorError as error:
        return _failed(str(error), error.hint)
    if state is None:
        return _failed("No running emulator was found.", "Start one with: entrada emulator")
    for name, value in environment(arguments.product, state).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _running_state(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """What the emulator at the given port, or the one noted in the state directory, says of itself."""
    if arguments.port is not None:
        return _ask(f"http://localhost:{arguments.port}")
    try:
        file = (arguments.state_dir or default_state_dir()) / "running.json"
        noted = json.loads(file.read_text(encoding="utf-8"))
        return _ask(str(noted["http_url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ask(http_url: str) -> dict[str, Any] | None:
    import urllib.request

    # No proxy: the emulator is on this machine, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{http_url}/_emulator/state", timeout=_ANSWER_SECONDS) as answer:
            state = json.loads(answer.read())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and state.get("product") == "entrada-emulator" else None


def _failed(sentence: str, hint: str) -> int:
    print(f"{sentence}\n{hint}", file=sys.stderr)
    return 1
