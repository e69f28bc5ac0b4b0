"""A request and a response as every framework has them, and the headers they carry.

Owns what can be read off a request about who sent it (a person's browser, a script, a prefetch, a frame) and
the headers that every response of ours bears.

Source: RFC 9110; Fetch Metadata Request Headers; OWASP HTTP Headers Cheat Sheet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote

from entrada.errors import RequestRefused
from entrada.web.cookies import cookies_named, read_cookies
from entrada.web.peers import UNKNOWN_PEER

LARGEST_BODY_BYTES = 64 * 1024
_MOST_PARAMETERS = 50

SAFE_HEADERS = (
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
)

_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})
_SCRIPT_HEADERS = ("x-requested-with", "authorization", "origin", "referer")
_EARLY_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_CALLS_ITSELF_A_BROWSER = re.compile(r"Mozilla/|.*\bMicrosoft Office\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """`headers` have lower-case names; of a repeated header the adapter joins the values as HTTP says.

    `path` is decoded; `raw_path` is the path as it was sent, where the framework has kept it. Both begin with
    the prefix under which the application is mounted. `query` is the raw query string without the question
    mark. `body` is at most `LARGEST_BODY_BYTES`.
    """

    method: str
    path: str
    raw_path: str = field(default="", repr=False)
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    peer: str = field(default=UNKNOWN_PEER, repr=False)
    """Whose budget this request is on; see `entrada.web.peers`."""

    def with_body(self, body: bytes) -> WebRequest:
        return replace(self, body=body)

    @property
    def target(self) -> str:
        """Path and query byte for byte as they were sent, but for what no browser would send: encoded.

        That is bytes beyond ASCII, and a backslash in the path, which would come back as a slash.
        """
        path = _as_ascii(self.raw_path).replace("\\", "%5C") or quote(
            self.path, safe="/:@!$&'()*+,;=~", errors="replace"
        )
        return path + (f"?{_as_ascii(self.query)}" if self.query else "")

    def query_pairs(self) -> Sequence[tuple[str, str]]:
        """The decoded query.

        Raises:
            RequestRefused: too many parameters.
        """
        return self._query_pairs

    @cached_property
    def _query_pairs(self) -> Sequence[tuple[str, str]]:
        return _pairs(self.query)

    def form_pairs(self) -> list[tuple[str, str]]:
        """The decoded form, or nothing if the body is not one."""
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/x-www-form-urlencoded":
            return []
        return _pairs(self.body.decode("ascii", "replace"))

    def first(self, name: str) -> str | None:
        """The first query parameter of that name."""
        return next((value for found, value in self.query_pairs() if found == name), None)

    def cookies(self) -> Sequence[tuple[str, str]]:
        """Every cookie as sent, doubled names included; see `read_cookies`."""
        return self._cookies

    @cached_property
    def _cookies(self) -> Sequence[tuple[str, str]]:
        return list(read_cookies(self.headers.get("cookie", "")))

    def cookies_named(self, name: str) -> list[str]:
        """The values of that name. Which of them is ours, if any, is for a seal or a store to say.

        A second one comes from somebody who may set cookies for a neighbouring host.
        """
        return list(dict.fromkeys(cookies_named(self.headers.get("cookie", ""), name)))

    @property
    def wants_page(self) -> bool:
        """Whether a person will see the response in a window of its own.

        A browser that sends Fetch Metadata says so. Of anything else `Accept: text/html` does, unless a
        script marks itself (X-Requested-With). `Accept: */*` says nothing: it is a page for what calls itself
        a browser (Office following a link, a link preview) and bears no mark at all that a script leaves
        (Referer, Origin, Authorization), and JSON for curl, a library and everything else.
        """
        mode = self.headers.get("sec-fetch-mode")
        if mode is not None:
            return mode == "navigate" and self.headers.get("sec-fetch-dest", "document") == "document"
        if "x-requested-with" in self.headers:
            return False
        accept = self.headers.get("accept", "*/*")
        if "text/html" in accept:
            return True
        return (
            accept.strip() == "*/*"
            and not any(name in self.headers for name in _SCRIPT_HEADERS)
            and _CALLS_ITSELF_A_BROWSER.match(self.headers.get("user-agent", "")) is not None
        )

    @property
    def is_framed(self) -> bool:
        """Whether a page is wanted inside a frame of another page."""
        return (
            self.headers.get("sec-fetch-mode") == "navigate" and self.headers.get("sec-fetch-dest") in _FRAMES
        )

    @property
    def is_early(self) -> bool:
        """Whether a browser or a preview asks before a person does: a prefetch, a prerender."""
        said = " ".join(self.headers.get(name, "") for name in _EARLY_HEADERS).lower()
        return any(word in said for word in ("prefetch", "prerender", "preview"))

    @property
    def sends_form(self) -> bool:
        """Whether a person has sent a form from a page, and will see the response where the page was."""
        return self.method == "POST" and (self.wants_page or self.is_framed)

    @property
    def is_page_visit(self) -> bool:
        """Whether a person is going to this address, so that it may be where they land after signing in."""
        return self.method in ("GET", "HEAD") and self.wants_page


@dataclass(frozen=True, kw_only=True)
class WebResponse:
    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = field(default=b"", repr=False)

    def with_headers(self, *headers: tuple[str, str]) -> WebResponse:
        return replace(self, headers=[*self.headers, *headers]) if headers else self

    def with_cookies(self, cookies: Sequence[str]) -> WebResponse:
        return self.with_headers(*(("set-cookie", cookie) for cookie in cookies))


def redirect(location: str, *, cookies: Sequence[str] = ()) -> WebResponse:
    """303: whatever the request was, the next one is a GET without its body."""
    return WebResponse(status=303, headers=[("location", location), *SAFE_HEADERS]).with_cookies(cookies)


def json_response(status: int, document: Mapping[str, Any], *, cookies: Sequence[str] = ()) -> WebResponse:
    return WebResponse(
        status=status,
        headers=[("content-type", "application/json"), *SAFE_HEADERS],
        body=json.dumps(document).encode(),
    ).with_cookies(cookies)


def not_early() -> WebResponse:
    """The response to a prefetch: nothing was done, and the browser asks again when the person comes.

    Source: HTML Standard, speculative loading: a status that is not ok discards the prefetch.
    """
    return WebResponse(status=503, headers=[("vary", "sec-purpose"), *SAFE_HEADERS])


def form_too_large() -> RequestRefused:
    """For a body of more than `LARGEST_BODY_BYTES`, which no adapter reads to its end."""
    return RequestRefused(
        f"This form is too large: no more than {LARGEST_BODY_BYTES // 1024} kB are read of one.",
        hint="Send less at once. A long roles mapping is tried by `entrada mapping test`.",
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise RequestRefused("This request has too many parameters.") from None


def _as_ascii(text: str) -> str:
    """Adapters hand on bytes as latin-1; those beyond ASCII become percent signs, the rest stays as it is."""
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "replace")
    return quote(raw, safe=_PRINTABLE_ASCII)
