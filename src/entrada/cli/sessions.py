"""`entrada sessions`: who is signed in, and ending it.

    entrada sessions list [PERSON]
    entrada sessions end SESSION_ID
    entrada sessions end --of PERSON
    entrada sessions end --all

Servers follow within a second. Whoever may still sign in can do so at once: to keep somebody out, disable
them with `entrada users disable`.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from typing import Any

from entrada.accounts.identity import UserId
from entrada.cli.accounts import add_common, find_person, moment, opened, plain, show, whole_number
from entrada.errors import ConfigurationError
from entrada.sessions.session import Session, SessionId
from entrada.sessions.store import sessions_of
from entrada.web.devices import device_in_words

LISTED = 100
"""How many `sessions list` shows unless told otherwise."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "sessions",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the sessions of everybody, or of one person")
    listing.add_argument("person", metavar="PERSON", nargs="?", help="id, object ID, e-mail address or name")
    many = listing.add_mutually_exclusive_group()
    many.add_argument("--limit", type=whole_number, default=LISTED, metavar="COUNT", help=f"default {LISTED}")
    many.add_argument("--all", action="store_true", help="all there are")
    add_common(listing)
    listing.set_defaults(func=_list)
    ending = actions.add_parser("end", help="end one session, a person's, or all")
    which = ending.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "session",
        metavar="SESSION_ID",
        nargs="?",
        help="as `list` shows it; one that begins with - stands behind --",
    )
    which.add_argument("--of", metavar="PERSON", help="all of this person's")
    which.add_argument("--all", action="store_true", help="all of everybody's")
    add_common(ending)
    ending.set_defaults(func=_end)


def _list(args: argparse.Namespace) -> int:
    with opened(args) as here:
        user_id = None if args.person is None else find_person(here.stores, args.person).id
        most = None if args.all else max(args.limit, 0)
        found = (one for one in sessions_of(here.stores.sessions, user_id) if one.is_live(here.now))
        live = list(islice(found, most))
        is_more = next(found, None) is not None
        names: dict[UserId, str] = {}
        for session in live:
            if session.user_id not in names:
                user = here.stores.accounts.get(session.user_id)
                names[session.user_id] = "-" if user is None else user.profile.name
    if is_more:
        print("There are more: --all, or a larger --limit.", file=sys.stderr)
    if args.json:
        print(json.dumps([document_of_session(each, names[each.user_id]) for each in live], indent=2))
        return 0
    for each in live:
        print(
            f"{each.id}  {plain(names[each.user_id])}  {each.user_id}  since {moment(each.created_at)}, "
            f"last used {moment(each.last_seen_at)}, ends by {moment(each.absolute_expires_at)}, "
            f"{plain(device_in_words(each.opened_by))}, {each.opened_by.address or 'address not known'}"
        )
    if not live:
        print("Nobody is signed in.", file=sys.stderr)
    return 0


def document_of_session(session: Session, name: str) -> dict[str, Any]:
    """A session as JSON has it."""
    return {
        "id": session.id,
        "user_id": session.user_id,
        "name": name,
        "tenant_id": session.identity.tenant_id,
        "object_id": session.identity.object_id,
        "created_at": moment(session.created_at),
        "last_seen_at": moment(session.last_seen_at),
        "idle_expires_at": moment(session.idle_expires_at),
        "absolute_expires_at": moment(session.absolute_expires_at),
        "authenticated_at": moment(session.authenticated_at),
        "user_agent": session.opened_by.user_agent or None,
        "address": session.opened_by.address or None,
    }


def _end(args: argparse.Namespace) -> int:
    with opened(args) as here:
        sessions = here.stores.sessions
        if args.all:
            ended = sessions.end_all(cause=here.cause)
        elif args.of is not None:
            ended = sessions.end_of_user(find_person(here.stores, args.of).id, cause=here.cause)
        else:
            if not sessions.end(SessionId(args.session), cause=here.cause):
                raise ConfigurationError(
                    f"There is no session {args.session!r}.",
                    hint="`entrada sessions list` shows those there are; this one may have ended by itself.",
                )
            ended = 1
    show(args, {"ended": ended}, [f"{ended} {'session' if ended == 1 else 'sessions'} ended."])
    return 0
