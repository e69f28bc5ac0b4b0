"""The part of a sign-in that says who it is: out to Entra, and back with a verified person.

Out: a pending sign-in and the address of Entra.
Back, one straight line: take the answer → redeem the code → verify the ID token → find the groups.
Much later, without the person: refresh → verify against that sign-in → find the groups.
Who may come in, and what they get, is not decided here.

Source: RFC 6749, section 4.1; OpenID Connect Core 1.0, sections 3.1 and 12; RFC 9207.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from entrada.accounts.admission import Newcomer
from entrada.accounts.email import is_in_domains
from entrada.accounts.groups import Group
from entrada.accounts.identity import UNNAMED, EntraIdentity, Profile
from entrada.accounts.roles import RoleMapping
from entrada.clock import Clock
from entrada.entra.application import EntraApplication
from entrada.entra.authority import TenantId
from entrada.entra.claims_request import auth_contexts_in, with_capabilities
from entrada.entra.entra_errors import AadstsContext, admin_consent_url, read_entra_error
from entrada.entra.id_token import (
    IdToken,
    IdTokenExpectations,
    RememberedSignIn,
    verify_id_token,
    verify_refreshed_id_token,
)
from entrada.entra.jws import RawRefreshToken, read_kid
from entrada.entra.token_response import TokenError, TokenResponse
from entrada.errors import (
    AdmissionRefused,
    EntraRefused,
    EntraUnavailable,
    RefusedPerson,
    ResponseRefused,
    SignInAlreadyUsed,
    SignInError,
    SignInExpired,
    TenantRefused,
    TokenRefused,
)
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.groups import GroupFinder, Groups
from entrada.flows.pending import SIGN_IN_LIFE, PendingSignIn
from entrada.sessions.session import SessionId

_ABOUT_THE_PERSON = frozenset(
    {"invalid_grant", "interaction_required", "consent_required", "login_required", "access_denied"}
)
_TRANSIENT = frozenset({"50196", "90033", "90055", "700005"})
"""AADSTS codes that come as invalid_grant and say nothing about the person."""
_ANOTHER_SIGN_IN = frozenset({"refresh", "iss", "tid", "aud", "azp", "oid", "sub"})
"""Checks that come after the signature: what fails them is Entra's own word about something else."""


def ends_access(error: SignInError) -> bool:
    """Whether a refused refresh means that this person's access is over until they sign in again.

    A disabled or deleted account, revoked sessions, a policy that wants the person back; a genuine token of
    another issuer, tenant, application or person (B31): yes. An expired client secret, a withdrawn key, a
    clock that is wrong: no, that is about us.

    Source: RFC 6749, section 5.2; Microsoft, "Handle errors and exceptions in MSAL"; "Microsoft Entra
    authentication and authorization error codes".
    """
    if isinstance(error, EntraRefused):
        return error.error in _ABOUT_THE_PERSON and error.aadsts not in _TRANSIENT
    if isinstance(error, TokenRefused):
        return error.check in _ANOTHER_SIGN_IN
    return isinstance(error, AdmissionRefused)


class SpentSignIns(Protocol):
    """Remembers which sign-ins were answered, in all processes; a SessionStore does."""

    def spend_sign_in(self, sign_in_id: str, *, expires_at: datetime) -> bool:
        """True for the first caller with this id, False for every later one."""


@dataclass(frozen=True, kw_only=True)
class Identified:
    """A verified person with the roles Entra gives them, and what it takes to ask again later."""

    newcomer: Newcomer
    id_token: IdToken
    refresh_token: RawRefreshToken | None = field(repr=False)
    groups: Groups = field(default_factory=Groups)
    """Those that were looked for: see `GroupFinder`."""


