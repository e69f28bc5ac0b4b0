"""The addresses of this application: configured, never believed from a request.

The Host header only chooses among the configured URLs; anything else gets the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from entrada.web.messages import CookieRules, WebRequest

PREFIX = "/auth"


@dataclass(frozen=True, kw_only=True)
class Site:
    """`urls` are origins; the first is the public URL. `callback_paths`: the first is sent to Entra."""

    urls: Sequence[str]
    callback_paths: Sequence[str]

    login_path = f"{PREFIX}/login"
    start_path = f"{PREFIX}/entra/start"
    logout_path = f"{PREFIX}/logout"
    signed_out_path = f"{PREFIX}/signed-out"
    front_channel_path = f"{PREFIX}/entra/logout"
    me_path = f"{PREFIX}/me"
    account_path = f"{PREFIX}/account"

    @cached_property
    def callback_routes(self) -> frozenset[str]:
        """The callback paths as requests come to them: a redirect URI may have a query of its own."""
        return frozenset(path.partition("?")[0] for path in self.callback_paths)

    def url_of(self, request: WebRequest) -> str:
        host = request.headers.get("host", "")
        return next((url for url in self.urls if urlsplit(url).netloc == host), self.urls[0])

    def redirect_uri(self, request: WebRequest) -> str:
        return self.url_of(request) + self.callback_paths[0]

    def cookie_rules(self, request: WebRequest) -> CookieRules:
        return CookieRules(secure=self.url_of(request).startswith("https:"))
