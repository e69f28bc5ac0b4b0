"""Cookies as HTTP has them: read strictly, written with rules.

A name is compared byte for byte. Around it only space and tab are no part of it; a name with any other
character outside RFC 9110's tokens is nobody's, because browsers keep such a cookie of a neighbouring host,
and whoever strips more would take it for one of ours.

Source: RFC 6265bis, sections 4.1 and 5.6; RFC 9110, section 5.6.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_BLANK = " \t"


def read_cookies(header: str) -> Iterator[tuple[str, str]]:
    """Every cookie of a Cookie header in its order, doubled names included; quoted values stay quoted."""
    for part in header.split(";"):
        name, equals, value = part.partition("=")
        name = name.lstrip(_BLANK)
        if equals and _TOKEN.fullmatch(name):
            yield name, value.strip(_BLANK)


def cookies_named(header: str, name: str) -> list[str]:
    """The values of the cookies of that name, which is a token; as `read_cookies`, but for no others."""
    values = []
    for part in header.split(";"):
        found, equals, value = part.partition("=")
        if equals and found.lstrip(_BLANK) == name:
            values.append(value.strip(_BLANK))
    return values


@dataclass(frozen=True, kw_only=True)
class CookieRules:
    """How cookies are named and written: `__Host-` and Secure, or, on plain-http loopback only, without.

    `place` tells applications apart that share a host: browsers send a cookie to every port and path of it.
    """

    secure: bool
    place: str = ""

    def name(self, name: str) -> str:
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = self._full(name)
        return known

    @cached_property
    def _names(self) -> dict[str, str]:
        """Ours are a handful, and constants."""
        return {}

    def _full(self, name: str) -> str:
        plain = f"{name}_{self.place}" if self.place else name
        return f"__Host-{plain}" if self.secure else plain

    def set(self, name: str, value: str, *, max_age_seconds: int | None, cross_site: bool = False) -> str:
        """A Set-Cookie value. `cross_site` lets Entra's form_post bring the cookie along."""
        return self.set_named(self.name(name), value, max_age_seconds=max_age_seconds, cross_site=cross_site)

    def set_named(
        self, full_name: str, value: str, *, max_age_seconds: int | None, cross_site: bool = False
    ) -> str:
        """As `set`, for a name that already is what the browser knows."""
        parts = [f"{full_name}={value}", "Path=/", "HttpOnly"]
        if max_age_seconds is not None:
            parts.append(f"Max-Age={max_age_seconds}")
        if self.secure:
            parts.append("Secure")
        parts.append("SameSite=None" if cross_site and self.secure else "SameSite=Lax")
        return "; ".join(parts)

    def delete(self, name: str) -> str:
        return self.set(name, "", max_age_seconds=0)

    def delete_named(self, full_name: str) -> str:
        return self.set_named(full_name, "", max_age_seconds=0)
