"""Microsoft Graph for one tenant, asked in this application's own name.

The access token is fetched when it is first needed, and again before it expires or once it is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from entrada.clock import Clock
from entrada.entra.application import EntraApplication
from entrada.entra.authority import ObjectId
from entrada.entra.directory import ChangePage, PeopleStates, read_changes, read_people
from entrada.entra.graph import resolve_group_names
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpTransport

_EARLIER = timedelta(minutes=5)


@dataclass(kw_only=True)
class TenantGraph:
    """`application` is the registration as it stands in the tenant. Threads share one."""

    application: EntraApplication
    transport: HttpTransport
    graph_url: str
    clock: Clock
    _token: tuple[RawAccessToken, datetime] | None = field(default=None, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

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

    def forget_token(self) -> None:
        """The next question is asked with a new token: it may hold permissions that this one lacks."""
        with self._lock:
            self._token = None

    def _access_token(self) -> RawAccessToken:
        with self._lock:
            now = self.clock.now()
            if self._token is None or now >= self._token[1]:
                token, life = self.application.token_for_itself(f"{self.graph_url}/.default")
                self._token = token, now + max(life - _EARLIER, timedelta(0))
            return self._token[0]
