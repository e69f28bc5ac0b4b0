"""`entrada mapping test FILE|JSON`: what another roles mapping would change, before it is switched on.

    entrada mapping test '{"Editors": "Editor"}'
    entrada mapping test new-mapping.json --person nora@contoso.com

Nothing is changed. Of a person it is known what gave them each role they have from Entra, and nothing else:
who loses a role is told; who gains one by a claim or group that gives none today is seen at the next sign-in.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from entrada.accounts.identity import User
from entrada.accounts.mapping_trial import (
    LineDifference,
    RoleChange,
    change_of,
    line_difference,
    looked_at,
    tenants_without_administrator,
)
from entrada.cli.accounts import add_common, find_person, opened, plain
from entrada.cli.progress import counted
from entrada.entra.authority import TenantId
from entrada.errors import ConfigurationError
from entrada.settings import default_file, load_settings, native_name

_FORSAKEN = "Nobody would administer tenant {} any more ($[admin_roles])."


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
    try:
        wanted = load_settings(environ, file=args.settings or default_file())[0].roles
    except ConfigurationError as error:
        if error.marked_setting != "roles_mapping":
            raise
        sentence = error.marked_sentence.replace("$[roles_mapping]", "The mapping")
        raise ConfigurationError(sentence, hint=error.marked_hint) from None
    with opened(args) as here:
        today, accounts = here.settings.roles, here.stores.accounts
        looked: Iterator[tuple[User, RoleChange | None]]
        if args.person is None:
            looked = looked_at(accounts, today=today, wanted=wanted)
        else:
            person = find_person(here.stores, args.person)
            looked = iter([(person, change_of(person, wanted))])
        forsaken = tenants_without_administrator(
            accounts, admin_roles=here.settings.admin_roles, wanted=wanted
        )
        # Told as they are found: it may be everybody.
        changes = (change for _, change in counted(looked, "People looked at") if change is not None)
        difference = line_difference(today, wanted)
        if args.json:
            _tell_document(difference, changes, forsaken)
        else:
            _tell(difference, changes, [here.names.put_into(_FORSAKEN.format(each)) for each in forsaken])
    return 0


def _tell_document(
    difference: LineDifference, changes: Iterator[RoleChange], forsaken: Sequence[TenantId]
) -> None:
    """The people stand last, because they are written one by one."""
    before_them = {
        "lines": [
            {"reason": reason, "role": role, "is_new": is_new} for (reason, role), is_new in difference.lines
        ],
        "lines_gone": [{"reason": reason, "role": role} for reason, role in difference.gone],
        "tenants_without_administrator": forsaken,
    }
    print(json.dumps(before_them, indent=2).removesuffix("\n}") + ',\n  "people": [', end="")
    before = "\n    "
    for change in changes:
        person = {
            "id": change.user.id,
            "name": change.user.profile.name,
            "loses": change.loses,
            "gains": change.gains,
            "is_kept_out": change.is_kept_out,
        }
        print(before, json.dumps(person), sep="", end="")
        before = ",\n    "
    print("\n  ]\n}")


def _tell(difference: LineDifference, changes: Iterator[RoleChange], forsaken: Sequence[str]) -> None:
    for (reason, role), is_new in difference.lines:
        print(f"{'+' if is_new else ' '} {reason} → {role}")
    for reason, role in difference.gone:
        print(f"- {reason} → {role}")
    count = 0
    for change in changes:
        count += 1
        print(f"{plain(change.user.profile.name)} ({change.user.id}): {change.in_words()}")
    print(
        f"{count} of those who have an account would lose or gain a role. Whoever only a new line names is "
        "seen at the next sign-in. Nothing was changed."
    )
    for sentence in forsaken:
        print(sentence)


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
