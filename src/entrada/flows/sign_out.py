"""The walk of signing out: here first, whatever happens at Entra.

Three ways in: the person (`sign_out`), the person everywhere at once, and Entra's front channel, which names
a session by `sid` alone and sends no cookie.

Source: OpenID Connect RP-Initiated Logout 1.0; Front-Channel Logout 1.0; Microsoft, "Single sign-out".
"""

from __future__ import annotations

from dataclasses import dataclass

from entrada.audit.acts import ENTRA, Cause, person
from entrada.entra.application import EntraApplication
from entrada.entra.claims import is_session_id_of_entra
from entrada.errors import ConfigurationError, Unavailable
from entrada.flows.session_check import SessionCheck, find_proven
from entrada.sessions.session import Session
from entrada.sessions.store import SessionStore
from entrada.sessions.token import parse_session_token


@dataclass(frozen=True, kw_only=True)
class SignOut:
    application: EntraApplication
    sessions: SessionStore
    session_check: SessionCheck

    def end(self, cookie_value: str, *, everywhere: bool = False) -> Session | None:
        """The session this cookie opened, ended; with `everywhere` all others of its person too."""
        session = find_proven(self.sessions, parse_session_token(cookie_value))
        if session is None:
            return None
        now, by = self.session_check.clock.now(), person(session.user_id)
        if everywhere:
            cause = Cause(actor=by, at=now, reason="signed out everywhere")
            self.sessions.end_of_user(session.user_id, cause=cause)
        else:
            self.sessions.end(session.id, cause=Cause(actor=by, at=now, reason="signed out"))
        self.session_check.distrust()
        return session

    def end_by_entra(self, entra_session_id: str) -> int:
        """Ends exactly the sessions Entra names; how many there were. What no sign-in accepted ends none."""
        if not is_session_id_of_entra(entra_session_id):
            return 0
        cause = Cause(actor=ENTRA, at=self.session_check.clock.now(), reason="signed out at Entra")
        ended = self.sessions.end_by_entra_session(entra_session_id, cause=cause)
        if ended:
            self.session_check.distrust()
        return ended

    def entra_url(self, logout_hint: str | None, *, post_logout_redirect_uri: str) -> str | None:
        """Where Entra ends its own session; None while Entra cannot be asked where that is.

        `logout_hint` is the session's, and saves the person the question which account.
        """
        try:
            return self.application.sign_out_url(
                post_logout_redirect_uri=post_logout_redirect_uri, logout_hint=logout_hint
            )
        except (Unavailable, ConfigurationError):
            return None
