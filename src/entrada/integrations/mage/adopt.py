"""Moves people over who signed in to Mage with its stock Microsoft sign-in.

Stock Mage kept nothing of a person but their user principal name, in the e-mail column. That name alone is
not enough: names are changed and given to others. So an administrator brings Entra's own list of people,
which says whose name it is now (the object id) and since when. A person younger than the Mage user of their
name is somebody else, and not linked; nor is one of whom nobody can say who is younger.

Nothing is linked that was not shown: a plan is made, looked at, and then carried out.

Source: Microsoft, "Download a list of users"; Microsoft Graph, resource type `user`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from entrada.accounts.identity import EntraIdentity, UserId
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId, parse_guid
from entrada.errors import ConfigurationError, why_unreadable
from entrada.integrations.kit import links
from entrada.integrations.mage import sessions
from entrada.integrations.mage.tables import MageTables, key_of, shown_as

CLOCKS_DIFFER = timedelta(days=1)
"""Mage's server and Entra need not agree to the hour."""


@dataclass(frozen=True, kw_only=True)
class EntraPerson:
    """One line of Entra's list. `created_at` None: the list does not say."""

    object_id: ObjectId
    names: Sequence[str]
    created_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What becomes of one Mage user, and why. `identity` None: nothing."""

    user_id: UserId
    number: int
    shown_as: str
    identity: EntraIdentity | None
    why: str


def read_people(file: Path) -> Sequence[EntraPerson]:
    """Entra's list of people: the CSV of "Download users", or the JSON that Graph answers for `/users`.

    Raises:
        ConfigurationError: the file cannot be read, or is not such a list.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = _json_rows(text) if file.suffix.lower() == ".json" else list(csv.DictReader(text.splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise _unreadable(file, why_unreadable(error)) from None
    people = [person for person in map(_person, rows) if person is not None]
    if not people:
        raise _unreadable(file, "no line has an object id and a user principal name")
    return people


def plan(
    connection: Connection, tables: MageTables, people: Sequence[EntraPerson], tenant_id: TenantId
) -> Sequence[Proposal]:
    """One proposal for every Mage user nobody is linked to, in the order of their numbers."""
    by_name: dict[str, list[EntraPerson]] = {}
    for person in people:
        for name in {name.lower() for name in person.names}:
            by_name.setdefault(name, []).append(person)
    users = connection.execute(select(tables.users).order_by(tables.users.c.id)).all()
    unlinked = [row for row in users if not links.links_of(connection, key_of(row))]
    twice = _names_held_twice(users)
    taken = {link.identity for link in links.all_links(connection)}
    return [_proposal(row, by_name, twice, taken, tenant_id) for row in unlinked]


def carry_out(
    connection: Connection, tables: MageTables, proposals: Sequence[Proposal], *, now: datetime
) -> int:
    """Link everyone who was proposed; how many that were.

    Their sessions of before end: those were opened by whoever held a token of that name.
    """
    count = 0
    for proposal in proposals:
        if proposal.identity is not None:
            links.put_link(
                connection, proposal.identity, user_id=proposal.user_id, linked_by="adopt", now=now
            )
            sessions.end_of_user(connection, tables, proposal.number)
            count += 1
    return count


def _proposal(
    row: Row[Any],
    by_name: Mapping[str, Sequence[EntraPerson]],
    twice: frozenset[str],
    taken: set[EntraIdentity],
    tenant_id: TenantId,
) -> Proposal:
    name = (row.email or "").lower()
    found = by_name.get(name, [])
    identity, why = None, ""
    if not name:
        why = "has no e-mail address in Mage"
    elif name in twice:
        why = "several Mage users have this address; choose one with `entrada mage link`"
    elif not found:
        why = "nobody in Entra has this name"
    elif len(found) > 1:
        why = "several people in Entra have this name or address; choose with `entrada mage link`"
    elif EntraIdentity(tenant_id=tenant_id, object_id=found[0].object_id) in taken:
        why = "this person signs in as another Mage user already"
    elif found[0].created_at is None:
        why = "the list gives no date of creation to read (Graph's does): whose name it was is not known"
    elif row.created_at is None:
        why = "Mage does not say since when it has this user, so whose name it was is not known"
    elif _is_younger(found[0].created_at, row.created_at):
        why = "this person was made in Entra after the Mage user: somebody else had the name before"
    else:
        identity = EntraIdentity(tenant_id=tenant_id, object_id=found[0].object_id)
        why = "same name in Entra, and not younger than the Mage user"
        if row.password_hash:
            why += "; has a password, which keeps working"
    return Proposal(user_id=key_of(row), number=row.id, shown_as=shown_as(row), identity=identity, why=why)


def _is_younger(person: datetime, user: datetime) -> bool:
    made = user if user.tzinfo else user.replace(tzinfo=UTC)
    return person > made + CLOCKS_DIFFER


def _names_held_twice(rows: Sequence[Row[Any]]) -> frozenset[str]:
    names = [(row.email or "").lower() for row in rows]
    return frozenset(name for name in names if names.count(name) > 1)


def _json_rows(text: str) -> Sequence[Mapping[str, Any]]:
    document = json.loads(text)
    rows = document.get("value", []) if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("not a list of objects")
    return rows


def _person(row: Mapping[str, Any]) -> EntraPerson | None:
    plain = {str(key).strip().lower(): value for key, value in row.items() if key is not None}
    object_id = parse_guid(plain.get("id")) or parse_guid(plain.get("objectid"))
    name = plain.get("userprincipalname")
    if object_id is None or not isinstance(name, str) or not name.strip():
        return None
    return EntraPerson(
        object_id=ObjectId(object_id), names=[name.strip()], created_at=_moment(plain.get("createddatetime"))
    )


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unreadable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{str(file)!r} cannot be used as a list of Entra's people: {why}.",
        hint="Entra admin center: Users, All users, Download users. Or: az rest --url "
        "'https://graph.microsoft.com/v1.0/users?$select=id,userPrincipalName,createdDateTime' > users.json",
    )
