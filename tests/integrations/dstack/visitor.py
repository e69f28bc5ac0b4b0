"""A person's browser at dstack, without a screen: what dstack's own pages ask for, step by step.

    visitor.begin()                  # the button: now at Entra
    visitor.approve_as(ada)          # Entra sends this browser back
    visitor.complete()               # the callback page, and what its script asks for

Cookies are kept as browsers keep them; what is asked for across sites carries no `Strict` ones.

Source: dstack 0.22.5, frontend, App/Login/EntraID (observed 2026-11-22; 0.21.5 and 0.22.1 ask the same).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from clients.dstack import Dstack
from walks.visitor import PAGE_VISIT, SCRIPT, Jar, query_of

CALLBACK = "/auth/entra/callback"


class Visitor:
    """One browser. `at_entra` and `coming_back` are where it stands in the latest sign-in."""

    def __init__(self, dstack: Dstack, http: httpx.Client, jar: Jar | None = None) -> None:
        self.dstack = dstack
        self.jar = jar or Jar()
        self.at_entra = ""
        self.coming_back = ""
        self._http = http

    # What a browser does

    def open(self, url: str, **headers: str) -> httpx.Response:
        """Goes to a page: a path of dstack's, or a whole address. Header names: `_` stands for `-`."""
        return self._send("GET", url, {**PAGE_VISIT, **_dashed(headers)})

    def fetch(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """What a script of dstack's page asks for."""
        own = {**SCRIPT, "origin": self.dstack.address}
        return self._send("POST", path, {**own, **_dashed(headers)}, json=body)

    def _send(self, method: str, url: str, headers: dict[str, str], **body: Any) -> httpx.Response:
        url = self.dstack.address + url if url.startswith("/") else url
        host, secure = urlsplit(url).hostname or "", url.startswith("https:")
        cookie = self.jar.header(host, secure=secure, from_another_site=False)
        if headers.get("sec-fetch-site") == "cross-site":
            cookie = "; ".join(
                f"{name}={one.value}"
                for (of, name), one in self.jar.cookies.items()
                if of == host and one.attributes.get("samesite", "").lower() != "strict"
            )
        sent = {**({"cookie": cookie} if cookie else {}), **headers}
        response = self._http.request(method, url, headers=sent, **body)
        self.jar.take(response, host)
        return response

    # Signing in

    def ask_to_begin(self, **body: Any) -> httpx.Response:
        """dstack's answer to a press of the button."""
        return self.fetch("/api/auth/entra/authorize", {"base_url": self.dstack.address, **body})

    def begin(self, **body: Any) -> str:
        """Presses the button; the address at Entra that it leads to."""
        answer = self.ask_to_begin(**body)
        assert answer.status_code == 200, answer.text
        self.at_entra = answer.json()["authorization_url"]
        return self.at_entra

    def approve_as(self, person: Any, *, errors_come_back: bool = False) -> str:
        """Signs in at Entra; the address that Entra sends this browser back to.

        `errors_come_back`: refusals that Entra shows on its own page are sent back too.
        """
        name = getattr(person, "user_principal_name", person)
        switches = {"_emulator_as": name, "_emulator_approve": "1"}
        if errors_come_back:
            switches["_emulator_errors"] = "redirect"
        answer = self.open(f"{self.at_entra}&{urlencode(switches)}", sec_fetch_site="cross-site")
        assert answer.status_code in (302, 303), answer.text
        self.coming_back = answer.headers["location"]
        return self.coming_back

    def complete(self, coming_back: str = "") -> httpx.Response:
        """Comes back: the page, then what its script asks for. The first answer that is not as it should
        be, else that of the last step."""
        url = coming_back or self.coming_back
        page = self.open(url, sec_fetch_site="cross-site")
        if page.is_redirect:
            return self.open(page.headers["location"], sec_fetch_site="same-site")
        given = query_of(url)
        if page.status_code != 200 or not is_dstacks_page(page) or not {"code", "state"} <= set(given):
            return page
        answer = {"code": given["code"], "state": given["state"]}
        following = self.fetch("/api/auth/get_next_redirect", answer)
        if following.status_code != 200:
            return following
        if following.json()["redirect_url"]:
            return self.open(following.json()["redirect_url"], sec_fetch_site="same-site")
        return self.ask_to_complete(**answer)

    def ask_to_complete(self, **body: Any) -> httpx.Response:
        """dstack's answer to the last step."""
        return self.fetch("/api/auth/entra/callback", {"base_url": self.dstack.address, **body})

    def sign_in_as(self, person: Any) -> dict[str, Any]:
        """The whole way; what dstack tells its page about the person, token included."""
        self.begin()
        self.approve_as(person)
        answer = self.complete()
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:2000]}"
        told: dict[str, Any] = answer.json()
        return told


def is_dstacks_page(answer: httpx.Response) -> bool:
    """Whether this is the page that dstack serves for everything, rather than one of ours."""
    return 'id="root"' in answer.text


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
