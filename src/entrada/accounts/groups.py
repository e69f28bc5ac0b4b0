"""Which of Entra's groups matter here, and what is known of one person's.

    Group           one group as settings write it: an object id, tenant-id/object-id, or group:NAME
    WantedGroups    those that rules and applications ask about, besides the roles mapping's
    Membership      those of the groups asked about that somebody is in

A group that was not asked about, or about which nobody answered, is unknown. That is neither yes nor no, and
lets nobody in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from sys import intern

from entrada.entra.authority import ObjectId, TenantId, parse_guid

NAMED = "group:"
"""What a group's name begins with: a bare name could be anybody's group (docs/adr/0006)."""
EVERY_ID = "*"
"""Stands in `Membership.asked` for every object id."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """`name` is an object id, or `group:` and a display name. `tenant_id` None: of the only tenant."""

    name: str
    tenant_id: TenantId | None = None

    def __str__(self) -> str:
        return self.name if self.tenant_id is None else f"{self.tenant_id}/{self.name}"

    @property
    def object_id(self) -> ObjectId | None:
        return None if self.name.startswith(NAMED) else ObjectId(self.name)


def group_named(display_name: str) -> str:
    """`Group.name` of a group that is called so."""
    return NAMED + display_name


def parse_group(text: str) -> Group:
    """The group that a setting, a rule or an address names.

    Raises:
        ValueError: something else, such as a bare name.
    """
    tenant, slash, group = text.partition("/")
    if (guid := parse_guid(text)) is not None:
        return Group(name=guid)
    if slash and (tenant_guid := parse_guid(tenant)) and (guid := parse_guid(group)):
        return Group(name=guid, tenant_id=TenantId(tenant_guid))
    if text.startswith(NAMED) and text.removeprefix(NAMED).strip():
        return Group(name=text)
    raise ValueError(f"{text!r} is no group: write its object id, or {NAMED}NAME")


@dataclass(frozen=True, kw_only=True)
class WantedGroups:
    """`everything`: every group that somebody is in."""

    groups: frozenset[Group] = frozenset()
    everything: bool = False

    def ids_of(self, tenant_id: TenantId) -> frozenset[ObjectId]:
        """Those to ask about for a person of that tenant."""
        return frozenset(
            group.object_id
            for group in self.groups
            if group.object_id is not None and group.tenant_id in (None, tenant_id)
        )

    @property
    def names(self) -> frozenset[str]:
        """The display names among them."""
        return frozenset(group.name.removeprefix(NAMED) for group in self.groups if group.object_id is None)

    @property
    def of_no_tenant(self) -> Group | None:
        """One that does not say of which tenant, if any: with several tenants it could be anybody's."""
        return min((group for group in self.groups if group.tenant_id is None), key=str, default=None)

    def together_with(self, groups: Iterable[Group]) -> WantedGroups:
        return WantedGroups(groups=self.groups | frozenset(groups), everything=self.everything)


@dataclass(frozen=True, kw_only=True)
class Membership:
    """What Entra said of one person's groups, as `Group.name`. `held` are among those asked about."""

    held: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    def has(self, name: str) -> bool | None:
        """Whether the person is in that group; None: it is not known."""
        if name in self.held:
            return True
        is_known = name in self.asked or (EVERY_ID in self.asked and not name.startswith(NAMED))
        return False if is_known else None


UNKNOWN = Membership()
"""Nobody asked, or nobody answered."""


def written(membership: Membership) -> str | None:
    """The membership as stores write it; None: nothing is known."""
    if not membership.asked:
        return None
    parts = [sorted(membership.held), sorted(membership.asked - membership.held)]
    return json.dumps(parts, separators=(",", ":"))


@lru_cache(1_000)
def read_membership(text: str | None) -> Membership:
    """What `written` wrote. Anything else is unknown."""
    if text is None:
        return UNKNOWN
    try:
        held, others = json.loads(text)
        names = [frozenset(intern(name) for name in part) for part in (held, others)]
    except (TypeError, ValueError):
        return UNKNOWN
    return Membership(held=names[0], asked=names[0] | names[1])
