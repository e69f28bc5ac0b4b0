"""The sign-in pages under whichever prefix an application is mounted at.

The server says the prefix; where a part of it is a parameter of the route (`Mount("/{tenant}", …)`), a
visitor does. So it stands in every address of ours as addresses spell a path, and nobody reads another host,
a query or a further header in it. Each is worked out once, for so many of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:  # adapters import this with their framework, before there are any pages
    from entrada.web.auth_routes import AuthRoutes
    from entrada.web.guards import HasAuth

_MOST_PREFIXES = 100
_KEPT = "/!$&'()*+,;=:@"


@lru_cache(maxsize=_MOST_PREFIXES)
def in_addresses(prefix: str) -> str:
    """The prefix as it stands in an address, if it does not yet (Gunicorn's does); nothing at the root."""
    return quote(re.sub(r"^/+", "/", prefix.rstrip("/")), safe=f"%{_KEPT}", errors="replace")


def below(prefix: str, rest: str, raw_path: str) -> tuple[str, str]:
    """A request's path and raw path, both with the prefix, which `raw_path` may have already, or be empty."""
    spelt = in_addresses(prefix)
    if not raw_path:
        return spelt + rest, "" if "%" not in spelt else spelt + quote(rest, safe=_KEPT, errors="replace")
    known = unquote(raw_path, errors="replace") if "%" in raw_path else raw_path
    is_whole = f"{raw_path}/".startswith(f"{spelt}/") or f"{known}/".startswith(f"{prefix}/")
    return spelt + rest, raw_path if is_whole else spelt + raw_path


class Mounts:
    """The pages of one application; `outermost` are those that were configured."""

    def __init__(self, outermost: AuthRoutes) -> None:
        self._outermost = outermost
        self._by_prefix = {outermost.site.base_path: outermost}

    def under(self, prefix: str) -> AuthRoutes:
        """The pages as they stand under this prefix; the configured ones at the root."""
        prefix = in_addresses(prefix)
        if not prefix:
            return self._outermost
        auth = self._by_prefix.get(prefix)
        if auth is None:
            auth = self._outermost.under(prefix)
            if len(self._by_prefix) < _MOST_PREFIXES:
                self._by_prefix[prefix] = auth
        return auth


def mounts_of(entrada: HasAuth | None, auth: AuthRoutes | None) -> Mounts:
    """What a middleware is made with: an `Entrada`, or its sign-in pages.

    Raises:
        TypeError: neither is given, or something else.
    """
    auth = auth or getattr(entrada, "auth", None)
    if auth is None:
        raise TypeError(
            "an Entrada is needed here, such as Entrada.from_environment(),"
            f" and this is {'None' if entrada is None else 'a ' + type(entrada).__name__}"
        )
    return Mounts(auth)
