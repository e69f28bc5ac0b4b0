"""An access token for an API, as the application is handed it."""

from __future__ import annotations

from datetime import datetime
from typing import Any


class ApiToken(str):
    """An access token for an API: a text to send as `Authorization: Bearer`. Its `repr` does not show it."""

    expires_at: datetime
    scopes: tuple[str, ...]

    def __new__(cls, token: str, *, expires_at: datetime, scopes: tuple[str, ...]) -> ApiToken:
        made = super().__new__(cls, token)
        made.expires_at, made.scopes = expires_at, scopes
        return made

    def __repr__(self) -> str:
        return f"ApiToken(scopes={self.scopes!r}, expires_at={self.expires_at.isoformat()!r})"

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (str(self),), {"expires_at": self.expires_at, "scopes": self.scopes}
