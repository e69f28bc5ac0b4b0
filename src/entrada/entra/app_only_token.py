"""The access token with which Microsoft Graph is asked in this application's own name (an app-only token).

Fetched when it is first needed, again some minutes before it expires, and again once it was called stale: a
new one may hold permissions that the old one lacks. Where Entra gives no new one, the old one is used for as
long as it lives: what it may ask it may still ask.

Source: Microsoft, "Get access without a user"; RFC 6749, section 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from entrada.entra.application import EntraApplication
from entrada.entra.jws import RawAccessToken
from entrada.errors import EntraUnavailable

EARLIER = timedelta(minutes=5)
TRIED_AGAIN_AFTER = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    token: RawAccessToken = field(repr=False)
    expires_at: datetime
    renewed_at: datetime | None
    """None: as soon as it is asked for."""


@dataclass(kw_only=True)
class AppOnlyToken:
    """`application` is the registration as it stands in the tenant. Threads share one."""

    application: EntraApplication
    graph_url: str
    _kept: _Kept | None = field(default=None, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def get(self, now: datetime) -> RawAccessToken:
        """
        Raises:
            EntraUnavailable: Entra gave none, and there is none that lives.
        """
        with self._lock:
            kept = self._kept
            if kept is None or kept.renewed_at is None or now >= kept.renewed_at:
                kept = self._kept = self._renewed(kept, now)
            return kept.token

    def mark_stale(self) -> None:
        """The next question is asked with a new one, if Entra gives one."""
        with self._lock:
            if self._kept is not None:
                self._kept = replace(self._kept, renewed_at=None)

    def _renewed(self, kept: _Kept | None, now: datetime) -> _Kept:
        try:
            token, life = self.application.token_for_itself(f"{self.graph_url}/.default")
        except EntraUnavailable:
            if kept is None or now >= kept.expires_at:
                raise
            return replace(kept, renewed_at=min(now + TRIED_AGAIN_AFTER, kept.expires_at))
        return _Kept(token=token, expires_at=now + life, renewed_at=now + max(life - EARLIER, timedelta(0)))
