"""The addresses of the walk in Mage: what a visitor sends, and what they get. No framework.

    start           303 to Entra
    callback        Entra's answer → Mage's token, or a page that says why not
    sign_in         lets Mage's own page be shown, without what others wrote into its address
    sign_out        ends Mage's session, and tells the page where Entra ends its own
    front_channel   Entra ends sessions by `sid`

None means: let Mage answer. No answer here is a 500, whatever a visitor sends.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from entrada.errors import (
    AdmissionRefused,
    EntradaError,
    EntraRefused,
    RequestRefused,
    ResponseRefused,
    StateMissing,
    TooManyAttempts,
    Unavailable,
)
from entrada.events import Event, record
from entrada.flows.authorization_response import AuthorizationResponse, read_authorization_response
from entrada.flows.pending import PendingSignIn
from entrada.flows.sign_in import ANSWERABLE_BY_A_PERSON
from entrada.integrations.mage.addresses import Addresses
from entrada.integrations.mage.pages import (
    arrival,
    clean_sign_in_query,
    static_text,
    token_cookie,
)
from entrada.integrations.mage.walk import MageWalk, SignedIn
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest, WebResponse, json_response, redirect
from entrada.web.pages import Pages
from entrada.web.pages.parts import Action
from entrada.web.pending_cookies import MOST_REFUSALS, PendingCookies
from entrada.web.refusals import page_response, status_of
from entrada.web.same_origin import require_same_origin
from entrada.web.sign_in import PROMPTS

SESSION_COOKIE = "entrada_mage"
SIGN_OUT_HEADER = "entrada-sign-out"
_LONGEST_HINT = 320
_MAGES_COOKIE_LIFE = 30 * 24 * 3600
"""In seconds; what Mage's own script gives its cookie."""
_STATE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_CONTEXT = "mage session"


