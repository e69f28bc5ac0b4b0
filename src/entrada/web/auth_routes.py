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

from collections.abc import Callable, Mapping

from entrada.errors import EntradaError, PageNotFound
from entrada.web import account_routes, sign_in_routes, sign_out_routes
from entrada.web.auth import Auth
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse
from entrada.web.site import PREFIX

Answer = Callable[[Auth, WebRequest], WebResponse]


class AuthRoutes(Auth):
    """The sign-in pages of one application: `handle` answers every path that it `owns`."""

    def owns(self, path: str) -> bool:
        return path == PREFIX or path.startswith(f"{PREFIX}/") or path in self.site.callback_routes

    def handle(self, request: WebRequest) -> WebResponse:
        """The answer. May ask Entra and the database: run it where waiting harms nobody."""
        try:
            return self._answer(request)
        except EntradaError as error:
            return self.failure(error, request)

    def answers_at_once(self, request: WebRequest) -> bool:
        """Whether the answer needs neither Entra nor the database, and is made before a thread is found."""
        if request.method == "POST":
            return False
        if request.path == self.site.me_path:
            return self.session_in_memory(request) is not None
        if self.session_cookie(request) is not None:
            return False
        if request.path == self.site.start_path:
            return self.relying_party.sign_in.application.is_ready
        return request.path in (self.site.login_path, self.site.signed_out_path)

    def _answer(self, request: WebRequest) -> WebResponse:
        answers = self._routes().get(request.path)
        if answers is None:
            raise PageNotFound
        # HEAD is a GET without a body, but for the redirect URI: a code is not used up by looking.
        has_head = request.path not in self.site.callback_routes
        answer = answers.get("GET" if request.method == "HEAD" and has_head else request.method)
        if answer is None:
            allowed = ", ".join([*answers, *(["HEAD"] if has_head else [])])
            return WebResponse(status=405, headers=[("allow", allowed), *SAFE_HEADERS])
        return answer(self, request)

    def _routes(self) -> Mapping[str, Mapping[str, Answer]]:
        callback = {"GET": sign_in_routes.callback, "POST": sign_in_routes.callback}
        return {
            self.site.login_path: {"GET": sign_in_routes.login},
            self.site.start_path: {"GET": sign_in_routes.start},
            **dict.fromkeys(self.site.callback_routes, callback),
            self.site.logout_path: {
                "GET": sign_out_routes.confirm_sign_out,
                "POST": sign_out_routes.sign_out,
            },
            self.site.signed_out_path: {"GET": sign_out_routes.signed_out},
            self.site.front_channel_path: {"GET": sign_out_routes.front_channel},
            self.site.me_path: {"GET": account_routes.me},
            self.site.account_path: {"GET": account_routes.account},
        }
