"""What every sign-in page of one application shares: its parts, the session of a request, and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar
from urllib.parse import urlsplit

from entrada.accounts.principal import Principal
from entrada.accounts.roles import RoleMapping
from entrada.entra.api_token import ApiToken
from entrada.errors import ApiTokenRefused, EntradaError, InteractionRequired, RequestRefused
from entrada.flows.api_tokens import ApiTokens
from entrada.flows.health import Health
from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_check import CheckedSession
from entrada.sessions.session import SessionId
from entrada.web.budgets import Budgets
from entrada.web.interaction import Interactions
from entrada.web.messages import WebRequest, WebResponse, json_response, redirect
from entrada.web.pages import Pages
from entrada.web.path_rules import ExplainPath
from entrada.web.pending_cookies import PendingCookies
from entrada.web.refusals import RefusalPages, page_response, person_of
from entrada.web.same_origin import form_token_of, is_of_another_site, is_same_origin
from entrada.web.session_cookie import SessionCookie
from entrada.web.session_ending import SessionEnding
from entrada.web.sign_in import WebSignIn
from entrada.web.site import Site
from entrada.web.token_callers import TokenCallers

AuthT = TypeVar("AuthT", bound="Auth")
Route = Callable[["Auth", WebRequest], WebResponse]


@dataclass(frozen=True, kw_only=True)
class Auth:
    """The parts of one application's sign-in; `AuthRoutes` responds to requests with them."""

    relying_party: RelyingParty
    site: Site
    pages: Pages
    pending: PendingCookies
    form_key: bytes = field(repr=False)
    sign_in_label: str
    admin_roles: frozenset[str] = frozenset()
    """Roles whose holders administer; empty: nobody does."""
    token_callers: TokenCallers | None = field(default=None, repr=False)
    """Whose access tokens the application's guards take; None: nobody's."""
    api_tokens: ApiTokens | None = field(default=None, repr=False)
    """With what the application calls other APIs; None: it calls none."""
    budgets: Budgets = field(default_factory=Budgets, repr=False)
    explain_path: ExplainPath | None = field(default=None, repr=False)
    """What the rules in front of applications mean for somebody; None: there are none here."""
    read_mapping: Callable[[str], RoleMapping] | None = field(default=None, repr=False)
    """Reads a roles mapping as the settings do; raises ValueError. None: nobody tries one here."""
    health: Health | None = field(default=None, repr=False)
    """How it stands with what this application depends on; None: nobody looks."""
    further: Mapping[str, Mapping[str, Route]] = field(default_factory=dict, repr=False)
    """Addresses beside those of `Site`, by path and method; one of them may take the place of one of ours."""

    def under(self: AuthT, base_path: str) -> AuthT:
        """The same, for an application that browsers find under this prefix; see `Site`."""
        return self if base_path == self.site.base_path else replace(self, site=self.site.under(base_path))

    def has_page(self, path: str) -> bool:
        """Whether there is a page of ours at this address."""
        return path in self.further

    # The parts made of these parts

    @cached_property
    def cookie(self) -> SessionCookie:
        return SessionCookie(relying_party=self.relying_party, site=self.site)

    @cached_property
    def refusals(self) -> RefusalPages:
        party = self.relying_party
        return RefusalPages(site=self.site, pages=self.pages, clock=party.clock, enter=party.enter_refusal)

    @cached_property
    def sign_in(self) -> WebSignIn:
        return WebSignIn(
            identification=self.relying_party.sign_in.identification,
            site=self.site,
            pending=self.pending,
            refusals=self.refusals,
            budgets=self.budgets,
            ending=SessionEnding(
                relying_party=self.relying_party,
                site=self.site,
                session_cookie=self.cookie,
                refusals=self.refusals,
            ),
            prune=self.relying_party.prune.begin,
        )

    @cached_property
    def interactions(self) -> Interactions:
        return Interactions(sign_in=self.sign_in, sealer=self.pending.sealer)

    # Calling other APIs

    def token_for(
        self, principal: Principal | None, scopes: Iterable[str], *, challenge: str | None = None
    ) -> ApiToken:
        """See `ApiTokens.token_for`."""
        if self.api_tokens is None:
            raise ApiTokenRefused(
                "This application signs people in through a service that gives no tokens for other APIs.",
                hint="It needs an app registration of its own ($[client_id]), in the place of $[broker_url].",
            )
        return self.api_tokens.token_for(principal, scopes, challenge=challenge)

    def auth_contexts_of(self, session_id: SessionId) -> frozenset[str]:
        """The authentication contexts that this session's sign-in met; none where nobody keeps them.

        Raises:
            StoreUnavailable: it cannot be known.
        """
        kept = self.relying_party.session_tokens
        return frozenset() if kept is None else kept.auth_contexts_of(session_id)

    # Who is asking

    def session_in_memory(self, request: WebRequest) -> CheckedSession | None:
        """As `session_of`, if that needs no store; None decides nothing. Never waits."""
        return self.cookie.in_memory(request)

    def bears_session(self, request: WebRequest) -> bool:
        """Whether a cookie of this request has the form of a session's; else `session_of` is None."""
        return bool(self.cookie.values(request))

    def session_of(self, request: WebRequest) -> CheckedSession | None:
        """The session of this request, or None.

        Raises:
            StoreUnavailable: it cannot be known whether the session still stands.
        """
        return self.session_in_memory(request) or self.cookie.check(request)

    def is_from_here(self, request: WebRequest) -> bool:
        """Whether a page of this application opened this WebSocket, or no browser did."""
        return is_same_origin(request, origins=self.site.urls)

    # Responses for the application's own addresses

    def challenge(self, request: WebRequest) -> WebResponse:
        """The response to a request without a session: a page goes to sign in, a script gets 401.

        A form gets a page that says how to send it again: its fields are still with the person.
        """
        if request.sends_form:
            return self._form_not_sent(request)
        if request.is_framed:
            return page_response(self.pages.open_in_window(path=self._way_back(request)), status=401)
        if not request.is_page_visit:
            return json_response(401, {"error": "login_required", "login_path": self.site.login_path})
        try:
            return redirect(self.site.login_at(self.site.way_back_to(request)))
        except EntradaError as error:
            return self.failure(error, request)

    def _form_not_sent(self, request: WebRequest) -> WebResponse:
        if is_of_another_site(request):
            # Sent again after signing in it would do in this person's name whatever the other site wants.
            error = RequestRefused(
                "A page of another site sent a form here, and nothing of it was taken.",
                hint="If you meant to do this, open this application yourself and do it there.",
            )
            return self.failure(error, request)
        page = self.pages.form_not_sent(
            login_path=self.site.login_at(self.site.signed_in_path), framed=request.is_framed
        )
        return page_response(page, status=401)

    def failure(
        self, error: EntradaError, request: WebRequest, *, session: CheckedSession | None = None
    ) -> WebResponse:
        """The page, or for a script the JSON, of a refusal; logged once. `session` is who was refused.

        Who has to go through Entra once more is sent there; see `entrada.web.interaction`.
        """
        if isinstance(error, InteractionRequired):
            response = self.interactions.response(error, request)
            if response is not None:
                return response
        if session is None:
            next_path = self._way_back(request) if request.is_page_visit else None
            return self.refusals.response(error, request, next_path=next_path)
        return self.refusals.response(
            error,
            request,
            next_path=self._way_back(request),
            person=person_of(session.principal),
            is_signed_in=True,
        )

    def _way_back(self, request: WebRequest) -> str:
        try:
            return self.site.way_back_to(request)
        except EntradaError:
            return self.site.front_page

    def form_token(self, request: WebRequest) -> str:
        """What a form of the session's carries as `csrf_token`.

        Where a neighbouring host has added a cookie of the name of ours, whose token it may know, that of the
        session which counts; where none does, one that only who knows every cookie could know.

        Raises:
            StoreUnavailable: it cannot be known which session counts.
        """
        values = self.cookie.values(request)
        if len(values) > 1:
            found = self.cookie.verified(request)
            values = values if found is None else [found[0]]
        return form_token_of(" ".join(values), self.form_key)

    # Entra's addresses

    def form_action_hosts(self) -> list[str]:
        """Where a sign-out form may end up: Chromium holds the redirects after a post to the policy too."""
        try:
            metadata = self.relying_party.sign_in.application.metadata()
        except EntradaError:
            return [self.login_url()]
        end_session = urlsplit(metadata.end_session_endpoint or self.login_url())
        return [f"{end_session.scheme}://{end_session.netloc}"]

    def login_url(self) -> str:
        return self.relying_party.sign_in.application.authority.login_url
