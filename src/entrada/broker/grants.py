"""What a person's sign-in gave an installation: a code first, then a grant that tokens stand on.

A code is good for one minute and one use; used twice, everything it gave ends. A grant lives as long as the
installation refreshes it and Entra still answers for the person.
Codes and refresh tokens are random; only their hashes are stored.

Source: RFC 6749, sections 4.1.2 and 10.5; RFC 9700, sections 2.1.1 and 4.14.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NewType

from entrada.accounts.identity import EntraIdentity

GrantId = NewType("GrantId", str)
"""128 random bits in base64url: also the `sid` in ID tokens and logout tokens. Not a secret."""

CODE_LIFE = timedelta(minutes=1)
GRANT_IDLE_LIFE = timedelta(days=30)
"""How long a grant lives that no installation refreshes."""

REUSE_GRACE = timedelta(seconds=60)
"""How long the refresh token before the newest is still taken: its answer may have been lost on the way."""

_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})(?:\.([A-Za-z0-9_-]{1,100}))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who signed in, as Entra said, reduced to what the installation may learn."""

    identity: EntraIdentity
    name: str
    username: str | None
    email: str | None
    email_is_verified: bool
    is_guest: bool
    home_tenant: str | None
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    auth_time: datetime | None
    amr: tuple[str, ...] = ()
    acr: str | None = None
    acrs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One installation's access to one sign-in of one person.

    `entra_session_id` is Entra's `sid`, by which its front channel ends it. `sealed_sign_in` is what asking
    Entra again needs; at `next_check_at` it is asked, whether the installation refreshes or not.
    `logout_address` is where the installation hears of the end, also once it is listed no more.
    """

    id: GrantId
    client_id: str
    person: Person
    scopes: frozenset[str]
    begun_at: datetime
    expires_at: datetime
    entra_session_id: str | None = None
    logout_hint: str | None = field(default=None, repr=False)
    sealed_sign_in: str | None = field(default=None, repr=False)
    refresh_hash: bytes | None = field(default=None, repr=False)
    previous_refresh_hash: bytes | None = field(default=None, repr=False)
    refreshed_at: datetime | None = None
    logout_address: str | None = None
    next_check_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class AuthorizationCode:
    """What a code stands for. `spent_at` None: not used yet. `code_challenge` None: without PKCE."""

    hash: bytes = field(repr=False)
    grant_id: GrantId
    client_id: str
    redirect_uri: str
    code_challenge: str | None
    nonce: str | None = field(default=None, repr=False)
    expires_at: datetime
    spent_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class OpaqueToken:
    """A grant's id to find it by, and a secret to prove it: a code, an access or a refresh token.

    `mark` is the broker's seal in a refresh token: by it an old one, whose hash is long forgotten, is known
    from one that somebody made up.
    """

    grant_id: GrantId
    secret: str = field(repr=False)
    mark: str | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        return ".".join([self.grant_id, self.secret, *([] if self.mark is None else [self.mark])])

    @property
    def hash(self) -> bytes:
        return hash_of(self.text)


def new_grant_id() -> GrantId:
    return GrantId(secrets.token_urlsafe(16))


def new_token(grant_id: GrantId, *, mark: str | None = None) -> OpaqueToken:
    return OpaqueToken(grant_id=grant_id, secret=secrets.token_urlsafe(32), mark=mark)


def read_token(text: str) -> OpaqueToken | None:
    """The token, or None for anything of another length or alphabet."""
    match = _TOKEN.fullmatch(text)
    return OpaqueToken(grant_id=GrantId(match[1]), secret=match[2], mark=match[3]) if match else None


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
