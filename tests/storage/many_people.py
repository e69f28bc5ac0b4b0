"""A hundred thousand people in a database within a second or two: the database itself makes the rows.

Everybody is of one tenant and has the role `Reader`; every thousandth is disabled, every hundredth has a
session, every 50,000th administers. Names are spread over the alphabet.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from entrada.storage.sql import Database
from entrada.storage.sql.tables import EPOCH

TENANT = "11111111-1111-4111-8111-111111111111"

_NUMBERS = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {most})",
    "postgresql": "WITH s(n) AS (SELECT generate_series(1, {most}))",
}
_HEX = {"sqlite": "printf('%032x', n)", "postgresql": "lpad(to_hex(n), 32, '0')"}
_LETTER = {"sqlite": "char(65 + (n * 7) % 26)", "postgresql": "chr(65 + (n * 7) % 26)"}
_OBJECT = {
    "sqlite": "printf('00000000-0000-4000-8000-%012x', n)",
    "postgresql": "'00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0')",
}
_BLOB = {"sqlite": "zeroblob(32)", "postgresql": "decode(repeat('00', 32), 'hex')"}
_FALSE = {"sqlite": "0", "postgresql": "false"}


def add_many(database: Database, most: int, *, now: datetime, tenant_id: str = TENANT) -> None:
    """That many people. The database may hold others already, if their ids are not small numbers."""
    with database.reading() as connection:
        engine = connection.dialect.name
    numbers, hexed, false = _NUMBERS[engine].format(most=most), _HEX[engine], _FALSE[engine]
    at, later = _written(now), _written(now + timedelta(days=3650))
    granted = "INSERT INTO entrada_role_grant (user_id, role, source, granted_by, granted_at)"
    for insert, select in (
        (
            "INSERT INTO entrada_user (id, name, email, username, is_guest, email_is_verified, created_at, "
            "disabled_at)",
            f"{hexed}, {_LETTER[engine]} || 'erson ' || n, 'p' || n || '@contoso.test', "
            f"'p' || n || '@contoso.test', {false}, {false}, {at}, "
            f"CASE WHEN n % 1000 = 0 THEN {at} END FROM s",
        ),
        (
            "INSERT INTO entrada_identity (tenant_id, object_id, user_id, linked_at, last_sign_in_at)",
            f"'{tenant_id}', {_OBJECT[engine]}, {hexed}, {at}, {at} FROM s",
        ),
        (granted, f"{hexed}, 'Reader', 'entra', 'app role Readers', {at} FROM s"),
        (granted, f"{hexed}, 'Admin', 'manual', 'command line', {at} FROM s WHERE n % 50000 = 0"),
        (
            "INSERT INTO entrada_session (id, secret_hash, user_id, tenant_id, object_id, created_at, "
            "last_seen_at, idle_expires_at, absolute_expires_at)",
            f"'s' || n, {_BLOB[engine]}, {hexed}, '{tenant_id}', {_OBJECT[engine]}, {at}, {at}, "
            f"{later}, {later} FROM s WHERE n % 100 = 0",
        ),
    ):
        parts = (numbers, insert, f"SELECT {select}")
        if engine == "sqlite":
            parts = (insert, numbers, f"SELECT {select}")
        with database.writing() as connection:
            connection.exec_driver_sql(" ".join(parts).replace("%", "%%" if engine == "postgresql" else "%"))
    if engine == "postgresql":  # which does so by itself; SQLite never does
        with database.reading() as connection:
            connection.exec_driver_sql("ANALYZE")


def _written(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
