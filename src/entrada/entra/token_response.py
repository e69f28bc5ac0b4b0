"""An answer of the token endpoint, taken apart. Nothing in it is verified.

Source: RFC 6749, sections 5.1 and 5.2; Microsoft, "Handle errors and exceptions in MSAL" (`claims`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from entrada.entra.jws import RawAccessToken, RawIdToken, RawRefreshToken
from entrada.errors import EntraUnavailable

UNSTATED_LIFE = timedelta(minutes=5)
"""Of an access token whose answer does not say how long it lives."""
LONGEST_LIFE = timedelta(days=2)
"""More than Entra gives; what says more is remembered no longer than this."""
LARGEST_CLAIMS = 4_000


@dataclass(frozen=True, kw_only=True)
class TokenResponse:
    """A successful answer to a sign-in or its refresh, nothing in it verified yet."""

    id_token: RawIdToken = field(repr=False)
    access_token: RawAccessToken | None = field(repr=False)
    refresh_token: RawRefreshToken | None = field(repr=False, default=None)


@dataclass(frozen=True, kw_only=True)
class AccessTokenResponse:
    """A successful answer to whoever wants to call an API; `scope` as it was granted, None: as asked."""

    access_token: RawAccessToken = field(repr=False)
    expires_in: timedelta
    scope: str | None
    refresh_token: RawRefreshToken | None = field(repr=False, default=None)


@dataclass(frozen=True, kw_only=True)
class TokenError:
    """An OAuth error answer as Entra worded it. `claims` is what a next sign-in has to bring, as JSON."""

    error: str
    description: str
    claims: str = ""


def read_token_response(result: Mapping[str, Any]) -> TokenResponse | TokenError:
    """
    Raises:
        EntraUnavailable: neither tokens nor an error.
    """
    refused = _read_error(result)
    if refused is not None:
        return refused
    id_token, access_token = result.get("id_token"), result.get("access_token")
    if not isinstance(id_token, str):
        raise EntraUnavailable(reason="the token endpoint answered without an ID token", answered=True)
    return TokenResponse(
        id_token=RawIdToken(id_token),
        access_token=RawAccessToken(access_token) if isinstance(access_token, str) else None,
        refresh_token=_refresh_token(result),
    )


def read_access_token_response(result: Mapping[str, Any]) -> AccessTokenResponse | TokenError:
    """
    Raises:
        EntraUnavailable: neither an access token nor an error.
    """
    refused = _read_error(result)
    if refused is not None:
        return refused
    access_token, scope = result.get("access_token"), result.get("scope")
    if not isinstance(access_token, str) or not access_token:
        raise EntraUnavailable(reason="the token endpoint answered without an access token", answered=True)
    return AccessTokenResponse(
        access_token=RawAccessToken(access_token),
        expires_in=_life(result.get("expires_in")),
        scope=scope if isinstance(scope, str) else None,
        refresh_token=_refresh_token(result),
    )


def _read_error(result: Mapping[str, Any]) -> TokenError | None:
    if "error" in result:
        claims = result.get("claims")
        return TokenError(
            error=str(result["error"])[:100],
            description=str(result.get("error_description", ""))[:2000],
            claims=claims if isinstance(claims, str) and len(claims) <= LARGEST_CLAIMS else "",
        )
    if str(result.get("token_type", "")).lower() != "bearer":
        raise EntraUnavailable(
            reason="the token endpoint answered a token type other than Bearer", answered=True
        )
    return None


def _refresh_token(result: Mapping[str, Any]) -> RawRefreshToken | None:
    found = result.get("refresh_token")
    return RawRefreshToken(found) if isinstance(found, str) else None


def _life(expires_in: object) -> timedelta:
    try:
        seconds = int(expires_in)  # type: ignore[call-overload]  # whatever JSON holds
    except (TypeError, ValueError, OverflowError):
        return UNSTATED_LIFE
    return min(max(timedelta(0), timedelta(seconds=min(seconds, 10**7))), LONGEST_LIFE)
