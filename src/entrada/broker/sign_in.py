"""A sign-in that an installation asked for: its request → the one walk at that tenant → `BrokerEnding`.

Source: OpenID Connect Core 1.0, section 3.1.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from urllib.parse import urlencode

from entrada.accounts.store import AccountStore
from entrada.broker.authorization_request import (
    PARAMETERS,
    read_authorization_request,
    read_client_id,
    read_return_address,
)
from entrada.broker.authorization_response import error_response
from entrada.broker.context import BrokerContext, context_of, read_context
from entrada.broker.ending import BrokerEnding
from entrada.broker.installations import Installation
from entrada.broker.oauth_errors import OAuthError, invalid_request
from entrada.broker.provider import Provider
from entrada.entra.authority import parse_guid
from entrada.errors import InstallationRefused
from entrada.flows.identification import Identification
from entrada.sealing import Sealer
from entrada.web.messages import WebRequest, WebResponse, not_early
from entrada.web.sign_in import SignInRequest, WebSignIn
from entrada.web.site import Site

LARGEST_COOKIE = 4_096
"""Name and value together, as browsers take them (RFC 6265bis, section 5.6)."""


class AuthorizeSite(Site):
    """The broker's addresses as a page of such a sign-in names them: again means the whole request again.

    The broker's own sign-in page would lead an installation's person to an account they do not look for.
    """

    @property
    def offers_login(self) -> bool:
        return False

    def start_at(self, next_path: str | None, *, prompt: str | None = None) -> str:
        again = next_path or self.front_page
        if prompt is None or "prompt=" in again:
            return again
        return f"{again}&prompt={prompt}"


@dataclass(frozen=True, kw_only=True)
class BrokerSignIn:
    """`web` is the broker's own sign-in, whose cookies and pages these share.

    `identification_for` is the walk to Entra at one installation's tenant, for nobody else's people.
    """

    provider: Provider
    accounts: AccountStore
    web: WebSignIn
    identification_for: Callable[[Installation], Identification]
    sealer: Sealer

    def authorize(self, request: WebRequest) -> WebResponse:
        """The authorization endpoint: 303 to Entra, or an error, to the installation where it may go there.

        Raises:
            InstallationRefused: the client or its address is not known.
            Unavailable: Entra's metadata was never read so far.
        """
        if request.is_early:
            return not_early()
        pairs = request.form_pairs() if request.method == "POST" else request.query_pairs()
        installation = self.provider.installation(read_client_id(pairs))
        address = read_return_address(pairs, installation)
        if installation is None:
            raise InstallationRefused
        try:
            asked = read_authorization_request(pairs, installation=installation, return_address=address)
        except OAuthError as error:
            return error_response(address, error, issuer=self.provider.issuer)
        wish = SignInRequest(
            next_path=_again(request, pairs),
            redirect_uri=self.web.site.urls[0] + self.web.site.callback_paths[0],
            prompt=asked.prompt,
            login_hint=asked.login_hint,
            domain_hint=None if parse_guid(asked.domain_hint) else asked.domain_hint,
            max_age=None if asked.max_age_seconds is None else timedelta(seconds=asked.max_age_seconds),
            tenant_id=installation.tenant_id,
            context=context_of(asked).written(),
        )
        begun = self._walk_for(installation).begin(wish, request)
        if any(len(cookie.partition(";")[0]) > LARGEST_COOKIE for cookie in begun.cookies):
            # A browser drops it without a word, and the person would come back to a sign-in nobody knows.
            too_long = invalid_request("state, nonce, hints and address are too long together")
            return error_response(address, too_long, issuer=self.provider.issuer)
        return begun.response()

    def callback(self, request: WebRequest) -> WebResponse | None:
        """Entra's response, if the sign-in was begun here; None: it is the broker's own, or nobody's.

        Raises:
            EntradaError: as `WebSignIn.callback`.
        """
        context = self._context_of(request)
        if context is None:
            return None
        installation = self.provider.installation(context.client_id)
        if installation is None:
            raise InstallationRefused
        return self._walk_for(installation).callback(request)

    def _context_of(self, request: WebRequest) -> BrokerContext | None:
        pairs = request.form_pairs() if request.method == "POST" else request.query_pairs()
        states = [value for name, value in pairs if name == "state"]
        if len(states) != 1:
            return None
        rules = self.web.site.cookie_rules(request)
        pending = self.web.pending.find(states[0], request, rules)
        return None if pending is None else read_context(pending.context)

    def _walk_for(self, installation: Installation) -> WebSignIn:
        site = self.web.site
        again = AuthorizeSite(**{one.name: getattr(site, one.name) for one in fields(Site)})
        return replace(
            self.web,
            site=again,
            identification=self.identification_for(installation),
            refusals=replace(self.web.refusals, site=again),
            ending=BrokerEnding(provider=self.provider, accounts=self.accounts, sealer=self.sealer),
        )


def _again(request: WebRequest, pairs: Sequence[tuple[str, str]]) -> str:
    """The same request as an address, for the button that tries again; without what is not read anyway."""
    return f"{request.path}?{urlencode([(name, value) for name, value in pairs if name in PARAMETERS])}"
