"""What clients read first."""

from __future__ import annotations

import pytest

from emulator.relying_party import Entra, code_of
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID, FABRIKAM_ID

DOCUMENT = "v2.0/.well-known/openid-configuration"
MEMBERS = {
    "issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint",
    "device_authorization_endpoint", "end_session_endpoint", "response_types_supported",
    "response_modes_supported", "subject_types_supported", "scopes_supported",
    "id_token_signing_alg_values_supported", "token_endpoint_auth_methods_supported", "claims_supported",
    "request_uri_parameter_supported", "http_logout_supported", "frontchannel_logout_supported",
    "tenant_region_scope", "cloud_instance_name", "cloud_graph_host_name", "msgraph_host", "rbac_url",
    "kerberos_endpoint", "mtls_endpoint_aliases", "tls_client_certificate_bound_access_tokens",
}  # fmt: skip


def test_the_metadata_has_exactly_the_members_of_the_live_service(entra: Entra) -> None:
    """No more and no less than the service answers, PKCE and PAR not among them."""
    document = entra.http.get(entra.url(DOCUMENT)).json()
    assert set(document) == MEMBERS
    assert document["response_types_supported"] == ["code", "id_token", "code id_token", "id_token token"]
    assert document["subject_types_supported"] == ["pairwise"]


def test_browsers_are_sent_to_the_plain_listener_and_clients_stay(entra: Entra) -> None:
    """Read over https, authorize and sign-out are on http; token, keys and issuer on https."""
    emulator = entra.emulator
    document = entra.http.get(entra.url(DOCUMENT)).json()
    assert document["authorization_endpoint"].startswith(f"{emulator.http_url}/{CONTOSO_ID}/")
    assert document["end_session_endpoint"].startswith(emulator.http_url)
    assert document["token_endpoint"].startswith(emulator.https_url)
    assert document["issuer"] == f"{emulator.https_url}/{CONTOSO_ID}/v2.0"
    plain = entra.http.get(entra.url(DOCUMENT, secure=False)).json()
    assert plain["issuer"] == f"{emulator.http_url}/{CONTOSO_ID}/v2.0"
    assert plain["token_endpoint"].startswith(emulator.http_url)


@pytest.mark.parametrize(
    ("tenant", "issuer"),
    [
        ("contoso.test", CONTOSO_ID),
        ("CONTOSO.test", CONTOSO_ID),
        (FABRIKAM_ID.upper(), FABRIKAM_ID),
        ("common", "{tenantid}"),
        ("organizations", "{tenantid}"),
        ("consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"),
    ],
)
def test_the_issuer_of_each_kind_of_tenant(entra: Entra, tenant: str, issuer: str) -> None:
    """A domain stands for its GUID; shared endpoints have the template, consumers the personal tenant."""
    document = entra.http.get(entra.url(DOCUMENT, tenant=tenant)).json()
    assert document["issuer"] == f"{entra.emulator.https_url}/{issuer}/v2.0"


def test_version_1_issuers_end_in_a_slash(entra: Entra) -> None:
    """The older metadata names the older issuer and endpoints."""
    document = entra.http.get(entra.url(".well-known/openid-configuration")).json()
    assert document["issuer"] == f"{entra.emulator.https_url}/{CONTOSO_ID}/"
    assert document["token_endpoint"].endswith("/oauth2/token")


@pytest.mark.parametrize(("tenant", "code"), [("nowhere.test", 90002), ("nonsense", 900023)])
def test_an_unknown_tenant_is_refused_in_json(entra: Entra, tenant: str, code: int) -> None:
    """Discovery says which tenant it does not know."""
    response = entra.http.get(entra.url(DOCUMENT, tenant=tenant))
    assert response.status_code == 400
    assert code_of(response) == code


