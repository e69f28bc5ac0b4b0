"""What clients read first: OpenID metadata, keys, instance discovery and realm discovery.

The members of the metadata are those of the live service.  The endpoints a browser visits are named on the
http listener, unless the emulator was told otherwise, so that no browser meets an unknown certificate;
everything else, and the issuer, is on the listener that was asked.
Source: OpenID Connect Discovery 1.0; Microsoft, "OpenID Connect on the Microsoft identity platform".
"""

from __future__ import annotations

import re
from typing import Any

from ..directory.records import PERSONAL_TENANT_ID
from ..faults.tampering import tamper_document
from ..protocol.errors import EntraError
from ..protocol.http import Request, Response, json_response
from ..state.world import World
from .tenants import find_tenant, issuer, issuer_segment

# Clients leave the port out, or ask at one host about another.  Source: MSAL's list of known hosts.
_LOGIN_ADDRESS = re.compile(r"https?://([a-z0-9.-]+|\[::1\])(?::\d{1,5})?/[^/].*")
_LOGIN_HOSTS = frozenset(
    {
        *("localhost", "127.0.0.1", "[::1]"),
        *("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"),
        *("login.microsoftonline.us", "login.usgovcloudapi.net", "login-us.microsoftonline.com"),
        *("login.partner.microsoftonline.cn", "login.chinacloudapi.cn"),
        *("login.sovcloud-identity.fr", "login.sovcloud-identity.de", "login.sovcloud-identity.sg"),
    }
)


def openid_configuration(world: World, request: Request, segment: str, *, version: int = 2) -> Response:
    """The tenant's metadata document."""
    tenant = find_tenant(world, segment)
    base, browser = request.base_url, world.browser_url
    name = tenant.tenant_id if tenant else segment.lower()
    oauth = "oauth2/v2.0" if version == 2 else "oauth2"
    host = base.partition("://")[2]
    keys_path = "discovery/v2.0/keys" if version == 2 else "discovery/keys"
    document: dict[str, Any] = {
        "token_endpoint": f"{base}/{name}/{oauth}/token",
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
            "self_signed_tls_client_auth",
        ],
        "jwks_uri": f"{base}/{name}/{keys_path}",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer(world, base, issuer_segment(tenant, segment), version=version),
        "request_uri_parameter_supported": False,
        "userinfo_endpoint": f"{base}/oidc/userinfo",
        "authorization_endpoint": f"{browser}/{name}/{oauth}/authorize",
        "device_authorization_endpoint": f"{base}/{name}/{oauth}/devicecode",
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "end_session_endpoint": f"{browser}/{name}/{oauth}/logout",
        "claims_supported": [
            "sub",
            "iss",
            "cloud_instance_name",
            "cloud_instance_host_name",
            "cloud_graph_host_name",
            "msgraph_host",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "acr",
            "nonce",
            "preferred_username",
            "name",
            "tid",
            "ver",
            "at_hash",
            "c_hash",
            "email",
        ],
        "kerberos_endpoint": f"{base}/{name}/kerberos",
        "mtls_endpoint_aliases": {"token_endpoint": f"{base}/{name}/{oauth}/token"},
        "tls_client_certificate_bound_access_tokens": True,
        "tenant_region_scope": "EU" if tenant else None,
        "cloud_instance_name": host,
        "cloud_graph_host_name": host,
        "msgraph_host": host,
        "rbac_url": f"{base}/rbac",
    }
    if version == 1:
        _as_version_1(document, f"{base}/{name}")
    wrong = world.faults.take(("wrong_issuer",), "discovery")
    if wrong:
        document["issuer"] = wrong.parameters.get("issuer", f"{base}/somebody-else/v2.0")
    return _public(tamper_document(world, "discovery", document))


def _as_version_1(document: dict[str, Any], tenant_url: str) -> None:
    """What the older metadata says differently; its userinfo endpoint is the tenant's own."""
    newer = ("preferred_username", "name", "tid", "ver", "at_hash", "c_hash")
    older = ("amr", "given_name", "family_name", "nickname")
    del document["request_uri_parameter_supported"]
    document |= {
        "response_types_supported": ["code", "id_token", "code id_token", "token id_token", "token"],
        "scopes_supported": ["openid"],
        "claims_supported": [*(c for c in document["claims_supported"] if c not in newer), *older],
        "microsoft_multi_refresh_token": True,
        "check_session_iframe": f"{tenant_url}/oauth2/checksession",
        "userinfo_endpoint": f"{tenant_url}/openid/userinfo",
    }


def keys(world: World, request: Request, segment: str, *, version: int = 2) -> Response:
    """The key set: several keys, each with its certificate and its issuer."""
    tenant = find_tenant(world, segment)
    name = issuer_segment(tenant, segment)
    published = world.keys.published
    removed = world.faults.take(("key_removed",), "keys")
    if removed:
        published = [key for key in published if key.kid != world.keys.current.kid]
    entries: list[dict[str, Any]] = [
        _entry(key.jwk, issuer(world, request.base_url, name, version=version)) for key in published
    ]
    if tenant is None:
        personal = issuer(world, request.base_url, PERSONAL_TENANT_ID, version=version)
        entries.append(_entry(world.keys.personal.jwk, personal))
    if name == PERSONAL_TENANT_ID:
        entries = entries[-1:]
    document = tamper_document(world, "keys", {"keys": entries})
    return _public(document)


def _entry(jwk: dict[str, Any], key_issuer: str) -> dict[str, Any]:
    return {**jwk, "cloud_instance_name": "microsoftonline.com", "issuer": key_issuer}


def instance_discovery(request: Request) -> Response:
    """MSAL's question whether an authority belongs to a known cloud: this one does, and stands alone.

    Raises:
        EntraError: 900144 without the question, 50049 for a host that is no login host.
    """
    host = request.base_url.partition("://")[2]
    asked = request.query.get("authorization_endpoint")
    if not asked:
        raise EntraError(900144, "The parameter is 'authorization_endpoint'.")
    known, path = _LOGIN_ADDRESS.fullmatch(asked.lower()), asked.partition("://")[2].partition("/")[2]
    if known is None or known.group(1) not in _LOGIN_HOSTS:
        raise EntraError(50049, f"The address was '{asked[:200]}'.")
    segment = path.partition("/")[0] or "common"
    document = f"{request.base_url}/{segment}/v2.0/.well-known/openid-configuration"
    return _public(
        {
            "tenant_discovery_endpoint": document,
            "api-version": request.query.get("api-version", "1.1"),
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }
    )


def user_realm(world: World, name: str) -> Response:
    """Which kind of account a name is: always managed here, or unknown."""
    domain = name.rpartition("@")[2].lower()
    tenant = world.directory.tenant(domain)
    if tenant is None:
        return _public(
            {"ver": "1.0", "account_type": "Unknown", "cloud_instance_name": "microsoftonline.com"}
        )
    return _public(
        {
            "ver": "1.0",
            "account_type": "Managed",
            "domain_name": domain,
            "cloud_instance_name": "microsoftonline.com",
            "cloud_audience_urn": "urn:federation:MicrosoftOnline",
        }
    )


def _public(document: dict[str, Any]) -> Response:
    response = json_response(document).with_header("access-control-allow-origin", "*")
    response.headers[0] = ("cache-control", "max-age=86400, private")
    return response
