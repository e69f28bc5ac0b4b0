"""A browser without a screen, with verbs that read like a session.

    visitor.open("/reports")             # a page visit
    visitor.begin(next="/reports")       # the button: now at Entra
    visitor.approve_as(ada)              # Entra knows her and sends her back with a code
    visitor.complete()                   # the redirect URI
    visitor.whoami()["name"]

It follows no redirect by itself, so a test sees each step. Cookies are kept as browsers keep them: by host
name whatever the port, `Secure` ones for https only, and only `SameSite=None` ones along with another
site's form.

Source: RFC 6265bis; Fetch Metadata Request Headers; OAuth 2.0 Form Post Response Mode.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx

from walks.site import Site

PAGE_VISIT = {
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "sec-fetch-site": "none",
}
SCRIPT = {
    "accept": "application/json",
    "sec-fetch-mode": "cors",
    "sec-fetch-dest": "empty",
    "sec-fetch-site": "same-origin",
}
LARGEST_COOKIE = 4_096
"""Name and value together; browsers drop what is larger without a word."""

_HIDDEN_FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')
_FORM = re.compile(r'<form[^>]*action="([^"]*)"')


def new_http(**more: Any) -> httpx.Client:
    """Connections that visitors share; it keeps no cookies, because each visitor has a jar."""
    nothing_kept = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.Client(cookies=nothing_kept, timeout=30, trust_env=False, follow_redirects=False, **more)


@dataclass(frozen=True, kw_only=True)
class Cookie:
    value: str
    attributes: Mapping[str, str]
    """By lower-case name; a flag such as Secure has the value ""."""


@dataclass
class Jar:
    """The cookies of one browser, by host name and cookie name."""

    cookies: dict[tuple[str, str], Cookie] = field(default_factory=dict)

    def take(self, response: httpx.Response, host: str) -> None:
        for line in response.headers.get_list("set-cookie"):
            pair, *rest = line.split(";")
            name, _, value = pair.strip().partition("=")
            attributes = {
                key.strip().lower(): text.strip() for key, _, text in (p.partition("=") for p in rest)
            }
            if len(name) + len(value) > LARGEST_COOKIE:
                continue
            if attributes.get("max-age") == "0":
                self.cookies.pop((host, name), None)
            else:
                self.cookies[host, name] = Cookie(value=value, attributes=attributes)

    def header(self, host: str, *, secure: bool, from_another_site: bool) -> str:
        sent = [
            f"{name}={cookie.value}"
            for (of, name), cookie in self.cookies.items()
            if of == host
            and (secure or "secure" not in cookie.attributes)
            and (not from_another_site or cookie.attributes.get("samesite") == "None")
        ]
        return "; ".join(sent)


class Visitor:
    """One browser at one site. `at_entra` and `coming_back` are where it stands in the latest sign-in."""

    def __init__(self, site: Site, http: httpx.Client, jar: Jar | None = None) -> None:
        self.site = site
        self.jar = jar or Jar()
        self.at_entra = ""
        self.coming_back = ""
        self._http = http

    # What a browser does

    def open(self, path: str, **headers: str) -> httpx.Response:
        """Goes to a page: a path of the site, or a whole address. Header names: `_` stands for `-`."""
        return self.send("GET", path, {**PAGE_VISIT, **_dashed(headers)})

    def fetch(self, path: str, method: str = "GET", *, body: Any = None, **headers: str) -> httpx.Response:
        """What a script on the site's own page asks for."""
        return self.send(method, path, {**SCRIPT, **_dashed(headers)}, json=body)

    def post(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> httpx.Response:
        """Sends a form of the site's own page."""
        own = {**PAGE_VISIT, "sec-fetch-site": "same-origin", "origin": self.site.public_url}
        return self.send("POST", path, {**own, **_dashed(headers)}, data=form or {})

    def post_from_elsewhere(
        self, path: str, form: Mapping[str, str], *, origin: str, **headers: str
    ) -> httpx.Response:
        """Sends a form of another site's page: Lax cookies stay at home."""
        foreign = {**PAGE_VISIT, "sec-fetch-site": "cross-site", "origin": origin, **_dashed(headers)}
        return self.send("POST", path, foreign, data=form, from_another_site=True)

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        from_another_site: bool = False,
        **body: Any,
    ) -> httpx.Response:
        url = self.site.public_url + path if path.startswith("/") else path
        parts = urlsplit(url)
        host = parts.hostname or ""
        cookie = self.jar.header(host, secure=parts.scheme == "https", from_another_site=from_another_site)
        sent = {"host": parts.netloc, **({"cookie": cookie} if cookie else {}), **headers}
        # Only the way there is ours: the site hears the address people use.
        way = self.site.address + url[len(self.site.public_url) :] if self._is_at_site(url) else url
        response = self._http.request(method, way, headers=sent, **body)
        self.jar.take(response, host)
        return response

    def _is_at_site(self, url: str) -> bool:
        return url == self.site.public_url or url.startswith(f"{self.site.public_url}/")

    # Signing in

    def begin(self, next: str = "/", **parameters: str) -> str:
        """Presses the button; the address at Entra that it leads to."""
        query = urlencode({"next": next, **parameters}, quote_via=quote)
        answer = self.open(f"/auth/entra/start?{query}")
        assert answer.status_code == 303, answer.text
        self.at_entra = answer.headers["location"]
        return self.at_entra

    def approve_as(self, person: Any, at_entra: str = "", *, errors_come_back: bool = False) -> str:
        """Signs in at Entra; the address that Entra sends this browser back to.

        `errors_come_back`: refusals that Entra shows on its own page are sent back too.
        """
        name = getattr(person, "user_principal_name", person)
        switches = {"login_hint": name, "_emulator_approve": "1"}
        if errors_come_back:
            switches["_emulator_errors"] = "redirect"
        return self.answer_at_entra(at_entra, **switches)

    def answer_at_entra(self, at_entra: str = "", **switches: str) -> str:
        """Opens the address at Entra, with the emulator's switches; where Entra sends this browser next."""
        url = at_entra or self.at_entra
        answer = self.open(f"{url}&{urlencode(switches)}" if switches else url, sec_fetch_site="cross-site")
        assert answer.status_code in (302, 303), answer.text
        self.coming_back = answer.headers["location"]
        return self.coming_back

    def complete(self, coming_back: str = "") -> httpx.Response:
        """Comes back from Entra to the redirect URI."""
        return self.open(coming_back or self.coming_back, sec_fetch_site="cross-site")

    def sign_in_as(self, person: Any, next: str = "/") -> httpx.Response:
        """The whole way; the answer of the redirect URI."""
        self.begin(next)
        self.approve_as(person)
        return self.complete()

    def approve_by_form(self, person: Any) -> tuple[str, dict[str, str]]:
        """Signs in at Entra when it answers by a form; where the form goes, and its fields."""
        name = getattr(person, "user_principal_name", person)
        page = self.open(f"{self.at_entra}&{urlencode({'login_hint': name, '_emulator_approve': '1'})}")
        action = _FORM.search(page.text)
        assert action is not None, page.text
        fields = {html.unescape(key): html.unescape(value) for key, value in _HIDDEN_FIELD.findall(page.text)}
        return html.unescape(action[1]), fields

    # Being signed in

    def whoami(self) -> dict[str, Any] | None:
        """What the site says of this browser; None: nobody."""
        answer = self.fetch("/auth/me")
        assert answer.status_code in (200, 401), answer.text
        return answer.json() if answer.status_code == 200 else None

    def sign_out(self, **form: str) -> httpx.Response:
        return self.post("/auth/logout", form)

    @property
    def session_cookie(self) -> Cookie | None:
        return self.jar.cookies.get((self._host, self.cookie_name("entrada_session")))

    def present(self, value: str) -> None:
        """Puts somebody's session cookie value into this browser."""
        self.jar.cookies[self._host, self.cookie_name("entrada_session")] = Cookie(value=value, attributes={})

    @property
    def pending(self) -> dict[str, Cookie]:
        """The sign-ins under way, by cookie name."""
        prefix = self.cookie_name("entrada_pending") + "_"
        found = self.jar.cookies.items()
        return {
            name: cookie for (host, name), cookie in found if host == self._host and name.startswith(prefix)
        }

    @property
    def _host(self) -> str:
        return urlsplit(self.site.public_url).hostname or ""

    def cookie_name(self, name: str) -> str:
        """The name as this site writes it: with the port of its public URL, if that names one."""
        url = urlsplit(self.site.public_url)
        named = name if url.port is None else f"{name}_{url.port}"
        return f"__Host-{named}" if url.scheme == "https" else named


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address, each of which must be there once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}


def with_query(url: str, *, without: tuple[str, ...] = (), **changes: str) -> str:
    """The address with some parameters changed or left out."""
    kept = {name: value for name, value in query_of(url).items() if name not in without}
    return f"{url.partition('?')[0]}?{urlencode({**kept, **changes}, quote_via=quote)}"


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
