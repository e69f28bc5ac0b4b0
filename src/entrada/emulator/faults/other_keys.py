"""Keys of kinds that Entra does not sign with: what a key set may hold besides, and one that signs badly.

Made once a process, when a fault first asks for them.
Source: RFC 7517, 4; RFC 7518, 6; RFC 8037; RFC 8812.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..protocol.encoding import b64url

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurve, EllipticCurvePrivateKey

_ELLIPTIC_KEY_ID = "a-key-on-p-256"


def other_kinds() -> list[dict[str, Any]]:
    """A key on P-256, one on secp256k1, an Ed25519 key, and an RSA key for encrypting."""
    return [dict(jwk) for jwk in _made()]


def elliptic_key_id() -> str:
    """The `kid` under which `other_kinds` publishes the key on P-256."""
    return _ELLIPTIC_KEY_ID


def elliptic_signature(message: bytes) -> bytes:
    """ES256 by the published key on P-256: both numbers, 32 bytes each."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(_p256().sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@lru_cache(maxsize=1)
def _p256() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


@lru_cache(maxsize=1)
def _made() -> tuple[dict[str, Any], ...]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key().public_numbers()
    return (
        _elliptic(_p256(), "P-256", _ELLIPTIC_KEY_ID),
        _elliptic(_generated(ec.SECP256K1()), "secp256k1", "a-key-on-secp256k1"),
        {
            "kty": "OKP",
            "use": "sig",
            "crv": "Ed25519",
            "kid": "an-ed25519-key",
            "x": b64url(edwards.public_bytes(Encoding.Raw, PublicFormat.Raw)),
        },
        {
            "kty": "RSA",
            "use": "enc",
            "alg": "RSA-OAEP",
            "kid": "a-key-to-encrypt-with",
            "n": b64url(numbers.n.to_bytes(256, "big")),
            "e": b64url(numbers.e.to_bytes(3, "big")),
        },
    )


def _generated(curve: EllipticCurve) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(curve)


def _elliptic(key: EllipticCurvePrivateKey, curve: str, kid: str) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    x, y = (b64url(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
    return {"kty": "EC", "use": "sig", "crv": curve, "kid": kid, "x": x, "y": y}
