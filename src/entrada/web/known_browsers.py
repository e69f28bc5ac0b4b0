"""Browsers in which somebody has signed in before: their attempts are on a budget of that person's own.

So strangers who fail from the same address lock nobody out who works there.
A sign-in under way alone would not do: anybody may begin as many as they like.
The cookie opens nothing and says nothing to who reads it; it outlives signing out, since the next sign-in is
what it is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from entrada.accounts.identity import UserId
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest

KNOWN_COOKIE = "entrada_known"
KNOWN_FOR = timedelta(days=90)


@dataclass(frozen=True, kw_only=True)
class KnownBrowsers:
    """`cross_site` as for pending sign-ins: Entra's form brings only such cookies."""

    sealer: Sealer
    cross_site: bool

    def peer_of(self, request: WebRequest, rules: CookieRules, *, now: datetime) -> str:
        """Whose budget this request is on: of the person who signed in here last, else of its address."""
        plain = self.sealer.unseal_any(request.cookies_named(rules.name(KNOWN_COOKIE)), context=KNOWN_COOKIE)
        until, _, user_id = ("" if plain is None else plain.decode()).partition(" ")
        if not until or int(until) <= now.timestamp():
            return request.peer
        return f"user {user_id}"

    def remember(self, user_id: UserId, rules: CookieRules, *, now: datetime) -> str:
        """The Set-Cookie value after a sign-in."""
        until = int((now + KNOWN_FOR).timestamp())
        return rules.set(
            KNOWN_COOKIE,
            self.sealer.seal(f"{until} {user_id}".encode(), context=KNOWN_COOKIE),
            max_age_seconds=int(KNOWN_FOR.total_seconds()),
            cross_site=self.cross_site,
        )
