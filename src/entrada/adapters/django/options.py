"""What the project says in `settings.ENTRADA`.

staff_roles         holders may enter the admin site
superuser_roles     holders may do everything; they are staff, too
groups              True (the default): each role that a person has is a Django group of the same name
values              settings of Entrada's own by name, such as {"tenant_id": …}; then no others count
new_user            dotted path of `f(principal) -> user`, for a user model that needs more than a name
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from entrada.accounts.principal import UserPrincipal
from entrada.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Options:
    staff_roles: frozenset[str] = frozenset()
    superuser_roles: frozenset[str] = frozenset()
    groups: bool = True
    values: Mapping[str, Any] | None = field(default=None, repr=False)
    new_user: Callable[[UserPrincipal], Any] | None = None


def read_options() -> Options:
    """
    Raises:
        ConfigurationError: `settings.ENTRADA` says something that does not exist, or of another kind.
    """
    said = getattr(settings, "ENTRADA", {})
    if not isinstance(said, Mapping):
        raise _refused("settings.ENTRADA is not a dictionary.", "Write ENTRADA = {...}, or leave it out.")
    known = {option.name for option in fields(Options)}
    for name in said:
        if name not in known:
            raise _refused(f"settings.ENTRADA has no option {name!r}.", f"There are {_listed(known)}.")
    groups = said.get("groups", True)
    if not isinstance(groups, bool):
        raise _refused("settings.ENTRADA['groups'] is neither True nor False.", "Write True or False.")
    values = said.get("values")
    if values is not None and not isinstance(values, Mapping):
        raise _refused(
            "settings.ENTRADA['values'] is not a dictionary.",
            'Write {"values": {"tenant_id": …, "client_id": …}}, or leave it out and set variables.',
        )
    return Options(
        values=values,
        staff_roles=_roles(said, "staff_roles"),
        superuser_roles=_roles(said, "superuser_roles"),
        groups=groups,
        new_user=_function(said, "new_user"),
    )


def _roles(said: Mapping[str, Any], name: str) -> frozenset[str]:
    roles = said.get(name, ())
    if isinstance(roles, str) or not all(isinstance(role, str) and role for role in roles):
        raise _refused(
            f"settings.ENTRADA[{name!r}] is not a list of roles.", f'Write {{"{name}": ["Admin"]}}.'
        )
    return frozenset(roles)


def _function(said: Mapping[str, Any], name: str) -> Callable[[UserPrincipal], Any] | None:
    path = said.get(name)
    if path is None:
        return None
    try:
        function: Callable[[UserPrincipal], Any] = import_string(path)
    except (ImportError, TypeError, AttributeError):
        raise _refused(
            f"settings.ENTRADA[{name!r}] names nothing that can be imported.",
            'Write the dotted path of a function, such as "shop.people.new_user".',
        ) from None
    return function


def _refused(sentence: str, hint: str) -> ConfigurationError:
    return ConfigurationError(sentence, hint=hint)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
