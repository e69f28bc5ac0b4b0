"""Every address of a broker: those of its own sign-in, and those that installations call.

    GET, POST  /auth/broker/authorize             an installation sends a person here
    POST       /auth/broker/token                 a code or a refresh token becomes tokens
    GET, POST  /auth/broker/userinfo              the person behind an access token
    GET, POST  /auth/broker/installations         who is in and who asks; for administrators
    GET, POST  /auth/broker/logout                an installation signs a person out
    GET        /auth/broker/jwks.json             the keys
    GET        /.well-known/openid-configuration  and oauth-authorization-server: what there is

No response here is a 500, whatever an installation sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from entrada.audit.acts import ENTRA, Cause
from entrada.broker import admission_pages, discovery, end_session, installation_pages
from entrada.broker.oauth_errors import OAuthError
from entrada.broker.sign_in import BrokerSignIn
from entrada.broker.token import refusal, token
from entrada.broker.userinfo import userinfo
from entrada.errors import InstallationRefused, Unavailable
from entrada.events import Event, record
from entrada.web import sign_in_routes, sign_out_routes
from entrada.web.auth import Auth, Route
from entrada.web.auth_routes import AuthRoutes
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.refusals import page_response


@dataclass(frozen=True, kw_only=True)
class BrokerRoutes(AuthRoutes):
    """The sign-in pages of the broker itself, with the provider's addresses beside them."""

    broker: BrokerSignIn
    ca_bundle: Path | None = None
    """Authorities trusted besides the system's, for delivering logout tokens, too."""
    sessions_last: timedelta = timedelta(days=1)
    """How long a session lasts at most, here and as far as is known at installations."""

    def owns(self, path: str) -> bool:
        return super().owns(path) or path in self._provider_routes

    @cached_property
    def _routes(self) -> Mapping[str, Mapping[str, Route]]:
        own: dict[str, Mapping[str, Route]] = {**super()._routes, **self._provider_routes}
        for path in self.site.callback_routes:
            own[path] = {"GET": self._callback, "POST": self._callback}
        own[self.site.front_channel_path] = {"GET": self._front_channel}
        own[self.site.signed_out_path] = {"GET": self._signed_out}
        return own

    @cached_property
    def _provider_routes(self) -> Mapping[str, Mapping[str, Route]]:
        at = self.broker.provider.addresses
        authorize = self._served(self._authorize)
        provider = self.broker.provider
        person, sign_out = self._from_clients(userinfo), self._served(self._end_session)
        documents: Route = self._from_clients(discovery.openid_discovery)
        return {
            at.authorize_path: {"GET": authorize, "POST": authorize},
            at.token_path: {"POST": self._from_clients(token)},
            at.installations_path: {
                "GET": lambda auth, request: installation_pages.overview(auth, provider, request),
                "POST": self._installations_form,
            },
            at.userinfo_path: {"GET": person, "POST": person},
            at.end_session_path: {"GET": sign_out, "POST": sign_out},
            at.jwks_path: {"GET": self._from_clients(discovery.jwks_document)},
            at.openid_discovery_path: {"GET": documents},
            at.oauth_discovery_path: {"GET": documents},
        }

    def _authorize(self, request: WebRequest) -> WebResponse:
        try:
            return self.broker.authorize(request)
        except InstallationRefused:
            pairs = request.form_pairs() if request.method == "POST" else request.query_pairs()
            provider = self.broker.provider
            applicant = admission_pages.applicant_of(pairs, provider)
            if applicant is None or provider.installation(applicant.public_url) is not None:
                raise
            return admission_pages.page_for_applicant(self, applicant, provider.addresses.installations_path)

    def _installations_form(self, auth: Auth, request: WebRequest) -> WebResponse:
        provider, wanted = self.broker.provider, request.first("ask")
        if wanted is not None:
            return admission_pages.ask(auth, provider, request, wanted)
        return installation_pages.change(auth, provider, request)

    def _callback(self, auth: Auth, request: WebRequest) -> WebResponse:
        response = self.broker.callback(request)
        return sign_in_routes.callback(auth, request) if response is None else response

    def _front_channel(self, auth: Auth, request: WebRequest) -> WebResponse:
        """Entra names a session: it ends here and at every installation it signed the person in to."""
        provider = self.broker.provider

        def end(entra_session_id: str) -> int:
            cause = Cause(actor=ENTRA, reason="signed out at Entra")
            ended = provider.store.end_grants(
                now=provider.now(), entra_session_id=entra_session_id, cause=cause
            )
            return len(ended)

        return sign_out_routes.front_channel(auth, request, end_elsewhere=end)

    def _end_session(self, request: WebRequest) -> WebResponse:
        """Ends what the hint names, here and at Entra; then back to the installation."""
        provider, walk = self.broker.provider, self.relying_party.sign_out
        asked = end_session.read_sign_out_request(provider, request)
        if asked.grant is None:
            # Nothing proves that the person asked for this: a link alone signs nobody out.
            return redirect(asked.return_to) if asked.return_to else self._signed_out_page()
        ended = end_session.end_everywhere(provider, asked)
        record(Event.SIGNED_OUT, count=ended, client_id=asked.grant.client_id)
        back = end_session.remember_return(asked, self.pending.sealer, now=provider.now())
        entra_url = walk.entra_url(
            asked.grant.logout_hint,
            post_logout_redirect_uri=self.site.urls[0] + self.site.signed_out_path,
        )
        rules = self.site.cookie_rules(request)
        life = int(end_session.RETURN_LIFE.total_seconds())
        cookies = [] if back is None else [rules.set(end_session.RETURN_COOKIE, back, max_age_seconds=life)]
        return redirect(entra_url or asked.return_to or self.site.signed_out_path, cookies=cookies)

    def _signed_out(self, auth: Auth, request: WebRequest) -> WebResponse:
        """Back from Entra: on to the installation that began it, if this browser was sent by one."""
        rules = self.site.cookie_rules(request)
        values = request.cookies_named(rules.name(end_session.RETURN_COOKIE))
        back = end_session.remembered_return(values, self.pending.sealer, now=self.broker.provider.now())
        if back is None:
            return sign_out_routes.signed_out(auth, request)
        return redirect(back, cookies=[rules.delete(end_session.RETURN_COOKIE)])

    def _signed_out_page(self) -> WebResponse:
        return page_response(self.pages.signed_out(login_path=self.site.login_path))

    def _served(self, respond: Callable[[WebRequest], WebResponse]) -> Route:
        return lambda _, request: respond(request)

    def _from_clients(self, endpoint: Callable[..., WebResponse]) -> Route:
        """An endpoint that programs call: what goes wrong on our side is a document, too."""

        def respond(_: Auth, request: WebRequest) -> WebResponse:
            try:
                return endpoint(self.broker.provider, request)
            except Unavailable as error:
                refused = OAuthError(
                    "temporarily_unavailable", "the sign-in service cannot answer now", status=503
                )
                record(Event.REQUEST_REFUSED, code=error.code, status=503)
                return refusal(refused)

        return respond
