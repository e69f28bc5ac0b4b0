"""What an installation is handed: an ID token of this broker's own, and a logout token.

The claims are those of Entra's v2.0 tokens, so that an installation reads one shape: `tid` and `oid` name the
person, `roles` and `groups` are Entra's values. `sub` is one person at one broker, the same for every
installation. What an installation may not learn is left out.

Source: OpenID Connect Core 1.0, section 2; OpenID Connect Back-Channel Logout 1.0, section 2.4; Microsoft,
"ID token claims reference".
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from entrada.accounts.broker_subject import subject_of
from entrada.broker.grants import Grant, Person
from entrada.broker.installations import Installation

ID_TOKEN_LIFE = timedelta(minutes=60)
ACCESS_TOKEN_LIFE = timedelta(minutes=60)
LOGOUT_TOKEN_LIFE = timedelta(minutes=2)
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TYPE = "logout+jwt"


def id_token_claims(
    grant: Grant,
    installation: Installation,
    *,
    issuer: str,
    now: datetime,
    nonce: str | None = None,
    logout_hint: str | None = None,
) -> Mapping[str, Any]:
    """The claims of an ID token about this grant. A refreshed one carries no nonce (Core 1.0, 12.2)."""
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": installation.client_id,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + int(ID_TOKEN_LIFE.total_seconds()),
        "sid": grant.id,
        "uti": secrets.token_urlsafe(16),
        "ver": "2.0",
        **person_claims(grant, installation),
    }
    if nonce is not None:
        claims["nonce"] = nonce
    if logout_hint is not None:
        claims["login_hint"] = logout_hint  # Entra's name for what comes back as logout_hint
    if grant.person.auth_time is not None:
        claims["auth_time"] = int(grant.person.auth_time.timestamp())
    if grant.person.amr:
        claims["amr"] = list(grant.person.amr)
    if grant.person.acr is not None:
        claims["acr"] = grant.person.acr
    if grant.person.acrs:
        claims["acrs"] = list(grant.person.acrs)
        claims.setdefault(
            "acr", grant.person.acrs[0]
        )  # one of those that were met, for who reads `acr` alone
    return claims


def person_claims(grant: Grant, installation: Installation) -> dict[str, Any]:
    """What this installation may know about the person: for the ID token and for userinfo."""
    person, allowed = grant.person, installation.claims
    claims: dict[str, Any] = {
        "sub": subject_of(person.identity),
        "tid": person.identity.tenant_id,
        "oid": person.identity.object_id,
        "acct": 1 if person.is_guest else 0,
    }
    if person.home_tenant is not None:
        claims["home_tid"] = person.home_tenant
    if "name" in allowed:
        claims["name"] = person.name
        if person.username is not None:
            claims["preferred_username"] = person.username
    if "email" in allowed and person.email is not None and "email" in grant.scopes:
        claims["email"] = person.email
        claims["email_verified"] = person.email_is_verified
        claims["xms_edov"] = person.email_is_verified
    if "roles" in allowed and person.roles:
        for name in ("roles", installation.roles_claim):
            if name is not None:
                claims[name] = sorted(person.roles)
    if "groups" in allowed and (groups := groups_for(person, installation)):
        claims["groups"] = groups
    return claims


def groups_for(person: Person, installation: Installation) -> list[str]:
    """The object ids of the person's groups that this installation may know."""
    if installation.groups is None:
        return sorted(person.groups)
    return sorted(installation.groups.intersection(person.groups))


def logout_token_claims(
    *, issuer: str, client_id: str, subject: str, session_id: str, now: datetime
) -> Mapping[str, Any]:
    """Says that this sign-in of this person has ended."""
    issued_at = int(now.timestamp())
    return {
        "iss": issuer,
        "aud": client_id,
        "iat": issued_at,
        "exp": issued_at + int(LOGOUT_TOKEN_LIFE.total_seconds()),
        "jti": secrets.token_urlsafe(16),
        "sub": subject,
        "sid": session_id,
        "events": {LOGOUT_EVENT: {}},
    }
