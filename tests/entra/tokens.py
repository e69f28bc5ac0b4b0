"""Signed tokens for tests: keys of our own, a token as Entra v2.0 makes it, and ways to spoil it.

Nothing here is a mock: tokens are signed with real RSA keys and read by the real code.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from entrada.compatibility import UTC
from entrada.entra.authority import TenantId
from entrada.entra.id_token import IdToken, IdTokenExpectations, verify_id_token
from entrada.entra.jws import RawIdToken
from entrada.entra.keys import KeySet, read_keys

NOW = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
TENANT = TenantId("aaaabbbb-0000-cccc-1111-dddd2222eeee")
OTHER_TENANT = TenantId("99998888-7777-6666-5555-444433332222")
OBJECT_ID = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee"
CLIENT_ID = "00001111-aaaa-2222-bbbb-3333cccc4444"
NONCE = "5f7c0c8f7d4b2e0d"
TEMPLATE = "https://login.microsoftonline.com/{tenantid}/v2.0"
ISSUER = TEMPLATE.replace("{tenantid}", TENANT)
KID = "nOo3ZDrODXEK1jKWhXslHR_KXEg"

ABSENT: Any = object()
"""As a claim or header member: leave it out."""


def private_key(name: str = KID, bits: int = 2048) -> RSAPrivateKey:
    """The same key for the same name and size, within one run."""
    return _made(name, bits)


@lru_cache
def _made(_name: str, bits: int) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=bits)


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(name: str = KID, bits: int = 2048, **members: Any) -> dict[str, Any]:
    """The public half of `private_key(name)` as Entra publishes it."""
    numbers = private_key(name, bits).public_key().public_numbers()
    entry = {"kty": "RSA", "use": "sig", "kid": name, "n": number(numbers.n), "e": number(numbers.e)}
    return without_absent({**entry, **members})


def document(*jwks: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(jwks)}).encode()


def key_set(*jwks: Mapping[str, Any]) -> KeySet:
    """The set of these keys, or of Entra's one."""
    return read_keys(document(*jwks)) if jwks else _entra_keys()


@lru_cache
def _entra_keys() -> KeySet:
    return read_keys(document(jwk()))


def without_absent(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ABSENT}


def claims(**changes: Any) -> dict[str, Any]:
    """What Entra says about Ada, at NOW."""
    issued_at = int(NOW.timestamp()) - 10
    return without_absent(
        {
            "ver": "2.0",
            "iss": ISSUER,
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "aud": CLIENT_ID,
            "exp": issued_at + 3600,
            "iat": issued_at,
            "nbf": issued_at,
            "name": "Ada Lovelace",
            "preferred_username": "ada@contoso.test",
            "oid": OBJECT_ID,
            "email": "ada@contoso.test",
            "tid": TENANT,
            "nonce": NONCE,
            "uti": "uMn9vJkCEEaqYlbJ2QlyAA",
            "sid": "003d5f7a-0c1e-4d59-a1a5-1d4d6c1b0a22",
            **changes,
        }
    )


def header(**changes: Any) -> dict[str, Any]:
    return without_absent({"typ": "JWT", "alg": "RS256", "kid": KID, **changes})


def sign(head: bytes, payload: bytes, *, key: RSAPrivateKey | None = None) -> RawIdToken:
    """The compact form of exactly these bytes, signed with RS256 whatever the header says."""
    signing_input = f"{b64(head)}.{b64(payload)}"
    signature = (key or private_key()).sign(signing_input.encode(), PKCS1v15(), SHA256())
    return RawIdToken(f"{signing_input}.{b64(signature)}")


def token(
    *, head: Mapping[str, Any] | None = None, key: RSAPrivateKey | None = None, **changes: Any
) -> RawIdToken:
    """Ada's token with some claims changed (or ABSENT) and header members changed likewise."""
    return sign(json.dumps(header(**(head or {}))).encode(), json.dumps(claims(**changes)).encode(), key=key)


EXPECTED = IdTokenExpectations(
    issuer_template=TEMPLATE, client_id=CLIENT_ID, allowed_tenants=frozenset({TENANT}), nonce=NONCE
)


def verify(
    raw: str,
    *,
    keys: KeySet | None = None,
    now: datetime = NOW,
    access_token: Any = None,
    code: str | None = None,
    **expected: Any,
) -> IdToken:
    """`verify_id_token` as Ada's sign-in would call it."""
    return verify_id_token(
        RawIdToken(raw),
        keys=key_set() if keys is None else keys,
        expected=replace(EXPECTED, **expected),
        now=now,
        access_token=access_token,
        code=code,
    )


def verified(**changes: Any) -> IdToken:
    """Ada's verified token with some claims changed: for tests of what comes after verification."""
    return verify(token(**changes))


def seconds(number_of: float) -> timedelta:
    return timedelta(seconds=number_of)
