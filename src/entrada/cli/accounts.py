"""What the commands about people share: the servers' own database, and whom somebody means.

No database is made here, and nothing is changed before it is clear who is meant.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from entrada.accounts.administration import AdministrationRules
from entrada.accounts.identity import RoleGrant, User, UserId
from entrada.audit.acts import Actor, ActorKind, Cause
from entrada.build import Stores, open_stores
from entrada.clock import SystemClock
from entrada.compatibility import UTC
from entrada.entra.authority import parse_guid
from entrada.errors import ConfigurationError
from entrada.settings import Names, Settings, default_file, load_settings

SHOWN_OF_MANY = 10
PAGE = 500
MOST = 2**62


@dataclass(frozen=True, kw_only=True)
class Located:
    """Settings, and the database that they name, as `entrada serve` has them; it is not opened yet."""

    settings: Settings
    file: Path | None
    names: Names
    """What whoever set them calls the settings."""

    @property
    def url(self) -> str:
        """Of the database."""
        return self.settings.database_url


@dataclass(frozen=True, kw_only=True)
class Opened(Located):
    """With the stores, brought up to date."""

    stores: Stores
    now: datetime

    @property
    def rules(self) -> AdministrationRules:
        """What whoever runs the server may not do either."""
        return AdministrationRules(roles=frozenset(self.settings.admin_roles))

    @property
    def cause(self) -> Cause:
        """Of whatever this command changes."""
        return by_command(self.now)


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings file (default entrada.toml)")


def add_person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "person", metavar="PERSON", help="id, object ID, e-mail address or name; part of it where that is one"
    )


def whole_number(text: str) -> int:
    """For argparse: a number; one that no database counts to is the greatest that it does."""
    return max(-MOST, min(int(text), MOST))


@contextmanager
def located(args: argparse.Namespace, *, may_be_missing: bool = False) -> Iterator[Located]:
    """Where the database of the servers here is; errors inside name settings as whoever set them does.

    Raises:
        ConfigurationError: there is none (unless it may be missing), or it lies in a server's memory.
    """
    file = args.settings or default_file()
    settings, found = load_settings(os.environ, file=file)
    with found.names.in_errors():
        url = settings.database_url
        if url in ("memory:", "sqlite://", "sqlite:///:memory:"):
            raise ConfigurationError(
                "People are in the server's memory, where no command reaches them.",
                hint="Set $[database_url] to a database, such as sqlite:///entrada.db.",
                setting="database_url",
            )
        database = Path(url.removeprefix("sqlite:///").partition("?")[0])
        if url.startswith("sqlite:///") and not database.exists() and not may_be_missing:
            raise no_database_at(database)
        yield Located(settings=settings, file=file, names=found.names)


def no_database_at(file: Path) -> ConfigurationError:
    """Where commands find no SQLite database, which they do not make."""
    return ConfigurationError(
        f"There is no database at {file}.",
        hint="Run this where `entrada serve` runs, with the same $[database_url].",
        setting="database_url",
    )


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Opened]:
    """The database of the servers here.

    Raises:
        ConfigurationError: there is none, or it lies in a server's memory.
        StoreUnavailable: it does not answer.
    """
    with located(args) as here:
        stores = open_stores(here.url)
        try:
            yield Opened(
                settings=here.settings,
                file=here.file,
                names=here.names,
                stores=stores,
                now=SystemClock().now(),
            )
        finally:
            stores.close()


def by_command(now: datetime) -> Cause:
    """Whose command it is, as far as the machine knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    return Cause(actor=Actor(kind=ActorKind.COMMAND, id=name), at=now)


def everybody(here: Opened) -> Iterator[User]:
    """Everybody who has an account, read page by page."""
    after = None
    while page := here.stores.accounts.list_users(limit=PAGE, after=after):
        yield from page
        after = page[-1].id


def find_person(stores: Stores, text: str) -> User:
    """The one person this can mean.

    Raises:
        ConfigurationError: nobody, or several; the hint lists them.
    """
    meant = find_people(stores, text)
    if not meant:
        raise ConfigurationError(
            f"Nobody here is called {text!r}.",
            hint="`entrada users list` shows who has an account. Whoever was refused has none: "
            "`entrada audit --person` says why.",
        )
    return meant[0]


def find_people(stores: Stores, text: str) -> Sequence[User]:
    """The one person this can mean, or nobody. Whose id it is is meant, whoever else is called so.

    Raises:
        ConfigurationError: several; the hint lists them.
    """
    if not text.strip():
        return []
    accounts, limit, id = stores.accounts, SHOWN_OF_MANY + 1, text.strip().lower()
    if (user := accounts.get(UserId(id))) is not None:
        return [user]
    meant = accounts.find_whole(text, limit=limit) or accounts.search(text, limit=limit)
    if (guid := parse_guid(text)) is not None:
        meant = [each for each in meant if _has_object_id(each, guid)] or meant
    if len(meant) < 2:
        return meant
    many = f"more than {SHOWN_OF_MANY}" if len(meant) > SHOWN_OF_MANY else str(len(meant))
    listed = "\n  ".join(in_one_line(user) for user in meant[:SHOWN_OF_MANY])
    raise ConfigurationError(
        f"{text!r} may be {many} people. Nothing was done.", hint=f"Say which, by id:\n  {listed}"
    )


def _has_object_id(user: User, object_id: str) -> bool:
    return any(linked.identity.object_id == object_id for linked in user.identities)


def in_one_line(user: User) -> str:
    profile = user.profile
    state = "" if user.is_enabled else "  DISABLED"
    mail = profile.email or profile.username or "no e-mail address"
    return f"{user.id}  {plain(profile.name)}  {plain(mail)}  {', '.join(sorted(user.roles)) or '-'}{state}"


def document_of(user: User) -> dict[str, Any]:
    """A user as JSON has them."""
    return {
        "id": user.id,
        "name": user.profile.name,
        "email": user.profile.email,
        "email_is_verified": user.profile.email_is_verified,
        "username": user.profile.username,
        "is_guest": user.profile.is_guest,
        "enabled": user.is_enabled,
        "disabled_at": moment(user.disabled_at),
        "created_at": moment(user.created_at),
        "identities": [
            {
                "tenant_id": linked.identity.tenant_id,
                "object_id": linked.identity.object_id,
                "last_sign_in_at": moment(linked.last_sign_in_at),
                "groups": sorted(linked.membership.held),
            }
            for linked in user.identities
        ],
        "roles": [grant_document(grant) for grant in user.grants],
    }


def grant_document(grant: RoleGrant) -> dict[str, Any]:
    return {
        "role": grant.role,
        "source": grant.source.value,
        "granted_by": grant.granted_by,
        "granted_at": moment(grant.granted_at),
        "until": moment(grant.until),
    }


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def plain(text: str) -> str:
    """A name that moves no cursor and breaks no line: whatever Entra lets people be called."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def show(args: argparse.Namespace, document: object, lines: Sequence[str]) -> None:
    """One answer, for programs or for people."""
    print(json.dumps(document, indent=2) if args.json else "\n".join(lines), file=sys.stdout)
