"""A request and a response as every framework has them, and the cookies and headers they carry.

Owns cookie syntax and the headers that every answer of ours bears.

Source: RFC 9110; RFC 6265bis; Fetch Metadata Request Headers; OWASP HTTP Headers Cheat Sheet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from entrada.errors import RequestRefused

LARGEST_BODY_BYTES = 64 * 1024
_MOST_PARAMETERS = 50

SAFE_HEADERS = (
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
)


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """`headers` have lower-case names; of a repeated header the adapter joins the values as HTTP says.

    `query` is the raw query string without the question mark. `body` is at most `LARGEST_BODY_BYTES`.
    """

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

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

    def cookies(self) -> Iterator[tuple[str, str]]:
        """Every cookie as sent, doubled names included; quoted values are left as they are."""
        for part in self.headers.get("cookie", "").split(";"):
            name, equals, value = part.strip().partition("=")
            if equals and name:
                yield name, value

    def cookie(self, name: str) -> str | None:
        """The cookie of that name; None when it is absent or when several of that name were sent.

        A second one comes from somebody who may set cookies for a neighbouring host: neither is believed.
        """
        values = [value for found, value in self.cookies() if found == name]
        return values[0] if len(values) == 1 else None

    @property
    def wants_page(self) -> bool:
        """Whether a person will see the answer: a browser navigates, by a link, an address or a form."""
        mode = self.headers.get("sec-fetch-mode")
        if mode is not None:
            return mode == "navigate" and self.headers.get("sec-fetch-dest", "document") == "document"
        return "x-requested-with" not in self.headers and "text/html" in self.headers.get("accept", "")

    @property
    def is_page_visit(self) -> bool:
        """Whether a person is going to this address, so that it may be where they land after signing in."""
        return self.method == "GET" and self.wants_page


@dataclass(frozen=True, kw_only=True)
class WebResponse:
    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class CookieRules:
    """How cookies are written: with `__Host-` and Secure, or, on plain-http loopback only, without."""

    secure: bool

    def name(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name

    def set(self, name: str, value: str, *, max_age_seconds: int | None, cross_site: bool = False) -> str:
        """A Set-Cookie value. `cross_site` lets Entra's form_post bring the cookie along."""
        parts = [f"{self.name(name)}={value}", "Path=/", "HttpOnly"]
        if max_age_seconds is not None:
            parts.append(f"Max-Age={max_age_seconds}")
        if self.secure:
            parts.append("Secure")
        parts.append("SameSite=None" if cross_site and self.secure else "SameSite=Lax")
        return "; ".join(parts)

    def delete(self, name: str) -> str:
        return self.set(name, "", max_age_seconds=0)


def redirect(location: str, *, cookies: Sequence[str] = ()) -> WebResponse:
    """303: whatever the request was, the next one is a GET without its body."""
    return WebResponse(
        status=303,
        headers=[("location", location), *SAFE_HEADERS, *(("set-cookie", cookie) for cookie in cookies)],
    )


def json_response(status: int, document: Mapping[str, Any], *, cookies: Sequence[str] = ()) -> WebResponse:
    return WebResponse(
        status=status,
        headers=[
            ("content-type", "application/json"),
            *SAFE_HEADERS,
            *(("set-cookie", cookie) for cookie in cookies),
        ],
        body=json.dumps(document).encode(),
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise RequestRefused("This request has too many parameters.") from None
