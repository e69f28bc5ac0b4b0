"""The strict gate in front of PyJWT: a token's text becomes its parts, or is refused.

Owns the compact form of a signed token; its JSON is read by `entrada.strict_json`.
Refuses what libraries let pass: padding, unknown `crit`, foreign `typ`.
Nothing here checks a signature; no address or key inside a token (`jku`, `x5u`, `jwk`, `x5c`) is looked at.

    read_jws(raw)       size → three parts → header → alg, typ, kid → payload bytes, signature bytes
    read_claims(jws)    payload bytes → JSON object; called once the signature holds

Source: RFC 7515, sections 3.1, 4.1 and 7.1; RFC 7519, section 7.2; RFC 8725, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NewType

from entrada.compatibility import decode_strict_base64
from entrada.errors import TokenRefused
from entrada.strict_json import JsonRefused, read_json_object

RawIdToken = NewType("RawIdToken", str)
"""An ID token as it came over the wire: nothing about it has been checked."""

RawAccessToken = NewType("RawAccessToken", str)
"""An access token as it came over the wire: nothing about it has been checked."""

RawRefreshToken = NewType("RawRefreshToken", str)
"""A refresh token: opaque to everyone but Entra, and as good as the person's word for months."""

TOKEN_LIMIT_BYTES = 64 * 1024
KID_LIMIT_CHARS = 256

RS256_ONLY = frozenset({"RS256"})
"""What Entra's metadata promises (`id_token_signing_alg_values_supported`)."""

PLAIN_JWT = frozenset({"jwt"})
"""The `typ` of an ID token, in lower case; a token without `typ` passes as one."""

_UNSUPPORTED_MEMBERS = ("crit", "b64", "zip", "enc", "cty")

# Standard base64 from the URL alphabet; characters that only standard base64 knows become one it does not.
_FROM_URL_ALPHABET = bytes.maketrans(b"-_+/=", b"+/***")
# The last character carries 2 or 4 bits that must be zero, or several texts would decode to the same bytes.
_LAST_OF_TWO = frozenset(b"AQgw")
_LAST_OF_THREE = frozenset(b"AEIMQUYcgkosw048")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactJws:
    """The parts of a signed token whose signature nobody has checked yet."""

    header: Mapping[str, Any]
    algorithm: str
    kid: str | None
    payload: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read_jws(
    raw: str, *, algorithms: frozenset[str] = RS256_ONLY, types: frozenset[str] = PLAIN_JWT
) -> CompactJws:
    """The token's parts.

    `algorithms` is the allow-list for `alg`, `types` the one for `typ`, in lower case; there, "jwt" also
    admits a token without `typ`.

    Raises:
        TokenRefused: check "size", "form", "json", "crit", "header", "alg", "typ" or "kid".
    Source: RFC 7515, section 5.2.
    """
    encoded_header, encoded_payload, encoded_signature = _split(raw)
    header = _read_header(encoded_header)
    algorithm = _read_algorithm(header, algorithms)
    _check_type(header, types)
    return CompactJws(
        header=header,
        algorithm=algorithm,
        kid=_read_kid(header),
        payload=_decode_part(encoded_payload),
        signing_input=encoded_header + b"." + encoded_payload,
        signature=_decode_part(encoded_signature),
    )


def read_kid(raw: str) -> str | None:
    """The key that the token names, for asking a `KeyRing` before verification; None if it names none.

    Raises:
        TokenRefused: as `read_jws`, for what stands before and in the header.
    """
    return _read_kid(_read_header(_split(raw)[0]))


def read_claims(jws: CompactJws) -> Mapping[str, Any]:
    """The payload as JSON. Call it once the signature holds, so that strangers' JSON is never parsed.

    Raises:
        TokenRefused: check "json".
    """
    try:
        return read_json_object(jws.payload)
    except JsonRefused as refused:
        raise TokenRefused("json", f"the claims are {refused}") from None


def decode_base64url(part: bytes) -> bytes:
    """The bytes, only from their one canonical spelling: no padding, no space, no stray last bits.

    Raises:
        ValueError: any other spelling.
    Source: RFC 7515, section 2; RFC 4648, sections 3.5 and 5.
    """
    leftover = len(part) % 4
    if leftover == 1:
        raise ValueError("impossible length")
    if (leftover == 2 and part[-1] not in _LAST_OF_TWO) or (leftover == 3 and part[-1] not in _LAST_OF_THREE):
        raise ValueError("stray last bits")
    padding = b"=" * (-leftover % 4)
    return decode_strict_base64(part.translate(_FROM_URL_ALPHABET) + padding)


def _split(raw: str) -> tuple[bytes, bytes, bytes]:
    # Size first: everything after it costs time in proportion to the length.
    if len(raw) > TOKEN_LIMIT_BYTES:
        raise TokenRefused("size", f"longer than {TOKEN_LIMIT_BYTES} bytes")
    try:
        parts = raw.encode("ascii").split(b".")
    except UnicodeEncodeError:
        raise TokenRefused("form", "characters outside base64url") from None
    if len(parts) != 3:
        raise TokenRefused("form", "not the three parts of a signed token")
    header, payload, signature = parts
    if not signature:
        raise TokenRefused("form", "no signature")
    return header, payload, signature


def _decode_part(part: bytes) -> bytes:
    try:
        return decode_base64url(part)
    except ValueError:
        raise TokenRefused("form", "a part is not canonical base64url") from None


@lru_cache(maxsize=64)
def _read_header(encoded: bytes) -> Mapping[str, Any]:
    """One for all tokens of a key: read once, and never changed."""
    try:
        header = read_json_object(_decode_part(encoded))
    except JsonRefused as refused:
        raise TokenRefused("json", f"the header is {refused}") from None
    for name in _UNSUPPORTED_MEMBERS:
        # Even an empty `crit` or a harmless `b64` is refused: no token of Entra's carries one.
        if name in header:
            raise TokenRefused("crit" if name == "crit" else "header", f"{name} is not supported")
    return header


def _read_algorithm(header: Mapping[str, Any], algorithms: frozenset[str]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenRefused("alg", f"not one of {', '.join(sorted(algorithms))}")
    return algorithm


def _check_type(header: Mapping[str, Any], types: frozenset[str]) -> None:
    found = header.get("typ", "jwt")
    if not isinstance(found, str) or found.lower() not in types:
        raise TokenRefused("typ", "another kind of token was expected")


def _read_kid(header: Mapping[str, Any]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not is_printable_ascii(kid, limit=KID_LIMIT_CHARS):
        raise TokenRefused("kid", "not a short printable string")
    return kid


def is_printable_ascii(text: str, *, limit: int) -> bool:
    """True for 1 to `limit` characters between space and tilde."""
    return 0 < len(text) <= limit and text.isascii() and text.isprintable()
