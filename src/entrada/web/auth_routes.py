"""Every address under /auth, and the redirect URIs: what a visitor sends, and what they get.

    GET  /auth/login            the page with the button
    GET  /auth/entra/start      303 to Entra
    GET  redirect URI           Entra's answer (POST with response mode form_post)
    GET  /auth/logout           asks first; POST signs out here, then at Entra
    GET  /auth/signed-out       stays signed out
    GET  /auth/entra/logout     Entra's front channel, `sid` only
    GET  /auth/me               who is signed in, as JSON; /auth/account the same as a page

No answer here is a 500, whatever a visitor sends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from entrada.errors import (
    EntradaError,
    EntraRefused,
    RequestRefused,
    ResponseRefused,
    StateMissing,
    TooManyAttempts,
)
from entrada.flows.authorization_response import read_authorization_response
from entrada.flows.pending import PendingSignIn
from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_check import CheckedSession
from entrada.flows.sign_in import ANSWERABLE_BY_A_PERSON
from entrada.sessions.token import parse_session_token
from entrada.web.events import Event, record
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse, json_response, redirect
from entrada.web.pages import Page, Pages
from entrada.web.pending_cookies import MOST_REFUSALS, PendingCookies
from entrada.web.redirects import FRONT_PAGE, safe_next_path
from entrada.web.refusals import status_of
from entrada.web.same_origin import form_token_of, require_same_origin
from entrada.web.site import PREFIX, Site

SESSION_COOKIE = "entrada_session"
PROMPTS = frozenset({"login", "select_account", "none"})
_LONGEST_HINT = 320


@dataclass(frozen=True, kw_only=True)
class AuthRoutes:
    """The sign-in pages of one application: `handle` answers every path that it `owns`."""

    relying_party: RelyingParty
    site: Site
    pages: Pages
    pending: PendingCookies
    form_key: bytes
    sign_in_label: str
    answers_by_post: bool

    def owns(self, path: str) -> bool:
        return path == PREFIX or path.startswith(f"{PREFIX}/") or path in self.site.callback_paths

    def handle(self, request: WebRequest) -> WebResponse:
        """The answer. May ask Entra and the database: run it where waiting harms nobody."""
        try:
            return self._route(request)(request)
        except EntradaError as error:
            return self.failure(error, request)

    def session_in_memory(self, request: WebRequest) -> CheckedSession | None:
        """As `session_of`, if that needs no store; None decides nothing. Never waits."""
        cookie = self._session_cookie(request)
        return None if cookie is None else self.relying_party.session_check.peek(cookie)

    def session_of(self, request: WebRequest) -> CheckedSession | None:
        """The session of this request, or None.

        Raises:
            StoreUnavailable: it cannot be known whether the session still stands.
        """
        cookie = self._session_cookie(request)
        return None if cookie is None else self.relying_party.check_session(cookie)

    def challenge(self, request: WebRequest) -> WebResponse:
        """The answer to a request without a session: a page goes to sign in, a script gets 401."""
        if request.is_page_visit:
            # The path was decoded once: encoded again, a space or a percent sign in it survives the way.
            path = quote(request.path, safe="/:@!$&'()*+,;=~", errors="replace")
            target = path + (f"?{request.query}" if request.query else "")
            return redirect(self._login_path(safe_next_path(target, own_prefix=PREFIX)))
        return json_response(401, {"error": "login_required", "login_path": self.site.login_path})

    def form_token(self, request: WebRequest) -> str:
        """What a form that posts to /auth/logout carries as `csrf_token`."""
        return form_token_of(self._session_cookie(request) or "", self.form_key)

    def failure(self, error: EntradaError, request: WebRequest) -> WebResponse:
        """The page, or for a script the JSON, of a refusal; logged once."""
        correlation_id, status = secrets.token_hex(8), status_of(error)
        _record_refusal(error, correlation_id, status)
        if not (request.wants_page or request.path in self.site.callback_paths):
            return json_response(
                status,
                {
                    "error": error.code,
                    "message": error.sentence,
                    "hint": error.hint,
                    "correlation_id": correlation_id,
                },
            )
        next_path = getattr(error, "next_path", None)
        page = self.pages.failure(
            error,
            login_path=self.site.login_path,
            retry_path=None if isinstance(error, TooManyAttempts) else self._start_path(next_path),
            correlation_id=correlation_id,
            when=datetime.now(UTC),
        )
        retry_after = getattr(error, "retry_after_seconds", None)
        headers = [] if retry_after is None else [("retry-after", str(retry_after))]
        return page_response(page, status=status, headers=headers)

    def _route(self, request: WebRequest) -> Callable[[WebRequest], WebResponse]:
        method = "GET" if request.method == "HEAD" else request.method
        routes: Mapping[str, Mapping[str, Callable[[WebRequest], WebResponse]]] = {
            self.site.login_path: {"GET": self._login},
            self.site.start_path: {"GET": self._start},
            self.site.logout_path: {"GET": self._confirm_sign_out, "POST": self._sign_out},
            self.site.signed_out_path: {"GET": self._signed_out},
            self.site.front_channel_path: {"GET": self._front_channel},
            self.site.me_path: {"GET": self._me},
            self.site.account_path: {"GET": self._account},
            **{path: {"GET": self._callback, "POST": self._callback} for path in self.site.callback_paths},
        }
        methods = routes.get(request.path)
        if methods is None:
            return lambda _: json_response(404, {"error": "not_found"})
        if method not in methods:
            allowed = ", ".join([*methods, "HEAD"])
            return lambda _: WebResponse(status=405, headers=[("allow", allowed), *SAFE_HEADERS])
        return methods[method]

    # Signing in

    def _login(self, request: WebRequest) -> WebResponse:
        rules = self.site.cookie_rules(request)
        next_path = self._next_path(request)
        if self.session_of(request) is not None:
            return redirect(next_path)
        page = self.pages.login(
            start_path=self._start_path(next_path),
            label=self.sign_in_label,
            insecure_http=not rules.secure,
        )
        cookies = self.pending.forget_refusals(request, rules)
        if any(name == rules.name(SESSION_COOKIE) for name, _ in request.cookies()):
            cookies.append(rules.delete(SESSION_COOKIE))
        return page_response(page, cookies=cookies)

    def _start(self, request: WebRequest) -> WebResponse:
        rules = self.site.cookie_rules(request)
        refusals = self.pending.refusals(request, rules)
        if refusals.count >= MOST_REFUSALS:
            raise TooManyAttempts(attempts=refusals.count, reason=refusals.sentence)
        prompt = request.first("prompt")
        return self._begin(
            request,
            next_path=self._next_path(request),
            prompt=prompt if prompt in PROMPTS else None,
            login_hint=_hint(request.first("login_hint")),
            domain_hint=_hint(request.first("domain_hint")),
        )

    def _begin(
        self,
        request: WebRequest,
        *,
        next_path: str,
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
    ) -> WebResponse:
        rules = self.site.cookie_rules(request)
        present = self.session_of(request)
        pending, entra_url = self.relying_party.begin_sign_in(
            redirect_uri=self.site.redirect_uri(request),
            next_path=next_path,
            prompt=prompt,
            login_hint=login_hint,
            domain_hint=domain_hint,
            replaces=None if present is None else present.session.id,
        )
        now = self.relying_party.clock.now()
        return redirect(entra_url, cookies=self.pending.keep(pending, request, rules, now=now))

    def _callback(self, request: WebRequest) -> WebResponse:
        rules = self.site.cookie_rules(request)
        if (request.method == "POST") != self.answers_by_post:
            raise ResponseRefused("This sign-in answer came by another way than the one that was asked for.")
        pairs = request.form_pairs() if self.answers_by_post else request.query_pairs()
        response = read_authorization_response(pairs)
        pending = self.pending.find(response.state, request, rules)
        if pending is None:
            raise StateMissing
        spent = self.pending.drop(response.state, rules)
        session_cookie = self._session_cookie(request)
        try:
            signed_in = self.relying_party.complete_sign_in(
                response,
                pending,
                replaces=None if session_cookie is None else parse_session_token(session_cookie),
            )
        except EntradaError as error:
            return self._refused(error, pending, request, spent)
        record(
            Event.SIGN_IN_COMPLETED,
            user_id=signed_in.user.id,
            tenant_id=signed_in.session.identity.tenant_id,
            object_id=signed_in.session.identity.object_id,
        )
        return redirect(
            safe_next_path(pending.next_path, own_prefix=PREFIX),
            cookies=[
                rules.set(SESSION_COOKIE, signed_in.token.cookie_value, max_age_seconds=None),
                spent,
                *self.pending.forget_refusals(request, rules),
            ],
        )

    def _refused(
        self, error: EntradaError, pending: PendingSignIn, request: WebRequest, spent: str
    ) -> WebResponse:
        """A silent sign-in that needs a person becomes an interactive one, once; the rest is a page."""
        rules = self.site.cookie_rules(request)
        if isinstance(error, EntraRefused):
            if pending.silent and error.error in ANSWERABLE_BY_A_PERSON:
                again = self._begin(request, next_path=pending.next_path)
                return WebResponse(status=again.status, headers=[*again.headers, ("set-cookie", spent)])
            refusals = self.pending.refusals(request, rules).and_one(
                f"{error.error} {error.aadsts or ''}", error.sentence
            )
            cookies = [spent, self.pending.keep_refusals(refusals, rules)]
        else:
            cookies = [spent]
        answer = self.failure(error, request)
        return WebResponse(
            status=answer.status,
            headers=[*answer.headers, *(("set-cookie", cookie) for cookie in cookies)],
            body=answer.body,
        )

    # Signing out

    def _confirm_sign_out(self, request: WebRequest) -> WebResponse:
        session = self.session_of(request)
        if session is None:
            return redirect(self.site.signed_out_path)
        page = self.pages.confirm_sign_out(
            logout_path=self.site.logout_path,
            csrf_token=self.form_token(request),
            name=session.principal.name,
            form_action_hosts=self.form_action_hosts(),
        )
        return page_response(page)

    def _sign_out(self, request: WebRequest) -> WebResponse:
        cookie = self._session_cookie(request)
        require_same_origin(
            request, origins=self.site.urls, form_token=None if cookie is None else self.form_token(request)
        )
        rules, sign_out = self.site.cookie_rules(request), self.relying_party.sign_out
        everywhere = ("everywhere", "1") in request.form_pairs()
        session = None if cookie is None else sign_out.end(cookie, everywhere=everywhere)
        if session is not None:
            record(Event.SIGNED_OUT, user_id=session.user_id, session_id=session.id)
        back = self.site.url_of(request) + self.site.signed_out_path
        entra_url = sign_out.entra_url(session, post_logout_redirect_uri=back) if session else None
        return redirect(entra_url or self.site.signed_out_path, cookies=[rules.delete(SESSION_COOKIE)])

    def _signed_out(self, request: WebRequest) -> WebResponse:
        del request  # whatever Entra sends along, nothing hangs on it
        return page_response(self.pages.signed_out(login_path=self.site.login_path, at_entra=False))

    def _front_channel(self, request: WebRequest) -> WebResponse:
        """Always 200 and never a cookie: a frame cannot act on an answer, and nobody learns what a sid is."""
        session_ids = [value for name, value in request.query_pairs() if name == "sid"]
        if len(session_ids) == 1:
            count = self.relying_party.sign_out.end_by_entra(session_ids[0])
            record(Event.ENTRA_ENDED_SESSIONS, count=count)
        return page_response(
            self.pages.front_channel_done(framed_by=[self._login_url(), *self.form_action_hosts()])
        )

    # Who is signed in

    def _me(self, request: WebRequest) -> WebResponse:
        session = self.session_of(request)
        if session is None:
            return json_response(401, {"error": "login_required", "login_path": self.site.login_path})
        principal = session.principal
        return json_response(
            200,
            {
                "account_id": principal.user_id,
                "name": principal.name,
                "email": principal.email,
                "username": principal.username,
                "tenant_id": principal.identity.tenant_id,
                "object_id": principal.identity.object_id,
                "roles": sorted(principal.roles),
                "session": {
                    "signed_in_at": session.session.created_at.isoformat(),
                    "idle_expires_at": session.idle_expires_at.isoformat(),
                    "absolute_expires_at": session.session.absolute_expires_at.isoformat(),
                },
            },
        )

    def _account(self, request: WebRequest) -> WebResponse:
        session = self.session_of(request)
        if session is None:
            return redirect(self.site.login_path)
        page = self.pages.signed_in(
            logout_path=self.site.logout_path,
            csrf_token=self.form_token(request),
            name=session.principal.name,
            email=session.principal.email,
            roles=sorted(session.principal.roles),
            form_action_hosts=self.form_action_hosts(),
        )
        return page_response(page)

    # Shared

    def form_action_hosts(self) -> list[str]:
        """Where a sign-out form may end up: Chromium holds the redirects after a post to the policy too."""
        try:
            metadata = self.relying_party.sign_in.application.metadata()
        except EntradaError:
            return [self._login_url()]
        end_session = urlsplit(metadata.end_session_endpoint or self._login_url())
        return [f"{end_session.scheme}://{end_session.netloc}"]

    def _login_url(self) -> str:
        return self.relying_party.sign_in.application.authority.login_url

    def _session_cookie(self, request: WebRequest) -> str | None:
        return request.cookie(self.site.cookie_rules(request).name(SESSION_COOKIE))

    def _next_path(self, request: WebRequest) -> str:
        return safe_next_path(request.first("next"), own_prefix=PREFIX)

    def _start_path(self, next_path: str | None) -> str:
        return _with_next(self.site.start_path, next_path)

    def _login_path(self, next_path: str) -> str:
        return _with_next(self.site.login_path, next_path)


def _with_next(path: str, next_path: str | None) -> str:
    if next_path in (None, FRONT_PAGE):
        return path
    return f"{path}?next={quote(next_path or '', safe='/')}"


def _hint(text: str | None) -> str | None:
    """A hint worth passing on: short, printable, one line."""
    return text if text and len(text) <= _LONGEST_HINT and text.isprintable() else None


def page_response(
    page: Page,
    *,
    status: int = 200,
    headers: list[tuple[str, str]] | None = None,
    cookies: list[str] | None = None,
) -> WebResponse:
    return WebResponse(
        status=status,
        headers=[
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", page.content_security_policy),
            *SAFE_HEADERS,
            *(headers or ()),
            *(("set-cookie", cookie) for cookie in cookies or ()),
        ],
        body=page.html,
    )


def _record_refusal(error: EntradaError, correlation_id: str, status: int) -> None:
    record(
        Event.REQUEST_REFUSED if isinstance(error, RequestRefused) else Event.SIGN_IN_REFUSED,
        correlation_id=correlation_id,
        code=error.code,
        status=status,
        check=getattr(error, "check", None),
        error=getattr(error, "error", None),
        aadsts=getattr(error, "aadsts", None),
        reason=getattr(error, "reason", None),
        entra_correlation_id=error.correlation_id,
    )
