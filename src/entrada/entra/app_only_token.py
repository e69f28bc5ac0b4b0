"""The access token with which Microsoft Graph is asked in this application's own name (an app-only token).

Fetched when it is first needed, again some minutes before it expires, and again once it was forgotten: a new
one may hold permissions that the old one lacks.

Source: Microsoft, "Get access without a user"; RFC 6749, section 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from entrada.entra.application import EntraApplication
from entrada.entra.jws import RawAccessToken

_EARLIER = timedelta(minutes=5)


@dataclass(kw_only=True)
class AppOnlyToken:
    """`application` is the registration as it stands in the tenant. Threads share one."""

    application: EntraApplication
    graph_url: str
    _kept: tuple[RawAccessToken, datetime] | None = field(default=None, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def get(self, now: datetime) -> RawAccessToken:
        """
        Raises:
            EntraUnavailable: Entra gave none.
        """
        with self._lock:
            if self._kept is None or now >= self._kept[1]:
                token, life = self.application.token_for_itself(f"{self.graph_url}/.default")
                self._kept = token, now + max(life - _EARLIER, timedelta(0))
            return self._kept[0]

    def forget(self) -> None:
        with self._lock:
            self._kept = None
