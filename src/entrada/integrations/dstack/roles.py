"""dstack's roles as texts, and the mapping that gives them.

    admin, user                 the global role
    project:main/manager        a membership of the project main with the project role manager

Of several roles in one project the highest counts.

Source: dstack, "Projects": project roles admin, manager and user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from entrada.accounts.roles import RoleMapping, role_mapping
from entrada.errors import ConfigurationError
from entrada.settings import FoundValues, Settings

ADMIN, USER = "admin", "user"
_PROJECT = "project:"
_LOWEST_FIRST = ("user", "manager", "admin")


def project_role(project: str, role: str) -> str:
    return f"{_PROJECT}{project}/{role}"


def projects_in(roles: Iterable[str]) -> Mapping[str, str]:
    """The highest role in each project that these texts name."""
    found: dict[str, str] = {}
    for text in roles:
        project, slash, role = text.removeprefix(_PROJECT).rpartition("/")
        if text.startswith(_PROJECT) and slash and role in _LOWEST_FIRST:
            found[project] = max(found.get(project, role), role, key=_LOWEST_FIRST.index)
    return found


def roles_of(settings: Settings, found: FoundValues) -> RoleMapping:
    """ENTRADA_ROLES_MAPPING and ENTRADA_DSTACK_PROJECTS as one mapping.

    Raises:
        ConfigurationError: a role that dstack does not have, or a default that would make everybody admin.
    """
    for role in settings.roles_mapping.values():
        if role not in (ADMIN, USER):
            raise ConfigurationError(
                f"{found.name_of('roles_mapping')} gives the role {role!r}, which dstack does not have.",
                hint="dstack's global roles are admin and user; roles in projects go into "
                "ENTRADA_DSTACK_PROJECTS.",
                setting=found.name_of("roles_mapping"),
            )
    if settings.default_role not in (None, USER):
        raise ConfigurationError(
            f"{found.name_of('default_role')} is {settings.default_role!r}; with dstack it can only be user.",
            hint="Give admin to an app role or a group in ENTRADA_ROLES_MAPPING, and projects to one in "
            "ENTRADA_DSTACK_PROJECTS.",
            setting=found.name_of("default_role"),
        )
    given: dict[str, list[str]] = {key: [role] for key, role in settings.roles_mapping.items()}
    for key, projects in settings.dstack_projects.items():
        given.setdefault(key, []).extend(project_role(*pair) for pair in projects.items())
    mapping = role_mapping(
        given,
        default_role=settings.default_role,
        required=settings.roles_required,
        sync=settings.roles_sync,
    )
    if settings.allowed_tenants and (mapping.group_names or any(not tenant for tenant, _ in mapping.groups)):
        raise ConfigurationError(
            "ENTRADA_DSTACK_PROJECTS names a group without its tenant, but several tenants may sign in.",
            hint="Write tenant-id/group-id: a group of one tenant must not give projects in another.",
            setting="ENTRADA_DSTACK_PROJECTS",
        )
    return mapping
