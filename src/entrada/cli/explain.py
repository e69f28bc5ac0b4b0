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
from dataclasses import replace
from typing import Any

from entrada.accounts.explanation import (
    audit_of,
    audit_of_stranger,
    endings,
    obstacles,
    reason_of,
    refusal_in_words,
    ways_to,
    who_was_refused,
)
from entrada.accounts.identity import User
from entrada.audit.acts import Action
from entrada.audit.chain import AuditEntry
from entrada.build import admission_of
from entrada.cli.accounts import (
    Opened,
    add_common,
    add_person,
    find_people,
    find_person,
    grant_document,
    opened,
    plain,
    show,
)
from entrada.gateway.explain_person import explain_for

SHOWN_REFUSALS = 5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "explain",
        help=summary,
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
        people = find_people(here.stores, args.person)
        if not people:
            refusals = _refusals(here, args.person)
            if not refusals:
                find_person(here.stores, args.person)  # says that there is nobody
            return _explain_refused(args, here, refusals)
        return _explain_user(args, here, people[0])


def _refusals(here: Opened, called: str) -> list[AuditEntry]:
    """Of somebody without an account: by name, account or object id."""
    query = replace(audit_of_stranger(called), actions=[Action.SIGN_IN_REFUSED])
    return list(here.stores.audit.newest(query, limit=SHOWN_REFUSALS))


def _refused_lately(here: Opened, user: User) -> list[str]:
    """The last refusals of somebody with an account, at a sign-in or at a page."""
    query = replace(audit_of(user), actions=[Action.SIGN_IN_REFUSED, Action.REQUEST_REFUSED])
    policy = admission_of(here.settings, here.settings.roles)
    found = here.stores.audit.newest(query, limit=SHOWN_REFUSALS)
    return [plain(refusal_in_words(entry, policy)) for entry in found]


def _explain_refused(args: argparse.Namespace, here: Opened, refusals: list[AuditEntry]) -> int:
    policy = admission_of(here.settings, here.settings.roles)
    told = [
        (who_was_refused(entry), here.names.put_into(refusal_in_words(entry, policy))) for entry in refusals
    ]
    lines = ["Nobody with an account is called so. Who was refused, the newest first:"]
    lines += [plain(f"  {who}: {words}") for who, words in told]
    document = {
        "id": None,
        "can_sign_in": False,
        "refused": [
            {**entry.documented(), "in_words": words}
            for entry, (_, words) in zip(refusals, told, strict=True)
        ],
    }
    show(args, document, lines)
    return 0


def _explain_user(args: argparse.Namespace, here: Opened, user: User) -> int:
    put, roles = here.names.put_into, here.settings.roles
    keeps_out = [put(sentence) for sentence in obstacles(user, admission_of(here.settings, roles))]
    ended = [put(sentence) for sentence in endings(here.stores.sealed_sign_ins.of_user(user.id))]
    grants = [grant for grant in user.grants if args.role in (None, grant.role)]
    reasons = [put(reason_of(grant, roles, here.stores.accounts)) for grant in grants]
    refused = [put(words) for words in _refused_lately(here, user)]
    lines = [f"{user.profile.name} ({user.id})", *(f"  {each}" for each in [*keeps_out, *ended, *refused])]
    if not user.is_enabled:
        lines.append(f"  `entrada users enable {user.id}` lets them in.")
    lines += [f"  {grant.role}: {reason}" for grant, reason in zip(grants, reasons, strict=True)]
    document: dict[str, Any] = {
        "id": user.id,
        "name": user.profile.name,
        "can_sign_in": not keeps_out,
        "obstacles": keeps_out,
        "ended": ended,
        "refused": refused,
        "roles": [
            {**grant_document(grant), "reason": reason} for grant, reason in zip(grants, reasons, strict=True)
        ],
    }
    if args.role is not None:
        ways = [*ways_to(args.role, roles), f"by hand: entrada users grant PERSON {args.role}"]
        document |= {"role": args.role, "has_role": bool(grants), "ways_to_role": ways}
        if not grants:
            lines.append(f"  has no role {args.role!r}. It is given for: {'; '.join(ways)}.")
    elif not grants:
        lines.append("  has no role.")
    if args.path is not None:
        with here.names.in_errors():
            opens = explain_for(user, args.path, file=here.file, public_url=here.settings.public_url)
        document["path"] = {
            "request": opens.request,
            "because": opens.because,
            "for": opens.for_whom,
            "as": [vars(one) for one in opens.decisions],
        }
        lines += [f"  {opens.request}: {opens.because}, for {opens.for_whom}"]
        lines += [f"    {one.decision} as {one.object_id}: {one.reason}" for one in opens.decisions]
    show(args, document, [plain(line) for line in lines])
    return 0
