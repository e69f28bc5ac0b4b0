"""Whether a state-changing request comes from our own pages.

Browsers say so themselves (Sec-Fetch-Site, Origin); where a browser hides the origin, the form's token does.
A request with neither header comes from no browser, so no visitor's cookie was abused to make it.

Source: OWASP Cross-Site Request Forgery Prevention Cheat Sheet; Fetch Metadata Request Headers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection

from entrada.errors import RequestRefused
from entrada.web.messages import WebRequest


def require_same_origin(request: WebRequest, *, origins: Collection[str], form_token: str | None) -> None:
    """Lets pass what our own page, or no browser at all, has sent.

    `form_token` is the token the session's forms carry; None when there is no session.

    Raises:
        RequestRefused: another site made the browser send this.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site in ("same-origin", "none"):
        return
    if site is None and origin is None:
        return
    if site is None and origin in origins:
        return
    if site in (None, "same-site") and origin == "null" and _has_token(request, form_token):
        return
    raise RequestRefused(
        "Another site sent your browser here, so nothing was changed.",
        hint="Open this application yourself and use its own button.",
    )


def is_of_another_site(request: WebRequest) -> bool:
    """Whether a page of another site sent this form, which no sign-in may then go along with.

    Asked where the host is whichever the person sees, so it is compared with that one. Browsers too old to
    say it themselves and that hide the origin count as another site's.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "cross-site"
    return origin is not None and origin.partition("://")[2] != request.headers.get("host")


def is_same_origin(request: WebRequest, *, origins: Collection[str]) -> bool:
    """Whether our own page, or no browser at all, opened this WebSocket: browsers always send its Origin."""
    origin = request.headers.get("origin")
    return origin is None or origin in origins


def form_token_of(cookie_value: str, key: bytes) -> str:
    """The token that this session's forms carry. Not reversible, and worthless for any other session."""
    return hmac.new(key, cookie_value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _has_token(request: WebRequest, expected: str | None) -> bool:
    sent = next((value for name, value in request.form_pairs() if name == "csrf_token"), None)
    return expected is not None and sent is not None and hmac.compare_digest(sent.encode(), expected.encode())
