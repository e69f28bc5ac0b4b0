"""One sign-in to dstack, from begin to end: the core's walk, dstack's users.

Out: a pending sign-in for a cookie, and the address of Entra with a state that dstack's own pages can read.
Back: identify → admit into dstack's users → keep what a re-check needs.
Synchronous; run it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from entrada.accounts.admission import admit
from entrada.accounts.identity import User
from entrada.build import ProductParts
from entrada.events import Event, record
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.pending import PendingSignIn
from entrada.flows.recheck import seal_sign_in
from entrada.integrations.dstack import outcome
from entrada.integrations.dstack.state import State, with_state, write_state
from entrada.integrations.dstack.store import DstackStore, KeptForRecheck
from entrada.sealing import Sealer

CALLBACK_PATH = "/auth/entra/callback"


@dataclass(frozen=True, kw_only=True)
class DstackSignIn:
    parts: ProductParts
    store: DstackStore
    state_sealer: Sealer = field(repr=False)

    def begin(
        self,
        *,
        url: str,
        local_port: int | None = None,
        prompt: str | None = None,
        login_hint: str | None = None,
    ) -> tuple[PendingSignIn, str]:
        """What to remember, and where to send the browser. `url` is one of dstack's own addresses.

        For `dstack login` Entra always asks which account it shall be: the person sees that somebody signs
        in with their browser, also when the link came from somebody else.

        Raises:
            EntraUnavailable: Entra's metadata was never read so far.
        """
        pending, entra_url = self.parts.identification.begin(
            redirect_uri=url + CALLBACK_PATH,
            next_path="/",
            prompt=prompt if local_port is None else "select_account",
            login_hint=login_hint,
        )
        record(Event.SIGN_IN_BEGUN, redirect_uri=pending.redirect_uri)
        written = write_state(State(text=pending.state, local_port=local_port), self.state_sealer)
        return pending, with_state(entra_url, written)

    def complete(self, response: AuthorizationResponse, pending: PendingSignIn) -> User:
        """The user of dstack behind an answer. An answer counts once.

        Raises:
            SignInError: refused; see the tree in `entrada.errors`.
            Unavailable: Entra, Graph or the database did not answer.
        """
        identified = self.parts.identification.complete(response, pending)
        now = self.parts.clock.now()
        kept = KeptForRecheck(
            sealed_sign_in=seal_sign_in(identified, self.parts.kept_sealer),
            next_check_at=now + self.parts.recheck_every,
        )
        user = admit(
            identified.newcomer,
            policy=self.parts.admission,
            accounts=replace(self.store, kept=kept),
            now=now,
        )
        identity = identified.newcomer.identity
        record(
            Event.SIGN_IN_COMPLETED,
            user_id=user.id,
            tenant_id=identity.tenant_id,
            object_id=identity.object_id,
        )
        return user

    def hand_over_once(self, state: str) -> bool:
        """True the first time that the outcome of this sign-in is asked for."""
        until = self.parts.clock.now() + outcome.LIFE
        return self.store.spend_sign_in(f"handed over {state}", expires_at=until)
