"""A browser without scripts: it keeps cookies, follows redirects and presses buttons.

    page = browser.open(address)                        # Pick an account
    page = browser.press("Next", name="ada@contoso.test")
    page.url                                            # where the application wants the answer

`stop_at` names addresses that nobody serves in a test, such as the redirect URI of a client that reads
the answer from the address line: reaching one ends the walk with the address as the page's.

Source: HTML Living Standard, "Form submission"; RFC 6265bis.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx

_MOST_STEPS = 20


@dataclass
class Form:
    """One form: where it goes, what it carries unasked, and its buttons as (text, name, value)."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)
    visible: bool = False


@dataclass
class Page:
    """What the browser shows. `answered` is false for an address that nobody serves."""

    url: str
    status: int = 0
    text: str = ""
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    title: str = ""
    forms: list[Form] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        return self.status > 0

    @property
    def parameters(self) -> dict[str, str]:
        """What the address carries, in its query or fragment."""
        parts = urlsplit(self.url)
        return dict(parse_qsl(parts.query or parts.fragment, keep_blank_values=True))


class _Reader(HTMLParser):
    """Reads title, forms, frames and links of a page."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page
        self._form: Form | None = None
        self._button: tuple[str, str] | None = None
        self._link = ""
        self._text = ""
        self._in_noscript = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        got = {name: value or "" for name, value in attributes}
        if tag == "form":
            action = urljoin(self._page.url, got.get("action", ""))
            self._form = Form(action=action, method=got.get("method", "get").lower())
            self._page.forms.append(self._form)
        elif tag == "input" and self._form is not None:
            self._input(self._form, got)
        elif tag == "iframe":
            self._page.frames.append(urljoin(self._page.url, got.get("src", "")))
        elif tag in ("title", "a", "button"):
            self._text = ""
            self._link = urljoin(self._page.url, got.get("href", ""))
            self._button = (got.get("name", ""), got.get("value", ""))

    def _input(self, form: Form, got: dict[str, str]) -> None:
        kind = got.get("type", "text")
        if kind == "submit":
            form.buttons.append((got.get("value", ""), got.get("name", ""), got.get("value", "")))
        elif kind not in ("checkbox", "radio") or "checked" in got:
            form.fields[got.get("name", "")] = got.get("value", "")
        form.visible = form.visible or kind != "hidden"

    def handle_data(self, data: str) -> None:
        self._text += f" {data.strip()}"

    def handle_endtag(self, tag: str) -> None:
        text = " ".join(self._text.split())
        if tag == "title":
            self._page.title = text
        elif tag == "a":
            self._page.links[text] = self._link
        elif tag == "button" and self._form is not None and self._button is not None:
            self._form.buttons.append((text, *self._button))
        elif tag == "form":
            self._form = None


class PlainBrowser:
    """One browser of one person, who trusts this authority for https."""

    def __init__(self, ca_file: Path, *, stop_at: tuple[str, ...] = ()) -> None:
        self.stop_at = stop_at
        self.page = Page(url="about:blank")
        trust = ssl.create_default_context(cafile=ca_file)
        self._http = httpx.Client(verify=trust, timeout=30, trust_env=False, follow_redirects=False)

    def __enter__(self) -> PlainBrowser:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def open(self, url: str) -> Page:
        """Go to an address, and wherever it redirects."""
        return self._walk("GET", url, {})

    def press(self, button: str, **fields: str) -> Page:
        """Press the first button whose text begins so, with these fields filled in."""
        for form in self.page.forms:
            for text, name, value in form.buttons:
                if text.startswith(button):
                    pressed = {name: value} if name else {}
                    return self._submit(form, {**form.fields, **fields, **pressed})
        raise AssertionError(f"no button {button!r} on {self.page.title!r}:\n{self.page.text}")

    def sign_in(self, url: str, who: str) -> Page:
        """Open an address that leads to Entra's account picker, and sign in as somebody."""
        page = self.open(url)
        assert "Pick an account" in page.text, page.text
        return self.press("Next", name=who)

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """One request with this browser's cookies, which leads nowhere."""
        return self._http.request(method, url, **options)

    def _submit(self, form: Form, fields: dict[str, str]) -> Page:
        if form.method == "get":
            return self._walk("GET", f"{form.action.partition('?')[0]}?{urlencode(fields)}", {})
        return self._walk("POST", form.action, {"data": fields})

    def _walk(self, method: str, url: str, body: dict[str, Any]) -> Page:
        for _ in range(_MOST_STEPS):
            if self.stop_at and url.startswith(self.stop_at):
                self.page = Page(url=url)
                return self.page
            response = self._http.request(method, url, **body)
            if response.is_redirect:
                url, fragment = urljoin(url, response.headers["location"]), urlsplit(url).fragment
                url += f"#{fragment}" if fragment and "#" not in url else ""
                if response.status_code not in (307, 308):
                    method, body = "GET", {}
                continue
            return self._show(url, response)
        raise AssertionError(f"redirected without end, last to {url}")

    def _show(self, url: str, response: httpx.Response) -> Page:
        self.page = Page(url=url, status=response.status_code, text=response.text, headers=response.headers)
        if response.headers.get("content-type", "").startswith("text/html"):
            _Reader(self.page).feed(response.text)
        return self.page
