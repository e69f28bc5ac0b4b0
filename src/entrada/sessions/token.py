"""The value of the session cookie: an id to find the session by, and a secret to prove it.

256 random bits of secret, of which the server keeps only the hash.

Source: OWASP ASVS 5.0, 7.2.3; The Copenhagen Book, "Sessions".
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from entrada.sessions.session import SessionId

ID_LENGTH, SECRET_LENGTH = 22, 43
COOKIE_LENGTH = ID_LENGTH + 1 + SECRET_LENGTH

_FORM = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class SessionToken:
    id: SessionId
    secret: str = field(repr=False)

    @property
    def cookie_value(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def secret_hash(self) -> bytes:
        return hashlib.sha256(self.secret.encode("ascii")).digest()


def new_session_token() -> SessionToken:
    return SessionToken(id=SessionId(secrets.token_urlsafe(16)), secret=secrets.token_urlsafe(32))


def is_session_token(cookie_value: str) -> bool:
    """Whether `parse_session_token` would give a token."""
    return _FORM.fullmatch(cookie_value) is not None


def parse_session_token(cookie_value: str) -> SessionToken | None:
    """The token, or None for anything of another length or alphabet."""
    match = _FORM.fullmatch(cookie_value)
    return SessionToken(id=SessionId(match[1]), secret=match[2]) if match else None
