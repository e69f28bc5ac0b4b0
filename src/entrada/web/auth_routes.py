"""Every address under /auth, and the redirect URIs: what a visitor sends, and what they get.

    GET  /auth/login            the page with the button
    GET  /auth/entra/start      303 to Entra
    GET  /auth/signed-in        the end of a sign-in in a tab of its own
    GET  redirect URI           Entra's response (POST with response mode form_post)
    GET  /auth/logout           asks first; POST signs out here, then at Entra
    GET  /auth/signed-out       stays signed out
    GET  /auth/entra/logout     Entra's front channel, `sid` only
    POST /auth/broker/backchannel-logout    a broker's back channel, where the sign-in goes through one
    GET  /auth/me               who is signed in, as JSON
    GET  /auth/account          the same as a page, with one's sessions; POST ends others of them
    GET  /auth/admin            people, their roles and sessions, for administrators; see `entrada.web.admin`

No response here is a 500, whatever a visitor sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from entrada.errors import EntradaError, PageNotFound
from entrada.web import account_routes, sign_in_routes, sign_out_routes
from entrada.web.admin.routes import admin_routes
from entrada.web.auth import Auth, Route
from entrada.web.backchannel_routes import backchannel_logout
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse


class AuthRoutes(Auth):
    """The sign-in pages of one application: `handle` responds on every path that it `owns`."""

    def owns(self, path: str) -> bool:
        return self.site.owns(path) or path in self.further

    def has_page(self, path: str) -> bool:
        return path in self._routes

    def handle(self, request: WebRequest) -> WebResponse:
        """The response. May ask Entra and the database: run it where waiting harms nobody."""
        try:
            return self._respond(request)
        except EntradaError as error:
            return self.failure(error, request)

    def not_found(self, request: WebRequest) -> WebResponse:
        """The response for an address that the application does not have."""
        return self.failure(PageNotFound(), request)

    def responds_from_memory(self, request: WebRequest) -> bool:
        """Whether the response needs neither Entra nor the database, and is made before a thread is found."""
        if request.method == "POST":
            return False
        if request.path == self.site.me_path:
            return self.session_in_memory(request) is not None
        if self.cookie.values(request):
            return False
        if request.path == self.site.start_path:
            return self.relying_party.sign_in.application.is_ready
        return request.path in (self.site.login_path, self.site.signed_out_path)

    def _respond(self, request: WebRequest) -> WebResponse:
        routes = self._routes.get(request.path)
        if routes is None:
            raise PageNotFound
        # HEAD is a GET without a body, but for the redirect URI: a code is not used up by looking.
        has_head = request.path not in self.site.callback_routes
        route = routes.get("GET" if request.method == "HEAD" and has_head else request.method)
        if route is None:
            allowed = ", ".join([*routes, *(["HEAD"] if has_head else [])])
            return WebResponse(status=405, headers=[("allow", allowed), *SAFE_HEADERS])
        return route(self, request)

    @property
    def _at_broker(self) -> bool:
        return self.relying_party.sign_in.application.authority.is_broker

    @cached_property
    def _routes(self) -> Mapping[str, Mapping[str, Route]]:
        callback = {"GET": sign_in_routes.callback, "POST": sign_in_routes.callback}
        return {
            self.site.login_path: {"GET": sign_in_routes.login},
            self.site.start_path: {"GET": sign_in_routes.start},
            self.site.signed_in_path: {"GET": sign_in_routes.signed_in},
            **dict.fromkeys(self.site.callback_routes, callback),
            self.site.logout_path: {
                "GET": sign_out_routes.confirm_sign_out,
                "POST": sign_out_routes.sign_out,
            },
            self.site.signed_out_path: {"GET": sign_out_routes.signed_out},
            self.site.front_channel_path: {"GET": sign_out_routes.front_channel},
            **({self.site.backchannel_path: {"POST": _backchannel}} if self._at_broker else {}),
            self.site.me_path: {"GET": account_routes.me},
            self.site.account_path: {"GET": account_routes.account, "POST": account_routes.end_sessions},
            **admin_routes(self.site),
            **self.further,
        }


def _backchannel(auth: Auth, request: WebRequest) -> WebResponse:
    party = auth.relying_party
    return backchannel_logout(
        request,
        application=party.sign_in.application,
        end=party.sign_out.end_by_entra,
        now=party.clock.now(),
    )
