"""Cookies by which an application remembers who somebody is, each kept to the person it was made for.

An application that takes who is asking from fields, and then from a cookie of its own, goes on believing
the cookie when somebody else has signed in in that browser, or when the roles have changed. So such a cookie
has another name in the browser, which says for whom it is: `access_token.5f1c…`. It comes back to the
application, under its own name, with requests of the same account with the same roles and groups alone; one
that comes under its own name, or for somebody else, goes no further.

    own = own_cookies_of(route, caller)
    own.to_application(value of Cookie)       own.to_browser(fields of a response)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from entrada.gateway.caller import Caller
from entrada.gateway.fields import Field
from entrada.gateway.rules import Route

_TAG_BYTES = 8
NOBODYS = "-"


def tag_of(caller: Caller | None) -> str:
    """Another one for each account, and for the same with other roles or groups; none of it can be read."""
    if caller is None:
        return NOBODYS
    known = [caller.user_id, caller.tenant_id, caller.object_id, sorted(caller.roles), sorted(caller.groups)]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[: 2 * _TAG_BYTES]


def own_cookies_of(route: Route, caller: Caller | None) -> OwnCookies:
    """Those that the route names, if it names any, kept to this caller."""
    return OwnCookies(names=route.own_cookies, tag=tag_of(caller)) if route.own_cookies else _NONE


@dataclass(frozen=True, kw_only=True)
class OwnCookies:
    """`names` are the beginnings of names: what is too long for one cookie stands in several (`name_0` …)."""

    names: tuple[str, ...]
    tag: str

    def to_application(self, cookies: bytes) -> bytes:
        """The value of a Cookie field: this caller's under the application's name, nobody else's."""
        if not self.names:
            return cookies
        kept = []
        for part in cookies.split(b";"):
            name, mark, value = part.partition(b"=")
            if not self._is_one(name):
                kept.append(part)
                continue
            own, _, tag = name.strip(b" \t").rpartition(b".")
            if tag == self.tag.encode() and own.decode("latin-1").startswith(self.names):
                kept.append(own + mark + value)
        return b";".join(kept).strip()

    def to_browser(self, fields: Iterable[Field]) -> list[Field]:
        """The fields of a response, with the names of these cookies saying for whom they are."""
        return [
            (name, self._bound(value) if self.names and name.lower() == b"set-cookie" else value)
            for name, value in fields
        ]

    def _bound(self, line: bytes) -> bytes:
        name, mark, rest = line.partition(b"=")
        return name.strip(b" \t") + b"." + self.tag.encode() + mark + rest if self._is_one(name) else line

    def _is_one(self, name: bytes) -> bool:
        """Applications strip more than the two blanks, and some take quotation marks off."""
        return name.decode("latin-1").strip().strip('"').strip().startswith(self.names)


_NONE = OwnCookies(names=(), tag=NOBODYS)
