"""What a person granted at a sign-in: carried, sealed, by authorization codes and refresh tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

# The number is that of the content's shape: what an older emulator sealed another way opens no more.
CODE = "code 2"
REFRESH = "refresh 2"
CODE_LIFE_SECONDS = 600
REFRESH_LIFE_SECONDS = 90 * 24 * 3600
SPA_REFRESH_LIFE_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One person's grant to one application in one tenant.

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
    code_id: str = ""
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

    def as_json(self) -> list[Any]:
        """The grant as the sealer takes it: the values alone, because a code travels in a URL."""
        return list(self.__dict__.values())

    @classmethod
    def from_json(cls, content: list[Any]) -> Grant:
        """The grant that `as_json` wrote."""
        return cls(**dict(zip(_NAMES, content, strict=True)))

    def for_refreshing(self, *, now: float) -> Grant:
        """The same grant as a refresh token carries it from now on: used many times, and with no nonce."""
        return replace(self, issued_at=now, code_id="", nonce="")


_NAMES = tuple(one.name for one in fields(Grant))
