"""One sign-in to Mage: out to Entra, and from its answer to Mage's token.

Back, one straight line: identify the person → admit them among Mage's users → keep what a later look at
them needs → open a session of Mage's own.
Mage keeps a session for thirty days whatever happens; ours end at the absolute limit of sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from entrada.accounts.identity import User
from entrada.build import ProductParts
from entrada.errors import ConfigurationError, Unavailable
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.pending import PendingSignIn
from entrada.flows.recheck import seal_sign_in
from entrada.integrations.mage.sessions import EndedSession, MageToken
from entrada.integrations.mage.store import MageStore


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    user: User
    token: MageToken


@dataclass(frozen=True, kw_only=True)
class MageWalk:
    parts: ProductParts
    store: MageStore
    session_life: timedelta

    def complete(
        self, response: AuthorizationResponse, pending: PendingSignIn, *, replaces: str | None
    ) -> SignedIn:
        """The person behind an answer, signed in to Mage. An answer counts once.

        Raises:
            SignInError: refused; see the tree in `entrada.errors`.
            Unavailable: Entra, Graph or Mage's database did not answer.
        """
        identified = self.parts.identification.complete(response, pending)
        now = self.parts.clock.now()
        user, token = self.store.sign_in(
            identified,
            admission=self.parts.admission,
            sealed_sign_in=seal_sign_in(identified, self.parts.kept_sealer),
            next_check_at=now + self.parts.recheck_every,
            expires_at=now + self.session_life,
            replaces=replaces,
        )
        return SignedIn(user=user, token=token)

    def entra_sign_out_url(self, ended: EndedSession, *, post_logout_redirect_uri: str) -> str | None:
        """Where Entra ends its own session; None if it opened none, or cannot be asked where that is."""
        if not ended.by_entra:
            return None
        try:
            return self.parts.identification.application.sign_out_url(
                post_logout_redirect_uri=post_logout_redirect_uri, logout_hint=ended.logout_hint
            )
        except (Unavailable, ConfigurationError):
            return None
