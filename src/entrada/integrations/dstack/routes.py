"""The addresses that dstack's own pages and its command line ask a sign-in provider for.

    POST /api/auth/entra/info           whether there is a provider (user interfaces up to 0.22.1)
    POST /api/auth/entra/authorize      begins: the address of Entra, and a sealed cookie
    GET  /auth/entra/callback           Entra's response: finishes, or says why not; or on to `dstack login`
    POST /api/auth/entra/callback       the user with the token: to the page, once, or to `dstack login`
    POST /api/auth/get_next_redirect    dstack's own, for states that are ours only
    POST /auth/broker/backchannel-logout  a broker's word that a sign-in has ended
    GET  /auth/entra/start              begins by a link: "Try again", a bookmark, the My Apps portal

A sign-in in a browser is finished before dstack's page loads, so that whatever goes wrong is a page that a
person can read; the page then only fetches the outcome. `dstack login` holds the cookie itself and gets the
code through this machine's own port, so no browser can finish what a command line began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from entrada.accounts.identity import UserId
from entrada.build import ProductParts
from entrada.errors import (
    AccountDisabled,
    EntradaError,
    RequestRefused,
    ResponseRefused,
    SignInAlreadyUsed,
    StateMissing,
    TooManyAttempts,
)
from entrada.flows.authorization_response import AuthorizationResponse, read_authorization_response
from entrada.integrations.dstack import responses
from entrada.integrations.dstack.addresses import CALLBACK_PATH
from entrada.integrations.dstack.carried import code_and_issuer, with_issuer
from entrada.integrations.dstack.ending import OutcomeEnding
from entrada.integrations.dstack.entra_only import EntraOnly
from entrada.integrations.dstack.hooks import Hooks
from entrada.integrations.dstack.state import State, read_state
from entrada.web.backchannel_routes import backchannel_logout
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest, WebResponse, json_response, not_early, redirect
from entrada.web.sign_in import SignInRequest, WebSignIn

API = "/api/auth/entra"
NEXT_REDIRECT_PATH = "/api/auth/get_next_redirect"

Route = Callable[[WebRequest], WebResponse]


@dataclass(frozen=True, kw_only=True)
class DstackRoutes:
    parts: ProductParts
    ending: OutcomeEnding
    hooks: Hooks
    entra_only: EntraOnly | None

    @cached_property
    def sign_in(self) -> WebSignIn:
        """The one walk over HTTP, with dstack's ending."""
        return self.parts.web_sign_in(self.ending)

    def handlers(self) -> Mapping[tuple[str, str], Route]:
        """By method and path. Each may ask Entra and the database: run it in a thread."""
        return {
            ("POST", f"{API}/info"): self._as_json(lambda _: json_response(200, {"enabled": True})),
            ("POST", f"{API}/authorize"): self._as_json(self._authorize),
            ("POST", f"{API}/callback"): self._as_json(self._hand_over),
            ("GET", CALLBACK_PATH): self._as_page(self._callback),
            ("GET", self.parts.site.start_path): self._as_page(self._start),
            **(
                {("POST", self.parts.site.backchannel_path): self._as_json(self._backchannel)}
                if self.parts.identification.application.authority.is_broker
                else {}
            ),
        }

    def next_redirect(self, request: WebRequest) -> WebResponse | None:
        """Where dstack's page goes on to with a state of ours; None for one that we did not make."""
        body = responses.json_body(request)
        state = self._read(str(body.get("state", "")))
        if state is None:
            return None
        return json_response(
            200, {"redirect_url": self._to_local_port(str(body.get("code", "")), body["state"])}
        )

    def rules(self, request: WebRequest, local_port: int | None = None) -> CookieRules:
        """How cookies are written here.

        A command line may reach the server under another name, by plain http inside a network; its cookie is
        sealed, and travels no other way than its token.
        """
        site = self.parts.site
        known = {urlsplit(url).netloc for url in site.urls}
        if local_port is not None and request.headers.get("host") not in known:
            return CookieRules(secure=False)
        return site.cookie_rules(request)

    # The way out

    def _authorize(self, request: WebRequest) -> WebResponse:
        """For `dstack login` Entra always asks which account it shall be.

        So the person sees that somebody signs in with their browser, also when a link brought them.
        """
        body = responses.json_body(request)
        local_port, url = _port_in(body), self._url(body, request)
        site = self.parts.site
        if url is None:
            if local_port is not None:
                raise RequestRefused("This server is not known under that address.")
            # Under another name no cookie would come back: begin where the response will arrive.
            return _send_to(site.urls[0] + site.start_path)
        wish = SignInRequest(
            next_path=site.front_page,
            redirect_uri=url + CALLBACK_PATH,
            prompt=None if local_port is None else "select_account",
            state=self.ending.state_for(local_port=local_port),
        )
        try:
            if local_port is None:
                self.sign_in.stop_loop(request)
            begun = self.sign_in.begin(wish, request, rules=self.rules(request, local_port))
        except EntradaError:
            if local_port is not None:
                raise
            # dstack's page keeps quiet about a refusal; a page of ours will not.
            return _send_to(url + site.start_path)
        return _send_to(begun.entra_url).with_cookies(begun.cookies)

    def _start(self, request: WebRequest) -> WebResponse:
        try:
            return self.sign_in.start(request)
        except TooManyAttempts as error:
            # dstack's own page cannot begin the count anew, so this one does: going on takes a click.
            rules = self.parts.site.cookie_rules(request)
            forget = self.parts.pending.forget_refusals(request, rules)
            return self.parts.refusals.response(error, request).with_cookies(forget)

    def _url(self, body: Mapping[str, Any], request: WebRequest) -> str | None:
        """The configured address that a page says it is on, or that was asked; None: not configured."""
        base_url, site = body.get("base_url"), self.parts.site
        if base_url is None:
            return site.url_of(request)
        wanted = str(base_url).rstrip("/").lower()
        return wanted if wanted in site.urls else None

    # The way back

    def _callback(self, request: WebRequest) -> WebResponse:
        state = self._read(request.first("state") or "")
        if state is None or state.local_port is None:
            return self.sign_in.callback(request)
        return not_early() if request.is_early else self._on_to_command_line(request)

    def _on_to_command_line(self, request: WebRequest) -> WebResponse:
        """The code goes to `dstack login`, which holds the cookie; a refusal stays here, where it is read."""
        written = read_authorization_response(request.query_pairs())
        if written.error is not None:
            refused = self.parts.identification.refusal(
                written.error, written.error_description, self.parts.site.redirect_uri(request)
            )
            refused.marked_hint += " Stop the waiting `dstack login` with Ctrl+C before you run it again."
            return self.parts.refusals.response(refused, request, may_retry=False)
        url = self._to_local_port(with_issuer(written.code or "", written.issuer), written.state)
        if url is None:
            raise ResponseRefused
        return redirect(url)

    def _hand_over(self, request: WebRequest) -> WebResponse:
        body = responses.json_body(request)
        told = {name: value for name in ("code", "state") if isinstance(value := body.get(name), str)}
        written = read_authorization_response({**told, **code_and_issuer(told.get("code", ""))}.items())
        state = self._read(written.state)
        if state is None:
            raise StateMissing
        rules, outcomes = self.rules(request, state.local_port), self.ending.outcomes
        user_id, spent = outcomes.read(written.state, request, rules), outcomes.drop(written.state, rules)
        if user_id is None:
            user_id, spent = self._complete(request, written, rules)
        elif not self.ending.hand_over_once(written.state):
            raise SignInAlreadyUsed
        credentials = self.ending.store.credentials_of(user_id)
        if credentials is None:
            raise AccountDisabled
        cookies = [spent]
        if self.entra_only is not None and state.local_port is None:
            cookies.append(self.entra_only.cookie(user_id, rules))
        return responses.json_bytes(credentials).with_cookies(cookies)

    def _complete(
        self, request: WebRequest, written: AuthorizationResponse, rules: CookieRules
    ) -> tuple[UserId, str]:
        """The walk for who holds the pending sign-in's own cookie: `dstack login`, or a script."""
        pending = self.parts.pending.find(written.state, request, rules)
        if pending is None:
            self.sign_in.spend_foreign(request, rules)
            raise StateMissing
        with self.sign_in.redemption(request, rules):
            identified = self.parts.identification.complete(written, pending)
            user = self.ending.admit(identified)
        self.sign_in.record_completed(identified, user.id)
        return user.id, self.parts.pending.drop(written.state, rules)

    def _backchannel(self, request: WebRequest) -> WebResponse:
        """Ends the one token that dstack has for page, command line and API, wherever it is held."""
        return backchannel_logout(
            request,
            application=self.parts.identification.application,
            end=self.ending.store.end_session,
            now=self.parts.clock.now(),
        )

    def _read(self, written: str) -> State | None:
        return read_state(written, self.ending.state_sealer)

    def _to_local_port(self, code: str, written_state: str) -> str | None:
        url: str | None = self.hooks.get_next_redirect_url(code=code, state=written_state)
        return url

    def _as_json(self, route: Route) -> Route:
        def respond(request: WebRequest) -> WebResponse:
            try:
                return route(request)
            except EntradaError as error:
                return responses.failure_json(error, self.parts.pages.names)

        return respond

    def _as_page(self, route: Route) -> Route:
        def respond(request: WebRequest) -> WebResponse:
            try:
                return route(request)
            except EntradaError as error:
                return self.parts.refusals.response(error, request)

        return respond


def _send_to(url: str) -> WebResponse:
    return json_response(200, {"authorization_url": url})


def _port_in(body: Mapping[str, Any]) -> int | None:
    port = body.get("local_port")
    if port is not None and not (type(port) is int and 1 <= port <= 65_535):
        raise RequestRefused("The local_port of this request is no port.")
    return port
