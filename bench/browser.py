"""A client that signs people in: three requests on kept-alive connections, a fresh jar for each person.

start at the application  →  authorize at the provider, answered without a page  →  the redirect URI
"""

from __future__ import annotations

import html
import http.client
import re
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

PAGE_VISIT = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-GB,en;q=0.9",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "sec-fetch-site": "none",
    "upgrade-insecure-requests": "1",
}
_LINK = re.compile(r"URL=([^'\"]*/authorize\?[^'\"]*)")


class SignInFailed(Exception):
    """Which step answered otherwise than it should have."""


@dataclass
class Browser:
    """Keeps connections between people, cookies of one person only.

    `plain_provider` are the provider's https and http addresses: this client goes to the plain one, wherever
    an application sends it.
    """

    plain_provider: tuple[str, str] | None = None
    _connections: dict[str, http.client.HTTPConnection] = field(default_factory=dict)
    _jar: dict[str, dict[str, str]] = field(default_factory=dict)

    def sign_in(self, start_url: str, person: str) -> str:
        """Signs the person in at the application that begins here; the Cookie header they end with.

        Raises:
            SignInFailed: a step did not lead on.
        """
        self.forget()
        status, location, body = self.visit(start_url)
        if status == 200 and (link := _LINK.search(body.decode("utf-8", "replace"))):
            location = html.unescape(link[1])
        if "/authorize?" not in location:
            raise SignInFailed(f"the start answered {status}: {_gist(body)}")
        location = self.plain(location)
        # Said a second time, a login hint would make two; the provider counts the last.
        status, location, body = self.visit(f"{location}&login_hint={quote(person)}&_emulator_approve=1")
        if "code=" not in location:
            raise SignInFailed(f"the provider answered {status}: {_gist(body)}")
        callback = location
        status, _, body = self.visit(callback)
        if status not in (302, 303):
            raise SignInFailed(f"the redirect URI answered {status}: {_gist(body)}")
        cookie = self.cookie(callback)
        if not cookie:
            raise SignInFailed("the redirect URI left no cookie")
        return cookie

    def plain(self, address: str) -> str:
        """The address at the provider's plain port, if it is one of the provider's."""
        return address.replace(*self.plain_provider, 1) if self.plain_provider else address

    def visit(self, url: str) -> tuple[int, str, bytes]:
        """(status, absolute Location or "", body)."""
        parts = urlsplit(url)
        connection = self._connections.get(parts.netloc)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
            self._connections[parts.netloc] = connection
        headers = {"host": parts.netloc, **PAGE_VISIT}
        if cookie := self.cookie(url):
            headers["cookie"] = cookie
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            # A connection that rested too long; nothing was answered, so it may be asked once more.
            connection.close()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
        body = answer.read()
        jar = self._jar.setdefault(parts.netloc, {})
        for line in answer.headers.get_all("set-cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            if value:
                jar[name] = value
            else:
                jar.pop(name, None)
        location = answer.headers.get("location", "")
        return answer.status, urljoin(url, location) if location else "", body

    def forget(self) -> None:
        """All cookies."""
        self._jar.clear()

    def cookie(self, url: str) -> str:
        return "; ".join(f"{name}={value}" for name, value in self._jar.get(urlsplit(url).netloc, {}).items())

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


def _gist(body: bytes) -> str:
    text = re.sub(r"<(style|script|head).*?</\1>|<[^>]+>", " ", body.decode("utf-8", "replace"), flags=re.S)
    return " ".join(text.split())[:200]
