"""From a verified person to Mage's token, and out again.

One straight line: admit them among Mage's users → store what a later look at them needs → open a session of
Mage's own.
Mage keeps a session for thirty days whatever happens; ours end at the absolute limit of sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from entrada.accounts.identity import User
from entrada.build import ProductParts
from entrada.errors import ConfigurationError, Unavailable
from entrada.flows.identification import Identified
from entrada.flows.refreshable_sign_in import seal_sign_in
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

    def open(self, identified: Identified, *, replaces: str | None) -> SignedIn:
        """A verified person, signed in to Mage. The session of the token `replaces` ends with it.

        Raises:
            AdmissionRefused: a genuine person who is not let in.
            Unavailable: Mage's database did not answer.
        """
        now = self.parts.clock.now()
        user, token = self.store.sign_in(
            identified,
            admission=self.parts.admission,
            sealed_sign_in=seal_sign_in(identified, self.parts.sign_in_sealer),
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
