"""`entrada db`: the database of the servers here: whether it is sound, a copy of it, and the copy put back.

    entrada db check             reachable, its version, sound, writable, and the keys open what is sealed
    entrada db backup FILE       a whole copy of an SQLite database, while servers run
    entrada db restore FILE      puts such a copy in its place, while no server runs; every session ends
    entrada db upgrade           brings its tables up to date, as the start of a server does

A backup holds personal data, and roles, and is made for its owner alone; the key file is not in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrada.cli.accounts import Located, add_common, by_command, located, no_database_at, show
from entrada.cli.db_check import findings
from entrada.clock import SystemClock
from entrada.errors import ConfigurationError
from entrada.storage.sql import Database, connect
from entrada.storage.sql.engine import sqlite_file
from entrada.storage.sql.migrations import HEAD, version_of
from entrada.storage.sql.sqlite_copy import copy_to_new_file
from entrada.storage.sql.sqlite_restore import checked_copy, restore


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, summary: str) -> None:
    parser = subparsers.add_parser(
        "db",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="whether it is sound and this version fits it; changes nothing")
    add_common(check)
    check.set_defaults(func=_check)
    backup = actions.add_parser("backup", help="copy an SQLite database into a new file")
    backup.add_argument(
        "file", metavar="FILE", type=Path, help="the new file; one that is there is left alone"
    )
    add_common(backup)
    backup.set_defaults(func=_backup)
    restoring = actions.add_parser("restore", help="put a backup in the place of an SQLite database")
    restoring.add_argument("file", metavar="FILE", type=Path, help="what `entrada db backup` made")
    restoring.add_argument(
        "--yes", action="store_true", help="without it, FILE is checked and nothing changed"
    )
    add_common(restoring)
    restoring.set_defaults(func=_restore)
    upgrade = actions.add_parser("upgrade", help="bring its tables up to date")
    add_common(upgrade)
    upgrade.set_defaults(func=_upgrade)


def _check(args: argparse.Namespace) -> int:
    with located(args) as here, _connected(here) as database:
        found = [
            (each, here.names.put_into(each.detail), here.names.put_into(each.hint or ""))
            for each in findings(database, here.settings)
        ]
    wrong = [(detail, hint) for each, detail, hint in found if not each.ok]
    document = {
        "ok": not wrong,
        "database": database.name,
        "checks": [
            {"check": each.check, "ok": each.ok, "detail": detail, "hint": hint or None}
            for each, detail, hint in found
        ],
    }
    lines = [f"{'ok   ' if each.ok else 'WRONG'}  {each.check}: {detail}" for each, detail, _ in found]
    show(args, document, lines)
    if wrong:
        raise ConfigurationError(
            f"The database is not as it should be: {wrong[0][0].rstrip('.')}.", hint=wrong[0][1]
        )
    return 0


def _backup(args: argparse.Namespace) -> int:
    file: Path = args.file
    with located(args) as here:
        database = _sqlite_file(here)
        if database is None:
            raise ConfigurationError(
                "Only an SQLite database is backed up by this command. Nothing was written.",
                hint="Back up PostgreSQL with its own tool: pg_dump --format=custom --file=FILE, with the "
                "address that $[database_url] names.",
            )
        try:
            copy_to_new_file(database, file)
        except FileExistsError:
            raise ConfigurationError(
                f"{file} is there already, and is left as it is.", hint="Name a file that is not there yet."
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{file} cannot be written ({error.strerror}). There is no backup.",
                hint="Name a file in a folder that this account may write, on a disk with room for it.",
            ) from None
        beside = database.with_suffix(".keys")
        keys = str(beside) if here.settings.secret_keys is None and beside.exists() else None
    size = file.stat().st_size
    lines = [f"{file} holds the database as it is now ({size} bytes), and was found sound."]
    if keys is not None:
        lines.append(f"Keep {keys} as well, in another place: it opens what is sealed in the backup.")
    show(args, {"file": str(file), "bytes": size, "key_file": keys}, lines)
    return 0


def _restore(args: argparse.Namespace) -> int:
    file: Path = args.file
    with located(args, may_be_missing=True) as here:
        database = sqlite_file(here.url)
        if database is None:
            raise ConfigurationError(
                "Only an SQLite database is restored by this command. Nothing was changed.",
                hint="Restore PostgreSQL with its own tool, pg_restore, and then run `entrada sessions end "
                "--all` before a server starts: nobody who had signed out is back then.",
            )
        was_there = database.exists()
        kept = database.with_name(f"{database.stem}-before-restore-{SystemClock().now():%Y%m%dT%H%M%S}Z.db")
        try:
            with checked_copy(file, beside=database) as draft:
                if not args.yes:
                    raise ConfigurationError(
                        f"{file} is sound, and would take the place of {database}. Nothing was changed.",
                        hint="Stop every server, and say --yes. Everybody signs in again after it.",
                    )
                cause = by_command(SystemClock().now())
                ended = restore(draft, database, kept=kept, cause=cause)
        except OSError as error:
            raise ConfigurationError(
                f"{file} cannot be restored ({error.strerror}). The database is as it was.",
                hint="See that FILE can be read, and that beside the database there is room for two copies.",
            ) from None
    document = {"database": str(database), "kept": str(kept) if was_there else None, "sessions_ended": ended}
    lines = [f"{database} is what {file} holds. Every session is ended ({ended} of the backup)."]
    if was_there:
        lines.append(f"What was there before is kept: {kept}")
    lines.append(
        "Roles given by hand, and who is disabled, are as the backup has them: `entrada users list`."
    )
    show(args, document, lines)
    return 0


def _upgrade(args: argparse.Namespace) -> int:
    with located(args) as here, _connected(here) as database:
        with database.reading() as connection:
            before = version_of(connection)
        database.migrate()
    said = f"is at version {HEAD} already" if before == HEAD else f"went from {before or 'none'} to {HEAD}"
    show(args, {"from": before, "to": HEAD, "changed": before != HEAD}, [f"The database {said}."])
    return 0


@contextmanager
def _connected(here: Located) -> Iterator[Database]:
    """The database as it is: no table of it is made or changed."""
    _sqlite_file(here)
    database = connect(here.url)
    try:
        yield database
    finally:
        database.close()


def _sqlite_file(here: Located) -> Path | None:
    """None: it is another database. However its URL is spelt, one that is not there is not made."""
    file = sqlite_file(here.url)
    if file is not None and not file.exists():
        raise no_database_at(file)
    return file
