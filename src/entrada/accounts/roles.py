"""Which of the application's roles a person gets for what Entra says about them.

A mapping key is an app role value, a group's object id, or `group:NAME` for a group by name.
Comparison is exact. Nothing that Entra did not say, and no name that the mapping does not hold, gives a role.
A bare name never matches a group: anyone in a tenant may create a group called "Admin" (docs/adr/0006).

Source: Microsoft, "Add app roles to your application"; app role values contain no spaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from entrada.accounts.identity import GrantSource, RoleGrant
from entrada.compatibility import StrEnum
from entrada.entra.authority import ObjectId, TenantId, parse_guid

DEFAULT_ROLE_GRANTED_BY = "default"
LONGEST_ROLE = 255


def is_role_name(text: str) -> bool:
    """Whether a role may be called so: what every database keeps, and every page shows on one line."""
    return 0 < len(text) <= LONGEST_ROLE and text.isprintable()


class RolesSync(StrEnum):
    EVERY_SIGN_IN = "every_sign_in"
    FIRST_SIGN_IN = "first_sign_in"


@dataclass(frozen=True, kw_only=True)
class RoleMapping:
    """The mapping, sorted by what its keys mean. Made by `role_mapping`."""

    app_roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    groups: Mapping[tuple[TenantId | None, ObjectId], Sequence[str]] = field(default_factory=dict)
    """Keyed by tenant too where several tenants sign in; None stands for the only tenant."""
    group_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    default_role: str | None = None
    required: bool = False
    sync: RolesSync = RolesSync.EVERY_SIGN_IN

    @property
    def every_role(self) -> frozenset[str]:
        """The roles that this mapping can give."""
        lists = [*self.app_roles.values(), *self.groups.values(), *self.group_names.values()]
        default = () if self.default_role is None else (self.default_role,)
        return frozenset(role for roles in [*lists, default] for role in roles)

    @property
    def lines(self) -> Sequence[tuple[str, Sequence[str]]]:
        """What gives roles, in the words of `RoleGrant.granted_by`, and which roles it gives."""
        default = () if self.default_role is None else ((DEFAULT_ROLE_GRANTED_BY, (self.default_role,)),)
        return [
            *((f"app role {value}", roles) for value, roles in self.app_roles.items()),
            *((f"group {group}", roles) for (_, group), roles in self.groups.items()),
            *((f"group {name}", roles) for name, roles in self.group_names.items()),
            *default,
        ]

    def together_with(self, other: RoleMapping) -> RoleMapping:
        """The same, giving also what the keys of `other` give."""
        return replace(
            self,
            app_roles=_joined(self.app_roles, other.app_roles),
            groups=_joined(self.groups, other.groups),
            group_names=_joined(self.group_names, other.group_names),
        )

    def group_ids_of(self, tenant_id: TenantId) -> frozenset[ObjectId]:
        """The groups worth asking about for a person of that tenant."""
        return frozenset(group for tenant, group in self.groups if tenant in (None, tenant_id))

    def grants(
        self,
        *,
        tenant_id: TenantId,
        app_roles: frozenset[str],
        group_ids: frozenset[ObjectId],
        group_names: frozenset[str],
        now: datetime,
    ) -> Sequence[RoleGrant]:
        """The roles Entra gives this person, each with what it was given for; the default if there are none.

        One grant a role: app roles come before groups, and either in the mapping's order.
        """
        reasons: list[tuple[Sequence[str], str]] = [
            *((roles, f"app role {value}") for value, roles in self.app_roles.items() if value in app_roles),
            *(
                (roles, f"group {group_id}")
                for (tenant, group_id), roles in self.groups.items()
                if tenant in (None, tenant_id) and group_id in group_ids
            ),
            *((roles, f"group {name}") for name, roles in self.group_names.items() if name in group_names),
        ]
        given: dict[str, str] = {}
        for roles, reason in reasons:
            for role in roles:
                given.setdefault(role, reason)
        if not given and self.default_role is not None:
            given[self.default_role] = DEFAULT_ROLE_GRANTED_BY
        return [
            RoleGrant(role=role, source=GrantSource.ENTRA, granted_by=reason, granted_at=now)
            for role, reason in given.items()
        ]


_Key = TypeVar("_Key")


def _joined(
    one: Mapping[_Key, Sequence[str]], other: Mapping[_Key, Sequence[str]]
) -> Mapping[_Key, Sequence[str]]:
    return {key: [*one.get(key, ()), *other.get(key, ())] for key in {**one, **other}}


def role_mapping(
    mapping: Mapping[str, str | Sequence[str]],
    *,
    default_role: str | None = None,
    required: bool = False,
    sync: RolesSync = RolesSync.EVERY_SIGN_IN,
) -> RoleMapping:
    """Sorts a mapping by what its keys mean; a key may give one role or several.

    A GUID is a group; `tenant-id/group-id` is a group of that tenant; `group:NAME`, or a name with a space in
    it (which no app role can have), is a group by name; anything else is an app role value.
    """
    app_roles: dict[str, Sequence[str]] = {}
    groups: dict[tuple[TenantId | None, ObjectId], Sequence[str]] = {}
    group_names: dict[str, Sequence[str]] = {}
    for key, given in mapping.items():
        roles = [given] if isinstance(given, str) else given
        tenant, slash, group = key.partition("/")
        if (guid := parse_guid(key)) is not None:
            groups[None, ObjectId(guid)] = roles
        elif slash and (tenant_guid := parse_guid(tenant)) and (group_guid := parse_guid(group)):
            groups[TenantId(tenant_guid), ObjectId(group_guid)] = roles
        elif key.startswith("group:"):
            group_names[key.removeprefix("group:")] = roles
        elif " " in key:
            group_names[key] = roles
        else:
            app_roles[key] = roles
    return RoleMapping(
        app_roles=app_roles,
        groups=groups,
        group_names=group_names,
        default_role=default_role,
        required=required,
        sync=sync,
    )
