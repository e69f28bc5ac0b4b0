"""One's own tenants, people, groups and applications, from a TOML file.

The file adds to the seeded directory, or replaces it when it says `seeded = false`.  Tables are
`[[tenants]]`, `[[groups]]`, `[[apps]]`, `[[people]]` and `[[policies]]`; their fields are those of the
records in `directory`.  A person may name groups by name and give `roles` of an application; a policy may
name people, groups and applications by name.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..compatibility import tomllib
from .directory import Directory
from .mappings import RecordError, read_record
from .policies import read_policy
from .records import App, AppRole, Group, Person, Secret, Tenant
from .registration import check_registration

_TABLES = ("tenants", "groups", "apps", "people", "policies")
_NAMESPACE = uuid.UUID("e0000000-0000-4000-8000-0000000000ff")


class DirectoryFileError(Exception):
    """The file cannot be used; the message says where, `hint` what to do."""

    def __init__(self, sentence: str, *, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


def load_directory(file: Path, *, seed: Callable[[Directory], None]) -> Callable[[Directory], None]:
    """A function that fills an empty directory as the file says, already tried once.

    `seed` puts the seeded records in, unless the file says `seeded = false`.

    Raises:
        DirectoryFileError: the file is missing, is not TOML, or describes something that cannot be.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DirectoryFileError(
            f"The directory file {file} cannot be read: {error.strerror}.",
            hint="Check the path given to --directory.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DirectoryFileError(
            f"The directory file {file} is not TOML: {error}.", hint="Correct that place."
        ) from None

    def fill(directory: Directory) -> None:
        try:
            _fill(directory, content, seed)
        except RecordError as error:
            raise DirectoryFileError(
                f"The directory file {file} is wrong: {error}.",
                hint="The fields are listed in the emulator's guide.",
            ) from None

    fill(Directory())
    return fill


def stable_id(kind: str, name: str) -> str:
    """An id that follows from the name, so that it is the same at every start."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}:{name.lower()}"))


def _fill(directory: Directory, content: dict[str, Any], seed: Callable[[Directory], None]) -> None:
    unknown = sorted(set(content) - {*_TABLES, "seeded"})
    if unknown:
        raise RecordError(f"there is no table '{unknown[0]}'; there are {', '.join(_TABLES)} and 'seeded'")
    if content.get("seeded", True):
        seed(directory)
    for n, table in _tables(content, "tenants"):
        fields = {"tenant_id": stable_id("tenant", str(table.get("domain"))), **table}
        directory.put(read_record(Tenant, fields, where=f"tenant {n}"))
    for n, table in _tables(content, "groups"):
        _group(directory, table, f"group {n}")
    for n, table in _tables(content, "apps"):
        _app(directory, table, f"app {n}")
    for n, table in _tables(content, "people"):
        _person(directory, table, f"person {n}")
    for n, table in _tables(content, "policies"):
        _policy(directory, table, f"policy {n}")


def _tables(content: dict[str, Any], name: str) -> list[tuple[int, dict[str, Any]]]:
    tables = content.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecordError(f"'{name}' is not a list of tables; write [[{name}]]")
    return list(enumerate(tables, start=1))


def _tenant_id(directory: Directory, table: dict[str, Any], where: str, default: str = "") -> str:
    name = str(table.get("tenant", default))
    tenant = directory.tenant(name) if name else next(iter(directory.tenants.values()), None)
    if tenant is None:
        raise RecordError(f"{where} is in tenant '{name}', which does not exist")
    return tenant.tenant_id


def _without(table: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in names}


def _group(directory: Directory, table: dict[str, Any], where: str) -> None:
    name = str(table.get("display_name", ""))
    fields = {
        "object_id": stable_id("group", name),
        "tenant_id": _tenant_id(directory, table, where),
        **_without(table, "tenant"),
    }
    if "member_of" in fields:
        fields["member_of"] = _group_ids(directory, fields["member_of"], where)
    directory.put(read_record(Group, fields, where=where))


def _group_ids(directory: Directory, names: Any, where: str) -> list[str]:
    by_name = {group.display_name: group.object_id for group in directory.groups.values()}
    ids = [by_name.get(str(name), str(name)) for name in names] if isinstance(names, list) else []
    for group_id in ids:
        if group_id not in directory.groups:
            raise RecordError(f"{where} names the group '{group_id}', which does not exist")
    return ids


def _app(directory: Directory, table: dict[str, Any], where: str) -> None:
    """Secrets and roles may be plain texts."""
    name = str(table.get("display_name", ""))
    fields = {
        "client_id": stable_id("client", name),
        "object_id": stable_id("application", name),
        "service_principal_id": stable_id("principal", name),
        "tenant_id": _tenant_id(directory, table, where),
        **_without(table, "tenant", "secrets", "app_roles"),
    }
    fields["client_id"] = str(fields["client_id"]).lower()
    secrets = tuple(
        Secret(value=one, key_id=stable_id("secret", f"{name}{n}"))
        if isinstance(one, str)
        else read_record(Secret, one, where=f"{where}, secret {n}")
        for n, one in enumerate(table.get("secrets", ()), start=1)
    )
    roles = tuple(
        AppRole(value=one, role_id=stable_id("role", f"{name}/{one}"), display_name=one)
        if isinstance(one, str)
        else read_record(AppRole, one, where=f"{where}, role {n}")
        for n, one in enumerate(table.get("app_roles", ()), start=1)
    )
    record = check_registration(read_record(App, fields, where=where), where=where)
    directory.put(App(**{**record.__dict__, "secrets": secrets, "app_roles": roles}))


def _person(directory: Directory, table: dict[str, Any], where: str) -> None:
    name = str(table.get("user_principal_name", ""))
    fields = {
        "object_id": stable_id("person", name),
        "tenant_id": _tenant_id(directory, table, where, default=name.rpartition("@")[2]),
        "display_name": name.partition("@")[0].capitalize(),
        "mail": name,
        **_without(table, "tenant", "roles"),
    }
    if "groups" in fields:
        fields["groups"] = _group_ids(directory, fields["groups"], where)
    person = read_record(Person, fields, where=where)
    directory.put(person)
    for role in table.get("roles", ()):
        _assign(directory, person, str(role), where)


def _policy(directory: Directory, table: dict[str, Any], where: str) -> None:
    fields = {
        "policy_id": stable_id("policy", str(table.get("display_name", where))),
        "tenant_id": _tenant_id(directory, table, where),
        **_without(table, "tenant"),
    }
    directory.put(read_policy(directory, fields, where=where))


def _assign(directory: Directory, person: Person, role: str, where: str) -> None:
    """`Admin` is a role of the first application that defines it, `name/Admin` of that application."""
    app_name, _, value = role.rpartition("/")
    for app in directory.apps.values():
        if app_name and app_name not in (app.display_name, app.client_id):
            continue
        if value in {defined.value for defined in app.app_roles}:
            directory.assign(app, person.object_id, value)
            return
    raise RecordError(f"{where} has the role '{role}', which no application defines")
