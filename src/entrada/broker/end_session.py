"""The end-session endpoint: an installation signs a person out, here, at the others, and at Entra.

Only a hint that this broker signed or sealed names a sign-in that may be ended without asking. The address to
come back to must be one of the installation's own; anything else ends at a page of ours.

Source: OpenID Connect RP-Initiated Logout 1.0, sections 2 to 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

import jwt

from entrada.audit.acts import Actor, ActorKind, Cause
from entrada.broker.grants import Grant, GrantId
from entrada.broker.installations import Installation
from entrada.broker.provider import Provider
from entrada.broker.signing_keys import ALGORITHM
from entrada.entra.jws import read_jws
from entrada.errors import TokenRefused
from entrada.sealing import Sealer
from entrada.web.messages import WebRequest

RETURN_COOKIE = "entrada_sign_out"
RETURN_LIFE = timedelta(minutes=10)
_LONGEST_STATE = 2_048


@dataclass(frozen=True, kw_only=True)
class SignOutRequest:
    """What was asked, as far as it can be believed. `return_to` None: nowhere but a page of ours."""

    installation: Installation | None
    grant: Grant | None
    return_to: str | None


def read_sign_out_request(provider: Provider, request: WebRequest) -> SignOutRequest:
    """The request, whatever was sent: an odd parameter is as if it were not there."""
    given = _first_of_each(request)
    grant = _grant_of_hint(provider, given.get("id_token_hint", ""))
    named = given.get("client_id") or (grant.client_id if grant is not None else "")
    installation = provider.installation(named) if named else None
    if grant is None and installation is not None and "logout_hint" in given:
        grant = provider.grant_of_logout_hint(given["logout_hint"], installation.client_id)
    if grant is not None and (installation is None or grant.client_id != installation.client_id):
        grant = None
    return SignOutRequest(
        installation=installation,
        grant=grant,
        return_to=_return_address(given, installation),
    )


def end_everywhere(provider: Provider, asked: SignOutRequest) -> int:
    """End the sign-in that was named, at every installation it signed the person in to; how many grants.

    Installations of one sign-in at Entra share its session id; they end together, and are told.
    """
    grant = asked.grant
    if grant is None:
        return 0
    by_entra = grant.entra_session_id
    ended = provider.store.end_grants(
        now=provider.now(),
        grant_id=None if by_entra else grant.id,
        entra_session_id=by_entra,
        tell_all_but=grant.client_id,
        cause=Cause(actor=Actor(kind=ActorKind.INSTALLATION, id=grant.client_id), reason="signed out there"),
    )
    return len(ended)


def remember_return(asked: SignOutRequest, sealer: Sealer, *, now: datetime) -> str | None:
    """What the browser keeps while it is at Entra: where to go on to after it."""
    if asked.return_to is None:
        return None
    until = int((now + RETURN_LIFE).timestamp())
    return sealer.seal(f"{until} {asked.return_to}".encode(), context=RETURN_COOKIE)


def remembered_return(values: Iterable[str], sealer: Sealer, *, now: datetime) -> str | None:
    """The address sealed by `remember_return`, if one of these cookie values is one and it is not over."""
    plain = sealer.unseal_any(values, context=RETURN_COOKIE)
    until, _, address = ("" if plain is None else plain.decode()).partition(" ")
    return address if until.isdigit() and now.timestamp() < int(until) else None


def _first_of_each(request: WebRequest) -> Mapping[str, str]:
    pairs = request.form_pairs() if request.method == "POST" else request.query_pairs()
    given: dict[str, str] = {}
    for name, value in pairs:
        given.setdefault(name, value)
    return given


def _return_address(given: Mapping[str, str], installation: Installation | None) -> str | None:
    wanted = given.get("post_logout_redirect_uri", "")
    if installation is None or not wanted or not installation.takes_people_back_at(wanted):
        return None
    state = given.get("state", "")
    if not 0 < len(state) <= _LONGEST_STATE:
        return wanted
    return f"{wanted}{'&' if '?' in wanted else '?'}{urlencode({'state': state})}"


def _grant_of_hint(provider: Provider, hint: str) -> Grant | None:
    """The grant of an ID token that this broker signed, also one that has expired."""
    if not hint:
        return None
    try:
        kid = read_jws(hint).kid
        keys = [key for key in provider.signing_keys() if key.kid == kid]
        if len(keys) != 1:
            return None
        claims = jwt.decode(
            hint,
            keys[0].private_key.public_key(),
            algorithms=[ALGORITHM],
            issuer=provider.issuer,
            options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except (TokenRefused, jwt.PyJWTError):
        return None
    grant = provider.store.find_grant(GrantId(str(claims.get("sid", ""))))
    return grant if grant is not None and grant.client_id == claims.get("aud") else None
