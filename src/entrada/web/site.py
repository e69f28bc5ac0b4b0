"""The addresses of this application: configured, never believed from a request.

The Host header only chooses among the configured URLs; anything else gets the first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote, urlsplit

from entrada.errors import AmbiguousRequest
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.redirects import FRONT_PAGE, safe_next_path

PREFIX = "/auth"

ADMIN_PAGES = ("", "person", "explain", "mapping", "audit", "health")
"""Below /auth/admin."""

_SENT_HOME = "here"
"""The query parameter that says that a visitor was sent to the public URL already."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, kw_only=True)
class Site:
    """`urls` are origins; the first is the public URL. `callback_paths`: the first is sent to Entra.

    `base_path` is the prefix under which browsers find the application: empty, or with a slash in front.
    `callback_paths` and `sign_in_page` stand without it. `sign_in_page` is the application's own, if it has
    one; `no_landing` are further pages where nobody lands after signing in.
    """

    urls: Sequence[str]
    callback_paths: Sequence[str]
    base_path: str = ""
    sign_in_page: str = f"{PREFIX}/login"
    no_landing: Sequence[str] = ()

    def under(self, base_path: str) -> Site:
        """The same application, mounted at that prefix."""
        return self if base_path == self.base_path else replace(self, base_path=base_path)

    # Pages, as browsers ask for them

    @property
    def offers_login(self) -> bool:
        """Whether a refusal may lead to the sign-in page: not where somebody else's person is signed in."""
        return True

    @property
    def front_page(self) -> str:
        return f"{self.base_path}/"

    @property
    def login_path(self) -> str:
        return self.base_path + self.sign_in_page

    @cached_property
    def start_path(self) -> str:
        return self._own("/entra/start")

    @cached_property
    def logout_path(self) -> str:
        return self._own("/logout")

    @cached_property
    def signed_out_path(self) -> str:
        return self._own("/signed-out")

    @cached_property
    def signed_in_path(self) -> str:
        """The end of a sign-in in a tab of its own: the one page of ours that people are sent back to."""
        return self._own("/signed-in")

    @cached_property
    def front_channel_path(self) -> str:
        return self._own("/entra/logout")

    @cached_property
    def backchannel_path(self) -> str:
        return self._own("/broker/backchannel-logout")

    @cached_property
    def me_path(self) -> str:
        return self._own("/me")

    @cached_property
    def account_path(self) -> str:
        return self._own("/account")

    @cached_property
    def installations_path(self) -> str:
        return self._own("/broker/installations")

    def admin_path(self, page: str = "") -> str:
        """Of one of the pages of `ADMIN_PAGES`; the first is the list of people."""
        return self._own(f"/admin/{page}" if page else "/admin")

    @cached_property
    def landings(self) -> frozenset[str]:
        """Our own pages that a sign-in may lead to: those that somebody wanted to see."""
        return frozenset(
            {self.installations_path, self.account_path, *(self.admin_path(page) for page in ADMIN_PAGES)}
        )

    @cached_property
    def callback_routes(self) -> frozenset[str]:
        """The callback paths as requests come to them: a redirect URI may have a query of its own."""
        return frozenset(self.base_path + path.partition("?")[0] for path in self.callback_paths)

    def owns(self, path: str) -> bool:
        return (
            path.startswith(self._own_start) or path == self._own_start[:-1] or path in self.callback_routes
        )

    @cached_property
    def _own_start(self) -> str:
        return self._own("/")

    def start_at(self, next_path: str | None, *, prompt: str | None = None) -> str:
        """The address that begins a sign-in which leads to `next_path`."""
        query = [] if next_path in (None, self.front_page) else [f"next={quote(next_path or '', safe='/')}"]
        query += [] if prompt is None else [f"prompt={prompt}"]
        return self.start_path + (f"?{'&'.join(query)}" if query else "")

    def login_at(self, next_path: str | None) -> str:
        """The sign-in page, on the way to `next_path`."""
        if next_path in (None, self.front_page):
            return self.login_path
        return f"{self.login_path}?next={quote(next_path or '', safe='/')}"

    def next_path(self, text: str | None) -> str:
        """`text` if it is a page of this application; the front page for anything else, and for our own.

        Raises:
            AddressTooLong: see `safe_next_path`.
        """
        if text == self.signed_in_path:
            return text
        path = safe_next_path(text, own_prefix=self.base_path + PREFIX, landings=self.landings)
        plain = path.partition("?")[0].partition("#")[0]
        if path == FRONT_PAGE or not plain.startswith(self.front_page):
            return self.front_page
        own = {self.login_path, *self.callback_routes, *(self.base_path + page for page in self.no_landing)}
        return self.front_page if plain in own else path

    def way_back_to(self, request: WebRequest) -> str:
        """`next_path` of the very address that this request asks for.

        Raises:
            AddressTooLong: see `safe_next_path`.
            AmbiguousRequest: browsers would take it for another host, so that no redirect leads back to it.
        """
        if request.target.startswith("//"):
            raise AmbiguousRequest("two slashes at its beginning")
        return self.next_path(request.target)

    # The URL of a request

    def url_of(self, request: WebRequest) -> str:
        return self._known_url(request) or self.urls[0]

    def redirect_uri(self, request: WebRequest) -> str:
        return self.url_of(request) + self.base_path + self.callback_paths[0]

    def cookie_rules(self, request: WebRequest) -> CookieRules:
        return self._rules_by_url[self.url_of(request)]

    @cached_property
    def _rules_by_url(self) -> dict[str, CookieRules]:
        return {
            url: CookieRules(secure=url.startswith("https:"), place=self._place(url)) for url in self.urls
        }

    def _place(self, url: str) -> str:
        """What tells this application from others on its host: port and prefix, where it has them."""
        port = urlsplit(url).port
        prefix = re.sub(r"[^A-Za-z0-9]+", "-", self.base_path).strip("-")
        return "_".join(part for part in (str(port or ""), prefix) if part)

    def _known_url(self, request: WebRequest) -> str | None:
        host = request.headers.get("host", "").lower()
        return self._urls_by_host.get(host)

    @cached_property
    def _urls_by_host(self) -> dict[str, str]:
        known: dict[str, str] = {}
        for url in self.urls:
            parts = urlsplit(url)
            for host in (parts.netloc, parts.netloc + _DEFAULT_PORTS[parts.scheme] * (parts.port is None)):
                known.setdefault(host, url)
        return known

    @property
    def hosts(self) -> frozenset[str]:
        """Every spelling of the public URLs in a Host header."""
        return frozenset(self._urls_by_host)

    def sent_home(self, request: WebRequest) -> WebResponse | None:
        """The way to the public URL for who came under another name, where no cookie would come back.

        One hop only: behind a proxy that hides the name people use, every request bears the same wrong one.
        """
        if "host" not in request.headers or self._known_url(request) is not None:
            return None
        if request.first(_SENT_HOME) is not None or not request.is_page_visit:
            return None
        separator = "&" if request.query else "?"
        return redirect(f"{self.urls[0]}{request.target}{separator}{_SENT_HOME}=1")

    def _own(self, path: str) -> str:
        return self.base_path + PREFIX + path
