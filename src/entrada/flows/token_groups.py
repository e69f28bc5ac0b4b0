"""The groups of a caller with an access token: from its claim, or from Graph where the token could not hold
them.

Graph is asked in this application's own name, because the token is for this API and nobody else: that takes
the application permission GroupMember.Read.All. Without it, or while Graph does not answer, these groups are
unknown, which the log says: nobody is let in by them, and what asks for no group goes on.
Groups that settings name by their display names are looked up there, too.

Source: Microsoft, "Configure group claims for applications"; Microsoft Graph v1.0, "directoryObject:
checkMemberGroups".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrada.accounts.groups import EVERY_ID, UNKNOWN, Membership, WantedGroups, group_named
from entrada.entra.access_token import AccessToken
from entrada.entra.app_only_token import AppOnlyToken
from entrada.entra.application import EntraApplication
from entrada.entra.authority import ObjectId, TenantId, parse_guid
from entrada.entra.graph import resolve_all_groups, resolve_group_names, resolve_groups
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpTransport
from entrada.errors import EntradaError

GROUPS_LIFE = timedelta(minutes=15)
"""How long an answer of Graph's stands for a token; a claim stands as long as its token."""
SAY_EVERY = timedelta(minutes=5)
MOST_GROUPS = 1_000
_NAMES_LIFE = timedelta(minutes=10)

_log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class TokenGroups:
    """`at_tenant` gives the registration as it stands in one tenant."""

    wanted: WantedGroups
    transport: HttpTransport
    graph_url: str
    at_tenant: Callable[[TenantId], EntraApplication]
    _tokens: dict[TenantId, AppOnlyToken] = field(default_factory=dict, repr=False)
    _names: dict[TenantId, tuple[datetime, dict[str, ObjectId]]] = field(default_factory=dict)
    _said_at: datetime | None = None

    def asks_about(self, tenant_id: TenantId) -> bool:
        """Whether any group matters of a caller from that tenant."""
        return bool(self.wanted.ids_of(tenant_id) or self.wanted.names or self.wanted.everything)

    def of(self, token: AccessToken, *, now: datetime) -> tuple[Membership, datetime | None]:
        """What is known of the groups asked about, and until when; None: as long as the token lives."""
        if not self.asks_about(token.tenant_id):
            return UNKNOWN, None
        ids = self.wanted.ids_of(token.tenant_id)
        claim = token.groups if token.groups is not None else frozenset[str]()
        has_all = not token.has_group_overage and all(parse_guid(group) for group in claim)
        if has_all and not self.wanted.names:
            held = claim if self.wanted.everything else claim & ids
            asked = frozenset({EVERY_ID}) if self.wanted.everything else frozenset[str](ids)
            return Membership(held=held, asked=asked), None
        try:
            return self._at_graph(token, ids, claim if has_all else None, now), now + GROUPS_LIFE
        except EntradaError as error:
            self._mark_token_stale(token.tenant_id)
            self._say(error, now)
            return UNKNOWN, now + timedelta(minutes=1)

    def _at_graph(
        self, token: AccessToken, ids: frozenset[ObjectId], claim: frozenset[str] | None, now: datetime
    ) -> Membership:
        graph_token = self._graph_token(token.tenant_id, now)
        names = self._ids_of_names(token.tenant_id, graph_token, now)
        kind = "users" if token.caller.has_account else "servicePrincipals"
        whose = f"{kind}/{token.object_id}"
        asked: frozenset[str] = ids
        held: frozenset[str]
        if claim is not None:
            held = claim if self.wanted.everything else claim & (ids | frozenset(names.values()))
        elif self.wanted.everything:
            held = resolve_all_groups(
                self.transport,
                graph_url=self.graph_url,
                access_token=graph_token,
                at_most=MOST_GROUPS,
                whose=whose,
            )
        else:
            held = resolve_groups(
                self.transport,
                graph_url=self.graph_url,
                access_token=graph_token,
                group_ids=ids | frozenset(names.values()),
                whose=whose,
            )
        if self.wanted.everything:
            asked = asked | {EVERY_ID}
        held_names = frozenset(group_named(name) for name, group_id in names.items() if group_id in held)
        return Membership(
            held=held | held_names, asked=asked | held | frozenset(map(group_named, self.wanted.names))
        )

    def _ids_of_names(
        self, tenant_id: TenantId, graph_token: RawAccessToken, now: datetime
    ) -> dict[str, ObjectId]:
        if not self.wanted.names:
            return {}
        known = self._names.get(tenant_id)
        if known is None or not timedelta(0) <= now - known[0] < _NAMES_LIFE:
            found = resolve_group_names(
                self.transport,
                graph_url=self.graph_url,
                access_token=graph_token,
                names=self.wanted.names,
            )
            known = self._names[tenant_id] = now, dict(found)
        return known[1]

    def _graph_token(self, tenant_id: TenantId, now: datetime) -> RawAccessToken:
        kept = self._tokens.get(tenant_id)
        if kept is None:
            new = AppOnlyToken(application=self.at_tenant(tenant_id), graph_url=self.graph_url)
            kept = self._tokens.setdefault(tenant_id, new)
        return kept.get(now)

    def _mark_token_stale(self, tenant_id: TenantId) -> None:
        kept = self._tokens.get(tenant_id)
        if kept is not None:
            kept.mark_stale()

    def _say(self, error: EntradaError, now: datetime) -> None:
        if self._said_at is None or not timedelta(0) <= now - self._said_at < SAY_EVERY:
            self._said_at = now
            _log.warning(
                "The groups of a caller with an access token are not known: %s Grant this registration the "
                "application permission GroupMember.Read.All of Microsoft Graph, where that is missing.",
                getattr(error, "reason", None) or error.sentence,
            )
