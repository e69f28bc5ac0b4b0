"""`entrada audit`: what happened to people's access, who did it, and why.

    entrada audit                               the newest entries, the newest first
    entrada audit --person nora@contoso.com     of one person, also of one who was refused
    entrada audit --action role_granted --since 30d
    entrada audit verify                        whether the chain is whole; prints where it ends
    entrada audit verify --expect 1042:9f…      and still holds the entry that was the last one then

Works on the database of the servers here, which may be running.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from entrada.accounts.explanation import audit_of, audit_of_stranger
from entrada.accounts.identity import User, UserId
from entrada.audit.acts import Action
from entrada.audit.chain import AuditEntry, Place, parse_place, read_object
from entrada.audit.trail import EVERYTHING, AuditQuery
from entrada.audit.verify import verify
from entrada.cli.accounts import (
    PAGE,
    Opened,
    add_common,
    find_people,
    moment,
    opened,
    plain,
    show,
    whole_number,
)
from entrada.cli.progress import Progress
from entrada.compatibility import UTC
from entrada.errors import ConfigurationError
from entrada.settings.values import read_duration

LISTED = 50


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "audit",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--person", metavar="PERSON", help="whom it happened to, or who did it")
    parser.add_argument(
        "--action",
        action="append",
        default=[],
        choices=[each.value for each in Action],
        metavar="ACTION",
        help="what happened, such as role_granted; more than once, if you like",
    )
    parser.add_argument("--since", metavar="WHEN", help="such as 24h, 30d or 2026-11-27T08:00Z")
    parser.add_argument("--until", metavar="WHEN", help="the same; entries before it")
    parser.add_argument("--before", type=whole_number, metavar="NUMBER", help="entries older than this one")
    parser.add_argument(
        "--limit", type=whole_number, default=LISTED, metavar="COUNT", help=f"default {LISTED}"
    )
    add_common(parser)
    parser.set_defaults(func=_list)
    actions = parser.add_subparsers(title="actions", metavar="[verify]")
    verifying = actions.add_parser("verify", help="whether the chain of entries is whole")
    verifying.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="NUMBER:HASH",
        help="where the chain ended once, as `verify` or an exported line said; more than once, if you like",
    )
    add_common(verifying)
    verifying.set_defaults(func=_verify)


def _list(args: argparse.Namespace) -> int:
    with opened(args) as here:
        query = _query(args, here)
        entries = islice(entries_of(here, query, args.before), max(args.limit, 0))
        names = _Names(here)
        last: AuditEntry | None = None
        count = 0
        for last in entries:
            if args.json:
                print("," if count else "[", json.dumps(last.documented()), sep="" if count else "\n")
            else:
                print(in_one_line(last, names))
            count += 1
    if args.json:
        print("]" if count else "[]")
    elif last is None:
        print("No entries.", file=sys.stderr)
    elif count == args.limit:
        print(f"Older ones: --before {last.number}", file=sys.stderr)
    return 0


def _query(args: argparse.Namespace, here: Opened) -> AuditQuery:
    people = [] if args.person is None else find_people(here.stores, args.person)
    since, until = _when(args.since, here.now), _when(args.until, here.now)
    whose = (
        EVERYTHING
        if args.person is None
        else audit_of(people[0])
        if people
        else audit_of_stranger(args.person)
    )
    return replace(whose, actions=args.action, since=since, until=until)


def happened_to(here: Opened, user: User) -> Iterator[AuditEntry]:
    """What happened to somebody, the newest first."""
    query = audit_of(user)
    return (
        entry
        for entry in entries_of(here, query)
        if entry.user_id == user.id or entry.object_id in query.object_ids
    )


def entries_of(here: Opened, query: AuditQuery, before: int | None = None) -> Iterator[AuditEntry]:
    """The newest first, page by page."""
    while page := here.stores.audit.newest(query, limit=PAGE, before=before):
        yield from page
        before = page[-1].number


class _Names:
    """What people are called, looked up once each; whoever is gone is their id."""

    def __init__(self, here: Opened) -> None:
        self._here = here
        self._known: dict[str, str] = {}

    def of(self, user_id: str) -> str:
        if user_id not in self._known:
            user = self._here.stores.accounts.get(UserId(user_id))
            self._known[user_id] = user_id if user is None else f"{plain(user.profile.name)} ({user_id})"
        return self._known[user_id]


def in_one_line(entry: AuditEntry, names: _Names) -> str:
    details = read_object(entry.details)
    reason = details.pop("reason", None)
    parts = [str(moment(entry.at)), str(entry.number), plain(entry.action)]
    if entry.user_id is not None:
        parts.append(names.of(entry.user_id))
    elif entry.personal is not None:
        parts.append(plain(_called(read_object(entry.personal), entry.object_id)))
    elif entry.object_id is not None:
        parts.append(plain(entry.object_id))
    elif entry.is_erased:
        parts.append("somebody who was forgotten")
    if entry.session_id is not None:
        parts.append(f"session {plain(entry.session_id)}")
    parts += [plain(f"{name}={value}") for name, value in details.items()]
    if entry.actor_kind == "person" and entry.actor_id == entry.user_id:
        parts.append("by themself")
    else:
        who = names.of(entry.actor_id) if entry.actor_kind == "person" else plain(entry.actor_id)
        parts.append(f"by {plain(entry.actor_kind)} {who}".rstrip())
    if reason is not None:
        parts.append(f"because: {plain(str(reason))}")
    return "  ".join(parts)


def _called(personal: Mapping[str, object], object_id: str | None) -> str:
    account = personal.get("account")
    return f"{personal.get('name') or 'somebody'} ({account or object_id or 'no account'})"


def _when(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        ago = read_duration(text)
        if isinstance(ago, timedelta):
            return now - ago
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{text!r} is no time.", hint="Write how long ago, such as 24h or 30d, or 2026-11-27T08:00Z."
        ) from None


def _verify(args: argparse.Namespace) -> int:
    expect, progress = [_place(text) for text in args.expect], Progress()
    with opened(args) as here:
        verdict = verify(
            here.stores.audit,
            expect=expect,
            progress=lambda done, of: progress.say(f"{done:,} of {of:,} entries"),
        )
    document = {
        "ok": verdict.fault is None,
        "fault": verdict.fault,
        "entries": verdict.entries,
        "erased": verdict.erased,
        "begins_behind": str(verdict.anchor),
        "head": str(verdict.head),
    }
    whole = "1 entry is as it was" if verdict.entries == 1 else f"{verdict.entries} entries are as they were"
    forgotten = f", {verdict.erased} of them without the person, who was forgotten" if verdict.erased else ""
    lines = [
        f"{whole} written{forgotten}.",
        f"The chain begins behind {verdict.anchor.number} and ends at {verdict.head}",
        "Keep that elsewhere: `entrada audit verify --expect` then tells if anything before it is changed.",
    ]
    if verdict.fault is None:
        show(args, document, lines)
        return 0
    if args.json:
        show(args, document, [])
    raise ConfigurationError(
        f"The audit trail is not whole: {verdict.fault}.",
        hint=f"The {verdict.entries} entries before it are as they were written. Compare with a backup, or "
        "with what was exported.",
    )


def _place(text: str) -> Place:
    place = parse_place(text.strip())
    if place is None:
        raise ConfigurationError(
            f"{text!r} is no place in the chain.",
            hint="Write NUMBER:HASH, as `entrada audit verify` printed it.",
        )
    return place
