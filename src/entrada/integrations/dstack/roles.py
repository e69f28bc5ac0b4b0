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
from entrada.settings import Settings

ADMIN, USER = "admin", "user"
_PROJECT = "project:"
_LOWEST_FIRST = ("user", "manager", "admin")


def project_role(project: str, role: str) -> str:
    """The role as grants name it: a role in one project."""
    return f"{_PROJECT}{project}/{role}"


def projects_in(roles: Iterable[str]) -> Mapping[str, str]:
    """The highest role in each project that these texts name."""
    found: dict[str, str] = {}
    for text in roles:
        project, slash, role = text.removeprefix(_PROJECT).rpartition("/")
        if text.startswith(_PROJECT) and slash and role in _LOWEST_FIRST:
            found[project] = max(found.get(project, role), role, key=_LOWEST_FIRST.index)
    return found


def roles_of(settings: Settings) -> RoleMapping:
    """The roles mapping and the projects as one mapping.

    Raises:
        ConfigurationError: a role that dstack does not have, or a default that would make everybody admin.
    """
    for role in sorted(settings.roles_mapping.every_role - {ADMIN, USER}):
        raise ConfigurationError(
            f"$[roles_mapping] gives the role {role!r}, which dstack does not have.",
            hint="dstack's global roles are admin and user; roles in projects go into $[dstack_projects].",
            setting="roles_mapping",
        )
    if settings.default_role not in (None, USER):
        raise ConfigurationError(
            f"$[default_role] is {settings.default_role!r}; with dstack it can only be user.",
            hint="Give admin to an app role or a group in $[roles_mapping], and projects to one in "
            "$[dstack_projects].",
            setting="default_role",
        )
    projects = role_mapping(
        {
            key: [project_role(*pair) for pair in given.items()]
            for key, given in settings.dstack_projects.items()
        }
    )
    mapping = settings.roles.together_with(projects)
    if settings.allowed_tenants and (mapping.group_names or any(not tenant for tenant, _ in mapping.groups)):
        raise ConfigurationError(
            "$[dstack_projects] names a group without its tenant, but several tenants may sign in.",
            hint="Write tenant-id/group-id: a group of one tenant must not give projects in another.",
            setting="dstack_projects",
        )
    return mapping
