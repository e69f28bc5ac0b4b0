"""`entrada dstack`: what an administrator of a dstack server with sign-in needs beside dstack's own commands.

    entrada dstack check [--json]       does the plug-in fit the dstack installed here, and will it load?
    entrada dstack links [--json]       who signs in as which user
    entrada dstack forget WHO           let somebody sign in anew whose user was deleted

Run it with the server's own environment variables. `check` reads only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from entrada.errors import ConfigurationError, EntradaError, why_unreadable
from entrada.integrations.dstack import hooks
from entrada.integrations.kit.hooks import Finding
from entrada.settings import default_file, load_settings

_TICK, _CROSS = "ok      ", "MISSING "


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "dstack",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="whether the plug-in fits the dstack installed here")
    check.set_defaults(func=_check)
    links = commands.add_parser("links", help="who signs in as which user of dstack")
    links.set_defaults(func=_links)
    for each in (check, links):
        each.add_argument("--json", action="store_true", help="for scripts")
    forget = commands.add_parser("forget", help="let somebody sign in anew whose user was deleted")
    forget.add_argument("who", help="their sign-in name or e-mail address, as `links` shows it")
    forget.set_defaults(func=_forget)


def _check(args: argparse.Namespace) -> int:
    version = hooks.installed_version()
    if version is None:
        raise ConfigurationError(
            "dstack is not installed beside this entrada.",
            hint='Run this in dstack\'s own environment: pip install "./entrada[dstack]"',
        )
    supported = hooks.is_supported(version)
    found = hooks.findings() if supported else []
    problems = [f"{finding.hook} {finding.problem}" for finding in found if finding.problem]
    if not supported:
        problems.append(f"dstack {version} is older than this plug-in knows")
    if not any(point.name == "entrada" for point in entry_points(group="dstack.plugins")):
        problems.append("dstack cannot see the plug-in: entrada is not installed in this environment")
    notes = _notes()
    if args.json:
        told = {
            "version": version,
            "supported": not problems,
            "hooks": {finding.hook: finding.problem or "ok" for finding in found},
            "problems": problems,
            "notes": notes,
        }
        print(json.dumps(told, indent=2))
    else:
        _print(version, found, problems, notes)
    return 1 if problems else 0


def _notes() -> list[str]:
    """What stops or skips the plug-in on this machine, as far as this shell's environment tells."""
    return [note for note in (_note_on_config(), _note_on_settings()) if note]


def _note_on_config() -> str:
    path = Path(os.environ.get("DSTACK_SERVER_DIR") or "~/.dstack/server").expanduser() / "config.yml"
    try:
        config = importlib.import_module("yaml").safe_load(  # dstack brings it
            path.read_text(encoding="utf-8")
        )
    except FileNotFoundError:
        return (
            f"There is no {path} yet: dstack writes it at its first start, and loads plug-ins from then on."
        )
    except Exception as error:
        return f"{path} cannot be read ({why_unreadable(error)})."
    plugins = config.get("plugins") if isinstance(config, dict) else None
    if "entrada" in (plugins or []):
        return ""
    return f"{path} does not switch the plug-in on: add the lines `plugins:` and `- entrada`."


def _note_on_settings() -> str:
    from entrada.integrations.dstack.start import ON_DSTACKS_PAGE, check_settings

    try:
        settings, found = load_settings(os.environ, file=default_file(), usual=ON_DSTACKS_PAGE)
        with found.names.in_errors():
            check_settings(settings)
    except ConfigurationError as error:
        return f"With this shell's settings the server would not start: {error.sentence} {error.hint}"
    return ""


def _print(version: str, found: Sequence[Finding], problems: Sequence[str], notes: Sequence[str]) -> None:
    print(f"dstack {version}")
    for finding in found:
        print(f"  {_CROSS if finding.problem else _TICK}{finding.hook}")
    for problem in problems:
        print(f"entrada: {problem}.", file=sys.stderr)
    for note in notes:
        print(f"Note: {note}")
    if not problems:
        print("The plug-in fits this version.")


def _links(args: argparse.Namespace) -> int:
    from entrada.integrations.dstack.offline import links_with_names

    rows = links_with_names()
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    print("  ".join(map(_shown, ("user in dstack", "signs in as", "e-mail", "state"))).rstrip())
    for row in rows:
        print("  ".join(_shown(row[name]) for name in ("user", "username", "email", "state")).rstrip())
    return 0


def _shown(value: Any) -> str:
    return str(value or "-").ljust(24)


def _forget(args: argparse.Namespace) -> int:
    from entrada.integrations.dstack.offline import forget

    count = forget(args.who)
    if not count:
        raise EntradaError(
            f"Nobody who is called {args.who!r} has a deleted user.",
            hint="`entrada dstack links` lists everybody. Who was only deactivated is activated in dstack.",
        )
    print(f"Forgotten: {args.who} gets a new user at the next sign-in.")
    return 0
