"""`entrada users`: who has an account, what they may do, and who may not come in any more.

Works on the database of the servers here, which may be running: they follow within a second.

    entrada users list
    entrada users list --role Admin --signed-in
    entrada users show nora@contoso.com
    entrada users disable nora@contoso.com     signed out everywhere, and kept out
    entrada users grant nora@contoso.com Admin
    entrada users grant nora@contoso.com Editor --until 2027-01-31      or 8h, 30d: then it is taken back
    entrada users export nora@contoso.com      all that is stored of them, as JSON

A disabled person is kept out whatever Entra says; a deleted one is forgotten, and may come as somebody new.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

from entrada.accounts.explanation import given_by
from entrada.accounts.identity import GrantSource, User, UserId
from entrada.accounts.people import PeopleQuery
from entrada.accounts.role_end import read_end
from entrada.accounts.roles import is_role_name
from entrada.cli.accounts import (
    PAGE,
    Opened,
    add_common,
    add_person,
    document_of,
    find_person,
    in_one_line,
    moment,
    opened,
    plain,
    show,
    whole_number,
)
from entrada.cli.users_export import add_export
from entrada.entra.authority import TenantId
from entrada.errors import ConfigurationError
from entrada.sessions.store import sessions_of

LISTED = 100
"""How many `users list` shows unless told otherwise."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "users",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="everybody who has an account")
    listing.add_argument(
        "text", metavar="TEXT", nargs="?", default="", help="part of a name or e-mail address, or a whole id"
    )
    listing.add_argument("--role", help="only who has this role")
    listing.add_argument("--tenant", metavar="ID", help="only who signs in with an identity of this tenant")
    state = listing.add_mutually_exclusive_group()
    state.add_argument("--disabled", action="store_true", help="only who is disabled")
    state.add_argument("--enabled", action="store_true", help="only who is not")
    listing.add_argument("--signed-in", action="store_true", help="only who has a session now")
    listing.add_argument("--after", metavar="ID", help="those who come behind this one")
    many = listing.add_mutually_exclusive_group()
    many.add_argument("--limit", type=whole_number, default=LISTED, metavar="COUNT", help=f"default {LISTED}")
    many.add_argument("--all", action="store_true", help="everybody who fits")
    add_common(listing)
    listing.set_defaults(func=_list)
    for name, summary, run in (
        ("show", "all that is known of somebody", _show),
        ("disable", "sign somebody out everywhere, and keep them out", _disable),
        ("enable", "let somebody in again", _enable),
        ("grant", "give a role by hand, which no sign-in takes back", _grant),
        ("revoke", "take back a role given by hand", _revoke),
        ("delete", "forget somebody; whoever signs in again is somebody new", _delete),
    ):
        action = actions.add_parser(name, help=summary)
        add_person(action)
        if name in ("grant", "revoke"):
            action.add_argument("role", metavar="ROLE", help="the application's own name for it")
        if name == "grant":
            action.add_argument(
                "--until",
                metavar="END",
                default="",
                help="2027-01-31 (through that day, UTC), 2027-01-31T18:00Z, 90m, 8h or 30d; default no end",
            )
        if name == "delete":
            action.add_argument("--yes", action="store_true", help="without it, nothing is deleted")
        add_common(action)
        action.set_defaults(func=run)
    add_export(actions)


def _list(args: argparse.Namespace) -> int:
    with opened(args) as here:
        query = PeopleQuery(
            text=args.text,
            role=args.role,
            tenant_id=None if args.tenant is None else TenantId(args.tenant.strip().lower()),
            is_enabled=False if args.disabled else True if args.enabled else None,
            signed_in_at=here.now if args.signed_in else None,
        )
        if args.after is not None and here.stores.accounts.get(UserId(args.after)) is None:
            raise ConfigurationError(
                f"There is no account {args.after!r} to begin behind.",
                hint="`entrada users list` begins with the first.",
            )
        most = None if args.all else max(args.limit, 0)
        count, last, is_more = 0, None, False
        for user in _people(here, query, args.after, most):
            if count == most:
                is_more = True
                break
            if args.json:
                print("[" if count == 0 else ",", json.dumps(document_of(user)), sep="\n" if count else "")
            else:
                print(in_one_line(user))
            count, last = count + 1, user.id
    if args.json:
        print("]" if count else "[]")
    if is_more:
        print(f"There are more: --after {last}, or --all.", file=sys.stderr)
    elif count == 0 and not args.json:
        print("Nobody.", file=sys.stderr)
    return 0


def _people(here: Opened, query: PeopleQuery, after: str | None, most: int | None) -> Iterator[User]:
    """Who fits, by name; one more than `most`, so that it is known whether there are more."""
    last = None if after is None else UserId(after)
    limit = PAGE if most is None else min(PAGE, most + 1)
    while page := here.stores.accounts.find_people(query, limit=limit, after=last):
        yield from page
        last = page[-1].id


