"""The list of accounts, page by page, at the same cost for the first page and the thousandth.

Pages are cut by (name, id), which an index holds in order; nothing is counted and nothing is skipped over.
A filter that few people pass is asked first, and the page is made of those; one that many pass is asked of
each person in order, until the page is full.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from entrada.accounts.identity import GrantSource, UserId
from entrada.accounts.people import PeopleQuery
from entrada.entra.authority import TenantId, parse_guid
from entrada.storage.sql.account_rows import users_in
from entrada.storage.sql.tables import (
    IS_DISABLED,
    AnyText,
    UtcTime,
    identities,
    role_grants,
    sealed_sign_ins,
    sessions,
    users,
)

FEW = 1_000
"""Up to so many, who passes a filter is looked up by id."""

USER_ID = re.compile(r"[0-9a-f]{32}")
LIKE_MEANS = re.compile(r"([%_\\])")
"""What means something in a pattern of LIKE."""

NAME = func.lower(users.c.name)
NAMES: ColumnElement[str] = literal_column(
    "lower(entrada_user.name || '\n' || coalesce(entrada_user.username, '')"
    " || '\n' || coalesce(entrada_user.email, ''))",
    Text,
)
"""All that people call a user by. SQLite has an index of exactly this, and a search reads nothing else."""

TEXT = bindparam("text", type_=AnyText())
WHOLE = union_all(
    select(users.c.id).where(users.c.id == TEXT),
    *(
        select(users.c.id).where(func.lower(column) == func.lower(TEXT))
        for column in (users.c.name, users.c.username, users.c.email)
    ),
    select(identities.c.user_id).where(identities.c.object_id == bindparam("object")),
).limit(bindparam("at_most"))
"""Each has its index."""

HAS_TENANT = identities.c.tenant_id == bindparam("tenant", type_=AnyText())
OF_ENTRA = role_grants.c.source == GrantSource.ENTRA.value
GIVEN: BindParameter[Sequence[str]] = bindparam("reasons", expanding=True)
FIRST_LINE_BEHIND = (
    select(role_grants.c.granted_by, role_grants.c.role)
    .where(OF_ENTRA, role_grants.c.granted_by > bindparam("reason"))
    .order_by(role_grants.c.granted_by, role_grants.c.role)
    .limit(1)
)
NEXT_LINE = (
    select(role_grants.c.granted_by, role_grants.c.role)
    .where(OF_ENTRA, role_grants.c.granted_by == bindparam("reason"), role_grants.c.role > bindparam("role"))
    .order_by(role_grants.c.role)
    .limit(1)
)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Twice the same: whoever passes, where that can be asked alone, and whether a user does."""

    alone: Select[Any] | None = None
    of_each: ColumnElement[bool]


def by_rows_of(table: Table, *conditions: ColumnElement[bool]) -> Filter:
    """Who has a row there for which these hold."""
    return Filter(
        alone=select(table.c.user_id).where(*conditions).limit(FEW + 1),
        of_each=exists().where(table.c.user_id == users.c.id, *conditions),
    )


BY_ID = Filter(of_each=users.c.id == TEXT)
"""A whole id finds by id alone, anything else by names alone: so either has its index."""
BY_OBJECT_ID = by_rows_of(identities, identities.c.object_id == bindparam("object"))
IS_CALLED = NAMES.like(func.lower(bindparam("pattern", type_=AnyText())), escape="\\")
BY_NAMES = Filter(
    # Everybody's name is at or behind the empty one: said so that SQLite goes along the index of all names.
    alone=select(users.c.id).where(literal_column("''", Text) <= NAME, IS_CALLED).limit(FEW + 1),
    # Where many pass. PostgreSQL guesses that of a pattern few do, and would sort them all; of this, half.
    of_each=func.coalesce(IS_CALLED, false()),
)
WITH_ROLE = by_rows_of(role_grants, role_grants.c.role == bindparam("role", type_=AnyText()))
WITH_TENANT = by_rows_of(identities, HAS_TENANT)
WITH_SESSION = by_rows_of(
    sessions,
    sessions.c.idle_expires_at > bindparam("at", type_=UtcTime()),
    sessions.c.absolute_expires_at > bindparam("at", type_=UtcTime()),
)
REASONS_OF_EACH = (
    select(role_grants.c.granted_by)
    .where(role_grants.c.user_id == users.c.id, OF_ENTRA)
    .correlate(users)
    .offset(0)
    .subquery()
)
"""OFFSET, because the few of a user are to be read, and not everybody's by the index of reasons."""
GIVEN_FOR = Filter(
    alone=select(role_grants.c.user_id)
    .where(OF_ENTRA, role_grants.c.granted_by.in_(GIVEN))
    .distinct()
    .limit(FEW + 1),
    of_each=exists().where(REASONS_OF_EACH.c.granted_by.in_(GIVEN)),
)
GIVEN_NOTHING = Filter(of_each=~exists().where(role_grants.c.user_id == users.c.id, OF_ENTRA))
ENABLED = Filter(of_each=users.c.disabled_at.is_(None))
DISABLED = Filter(alone=select(users.c.id).where(IS_DISABLED).limit(FEW + 1), of_each=IS_DISABLED)

