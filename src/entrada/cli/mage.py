"""`entrada mage`: Mage with our sign-in behind its Microsoft button.

entrada mage start PROJECT [...]          takes everything that `mage start` takes
entrada mage check [--json]               do the hooks fit the Mage installed here?
entrada mage links [--json]               who signs in as which user of Mage
entrada mage link, unlink, adopt          existing users of Mage and the people of Entra
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from pathlib import Path

from entrada.accounts.identity import EntraIdentity
from entrada.cli.logs import errors_alone
from entrada.clock import SystemClock
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId, parse_guid
from entrada.errors import ConfigurationError
from entrada.integrations.mage import adopt, checks, hooks, launcher, linking
from entrada.integrations.mage.setting_names import ON_MAGES_PAGE
from entrada.integrations.mage.store import MageStore
from entrada.settings import default_file, load_settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "mage",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    # Mage reads its own options: to this parser nothing looks like one.
    start = actions.add_parser(
        "start", help="start Mage; takes what `mage start` takes", add_help=False, prefix_chars="\0"
    )
    start.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="what `mage start` takes: PROJECT, --host, --port and the others",
    )
    start.set_defaults(func=run_start)

    check = actions.add_parser("check", help="say whether the hooks fit this Mage")
    check.add_argument("--json", action="store_true", help="for scripts")
    check.set_defaults(func=run_check)

    link = actions.add_parser("link", help="link an existing user of Mage to a person in Entra")
    link.add_argument("email", metavar="USER_EMAIL", help="the user's e-mail address in Mage")
    link.add_argument("--object-id", required=True, help="the person's object ID in Entra")
    _add_tenant_and_project(link)
    link.set_defaults(func=run_link)

    unlink = actions.add_parser("unlink", help="forget a link, with its roles and sessions")
    unlink.add_argument("--object-id", required=True, help="the person's object ID in Entra")
    _add_tenant_and_project(unlink)
    unlink.set_defaults(func=run_unlink)

    shown = actions.add_parser("links", help="who signs in as which user of Mage")
    shown.add_argument("--json", action="store_true", help="for scripts")
    _add_project(shown)
    shown.set_defaults(func=run_links)

    adoption = actions.add_parser(
        "adopt", help="link everyone who signed in with stock Mage before; shows first, changes with --apply"
    )
    adoption.add_argument(
        "--entra-users",
        required=True,
        type=Path,
        metavar="FILE",
        help='the CSV of "Download users" in the Entra admin center, or the JSON of Graph\'s /users',
    )
    adoption.add_argument("--apply", action="store_true", help="link those shown")
    adoption.add_argument("--json", action="store_true", help="for scripts")
    _add_tenant_and_project(adoption)
    adoption.set_defaults(func=run_adopt)


def _add_tenant_and_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant-id", help="the tenant's GUID (default: the one in the settings)")
    _add_project(parser)


def _add_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--project", type=Path, default=Path(), metavar="DIR", help="Mage's project (default: this directory)"
    )


def run_start(args: argparse.Namespace) -> int:
    settings, found = load_settings(os.environ, file=default_file(), usual=ON_MAGES_PAGE)
    return launcher.start(args.arguments, settings, found)


def run_check(args: argparse.Namespace) -> int:
    launcher.environment_of_check()
    with _quietly():
        report = checks.look()
    print(json.dumps(report.as_json(), indent=2) if args.json else report.as_text())
    return 0 if report.is_whole else 1


def run_link(args: argparse.Namespace) -> int:
    identity = _identity(args)
    with _store(args.project) as store, store.transaction() as connection:
        user = linking.link_user(connection, store.tables, args.email, identity, now=datetime.now(UTC))
    print(f"Linked {user} to {identity.object_id} of tenant {identity.tenant_id}.")
    return 0


def run_unlink(args: argparse.Namespace) -> int:
    identity = _identity(args)
    with _store(args.project) as store, store.transaction() as connection:
        user = linking.unlink(connection, store.tables, identity)
    print(f"{user or 'A user that Mage has deleted'} is linked to {identity.object_id} no longer.")
    return 0


def run_links(args: argparse.Namespace) -> int:
    with _store(args.project) as store, store.transaction() as connection:
        shown = linking.all_links(connection, store.tables)
    rows = [
        {
            "user": each.user,
            "tenant_id": each.link.identity.tenant_id,
            "object_id": each.link.identity.object_id,
            "username": each.link.username,
            "linked_by": each.link.linked_by,
            "last_sign_in": _moment(each.link.last_sign_in_at),
            "ended": _moment(each.link.ended_at),
            "ended_because": each.link.ended_because,
        }
        for each in shown
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        state = f"ended {row['ended']}: {row['ended_because']}" if row["ended"] else "signs in"
        print(
            f"{row['user'] or 'deleted in Mage'}  ← {row['username'] or 'nobody yet'} {row['object_id']}  "
            f"(by {row['linked_by']}; last sign-in {row['last_sign_in'] or 'never'}; {state})"
        )
    if not rows:
        print("Nobody is linked.")
    return 0


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _identity(args: argparse.Namespace) -> EntraIdentity:
    object_id = parse_guid(args.object_id)
    if object_id is None:
        raise ConfigurationError(
            f"{args.object_id!r} is no object ID.",
            hint="Entra admin center: Users, the person, Object ID. It is a GUID.",
        )
    return EntraIdentity(tenant_id=_tenant_id(args), object_id=ObjectId(object_id))


def run_adopt(args: argparse.Namespace) -> int:
    people, tenant_id = adopt.read_people(args.entra_users), _tenant_id(args)
    with _store(args.project) as store, store.transaction() as connection:
        proposals = adopt.plan(connection, store.tables, people, tenant_id)
        linked = 0
        if args.apply:
            linked = adopt.carry_out(connection, store.tables, proposals, now=datetime.now(UTC))
    if args.json:
        rows = [
            {
                "user": proposal.shown_as,
                "object_id": None if proposal.identity is None else proposal.identity.object_id,
                "why": proposal.why,
            }
            for proposal in proposals
        ]
        print(json.dumps({"applied": args.apply, "linked": linked, "users": rows}, indent=2))
        return 0
    for proposal in proposals:
        to = "stays as it is" if proposal.identity is None else f"→ {proposal.identity.object_id}"
        print(f"{proposal.shown_as}  {to}  ({proposal.why})")
    if args.apply:
        print(f"Linked {linked} of {len(proposals)} users. Their sessions of before have ended.")
    else:
        print("Nothing was changed. With --apply those with an arrow are linked.")
    return 0


def _tenant_id(args: argparse.Namespace) -> TenantId:
    text = args.tenant_id
    if text is None:
        settings, _ = load_settings(os.environ, file=default_file())
        text = settings.tenant_id
    guid = parse_guid(text)
    if guid is None:
        raise ConfigurationError(
            "The tenant's GUID is not known.",
            hint="Name it: --tenant-id GUID. It is the Directory (tenant) ID in the Entra admin center.",
        )
    return TenantId(guid)


@contextmanager
def _store(project: Path) -> Iterator[MageStore]:
    """The database of that project's Mage, which need not run."""
    hooks.require_project(project)
    with _quietly(), hooks.no_database_made():
        hooks.set_project(project)
        mage = hooks.find_mage(only=hooks.DATABASE)
    store = MageStore(engine=mage.engine, tables=mage.tables, clock=SystemClock())
    store.create_tables()
    yield store


@contextmanager
def _quietly() -> Iterator[None]:
    """Importing Mage prints, and brings many libraries that talk."""
    with errors_alone(""), redirect_stdout(sys.stderr):
        yield
