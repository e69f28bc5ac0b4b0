"""That a token request comes from the installation it names.

A public installation proves itself by its listed address and its code verifier, and shows nothing here. A
confidential one shows a secret, in the header or in the form but never in both, or a JWT signed by its key.
An installation that has a proof is never let through without it.

Source: RFC 6749, section 2.3; RFC 7523, section 3; OpenID Connect Core 1.0, section 9; RFC 9700, section 2.5.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import jwt

from entrada.broker.grants import hash_of
from entrada.broker.installations import Installation, Proof
from entrada.broker.oauth_errors import OAuthError, invalid_client, invalid_request
from entrada.entra.jws import read_jws
from entrada.errors import TokenRefused
from entrada.strict_json import read_json_object

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = frozenset({"RS256", "PS256", "ES256"})
LONGEST_ASSERTION_LIFE = timedelta(minutes=10)
SKEW = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class ShownCredentials:
    """What the request shows of itself: at most one of `secret` and `assertion`."""

    client_id: str
    secret: str | None = None
    assertion: str | None = None


def read_credentials(authorization: str | None, form: Mapping[str, str]) -> ShownCredentials:
    """Who the request says it is, and what it shows for it.

    Raises:
        OAuthError: invalid_client or invalid_request; several ways at once are no way.
    """
    shown = [
        name
        for name, there in (
            ("header", authorization is not None),
            ("secret", "client_secret" in form),
            ("assertion", "client_assertion" in form or "client_assertion_type" in form),
        )
        if there
    ]
    if len(shown) > 1:
        raise invalid_request("more than one way of client authentication")
    if shown == ["header"]:
        client_id, secret = _read_basic(authorization or "")
        if form.get("client_id", client_id) != client_id:
            raise invalid_request("client_id differs from the one in the Authorization header")
        return ShownCredentials(client_id=client_id, secret=secret)
    if shown == ["assertion"]:
        return _read_assertion(form)
    if not form.get("client_id"):
        raise invalid_client("client_id is missing")
    return ShownCredentials(client_id=form["client_id"], secret=form.get("client_secret"))


def authenticate(
    shown: ShownCredentials,
    installation: Installation | None,
    *,
    audiences: Sequence[str],
    spend: Callable[[str, datetime], bool],
    now: datetime,
) -> Installation:
    """The installation, proved.

    `audiences` are the names by which an assertion may mean this broker; `spend` is True for the first use of
    an assertion's id.

    Raises:
        OAuthError: invalid_client, whatever was wrong.
    """
    if installation is None or not installation.is_let_in:
        raise invalid_client("no such client")
    match installation.proof:
        case Proof.PKCE:
            if shown.secret or shown.assertion:
                raise invalid_client("this client is public and has no secret")
        case Proof.SECRET:
            _check_secret(shown, installation)
        case Proof.KEY:
            _check_assertion(shown, installation, audiences=audiences, spend=spend, now=now)
    return installation


def _read_basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise invalid_client("the Authorization header is not Basic")
    try:
        text = base64.b64decode(encoded.strip().encode("ascii"), validate=True).decode("utf-8")
    except (UnicodeError, binascii.Error):
        raise invalid_client("the Authorization header cannot be read") from None
    client_id, colon, secret = text.partition(":")
    if not colon or not client_id:
        raise invalid_client("the Authorization header cannot be read")
    # Both halves are form-encoded first: RFC 6749, section 2.3.1. A client id is a URL, so this matters.
    return unquote_plus(client_id), unquote_plus(secret)


def _read_assertion(form: Mapping[str, str]) -> ShownCredentials:
    if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
        raise invalid_client(f"client_assertion_type must be {ASSERTION_TYPE}")
    assertion = form["client_assertion"]
    try:
        subject = read_json_object(read_jws(assertion, algorithms=ASSERTION_ALGORITHMS).payload).get("sub")
    except (TokenRefused, ValueError):
        raise invalid_client("the client assertion cannot be read") from None
    if not isinstance(subject, str) or form.get("client_id", subject) != subject:
        raise invalid_client("the client assertion is about another client")
    return ShownCredentials(client_id=subject, assertion=assertion)


def _check_secret(shown: ShownCredentials, installation: Installation) -> None:
    found = hash_of(shown.secret or "")
    # Every hash is compared, so that time tells nothing about which of them is the right one.
    matches = [hmac.compare_digest(found, expected) for expected in installation.secret_hashes]
    if not shown.secret or not any(matches):
        raise invalid_client("the client secret is missing or wrong")


def _check_assertion(
    shown: ShownCredentials,
    installation: Installation,
    *,
    audiences: Sequence[str],
    spend: Callable[[str, datetime], bool],
    now: datetime,
) -> None:
    if shown.assertion is None:
        raise invalid_client("the client assertion is missing")
    try:
        claims = _verified_claims(shown.assertion, installation)
    except (TokenRefused, ValueError, jwt.PyJWTError):
        raise invalid_client("the client assertion is not signed by this client's key") from None
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    expires, identifier = claims.get("exp"), claims.get("jti")
    if claims.get("iss") != installation.client_id or claims.get("sub") != installation.client_id:
        raise invalid_client("the client assertion is about another client")
    if not set(audiences).intersection(name for name in named if isinstance(name, str)):
        raise invalid_client("the client assertion is for somebody else")
    if not isinstance(expires, int) or isinstance(expires, bool):
        raise invalid_client("the client assertion does not say when it ends")
    left = expires - now.timestamp()
    if not -SKEW.total_seconds() < left <= LONGEST_ASSERTION_LIFE.total_seconds():
        raise invalid_client("the client assertion is over, or lives too long")
    if not isinstance(identifier, str) or not (0 < len(identifier) <= 256 and identifier.isprintable()):
        raise invalid_client("the client assertion has no jti")
    # Of one length, as databases index it; neither half holds the NUL, so no two pairs are written alike.
    used = hash_of(f"{installation.client_id}\0{identifier}").hex()
    if not spend(used, now + LONGEST_ASSERTION_LIFE + SKEW):
        raise invalid_client("the client assertion was used before")


def _verified_claims(assertion: str, installation: Installation) -> Mapping[str, Any]:
    jws = read_jws(assertion, algorithms=ASSERTION_ALGORITHMS, types=frozenset({"jwt"}))
    candidates = [key for key in installation.jwks if jws.kid is None or key.get("kid") == jws.kid]
    if len(candidates) != 1:
        raise TokenRefused("kid", "not exactly one key")
    key = jwt.PyJWK(candidates[0], algorithm=jws.algorithm)
    if key.key_type == "oct" or not key.Algorithm.verify(jws.signing_input, key.key, jws.signature):
        raise TokenRefused("signature", "not made by this client's key")
    return read_json_object(jws.payload)


def challenge_of(error: OAuthError) -> Sequence[tuple[str, str]]:
    """The header that a 401 must carry (RFC 6749, section 5.2)."""
    return [("www-authenticate", 'Basic realm="entrada"')] if error.status == 401 else []
