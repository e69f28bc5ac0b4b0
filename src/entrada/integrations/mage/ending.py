"""A verified person leads to a session of Mage's own: its cookie, ours beside it, and the page of arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from entrada.errors import EntradaError, StateMissing
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.identification import Identified
from entrada.flows.pending import PendingSignIn
from entrada.integrations.mage.addresses import Addresses
from entrada.integrations.mage.pages import arrival, token_cookie
from entrada.integrations.mage.sessions import MageToken
from entrada.integrations.mage.walk import MageWalk
from entrada.sealing import Sealer
from entrada.sessions.session import SessionId
from entrada.web.ending import Ended
from entrada.web.messages import WebRequest, WebResponse

SESSION_COOKIE = "entrada_mage"
_MAGES_COOKIE_LIFE = 30 * 24 * 3600
"""In seconds; what Mage's own script gives its cookie."""
_CONTEXT = "mage session"


@dataclass(frozen=True, kw_only=True)
class MageEnding:
    """`encode` makes of a token what Mage's cookie holds; `describe` tells its pages about a user."""

    walk: MageWalk
    addresses: Addresses
    session_sealer: Sealer = field(repr=False)
    encode: Callable[[str, Any], str]
    describe: Callable[[int], Mapping[str, Any]]

    def replaces(self, request: WebRequest) -> SessionId | None:
        """None: sessions are Mage's, found by our cookie at the end."""
        del request  # sessions are Mage's, found by our cookie at the end
        return None

    def new_state(self) -> str | None:
        """None: the walk makes it."""
        return None

    def complete(self, identified: Identified, pending: PendingSignIn, request: WebRequest) -> Ended:
        """Open a session of Mage's for the person; the page that follows tells Mage's scripts."""
        signed_in = self.walk.open(identified, replaces=self.token_of(request))
        token = signed_in.token
        response = arrival(
            self.addresses,
            user=self.describe(token.user_number),
            next_path=self.addresses.site.next_path(pending.next_path),
            cookies=[self._mage_cookie(request, token), self.session_cookie(request, token.text)],
        )
        return Ended(user_id=signed_in.user.id, response=response)

    def refused(self, error: EntradaError, pending: PendingSignIn) -> WebResponse | None:
        """None: the walk's own page tells the person."""
        del error, pending
        return None

    def nothing_pending(self, response: AuthorizationResponse, request: WebRequest) -> WebResponse:
        """Refuse: nothing fits."""
        del response, request
        raise StateMissing

    def session_cookie(self, request: WebRequest, token: str) -> str:
        """Ours, unread by scripts: it finds the session at sign-out, when Mage's page has dropped its own.

        It outlives the browser as Mage's does, or signing out after a restart would end nothing.
        """
        sealed = self.session_sealer.seal(token.encode(), context=_CONTEXT)
        rules = self.addresses.site.cookie_rules(request)
        return rules.set(SESSION_COOKIE, sealed, max_age_seconds=_MAGES_COOKIE_LIFE)

    def token_of(self, request: WebRequest) -> str | None:
        """The token of the session this browser has, as our own cookie says."""
        name = self.addresses.site.cookie_rules(request).name(SESSION_COOKIE)
        plain = self.session_sealer.unseal_any(request.cookies_named(name), context=_CONTEXT)
        return None if plain is None else plain.decode("ascii", "replace")

    def _mage_cookie(self, request: WebRequest, token: MageToken) -> str:
        left = token.expires_at - self.walk.parts.clock.now()
        return token_cookie(
            self.addresses,
            request,
            self.encode(token.text, token.expires_at),
            max_age_seconds=int(left.total_seconds()),
        )