@dataclass(frozen=True, kw_only=True)
class MageRoutes:
    """`encode` makes of a token what Mage's cookie holds; `describe` tells its pages about a user by number.

    `others_use_callback` says if another of Mage's sign-in providers has the same redirect URI. It may use
    the network, so it is asked only about an answer that cannot be ours.
    """

    walk: MageWalk
    addresses: Addresses
    pages: Pages
    pending: PendingCookies
    session_sealer: Sealer = field(repr=False)
    answers_by_post: bool
    encode: Callable[[str, Any], str]
    describe: Callable[[int], Mapping[str, Any]]
    others_use_callback: Callable[[], bool] = lambda: False  # a default

    def start(self, request: WebRequest) -> WebResponse | None:
        return self._answered(request, self._start)

    def callback(self, request: WebRequest) -> WebResponse | None:
        return self._answered(request, self._callback)

    def sign_in(self, request: WebRequest) -> WebResponse | None:
        return self._answered(request, self._sign_in)

    def sign_out(self, request: WebRequest) -> WebResponse | None:
        return self._answered(request, self._sign_out)

    def front_channel(self, request: WebRequest) -> WebResponse | None:
        return self._answered(request, self._front_channel)

    def script(self, _: WebRequest) -> WebResponse | None:
        headers = [
            ("content-type", "text/javascript; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
        ]
        return WebResponse(status=200, headers=headers, body=static_text("mage.js").encode())

    def session_cookie(self, request: WebRequest, token: str) -> str:
        """Ours, unread by scripts: it finds the session at sign-out, when Mage's page has dropped its own.

        It outlives the browser as Mage's does, or signing out after a restart would end nothing.
        """
        sealed = self.session_sealer.seal(token.encode(), context=_CONTEXT)
        return self._rules(request).set(SESSION_COOKIE, sealed, max_age_seconds=_MAGES_COOKIE_LIFE)

    def forget_session(self, request: WebRequest) -> None:
        """End the session this browser had, which another has just replaced."""
        token = self.token_of(request)
        if token is not None:
            try:
                self.walk.store.end_session(token)
            except Unavailable as failure:
                record(
                    Event.REQUEST_REFUSED, code=failure.code, reason="the session before stays until its end"
                )

    def _answered(
        self, request: WebRequest, answer: Callable[[WebRequest], WebResponse | None]
    ) -> WebResponse | None:
        try:
            return answer(request)
        except EntradaError as error:
            return self._failure(error, request)

    def _start(self, request: WebRequest) -> WebResponse:
        refusals = self.pending.refusals(request, self._rules(request))
        if refusals.count >= MOST_REFUSALS:
            raise TooManyAttempts(attempts=refusals.count, reason=refusals.sentence)
        prompt, hint = request.first("prompt"), request.first("login_hint")
        return self._begin(
            request,
            next_path=self.addresses.next_path(request.first("next")),
            prompt=prompt if prompt in PROMPTS else None,
            login_hint=hint if hint and len(hint) <= _LONGEST_HINT and hint.isprintable() else None,
        )

    def _begin(
        self,
        request: WebRequest,
        *,
        next_path: str,
        prompt: str | None = None,
        login_hint: str | None = None,
    ) -> WebResponse:
        pending, entra_url = self.walk.parts.identification.begin(
            redirect_uri=self.addresses.site.redirect_uri(request),
            next_path=next_path,
            prompt=prompt,
            login_hint=login_hint,
        )
        record(Event.SIGN_IN_BEGUN, redirect_uri=pending.redirect_uri)
        now = self.walk.parts.clock.now()
        return redirect(entra_url, cookies=self.pending.keep(pending, request, self._rules(request), now=now))

    def _callback(self, request: WebRequest) -> WebResponse | None:
        pairs = self._answer_pairs(request)
        if {name for name, _ in pairs} <= {"provider"}:
            # Nothing was answered: this is where Entra brings people back to after signing out.
            return redirect(self.addresses.sign_in)
        try:
            response = read_authorization_response(pairs)
            pending = self.pending.find(response.state, request, self._rules(request))
            if pending is None:
                raise StateMissing
        except ResponseRefused:
            if not _looks_like_ours(pairs) and self.others_use_callback():
                return None
            raise
        if (request.method == "POST") != self.answers_by_post:
            raise ResponseRefused("This sign-in answer came by another way than the one asked for.")
        return self._complete(request, response, pending)

    def _answer_pairs(self, request: WebRequest) -> list[tuple[str, str]]:
        """`provider` belongs to the second form of the redirect URI and is no part of Entra's answer."""
        if request.method == "POST":
            return request.form_pairs()
        return list(request.query_pairs())

    def _complete(
        self, request: WebRequest, response: AuthorizationResponse, pending: PendingSignIn
    ) -> WebResponse:
        rules = self._rules(request)
        spent = self.pending.drop(response.state, rules)
        try:
            signed_in = self.walk.complete(response, pending, replaces=self.token_of(request))
        except EntradaError as error:
            return self._refused(error, pending, request, spent)
        identity = signed_in.user.identities[0].identity if signed_in.user.identities else None
        record(
            Event.SIGN_IN_COMPLETED,
            user_id=signed_in.user.id,
            tenant_id=None if identity is None else identity.tenant_id,
            object_id=None if identity is None else identity.object_id,
        )
        cookies = [
            self._mage_cookie(request, signed_in),
            self.session_cookie(request, signed_in.token.text),
            spent,
            *self.pending.forget_refusals(request, rules),
        ]
        return arrival(
            self.addresses,
            user=self.describe(signed_in.token.user_number),
            next_path=self.addresses.next_path(pending.next_path),
            cookies=cookies,
        )

    def _mage_cookie(self, request: WebRequest, signed_in: SignedIn) -> str:
        token = signed_in.token
        left = token.expires_at - self.walk.parts.clock.now()
        return token_cookie(
            self.addresses,
            request,
            self.encode(token.text, token.expires_at),
            max_age_seconds=int(left.total_seconds()),
        )

    def _refused(
        self, error: EntradaError, pending: PendingSignIn, request: WebRequest, spent: str
    ) -> WebResponse:
        """A silent sign-in that needs a person becomes an interactive one, once; the rest is a page."""
        cookies = [spent]
        if isinstance(error, EntraRefused):
            if pending.silent and error.error in ANSWERABLE_BY_A_PERSON:
                return _with_cookies(self._begin(request, next_path=pending.next_path), cookies)
            rules = self._rules(request)
            refusals = self.pending.refusals(request, rules).and_one(
                f"{error.error} {error.aadsts or ''}", error.sentence
            )
            cookies.append(self.pending.keep_refusals(refusals, rules))
        return _with_cookies(self._failure(error, request, next_path=pending.next_path), cookies)

    def _sign_in(self, request: WebRequest) -> WebResponse | None:
        clean = clean_sign_in_query(self.addresses, request)
        if clean is not None:
            return redirect(f"{self.addresses.sign_in}?{clean}" if clean else self.addresses.sign_in)
        rules = self._rules(request)
        forget = self.pending.forget_refusals(request, rules)
        if forget and request.wants_page:
            return redirect(self.addresses.sign_in, cookies=forget)
        return None

    def _sign_out(self, request: WebRequest) -> WebResponse | None:
        """Mage's page has dropped its own token by now; ours finds the session."""
        token = self.token_of(request)
        if token is None:
            return None
        require_same_origin(request, origins=self.addresses.site.urls, form_token=None)
        ended = self.walk.store.end_session(token)
        rules = self._rules(request)
        answer = json_response(
            200,
            {"session": {}},
            cookies=[
                rules.delete(SESSION_COOKIE),
                token_cookie(self.addresses, request, "", max_age_seconds=0),
            ],
        )
        if ended is None:
            return answer
        record(Event.SIGNED_OUT, user_id=ended.user_id)
        back = self.addresses.site.redirect_uri(request)
        entra_url = self.walk.entra_sign_out_url(ended, post_logout_redirect_uri=back)
        if entra_url is None:
            return answer
        return WebResponse(
            status=answer.status, headers=[*answer.headers, (SIGN_OUT_HEADER, entra_url)], body=answer.body
        )

    def _front_channel(self, request: WebRequest) -> WebResponse:
        """Always 200 and never a cookie: a frame cannot act on an answer, and nobody learns what a sid is."""
        try:
            session_ids = [value for name, value in request.query_pairs() if name == "sid"]
        except RequestRefused:
            session_ids = []  # more parameters than Entra ever sends
        if len(session_ids) == 1:
            count = self.walk.store.end_by_entra_session(session_ids[0])
            record(Event.ENTRA_ENDED_SESSIONS, count=count)
        return page_response(self.pages.front_channel_done(framed_by=self._entra_origins()))

    def _entra_origins(self) -> list[str]:
        application = self.walk.parts.identification.application
        origins = [application.authority.login_url]
        try:
            end_session = urlsplit(application.metadata().end_session_endpoint or "")
        except EntradaError:
            return origins
        if end_session.netloc:
            origins.append(f"{end_session.scheme}://{end_session.netloc}")
        return origins

    def token_of(self, request: WebRequest) -> str | None:
        """The token of the session this browser has, as our own cookie says."""
        name = self._rules(request).name(SESSION_COOKIE)
        plain = self.session_sealer.unseal_any(request.cookies_named(name), context=_CONTEXT)
        return None if plain is None else plain.decode("ascii", "replace")

    def _rules(self, request: WebRequest) -> CookieRules:
        return self.addresses.site.cookie_rules(request)

    def _failure(
        self, error: EntradaError, request: WebRequest, *, next_path: str | None = None
    ) -> WebResponse:
        """The page of a refusal, or JSON for a script; logged once."""
        correlation_id, status = secrets.token_hex(8), status_of(error)
        record(
            Event.REQUEST_REFUSED if request.method == "PUT" else Event.SIGN_IN_REFUSED,
            incident=correlation_id,
            code=error.code,
            status=status,
            check=getattr(error, "check", None),
            error=getattr(error, "error", None),
            aadsts=getattr(error, "aadsts", None),
            reason=getattr(error, "reason", None),
            entra_correlation_id=error.correlation_id,
        )
        if request.method == "PUT":
            document = {
                "error": {"code": status, "type": error.code, "message": error.told(self.pages.names)[0]}
            }
            return json_response(status, document)
        page = self.pages.failure(
            error,
            actions=self._actions(error, next_path),
            incident=correlation_id,
            when=self.walk.parts.clock.now(),
        )
        retry_after = getattr(error, "retry_after_seconds", None)
        headers = [] if retry_after is None else [("retry-after", str(retry_after))]
        return page_response(page, status=status).with_headers(*headers)

    def _actions(self, error: EntradaError, next_path: str | None) -> list[Action]:
        retry = self._retry_path(error, next_path)
        again = [] if retry is None else [Action(label="Try again", path=retry, first=True)]
        return [*again, Action(label="Go to the sign-in page", path=self.addresses.sign_in, quiet=True)]

    def _retry_path(self, error: EntradaError, next_path: str | None) -> str | None:
        """Where trying again leads; a person who is not let in gets to choose another account."""
        start = self.addresses.start(next_path)
        match error:
            case TooManyAttempts():
                return None
            case AdmissionRefused():
                return f"{start}{'&' if '?' in start else '?'}prompt=select_account"
            case _:
                return start


def _looks_like_ours(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the state is of our making, though no sign-in fits it: Mage's own are shorter."""
    states = [value for name, value in pairs if name == "state"]
    return len(states) == 1 and _STATE.fullmatch(states[0]) is not None


def token_in(document: str | bytes) -> str | None:
    """The encoded token in Mage's answer to a sign-in with a password, if there is one."""
    try:
        session = json.loads(document)["session"]
        token = session["token"]
    except (KeyError, TypeError, ValueError):
        return None
    return token if isinstance(token, str) else None


def _with_cookies(answer: WebResponse, cookies: list[str]) -> WebResponse:
    added = [("set-cookie", cookie) for cookie in cookies]
    return WebResponse(status=answer.status, headers=[*answer.headers, *added], body=answer.body)
