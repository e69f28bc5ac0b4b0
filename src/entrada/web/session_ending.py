"""A verified person leads to a session of ours and a redirect to where they were going: serve, library."""

from __future__ import annotations

from dataclasses import dataclass

from entrada.errors import EntradaError, StateMissing
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.identification import Identified
from entrada.flows.pending import PendingSignIn
from entrada.flows.relying_party import RelyingParty
from entrada.sessions.session import SessionId
from entrada.web.devices import device_of
from entrada.web.ending import Ended
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.refusals import RefusalPages
from entrada.web.session_cookie import SESSION_COOKIE, SessionCookie
from entrada.web.site import Site


@dataclass(frozen=True, kw_only=True)
class SessionEnding:
    relying_party: RelyingParty
    site: Site
    session_cookie: SessionCookie
    refusals: RefusalPages

    def replaces(self, request: WebRequest) -> SessionId | None:
        present = self.session_cookie.check(request)
        return None if present is None else present.session_id

    def new_state(self) -> str | None:
        return None

    def complete(self, identified: Identified, pending: PendingSignIn, request: WebRequest) -> Ended:
        signed_in = self.relying_party.open_session(
            identified,
            pending,
            replaces=self.session_cookie.tokens(request),
            device=device_of(request),
        )
        cookie = self.site.cookie_rules(request).set(
            SESSION_COOKIE, signed_in.token.cookie_value, max_age_seconds=None
        )
        return Ended(
            user_id=signed_in.user.id,
            response=redirect(self.site.next_path(pending.next_path), cookies=[cookie]),
        )

    def refused(self, error: EntradaError, pending: PendingSignIn) -> WebResponse | None:
        del error, pending
        return None

    def nothing_pending(self, response: AuthorizationResponse, request: WebRequest) -> WebResponse:
        """For somebody who is signed in, most likely the Back button: there is nothing to start again."""
        del response
        if self.session_cookie.check(request) is None:
            raise StateMissing
        over = StateMissing(
            "This response was for a sign-in that is over.",
            hint="Go on to the application. If someone sent you this link, do not use it.",
        )
        return self.refusals.response(over, request, is_signed_in=True)
