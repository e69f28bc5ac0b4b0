"""The session cookie of a request: which of what was sent under its name is ours.

Somebody who may set cookies for a neighbouring host can add one of the same name. What does not verify is
nobody's and locks nobody out; two that verify for different sessions say nothing, and nobody is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_check import CheckedSession
from entrada.sessions.token import SessionToken, is_session_token, parse_session_token
from entrada.web.messages import WebRequest
from entrada.web.site import Site

SESSION_COOKIE = "entrada_session"
_MOST_TRIED = 8
"""Of one name; each may cost a look into the store."""


@dataclass(frozen=True, kw_only=True)
class SessionCookie:
    relying_party: RelyingParty
    site: Site

    def values(self, request: WebRequest) -> Sequence[str]:
        """Those that have the form of ours."""
        name = self.site.cookie_rules(request).name(SESSION_COOKIE)
        formed = [value for value in request.cookies_named(name) if is_session_token(value)]
        return formed[:_MOST_TRIED]

    def tokens(self, request: WebRequest) -> Sequence[SessionToken]:
        parsed = (parse_session_token(value) for value in self.values(request))
        return [token for token in parsed if token is not None]

    def check(self, request: WebRequest) -> CheckedSession | None:
        """The session of this request, or None.

        Raises:
            StoreUnavailable: it cannot be known whether the session still stands.
        """
        found = self.verified(request)
        return None if found is None else found[1]

    def verified(self, request: WebRequest) -> tuple[str, CheckedSession] | None:
        """The one cookie value that opens a session, and that session.

        Raises:
            StoreUnavailable: see `check`.
        """
        good = []
        for value in self.values(request):
            session = self.relying_party.check_session(value)
            if session is not None:
                good.append((value, session))
        return good[0] if len(good) == 1 else None

    def in_memory(self, request: WebRequest) -> CheckedSession | None:
        """As `check`, if that needs no store; None decides nothing. Never waits."""
        values = self.values(request)
        return self.relying_party.session_check.peek(values[0]) if len(values) == 1 else None
