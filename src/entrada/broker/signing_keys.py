"""The keys that sign what installations are handed: made here, stored sealed, rolled without a gap.

One key signs. The next is published before it signs, so that whoever caches the set has it in time; a rolled
key stays published, and believed, for as long as anything signed by it may live.
Private keys are stored sealed: a read of the database signs nothing.

Source: RFC 7517; RFC 7638 (key ids are thumbprints); OpenID Connect Core 1.0, section 10.1.1.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

ALGORITHM = "RS256"
KEY_BITS = 2048
KEYS_ARE_BELIEVED_FOR = timedelta(days=1)
"""After a key was rolled: the longest life of anything signed by it, and time for caches."""
PUBLISHED_AHEAD = timedelta(minutes=5)
"""How long a new key is published before it signs: as long as the set may be cached, and as long as the
library waits between two looks for a key it does not know."""


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """`retired_at` is when it stops signing; None: no end is set. `private_key` is one of `cryptography`."""

    kid: str
    private_key: rsa.RSAPrivateKey = field(repr=False)
    made_at: datetime
    retired_at: datetime | None = None

    @property
    def public_jwk(self) -> Mapping[str, str]:
        numbers = self.private_key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": ALGORITHM,
            "kid": self.kid,
            "n": _base64url_integer(numbers.n),
            "e": _base64url_integer(numbers.e),
        }

    def may_sign(self, now: datetime) -> bool:
        return self.retired_at is None or now < self.retired_at

    def is_published(self, now: datetime) -> bool:
        return self.retired_at is None or now < self.retired_at + KEYS_ARE_BELIEVED_FOR

    def to_der(self) -> bytes:
        """The private key, for sealing."""
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def make_signing_key(now: datetime) -> SigningKey:
    return _key_of(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS), made_at=now)


def signing_key_from_der(der: bytes, *, made_at: datetime, retired_at: datetime | None) -> SigningKey:
    """The key that `to_der` wrote.

    Raises:
        ValueError: the bytes are no RSA private key.
    """
    private_key = load_der_private_key(der, password=None)
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004  # what the bytes say, not their type
    return replace(_key_of(private_key, made_at=made_at), retired_at=retired_at)


def jwks(keys: Sequence[SigningKey], now: datetime) -> Mapping[str, Any]:
    """The published set: the key that signs, those that will, those that did."""
    published = [key for key in keys if key.is_published(now)]
    published.sort(key=lambda key: (not key.may_sign(now), key.made_at))
    return {"keys": [dict(key.public_jwk) for key in published]}


def active_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """The key that signs: the oldest that may, for newer ones are published ahead.

    Raises:
        LookupError: there is none.
    """
    signing = [key for key in keys if key.may_sign(now)]
    if not signing:
        raise LookupError("no key signs")
    return min(signing, key=lambda key: key.made_at)


def sign(claims: Mapping[str, Any], key: SigningKey, *, typ: str = "JWT") -> str:
    return jwt.encode(
        dict(claims), key.private_key, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": typ}
    )


def _key_of(private_key: rsa.RSAPrivateKey, *, made_at: datetime) -> SigningKey:
    numbers = private_key.public_key().public_numbers()
    members = {"e": _base64url_integer(numbers.e), "kty": "RSA", "n": _base64url_integer(numbers.n)}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    return SigningKey(kid=_base64url(digest), private_key=private_key, made_at=made_at)


def _base64url_integer(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
