"""`entrada mapping test FILE|JSON`: what another roles mapping would change, before it is switched on.

    entrada mapping test '{"Editors": "Editor"}'
    entrada mapping test new-mapping.json --person nora@contoso.com

Nothing is changed. Of a person it is known what gave them each role they have from Entra, and nothing else:
who loses a role is told; who gains one by a claim or group that gives none today is seen at the next sign-in.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from entrada.accounts.mapping_trial import (
    change_of,
    line_difference,
    role_changes,
    tenants_without_administrator,
)
from entrada.cli.accounts import add_common, find_person, opened, plain, show
from entrada.errors import ConfigurationError
from entrada.settings import default_file, load_settings, native_name


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "mapping",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    test = actions.add_parser("test", help="say who would lose or gain a role; nothing is changed")
    test.add_argument("mapping", metavar="FILE|JSON", help="the new mapping, or a file that holds it")
    test.add_argument("--person", help="of this person alone")
    add_common(test)
    test.set_defaults(func=_test)


def _test(args: argparse.Namespace) -> int:
    environ = {**os.environ, native_name("roles_mapping"): _text_of(args.mapping)}
    wanted = load_settings(environ, file=args.settings or default_file())[0].roles
    with opened(args) as here:
        today, accounts = here.settings.roles, here.stores.accounts
        if args.person is None:
            changes = list(role_changes(accounts, today=today, wanted=wanted).changes)
        else:
            change = change_of(find_person(here.stores, args.person), wanted)
            changes = [] if change is None else [change]
        forsaken = tenants_without_administrator(
            accounts, admin_roles=here.settings.admin_roles, wanted=wanted
        )
    difference = line_difference(today, wanted)
    document = {
        "lines": [
            {"reason": reason, "role": role, "is_new": is_new} for (reason, role), is_new in difference.lines
        ],
        "lines_gone": [{"reason": reason, "role": role} for reason, role in difference.gone],
        "people": [
            {
                "id": change.user.id,
                "name": change.user.profile.name,
                "loses": change.loses,
                "gains": change.gains,
                "is_kept_out": change.is_kept_out,
            }
            for change in changes
        ],
        "tenants_without_administrator": forsaken,
    }
    lines = [f"{'+' if is_new else ' '} {reason} → {role}" for (reason, role), is_new in difference.lines]
    lines += [f"- {reason} → {role}" for reason, role in difference.gone]
    lines += [
        f"{plain(change.user.profile.name)} ({change.user.id}): {change.in_words()}" for change in changes
    ]
    lines.append(
        f"{len(changes)} of those who have an account would lose or gain a role. Whoever only a new line "
        "names is seen at the next sign-in. Nothing was changed."
    )
    lines += [
        here.names.put_into(f"Nobody would administer tenant {tenant} any more ($[admin_roles]).")
        for tenant in forsaken
    ]
    show(args, document, lines)
    return 0


def _text_of(given: str) -> str:
    if given.lstrip().startswith("{"):
        return given
    try:
        return Path(given).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(
            f"The mapping {given!r} cannot be read ({getattr(error, 'strerror', None) or 'no text'}).",
            hint='Name a file that holds it, or write it in quotation marks: \'{"Editors": "Editor"}\'',
        ) from None
