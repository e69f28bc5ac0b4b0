"""Client assertions: a token signed by the application's certificate or by an issuer it trusts.

Source: RFC 7523, 3; Microsoft, "Certificate credentials for application authentication", "Workload identity
federation".
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode
from typing import Any

from ..directory.records import App, FederatedCredential
from ..protocol.encoding import b64url
from ..protocol.errors import EntraError
from ..state.world import World

_SKEW_SECONDS = 300
_MAX_BYTES = 20_000


def check_assertion(world: World, app: App, assertion: str, *, base_url: str) -> None:
    """The assertion proves the application.

    Raises:
        EntraError: 50027 unreadable, 50012 audience, 700024 times, 700027 certificate or
            signature, 700211 to 700213 federation.
    """
    header, claims, signed, signature = _split(assertion)
    if claims.get("iss") == claims.get("sub") == app.client_id:
        _check_certificate_assertion(world, app, header, claims, signed, signature, base_url=base_url)
    else:
        _check_federated_assertion(world, app, header, claims, signed, signature)


def _split(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MAX_BYTES:
        raise EntraError(50027)
    try:
        header, claims = json.loads(_decoded(parts[0])), json.loads(_decoded(parts[1]))
        signature = _decoded(parts[2])
    except (ValueError, RecursionError):
        raise EntraError(50027) from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise EntraError(50027)
    return header, claims, f"{parts[0]}.{parts[1]}".encode(), signature


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _check_times(world: World, claims: dict[str, Any]) -> None:
    now = world.clock.now()
    expires, not_before = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float) or isinstance(expires, bool) or expires + _SKEW_SECONDS < now:
        raise EntraError(700024)
    if not isinstance(not_before, int | float) or not_before - _SKEW_SECONDS > now:
        raise EntraError(700024)


def _check_certificate_assertion(
    world: World,
    app: App,
    header: dict[str, Any],
    claims: dict[str, Any],
    signed: bytes,
    signature: bytes,
    *,
    base_url: str,
) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding

    for certificate in app.certificates:
        loaded = x509.load_pem_x509_certificate(certificate.pem.encode())
        der = loaded.public_bytes(Encoding.DER)
        sha1 = b64url(hashlib.sha1(der, usedforsecurity=False).digest())
        sha256 = b64url(hashlib.sha256(der).digest())
        if _thumbprint(header, "x5t") == sha1 or _thumbprint(header, "x5t#S256") == sha256:
            key = loaded.public_key()
            if loaded.not_valid_after_utc.timestamp() < world.clock.now():
                raise EntraError(700027, "The certificate has expired.")
            break
    else:
        raise EntraError(700027, "The thumbprint names no certificate of the application.")
    if not isinstance(key, RSAPublicKey) or not _verifies(key, header.get("alg"), signed, signature):
        raise EntraError(700027, "The signature does not verify.")
    _check_times(world, claims)
    if not _names_this_endpoint(claims.get("aud"), base_url, world):
        raise EntraError(50012, "The audience is not this token endpoint.")


def _thumbprint(header: dict[str, Any], name: str) -> str:
    """A thumbprint of the header; clients differ in whether they pad it."""
    return str(header.get(name, "")).rstrip("=")


def _names_this_endpoint(audience: object, base_url: str, world: World) -> bool:
    if not isinstance(audience, str):
        return False
    return any(audience == url or audience.startswith(f"{url}/") for url in (base_url, *world.own_urls))


def _verifies(key: Any, algorithm: object, signed: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    scheme: padding.AsymmetricPadding
    if algorithm == "RS256":
        scheme = padding.PKCS1v15()
    elif algorithm == "PS256":
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    else:
        return False
    try:
        key.verify(signature, signed, scheme, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _check_federated_assertion(
    world: World, app: App, header: dict[str, Any], claims: dict[str, Any], signed: bytes, signature: bytes
) -> None:
    credential = _matching_credential(app, claims)
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    for entry in _keys_of(credential):
        if entry.get("kty") != "RSA" or header.get("kid") not in (None, entry.get("kid")):
            continue
        numbers = RSAPublicNumbers(
            e=int.from_bytes(_decoded(str(entry.get("e"))), "big"),
            n=int.from_bytes(_decoded(str(entry.get("n"))), "big"),
        )
        if _verifies(numbers.public_key(), header.get("alg"), signed, signature):
            _check_times(world, claims)
            return
    if credential.issuer.startswith(world.own_urls) and _signed_here(world, signed, signature):
        _check_times(world, claims)
        return
    raise EntraError(700027, "The federated issuer's signature does not verify.")


def _matching_credential(app: App, claims: dict[str, Any]) -> FederatedCredential:
    by_issuer = [known for known in app.federated_credentials if known.issuer == claims.get("iss")]
    if not by_issuer:
        raise EntraError(700211, f"The issuer was '{str(claims.get('iss'))[:100]}'.")
    by_subject = [known for known in by_issuer if known.subject == claims.get("sub")]
    if not by_subject:
        raise EntraError(700213, f"The subject was '{str(claims.get('sub'))[:100]}'.")
    for known in by_subject:
        audience = claims.get("aud")
        if (audience if isinstance(audience, str) else (audience or [""])[0]) in known.audiences:
            return known
    raise EntraError(700212, f"The audience was '{str(claims.get('aud'))[:100]}'.")


def _keys_of(credential: FederatedCredential) -> list[dict[str, Any]]:
    try:
        entries = json.loads(credential.jwks or "{}").get("keys", [])
    except (ValueError, AttributeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def _signed_here(world: World, signed: bytes, signature: bytes) -> bool:
    return any(key.verifies(signed, signature) for key in world.keys.known)


def read_own_token(world: World, token: str) -> dict[str, Any]:
    """The claims of a token this emulator signed for an application.

    Raises:
        EntraError: 50027 unreadable, 50013 not signed here.
    """
    header, claims, signed, signature = _split(token)
    if header.get("alg") != "RS256" or not _signed_here(world, signed, signature):
        raise EntraError(50013, "The assertion's signature does not verify.")
    return claims
