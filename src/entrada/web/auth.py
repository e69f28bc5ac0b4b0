"""What every sign-in page shares: the parts, the session of a request, refusals, and a few addresses."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from entrada.errors import AdmissionRefused, EntradaError, PageNotFound, TooManyAttempts
from entrada.events import Event, record
from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_check import CheckedSession
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse, json_response, redirect
from entrada.web.page_parts import Page
from entrada.web.pages import Pages
from entrada.web.pending_cookies import PendingCookies
from entrada.web.redirects import FRONT_PAGE, safe_next_path
from entrada.web.refusals import status_of
from entrada.web.same_origin import form_token_of
from entrada.web.site import PREFIX, Site

SESSION_COOKIE = "entrada_session"


@dataclass(frozen=True, kw_only=True)
class Auth:
    """The parts of one application's sign-in; `AuthRoutes` answers requests with them."""

    relying_party: RelyingParty
    site: Site
    pages: Pages
    pending: PendingCookies
    form_key: bytes
    sign_in_label: str
    answers_by_post: bool

    def session_in_memory(self, request: WebRequest) -> CheckedSession | None:
        """As `session_of`, if that needs no store; None decides nothing. Never waits."""
        cookie = self.session_cookie(request)
        return None if cookie is None else self.relying_party.session_check.peek(cookie)

    def session_of(self, request: WebRequest) -> CheckedSession | None:
        """The session of this request, or None.

        Raises:
            StoreUnavailable: it cannot be known whether the session still stands.
        """
        cookie = self.session_cookie(request)
        return None if cookie is None else self.relying_party.check_session(cookie)

    def challenge(self, request: WebRequest) -> WebResponse:
        """The answer to a request without a session: a page goes to sign in, a script gets 401."""
        if request.is_page_visit:
            # The path was decoded once: encoded again, a space or a percent sign in it survives the way.
            path = quote(request.path, safe="/:@!$&'()*+,;=~", errors="replace")
            target = path + (f"?{request.query}" if request.query else "")
            return redirect(self.login_path(safe_next_path(target, own_prefix=PREFIX)))
        return json_response(401, {"error": "login_required", "login_path": self.site.login_path})

    def form_token(self, request: WebRequest) -> str:
        """What a form that posts to /auth/logout carries as `csrf_token`."""
        return form_token_of(self.session_cookie(request) or "", self.form_key)

    def failure(
        self, error: EntradaError, request: WebRequest, *, next_path: str | None = None
    ) -> WebResponse:
        """The page, or for a script the JSON, of a refusal; logged once.

        `next_path` is where the person was going, and where trying again shall lead.
        """
        correlation_id, status = secrets.token_hex(8), status_of(error)
        record_refusal(error, self._refusal_event(request), correlation_id, status)
        if not (request.wants_page or request.path in self.site.callback_routes):
            sentence, hint = error.told(self.pages.names)
            return json_response(
                status,
                {
                    "error": error.code,
                    "message": sentence,
                    "hint": hint,
                    "correlation_id": correlation_id,
                },
            )
        page = self.pages.failure(
            error,
            login_path=self.site.login_path,
            retry_path=self._retry_path(error, next_path),
            correlation_id=correlation_id,
            when=self.relying_party.clock.now(),
        )
        retry_after = getattr(error, "retry_after_seconds", None)
        headers = [] if retry_after is None else [("retry-after", str(retry_after))]
        return page_response(page, status=status, headers=headers)

    def _refusal_event(self, request: WebRequest) -> Event:
        of_sign_in = (self.site.start_path, *self.site.callback_routes)
        return Event.SIGN_IN_REFUSED if request.path in of_sign_in else Event.REQUEST_REFUSED

    def _retry_path(self, error: EntradaError, next_path: str | None) -> str | None:
        """Where trying again leads; a person who is not let in gets to choose another account."""
        match error:
            case TooManyAttempts() | PageNotFound():
                return None
            case AdmissionRefused():
                start = self.start_path(next_path)
                return f"{start}{'&' if '?' in start else '?'}prompt=select_account"
            case _:
                return self.start_path(next_path)

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

    def session_cookie(self, request: WebRequest) -> str | None:
        return request.cookie(self.site.cookie_rules(request).name(SESSION_COOKIE))

    def next_path(self, request: WebRequest) -> str:
        return safe_next_path(request.first("next"), own_prefix=PREFIX)

    def start_path(self, next_path: str | None) -> str:
        return _with_next(self.site.start_path, next_path)

    def login_path(self, next_path: str) -> str:
        return _with_next(self.site.login_path, next_path)


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


def _with_next(path: str, next_path: str | None) -> str:
    if next_path in (None, FRONT_PAGE):
        return path
    return f"{path}?next={quote(next_path or '', safe='/')}"


def record_refusal(error: EntradaError, event: Event, correlation_id: str, status: int) -> None:
    """One line in the log about a refusal, with its evidence."""
    record(
        event,
        correlation_id=correlation_id,
        code=error.code,
        status=status,
        check=getattr(error, "check", None),
        error=getattr(error, "error", None),
        aadsts=getattr(error, "aadsts", None),
        reason=getattr(error, "reason", None),
        entra_correlation_id=error.correlation_id,
    )
