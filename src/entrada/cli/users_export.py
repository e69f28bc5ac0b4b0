"""`entrada users export`: all that is stored of a person, as JSON, for whoever asks what is known of them.

Account, identities, groups, roles and who gave them, sessions, when Entra is asked again, what the broker
lets other applications know, and what happened to them as the audit trail has it. No secret is in it: no
hash, nothing sealed, no token.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from sqlalchemy import bindparam, select

from entrada.accounts.identity import EntraIdentity, User
from entrada.cli.accounts import Opened, add_common, document_of, everybody, find_person, moment, opened
from entrada.cli.audit import happened_to
from entrada.cli.progress import counted
from entrada.cli.sessions import document_of_session
from entrada.sessions.store import sessions_of
from entrada.storage.sql.broker_tables import grants

GRANTS_OF = (
    select(grants.c.client_id, grants.c.scopes, grants.c.person, grants.c.begun_at, grants.c.expires_at)
    .where(grants.c.tenant_id == bindparam("tenant"), grants.c.object_id == bindparam("object"))
    .order_by(grants.c.begun_at)
)


def add_export(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("export", help="all that is stored of somebody, as JSON, without secrets")
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("person", metavar="PERSON", nargs="?", help="id, object ID, e-mail address or name")
    whom.add_argument("--all", action="store_true", help="of everybody: a list")
    add_common(parser)
    parser.set_defaults(func=_export)


def _export(args: argparse.Namespace) -> int:
    with opened(args) as here:
        if not args.all:
            print(json.dumps(_everything_of(here, find_person(here.stores, args.person)), indent=2))
            return 0
        before = "["
        for user in counted(everybody(here), "People"):
            print(before, json.dumps(_everything_of(here, user)), sep="\n")
            before = ","
    print("]" if before == "," else "[]")
    return 0


def _everything_of(here: Opened, user: User) -> dict[str, Any]:
    document = document_of(user)
    kept = {each.identity: each for each in here.stores.sealed_sign_ins.of_user(user.id)}
    for linked, told in zip(user.identities, document["identities"], strict=True):
        found = kept.get(linked.identity)
        told["asked_again_at"] = None if found is None else moment(found.next_check_at)
        told["ended_at"] = None if found is None else moment(found.ended_at)
        told["ended_because"] = None if found is None else found.ended_because
        told["at_the_broker"] = _at_the_broker(here, linked.identity)
    document["sessions"] = [
        document_of_session(each, user.profile.name) for each in sessions_of(here.stores.sessions, user.id)
    ]
    document["audit"] = [
        {name: value for name, value in entry.documented().items() if name != "hash"}
        for entry in happened_to(here, user)
    ]
    return document


def _at_the_broker(here: Opened, identity: EntraIdentity) -> list[dict[str, Any]]:
    if here.stores.database is None:
        return []
    with here.stores.database.reading() as connection:
        wanted = {"tenant": identity.tenant_id, "object": identity.object_id}
        rows = connection.execute(GRANTS_OF, wanted).all()
    return [
        {
            "installation": row.client_id,
            "scopes": row.scopes,
            "person": json.loads(row.person),
            "begun_at": moment(row.begun_at),
            "expires_at": moment(row.expires_at),
        }
        for row in rows
    ]
