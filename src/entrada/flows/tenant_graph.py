"""Microsoft Graph for one tenant, asked in this application's own name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from entrada.clock import Clock
from entrada.entra.app_only_token import AppOnlyToken
from entrada.entra.authority import ObjectId
from entrada.entra.directory import ChangePage, PeopleStates, read_changes, read_people
from entrada.entra.graph import resolve_group_names
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpTransport


@dataclass(kw_only=True)
class TenantGraph:
    """Threads share one."""

    token: AppOnlyToken
    transport: HttpTransport
    clock: Clock

    @property
    def graph_url(self) -> str:
        return self.token.graph_url

    def changes(self, link: str) -> ChangePage | None:
        """See `read_changes`."""
        return read_changes(
            self.transport, graph_url=self.graph_url, access_token=self._access_token(), link=link
        )

    def people(self, object_ids: Sequence[ObjectId]) -> PeopleStates:
        """See `read_people`."""
        return read_people(
            self.transport,
            graph_url=self.graph_url,
            access_token=self._access_token(),
            object_ids=object_ids,
            now=self.clock.now(),
        )

    def group_ids(self, names: Collection[str]) -> frozenset[ObjectId]:
        """The object ids of the groups of these display names. See `resolve_group_names`."""
        found = resolve_group_names(
            self.transport, graph_url=self.graph_url, access_token=self._access_token(), names=names
        )
        return frozenset(found.values())

    def mark_token_stale(self) -> None:
        """The next question is asked with a new token, if there is one: it may hold permissions that this one
        lacks."""
        self.token.mark_stale()

    def _access_token(self) -> RawAccessToken:
        return self.token.get(self.clock.now())
