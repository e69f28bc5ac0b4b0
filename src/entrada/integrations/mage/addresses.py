"""Where everything is, as the browser sees it: under Mage's base path, if it has one.

    /oauth                  the redirect URI, as Mage's page has people register it
    /sign-in                Mage's own sign-in page
    /auth/entra/start       303 to Entra
    /auth/entra/logout      Entra's front channel
    /auth/entra/mage.js     the few lines that bring a signing-out browser to Entra

Mage's variables: `MAGE_REQUESTS_BASE_PATH` is the prefix that browsers use, `MAGE_ROUTES_BASE_PATH` the one
that arrives at the server, `MAGE_BASE_PATH` both; a proxy in front may strip the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from entrada.errors import AddressTooLong, RequestRefused
from entrada.web.messages import WebRequest
from entrada.web.site import Site

CALLBACK_PATH = "/oauth"
SIGN_IN_PATH = "/sign-in"
START_PATH = "/auth/entra/start"
FRONT_CHANNEL_PATH = "/auth/entra/logout"
BACKCHANNEL_PATH = "/auth/broker/backchannel-logout"
SCRIPT_PATH = "/auth/entra/mage.js"
SESSIONS_PATH = "/api/sessions"

_LONGEST_ADDRESS = 8_000
_BASE_PATH = re.compile(r"[A-Za-z0-9._~/-]*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """`site` knows the prefix; its sign-in page is Mage's own."""

    site: Site

    @property
    def base_path(self) -> str:
        """The prefix under which browsers find Mage; empty without one."""
        return self.site.base_path

    @property
    def front_page(self) -> str:
        """Mage's front page."""
        return self.site.front_page

    @property
    def sign_in(self) -> str:
        """Mage's own sign-in page."""
        return self.site.login_path

    @property
    def script(self) -> str:
        """The script that every page of Mage's loads besides its own."""
        return self.base_path + SCRIPT_PATH

    def start(self, next_path: str | None = None) -> str:
        """The address that begins a sign-in which leads to `next_path`."""
        return self.site.start_at(next_path)

    def next_path(self, text: str | None) -> str:
        """`text` if it is one of Mage's pages; the front page for anything else, and for our own.

        One that is too long is handed on: the start says so.
        """
        try:
            return self.site.next_path(text)
        except AddressTooLong:
            return text or self.front_page

    def start_url_for(self, sign_in_url: str | None) -> str:
        """What Mage's button leads to, told the address of the page that shows it.

        Only the place to return to is taken from there; the origin is one of those configured.
        """
        host, _, query = _taken_apart(sign_in_url)
        page = WebRequest(method="GET", path=SIGN_IN_PATH, query=query, headers={"host": host})
        try:
            wanted = page.first("redirect_url")
        except RequestRefused:
            wanted = None
        return self.site.url_of(page) + self.start(self.next_path(wanted))

    def is_sign_in_page(self, url: str | None) -> bool:
        """Whether this URL is Mage's sign-in page."""
        return _taken_apart(url)[1] == self.sign_in


def _taken_apart(url: str | None) -> tuple[str, str, str]:
    """Host, path and query of an address that a page of Mage's sent, encoded once more than usual."""
    try:
        parts = urlsplit(unquote(url or "")[:_LONGEST_ADDRESS])
    except ValueError:
        return "", "", ""
    return parts.netloc, parts.path, parts.query


def base_path_of(text: str | None) -> str:
    """Mage's way to write a base path, such as `mage` or `team/mage`, as the beginning of a path.

    Raises:
        ValueError: it holds what a path does not.
    """
    inner = (text or "").strip("/")
    if not _BASE_PATH.fullmatch(inner) or "//" in inner:
        raise ValueError("a base path is made of letters, digits, slashes and . _ ~ -")
    return f"/{inner}" if inner else ""
