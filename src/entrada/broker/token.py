"""The token endpoint: a code or a refresh token becomes tokens, for the installation that proves itself.

A code is spent before anything else is looked at, so it counts once whatever becomes of it; used again, all
that it gave ends. A refresh asks Entra about the person first: one who is gone there gets nothing here.

Source: RFC 6749, sections 4.1.3, 5 and 6; RFC 7636, section 4.6; OpenID Connect Core 1.0, sections 3.1.3 and
12; RFC 9700, section 4.14.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from entrada.audit.acts import ENTRA, Actor, ActorKind, Cause
from entrada.broker.client_authentication import authenticate, challenge_of, read_credentials
from entrada.broker.grants import (
    GRANT_IDLE_LIFE,
    REUSE_GRACE,
    Grant,
    GrantId,
    OpaqueToken,
    hash_of,
    new_token,
    read_token,
)
from entrada.broker.installations import Installation
from entrada.broker.oauth_errors import OAuthError, invalid_grant, invalid_request
from entrada.broker.provider import Provider
from entrada.broker.tokens import ACCESS_TOKEN_LIFE, id_token_claims
from entrada.errors import SignInError, Unavailable
from entrada.flows.identification import ends_access
from entrada.web.messages import WebRequest, WebResponse, json_response

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)

GrantHandler = Callable[[Provider, Installation, Mapping[str, str]], Mapping[str, Any]]


def token(provider: Provider, request: WebRequest) -> WebResponse:
    """The response to a token request. Refusals are the specification's own documents."""
    try:
        form = _read_form(request)
        installation = authenticate(
            shown := read_credentials(request.headers.get("authorization"), form),
            provider.installation(shown.client_id),
            audiences=[provider.issuer, provider.addresses.url(provider.addresses.token_path)],
            spend=lambda identifier, expires_at: provider.store.spend(identifier, expires_at=expires_at),
            now=provider.now(),
        )
        handler = GRANTS.get(form.get("grant_type", ""))
        if handler is None:
            raise OAuthError("unsupported_grant_type", f"grant_type must be one of {', '.join(GRANTS)}")
        document = handler(provider, installation, form)
    except OAuthError as error:
        return refusal(error)
    return json_response(200, document)


def refusal(error: OAuthError) -> WebResponse:
    response = json_response(error.status, {"error": error.error, "error_description": error.description})
    return WebResponse(
        status=response.status, headers=[*response.headers, *challenge_of(error)], body=response.body
    )


def _read_form(request: WebRequest) -> Mapping[str, str]:
    pairs = request.form_pairs()
    if not pairs:
        raise invalid_request("the request must be a form (application/x-www-form-urlencoded)")
    if any(count > 1 for count in Counter(name for name, _ in pairs).values()):
        raise invalid_request("a parameter is there more than once")
    return dict(pairs)


def _authorization_code(
    provider: Provider, installation: Installation, form: Mapping[str, str]
) -> Mapping[str, Any]:
    found = provider.store.spend_code(hash_of(form.get("code", "")), now=provider.now())
    if found is None:
        raise invalid_grant("the code is unknown")
    code, first_use = found
    if not first_use:
        _end_grant(provider, installation, code.grant_id, reason="its code was used again")
        raise invalid_grant("the code was used before; what it gave has ended")
    if code.client_id != installation.client_id:
        _end_grant(provider, installation, code.grant_id, reason="its code was shown by another client")
        raise invalid_grant("the code was given to another client")
    if provider.now() >= code.expires_at:
        raise invalid_grant("the code is over")
    if form.get("redirect_uri") != code.redirect_uri:
        raise invalid_grant("redirect_uri differs from the one of the authorization request")
    _check_verifier(form.get("code_verifier"), code.code_challenge, installation)
    grant = _living(provider, provider.store.find_grant(code.grant_id), installation)
    return _response(provider, installation, grant, replaces=None, nonce=code.nonce)


def _refresh_token(
    provider: Provider, installation: Installation, form: Mapping[str, str]
) -> Mapping[str, Any]:
    shown = read_token(form.get("refresh_token", ""))
    grant = None if shown is None else provider.store.find_grant(shown.grant_id)
    grant = _living(provider, grant, installation)
    assert shown is not None
    _check_refresh_token(provider, installation, grant, shown)
    try:
        grant = provider.refresh_person(grant)
    except SignInError as error:
        if not ends_access(error):
            # About us, such as a client secret that has expired: nobody's access ends for that.
            raise OAuthError("temporarily_unavailable", "Entra refuses the broker", status=503) from None
        provider.store.end_grants(
            now=provider.now(),
            identity=grant.person.identity,
            tell_all_but=installation.client_id,
            cause=Cause(actor=ENTRA, reason=error.code),
        )
        raise invalid_grant(f"Entra no longer answers for this person ({error.code})") from None
    except Unavailable:
        raise OAuthError("temporarily_unavailable", "Entra does not answer", status=503) from None
    grant = replace(grant, next_check_at=provider.next_check())
    if not provider.store.renew_grant(grant):
        raise invalid_grant("the sign-in has ended")
    return _response(provider, installation, grant, replaces=grant.refresh_hash, nonce=None)


