"""Entra's signing keys: which of them may verify a token.

Owns `read_keys`, which is pure: a key document becomes a `KeySet`.
Refuses keys that are weak, ambiguous or meant for something else.

Source: RFC 7517, sections 4 and 5; RFC 7518, section 6.3; Microsoft, "Access tokens in the Microsoft identity
platform" (validating the signature and the signing key's issuer).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from entrada.entra.jws import KID_LIMIT_CHARS, decode_base64url, is_printable_ascii
from entrada.errors import EntraUnavailable
from entrada.strict_json import JsonRefused, read_json_object

DOCUMENT_LIMIT_BYTES = 512 * 1024
KEY_COUNT_LIMIT = 100
MODULUS_BITS = range(2048, 8192 + 1)
EXPONENTS = range(65537, 2**32)

_TENANT_TEMPLATE = "{tenantid}"


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """An RSA key that may verify RS256. `issuer`, if Entra named one, is the only issuer it may speak for."""

    kid: str | None
    public_key: RSAPublicKey = field(repr=False)
    issuer: str | None

    def speaks_for(self, issuer: str, tenant_id: str) -> bool:
        """Whether a token of that issuer and tenant may be verified by this key.

        A key's issuer may be the template `https://…/{tenantid}/v2.0`, which stands for every tenant's own.
        """
        return self.issuer is None or self.issuer.replace(_TENANT_TEMPLATE, tenant_id) == issuer


@dataclass(frozen=True, kw_only=True)
class KeySet:
    """The keys that may verify, at one moment."""

    keys: tuple[SigningKey, ...]

    def find(self, kid: str | None) -> SigningKey | None:
        """The one key of that name; without a name, the only key there is; else None."""
        candidates = [key for key in self.keys if kid is None or key.kid == kid]
        return candidates[0] if len(candidates) == 1 else None


def read_keys(document: bytes) -> KeySet:
    """The usable keys of a key document. Keys that may not verify are left out; at least one must remain.

    Raises:
        EntraUnavailable: not a key document, or no usable key in it.
    Source: RFC 7517, section 5.
    """
    if len(document) > DOCUMENT_LIMIT_BYTES:
        raise keys_unusable("the key document is too large")
    try:
        entries = read_json_object(document).get("keys")
    except JsonRefused as refused:
        raise keys_unusable(f"the key document is {refused}") from None
    if not isinstance(entries, list) or len(entries) > KEY_COUNT_LIMIT:
        raise keys_unusable("the key document holds no list of keys, or too long a one")
    jwks = [entry for entry in entries if isinstance(entry, dict)]
    # Of two keys with one name, nobody can say which was meant: neither verifies, whatever their kind.
    times_named = Counter(kid for jwk in jwks if isinstance(kid := jwk.get("kid"), str))
    found = (_read_key(jwk) for jwk in jwks)
    usable = tuple(key for key in found if key and (key.kid is None or times_named[key.kid] == 1))
    if not usable:
        raise keys_unusable("the key document holds no usable key")
    return KeySet(keys=usable)


def may_verify(jwk: Mapping[str, Any], algorithm: str) -> bool:
    """Whether the key's own words allow it to verify signatures of `algorithm`.

    Source: RFC 7517, sections 4.2 (`use`), 4.3 (`key_ops`) and 4.4 (`alg`).
    """
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and jwk.get("alg", algorithm) == algorithm
    )


def _read_key(jwk: Mapping[str, Any]) -> SigningKey | None:
    kid, issuer = jwk.get("kid"), jwk.get("issuer")
    # With `d`, the private half is public too: anyone may have signed.
    if jwk.get("kty") != "RSA" or "d" in jwk or not may_verify(jwk, "RS256"):
        return None
    if "kid" in jwk and not (isinstance(kid, str) and is_printable_ascii(kid, limit=KID_LIMIT_CHARS)):
        return None
    if "issuer" in jwk and not (isinstance(issuer, str) and issuer):
        return None
    modulus, exponent = _read_number(jwk.get("n")), _read_number(jwk.get("e"))
    if modulus is None or exponent is None or not _is_strong(modulus, exponent):
        return None
    try:
        public_key = RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None
    return SigningKey(kid=kid, public_key=public_key, issuer=issuer)


def _read_number(text: object) -> int | None:
    if not isinstance(text, str) or not 0 < len(text) <= 2048:
        return None
    try:
        return int.from_bytes(decode_base64url(text.encode("ascii")), "big")
    except ValueError:
        return None


def _is_strong(modulus: int, exponent: int) -> bool:
    return (
        modulus.bit_length() in MODULUS_BITS
        and modulus % 2 == 1
        and exponent in EXPONENTS
        and exponent % 2 == 1
        and not _has_roca_fingerprint(modulus)
    )


# CVE-2017-15361 ("ROCA"): a flawed generator made primes of the form k·M + (65537^a mod M), M a product of
# small primes. Modulo each of those, such a modulus is a power of 65537, as by chance none ever is.
_ROCA_RESIDUES = {
    prime: frozenset(pow(65537, power, prime) for power in range(prime))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}


def _has_roca_fingerprint(modulus: int) -> bool:
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES.items())


def keys_unusable(reason: str) -> EntraUnavailable:
    """The refusal that says why there are no keys."""
    return EntraUnavailable("Microsoft's signing keys could not be read.", reason=reason)
