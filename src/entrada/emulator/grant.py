"""What a person granted at a sign-in: carried, sealed, by authorization codes and refresh tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CODE = "code"
REFRESH = "refresh"
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
    acrs: tuple[str, ...] = ()
    claims: str = ""
    platform: str = "web"
    version: int = 2
    resource: str = ""
    shared_endpoint: bool = False
    max_age: bool = False

    def as_json(self) -> dict[str, Any]:
        """The grant as the sealer takes it."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Grant:
        """The grant that `as_json` wrote."""
        return cls(**{**content, "acrs": tuple(content.get("acrs", ()))})