def _end_grant(provider: Provider, by: Installation, grant_id: GrantId, *, reason: str) -> None:
    actor = Actor(kind=ActorKind.INSTALLATION, id=by.client_id)
    provider.store.end_grants(now=provider.now(), grant_id=grant_id, cause=Cause(actor=actor, reason=reason))


def _check_refresh_token(
    provider: Provider, installation: Installation, grant: Grant, shown: OpaqueToken
) -> None:
    """The newest, or for a moment the one before it; any older one was stolen, or the newest was.

    However many a thief has had made since: the mark tells an old one from one that is made up.
    """
    if grant.refresh_hash is not None and hmac.compare_digest(grant.refresh_hash, shown.hash):
        return
    previous, refreshed_at = grant.previous_refresh_hash, grant.refreshed_at
    is_previous = previous is not None and hmac.compare_digest(previous, shown.hash)
    if is_previous and refreshed_at is not None and provider.now() < refreshed_at + REUSE_GRACE:
        return
    if is_previous or provider.made_refresh_token(shown.mark, grant):
        _end_grant(provider, installation, grant.id, reason="a replaced refresh token was shown")
        raise invalid_grant("the refresh token was replaced; what it stood on has ended")
    raise invalid_grant("the refresh token is unknown")


def _living(provider: Provider, grant: Grant | None, installation: Installation) -> Grant:
    if grant is None or provider.now() >= grant.expires_at:
        raise invalid_grant("the sign-in has ended")
    if grant.client_id != installation.client_id:
        raise invalid_grant("the token was given to another client")
    if grant.person.identity.tenant_id != installation.tenant_id:
        raise invalid_grant("the sign-in was for another tenant")
    return grant


def _response(
    provider: Provider, installation: Installation, grant: Grant, *, replaces: bytes | None, nonce: str | None
) -> Mapping[str, Any]:
    now, signed = provider.now(), provider.signer()
    document: dict[str, Any] = {
        "token_type": "Bearer",
        "access_token": signed(access_token_claims(provider, grant), "at+jwt"),
        "expires_in": int(ACCESS_TOKEN_LIFE.total_seconds()),
        "scope": " ".join(sorted(grant.scopes)),
        "id_token": signed(
            id_token_claims(
                grant,
                installation,
                issuer=provider.issuer,
                now=now,
                nonce=nonce,
                logout_hint=provider.logout_hint_for(grant),
            ),
            "JWT",
        ),
    }
    if "offline_access" in grant.scopes:
        fresh = new_token(grant.id, mark=provider.refresh_mark_for(grant))
        if not provider.store.rotate_refresh_token(
            grant.id, expected=replaces, new=fresh.hash, now=now, expires_at=now + GRANT_IDLE_LIFE
        ):
            raise invalid_grant("the refresh token was used at the same moment elsewhere")
        document["refresh_token"] = fresh.text
    return document


def access_token_claims(provider: Provider, grant: Grant) -> Mapping[str, Any]:
    """Of a token for userinfo alone: signed, so that nothing has to be remembered, for this broker only."""
    now = int(provider.now().timestamp())
    return {
        "iss": provider.issuer,
        "aud": provider.addresses.url(provider.addresses.userinfo_path),
        "client_id": grant.client_id,
        "sub": grant.id,
        "sid": grant.id,
        "iat": now,
        "exp": now + int(ACCESS_TOKEN_LIFE.total_seconds()),
        "jti": new_token(grant.id).secret,
        "scope": " ".join(sorted(grant.scopes)),
    }


def _check_verifier(verifier: str | None, challenge: str | None, installation: Installation) -> None:
    """The verifier of that challenge; none at all only where none was promised (RFC 9700, section 2.1.1)."""
    if challenge is not None:
        if verifier is None or not _proves(verifier, challenge):
            raise invalid_grant("code_verifier does not fit the code_challenge")
    elif verifier is not None or not installation.may_leave_out_pkce:
        raise invalid_grant("the sign-in was asked for without a code_challenge")


def _proves(verifier: str, challenge: str) -> bool:
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(made, challenge)


GRANTS: Mapping[str, GrantHandler] = {
    "authorization_code": _authorization_code,
    "refresh_token": _refresh_token,
}
"""Each grant type and what carries it out; a further one is one line more."""