HAS_ENDED = exists().where(
    sealed_sign_ins.c.tenant_id == identities.c.tenant_id,
    sealed_sign_ins.c.object_id == identities.c.object_id,
    sealed_sign_ins.c.ended_because.is_not(None),
)
"""Of an identity: since its last sign-in Entra has stopped answering for it."""
ANOTHER_ADMINISTRATOR = (
    select(role_grants.c.user_id)
    .join(users, users.c.id == role_grants.c.user_id)
    .where(
        role_grants.c.role.in_(bindparam("roles", expanding=True)),
        role_grants.c.source.in_([source.value for source in GrantSource]),
        role_grants.c.user_id != bindparam("beside"),
        users.c.disabled_at.is_(None),
        exists().where(identities.c.user_id == role_grants.c.user_id, HAS_TENANT, ~HAS_ENDED),
        ~exists().where(identities.c.user_id == role_grants.c.user_id, ~HAS_TENANT),
    )
    .limit(1)
)

LAST = select(NAME).where(users.c.id == bindparam("after")).scalar_subquery()
BEHIND = and_(NAME >= LAST, or_(NAME > LAST, users.c.id > bindparam("after")))
FOUND = [users.c.id.in_(bindparam(f"found{number}", expanding=True)) for number in range(6)]
"""One for each filter that may be asked alone."""


def find_page(
    connection: Connection, query: PeopleQuery, *, limit: int, after: UserId | None
) -> Iterable[Row[Any]]:
    """The rows of one page of users, in order; whoever comes or goes meanwhile may be missed."""
    conditions, names = passing(connection, query, after)
    return connection.execute(page_where(*conditions), {**names, "at_most": limit})


@cache
def ids_where(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Ids of users of whom all that holds, in order."""
    return select(users.c.id).where(*conditions).order_by(NAME, users.c.id).limit(bindparam("at_most"))


@cache
def page_where(*conditions: ColumnElement[bool]) -> Select[Any]:
    """The same users themselves, with all that is theirs."""
    page = ids_where(*conditions).with_only_columns(*users.c, NAME.label("in_order")).subquery("page")
    return users_in(page).order_by(page.c.in_order, page.c.id)


def passing(
    connection: Connection, query: PeopleQuery, after: UserId | None
) -> tuple[Sequence[ColumnElement[bool]], Mapping[str, Any]]:
    """Who belongs to the pages behind `after`, and what a statement that says so is executed with."""
    names = {**names_of_query(query), "after": after}
    few: list[ColumnElement[bool]] = []
    many: list[ColumnElement[bool]] = []
    for each in filters_of(query):
        found = [] if each.alone is None else connection.execute(each.alone, names).scalars().all()
        if each.alone is not None and len(found) <= FEW:
            names[f"found{len(few)}"] = list(set(found))
            few.append(FOUND[len(few)])
        else:
            many.append(each.of_each)
    return [*few, *many, *([BEHIND] if after is not None else [])], names


def find_lines(connection: Connection) -> Iterator[tuple[str, str]]:
    """What gave somebody a role, and which: they are few, so each is looked for behind the one before it."""
    row = connection.execute(FIRST_LINE_BEHIND, {"reason": ""}).first()
    while row is not None:
        yield row.granted_by, row.role
        here = {"reason": row.granted_by, "role": row.role}
        row = (
            connection.execute(NEXT_LINE, here).first() or connection.execute(FIRST_LINE_BEHIND, here).first()
        )


def find_whole(connection: Connection, text: str, *, limit: int) -> Sequence[UserId]:
    """Ids of whom it is the whole id, object id, name, username or e-mail address."""
    # Each of at most five statements may find a user again.
    names = {"text": text, "object": parse_guid(text), "at_most": 5 * limit}
    found = connection.execute(WHOLE, names).scalars()
    return [UserId(each) for each in dict.fromkeys(found)][:limit]


def find_called(connection: Connection, text: str, *, limit: int) -> Sequence[UserId]:
    """Ids of who is called so; where there are more, those of whom it is the whole of a name come first."""
    conditions, names = passing(connection, PeopleQuery(text=text), None)
    found = connection.execute(ids_where(*conditions), {**names, "at_most": limit}).scalars()
    part = [UserId(each) for each in found]
    if len(part) < limit:
        return part  # all there are
    whole = find_whole(connection, text, limit=limit)
    return [*whole, *(each for each in part if each not in whole)][:limit]


def has_administrator(
    connection: Connection, tenant_id: TenantId, roles: Collection[str], *, beside: UserId
) -> bool:
    """Whether somebody beside this user administers that tenant for good, and Entra answers for them."""
    names = {"tenant": tenant_id, "roles": sorted(roles), "beside": beside}
    return connection.execute(ANOTHER_ADMINISTRATOR, names).first() is not None


def filters_of(query: PeopleQuery) -> Iterator[Filter]:
    """Those that the query asks for."""
    if USER_ID.fullmatch(query.text.lower()):
        yield BY_ID
    elif query.text:
        yield BY_NAMES if parse_guid(query.text) is None else BY_OBJECT_ID
    if query.role is not None:
        yield WITH_ROLE
    if query.signed_in_at is not None:
        yield WITH_SESSION
    if query.is_enabled is not None:
        yield ENABLED if query.is_enabled else DISABLED
    if query.given_for is not None:
        yield GIVEN_FOR if query.given_for else GIVEN_NOTHING
    if query.tenant_id is not None:
        yield WITH_TENANT


def escaped(text: str) -> str:
    """The text in a pattern of LIKE, where it stands for itself."""
    return LIKE_MEANS.sub(r"\\\1", text)


def names_of_query(query: PeopleQuery) -> dict[str, Any]:
    """What the statements are executed with."""
    return {
        "text": query.text.lower(),
        "object": parse_guid(query.text),
        "pattern": f"%{escaped(query.text)}%",
        "role": query.role,
        "tenant": query.tenant_id,
        "at": query.signed_in_at,
        "reasons": sorted(query.given_for or ()),
    }
