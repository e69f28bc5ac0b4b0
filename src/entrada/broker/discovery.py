"""What this broker says of itself, and the keys it signs with.

The two documents are one: OpenID Connect Discovery's and RFC 8414's.

Source: OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2; RFC 9207, section 3; OpenID Connect
Back-Channel Logout 1.0, section 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entrada.broker.authorization_request import PROMPTS, RESPONSE_MODES, SCOPES
from entrada.broker.client_authentication import ASSERTION_ALGORITHMS
from entrada.broker.provider import Provider
from entrada.broker.signing_keys import ALGORITHM, jwks
from entrada.web.messages import WebRequest, WebResponse, json_response

AUTHENTICATION_METHODS = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
CLAIMS = (
    "sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "auth_time", "acr", "acrs", "amr", "sid", "login_hint",
    "tid", "oid", "acct", "home_tid", "uti", "ver",
    "name", "preferred_username", "email", "email_verified", "xms_edov", "roles", "groups",
)  # fmt: skip


def metadata(provider: Provider) -> Mapping[str, Any]:
    at = provider.addresses
    return {
        "issuer": provider.issuer,
        "authorization_endpoint": at.url(at.authorize_path),
        "token_endpoint": at.url(at.token_path),
        "userinfo_endpoint": at.url(at.userinfo_path),
        "jwks_uri": at.url(at.jwks_path),
        "end_session_endpoint": at.url(at.end_session_path),
        "scopes_supported": sorted(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": list(AUTHENTICATION_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": sorted(ASSERTION_ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": sorted(PROMPTS),
        "authorization_response_iss_parameter_supported": True,
        "claims_supported": list(CLAIMS),
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


def openid_discovery(provider: Provider, request: WebRequest) -> WebResponse:
    del request
    return _public(metadata(provider))


def jwks_document(provider: Provider, request: WebRequest) -> WebResponse:
    del request
    return _public(jwks(provider.signing_keys(), provider.now()))


def _public(document: Mapping[str, Any]) -> WebResponse:
    """Anyone may read it, also a script of another site, and keep it for a few minutes."""
    response = json_response(200, document)
    headers = [(name, value) for name, value in response.headers if name != "cache-control"]
    return WebResponse(
        status=200,
        headers=[*headers, ("cache-control", "public, max-age=300"), ("access-control-allow-origin", "*")],
        body=response.body,
    )
