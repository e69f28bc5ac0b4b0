"""The walk of a sign-in, out and back.

Out: a pending sign-in and the address of Entra.
Back, one straight line: take the answer → redeem the code → verify the ID token → find the groups → admit
the person → open a session. Whatever fails on the way ends it: nothing half-made stays behind.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from entrada.accounts.admission import AdmissionPolicy, Newcomer, admit
from entrada.accounts.email import is_in_domains
from entrada.accounts.identity import EntraIdentity, Profile, User
from entrada.accounts.store import AccountStore
from entrada.entra.aadsts import AadstsContext, admin_consent_url, read_entra_error
from entrada.entra.application import EntraApplication, TokenError, TokenResponse
from entrada.entra.authority import TenantId
from entrada.entra.claims import IdToken
from entrada.entra.jws import read_kid
from entrada.entra.verification import IdTokenExpectations, verify_id_token
from entrada.errors import (
    EntraRefused,
    EntraUnavailable,
    ResponseRefused,
    SignInAlreadyUsed,
    SignInExpired,
)
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.clock import Clock
from entrada.flows.groups import GroupFinder, Groups
from entrada.flows.pending import PENDING_LIFE, PendingSignIn
from entrada.flows.session_check import find_proven, new_session_limits
from entrada.sessions.session import Session, SessionId, SessionPolicy
from entrada.sessions.store import SessionStore
from entrada.sessions.token import SessionToken, new_session_token

ANSWERABLE_BY_A_PERSON = frozenset({"login_required", "interaction_required", "consent_required"})
"""Errors of a silent request (prompt=none) that an interactive one may mend."""


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """The end of the walk: the account, the new session, and the token for its cookie."""

    user: User
    session: Session
    token: SessionToken


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """`tenants` are those that may sign in; None means the single tenant of the authority.

    `verified_domains` are e-mail domains that the single tenant owns.
    """

    application: EntraApplication
    groups: GroupFinder
    accounts: AccountStore
    sessions: SessionStore
    admission: AdmissionPolicy
    session_policy: SessionPolicy
    clock: Clock
    response_mode: str
    tenants: frozenset[TenantId] | None = None
    verified_domains: frozenset[str] = frozenset()

    def begin(
        self,
        *,
        redirect_uri: str,
        next_path: str,
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        max_age: timedelta | None = None,
        replaces: SessionId | None = None,
    ) -> tuple[PendingSignIn, str]:
        """What to remember in this browser, and where to send it.

        `replaces` is the session this browser has now, for an answer that comes without its cookie.

        Raises:
            EntraUnavailable: Entra's metadata was never read so far.
        """
        request = self.application.begin(
            state=secrets.token_urlsafe(32),
            redirect_uri=redirect_uri,
            response_mode=self.response_mode,
            prompt=prompt,
            login_hint=login_hint,
            domain_hint=domain_hint,
            max_age=max_age,
        )
        pending = PendingSignIn(
            state=request.state,
            code_verifier=request.code_verifier,
            nonce=request.nonce,
            sent_nonce=request.sent_nonce,
            redirect_uri=redirect_uri,
            next_path=next_path,
            authority_url=self.application.authority.url,
            client_id=self.application.client_id,
            begun_at=int(self.clock.now().timestamp()),
            replaces=replaces,
            silent=prompt == "none",
            max_age_seconds=None if max_age is None else int(max_age.total_seconds()),
        )
        return pending, request.url

    def complete(
        self, response: AuthorizationResponse, pending: PendingSignIn, *, replaces: SessionToken | None = None
    ) -> SignedIn:
        """The person behind an answer, signed in. The session that `replaces` proves ends with it.

        Raises:
            SignInError: refused; see the tree in `entrada.errors`.
            Unavailable: Entra, Graph or the database did not answer.
        """
        code = self._take(response, pending)
        tokens = self._redeem(code, pending)
        id_token = self._verify(tokens, pending, code)
        groups = self._find_groups(id_token, tokens)
        user = self._admit(id_token, groups)
        return self._open_session(user, id_token, replaces=self._session_to_replace(replaces, pending))

    def _take(self, response: AuthorizationResponse, pending: PendingSignIn) -> str:
        """The code, if this is the answer to that sign-in, in time, for the first time."""
        if not hmac.compare_digest(response.state.encode(), pending.state.encode()):
            raise ResponseRefused
        if (pending.authority_url, pending.client_id) != (
            self.application.authority.url,
            self.application.client_id,
        ):
            raise ResponseRefused("This sign-in was begun with another tenant or application.")
        now = self.clock.now()
        if pending.is_expired(now):
            raise SignInExpired
        if not self.sessions.spend_sign_in(pending.state, expires_at=now + PENDING_LIFE):
            raise SignInAlreadyUsed
        self._check_issuer(response)
        if response.error is not None:
            raise self._refusal(response.error, response.error_description, pending)
        assert response.code is not None
        return response.code

    def _check_issuer(self, response: AuthorizationResponse) -> None:
        """RFC 9207: another issuer named is a mix-up, and so is silence where naming was promised."""
        metadata = self.application.metadata()
        if response.issuer is None:
            if metadata.sends_issuer_parameter:
                raise ResponseRefused("This sign-in answer does not say who it is from.")
            return
        tenants = self._allowed_tenants()
        if response.issuer not in {metadata.issuer_of(tenant) for tenant in tenants}:
            raise ResponseRefused("This sign-in answer comes from another issuer.")

    def _redeem(self, code: str, pending: PendingSignIn) -> TokenResponse:
        answer = self.application.redeem(
            code,
            state=pending.state,
            redirect_uri=pending.redirect_uri,
            code_verifier=pending.code_verifier,
            nonce=pending.nonce,
        )
        if isinstance(answer, TokenError):
            raise self._refusal(answer.error, answer.description, pending)
        return answer

    def _verify(self, tokens: TokenResponse, pending: PendingSignIn, code: str) -> IdToken:
        metadata = self.application.metadata()
        return verify_id_token(
            tokens.id_token,
            keys=self.application.keys_for(read_kid(tokens.id_token)),
            expected=IdTokenExpectations(
                client_id=self.application.client_id,
                issuer_template=metadata.issuer_template,
                allowed_tenants=self._allowed_tenants(),
                nonce=pending.sent_nonce,
                max_age=None
                if pending.max_age_seconds is None
                else timedelta(seconds=pending.max_age_seconds),
            ),
            now=self.clock.now(),
            access_token=tokens.access_token,
            code=code,
        )

    def _find_groups(self, id_token: IdToken, tokens: TokenResponse) -> Groups:
        """The groups that matter: from the token, or from Graph where the token could not hold them."""
        return self.groups.of_person(
            id_token,
            mapping=self.admission.roles,
            access_token=tokens.access_token,
            now=self.clock.now(),
        )

    def _admit(self, id_token: IdToken, groups: Groups) -> User:
        now = self.clock.now()
        newcomer = Newcomer(
            identity=EntraIdentity(tenant_id=id_token.tenant_id, object_id=id_token.object_id),
            profile=self._profile(id_token),
            home_tenant=id_token.home_tenant,
            grants=self.admission.roles.grants(
                tenant_id=id_token.tenant_id,
                app_roles=id_token.roles,
                group_ids=groups.ids,
                group_names=groups.names,
                now=now,
            ),
        )
        return admit(newcomer, policy=self.admission, accounts=self.accounts, now=now)

    def _profile(self, id_token: IdToken) -> Profile:
        in_owned_domain = (
            not id_token.is_guest
            and id_token.email is not None
            and is_in_domains(id_token.email, self.verified_domains)
        )
        return Profile(
            name=id_token.name or id_token.preferred_username or "Unnamed person",
            email=id_token.email,
            username=id_token.preferred_username,
            is_guest=id_token.is_guest,
            email_is_verified=id_token.email_is_verified or in_owned_domain,
        )

    def _session_to_replace(self, token: SessionToken | None, pending: PendingSignIn) -> SessionId | None:
        """The session of this browser: by its cookie, or, where a cross-site POST came without, as begun."""
        session = find_proven(self.sessions, token)
        return pending.replaces if session is None else session.id

    def _open_session(self, user: User, id_token: IdToken, *, replaces: SessionId | None) -> SignedIn:
        now, token = self.clock.now(), new_session_token()
        idle_expires_at, absolute_expires_at = new_session_limits(now, self.session_policy)
        session = Session(
            id=token.id,
            secret_hash=token.secret_hash,
            user_id=user.id,
            identity=EntraIdentity(tenant_id=id_token.tenant_id, object_id=id_token.object_id),
            created_at=now,
            last_seen_at=now,
            idle_expires_at=idle_expires_at,
            absolute_expires_at=absolute_expires_at,
            entra_session_id=id_token.session_id,
            logout_hint=id_token.login_hint,
        )
        self.sessions.open(session, replaces=replaces)
        return SignedIn(user=user, session=session, token=token)

    def _allowed_tenants(self) -> frozenset[TenantId]:
        if self.tenants is not None:
            return self.tenants
        own = self.application.metadata().tenant_id
        if own is None:
            raise EntraUnavailable(reason="the metadata names no tenant")
        return frozenset({own})

    def _refusal(self, error: str, description: str, pending: PendingSignIn) -> EntraRefused:
        authority = self.application.authority
        return read_entra_error(
            error,
            description,
            context=AadstsContext(
                redirect_uri=pending.redirect_uri,
                tenant=authority.tenant,
                client_id=self.application.client_id,
                admin_consent_url=admin_consent_url(
                    login_url=authority.login_url,
                    tenant=authority.tenant,
                    client_id=self.application.client_id,
                ),
            ),
        )
