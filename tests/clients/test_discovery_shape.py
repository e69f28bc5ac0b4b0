"""Discovery, member by member, as the live service answers it.

The documents below are those of the service with three names left open: `{login}` and `{graph}` for its
hosts, `{tenant}` for the path's first segment. At the emulator both hosts are the listener that was asked,
and a person's browser is sent to the http one.

Source: OpenID Connect Discovery 1.0, 3; documents of the live service, observed 2026-07 (v2.0); Microsoft,
"OpenID Connect on the Microsoft identity platform", and its older metadata as published (v1.0).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID

PERSONAL_ID = "9188040d-6c67-4c5b-b112-36a304b66dad"
LOGIN = "{login}/{tenant}"

COMMON: dict[str, Any] = {
    "token_endpoint_auth_methods_supported": [
        "client_secret_post",
        "private_key_jwt",
        "client_secret_basic",
        "self_signed_tls_client_auth",
    ],
    "response_modes_supported": ["query", "fragment", "form_post"],
    "subject_types_supported": ["pairwise"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "http_logout_supported": True,
    "frontchannel_logout_supported": True,
    "tls_client_certificate_bound_access_tokens": True,
    "kerberos_endpoint": f"{LOGIN}/kerberos",
}

V2: dict[str, Any] = {
    **COMMON,
    "token_endpoint": f"{LOGIN}/oauth2/v2.0/token",
    "jwks_uri": f"{LOGIN}/discovery/v2.0/keys",
    "authorization_endpoint": f"{LOGIN}/oauth2/v2.0/authorize",
    "device_authorization_endpoint": f"{LOGIN}/oauth2/v2.0/devicecode",
    "end_session_endpoint": f"{LOGIN}/oauth2/v2.0/logout",
    "userinfo_endpoint": "{graph}/oidc/userinfo",
    "mtls_endpoint_aliases": {"token_endpoint": f"{LOGIN}/oauth2/v2.0/token"},
    "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
    "scopes_supported": ["openid", "profile", "email", "offline_access"],
    "request_uri_parameter_supported": False,
}

V1: dict[str, Any] = {
    **COMMON,
    "token_endpoint": f"{LOGIN}/oauth2/token",
    "jwks_uri": f"{LOGIN}/discovery/keys",
    "authorization_endpoint": f"{LOGIN}/oauth2/authorize",
    "device_authorization_endpoint": f"{LOGIN}/oauth2/devicecode",
    "end_session_endpoint": f"{LOGIN}/oauth2/logout",
    "userinfo_endpoint": f"{LOGIN}/openid/userinfo",
    "check_session_iframe": f"{LOGIN}/oauth2/checksession",
    "mtls_endpoint_aliases": {"token_endpoint": f"{LOGIN}/oauth2/token"},
    "microsoft_multi_refresh_token": True,
    "response_types_supported": ["code", "id_token", "code id_token", "token id_token", "token"],
    "scopes_supported": ["openid"],
}

CLAIMS = {
    2: "sub iss cloud_instance_name cloud_instance_host_name cloud_graph_host_name msgraph_host aud exp iat "
    "auth_time acr nonce preferred_username name tid ver at_hash c_hash email",
    1: "sub iss cloud_instance_name cloud_instance_host_name cloud_graph_host_name msgraph_host aud exp iat "
    "auth_time acr email nonce amr given_name family_name nickname",
}

# These name the cloud and its region: of the emulator, itself. Only their kind is compared.
OF_THE_CLOUD = {
    "issuer": str,
    "tenant_region_scope": str | None,
    "cloud_instance_name": str,
    "cloud_graph_host_name": str,
    "msgraph_host": str,
    "rbac_url": str,
}
FOR_BROWSERS = {"authorization_endpoint", "end_session_endpoint"}

TENANTS = [
    pytest.param(CONTOSO_ID, CONTOSO_ID, CONTOSO_ID, id="GUID"),
    pytest.param("contoso.test", CONTOSO_ID, CONTOSO_ID, id="domain"),
    pytest.param(FABRIKAM_ID, FABRIKAM_ID, FABRIKAM_ID, id="another GUID"),
    pytest.param("common", "common", "{tenantid}", id="common"),
    pytest.param("organizations", "organizations", "{tenantid}", id="organizations"),
    pytest.param("consumers", "consumers", PERSONAL_ID, id="consumers"),
]


def document(session: requests.Session, url: str) -> dict[str, Any]:
    answer = session.get(f"{url}/.well-known/openid-configuration", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    read: dict[str, Any] = answer.json()
    return read


def expected(shape: dict[str, Any], emulator: RunningEmulator, tenant: str) -> dict[str, Any]:
    """The shape at this emulator, read over https."""

    def filled(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {inner: filled(inner, one) for inner, one in value.items()}
        if not isinstance(value, str):
            return value
        login = emulator.http_url if name in FOR_BROWSERS else emulator.https_url
        return (
            value.replace("{login}", login).replace("{graph}", emulator.https_url).replace("{tenant}", tenant)
        )

    return {name: filled(name, value) for name, value in shape.items()}


@pytest.mark.parametrize("version", [2, 1])
@pytest.mark.parametrize(("asked", "named", "issued_by"), TENANTS)
def test_every_member(
    emulator: RunningEmulator,
    trusting_session: requests.Session,
    asked: str,
    named: str,
    issued_by: str,
    version: int,
) -> None:
    """No member is missing or of our making, and each says what it says at the service."""
    path = f"{asked}/v2.0" if version == 2 else asked
    got = document(trusting_session, f"{emulator.https_url}/{path}")
    wanted = expected(V2 if version == 2 else V1, emulator, named)
    assert set(got) == {*wanted, *OF_THE_CLOUD, "claims_supported"}
    for name, value in wanted.items():
        assert got[name] == value, name
    assert sorted(got["claims_supported"]) == sorted(CLAIMS[version].split())
    for name, kind in OF_THE_CLOUD.items():
        assert isinstance(got[name], kind), name
    ending = "/v2.0" if version == 2 else "/"
    assert got["issuer"] == f"{emulator.https_url}/{issued_by}{ending}"


@pytest.mark.parametrize(("asked", "named", "issued_by"), TENANTS)
def test_region_only_where_there_is_one(
    emulator: RunningEmulator, trusting_session: requests.Session, asked: str, named: str, issued_by: str
) -> None:
    """A tenant has a region; the shared endpoints have none."""
    got = document(trusting_session, f"{emulator.https_url}/{asked}/v2.0")
    assert (got["tenant_region_scope"] is None) == (named in ("common", "organizations", "consumers"))


def test_graph_is_where_the_metadata_says(
    emulator: RunningEmulator, trusting_session: requests.Session
) -> None:
    """`msgraph_host` is the host that Graph's own addresses begin with."""
    got = document(trusting_session, f"{emulator.https_url}/{CONTOSO_ID}/v2.0")
    assert got["msgraph_host"] == urlsplit(emulator.https_url).netloc
    answer = trusting_session.get(f"https://{got['msgraph_host']}/v1.0/me", timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"


def test_pkce_and_pushed_requests_are_not_announced(
    emulator: RunningEmulator, trusting_session: requests.Session
) -> None:
    """PKCE works without being announced, as at the service; what it lacks is not announced either."""
    got = document(trusting_session, f"{emulator.https_url}/{CONTOSO_ID}/v2.0")
    assert not {name for name in got if name.startswith(("code_challenge", "pushed_", "introspection_"))}
    assert "request_parameter_supported" not in got


@pytest.mark.parametrize("version", [2, 1])
def test_every_key(emulator: RunningEmulator, trusting_session: requests.Session, version: int) -> None:
    """A key carries its certificate, its id twice, and the issuer whose tokens it signs."""
    path = f"{CONTOSO_ID}/v2.0" if version == 2 else CONTOSO_ID
    metadata = document(trusting_session, f"{emulator.https_url}/{path}")
    keys = trusting_session.get(metadata["jwks_uri"], timeout=10).json()["keys"]
    assert len(keys) >= 2
    for key in keys:
        assert set(key) == {"kty", "use", "kid", "x5t", "n", "e", "x5c", "cloud_instance_name", "issuer"}
        assert (key["kty"], key["use"], key["e"], key["x5t"]) == ("RSA", "sig", "AQAB", key["kid"])
        assert key["issuer"] == metadata["issuer"]
