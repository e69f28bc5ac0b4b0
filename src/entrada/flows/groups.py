"""The part of a sign-in that finds the groups that matter: from the token, or from Graph.

The token is enough unless it could not hold the groups (overage), the mapping names groups by name, or the
registration sends something else than object ids: names, DOMAIN\\name, SIDs, or groups as role claims.
Only groups that the settings name are ever asked about. If Graph does not answer, there is no answer here
either: fewer groups than a person is in would be a lie.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrada.accounts.groups import EVERY_ID, NAMED, Group, Membership, WantedGroups
from entrada.accounts.roles import RoleMapping
from entrada.entra.authority import ObjectId, TenantId, parse_guid
from entrada.entra.graph import resolve_all_groups, resolve_group_names, resolve_groups
from entrada.entra.id_token import IdToken
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpTransport
from entrada.errors import EntraUnavailable, Fixer

NAMES_LIFE = timedelta(minutes=10)
_SID = re.compile(r"S-1-[0-9]+(?:-[0-9]+)+", re.ASCII | re.IGNORECASE)
_log = logging.getLogger("entrada")


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of one person, as far as they were asked about. `asked` is as `Membership.asked`."""

    ids: frozenset[ObjectId] = frozenset()
    names: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    @property
    def membership(self) -> Membership:
        return Membership(held=self.ids | _as_asked(self.names), asked=self.asked)


@dataclass(kw_only=True)
class GroupFinder:
    """Remembers for ten minutes which object id a group name stands for, per tenant.

    A name that no group has is said once in the log: nobody is in it. `besides` are looked for besides those
    of the mapping.
    """

    transport: HttpTransport
    graph_url: str
    besides: WantedGroups = field(default_factory=WantedGroups)
    _ids_of_names: dict[TenantId, tuple[datetime, Mapping[str, ObjectId]]] = field(default_factory=dict)
    _said_missing: set[tuple[TenantId, str]] = field(default_factory=set)

    def of_person(
        self, id_token: IdToken, *, mapping: RoleMapping, access_token: RawAccessToken | None, now: datetime
    ) -> Groups:
        """The groups looked for that this person is in.

        Raises:
            EntraUnavailable: Graph had to be asked and did not answer, or a name stands for several groups;
                or the token names groups in another way than by id, and Graph may not be asked.
        """
        tenant_id, every_name = id_token.tenant_id, self._names(mapping)
        names = self._named(tenant_id, every_name, access_token, now)
        wanted = mapping.group_ids_of(tenant_id) | self.besides.ids_of(tenant_id) | frozenset(names.values())
        asked = wanted | _as_asked(every_name)
        if not wanted:
            return Groups(asked=asked)
        if not _has_ids_alone(id_token):
            held = self._despite_other_forms(wanted, access_token)
        elif id_token.has_group_overage or (names and id_token.groups is None):
            held = self._at_graph(wanted, _needed(access_token))
        else:
            held = wanted & frozenset(ObjectId(group) for group in id_token.groups or ())
        return Groups(ids=held, names=_held_names(names, held), asked=asked)

    def asks_about(self, group: Group, *, mapping: RoleMapping) -> bool:
        """Whether it is found out who is in that group."""
        if group.object_id is None:
            return group.name.removeprefix(NAMED) in self._names(mapping)
        named = {(each.tenant_id, each.object_id) for each in self.besides.groups} | mapping.groups.keys()
        return (group.tenant_id, group.object_id) in named

    def _names(self, mapping: RoleMapping) -> frozenset[str]:
        return self.besides.names | frozenset(mapping.group_names)

    def _at_graph(self, wanted: frozenset[ObjectId], access_token: RawAccessToken) -> frozenset[ObjectId]:
        return resolve_groups(
            self.transport, graph_url=self.graph_url, access_token=access_token, group_ids=wanted
        )

    def _despite_other_forms(
        self, wanted: frozenset[ObjectId], access_token: RawAccessToken | None
    ) -> frozenset[ObjectId]:
        try:
            return self._at_graph(wanted, _needed(access_token))
        except EntraUnavailable as error:
            if access_token is not None and error.fixer is not Fixer.ADMINISTRATOR:
                raise
            raise _other_forms() from None

    def _named(
        self,
        tenant_id: TenantId,
        every_name: frozenset[str],
        access_token: RawAccessToken | None,
        now: datetime,
    ) -> Mapping[str, ObjectId]:
        if not every_name:
            return {}
        looked_up = self._ids_of_names.get(tenant_id)
        if looked_up is not None and timedelta(0) <= now - looked_up[0] < NAMES_LIFE:
            return looked_up[1]
        names = resolve_group_names(
            self.transport,
            graph_url=self.graph_url,
            access_token=_needed(access_token),
            names=every_name,
        )
        self._ids_of_names[tenant_id] = (now, names)
        for name in sorted(every_name - names.keys()):
            if (tenant_id, name) not in self._said_missing:
                self._said_missing.add((tenant_id, name))
                _log.warning(
                    "The settings name the group %r, and no group of the tenant %s is called that.",
                    name,
                    tenant_id,
                )
        return names


