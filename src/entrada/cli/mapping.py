"""`entrada mapping test FILE|JSON`: what another roles mapping would change, before it is switched on.

    entrada mapping test '{"Editors": "Editor"}'
    entrada mapping test new-mapping.json --person nora@contoso.com

Nothing is changed. Of a person it is known what gave them each role they have from Entra, and nothing else:
who loses a role is told; who gains one by a claim or group that gives none today is seen at the next sign-in.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from entrada.accounts.identity import GrantSource, User
from entrada.accounts.roles import DEFAULT_ROLE_GRANTED_BY, RoleMapping
from entrada.cli.accounts import add_common, everybody, find_person, opened, plain, show
from entrada.errors import ConfigurationError
from entrada.settings import default_file, load_settings, native_name


@dataclass(frozen=True, kw_only=True)
class Change:
    user: User
    loses: list[str]
    gains: list[str]
    is_kept_out: bool
    """No role would be left, where one is required."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "mapping",
        help="what another roles mapping would change",
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
        people = everybody(here) if args.person is None else iter([find_person(here.stores, args.person)])
        changes = list(_changes(people, wanted))
        today = set(_lines(here.settings.roles))
    new = _lines(wanted)
    document = {
        "lines": [
            {"reason": reason, "role": role, "is_new": (reason, role) not in today} for reason, role in new
        ],
        "lines_gone": [{"reason": reason, "role": role} for reason, role in sorted(today - set(new))],
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
    }
    lines = [f"{' ' if each in today else '+'} {each[0]} → {each[1]}" for each in new]
    lines += [f"- {reason} → {role}" for reason, role in sorted(today - set(new))]
    lines += [_in_words(change) for change in changes]
    lines.append(
        f"{len(changes)} of those who have an account would lose or gain a role. Whoever only a new line "
        "names is seen at the next sign-in. Nothing was changed."
    )
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


def _lines(mapping: RoleMapping) -> list[tuple[str, str]]:
    return [(reason, role) for reason, roles in mapping.lines for role in roles]


def _changes(people: Iterator[User], wanted: RoleMapping) -> Iterator[Change]:
    for user in people:
        from_entra = [grant for grant in user.grants if grant.source is GrantSource.ENTRA]
        by_hand = user.roles - {grant.role for grant in from_entra}
        by_hand |= {grant.role for grant in user.grants if grant.source is GrantSource.MANUAL}
        known = {grant.granted_by for grant in from_entra} - {DEFAULT_ROLE_GRANTED_BY}
        after = {role for reason, role in _lines(wanted) if reason in known}
        if not after and wanted.default_role is not None:
            after = {wanted.default_role}
        change = Change(
            user=user,
            loses=sorted(user.roles - after - by_hand),
            gains=sorted(after - user.roles),
            is_kept_out=wanted.required and not (after | by_hand),
        )
        if change.loses or change.gains:
            yield change


def _in_words(change: Change) -> str:
    what = [f"loses {', '.join(change.loses)}"] if change.loses else []
    what += [f"gains {', '.join(change.gains)}"] if change.gains else []
    what += ["cannot sign in any more without a role"] if change.is_kept_out else []
    return f"{plain(change.user.profile.name)} ({change.user.id}): {'; '.join(what)}"
