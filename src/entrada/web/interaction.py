"""What a request gets whose person has to go through Entra once more: for a scope, or for a stronger sign-in.

    a page visit        303 to Entra, which asks; then back to this very page
    a form, a frame     a page with the link: what was filled in is still with the person
    a script            401 JSON with the address to send the person to, `sign_in_path`
    a token's caller    401 with the claims challenge; 403 where only a consent in a browser helps

Once: whoever has just been there for the same gets a page, 403, and so does whoever declines.
The address holds, sealed and for some minutes, what Entra is asked for: nobody else chooses that, and no
other application with the same keys.

Source: RFC 6750, section 3; Microsoft, "Claims challenges, claims requests, and client capabilities".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

from entrada.errors import EntradaError, InteractionRequired, RequestRefused
from entrada.sealing import Sealer
from entrada.web.bearer_challenges import bearer_challenge
from entrada.web.messages import WebRequest, WebResponse, json_response, not_early
from entrada.web.refusals import page_response
from entrada.web.sign_in import SignInRequest, WebSignIn

FOR = "for"
ADDRESS_LIFE = timedelta(minutes=10)
_CONTEXT = "interaction"


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """For one application, with its one walk."""

    sign_in: WebSignIn
    sealer: Sealer = field(repr=False)

    def response(self, error: InteractionRequired, request: WebRequest) -> WebResponse | None:
        """See above; None: the refusal is a page, or JSON, like any other."""
        if error.is_repeated:
            return None
        if error.by_token:
            return self._to_caller(error)
        if request.is_early:
            return not_early()
        try:
            if request.is_page_visit:
                return self._go(error, request)
            if request.sends_form or request.is_framed:
                return self._link(error, request)
        except EntradaError as failure:
            return self.sign_in.refusals.response(failure, request)
        return self._to_script(error, request)

    def asked_for(self, sealed: str) -> SignInRequest:
        """What an address of ours asks Entra for; it leads nowhere yet.

        Raises:
            RequestRefused: not an address of ours, or an old one.
        """
        plain = self.sealer.unseal(sealed, context=self._context)
        try:
            wish = json.loads(plain or b"")
            age = self._now().timestamp() - wish["made_at"]
            if not -60 <= age <= ADDRESS_LIFE.total_seconds():
                raise ValueError
            return SignInRequest(
                next_path="",
                scopes=tuple(wish["scopes"]),
                claims=wish["claims"],
                login_hint=wish["login_hint"],
            )
        except (KeyError, TypeError, ValueError):
            raise RequestRefused(
                "This link to a sign-in is no longer good.",
                hint="Go back to the page that you came from, and load it again.",
            ) from None

    def _go(self, error: InteractionRequired, request: WebRequest) -> WebResponse:
        elsewhere = self.sign_in.site.sent_home(request)
        if elsewhere is not None:
            return elsewhere
        self.sign_in.stop_loop(request)
        wish = SignInRequest(
            next_path=self.sign_in.site.way_back_to(request),
            scopes=error.scopes,
            claims=error.claims,
            login_hint=error.login_hint,
        )
        return self.sign_in.begin(wish, request).response()

    def _link(self, error: InteractionRequired, request: WebRequest) -> WebResponse:
        pages, site = self.sign_in.refusals.pages, self.sign_in.site
        if request.sends_form:
            path = self._address(error, site.signed_in_path)
            return page_response(pages.form_not_sent(login_path=path, framed=request.is_framed), status=401)
        path = self._address(error, site.way_back_to(request))
        return page_response(pages.open_in_window(path=path), status=401)

    def _to_script(self, error: InteractionRequired, request: WebRequest) -> WebResponse:
        said = self._said(error)
        return json_response(401, {**said, "sign_in_path": self._address(error, self._page_of(request))})

    def _to_caller(self, error: InteractionRequired) -> WebResponse:
        """The caller has no browser here: what they have to do, they do with their own."""
        said = self._said(error)
        address = self.sign_in.site.urls[0] + self._address(error, None)
        status = 401 if error.claims and error.can_be_answered else 403
        response = json_response(status, {**said, "sign_in_url": address})
        return response.with_headers(("www-authenticate", bearer_challenge(error)))

    def _address(self, error: InteractionRequired, next_path: str | None) -> str:
        wish = {
            "scopes": error.scopes,
            "claims": error.claims,
            "login_hint": error.login_hint,
            "made_at": int(self._now().timestamp()),
        }
        sealed = self.sealer.seal(json.dumps(wish, separators=(",", ":")).encode(), context=self._context)
        site = self.sign_in.site
        address = f"{site.start_path}?{FOR}={sealed}"
        if next_path in (None, site.front_page):
            return address
        return f"{address}&next={quote(next_path or '', safe='/')}"

    def _page_of(self, request: WebRequest) -> str | None:
        """The page whose script this is, as far as its browser says."""
        try:
            referer = urlsplit(request.headers.get("referer", ""))
            if f"{referer.scheme}://{referer.netloc}" not in self.sign_in.site.urls:
                return None
            target = referer.path + (f"?{referer.query}" if referer.query else "")
            return self.sign_in.site.next_path(target)
        except (EntradaError, ValueError):  # urlsplit raises for "http://["
            return None

    def _said(self, error: InteractionRequired) -> dict[str, str]:
        sentence, hint = error.told(self.sign_in.refusals.pages.names)
        return {"error": error.code, "message": sentence, "hint": hint}

    @property
    def _context(self) -> str:
        application = self.sign_in.identification.application
        return f"{_CONTEXT} {application.authority.url} {application.client_id}"

    def _now(self) -> datetime:
        return self.sign_in.identification.clock.now()
