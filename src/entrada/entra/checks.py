"""The checks that tokens of both kinds share, one function each; their order is the verifiers'.

Does no I/O and reads no clock: keys and `now` come in as arguments.

Source: OpenID Connect Core 1.0, section 3.1.3.7; Microsoft, "Secure applications and APIs by
validating claims".
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from jwt.algorithms import RSAAlgorithm

from entrada.entra import claims as read
from entrada.entra.authority import PERSONAL_ACCOUNTS, TenantId, parse_guid
from entrada.entra.jws import CompactJws
from entrada.entra.keys import KeySet, SigningKey
from entrada.errors import PersonalAccountRefused, TenantRefused, TokenRefused

TENANT_TEMPLATE = "{tenantid}"
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)

_CLOCK_HINT = "Check the clock of this server; if it is right, start again from the sign-in page."
_ROLLOVER_HINT = (
    "Microsoft may have changed its signing keys a moment ago: try again in five minutes. "
    "If it happens again, show this page to your administrator."
)


def find_key(keys: KeySet, jws: CompactJws) -> SigningKey:
    """The one key that the token names. `TokenRefused`: check "kid"."""
    key = keys.find(jws.kid)
    if key is None:
        raise TokenRefused("kid", "Entra publishes no such signing key", hint=_ROLLOVER_HINT)
    return key


def verify_signature(jws: CompactJws, key: SigningKey) -> None:
    """Passes only if `key` signed exactly these bytes with RS256.

    Raises:
        TokenRefused: check "alg" or "signature".
    Source: RFC 7518, section 3.3.
    """
    # The gate's allow-list said so already; said again, because here it decides which mathematics runs.
    if jws.algorithm != "RS256":
        raise TokenRefused("alg", "not RS256")
    if not _RS256.verify(jws.signing_input, key.public_key, jws.signature):
        raise TokenRefused("signature", "not made by Entra's key")


def check_issuer(claims: Mapping[str, Any], key: SigningKey, template: str) -> tuple[str, TenantId]:
    """Issuer and tenant, if they belong together and the key may speak for them.

    Raises:
        TokenRefused: check "tid", "iss" or "key_issuer".
    """
    tid = parse_guid(claims.get("tid"))
    if tid is None:
        raise TokenRefused("tid", "missing or not a GUID")
    issuer = template.replace(TENANT_TEMPLATE, tid)
    if claims.get("iss") != issuer:
        raise TokenRefused("iss", "not the issuer of the tenant in tid")
    if not key.speaks_for(issuer, tid):
        raise TokenRefused("key_issuer", "signed by a key that speaks for another issuer")
    return issuer, TenantId(tid)


def check_tenant(tenant_id: TenantId, allowed: frozenset[TenantId]) -> None:
    """`TenantRefused` or `PersonalAccountRefused`: genuine, but of a tenant that is not allowed here."""
    if tenant_id in allowed:
        return
    raise PersonalAccountRefused() if tenant_id == PERSONAL_ACCOUNTS else TenantRefused()


def check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """`TokenRefused`, check "aud" or "azp": meant for, or issued to, another application."""
    audience = claims.get("aud")
    several = isinstance(audience, list) and len(audience) > 1
    named = audience if isinstance(audience, list) else [audience]
    if client_id not in named or not all(isinstance(name, str) for name in named):
        raise TokenRefused("aud", "not meant for this application")
    # A token for several applications must say that it was issued to this one.
    if (several or "azp" in claims) and claims.get("azp") != client_id:
        raise TokenRefused("azp", "issued to another application")


def check_times(
    claims: Mapping[str, Any], *, skew: timedelta, oldest_issue: timedelta, now: datetime
) -> None:
    """`TokenRefused`, check "exp", "nbf" or "iat"; one issued longer than `oldest_issue` ago, too."""
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    expires_at, issued_at = read.required_moment(claims, "exp"), read.required_moment(claims, "iat")
    not_before = read.optional_moment(claims, "nbf")
    if now > expires_at + skew:
        raise TokenRefused("exp", f"expired {in_seconds(now - expires_at)} ago", hint=_CLOCK_HINT)
    if not_before is not None and now < not_before - skew:
        raise TokenRefused("nbf", f"valid only in {in_seconds(not_before - now)}", hint=_CLOCK_HINT)
    if now < issued_at - skew:
        raise TokenRefused("iat", f"issued {in_seconds(issued_at - now)} in the future", hint=_CLOCK_HINT)
    if now > issued_at + oldest_issue + skew:
        raise TokenRefused("iat", f"issued {in_seconds(now - issued_at)} ago", hint=_CLOCK_HINT)


def in_seconds(span: timedelta) -> str:
    return f"{round(span.total_seconds())} s"


def check_hash(claims: Mapping[str, Any], name: str, hashed: str | None) -> None:
    """A hash that is there must be right; one that cannot be checked is wrong.

    Source: OpenID Connect Core 1.0, section 3.3.2.11.
    """
    if name not in claims:
        return
    found = claims[name]
    if not isinstance(found, str) or not hashed:
        raise TokenRefused(name, "cannot be checked")
    # The hash is that of the signature; RS256 is the only one that gets this far.
    digest = hashlib.sha256(hashed.encode("utf-8", "surrogatepass")).digest()
    right = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not hmac.compare_digest(found.encode(), right):
        raise TokenRefused(name, "belongs to something else")