@dataclass(frozen=True, kw_only=True)
class Identification:
    """`tenants` are those that may sign in; None means the single tenant of the authority.

    `verified_domains` are e-mail domains that the single tenant owns.
    """

    application: EntraApplication
    groups: GroupFinder
    roles: RoleMapping
    spent: SpentSignIns
    clock: Clock
    response_mode: str
    tenants: frozenset[TenantId] | None = None
    verified_domains: frozenset[str] = frozenset()
    sign_in_life: timedelta = SIGN_IN_LIFE
    """How long a person may take at Microsoft."""

    def begin(
        self,
        *,
        redirect_uri: str,
        next_path: str,
        state: str | None = None,
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        max_age: timedelta | None = None,
        tenant_id: TenantId | None = None,
        context: str = "",
        replaces: SessionId | None = None,
        scopes: Sequence[str] = (),
        claims: str = "",
    ) -> tuple[PendingSignIn, str]:
        """What to remember in this browser, and where to send it.

        `state`, where somebody else reads it too, is theirs to make: unguessable, and never the same twice.
        `replaces` is the session this browser has now, for a response that comes without its cookie.
        `tenant_id` narrows the tenants that may sign in to one of them, for this sign-in.
        `scopes` are of an API that is to be called later, `claims` a claims request that is to be answered.

        Raises:
            EntraUnavailable: Entra's metadata was never read so far.
        """
        request = self.application.begin(
            state=state or secrets.token_urlsafe(32),
            redirect_uri=redirect_uri,
            response_mode=self.response_mode,
            prompt=prompt,
            login_hint=login_hint,
            domain_hint=domain_hint,
            max_age=max_age,
            scopes=scopes,
            claims=_to_send(scopes, claims),
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
            tenant_id=tenant_id,
            context=context,
            scopes=tuple(scopes),
            claims=claims,
        )
        return pending, request.url

    def complete(self, response: AuthorizationResponse, pending: PendingSignIn) -> Identified:
        """The person behind an answer. An answer counts once.

        Raises:
            SignInError: refused; see the tree in `entrada.errors`.
            Unavailable: Entra, Graph or the database did not answer.
        """
        code = self._take(response, pending)
        tokens = self._redeem(code, pending)
        id_token = self._verify(tokens, pending, code)
        if pending.tenant_id not in (None, id_token.tenant_id):
            raise _not_of_that_tenant(id_token)
        return self._identify(id_token, self._with_graph_token(tokens, pending))

    def refresh(self, remembered: RememberedSignIn, refresh_token: RawRefreshToken) -> Identified:
        """The same person as Entra sees them today, without asking them anything.

        Raises:
            SignInError: refused; `ends_access` says if that is the end of this person's access.
            EntraUnavailable: nobody knows; ask again later.
        """
        tokens = self.application.refresh(refresh_token)
        if isinstance(tokens, TokenError):
            raise self.refusal(tokens.error, tokens.description)
        id_token = self._verify_refreshed(tokens, remembered)
        return self._identify(id_token, tokens)

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
        if pending.is_expired(now, self.sign_in_life):
            raise SignInExpired
        if not self.spent.spend_sign_in(pending.state, expires_at=now + self.sign_in_life):
            raise SignInAlreadyUsed
        self._check_issuer(response)
        if response.error is not None:
            raise self.refusal(response.error, response.error_description, pending.redirect_uri)
        assert response.code is not None
        return response.code

    def _check_issuer(self, response: AuthorizationResponse) -> None:
        """RFC 9207: another issuer named is a mix-up, and so is silence where naming was promised."""
        metadata = self.application.metadata()
        if response.issuer is None:
            if metadata.sends_issuer_parameter:
                raise ResponseRefused("This sign-in answer does not say who it is from.")
            return
        tenants = self.allowed_tenants()
        if response.issuer not in {metadata.issuer_of(tenant) for tenant in tenants}:
            raise ResponseRefused("This sign-in answer comes from another issuer.")

    def _redeem(self, code: str, pending: PendingSignIn) -> TokenResponse:
        answer = self.application.redeem(
            code,
            state=pending.state,
            redirect_uri=pending.redirect_uri,
            code_verifier=pending.code_verifier,
            nonce=pending.nonce,
            scopes=pending.scopes,
            claims=_to_send(pending.scopes, pending.claims),
        )
        if isinstance(answer, TokenError):
            raise self.refusal(answer.error, answer.description, pending.redirect_uri)
        return answer

    def _verify(self, tokens: TokenResponse, pending: PendingSignIn, code: str) -> IdToken:
        return verify_id_token(
            tokens.id_token,
            keys=self.application.keys_for(read_kid(tokens.id_token)),
            expected=self._expectations(
                nonce=pending.sent_nonce,
                max_age=self._max_age(pending),
                auth_contexts=auth_contexts_in(pending.claims),
            ),
            now=self.clock.now(),
            access_token=tokens.access_token,
            code=code,
        )

    def _with_graph_token(self, tokens: TokenResponse, pending: PendingSignIn) -> TokenResponse:
        """With Graph's access token in the place of another API's, where groups may be asked about."""
        own, refresh_token = self.application.own_scopes, tokens.refresh_token
        if not (own and pending.scopes) or refresh_token is None:
            return tokens
        if {scope.rpartition("/")[0] for scope in (*own, *pending.scopes)} == {
            self.application.authority.graph_url
        }:
            return tokens
        again = self.application.refresh(refresh_token)
        return tokens if isinstance(again, TokenError) else replace(tokens, access_token=again.access_token)

    def _max_age(self, pending: PendingSignIn) -> timedelta | None:
        """What was asked for, or the time since then: who signed in meanwhile is fresh, however slow."""
        if pending.max_age_seconds is None:
            return None
        since_asked = timedelta(seconds=self.clock.now().timestamp() - pending.begun_at)
        return max(timedelta(seconds=pending.max_age_seconds), since_asked)

    def _verify_refreshed(self, tokens: TokenResponse, remembered: RememberedSignIn) -> IdToken:
        return verify_refreshed_id_token(
            tokens.id_token,
            keys=self.application.keys_for(read_kid(tokens.id_token)),
            expected=self._expectations(nonce=remembered.nonce),
            previous=remembered,
            now=self.clock.now(),
            access_token=tokens.access_token,
        )

    def _expectations(
        self, *, nonce: str, max_age: timedelta | None = None, auth_contexts: frozenset[str] = frozenset()
    ) -> IdTokenExpectations:
        return IdTokenExpectations(
            client_id=self.application.client_id,
            issuer_template=self.application.metadata().issuer_template,
            is_one_issuer=self.application.authority.is_broker,
            allowed_tenants=self.allowed_tenants(),
            nonce=nonce,
            max_age=max_age,
            auth_contexts=auth_contexts,
        )

    def _identify(self, id_token: IdToken, tokens: TokenResponse) -> Identified:
        """The groups that matter: from the token, or from Graph where the token could not hold them."""
        now = self.clock.now()
        groups = self.groups.of_person(
            id_token, mapping=self.roles, access_token=tokens.access_token, now=now
        )
        grants = self.roles.grants(
            tenant_id=id_token.tenant_id,
            app_roles=id_token.roles,
            group_ids=groups.ids,
            group_names=groups.names,
            now=now,
        )
        newcomer = Newcomer(
            identity=EntraIdentity(tenant_id=id_token.tenant_id, object_id=id_token.object_id),
            profile=self._profile(id_token),
            home_tenant=id_token.home_tenant,
            grants=grants,
            membership=groups.membership,
        )
        return Identified(
            newcomer=newcomer, id_token=id_token, refresh_token=tokens.refresh_token, groups=groups
        )

    def _profile(self, id_token: IdToken) -> Profile:
        vouched = id_token.email_is_verified
        if vouched is None:
            # Entra says neither: the administrator's list decides, for accounts of this tenant alone.
            vouched = (
                id_token.home_tenant == id_token.tenant_id
                and id_token.email is not None
                and is_in_domains(id_token.email, self.verified_domains)
            )
        return Profile(
            name=id_token.name or id_token.preferred_username or UNNAMED,
            email=id_token.email,
            username=id_token.preferred_username,
            is_guest=id_token.is_guest,
            email_is_verified=vouched,
            given_name=id_token.given_name,
            family_name=id_token.family_name,
        )

    def asks_about(self, group: Group) -> bool:
        """Whether it is found out who is in that group."""
        return self.groups.asks_about(group, mapping=self.roles)

    def allowed_tenants(self) -> frozenset[TenantId]:
        """Whose people may sign in.

        Raises:
            EntraUnavailable: Entra's metadata was never read so far.
        """
        if self.tenants is not None:
            return self.tenants
        own = self.application.metadata().tenant_id
        if own is None:
            raise EntraUnavailable(reason="the metadata names no tenant")
        return frozenset({own})

    def refusal(self, error: str, description: str, redirect_uri: str | None = None) -> EntraRefused:
        """What an OAuth error of Entra's means here, in words."""
        authority = self.application.authority
        return read_entra_error(
            error,
            description,
            context=AadstsContext(
                redirect_uri=redirect_uri,
                tenant=authority.tenant,
                client_id=self.application.client_id,
                admin_consent_url=admin_consent_url(
                    login_url=authority.login_url,
                    tenant=authority.tenant,
                    client_id=self.application.client_id,
                    redirect_uri=redirect_uri,
                ),
            ),
        )


def _to_send(scopes: Sequence[str], claims: str) -> str:
    """Who calls APIs understands their challenges, and says so; a mere sign-in does not speak of it."""
    return with_capabilities(claims) if scopes or claims else ""


def _not_of_that_tenant(id_token: IdToken) -> TenantRefused:
    error = TenantRefused()
    error.refused = RefusedPerson(
        name=id_token.name,
        account=id_token.preferred_username or id_token.email,
        tenant_id=id_token.tenant_id,
        object_id=id_token.object_id,
        roles=tuple(sorted(id_token.roles)),
    )
    return error
