"""The setting entra_only: dstack's user interface opens only to who signed in with Entra here.

dstack has one token for each user, which its user interface, its command line and its API share, and a form
where that token can be typed in. With the switch on, the user interface wants a cookie besides that only a
sign-in with Entra sets: a token alone no longer opens it. Administrators, and whom
break_glass_users names, get in with their token still, so that nobody is locked out with Entra gone.

What it is not: a wall around the API. `Authorization: Bearer` keeps working for command line and API, and a
program can say that it is one. A token ends when the person's access does (see recheck).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from entrada.accounts.identity import UserId
from entrada.clock import Clock
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest

PURPOSE = "dstack user interface"
_NAME = "entrada_dstack"


@dataclass(frozen=True, kw_only=True)
class EntraOnly:
    """`life` is how long a sign-in opens the user interface; `break_glass` are names or e-mail addresses."""

    sealer: Sealer = field(repr=False)
    life: timedelta
    break_glass: frozenset[str]
    clock: Clock

    def cookie(self, user_id: UserId, rules: CookieRules) -> str:
        """Set-Cookie for somebody who just signed in."""
        until = int((self.clock.now() + self.life).timestamp())
        sealed = self.sealer.seal(json.dumps({"user": user_id, "until": until}).encode(), context=_NAME)
        return rules.set(_NAME, sealed, max_age_seconds=int(self.life.total_seconds()))

    def lets_in(self, request: WebRequest, rules: CookieRules, user: Any, *, is_admin: bool) -> bool:
        """Whether this request of the user interface may act as `user`, a row of dstack's."""
        if is_admin or not self.break_glass.isdisjoint({user.name, user.email}):
            return True
        plain = self.sealer.unseal_any(request.cookies_named(rules.name(_NAME)), context=_NAME)
        if plain is None:
            return False
        proof = json.loads(plain)
        return bool(proof["user"] == str(user.id) and self.clock.now().timestamp() < proof["until"])


def is_user_interface(request: WebRequest) -> bool:
    """Whether a browser is asking, or dstack's user interface; command line and API name a version."""
    return "sec-fetch-site" in request.headers or request.headers.get("x-api-version") == "latest"
