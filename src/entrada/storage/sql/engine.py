"""From a database URL to a database.

    sqlite:///entrada.db                    a file in the working directory
    sqlite:////var/lib/entrada/entrada.db   a file anywhere
    postgresql://user:password@host/name    PostgreSQL; libpq's options behind a question mark
    postgresql://user@one:5432,two:5432/name    several hosts: the first that may be written

A message about the URL names the setting and never repeats the URL, which may hold a password.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from entrada.errors import ConfigurationError
from entrada.storage.sql.database import WAIT, Database
from entrada.storage.sql.sqlite import SqliteDatabase

EXAMPLES = "Write sqlite:///entrada.db or postgresql://user:password@host/name."

_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
OPTIONS = "The options are those of libpq, such as sslmode, sslrootcert and channel_binding."


def connect(database_url: str, *, wait: timedelta = WAIT) -> Database:
    """The database that the URL names; makes the file of an SQLite database that is not there yet.

    `wait` bounds how long anything waits for others before it raises StoreUnavailable.

    Raises:
        ConfigurationError: the URL names no database that Entrada knows, or its driver is not installed.
        StoreUnavailable: the SQLite file cannot be made.
    """
    url = parsed(database_url)
    match url.drivername.partition("+")[0]:
        case "sqlite":
            return SqliteDatabase(sqlite_path(url), wait=wait)
        case "postgresql" | "postgres":
            return postgresql_database(url.set(drivername="postgresql+psycopg"), wait=wait)
        case _:
            raise refused("names a kind of database that Entrada does not know", EXAMPLES)


def sqlite_file(database_url: str) -> Path | None:
    """The file of an SQLite database, whether or not it is there; None: the database is another.

    Raises:
        ConfigurationError: it is no database URL, or one that an SQLite database does not have.
    """
    url = parsed(database_url)
    return sqlite_path(url) if url.get_backend_name() == "sqlite" else None


def parsed(database_url: str) -> URL:
    """Raises:
    ConfigurationError: it is no database URL.
    """
    try:
        return with_several_hosts(database_url) or make_url(database_url)
    except (ArgumentError, ValueError):
        raise refused("is not a database URL", EXAMPLES) from None


def with_several_hosts(database_url: str) -> URL | None:
    """The URL as SQLAlchemy takes it, where it names several hosts as libpq does; None: it does not.

    Raises:
        ArgumentError, ValueError: it is no URL.
    """
    scheme, _, behind = database_url.partition("://")
    authority, slash, rest = behind.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "," not in hosts or not scheme.startswith("postgres"):
        return None
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ValueError("not a host and port")
    url = make_url(f"{scheme}://{user}{at}{slash}{rest}")
    return url.update_query_pairs([("host", host) for host in hosts.split(",")], append=True)


def sqlite_path(url: URL) -> Path:
    """The file that an SQLite URL names.

    Raises:
        ConfigurationError: it names none, or has options or a host.
    """
    if not url.database or url.database == ":memory:":
        raise refused("names an SQLite database in memory, which every connection has for itself", EXAMPLES)
    if url.query or url.host:
        raise refused("has options or a host, which an SQLite database does not take", EXAMPLES)
    return Path(url.database)


def postgresql_database(url: URL, *, wait: timedelta) -> Database:
    """The database at a PostgreSQL URL.

    Raises:
        ConfigurationError: its driver is not installed.
    """
    try:
        from entrada.storage.sql.postgresql import PostgresqlDatabase, unknown_option
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("entrada"):
            raise
        raise refused(
            "names PostgreSQL, whose driver is not installed",
            'Install it with: pip install "./entrada[postgres]"',
        ) from None
    unknown = unknown_option(url)
    if unknown is not None:
        raise refused(f"has an option {unknown!r}, which PostgreSQL does not have", OPTIONS)
    return PostgresqlDatabase(url, wait=wait)


def refused(what: str, hint: str) -> ConfigurationError:
    """The refusal of the setting `database_url`; the sentence begins with its name."""
    return ConfigurationError(f"$[database_url] {what}.", hint=hint, setting="database_url")
