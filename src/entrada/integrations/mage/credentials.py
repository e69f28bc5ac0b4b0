"""The session that a request to Mage brings, wherever Mage would look for it.

Mage takes the first of: the header OAUTH-TOKEN, a bearer, the parameter HTTP_AUTHORIZATION, the cookie
`oauth_token`; a download also the parameter `token`. Each is looked at, in that order.
Two different cookies of that name come from somebody who may set cookies for a neighbouring host. Then the
one that our own cookie, which no neighbour can set, speaks of is the person's, or the only one that opens.

Source: Mage 0.9.80, api/middleware.py and server/api/downloads.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from entrada.errors import RequestRefused
from entrada.integrations.mage.pages import TOKEN_COOKIE
from entrada.web.messages import WebRequest


@dataclass(frozen=True, kw_only=True)
class Brought:
    """Token texts in Mage's order; `cookies` are those of its cookie, each with the cookie's value."""

    named: Sequence[str] = field(default=(), repr=False)
    cookies: Sequence[tuple[str, str]] = field(default=(), repr=False)

    @property
    def texts(self) -> frozenset[str]:
        """Every token that the request brings, wherever it stands."""
        return frozenset([*self.named, *(text for text, _ in self.cookies)])


def brought_by(
    request: WebRequest, *, decode: Callable[[str], str | None], parameters: Sequence[str]
) -> Brought:
    """What the request brings. `decode` reads Mage's cookie; `parameters` are the query's that count here."""
    named = [request.headers.get("oauth-token", "").strip()]
    scheme, _, bearer = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        named.append(bearer.strip())
    try:
        pairs = list(request.query_pairs())
    except RequestRefused:
        pairs = []  # more parameters than any of Mage's pages sends: no token among them counts
    named += [value for name, value in pairs if name in parameters]
    values = dict.fromkeys(value for name, value in request.cookies() if name == TOKEN_COOKIE)
    decoded = [(decode(value), value) for value in values]
    return Brought(
        named=[text for text in named if text], cookies=[(text, value) for text, value in decoded if text]
    )


def chosen(brought: Brought, *, opening: frozenset[str], ours: str | None) -> str | None:
    """The token that this request comes with, out of those that open Mage; `ours` is what our cookie says."""
    for text in brought.named:
        return text if text in opening else None  # Mage looks no further, either
    live = [text for text, _ in brought.cookies if text in opening]
    if ours in live:
        return ours
    return live[0] if len(set(live)) == 1 else None
