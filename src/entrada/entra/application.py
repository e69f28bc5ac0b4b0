"""One registered application at one authority, spoken for by MSAL.

Owns building the authorization request, redeeming the code, refreshing, and the sign-out address.
MSAL runs over our pooled transport and caches no tokens: its cache grows with every person who signs in.
What MSAL gives back is not verified; `entrada.entra.id_token` does that (MSAL 1.39 checks no ID token).

Source: RFC 6749 sections 4.1.1-4.1.4 and 6; RFC 7636; Microsoft, "OAuth 2.0 authorization code flow".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msal

from entrada.entra.authority import Authority, Metadata, TenantId, read_metadata
from entrada.entra.credential import ClientCredential
from entrada.entra.discovery import Discovered, Discovery, fetch_metadata
from entrada.entra.jws import RawAccessToken, RawRefreshToken
from entrada.entra.key_ring import KeyRing
from entrada.entra.keys import KeySet
from entrada.entra.msal_transport import (
    MsalHttpClient,
    NoHttpCache,
    NoTokenCache,
    msal_authority,
)
from entrada.entra.token_response import TokenError, TokenResponse, read_token_response
from entrada.entra.transport import HttpTransport
from entrada.errors import (
    BrokerUnavailable,
    EntradaError,
    EntraUnavailable,
    TokenRefused,
)

SIGN_IN_SCOPES = ("email",)
_ADDED_BY_MSAL = ("openid", "profile", "offline_access")
"""To the authorization request and to a refresh, but not to the redemption of a code."""


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """What begins a sign-in: the address to send the browser to, and what must be remembered to finish."""

    url: str
    state: str
    redirect_uri: str
    code_verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    """MSAL's nonce; it goes out hashed."""
    sent_nonce: str = field(repr=False)
    """The nonce as it stands in the request, and so in the ID token."""


