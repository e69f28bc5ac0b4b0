"""A person whom Entra has verified leads to a code for the installation that sent them.

Nobody gets an account here: who may come in, and as what, is the installation's to decide. What is checked is
that the person is of the tenant the installation is for, that it may still sign people in, and that
their account at the broker itself, if they have one, is not disabled.
"""

from __future__ import annotations

from dataclasses import dataclass

from entrada.accounts.broker_subject import subject_of
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.store import AccountStore
from entrada.audit.acts import ENTRADA, Cause
from entrada.broker.authorization_response import code_response, error_response
from entrada.broker.context import BrokerContext, read_context
from entrada.broker.grants import (
    CODE_LIFE,
    GRANT_IDLE_LIFE,
    AuthorizationCode,
    Grant,
    new_grant_id,
    new_token,
)
from entrada.broker.installations import Installation
from entrada.broker.oauth_errors import OAuthError
from entrada.broker.people import person_of, seal_sign_in
from entrada.broker.provider import Provider
from entrada.errors import (
    AccountDisabled,
    EntradaError,
    EntraRefused,
    InstallationRefused,
    StateMissing,
    TenantRefused,
    TokenRefused,
)
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.identification import Identified
from entrada.flows.pending import PendingSignIn
from entrada.sealing import Sealer
from entrada.sessions.session import SessionId
from entrada.web.ending import Ended
from entrada.web.messages import WebRequest, WebResponse

_FOR_THE_INSTALLATION = frozenset(
    {"login_required", "consent_required", "interaction_required", "access_denied"}
)
"""Refusals of Entra's that go on to the installation as they are."""


@dataclass(frozen=True, kw_only=True)
class BrokerEnding:
    """The ending of sign-ins that installations began. `sealer` seals what asking Entra again needs.

    `accounts` are the broker's own: whoever is disabled in them comes into no installation.
    """

    provider: Provider
    accounts: AccountStore
    sealer: Sealer

    def replaces(self, request: WebRequest) -> SessionId | None:
        del request
        return None

    def new_state(self) -> str | None:
        return None

    def complete(self, identified: Identified, pending: PendingSignIn, request: WebRequest) -> Ended:
        del request
        context = _context_of(pending)
        installation = self._installation(context)
        identity = identified.newcomer.identity
        if identity.tenant_id != installation.tenant_id:
            raise TenantRefused
        self._refuse_the_disabled(identity)
        now = self.provider.now()
        grant = Grant(
            id=new_grant_id(),
            client_id=installation.client_id,
            person=person_of(identified, installation),
            scopes=frozenset(context.scopes),
            begun_at=now,
            expires_at=now + GRANT_IDLE_LIFE,
            entra_session_id=identified.id_token.session_id,
            logout_hint=identified.id_token.login_hint,
            sealed_sign_in=seal_sign_in(identified, self.sealer),
            logout_address=installation.logout_address_for(context.redirect_uri),
            next_check_at=None if identified.refresh_token is None else self.provider.next_check(),
        )
        code = new_token(grant.id)
        self.provider.store.open_grant(
            grant,
            AuthorizationCode(
                hash=code.hash,
                grant_id=grant.id,
                client_id=installation.client_id,
                redirect_uri=context.redirect_uri,
                code_challenge=context.code_challenge,
                nonce=context.nonce,
                expires_at=now + CODE_LIFE,
            ),
        )
        try:
            self._refuse_the_disabled(identity)  # who was disabled meanwhile had no grant to be ended
        except AccountDisabled:
            disabled = Cause(actor=ENTRADA, reason="disabled meanwhile")
            self.provider.store.end_grants(now=now, grant_id=grant.id, cause=disabled)
            raise
        return Ended(
            user_id=UserId(subject_of(identity)),
            response=code_response(context.return_address, code.text, issuer=self.provider.issuer),
        )

    def _refuse_the_disabled(self, identity: EntraIdentity) -> None:
        account = self.accounts.find_by_identity(identity)
        if account is not None and not account.is_enabled:
            raise AccountDisabled

    def refused(self, error: EntradaError, pending: PendingSignIn) -> WebResponse | None:
        """An installation that asked for silence is told, and so is one whose person chose Cancel.

        Everything else is a page here, which says more than an error code could.
        """
        context = _context_of(pending)
        if isinstance(error, TokenRefused) and error.check == "auth_time":
            # Asked for a person who signs in anew, and none did: OpenID Connect Core 1.0, section 3.1.2.1.
            self._installation(context)
            stale = OAuthError("login_required", "nobody signed in as recently as was asked for")
            return error_response(context.return_address, stale, issuer=self.provider.issuer)
        if isinstance(error, EntraRefused) and error.error in _FOR_THE_INSTALLATION:
            told = OAuthError(error.error, "Microsoft Entra ID refused")
        elif pending.silent:
            told = OAuthError("interaction_required", f"refused: {error.code}")
        else:
            return None
        if not (pending.silent or told.error == "access_denied"):
            return None
        self._installation(context)
        return error_response(context.return_address, told, issuer=self.provider.issuer)

    def nothing_pending(self, response: AuthorizationResponse, request: WebRequest) -> WebResponse:
        del response, request
        raise StateMissing

    def _installation(self, context: BrokerContext) -> Installation:
        """The installation as it is listed now, which may be less than when the sign-in began.

        Raises:
            InstallationRefused: removed meanwhile, or its address was.
        """
        installation = self.provider.installation(context.client_id)
        if installation is None or not installation.is_let_in:
            raise InstallationRefused
        if not installation.takes_answers_at(context.redirect_uri):
            raise InstallationRefused("The application's address was taken off the list meanwhile.")
        return installation


def _context_of(pending: PendingSignIn) -> BrokerContext:
    context = read_context(pending.context)
    if context is None:
        raise StateMissing
    return context