@dataclass(kw_only=True)
class AllGroups(GroupFinder):
    """Finds every group, for whoever hands them on without knowing which will matter."""

    at_most: int = 1_000

    def asks_about(self, group: Group, *, mapping: RoleMapping) -> bool:
        """As `GroupFinder.asks_about`."""
        return group.object_id is not None or super().asks_about(group, mapping=mapping)

    def of_person(
        self, id_token: IdToken, *, mapping: RoleMapping, access_token: RawAccessToken | None, now: datetime
    ) -> Groups:
        """Every group that this person is in.

        Raises:
            EntraUnavailable: Graph had to be asked and did not answer, or there are more than `at_most`.
        """
        every_name = self._names(mapping)
        names = self._named(id_token.tenant_id, every_name, access_token, now)
        if not id_token.has_group_overage and _has_ids_alone(id_token):
            held = frozenset(ObjectId(group) for group in id_token.groups or ())
        else:
            held = resolve_all_groups(
                self.transport,
                graph_url=self.graph_url,
                access_token=_needed(access_token),
                at_most=self.at_most,
            )
        return Groups(
            ids=held, names=_held_names(names, held), asked=frozenset({EVERY_ID}) | _as_asked(every_name)
        )


def _as_asked(names: frozenset[str]) -> frozenset[str]:
    return frozenset(NAMED + name for name in names)


def _held_names(names: Mapping[str, ObjectId], held: frozenset[ObjectId]) -> frozenset[str]:
    return frozenset(name for name, group_id in names.items() if group_id in held)


def _needed(access_token: RawAccessToken | None) -> RawAccessToken:
    if access_token is None:
        raise EntraUnavailable(reason="the token endpoint gave no access token for Graph", answered=True)
    return access_token


def _has_ids_alone(id_token: IdToken) -> bool:
    """Whether the token names groups by object id, if at all.

    Groups among the roles show by what no app role value is: a GUID, a SID, or with a backslash or a space.

    Source: Microsoft, "Configure group claims for applications" (Emit groups as role claims).
    """
    if id_token.groups is not None:
        return all(parse_guid(group) for group in id_token.groups)
    return not any(
        parse_guid(role) or _SID.fullmatch(role) or "\\" in role or " " in role for role in id_token.roles
    )


def _other_forms() -> EntraUnavailable:
    error = EntraUnavailable(
        "Microsoft named your groups in a form that cannot be relied on here, so you were not signed in.",
        reason="the token names groups otherwise than by object id, and Graph may not be asked",
        answered=True,
        hint=(
            "Administrator: in the app registration, choose Group ID under Token configuration, and do not "
            "emit groups as role claims. Or grant the delegated Microsoft Graph permission "
            "GroupMember.Read.All."
        ),
    )
    error.fixer = Fixer.ADMINISTRATOR
    return error
