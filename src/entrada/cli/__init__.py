"""The command `entrada`.

Each command lives in a module of its own and is imported only when it runs: `entrada settings` needs no web
server. Exit status: 0 done, 1 it failed (a sentence and a hint on stderr), 2 wrong use. A traceback means a
mistake of ours.
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Sequence

from entrada import __version__
from entrada.cli.logs import log_to_stderr
from entrada.cli.output import output_that_arrives
from entrada.errors import EntradaError

COMMANDS = {
    "demo": "the whole sign-in on this machine: emulator, server and a sample app",
    "serve": "the sign-in server",
    "run": "Streamlit, Gradio or any application, behind the sign-in: `entrada run -- COMMAND`",
    "broker": "one registration for many installations: an OpenID Provider in front of Entra",
    "emulator": "an Entra ID of your own, to develop and test against",
    "users": "accounts: list, disable, roles by hand",
    "sessions": "who is signed in, and ending it",
    "audit": "what happened to people's access, who did it, and why",
    "explain": "why somebody has a role, or has not, or cannot come in",
    "mapping": "what another roles mapping would change",
    "db": "the database: check, back up, restore, upgrade",
    "import": "another product's configuration as ours: oauth2-proxy's",
    "settings": "every setting: value, where it came from, what it means",
    "dstack": "sign-in for dstack: whether it fits the installed version; whom to let in again",
    "mage": "Mage, with this sign-in behind its Microsoft button",
}
EXTRAS = {"mage": "mage", "dstack": "dstack", "emulator": "emulator"}
"""Of the commands that need another than `server`."""
_MODULES = {"import": "import_"}
"""Of the commands whose name no module can have."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; gives the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _write_what_the_terminal_can()
    log_to_stderr()
    name = next((word for word in words if word in COMMANDS), None)
    words, behind = _split(words) if name == "run" else (words, None)
    try:
        with output_that_arrives():
            args = _parser(only=name).parse_args(words, argparse.Namespace(behind=behind))
            status: int = args.func(args)
    except EntradaError as error:
        print(f"entrada: {error.sentence}\n  {error.hint}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as missing:
        # Some commands import what they need only when they run, the emulator its listener.
        if name is None or (missing.name or "").partition(".")[0] == "entrada":
            raise
        print(_needs(name, missing), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1  # the reader went away (`entrada settings | head`) and needs no word about it
    return status


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    """At `--`: our own words, and a command with its words; None: no `--` stands there."""
    at = words.index("--") if "--" in words else None
    return (words, None) if at is None else (words[:at], words[at + 1 :])


def _parser(*, only: str | None) -> argparse.ArgumentParser:
    """The parser, with the details of one command: the others are named but not imported."""
    parser = argparse.ArgumentParser(prog="entrada", description="Sign in with Microsoft Entra ID.")
    parser.add_argument("--version", action="version", version=f"entrada {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if only in (None, name):
            module = _module(name) if only == name else None
            if module is None:
                subparsers.add_parser(name, help=summary)
            else:
                module.add_parser(subparsers, summary=summary)
    return parser


def module_name(command: str) -> str:
    """The module that holds a command."""
    return f"entrada.cli.{_MODULES.get(command, command)}"


def _module(name: str):  # type: ignore[no-untyped-def]  # a module with add_parser
    try:
        return importlib.import_module(module_name(name))
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] == "entrada":
            raise
        print(_needs(name, missing), file=sys.stderr)
        raise SystemExit(1) from None


def _needs(name: str, missing: ModuleNotFoundError) -> str:
    return (
        f"entrada: `entrada {name}` needs {missing.name}, which is not installed.\n"
        f'  Install it with: pip install "./entrada[{EXTRAS.get(name, "server")}]"'
    )


def _write_what_the_terminal_can() -> None:
    """A character that the terminal's encoding lacks is written as a question mark, not as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
