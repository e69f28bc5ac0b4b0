"""`entrada settings`: every setting, its value (secrets masked), where it came from, and what it means."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from entrada.accounts.admission import GuestRule
from entrada.accounts.roles import RoleMapping
from entrada.entra.clouds import Cloud
from entrada.errors import named
from entrada.settings import (
    FoundValues,
    Settings,
    aliases_of,
    default_file,
    is_secret,
    load_settings,
    native_name,
    unit_of,
)

MASK = "********"
_PASSWORD = re.compile(r"(://[^:/@?]*:).*(@)", re.DOTALL)
_PASSWORD_IN_QUERY = re.compile(r"([?&][^=&]*(?:password|secret|key)[^=&]*=)[^&]*", re.IGNORECASE)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser("settings", help=summary, description=__doc__)
    parser.add_argument(
        "--format",
        choices=("table", "json", "markdown"),
        default="table",
        help="table is for a terminal (default)",
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings file (default entrada.toml)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    if args.format == "markdown":
        print(reference())
        return 0
    settings, found = load_settings(os.environ, file=args.settings or default_file())
    rows = _rows(settings, found)
    print(json.dumps(rows, indent=2) if args.format == "json" else _table(rows))
    return 0


def reference() -> str:
    """The reference page: what there is to set, without any values."""
    lines = [
        "| setting | also read from | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, info in Settings.model_fields.items():
        aliases = ", ".join(f"`{alias}`" for alias in aliases_of(info))
        secret = " Also as a file: append `_FILE`." if is_secret(info) else ""
        unit = f" Unit: {unit_of(info)}." if unit_of(info) else ""
        default = f"`{_shown(info.default)}`" if _shown(info.default) else ""
        meaning = named(f"{info.description}{unit}{secret}").replace("|", "\\|")
        lines.append(f"| `{native_name(name)}` | {aliases} | {default} | {meaning} |")
    return "\n".join(lines)


def _rows(settings: Settings, found: FoundValues) -> list[dict[str, Any]]:
    return [
        {
            "name": native_name(name),
            "value": _masked(name, getattr(settings, name)),
            "source": found.origins.get(name, "default"),
            "default": _shown(info.default),
            "unit": unit_of(info),
            "help": named(info.description or ""),
        }
        for name, info in Settings.model_fields.items()
    ]


def _masked(name: str, value: object) -> str:
    """Secrets as a mask; of a URL only the password."""
    if isinstance(value, SecretStr):
        return MASK
    text = "forever" if name == "audit_keep" and value is None else _shown(value)
    if not name.endswith("_url"):
        return text
    return _PASSWORD_IN_QUERY.sub(rf"\g<1>{MASK}", _PASSWORD.sub(rf"\g<1>{MASK}\g<2>", text))


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case timedelta():
            return _duration(value)
        case dict():
            return json.dumps(value) if value else ""
        case frozenset():
            return ",".join(sorted(map(str, value))) or "none"
        case Cloud():
            return value.name
        case GuestRule():
            return "allow" if value.homes is None else ",".join(sorted(value.homes)) or "deny"
        case RoleMapping():
            return json.dumps(_keys_of(value)) if value != RoleMapping() else ""
        case list():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _keys_of(mapping: RoleMapping) -> dict[str, str]:
    """The mapping as somebody would write it."""
    groups = {
        f"{tenant}/{group}" if tenant else group: given for (tenant, group), given in mapping.groups.items()
    }
    names = {f"group:{name}": given for name, given in mapping.group_names.items()}
    return {key: ",".join(given) for key, given in {**mapping.app_roles, **groups, **names}.items()}


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0 and seconds // size >= 1 and (unit != "d" or seconds > size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    columns = ("name", "value", "source")
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    return "\n".join(
        "  ".join([*(row[column].ljust(widths[column]) for column in columns), row["help"]]) for row in rows
    )
