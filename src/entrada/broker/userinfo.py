"""The userinfo endpoint: the person behind an access token of this broker's, as far as they are still in.

Source: OpenID Connect Core 1.0, section 5.3; RFC 6750, sections 2 and 3.
"""

from __future__ import annotations

import jwt

from entrada.broker.grants import Grant, GrantId
from entrada.broker.provider import Provider
from entrada.broker.signing_keys import ALGORITHM
from entrada.broker.tokens import person_claims
from entrada.entra.jws import read_jws
from entrada.errors import TokenRefused
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse, json_response

_ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105  # the name of a kind


def userinfo(provider: Provider, request: WebRequest) -> WebResponse:
    token = _token_of(request)
    if token is None:
        return _unauthorized("")
    grant = _grant_behind(provider, token)
    installation = None if grant is None else provider.installation(grant.client_id)
    if grant is None or installation is None or not installation.is_let_in:
        return _unauthorized("invalid_token")
    if grant.person.identity.tenant_id != installation.tenant_id:
        return _unauthorized("invalid_token")  # the operator has given it to another tenant since
    return json_response(200, person_claims(grant, installation))


def _token_of(request: WebRequest) -> str | None:
    """In the header, or in a posted form (RFC 6750, section 2.2); one of both, and never in the address."""
    if "authorization" not in request.headers and request.method == "POST":
        posted = [value for name, value in request.form_pairs() if name == "access_token"]
        return posted[0] if len(posted) == 1 and posted[0] else None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _grant_behind(provider: Provider, token: str) -> Grant | None:
    """The living grant that this token stands on; None for anything else."""
    try:
        kid = read_jws(token, types=frozenset({_ACCESS_TOKEN_TYPE})).kid
        published = [
            key for key in provider.signing_keys() if key.kid == kid and key.is_published(provider.now())
        ]
        if len(published) != 1:
            return None
        claims = jwt.decode(
            token,
            published[0].private_key.public_key(),
            algorithms=[ALGORITHM],
            audience=provider.addresses.url(provider.addresses.userinfo_path),
            issuer=provider.issuer,
            options={"require": ["exp", "sub", "client_id"], "verify_exp": False, "verify_iat": False},
        )
    except (TokenRefused, jwt.PyJWTError):
        return None
    expires = claims["exp"]
    if not isinstance(expires, int) or provider.now().timestamp() >= expires:
        return None
    grant = provider.store.find_grant(GrantId(str(claims["sub"])))
    if grant is None or grant.client_id != claims["client_id"] or provider.now() >= grant.expires_at:
        return None
    return grant


def _unauthorized(error: str) -> WebResponse:
    challenge = "Bearer" + (f' error="{error}"' if error else "")
    return WebResponse(status=401, headers=[("www-authenticate", challenge), *SAFE_HEADERS])
