"""Authorization codes: issued, redeemed once, forgotten.

A code is remembered rather than sealed, because it lives for minutes and must be known to be used anyway.
It is long, as Entra's are: whatever carries it has to cope with that.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from random import Random

from ..protocol.encoding import b64url
from .grant import Grant

_SECRET_BYTES = 24
_FILLER_BYTES = 480
_MOST_REMEMBERED = 10_000
_filler = Random()  # noqa: S311 only the secret bytes before it are to be unguessable


class Codes:
    """What each code grants, and which were redeemed; the oldest of very many are forgotten."""

    def __init__(self) -> None:
        self._grants: OrderedDict[str, Grant] = OrderedDict()
        self._redeemed: set[str] = set()

    def issue(self, grant: Grant) -> str:
        """A new code for the grant."""
        code = "1.A" + b64url(secrets.token_bytes(_SECRET_BYTES) + _filler.randbytes(_FILLER_BYTES))
        self._grants[code] = grant
        if len(self._grants) > _MOST_REMEMBERED:
            forgotten, _ = self._grants.popitem(last=False)
            self._redeemed.discard(forgotten)
        return code

    def grant_of(self, code: str) -> Grant | None:
        """What the code grants, redeemed or not; None for a text that is no code of this emulator."""
        return self._grants.get(code)

    def redeem(self, code: str) -> bool:
        """Mark the code as redeemed; False when it was before.

        One event loop runs one request's endpoint at a time, so two redemptions cannot both pass.
        """
        if code in self._redeemed:
            return False
        self._redeemed.add(code)
        return True

    def clear(self) -> None:
        """Forget every code."""
        self._grants.clear()
        self._redeemed.clear()