class EntraApplication:
    """A confidential client. Threads share one; its only changing state is what discovery said.

    `scopes` are those beside the sign-in's own, for example `https://graph.microsoft.com/User.Read`.
    `credentials` are tried in turn: the first that Entra accepts is used until it no longer is.
    """

    def __init__(
        self,
        *,
        authority: Authority,
        client_id: str,
        credentials: Sequence[ClientCredential],
        transport: HttpTransport,
        clock: Callable[[], datetime],
        scopes: Sequence[str] = (),
    ) -> None:
        self.authority = authority
        self.client_id = client_id
        self._credentials = credentials
        self._transport = transport
        self._clock = clock
        self._scopes = [*SIGN_IN_SCOPES, *scopes]
        self._discovery = Discovery(self._discover, clock=clock)

    def at_tenant(self, tenant_id: TenantId) -> EntraApplication:
        """The same registration, asked for the people of one tenant alone."""
        return EntraApplication(
            authority=replace(self.authority, tenant=tenant_id),
            client_id=self.client_id,
            credentials=self._credentials,
            transport=self._transport,
            clock=self._clock,
            scopes=self.own_scopes,
        )

    def metadata(self) -> Metadata:
        """The checked metadata, fetched at first use and once a day.

        Raises:
            EntraUnavailable: discovery never succeeded so far.
            DiscoveryRefused: it answered with something the settings do not promise.
        """
        return self._discovery.ready().metadata

    @property
    def is_ready(self) -> bool:
        """Whether `begin` and `sign_out_url` will answer from memory, now and for the next minute."""
        return self._discovery.is_ready

    def fresh_keys(self) -> KeySet | None:
        """The signing keys, if they and the metadata are known and nothing is due. Never waits."""
        known = self._discovery.known
        return known.key_ring.fresh_keys() if known is not None and self.is_ready else None

    @property
    def keys_fetched_at(self) -> datetime | None:
        """When Entra's signing keys were last read; None: not yet. Asks nobody."""
        known = self._discovery.known
        return None if known is None else known.key_ring.state.fetched_at

    def keys_for(self, kid: str | None) -> KeySet:
        """The keys to verify a token that names `kid`; see `KeyRing.keys_for`."""
        with self._outage_named():
            return self._discovery.ready().key_ring.keys_for(kid)

    def begin(
        self,
        *,
        state: str,
        redirect_uri: str,
        response_mode: str,
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        max_age: timedelta | None = None,
        scopes: Sequence[str] = (),
        claims: str = "",
    ) -> AuthorizationRequest:
        """The authorization request: code flow, PKCE S256, a nonce of its own.

        `scopes` are those of an API to be called later, `claims` the JSON of a claims request.
        """
        client = self._discovery.ready().clients[0]
        flow = client.initiate_auth_code_flow(
            self._scopes_with(scopes),
            claims_challenge=claims or None,
            redirect_uri=redirect_uri,
            state=state,
            prompt=prompt,
            login_hint=login_hint,
            # A broker that does not know this application yet is told whose people it is for.
            domain_hint=domain_hint or (self.authority.tenant if self.authority.is_broker else None),
            max_age=None if max_age is None else int(max_age.total_seconds()),
            response_mode=response_mode,
        )
        sent = parse_qs(urlsplit(flow["auth_uri"]).query)
        return AuthorizationRequest(
            url=flow["auth_uri"],
            state=flow["state"],
            redirect_uri=redirect_uri,
            code_verifier=flow["code_verifier"],
            nonce=flow["nonce"],
            sent_nonce=sent["nonce"][0],
        )

    def redeem(
        self,
        code: str,
        *,
        state: str,
        redirect_uri: str,
        code_verifier: str,
        nonce: str,
        scopes: Sequence[str] = (),
        claims: str = "",
    ) -> TokenResponse | TokenError:
        """The tokens for a code, or Entra's refusal. A code is sent once per credential, never twice.

        `scopes` and `claims` as they were given to `begin`.

        Raises:
            EntraUnavailable: no usable answer.
            TokenRefused: an answer whose ID token MSAL could not even take apart.
        """

        def redeem_through(client: Any) -> Mapping[str, Any]:
            flow = {
                "state": state,
                "redirect_uri": redirect_uri,
                # All that was asked for: a provider may give no more than the redemption names.
                "scope": [*_ADDED_BY_MSAL, *self._scopes_with(scopes)],
                "code_verifier": code_verifier,
                "nonce": nonce,
                "claims_challenge": claims or None,
            }
            # Only code and state: MSAL would decode whatever else the visitor put into the query.
            answer: Mapping[str, Any] = client.acquire_token_by_auth_code_flow(
                flow, {"code": code, "state": state}
            )
            return answer

        return self._ask(redeem_through)

    def refresh(self, refresh_token: RawRefreshToken) -> TokenResponse | TokenError:
        """New tokens for the person who signed in earlier, or Entra's refusal.

        Entra may answer with a new refresh token; the old one stays good for its own time.

        Raises:
            EntraUnavailable: no usable answer.
            TokenRefused: an answer whose ID token MSAL could not even take apart.
        Source: RFC 6749, section 6; Microsoft, "Refresh tokens in the Microsoft identity platform".
        """
        return self._ask(lambda client: client.acquire_token_by_refresh_token(refresh_token, self._scopes))

    def token_for_itself(self, scope: str) -> tuple[RawAccessToken, timedelta]:
        """An access token in this application's own name, and how long it lives.

        Raises:
            EntraUnavailable: no usable answer, or a refusal.
        Source: RFC 6749, section 4.4.
        """
        result = self.ask(lambda client: client.acquire_token_for_client([scope]))
        token, seconds = result.get("access_token"), result.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise EntraUnavailable(
                reason=f"the token endpoint answered {str(result.get('error', 'no token'))[:100]}",
                answered=True,
            )
        return RawAccessToken(token), timedelta(seconds=seconds)

    def sign_out_url(self, *, post_logout_redirect_uri: str, logout_hint: str | None) -> str | None:
        """Where Entra ends its own session; None if it names no such place.

        `client_id` is sent because strict providers come back for no other reason. `state` is not: nothing
        here depends on the way back.

        Source: OpenID Connect RP-Initiated Logout 1.0, section 2.
        """
        endpoint = self.metadata().end_session_endpoint
        if endpoint is None:
            return None
        query = {"client_id": self.client_id, "post_logout_redirect_uri": post_logout_redirect_uri}
        if logout_hint is not None:
            query["logout_hint"] = logout_hint
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def ask(self, question: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What Entra says to the first credential that it accepts, or to the last. `question` is put by MSAL.

        Raises:
            EntraUnavailable: no usable answer.
            TokenRefused: an answer whose ID token MSAL could not even take apart.
        """
        discovered = self._discovery.ready()
        answer: Mapping[str, Any] = {"error": "invalid_client"}
        for client in tuple(discovered.clients):
            with self._outage_named():
                answer = _asked(question, client)
            if answer.get("error") != "invalid_client":
                discovered.prefer(client)
                break
        return answer

    def _ask(self, question: Callable[[Any], Mapping[str, Any]]) -> TokenResponse | TokenError:
        with self._outage_named():
            return read_token_response(self.ask(question))

    @property
    def own_scopes(self) -> Sequence[str]:
        """What a sign-in asks for of Graph, so that groups can be found."""
        return self._scopes[len(SIGN_IN_SCOPES) :]

    def _scopes_with(self, scopes: Sequence[str]) -> list[str]:
        """Tokens are for one API: another one's scopes stand in the place of our own of Graph."""
        if not scopes:
            return self._scopes
        apis = {scope.rpartition("/")[0] for scope in (*scopes, *self.own_scopes)}
        is_default = any(scope.endswith("/.default") for scope in scopes)
        own = self._scopes if len(apis) == 1 and not is_default else SIGN_IN_SCOPES
        return [*own, *(scope for scope in scopes if scope not in own)]

    @contextmanager
    def _outage_named(self) -> Iterator[None]:
        """Who does not answer is the broker, where there is one."""
        try:
            yield
        except BrokerUnavailable:
            raise
        except EntraUnavailable as error:
            if not self.authority.is_broker:
                raise
            raise BrokerUnavailable(
                reason=error.reason,
                answered=error.answered,
                hint=None if error.hint == EntraUnavailable.default_hint else error.hint,
                retry_after_seconds=error.retry_after_seconds,
            ) from None

    def _discover(self, before: Discovered | None) -> Discovered:
        now = self._clock()
        with self._outage_named():
            document = fetch_metadata(self._transport, self.authority)
            metadata = read_metadata(document, self.authority)
            http_client = MsalHttpClient(
                self._transport, metadata=document, token_endpoint=metadata.token_endpoint
            )
            return Discovered(
                metadata=metadata,
                clients=[self._client(credential, http_client) for credential in self._credentials],
                key_ring=self._key_ring(metadata.jwks_uri, before),
                at=now,
            )

    def _key_ring(self, jwks_uri: str, before: Discovered | None) -> KeyRing:
        """The ring in use as long as the keys stay where they are: it may hold good keys in an outage."""
        if before is not None and before.metadata.jwks_uri == jwks_uri:
            return before.key_ring
        return KeyRing(self._transport, jwks_uri, clock=self._clock)

    def _client(self, credential: ClientCredential, http_client: MsalHttpClient) -> Any:
        shown = credential.for_msal()
        kind = msal.PublicClientApplication if shown is None else msal.ConfidentialClientApplication
        return kind(
            self.client_id,
            **({} if shown is None else {"client_credential": shown}),
            authority=msal_authority(self.authority),
            instance_discovery=False,
            http_client=http_client,
            token_cache=NoTokenCache(),
            http_cache=NoHttpCache(),
        )


def _asked(question: Callable[[Any], Mapping[str, Any]], client: Any) -> Mapping[str, Any]:
    try:
        return question(client)
    except EntradaError:
        raise
    except Exception as error:
        # MSAL takes the unverified ID token apart to compare its nonce, and raises what the bytes provoke.
        check = "nonce" if "nonce" in str(error) else "form"
        raise TokenRefused(check, "MSAL could not accept the ID token") from None
