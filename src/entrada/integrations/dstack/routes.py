"""The addresses that dstack's own pages and its command line ask a sign-in provider for.

    POST /api/auth/entra/info           whether there is a provider (user interfaces up to 0.22.1)
    POST /api/auth/entra/authorize      begins: the address of Entra, and a sealed cookie
    GET  /auth/entra/callback           Entra's answer: finishes, or says why not; or on to `dstack login`
    POST /api/auth/entra/callback       the user with the token: to the page, once, or to `dstack login`
    POST /api/auth/get_next_redirect    dstack's own, for states that are ours only
    GET  /auth/entra/start              begins by a link: "Try again", a bookmark, the My Apps portal

A sign-in in a browser is finished before dstack's page loads, so that whatever goes wrong is a page that a
person can read; the page then only fetches the outcome. `dstack login` holds the cookie itself and gets the
code through this machine's own port, so no browser can finish what a command line began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from entrada.accounts.identity import UserId
from entrada.errors import (
    AccountDisabled,
    EntradaError,
    RequestRefused,
    ResponseRefused,
    SignInAlreadyUsed,
    StateMissing,
)
from entrada.flows.authorization_response import AuthorizationResponse, read_authorization_response
from entrada.integrations.dstack import answers
from entrada.integrations.dstack.entra_only import EntraOnly
from entrada.integrations.dstack.hooks import Hooks
from entrada.integrations.dstack.outcome import Outcomes
from entrada.integrations.dstack.state import State, read_state
from entrada.integrations.dstack.walk import CALLBACK_PATH, DstackSignIn
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest, WebResponse, json_response, redirect

API = "/api/auth/entra"
NEXT_REDIRECT_PATH = "/api/auth/get_next_redirect"
_PROMPTS = frozenset({"login", "select_account"})
_LONGEST_HINT = 320

Answer = Callable[[WebRequest], WebResponse]


@dataclass(frozen=True, kw_only=True)
class DstackRoutes:
    sign_in: DstackSignIn
    hooks: Hooks
    outcomes: Outcomes
    entra_only: EntraOnly | None
    ui_page: bytes = field(repr=False)

    def handlers(self) -> Mapping[tuple[str, str], Answer]:
        """By method and path. Each may ask Entra and the database: run it in a thread."""
        return {
            ("POST", f"{API}/info"): self._as_json(lambda _: json_response(200, {"enabled": True})),
            ("POST", f"{API}/authorize"): self._as_json(self._authorize),
            ("POST", f"{API}/callback"): self._as_json(self._hand_over),
            ("GET", CALLBACK_PATH): self._as_page(self._callback),
            ("GET", answers.START_PATH): self._as_page(self._start),
        }

    def next_redirect(self, request: WebRequest) -> WebResponse | None:
        """Where dstack's page goes on to with a state of ours; None for one that we did not make."""
        body = answers.json_body(request)
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
        site = self.sign_in.parts.site
        known = {urlsplit(url).netloc for url in site.urls}
        if local_port is not None and request.headers.get("host") not in known:
            return CookieRules(secure=False)
        return site.cookie_rules(request)

    # The way out

    def _authorize(self, request: WebRequest) -> WebResponse:
        body = answers.json_body(request)
        local_port, url = _port_in(body), self._url(body, request)
        if url is None:
            if local_port is not None:
                raise RequestRefused("This server is not known under that address.")
            # Under another name no cookie would come back: begin where the answer will arrive.
            return _send_to(self.sign_in.parts.site.urls[0] + answers.START_PATH)
        try:
            pending, entra_url = self.sign_in.begin(url=url, local_port=local_port)
        except EntradaError:
            if local_port is not None:
                raise
            # dstack's page keeps quiet about a refusal; a page of ours will not.
            return _send_to(url + answers.START_PATH)
        parts, rules = self.sign_in.parts, self.rules(request, local_port)
        cookies = parts.pending.keep(pending, request, rules, now=parts.clock.now())
        return json_response(200, {"authorization_url": entra_url}, cookies=cookies)

    def _start(self, request: WebRequest) -> WebResponse:
        parts, prompt, hint = self.sign_in.parts, request.first("prompt"), request.first("login_hint")
        pending, entra_url = self.sign_in.begin(
            url=parts.site.url_of(request),
            prompt=prompt if prompt in _PROMPTS else None,
            login_hint=hint if hint and len(hint) <= _LONGEST_HINT and hint.isprintable() else None,
        )
        cookies = parts.pending.keep(pending, request, self.rules(request), now=parts.clock.now())
        return redirect(entra_url, cookies=cookies)

    def _url(self, body: Mapping[str, Any], request: WebRequest) -> str | None:
        """The configured address that a page says it is on, or that was asked; None: not configured."""
        base_url, site = body.get("base_url"), self.sign_in.parts.site
        if base_url is None:
            return site.url_of(request)
        wanted = str(base_url).rstrip("/").lower()
        return wanted if wanted in site.urls else None

    # The way back

    def _callback(self, request: WebRequest) -> WebResponse:
        written = read_authorization_response(request.query_pairs())
        state = self._read(written.state)
        if state is None:
            raise StateMissing
        if state.local_port is not None:
            return self._on_to_command_line(written, self.sign_in.parts.site.redirect_uri(request))
        parts, rules = self.sign_in.parts, self.rules(request)
        pending = parts.pending.find(state.text, request, rules)
        if pending is None:
            if self.outcomes.read(state.text, request, rules) is None:
                raise StateMissing
            return answers.ui_page(self.ui_page, cookies=[])  # loaded again before the outcome was fetched
        spent = parts.pending.drop(state.text, rules)
        try:
            user = self.sign_in.complete(replace(written, state=state.text), pending)
        except EntradaError as error:
            return answers.with_cookies(answers.failure_page(error, self.sign_in.parts), [spent])
        done = self.outcomes.cookie(user.id, state.text, rules)
        return answers.ui_page(self.ui_page, cookies=[spent, done])

    def _on_to_command_line(self, written: AuthorizationResponse, redirect_uri: str) -> WebResponse:
        """The code goes to `dstack login`, which holds the cookie; a refusal stays here, where it is read."""
        if written.error is not None:
            refused = self.sign_in.parts.identification.refusal(
                written.error, written.error_description, redirect_uri
            )
            refused.marked_hint += " Stop the waiting `dstack login` with Ctrl+C before you run it again."
            return answers.failure_page(refused, self.sign_in.parts, may_retry=False)
        url = self._to_local_port(written.code or "", written.state)
        if url is None:
            raise ResponseRefused
        return redirect(url)

    def _hand_over(self, request: WebRequest) -> WebResponse:
        body = answers.json_body(request)
        written = read_authorization_response(
            (name, value) for name in ("code", "state") if isinstance(value := body.get(name), str)
        )
        state = self._read(written.state)
        if state is None:
            raise StateMissing
        rules = self.rules(request, state.local_port)
        user_id, spent = self.outcomes.read(state.text, request, rules), self.outcomes.drop(state.text, rules)
        if user_id is None:
            user_id, spent = self._complete(request, written, state, rules)
        elif not self.sign_in.hand_over_once(state.text):
            raise SignInAlreadyUsed
        credentials = self.sign_in.store.credentials_of(user_id)
        if credentials is None:
            raise AccountDisabled
        cookies = [spent]
        if self.entra_only is not None and state.local_port is None:
            cookies.append(self.entra_only.cookie(user_id, rules))
        return answers.json_bytes(credentials, cookies=cookies)

    def _complete(
        self, request: WebRequest, written: AuthorizationResponse, state: State, rules: CookieRules
    ) -> tuple[UserId, str]:
        """The walk for who holds the pending sign-in's own cookie: `dstack login`, or a script."""
        pending = self.sign_in.parts.pending.find(state.text, request, rules)
        if pending is None:
            raise StateMissing
        user = self.sign_in.complete(replace(written, state=state.text), pending)
        return user.id, self.sign_in.parts.pending.drop(state.text, rules)

    def _read(self, written: str) -> State | None:
        return read_state(written, self.sign_in.state_sealer)

    def _to_local_port(self, code: str, written_state: str) -> str | None:
        url: str | None = self.hooks.get_next_redirect_url(code=code, state=written_state)
        return url

    def _as_json(self, answer: Answer) -> Answer:
        return lambda request: answers.guarded(answer, request, answers.failure_json)

    def _as_page(self, answer: Answer) -> Answer:
        parts = self.sign_in.parts
        return lambda request: answers.guarded(
            answer, request, lambda error: answers.failure_page(error, parts)
        )


def _send_to(url: str) -> WebResponse:
    return json_response(200, {"authorization_url": url})


def _port_in(body: Mapping[str, Any]) -> int | None:
    port = body.get("local_port")
    if port is not None and not (type(port) is int and 1 <= port <= 65_535):
        raise RequestRefused("The local_port of this request is no port.")
    return port
