"""The addresses of the walk in Mage: what a visitor sends, and what they get. No framework.

    start           303 to Entra
    callback        Entra's response → Mage's token, or a page that says why not
    sign_in         lets Mage's own page be shown, without what others wrote into its address
    sign_out        ends Mage's session, and tells the page where Entra ends its own
    front_channel   Entra ends sessions by `sid`
    backchannel     a broker ends them by a signed word, where the sign-in goes through one

The sign-in itself is `WebSignIn`, and `MageEnding` its end. None means: let Mage respond. No response here is
a 500, whatever a visitor sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from entrada.errors import EntradaError, Unavailable
from entrada.events import Event, record
from entrada.integrations.mage.addresses import Addresses
from entrada.integrations.mage.ending import SESSION_COOKIE, MageEnding
from entrada.integrations.mage.pages import clean_sign_in_query, static_text, token_cookie
from entrada.integrations.mage.walk import MageWalk
from entrada.web.backchannel_routes import backchannel_logout
from entrada.web.front_channel import end_named_session, entra_origins
from entrada.web.messages import WebRequest, WebResponse, json_response, redirect
from entrada.web.pages import Pages
from entrada.web.refusals import page_response, record_refusal, status_of
from entrada.web.same_origin import require_same_origin
from entrada.web.sign_in import WebSignIn

SIGN_OUT_HEADER = "entrada-sign-out"
_STATE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class MageRoutes:
    """`others_use_callback` says if another of Mage's sign-in providers has the same redirect URI.

    It may use the network, so it is asked only about a response that cannot be ours.
    """

    ending: MageEnding
    others_use_callback: Callable[[], bool] = lambda: False  # a default

    @property
    def walk(self) -> MageWalk:
        """The walk into Mage's users."""
        return self.ending.walk

    @property
    def addresses(self) -> Addresses:
        """The addresses of this Mage."""
        return self.ending.addresses

    @property
    def pages(self) -> Pages:
        """The pages of the walk."""
        return self.walk.parts.pages

    @cached_property
    def web_sign_in(self) -> WebSignIn:
        """The one walk over HTTP, with Mage's ending."""
        return self.walk.parts.web_sign_in(self.ending)

    def start(self, request: WebRequest) -> WebResponse | None:
        """303 to Entra."""
        return self._answered(request, self.addresses.site.start_path, self.web_sign_in.start)

    def callback(self, request: WebRequest) -> WebResponse | None:
        """Entra's response, or None: it belongs to another of Mage's providers."""
        path = self.addresses.base_path + self.addresses.site.callback_paths[0].partition("?")[0]
        return self._answered(request, path, self._callback)

    def sign_in(self, request: WebRequest) -> WebResponse | None:
        """The guard of Mage's sign-in page, or None: the page may be shown as it is."""
        return self._answered(request, self.addresses.sign_in, self._sign_in)

    def sign_out(self, request: WebRequest) -> WebResponse | None:
        """End the session that Mage's page has forgotten, here and at Entra."""
        try:
            return self._sign_out(request)
        except EntradaError as error:
            return self._failure_json(error)

    def front_channel(self, request: WebRequest) -> WebResponse | None:
        """End what Entra names by `sid`."""
        return self._answered(request, self.addresses.site.front_channel_path, self._front_channel)

    def backchannel(self, request: WebRequest) -> WebResponse | None:
        """End what a broker's signed logout token names."""
        return self._answered(request, self.addresses.site.backchannel_path, self._backchannel)

    def script(self, _: WebRequest) -> WebResponse | None:
        """The script that every page of Mage's loads besides its own."""
        headers = [
            ("content-type", "text/javascript; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
        ]
        return WebResponse(status=200, headers=headers, body=static_text("mage.js").encode())

    def session_cookie(self, request: WebRequest, token: str) -> str:
        """See `MageEnding.session_cookie`."""
        return self.ending.session_cookie(request, token)

    def token_of(self, request: WebRequest) -> str | None:
        """See `MageEnding.token_of`."""
        return self.ending.token_of(request)

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
        self, request: WebRequest, path: str, route: Callable[[WebRequest], WebResponse | None]
    ) -> WebResponse | None:
        """`path` is the address as browsers have it: a proxy in front may have taken Mage's prefix away."""
        seen = replace(request, path=path, raw_path="")
        try:
            return route(seen)
        except EntradaError as error:
            return self.walk.parts.refusals.response(error, seen)

    def _callback(self, request: WebRequest) -> WebResponse | None:
        """`provider` belongs to the second form of the redirect URI and is no part of Entra's response."""
        pairs = request.form_pairs() if request.method == "POST" else request.query_pairs()
        if {name for name, _ in pairs} <= {"provider"}:
            # Nothing came back: this is where Entra brings people to after signing out.
            return redirect(self.addresses.sign_in)
        if not _looks_like_ours(pairs) and self.others_use_callback():
            return None
        return self.web_sign_in.callback(request)

    def _sign_in(self, request: WebRequest) -> WebResponse | None:
        clean = clean_sign_in_query(self.addresses, request)
        if clean is not None:
            return redirect(f"{self.addresses.sign_in}?{clean}" if clean else self.addresses.sign_in)
        rules = self.addresses.site.cookie_rules(request)
        forget = self.walk.parts.pending.forget_refusals(request, rules)
        if forget and request.wants_page:
            return redirect(self.addresses.sign_in, cookies=forget)
        return None

    def _sign_out(self, request: WebRequest) -> WebResponse | None:
        """Mage's page has dropped its own token by now; ours finds the session."""
        token = self.token_of(request)
        if token is None:
            return None
        site = self.addresses.site
        require_same_origin(request, origins=site.urls, form_token=None)
        ended = self.walk.store.end_session(token)
        response = json_response(
            200,
            {"session": {}},
            cookies=[
                site.cookie_rules(request).delete(SESSION_COOKIE),
                token_cookie(self.addresses, request, "", max_age_seconds=0),
            ],
        )
        if ended is None:
            return response
        record(Event.SIGNED_OUT, user_id=ended.user_id)
        entra_url = self.walk.entra_sign_out_url(ended, post_logout_redirect_uri=site.redirect_uri(request))
        return response if entra_url is None else response.with_headers((SIGN_OUT_HEADER, entra_url))

    def _front_channel(self, request: WebRequest) -> WebResponse:
        end_named_session(
            request,
            self.walk.store.end_by_entra_session,
            budget=self.web_sign_in.budgets.front_channel,
            now=self.walk.parts.clock.monotonic(),
        )
        origins = entra_origins(self.walk.parts.identification.application)
        return page_response(self.pages.front_channel_done(framed_by=origins))

    def _backchannel(self, request: WebRequest) -> WebResponse | None:
        application = self.walk.parts.identification.application
        if not application.authority.is_broker:
            return None
        now, end = self.walk.parts.clock.now(), self.walk.store.end_by_entra_session
        return backchannel_logout(request, application=application, end=end, now=now)

    def _failure_json(self, error: EntradaError) -> WebResponse:
        """A refusal as Mage's own page reads one."""
        status = status_of(error)
        incident = record_refusal(error, Event.REQUEST_REFUSED, status=status)
        told = {"code": status, "type": error.code, "message": error.told(self.pages.names)[0]}
        return json_response(status, {"error": {**told, "incident": incident}})


def _looks_like_ours(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the state is of our making (Mage's own are shorter), or a consent link of ours led here."""
    states = [value for name, value in pairs if name == "state"]
    if any(name == "admin_consent" for name, _ in pairs):
        return True
    if not states and ("error", "permission_denied") in pairs:
        return True  # the link was cancelled
    return len(states) == 1 and _STATE.fullmatch(states[0]) is not None


def token_in(document: str | bytes) -> str | None:
    """The encoded token in Mage's answer to a sign-in with a password, if there is one."""
    try:
        session = json.loads(document)["session"]
        token = session["token"]
    except (KeyError, TypeError, ValueError):
        return None
    return token if isinstance(token, str) else None
