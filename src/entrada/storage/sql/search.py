"""Finding people by what they are called, for people: no index serves it, so one text a row is looked at."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, func, or_, select

from entrada.storage.sql.tables import AnyText, identities, users

LIKE_MEANS = re.compile(r"([%_\\])")
"""What means something in a pattern of LIKE."""


def _same(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.lower(column) == func.lower(bindparam("text", type_=AnyText()))


WITH_OBJECT_ID = select(identities.c.user_id).where(
    identities.c.object_id == func.lower(bindparam("text", type_=AnyText()))
)
WHOLE = or_(
    users.c.id == bindparam("text"),
    *(_same(column) for column in (users.c.name, users.c.username, users.c.email)),
    users.c.id.in_(WITH_OBJECT_ID),
)
NAMES = users.c.name + "\n" + func.coalesce(users.c.username, "") + "\n" + func.coalesce(users.c.email, "")
"""All that people call a user by, so that a search of everybody looks at one text a row."""
IDS_FOUND = (
    select(users.c.id)
    .where(
        or_(
            func.lower(NAMES).like(func.lower(bindparam("pattern", type_=AnyText())), escape="\\"),
            users.c.id == bindparam("text"),
            users.c.id.in_(WITH_OBJECT_ID),
        )
    )
    .order_by(case((WHOLE, 0), else_=1), users.c.id)
    .limit(bindparam("at_most"))
)


def search_names(text: str) -> dict[str, str]:
    """What `IDS_FOUND` is executed with, beside `at_most`."""
    return {"text": text, "pattern": "%" + LIKE_MEANS.sub(r"\\\1", text) + "%"}
