"""A verified person leads to a user of dstack, and to a sealed outcome that dstack's own page fetches."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from entrada.accounts.admission import admit
from entrada.accounts.identity import User
from entrada.build import ProductParts
from entrada.errors import EntradaError, StateMissing
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.identification import Identified
from entrada.flows.pending import PendingSignIn
from entrada.flows.refreshable_sign_in import seal_sign_in
from entrada.integrations.dstack import outcome, responses
from entrada.integrations.dstack.outcome import Outcomes
from entrada.integrations.dstack.state import State, write_state
from entrada.integrations.dstack.store import DstackStore, ForRecheck
from entrada.sealing import Sealer
from entrada.sessions.session import SessionId
from entrada.web.ending import Ended
from entrada.web.messages import WebRequest, WebResponse


@dataclass(frozen=True, kw_only=True)
class OutcomeEnding:
    """`ui_page` is dstack's own page. Its users are dstack's; see `DstackStore`."""

    parts: ProductParts
    store: DstackStore
    outcomes: Outcomes
    state_sealer: Sealer = field(repr=False)
    ui_page: bytes = field(repr=False)

    def replaces(self, request: WebRequest) -> SessionId | None:
        """None: dstack has no sessions to replace."""
        del request  # dstack has no sessions, but tokens that outlive a browser
        return None

    def new_state(self) -> str:
        """A state that dstack's own pages can read."""
        return self.state_for(local_port=None)

    def state_for(self, *, local_port: int | None) -> str:
        """A state that dstack's own pages can read; `local_port` is where `dstack login` listens."""
        return write_state(State(text=secrets.token_urlsafe(32), local_port=local_port), self.state_sealer)

    def complete(self, identified: Identified, pending: PendingSignIn, request: WebRequest) -> Ended:
        """Admit the person among dstack's users; the outcome waits sealed for dstack's page."""
        user = self.admit(identified)
        rules = self.parts.site.cookie_rules(request)
        done = self.outcomes.cookie(user.id, pending.state, rules)
        return Ended(user_id=user.id, response=responses.ui_page(self.ui_page).with_cookies([done]))

    def refused(self, error: EntradaError, pending: PendingSignIn) -> WebResponse | None:
        """None: the walk's own page tells the person."""
        del error, pending
        return None

    def nothing_pending(self, response: AuthorizationResponse, request: WebRequest) -> WebResponse:
        """dstack's page once more, where it is loaded again before the outcome was fetched."""
        rules = self.parts.site.cookie_rules(request)
        if self.outcomes.read(response.state, request, rules) is None:
            raise StateMissing
        return responses.ui_page(self.ui_page)

    def admit(self, identified: Identified) -> User:
        """The user of dstack behind a verified person, with what a re-check needs beside them.

        Raises:
            AdmissionRefused: a genuine person who is not let in.
            Unavailable: dstack's database did not answer.
        """
        now, at_broker = self.parts.clock.now(), self.parts.identification.application.authority.is_broker
        for_recheck = ForRecheck(
            sealed_sign_in=seal_sign_in(identified, self.parts.sign_in_sealer),
            next_check_at=now + self.parts.recheck_every,
            session_id=identified.id_token.session_id if at_broker else None,
        )
        return admit(
            identified.newcomer,
            policy=self.parts.admission,
            accounts=replace(self.store, for_recheck=for_recheck),
            now=now,
        )

    def hand_over_once(self, state: str) -> bool:
        """True the first time that the outcome of this sign-in is asked for."""
        until = self.parts.clock.now() + outcome.LIFE
        return self.store.spend_sign_in(f"handed over {state}", expires_at=until)
