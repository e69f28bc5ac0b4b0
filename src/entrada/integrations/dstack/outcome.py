"""The outcome of a finished sign-in, held by the browser for the moment until dstack's page fetches it.

One sealed cookie for each sign-in, bound to its state, good for two minutes by the server's clock; that it is
fetched only once is the store's to remember, for just as long.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

from entrada.accounts.identity import UserId
from entrada.clock import Clock
from entrada.flows.pending import tag_of
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest

PURPOSE = "dstack outcome"
LIFE = timedelta(minutes=2)
"""How long dstack's page may take to load and fetch it."""

_NAME = "entrada_done_"


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    sealer: Sealer = field(repr=False)
    clock: Clock

    def cookie(self, user_id: UserId, state: str, rules: CookieRules) -> str:
        """Set-Cookie for the browser that finished this sign-in."""
        until = self.clock.now().timestamp() + LIFE.total_seconds()
        sealed = self.sealer.seal(json.dumps({"user": user_id, "until": until}).encode(), context=state)
        return rules.set(_NAME + tag_of(state), sealed, max_age_seconds=int(LIFE.total_seconds()))

    def read(self, state: str, request: WebRequest, rules: CookieRules) -> UserId | None:
        """Whom that sign-in made this browser, unless it is too long ago."""
        plain = self.sealer.unseal_any(
            request.cookies_named(rules.name(_NAME + tag_of(state))), context=state
        )
        if plain is None:
            return None
        outcome = json.loads(plain)
        return UserId(outcome["user"]) if self.clock.now().timestamp() < outcome["until"] else None

    def drop(self, state: str, rules: CookieRules) -> str:
        """The Set-Cookie value that takes an outcome out of the browser."""
        return rules.delete(_NAME + tag_of(state))
