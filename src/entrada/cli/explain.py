"""`entrada explain PERSON`: why somebody has the roles they have, and whether they can come in.

    entrada explain nora@contoso.com
    entrada explain nora@contoso.com --role Admin
    entrada explain nora@contoso.com --path /admin          also "POST https://tool.contoso.com/admin"

Says for each role which claim or group of Entra's, and which line of the roles mapping, or who by hand, gave
it; with --path, which rule of `entrada serve` decides there, and what it means for them. What Entra says is
as of the last sign-in or the last look at who is signed in. Changes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from entrada.accounts.identity import EntraIdentity, GrantSource, RoleGrant, User
from entrada.accounts.principal import principal_of
from entrada.accounts.roles import RolesSync
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.cli.accounts import (
    Opened,
    add_common,
    add_person,
    find_person,
    grant_document,
    moment,
    opened,
    plain,
    show,
)
from entrada.gateway.caller import Caller, caller_of
from entrada.gateway.explain import explain
from entrada.gateway.rules import Access, Decision, Rule
from entrada.gateway.tables import read_file


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="why somebody has a role, or has not, or cannot come in",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_person(parser)
    parser.add_argument("--role", help="this role alone, also where they do not have it")
    parser.add_argument(
        "--path",
        metavar='"[METHOD] PATH"',
        help="whether they may open it at `entrada serve`",
    )
    add_common(parser)
    parser.set_defaults(func=_explain)


def _explain(args: argparse.Namespace) -> int:
    with opened(args) as here:
        user = find_person(here.stores, args.person)
        kept = here.stores.sealed_sign_ins.of_user(user.id)
    obstacles = [here.names.put_into(sentence) for sentence in _obstacles(here, user)]
    ended = [here.names.put_into(sentence) for sentence in _endings(kept)]
    grants = [grant for grant in user.grants if args.role in (None, grant.role)]
    reasons = [here.names.put_into(_reason(here, grant)) for grant in grants]
    lines = [f"{plain(user.profile.name)} ({user.id})", *(f"  {each}" for each in [*obstacles, *ended])]
    lines += [f"  {grant.role}: {reason}" for grant, reason in zip(grants, reasons, strict=True)]
    document: dict[str, Any] = {
        "id": user.id,
        "name": user.profile.name,
        "can_sign_in": not obstacles,
        "obstacles": obstacles,
        "ended": ended,
        "roles": [
            {**grant_document(grant), "reason": reason} for grant, reason in zip(grants, reasons, strict=True)
        ],
    }
    if args.role is not None:
        ways = _ways_to(here, args.role)
        document |= {"role": args.role, "has_role": bool(grants), "ways_to_role": ways}
        if not grants:
            lines.append(f"  has no role {args.role!r}. It is given for: {'; '.join(ways)}.")
    elif not grants:
        lines.append("  has no role.")
    if args.path is not None:
        opens = _path_explained(here, user, args.path)
        document |= {"path": opens}
        lines += [f"  {opens['request']}: {opens['because']}, for {opens['for']}"]
        lines += [f"    {one['decision']} as {one['object_id']}: {one['reason']}" for one in opens["as"]]
    show(args, document, lines)
    return 0


def _path_explained(here: Opened, user: User, asked: str) -> dict[str, Any]:
    """Which rule decides at an address, and what it means for each identity of the user."""
    method, blank, address = asked.strip().rpartition(" ")
    if address.startswith("/"):
        address = (here.settings.public_url or "http://localhost") + address
    with here.names.in_errors():
        explained = explain(f"{method.strip() if blank else 'GET'} {address}", read_file(here.file))
    return {
        "request": explained.request,
        "because": explained.because,
        "for": explained.for_whom,
        "as": [_decided(explained.rule, user, linked.identity) for linked in user.identities],
    }


def _decided(rule: Rule | None, user: User, identity: EntraIdentity) -> dict[str, str]:
    caller = caller_of(principal_of(user, identity))
    decision = Decision.FORBIDDEN if rule is None or not user.is_enabled else rule.decide(caller)
    return {
        "object_id": identity.object_id,
        "decision": decision.value,
        "reason": _reason_of(decision, rule, user, caller),
    }


def _reason_of(decision: Decision, rule: Rule | None, user: User, caller: Caller) -> str:
    if not user.is_enabled:
        return "disabled here"
    if rule is None:
        return "the request is refused before any rule"
    if decision is Decision.ALLOWED:
        return "by roles and groups as they are known here" if rule.roles or rule.groups else "signed in"
    if rule.access is Access.DENY:
        return "nobody may"
    if not rule.has_role(caller):
        return "none of the roles"
    names = ", ".join(sorted(str(group) for group in rule.groups if caller.is_in_one_of([group]) is None))
    return (
        f"not known whether in {names}; the next sign-in or look finds out, if `entrada serve` has that rule"
        if decision is Decision.GROUPS_UNKNOWN
        else "in none of the groups"
    )


def _obstacles(here: Opened, user: User) -> Sequence[str]:
    """What keeps this person from signing in, as far as it is known here."""
    settings, found = here.settings, []
    if not user.is_enabled:
        found.append(
            f"Cannot sign in: disabled here since {moment(user.disabled_at)}. "
            f"`entrada users enable {user.id}` lets them in."
        )
    if user.profile.is_guest and settings.guests.homes is not None and not settings.guests.homes:
        found.append("Cannot sign in: a guest, and $[guests] lets none in.")
    if settings.roles.required and not user.grants:
        found.append("Cannot sign in without a role ($[roles_required]), unless Entra gives one then.")
    return found


def _endings(kept: Sequence[SealedSignIn]) -> Sequence[str]:
    return [
        f"Signed out {moment(each.ended_at)}, because Entra said of {each.identity.object_id}: "
        f"{plain(each.ended_because or 'nothing')}. The next sign-in shows whether that still holds."
        for each in kept
        if each.ended_at is not None
    ]


def _reason(here: Opened, grant: RoleGrant) -> str:
    since = f"since {moment(grant.granted_at)}"
    by = plain(grant.granted_by)
    if grant.source is GrantSource.MANUAL:
        return f"given by hand ({by}), {since}. No sign-in takes it back."
    roles = here.settings.roles
    if any(by == reason and grant.role in given for reason, given in roles.lines):
        return f"Entra gives it ({by}), by that line of $[roles_mapping], {since}."
    when = (
        "It goes with the next sign-in or look."
        if roles.sync is RolesSync.EVERY_SIGN_IN
        else "It stays, because roles follow the first sign-in alone ($[roles_sync])."
    )
    return f"Entra gave it ({by}), {since}, but no line of $[roles_mapping] does so today. {when}"


def _ways_to(here: Opened, role: str) -> Sequence[str]:
    """What would give this role."""
    lines = [reason for reason, given in here.settings.roles.lines if role in given]
    return [*lines, f"by hand: entrada users grant PERSON {role}"]
