"""The sign-in pages under whichever prefix an application is mounted at.

The server says the prefix, never the visitor. Each is worked out once, for so many of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # adapters import this with their framework, before there are any pages
    from entrada.web.auth_routes import AuthRoutes
    from entrada.web.guards import HasAuth

_MOST_PREFIXES = 100


class Mounts:
    """The pages of one application; `outermost` are those that were configured."""

    def __init__(self, outermost: AuthRoutes) -> None:
        self._outermost = outermost
        self._by_prefix = {outermost.site.base_path: outermost}

    def under(self, prefix: str) -> AuthRoutes:
        """The pages as they stand under this prefix; the configured ones at the root."""
        prefix = prefix.rstrip("/")
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
