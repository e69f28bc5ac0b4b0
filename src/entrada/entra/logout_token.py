"""The checks that make a raw logout token of a broker's a `LogoutToken`, one after the other.

Does no I/O and reads no clock: keys and `now` come in as arguments.

     1  form, size, JSON, alg, crit, typ        the gate, `entrada.entra.jws`; `typ` is logout+jwt alone
     2  kid, signature                          exactly one key of that name; before any claim is read
     3  iss, aud                                that broker, this application
     4  exp, iat                                within the skew, and issued minutes ago at most
     5  events                                  the one that says "log out"
     6  nonce                                   none: an ID token is never taken for this
     7  sid, sub, jti                           which sign-in, and an id that counts once

Not checked: whether `jti` was seen before. Ending what has ended changes nothing.

Source: OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType

from entrada.entra import claims as read
from entrada.entra.checks import verify_signature
from entrada.entra.jws import RS256_ONLY, read_claims, read_jws
from entrada.entra.keys import KeySet
from entrada.errors import TokenRefused

RawLogoutToken = NewType("RawLogoutToken", str)
"""A logout token as it came over the wire: nothing about it has been checked."""

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LOGOUT_TYPE = frozenset({"logout+jwt"})
_SKEW = timedelta(seconds=120)
_OLDEST_ISSUE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class LogoutToken:
    """A sign-in that has ended: by its session at the broker, or every one of a person's."""

    session_id: str | None
    subject: str | None


def verify_logout_token(
    raw: RawLogoutToken, *, keys: KeySet, issuer: str, client_id: str, now: datetime
) -> LogoutToken:
    """The verified token.

    Raises:
        TokenRefused: a check failed; `check` names it.
    """
    jws = read_jws(raw, algorithms=RS256_ONLY, types=_LOGOUT_TYPE)
    if "typ" not in jws.header:
        raise TokenRefused("typ", "another kind of token was expected")
    key = keys.find(jws.kid)
    if key is None:
        raise TokenRefused("kid", "the broker publishes no such signing key")
    verify_signature(jws, key)
    claims = read_claims(jws)
    if claims.get("iss") != issuer:
        raise TokenRefused("iss", "not the broker's")
    audience = claims.get("aud")
    if audience != client_id and audience != [client_id]:
        raise TokenRefused("aud", "not meant for this application")
    expires_at, issued_at = read.required_moment(claims, "exp"), read.required_moment(claims, "iat")
    if now > expires_at + _SKEW:
        raise TokenRefused("exp", "expired")
    if not issued_at - _SKEW <= now <= issued_at + _OLDEST_ISSUE + _SKEW:
        raise TokenRefused("iat", "issued long ago, or in the future")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise TokenRefused("events", "does not say that a session ended")
    if "nonce" in claims:
        raise TokenRefused("nonce", "a logout token has none")
    read.required_text(claims, "jti", limit=read.VALUE_LIMIT_CHARS)
    session_id = read.optional_text(claims, "sid", limit=read.VALUE_LIMIT_CHARS)
    subject = read.optional_text(claims, "sub", limit=255)
    if session_id is None and subject is None:
        raise TokenRefused("sid", "names neither a session nor a person")
    return LogoutToken(session_id=session_id, subject=subject)
