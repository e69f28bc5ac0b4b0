"""The page between Entra and Mage's dashboard, and the guard of Mage's sign-in page.

Mage's own JavaScript reads its token from the cookie `oauth_token` and the person from local storage. The
first can be set by a response, the second only by a script: so there is one small page, and the token never
stands in an address.

Source: Mage 0.9.80, its pages as built; HTML Standard, 4.12.1 (data blocks are not run).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode, urlsplit

from entrada.integrations.mage.addresses import Addresses
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.pages.rendering import script_page
from entrada.web.refusals import page_response

TOKEN_COOKIE = "oauth_token"  # noqa: S105  # its name
CURRENT_USER = "current_user"

_NEVER_ON_SIGN_IN = frozenset(
    {"access_token", "refresh_token", "token", "provider", "expires_in", "code", "state", "error", "api_key"}
)
"""What stock Mage acts upon on its sign-in page, or what has no business in an address."""


def arrival(
    addresses: Addresses, *, user: Mapping[str, Any], next_path: str, cookies: list[str]
) -> WebResponse:
    """Tells Mage's pages who is signed in, and goes on."""
    key = f"{addresses.base_path}_{CURRENT_USER}" if addresses.base_path else CURRENT_USER
    data = json.dumps({"key": key, "user": dict(user), "next": next_path}).replace("<", "\\u003c")
    script = static_text("arrive.js")
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Signed in</title>'
        f'<script type="application/json" id="arrival">{data}</script>'
        f"<script>{script}</script>"
        f'<noscript>You are signed in. Mage needs JavaScript. <a href="{escape(next_path)}">Go on</a>'
        "</noscript></html>"
    )
    return page_response(script_page(html, script), cookies=cookies)


def token_cookie(addresses: Addresses, request: WebRequest, encoded: str, *, max_age_seconds: int) -> str:
    """Mage's own cookie, exactly as its JavaScript would set it, or that could not remove it again.

    Its JavaScript names the host as the domain; for a host without a dot, and an address, browsers take that
    for no domain at all.
    """
    url = urlsplit(addresses.site.url_of(request))
    host = url.hostname or ""
    parts = [f"{TOKEN_COOKIE}={encoded}", f"Path={addresses.base_path or '/'}", f"Max-Age={max_age_seconds}"]
    if "." in host and not _is_ip(host):
        parts.append(f"Domain={host}")
    if url.scheme == "https":
        parts.append("Secure")
    return "; ".join([*parts, "SameSite=Strict"])


def clean_sign_in_query(addresses: Addresses, request: WebRequest) -> str | None:
    """The query that Mage's sign-in page may see, if it is another than the one that was sent.

    Stock Mage signs in with whatever token stands there, and goes wherever `redirect_url` says, `javascript:`
    included.
    """
    sent = list(request.query_pairs())
    kept: list[tuple[str, str]] = []
    for name, value in sent:
        plain = name.removesuffix("[]")
        if plain in _NEVER_ON_SIGN_IN:
            continue
        if plain != "redirect_url":
            kept.append((name, value))
        elif name == plain and not any(found == name for found, _ in kept):
            path = addresses.next_path(value)
            if path != addresses.front_page:
                kept.append((name, path))
    return None if kept == sent else urlencode(kept)


def back_to_sign_in(addresses: Addresses, request: WebRequest) -> WebResponse:
    """For a browser whose session has ended: without the cookie that Mage's script still believes in."""
    wanted = addresses.next_path(request.target)
    query = "" if wanted == addresses.front_page else "?" + urlencode({"redirect_url": wanted})
    return redirect(
        addresses.sign_in + query, cookies=[token_cookie(addresses, request, "", max_age_seconds=0)]
    )


@cache
def static_text(name: str) -> str:
    """A script or stylesheet of this package, as text."""
    return (files("entrada.integrations.mage") / "static" / name).read_text(encoding="utf-8")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
