"""The part of a sign-in that finds the groups that matter: from the token, or from Graph.

The token is enough unless it could not hold the groups (overage) or the mapping names groups by name.
Only groups that the mapping names are ever asked about. If Graph does not answer, there is no answer here
either: fewer groups than a person is in would be a lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrada.accounts.roles import RoleMapping
from entrada.entra.authority import ObjectId, TenantId
from entrada.entra.claims import IdToken
from entrada.entra.graph import resolve_group_names, resolve_groups
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpTransport
from entrada.errors import EntraUnavailable

NAMES_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of one person, as far as the mapping names them."""

    ids: frozenset[ObjectId] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass(kw_only=True)
class GroupFinder:
    """Remembers for ten minutes which object id a group name stands for, per tenant."""

    transport: HttpTransport
    graph_url: str
    _ids_of_names: dict[TenantId, tuple[datetime, Mapping[str, ObjectId]]] = field(default_factory=dict)

    def of_person(
        self, id_token: IdToken, *, mapping: RoleMapping, access_token: RawAccessToken | None, now: datetime
    ) -> Groups:
        """The mapped groups that this person is in.

        Raises:
            EntraUnavailable: Graph had to be asked and did not answer, or a name stands for several groups.
        """
        names = self._named(id_token.tenant_id, mapping, access_token, now)
        wanted = mapping.group_ids_of(id_token.tenant_id) | frozenset(names.values())
        if not wanted:
            return Groups()
        if id_token.has_group_overage or (names and id_token.groups is None):
            held = resolve_groups(
                self.transport,
                graph_url=self.graph_url,
                access_token=_needed(access_token),
                group_ids=wanted,
            )
        else:
            held = wanted & frozenset(ObjectId(group) for group in id_token.groups or ())
        return Groups(ids=held, names=frozenset(name for name, group_id in names.items() if group_id in held))

    def _named(
        self,
        tenant_id: TenantId,
        mapping: RoleMapping,
        access_token: RawAccessToken | None,
        now: datetime,
    ) -> Mapping[str, ObjectId]:
        if not mapping.group_names:
            return {}
        looked_up = self._ids_of_names.get(tenant_id)
        if looked_up is not None and timedelta(0) <= now - looked_up[0] < NAMES_LIFE:
            return looked_up[1]
        names = resolve_group_names(
            self.transport,
            graph_url=self.graph_url,
            access_token=_needed(access_token),
            names=mapping.group_names,
        )
        self._ids_of_names[tenant_id] = (now, names)
        return names


def _needed(access_token: RawAccessToken | None) -> RawAccessToken:
    if access_token is None:
        raise EntraUnavailable(reason="the token endpoint gave no access token for Graph", answered=True)
    return access_token
