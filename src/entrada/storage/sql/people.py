"""The list of accounts, page by page, at the same cost for the first page and the thousandth.

Pages are cut by (name, id), which an index holds in order; nothing is counted and nothing is skipped over.
A filter that few people pass is asked first, and the page is made of those; one that many pass is asked of
each person in order, until the page is full.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    exists,
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
CALLED = (
    select(users.c.id)
    .where(
        (literal_column("'\n'", Text) + NAMES + literal_column("'\n'", Text)).like(
            func.lower(bindparam("whole", type_=AnyText())), escape="\\"
        )
    )
    .order_by(NAME, users.c.id)
    .limit(bindparam("at_most"))
)

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

HAS_ROLE = role_grants.c.role == bindparam("role", type_=AnyText())
HAS_TENANT = identities.c.tenant_id == bindparam("tenant", type_=AnyText())
HAS_SESSION = and_(
    sessions.c.idle_expires_at > bindparam("at", type_=UtcTime()),
    sessions.c.absolute_expires_at > bindparam("at", type_=UtcTime()),
)
WITH_ROLE = select(role_grants.c.user_id).where(HAS_ROLE)
WITH_TENANT = select(identities.c.user_id).where(HAS_TENANT)
WITH_SESSION = select(sessions.c.user_id).where(HAS_SESSION)
OF_ENTRA = role_grants.c.source == GrantSource.ENTRA.value
GIVEN_FOR = and_(OF_ENTRA, role_grants.c.granted_by.in_(bindparam("reasons", expanding=True)))
WITH_REASON = select(role_grants.c.user_id).where(GIVEN_FOR).distinct()
LINES = select(role_grants.c.granted_by, role_grants.c.role).where(OF_ENTRA).distinct()
WITH_OBJECT_ID = select(identities.c.user_id).where(identities.c.object_id == bindparam("object"))
DISABLED = select(users.c.id).where(IS_DISABLED)

HAS_ENDED = exists().where(
    sealed_sign_ins.c.tenant_id == identities.c.tenant_id,
    sealed_sign_ins.c.object_id == identities.c.object_id,
    sealed_sign_ins.c.ended_at >= identities.c.last_sign_in_at,
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


def find_page(
    connection: Connection, query: PeopleQuery, *, limit: int, after: UserId | None
) -> Iterable[Row[Any]]:
    """The rows of one page of users, in order; whoever comes or goes meanwhile may be missed."""
    conditions, names = passing(connection, query, after)
    page = (
        select(users, NAME.label("in_order"))
        .where(*conditions)
        .order_by(NAME, users.c.id)
        .limit(bindparam("at_most"))
        .subquery("page")
    )
    statement = users_in(page).order_by(page.c.in_order, page.c.id)
    return connection.execute(statement, {**names, "at_most": limit})


def passing(
    connection: Connection, query: PeopleQuery, after: UserId | None
) -> tuple[Sequence[ColumnElement[bool]], Mapping[str, Any]]:
    """Who belongs to the pages behind `after`, and what a statement that says so is executed with."""
    names = {**names_of_query(query), "after": after}
    few, many = [], []
    for subset, of_each in filters_of(query):
        found = [] if subset is None else connection.execute(subset.limit(FEW + 1), names).scalars().all()
        if subset is not None and len(found) <= FEW:
            few.append(users.c.id.in_(set(found)))
        else:
            many.append(of_each)
    return [*few, *many, *([BEHIND] if after is not None else [])], names


def find_whole(connection: Connection, text: str, *, limit: int) -> Sequence[UserId]:
    """Ids of whom it is the whole id, object id, name, username or e-mail address."""
    # Each of at most five statements may find a user again.
    names = {"text": text, "object": parse_guid(text), "at_most": 5 * limit}
    found = connection.execute(WHOLE, names).scalars()
    return [UserId(each) for each in dict.fromkeys(found)][:limit]


def find_called(connection: Connection, text: str, *, limit: int) -> Sequence[UserId]:
    """Ids of who is called so; where there are more, those of whom it is the whole of a name come first."""
    conditions, names = passing(connection, PeopleQuery(text=text), None)
    statement = select(users.c.id).where(*conditions).order_by(NAME, users.c.id).limit(bindparam("at_most"))
    found = connection.execute(statement, {**names, "at_most": limit}).scalars()
    part = [UserId(each) for each in found]
    if len(part) < limit:
        return part  # all there are
    names = {"whole": f"%\n{escaped(text)}\n%", "at_most": limit}
    whole = [UserId(each) for each in connection.execute(CALLED, names).scalars()]
    return [*whole, *(each for each in part if each not in whole)][:limit]


def has_administrator(
    connection: Connection, tenant_id: TenantId, roles: Collection[str], *, beside: UserId
) -> bool:
    """Whether somebody beside this user administers that tenant for good, and Entra answers for them."""
    names = {"tenant": tenant_id, "roles": sorted(roles), "beside": beside}
    return connection.execute(ANOTHER_ADMINISTRATOR, names).first() is not None


def filters_of(query: PeopleQuery) -> Iterator[tuple[Select[Any] | None, ColumnElement[bool]]]:
    """Each filter twice: whoever passes it, where that can be asked alone, and whether a user does."""
    if query.text:
        yield text_filter(query.text)
    if query.role is not None:
        yield WITH_ROLE, exists().where(role_grants.c.user_id == users.c.id, HAS_ROLE)
    if query.signed_in_at is not None:
        yield WITH_SESSION, exists().where(sessions.c.user_id == users.c.id, HAS_SESSION)
    if query.is_enabled is not None:
        if query.is_enabled:
            yield None, users.c.disabled_at.is_(None)
        else:
            yield DISABLED, IS_DISABLED
    if query.given_for:
        yield WITH_REASON, exists().where(role_grants.c.user_id == users.c.id, GIVEN_FOR)
    elif query.given_for is not None:
        yield None, ~exists().where(role_grants.c.user_id == users.c.id, OF_ENTRA)
    if query.tenant_id is not None:
        yield WITH_TENANT, exists().where(identities.c.user_id == users.c.id, HAS_TENANT)


def text_filter(text: str) -> tuple[Select[Any] | None, ColumnElement[bool]]:
    """A whole id finds by id alone, anything else by names alone: so either has its index."""
    if USER_ID.fullmatch(text.lower()):
        return None, users.c.id == bindparam("text", type_=AnyText())
    if parse_guid(text) is not None:
        return WITH_OBJECT_ID, users.c.id.in_(WITH_OBJECT_ID)
    return None, NAMES.like(func.lower(bindparam("pattern", type_=AnyText())), escape="\\")


def escaped(text: str) -> str:
    """The text in a pattern of LIKE, where it stands for itself."""
    return LIKE_MEANS.sub(r"\\\1", text)


def names_of_query(query: PeopleQuery) -> Mapping[str, Any]:
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
