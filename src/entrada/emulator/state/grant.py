"""What a person granted at a sign-in: what a code stands for, and what refresh tokens carry, sealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

# The number is that of the content's shape: what an older emulator sealed another way opens no more.
REFRESH = "refresh 2"
CODE_LIFE_SECONDS = 600
REFRESH_LIFE_SECONDS = 90 * 24 * 3600
SPA_REFRESH_LIFE_SECONDS = 24 * 3600


class Grant(NamedTuple):
    """One person's grant to one application in one tenant; a tuple, because its values alone are sealed.

    `issued_at` is when this code or token was made, `family_at` when the sign-in happened that a
    single-page application's refresh tokens are counted from; times are seconds since the epoch.
    """

    tenant_id: str
    client_id: str
    object_id: str
    scope: str
    sid: str
    auth_time: float
    mfa: bool
    issued_at: float
    family_at: float
    redirect_uri: str = ""
    nonce: str = ""
    challenge: str = ""
    challenge_method: str = ""
    acrs: Sequence[str] = ()
    claims: str = ""
    platform: str = "web"
    version: int = 2
    resource: str = ""
    shared_endpoint: bool = False
    max_age: bool = False

    @classmethod
    def opened(cls, content: list[Any]) -> Grant:
        """The grant that was sealed as this list."""
        return cls._make(content)

    def for_refreshing(self, *, now: float) -> Grant:
        """The same grant as a refresh token carries it from now on: used many times, and with no nonce."""
        return self._replace(issued_at=now, nonce="")
