"""A client that asks the same thing again and again: Entra answers AADSTS50196 for a while.

Off until a limit is set, because a test may well ask often on purpose.  What counts is the very same request
to the token endpoint, within a minute.
Source: Microsoft, "Microsoft Entra authentication and authorization error codes", AADSTS50196.
"""

from __future__ import annotations

import hashlib
from collections import deque

_WINDOW_SECONDS = 60.0


class Loops:
    """The recent token requests, and how many equal ones are allowed; a `limit` of 0 allows any number."""

    def __init__(self) -> None:
        self.limit = 0
        self._recent: deque[tuple[float, bytes]] = deque()

    def clear(self) -> None:
        """Allow any number again."""
        self.limit = 0
        self._recent.clear()

    def is_one(self, body: bytes, *, now: float) -> bool:
        """Whether this request is one too many of its kind; it is counted."""
        if not self.limit:
            return False
        while self._recent and self._recent[0][0] < now - _WINDOW_SECONDS:
            self._recent.popleft()
        digest = hashlib.sha256(body).digest()
        self._recent.append((now, digest))
        return sum(1 for _, one in self._recent if one == digest) > self.limit