def test_keys_are_several_and_carry_their_issuer(entra: Entra) -> None:
    """Every key names its issuer; at the shared endpoint one key is the personal tenant's alone."""
    own = entra.http.get(entra.url("discovery/v2.0/keys")).json()["keys"]
    assert len(own) >= 2
    assert {key["issuer"] for key in own} == {f"{entra.emulator.https_url}/{CONTOSO_ID}/v2.0"}
    assert all({"kty", "use", "kid", "x5t", "n", "e", "x5c"} <= set(key) for key in own)
    shared = entra.http.get(entra.url("discovery/v2.0/keys", tenant="common")).json()["keys"]
    issuers = [key["issuer"].split("/")[-2] for key in shared]
    assert set(issuers) == {"{tenantid}", "9188040d-6c67-4c5b-b112-36a304b66dad"}
    personal = next(key for key in shared if "9188040d" in key["issuer"])
    assert personal["kid"] not in {key["kid"] for key in own}


def test_the_host_header_chooses_nothing(entra: Entra) -> None:
    """A forged Host does not get into the documents."""
    document = entra.http.get(entra.url(DOCUMENT), headers={"Host": "evil.example:1"}).text
    assert "evil" not in document


def test_instance_discovery_knows_this_host_alone(entra: Entra) -> None:
    """MSAL is told where the tenant's metadata is, and no alias of another cloud."""
    url = f"{entra.emulator.https_url}/common/discovery/instance"
    parameters = {
        "api-version": "1.1",
        "authorization_endpoint": f"{entra.emulator.https_url}/contoso.test/x",
    }
    answer = entra.http.get(url, params=parameters).json()
    assert answer["tenant_discovery_endpoint"] == entra.url(DOCUMENT, tenant="contoso.test")
    assert len(answer["metadata"]) == 1


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("https://localhost/contoso.test/oauth2/v2.0/authorize", True),
        ("https://127.0.0.1:9/contoso.test/oauth2/v2.0/authorize", True),
        ("https://login.microsoftonline.com/common/oauth2/v2.0/authorize", True),
        ("https://LOGIN.MICROSOFTONLINE.US/common/oauth2/v2.0/authorize", True),
        ("https://login.example.test/common/oauth2/v2.0/authorize", False),
        ("https://localhost.evil/common/oauth2/v2.0/authorize", False),
        ("https://localhost@evil/common/oauth2/v2.0/authorize", False),
        ("https://login.microsoftonline.de/common/oauth2/v2.0/authorize", False),
        ("ftp://localhost/common", False),
        ("nonsense", False),
    ],
)
def test_k41_instance_discovery_knows_login_hosts_alone(entra: Entra, asked: str, known: bool) -> None:
    """A host that is no login host is invalid_instance, AADSTS50049; none at all AADSTS900144."""
    url = f"{entra.emulator.https_url}/common/discovery/instance"
    answer = entra.http.get(url, params={"api-version": "1.1", "authorization_endpoint": asked})
    if known:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["error"], code_of(answer)) == (
            400,
            "invalid_instance",
            50049,
        )
    assert code_of(entra.http.get(url, params={"api-version": "1.1"})) == 900144


def test_user_realm_says_managed_or_unknown(entra: Entra) -> None:
    """A name of a known domain is managed, any other unknown."""
    base = f"{entra.emulator.https_url}/common/UserRealm"
    assert entra.http.get(f"{base}/ada@contoso.test").json()["account_type"] == "Managed"
    assert entra.http.get(f"{base}/x@nowhere.test").json()["account_type"] == "Unknown"


def test_the_session_frame_of_version_1(entra: Entra) -> None:
    """Version 1 names a `check_session_iframe`, version 2 none; it tells registered origins alone."""
    old = entra.http.get(entra.url(".well-known/openid-configuration")).json()
    assert "check_session_iframe" not in entra.http.get(entra.url(DOCUMENT)).json()
    frame = entra.http.get(old["check_session_iframe"])
    assert frame.status_code == 200
    assert "x-frame-options" not in frame.headers
    assert "frame-ancestors" not in frame.headers["content-security-policy"]
    state = entra.sign_in()["session_state"]
    url = entra.url("oauth2/checksession", secure=False)
    asked = {"client_id": CLIENT_ID, "session_state": state}
    for origin, answer in {"http://localhost:5000": "unchanged", "https://localhost:5000": "error",
                           "http://evil.example": "error", "": "error", "null": "error"}.items():  # fmt: skip
        assert entra.http.get(url, params={**asked, "origin": origin}).text == answer, origin
