"""One whole sign-in, made by a program that behaves like a browser, told step by step.

    for step in walk_through("http://localhost:8000", person="ada@contoso.test"):
        print(step)

It signs in at the emulator, which lets a script page for a person.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import urllib3

from entrada.errors import EntradaError

_PAGE_VISIT = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


class WalkBroken(EntradaError):
    """A step answered with something else than it should have."""

    code = "walk_broken"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What came back for one address; `location` is absolute, and the address itself without a redirect."""

    status: int
    location: str
    body: bytes


@dataclass(kw_only=True)
class Browser:
    """Visits pages and keeps cookies, one jar a host; follows nothing by itself."""

    _http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=10))
    )
    _cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    def visit(self, url: str) -> Page:
        jar = self._cookies.setdefault(urlsplit(url).netloc, {})
        cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
        response = self._http.request(
            "GET", url, headers={**_PAGE_VISIT, **({"cookie": cookie} if cookie else {})}, redirect=False
        )
        for line in response.headers.getlist("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if value:
                jar[name] = value
            else:
                jar.pop(name, None)
        return Page(
            status=response.status,
            location=urljoin(url, response.headers.get("location", "")),
            body=response.data,
        )


def walk_through(public_url: str, *, person: str) -> Iterator[str]:
    """Signs `person` in at the emulator; yields a sentence for each step that worked.

    Raises:
        WalkBroken: names the step, and what came instead.
    """
    browser = Browser()
    page = _expect(browser.visit(f"{public_url}/"), 303, "the protected page")
    yield "asked for the protected page: not signed in, so sent to the sign-in page"
    login = page.location
    _expect(browser.visit(login), 200, "the sign-in page")
    yield "the sign-in page shows the button “Sign in with Microsoft Entra ID”"
    page = _expect(browser.visit(f"{public_url}/auth/entra/start?next=/"), 303, "the start of the sign-in")
    sent = parse_qs(urlsplit(page.location).query)
    if sent.get("code_challenge_method") != ["S256"] or not sent.get("nonce") or not sent.get("state"):
        raise _broken("the start of the sign-in", "a request without PKCE, nonce or state")
    yield "the button leads to Entra with state, nonce and a PKCE challenge (S256)"
    at_entra = f"{page.location}&{urlencode({'login_hint': person, '_emulator_approve': '1'})}"
    page = _expect(browser.visit(at_entra), (302, 303), "the emulator's sign-in")
    yield f"Entra (the emulator) knows {person} and sends back a code"
    page = _expect(browser.visit(page.location), 303, "the redirect URI")
    yield "the code was redeemed through MSAL, the ID token verified, the account and session made"
    _expect(browser.visit(f"{public_url}/"), 200, "the protected page after signing in")
    page = _expect(browser.visit(f"{public_url}/auth/me"), 200, "/auth/me")
    me = json.loads(page.body)
    yield f"signed in as {me['name']} with the roles {', '.join(me['roles']) or 'none'}"
    _expect(browser.visit(f"{public_url}/editors"), 200, "the editors' page")
    yield "the editors' page opens, because the role allows it"


def _expect(page: Page, status: int | tuple[int, ...], step: str) -> Page:
    if page.status not in ((status,) if isinstance(status, int) else status):
        raise _broken(step, f"HTTP {page.status}")
    return page


def _broken(step: str, instead: str) -> WalkBroken:
    return WalkBroken(
        f"The walk stopped at {step}: {instead}.", hint="The log above says why; run it again to see it anew."
    )
