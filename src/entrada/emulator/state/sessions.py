"""Browser sessions at the emulator: who is signed in, since when, and at which applications.

One cookie names one browser; each account signed in there has its own `sid`, which is what the
applications' ID tokens carry and what front-channel logout sends back.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..directory.records import new_id

_MAX_BROWSERS = 10_000


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """One account in one browser."""

    object_id: str
    auth_time: float
    mfa: bool
    sid: str = field(default_factory=new_id)


@dataclass(kw_only=True)
class Browser:
    """One browser's accounts, and the front-channel logout addresses of the applications they entered."""

    cookie: str
    accounts: dict[str, SignedIn] = field(default_factory=dict)
    applications: dict[str, dict[str, str]] = field(default_factory=dict)

    def enter(self, account: SignedIn, client_id: str, front_channel_url: str) -> None:
        """Remember that the account went into an application."""
        self.accounts[account.object_id] = account
        self.applications.setdefault(account.object_id, {})[client_id] = front_channel_url

    def leave(self, object_id: str) -> list[str]:
        """Forget an account; the front-channel addresses to load, each with the account's `sid`."""
        account = self.accounts.pop(object_id, None)
        urls = self.applications.pop(object_id, {}).values()
        if account is None:
            return []
        return [f"{url}{'&' if '?' in url else '?'}sid={account.sid}" for url in urls if url]


class Sessions:
    """All browsers, the least recently seen dropped beyond ten thousand."""

    def __init__(self) -> None:
        self._browsers: OrderedDict[str, Browser] = OrderedDict()

    def __iter__(self) -> Iterator[Browser]:
        return iter(list(self._browsers.values()))

    def find(self, cookie: str) -> Browser | None:
        """The browser with this cookie."""
        return self._browsers.get(cookie) if cookie else None

    def open(self) -> Browser:
        """A new browser with nobody signed in."""
        browser = Browser(cookie=secrets.token_urlsafe(32))
        self._browsers[browser.cookie] = browser
        if len(self._browsers) > _MAX_BROWSERS:
            self._browsers.popitem(last=False)
        return browser

    def end_person(self, object_id: str) -> None:
        """Sign an account out of every browser, without telling the applications."""
        for browser in self:
            browser.leave(object_id)

    def clear(self) -> None:
        """Forget every browser."""
        self._browsers.clear()