def _show(args: argparse.Namespace) -> int:
    with opened(args) as here:
        user = find_person(here.stores, args.person)
        kept = {each.identity: each for each in here.stores.sealed_sign_ins.of_user(user.id)}
        sessions = sum(one.is_live(here.now) for one in sessions_of(here.stores.sessions, user.id))
        givers = [plain(given_by(grant, here.stores.accounts)) for grant in user.grants]
    document = document_of(user)
    lines = [in_one_line(user), f"  account since {moment(user.created_at)}"]
    if not user.is_enabled:
        lines.append(f"  disabled since {moment(user.disabled_at)}")
    for linked, told in zip(user.identities, document["identities"], strict=True):
        found = kept.get(linked.identity)
        told["asked_again_at"] = None if found is None else moment(found.next_check_at)
        told["ended_at"] = None if found is None else moment(found.ended_at)
        told["ended_because"] = None if found is None else found.ended_because
        lines.append(
            f"  signs in as {linked.identity.object_id} of tenant {linked.identity.tenant_id}, "
            f"last {told['last_sign_in_at'] or 'never'}"
        )
        if told["ended_at"]:
            lines.append(f"    Entra ended it {told['ended_at']}: {told['ended_because']}")
    lines += [
        f"  {grant.role}: {'by hand, ' if grant.source is GrantSource.MANUAL else 'Entra, '}"
        f"{giver}, since {moment(grant.granted_at)}{_until(grant.until)}"
        for grant, giver in zip(user.grants, givers, strict=True)
    ]
    document["sessions"] = sessions
    count = "1 session" if sessions == 1 else f"{sessions} sessions"
    lines.append(f"  {count} (`entrada sessions list {user.id}`)")
    show(args, document, lines)
    return 0


def _disable(args: argparse.Namespace) -> int:
    def disable(here: Opened, user: User) -> tuple[User | None, str]:
        changed = here.stores.accounts.set_disabled(
            user.id, disabled=True, now=here.now, cause=here.cause, rules=here.rules
        )
        return changed, "is disabled, and signed out everywhere"

    return _change(args, disable)


def _enable(args: argparse.Namespace) -> int:
    def enable(here: Opened, user: User) -> tuple[User | None, str]:
        changed = here.stores.accounts.set_disabled(user.id, disabled=False, now=here.now, cause=here.cause)
        here.stores.sessions.end_of_user(user.id, cause=here.cause)  # a sign-in may have raced the disabling
        return changed, "may sign in again"

    return _change(args, enable)


def _grant(args: argparse.Namespace) -> int:
    def grant(here: Opened, user: User) -> tuple[User | None, str]:
        role, until = _role(args.role, user), read_end(args.until, now=here.now)
        if role not in here.settings.roles.every_role and not args.json:
            note = f"Note: nothing in $[roles_mapping] gives {role!r}; is it spelt so?"
            print(here.names.put_into(note), file=sys.stderr)
        who = here.cause.actor.id
        changed = here.stores.accounts.grant_role(
            user.id,
            role=role,
            granted_by=f"command line, {who}" if who else "command line",
            now=here.now,
            until=until,
            cause=here.cause,
            rules=here.rules,
        )
        return changed, f"has the role {role}{_until(until)}"

    return _change(args, grant)


def _revoke(args: argparse.Namespace) -> int:
    def revoke(here: Opened, user: User) -> tuple[User | None, str]:
        role = _role(args.role, user)
        held = [grant for grant in user.grants if grant.role == role]
        if not any(grant.source is GrantSource.MANUAL for grant in held):
            why = f" Entra gives it: {plain(held[0].granted_by)}." if held else ""
            raise ConfigurationError(
                f"{plain(user.profile.name)} has no role {role!r} given by hand.{why}",
                hint="What Entra gives is changed in Entra, or in $[roles_mapping]."
                if held
                else f"`entrada users show {user.id}` says which roles there are.",
            )
        changed = here.stores.accounts.revoke_role(user.id, role=role, cause=here.cause, rules=here.rules)
        still = f", but Entra still gives it: {plain(held[0].granted_by)}" if len(held) > 1 else ""
        return changed, f"has the role {role} by hand no longer{still}"

    return _change(args, revoke)


def _delete(args: argparse.Namespace) -> int:
    def delete(here: Opened, user: User) -> tuple[User | None, str]:
        if not args.yes:
            raise ConfigurationError(
                f"{in_one_line(user)} would be forgotten for good. Nothing was deleted.",
                hint="Say --yes to do it. To keep somebody out, disable them: whoever is deleted may come "
                "back as somebody new.",
            )
        return here.stores.accounts.delete(user.id, cause=here.cause, rules=here.rules), "is deleted"

    return _change(args, delete)


def _change(args: argparse.Namespace, change: Callable[[Opened, User], tuple[User | None, str]]) -> int:
    with opened(args) as here:
        before = find_person(here.stores, args.person)
        after, what = change(here, before)
    if after is None:
        raise ConfigurationError(
            "The account was deleted in this very moment.", hint="`entrada users list` shows who is there."
        )
    show(args, document_of(after), [f"{plain(after.profile.name)} ({after.id}) {what}."])
    return 0


def _until(end: datetime | None) -> str:
    return "" if end is None else f", until {moment(end)}"


def _role(text: str, user: User) -> str:
    """The role that is meant; one that this person has may be called anything."""
    if any(grant.role == text for grant in user.grants):
        return text
    role: str = text.strip()
    if not is_role_name(role):
        raise ConfigurationError(
            "That is no name of a role.",
            hint="Such as one that $[roles_mapping] gives: `entrada settings` shows it.",
        )
    return role
