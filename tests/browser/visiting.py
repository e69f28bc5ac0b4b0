"""A person with a browser, and the running application that they visit.

`Visitor` owns the watch over everything a browser can complain about: console errors and warnings, scripts
that throw, violations of a content security policy, requests to anybody but the application and its Entra,
and any answer of 500 and above. A test that ends with a complaint it did not announce has failed.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Request, Response
from playwright.sync_api import Page as Tab
from starlette.requests import Request as StarletteRequest
from starlette.responses import HTMLResponse
from starlette.routing import Route

from entrada.build import build_auth_routes
from entrada.cli.sample_app import SAMPLE_ROUTES
from entrada.cli.serve import listen, server_config
from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_app
from entrada.settings import load_settings
from entrada.web.auth_routes import AuthRoutes

BUTTON = "Sign in with Microsoft Entra ID"
SESSION_COOKIE = "entrada_session"
PLAIN_PAGE = "/plain"
"""A page of the application's own that anybody may open, without our policy."""
_WAIT_MS = 15_000
_FAILED_LOAD = "Failed to load resource: the server responded with a status of "


class Place(Protocol):
    """Something to visit."""

    @property
    def url(self) -> str: ...

    @property
    def hosts(self) -> set[str]:
        """Who a browser may talk to."""
        ...


@dataclass(frozen=True, kw_only=True)
class Site:
    """The sample application behind Entrada, listening."""

    url: str
    entra: RunningEmulator
    auth: AuthRoutes

    @property
    def hosts(self) -> set[str]:
        """Who a browser may talk to."""
        return {urlsplit(self.url).netloc, urlsplit(self.entra.http_url).netloc}


@contextmanager
def running_site(
    entra: RunningEmulator,
    folder: Path,
    *,
    changed: Callable[[AuthRoutes], AuthRoutes] = lambda auth: auth,
    **settings: str,
) -> Iterator[Site]:
    """The sample application on a port of its own, on SQLite in `folder`, until the block ends."""
    listener = listen("127.0.0.1", 0)
    url = f"http://localhost:{listener.getsockname()[1]}"
    values = {
        **entra.env("entrada"),
        "ENTRADA_PUBLIC_URL": url,
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
        "ENTRADA_ROLES_MAPPING": json.dumps({role: role for role in ("Admin", "Editor", "Viewer")}),
        **settings,
    }
    auth = changed(build_auth_routes(*load_settings(values), application_name="Contoso Wiki"))
    server = uvicorn.Server(
        server_config(create_app(auth, routes=[*SAMPLE_ROUTES, Route(PLAIN_PAGE, _plain)]))
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield Site(url=url, entra=entra, auth=auth)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        auth.relying_party.close()


async def _plain(_: StarletteRequest) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>Plain</title><p>Plain.")


@dataclass(kw_only=True)
class Visitor:
    """One browser with no past. `expected` are patterns of complaints that the test is about."""

    site: Place
    context: BrowserContext
    expected: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _complaints: list[str] = field(default_factory=list)
    _refused_pages: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.context.set_default_timeout(_WAIT_MS)
        self.context.on("console", self._heard)
        self.context.on("weberror", lambda error: self._complaints.append(f"threw: {error.error}"))
        self.context.on("request", self._asked)
        self.context.on("response", self._answered)

    def tab(self) -> Tab:
        return self.context.new_page()

    def session_cookie(self) -> str | None:
        """The session's cookie, as this browser would send it to the application."""
        named = [
            one
            for one in self.context.cookies(self.site.url)
            if str(one.get("name")).startswith(SESSION_COOKIE)
        ]
        return named[0].get("value") if named else None

    def complaints(self) -> list[str]:
        """What nobody announced. A page that refuses is no complaint: Chromium logs its status as one."""
        return [
            complaint
            for complaint in self._complaints
            if not any(re.search(pattern, complaint) for pattern in self.expected)
            and not any(
                complaint.startswith(_FAILED_LOAD) and url in complaint for url in self._refused_pages
            )
        ]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"{message.text} [{message.location.get('url', '')}]")

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        if parts.scheme != "data" and parts.netloc not in self.site.hosts:
            self._complaints.append(f"asked a stranger: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self._complaints.append(f"HTTP {response.status}: {response.url}")
        elif response.status >= 400 and response.request.is_navigation_request():
            self._refused_pages.add(response.url)


@contextmanager
def visiting(
    browser: Browser, site: Place, *, expected: Sequence[str] = (), **options: Any
) -> Iterator[Visitor]:
    """A new browser at that site; when the block ends well, nobody may have complained.

    `options` are those of a playwright context.
    """
    context = browser.new_context(**options)
    visitor = Visitor(site=site, context=context, expected=list(expected))
    try:
        yield visitor
    finally:
        context.close()
    if complaints := visitor.complaints():
        raise AssertionError("the browser complained:\n" + "\n".join(complaints))


# --- what people do ---


def press_the_button(tab: Tab) -> None:
    """From the sign-in page to Entra."""
    tab.get_by_role("link", name=BUTTON).click()


def is_asked_who(tab: Tab) -> bool:
    """Whether this is Entra's page with the accounts to choose from. Waits for one."""
    tab.get_by_role("button", name="@contoso.test").first.wait_for()
    return True


def pick(tab: Tab, person: str) -> None:
    """At Entra: that account."""
    tab.get_by_role("button", name=f"{person}@contoso.test").click()


def sign_in(tab: Tab, site: Place, person: str, *, path: str = "/") -> None:
    """Everything from a protected page back to it."""
    tab.goto(site.url + path)
    press_the_button(tab)
    pick(tab, person)
    tab.wait_for_url(site.url + path)


def heading(tab: Tab) -> str:
    """The page's only heading of the first rank."""
    return " ".join(tab.get_by_role("heading", level=1).inner_text().split())


def fact(tab: Tab, label: str) -> str:
    """What stands beside a label."""
    return (
        tab.locator("dt", has_text=re.compile(f"^{label}$"))
        .locator("xpath=following-sibling::dd[1]")
        .inner_text()
    )
