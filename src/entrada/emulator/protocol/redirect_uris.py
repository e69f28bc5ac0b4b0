"""Whether a redirect URI is one of the registered ones, and which platform it belongs to.

The comparison is of text, exact but for one thing: Entra ignores the port of `localhost` and of the IPv4
loopback address.  Nothing is parsed into parts that a browser might read differently.
Source: RFC 8252, 7.3; Microsoft, "Redirect URI (reply URL) best practices and limitations".
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..directory.records import App
from .errors import EntraError

_LOOPBACK = re.compile(r"(https?://(?:localhost|127\.0\.0\.1))(?::\d{1,5})?((?:[/?][!-~]*)?)")
_ALLOWED = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[!-~]+")


def _comparable(uri: str) -> str:
    loopback = _LOOPBACK.fullmatch(uri)
    if loopback is None:
        return uri
    origin, path = loopback.groups()
    return origin if path == "/" else origin + path


@lru_cache(maxsize=256)
def _all_comparable(registered: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_comparable(uri) for uri in registered)


def is_registered(uri: str, registered: tuple[str, ...]) -> bool:
    """Whether `uri` is one of `registered`, the port of loopback hosts aside."""
    if not _ALLOWED.fullmatch(uri) or len(uri) > 2_000:
        return False
    return _comparable(uri) in _all_comparable(registered)


def platform_of(client: App, uri: str) -> str:
    """`web`, `spa` or `public`: the platform the redirect URI is registered under."""
    if is_registered(uri, client.web_redirect_uris):
        return "web"
    return "spa" if is_registered(uri, client.spa_redirect_uris) else "public"


def checked_redirect_uri(client: App, uri: str) -> str:
    """The redirect URI to answer to: the one given, or the only one registered when none is given.

    Raises:
        EntraError: 500113 none registered, 900971 none given, 50011 not registered.
    """
    if not client.redirect_uris:
        raise EntraError(500113, f"The application is '{client.client_id}'.")
    if not uri:
        if len(client.redirect_uris) > 1:
            raise EntraError(900971)
        return client.redirect_uris[0]
    if not is_registered(uri, client.redirect_uris):
        raise EntraError(50011, f"The redirect URI was '{uri[:200]}', the application '{client.client_id}'.")
    return uri


def front_channel_url(client: App, redirect_uri: str) -> str:
    """The registered front-channel logout address; on localhost with the port the application uses."""
    registered, used = _LOOPBACK.fullmatch(client.logout_url), _LOOPBACK.fullmatch(redirect_uri)
    if registered is None or used is None:
        return client.logout_url
    origin = redirect_uri[: used.start(2)]
    return origin + registered.group(2)


def is_origin_of(client: App, origin: str) -> bool:
    """Whether a page of this origin belongs to the application: one of its redirect URIs lies there."""
    wanted = _comparable(origin)
    return bool(wanted) and any(origin_of(_comparable(uri)) == wanted for uri in client.redirect_uris)


def origin_of(uri: str) -> str:
    """Scheme, host and port of an http(s) URI that has been checked; empty for other schemes."""
    matched = re.match(r"https?://[A-Za-z0-9.\-\[\]:]+", uri)
    return matched.group(0) if matched else ""
